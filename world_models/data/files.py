"""Datasets of transitions on disk: .npz, D4RL-style HDF5 and Minari are read into `Transitions` and
written from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np

from worldplan.milp.errors import DatasetError
from worldplan.milp.user_files import require_regular
from worldplan.world_models.data.d4rl.files import load_hdf5, save_hdf5
from worldplan.world_models.data.declared import (
    check_npz,
    fits_memory,
    parsed_metadata,
    require_memory,
)
from worldplan.world_models.data.drafts import Place, reserved
from worldplan.world_models.data.on_disk.arrays import npz_arrays
from worldplan.world_models.data.precision import warn_of_coarse
from worldplan.world_models.data.transitions import (
    ARRAYS,
    MATRICES,
    OPTIONAL,
    Transitions,
)
from worldplan.world_models.folders import path_before
from worldplan.world_models.storage import READ_ERRORS, describe_read_error, replace_file

_HDF5_SUFFIXES = (".hdf5", ".h5")


def load_transitions(source: str | Path, *, flatten: bool = False) -> Transitions:
    """The dataset in a file, or the Minari dataset of an id.

    Args:
        source: a `.npz` or D4RL-style `.hdf5` / `.h5` file, or a Minari id such as
            mujoco/hopper/medium-v0 ("minari:" may stand before it). A Minari dataset that is not on
            this machine is downloaded from its hub.
        flatten: make vectors of a Minari dataset's observations that are none, such as Dicts.

    Raises:
        DatasetError: names the source, and what is missing, damaged or not of a dataset.
    """
    path = file_of(source)
    if path is None:
        from worldplan.world_models.data.minari_files import load_minari  # takes a second to import

        data = load_minari(str(source).removeprefix("minari:"), flatten=flatten)
    else:
        require_regular(path)
        data = _read(path, _load_npz if path.suffix.lower() == ".npz" else load_hdf5)
    warn_of_coarse(data, str(source))
    return data


def save_transitions(
    data: Transitions,
    target: str | Path,
    place: Place | None = None,
    *,
    replace: bool = False,
    compress: bool = True,
) -> str:
    """Write a new dataset, whole or not at all, and return where it is: the file, or the Minari id.

    Args:
        data: the transitions.
        target: a `.npz` or `.hdf5` / `.h5` file, or a Minari id.
        place: of `target`, if the caller has reserved it.
        replace: take the place of a dataset that is there.
        compress: a `.npz` file, unless the data do not fit into memory; an uncompressed one is read
            from disk where it does not.

    Raises:
        DatasetError: `target` exists already, or is neither a file name nor an id; or it is no
            `.npz` file and the data do not fit into memory.
        FolderInUse: another process makes this dataset.
        OSError: the disk is full.
    """
    if not replace:
        require_free(target)
    path = file_of(target)
    if path is None or path.suffix.lower() != ".npz":
        require_memory(data.nbytes, "write it as .npz, which is written part by part")
    if path is None:
        from worldplan.world_models.data.minari_files import save_minari

        return save_minari(data, str(target).removeprefix("minari:"), place, replace=replace)
    save = save_hdf5
    if path.suffix.lower() == ".npz":
        save = partial(save_npz, compress=compress and fits_memory(data.nbytes))
    with nullcontext(place) if place else place_of(path) as reserved_place:
        with reserved_place.naming_disk_errors():
            draft = save(data, reserved_place.drafts / path.name)
        reserved_place.publish(draft, replace=replace)
    return str(path)


def place_of(target: str | Path) -> AbstractContextManager[Place]:
    """A context in which no other process makes the dataset `target`.

    Raises:
        DatasetError: `target` is neither a file name nor an id.
        FolderInUse: another process makes this dataset.
        OSError: its folder cannot be written to.
    """
    path = file_of(target)
    if path is not None:
        return reserved(str(path), path, path.parent)
    from worldplan.world_models.data.minari_places import minari_place

    return minari_place(str(target).removeprefix("minari:"))


def set_aside(target: str | Path) -> str:
    """Rename a dataset, so that another can take its place; returns its new file or id.

    Raises:
        OSError: it cannot be renamed.
    """
    path = file_of(target)
    if path is None:
        from worldplan.world_models.data.minari_places import set_minari_aside

        return set_minari_aside(str(target).removeprefix("minari:"))
    return str(path.rename(path_before(path, path.suffix)))


def require_free(target: str | Path) -> None:
    """Check that a new dataset can be written to `target`.

    Raises:
        DatasetError: `target` exists already, or is neither a file name nor an id.
    """
    path = file_of(target)
    if path is None:
        from worldplan.world_models.data.minari_places import require_free_id

        require_free_id(str(target).removeprefix("minari:"))
    elif path.exists():
        raise DatasetError(f"{path} exists already: choose another name, or delete it")


def file_of(name: str | Path) -> Path | None:
    """The file of that name, or None where `name` is the id of a Minari dataset ("minari:" may
    stand before it).
    """
    path = Path(name)
    is_file = path.suffix.lower() in (".npz", *_HDF5_SUFFIXES)
    return path if is_file and not str(name).startswith("minari:") else None


def files_of(source: str | Path) -> list[Path]:
    """The files of a dataset on this machine: the file itself, or all of a Minari dataset.

    Args:
        source: see `load_transitions`.
    """
    path = file_of(source)
    if path is not None:
        return [path]
    from worldplan.world_models.data.minari_places import minari_files

    return minari_files(str(source).removeprefix("minari:"))


def _read(path: Path, load: Callable[[Path], Transitions]) -> Transitions:
    """The dataset that `load` reads from the file.

    Raises:
        DatasetError: names the file, for every error in its content.
    """
    try:
        return load(path)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    except READ_ERRORS as error:
        text = describe_read_error(error, "cut off, damaged or no dataset")
        raise DatasetError(f"{path}: cannot be read, {text}") from error


# --- npz ------------------------------------------------------------------------------------------


def save_npz(data: Transitions, path: str | Path, *, compress: bool = True) -> Path:
    """Write a .npz file and return its path. The arrays (n, ...) have the names of the fields of
    `Transitions`, the metadata are JSON text.
    """
    columns = {name: getattr(data, name) for name in ARRAYS if getattr(data, name) is not None}
    text = np.array(json.dumps(data.metadata))

    def write(draft: Path) -> None:
        with draft.open("wb") as stream:  # NumPy appends .npz to a file name such as data.NPZ
            save = np.savez_compressed if compress else np.savez
            save(stream, allow_pickle=False, metadata=text, **columns)

    return replace_file(Path(path), write)


def _load_npz(path: Path) -> Transitions:
    small = fits_memory(check_npz(path, (*ARRAYS, "metadata")))
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in ARRAYS if name not in file and name not in OPTIONAL]
        if missing:
            raise DatasetError(
                f"has no {', '.join(missing)}: it needs the arrays {', '.join(ARRAYS)} "
                f"({' and '.join(OPTIONAL)} are optional)"
            )
        mapped = {} if small else npz_arrays(path, MATRICES)
        columns = mapped | {
            name: file[name] for name in ARRAYS if name in file and name not in mapped
        }
        metadata = parsed_metadata(str(file["metadata"])) if "metadata" in file else {}
    return Transitions(**columns, metadata=metadata)
