"""Datasets of transitions on disk: .npz, D4RL-style HDF5 and Minari are read into `Transitions` and
written from them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from worldplan.milp.errors import DatasetError
from worldplan.milp.user_files import require_regular, unique_keys
from worldplan.world_models.data.checks import as_column
from worldplan.world_models.data.declared import check_hdf5, check_npz
from worldplan.world_models.data.drafts import Place, reserved
from worldplan.world_models.data.transitions import (
    ARRAYS,
    OPTIONAL,
    Transitions,
    join_state,
    split_state,
)
from worldplan.world_models.folders import path_before
from worldplan.world_models.storage import READ_ERRORS, describe_read_error, replace_file

_HDF5_SUFFIXES = (".hdf5", ".h5")
_HDF5_COLUMNS = (
    "observations",
    "actions",
    "rewards",
    "terminals",
    "timeouts",
    "next_observations",
    "infos/qpos",
    "infos/qvel",
    "infos/state",
    "costs",
    "infos/cost",
)
_HDF5_REQUIRED = _HDF5_COLUMNS[:4]


def load_transitions(source: str | Path) -> Transitions:
    """The dataset in a file, or the Minari dataset of an id.

    Args:
        source: a `.npz` or D4RL-style `.hdf5` / `.h5` file, or a Minari id such as
            mujoco/hopper/medium-v0 ("minari:" may stand before it). A Minari dataset that is not on
            this machine is downloaded from its hub.

    Raises:
        DatasetError: names the source, and what is missing, damaged or not of a dataset.
    """
    path = file_of(source)
    if path is None:
        from worldplan.world_models.data.minari_files import load_minari  # takes a second to import

        return load_minari(str(source).removeprefix("minari:"))
    require_regular(path)
    return _read(path, _load_npz if path.suffix.lower() == ".npz" else _load_hdf5)


def save_transitions(
    data: Transitions, target: str | Path, place: Place | None = None, *, replace: bool = False
) -> str:
    """Write a new dataset, whole or not at all, and return where it is: the file, or the Minari id.

    Args:
        data: the transitions.
        target: a `.npz` or `.hdf5` / `.h5` file, or a Minari id.
        place: of `target`, if the caller has reserved it.
        replace: take the place of a dataset that is there.

    Raises:
        DatasetError: `target` exists already, or is neither a file name nor an id.
        FolderInUse: another process makes this dataset.
        OSError: the disk is full.
    """
    if not replace:
        require_free(target)
    path = file_of(target)
    if path is None:
        from worldplan.world_models.data.minari_files import save_minari

        return save_minari(data, str(target).removeprefix("minari:"), place, replace=replace)
    save = save_npz if path.suffix.lower() == ".npz" else save_hdf5
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


def save_npz(data: Transitions, path: str | Path) -> Path:
    """Write a .npz file and return its path. The arrays (n, ...) have the names of the fields of
    `Transitions`, the metadata are JSON text.
    """
    columns = {name: getattr(data, name) for name in ARRAYS if getattr(data, name) is not None}
    text = np.array(json.dumps(data.metadata))
    return replace_file(
        Path(path),
        lambda draft: np.savez_compressed(draft, allow_pickle=False, metadata=text, **columns),
    )


def _load_npz(path: Path) -> Transitions:
    check_npz(path, (*ARRAYS, "metadata"))
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in ARRAYS if name not in file and name not in OPTIONAL]
        if missing:
            raise DatasetError(
                f"has no {', '.join(missing)}: it needs the arrays {', '.join(ARRAYS)} "
                f"({' and '.join(OPTIONAL)} are optional)"
            )
        columns = {name: file[name] for name in ARRAYS if name in file}
        metadata = _parsed(str(file["metadata"])) if "metadata" in file else {}
    return Transitions(**columns, metadata=metadata)


def _parsed(text: str | bytes) -> dict[str, Any]:
    """The metadata in a JSON text.

    Raises:
        DatasetError: it is no JSON object.
    """
    try:
        metadata = json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"its metadata are no JSON ({error}): write the file again") from error
    if not isinstance(metadata, dict):
        raise DatasetError("its metadata are no JSON object: write the file again")
    return metadata


# --- D4RL-style HDF5 ------------------------------------------------------------------------------


def save_hdf5(data: Transitions, path: str | Path) -> Path:
    """Write a D4RL-style file and return its path.

    The columns have D4RL's names, with next_observations, with infos/qpos and infos/qvel where the
    data have states, and with costs (the name in DSRL) where they have costs. The metadata
    are JSON text in metadata/worldplan.
    """
    import h5py

    columns = {
        "observations": data.observation,
        "actions": data.action,
        "rewards": data.reward,
        "next_observations": data.next_observation,
        "terminals": data.terminated,
        "timeouts": data.truncated,
        **{f"infos/{name}": column for name, column in split_state(data).items()},
        **({} if data.cost is None else {"costs": data.cost}),
    }

    # in memory first: on a full disk, HDF5 crashes the process at a later call
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, column in columns.items():
            file.create_dataset(name, data=column, compression="gzip", compression_opts=4)
        file.create_dataset("metadata/worldplan", data=json.dumps(data.metadata))
    return replace_file(Path(path), lambda draft: draft.write_bytes(content.getbuffer()))


def _load_hdf5(path: Path) -> Transitions:
    import h5py

    with h5py.File(path, "r") as file:
        missing = [name for name in _HDF5_REQUIRED if name not in file]
        if missing:
            raise DatasetError(
                f"has no {', '.join(missing)}: a D4RL-style file needs observations, actions, "
                "rewards, terminals and timeouts"
            )
        check_hdf5(file, (*_HDF5_COLUMNS, "metadata/worldplan"))
        stored = {
            name.removeprefix("infos/"): file[name][()] for name in _HDF5_COLUMNS if name in file
        }
        metadata = _hdf5_metadata(file)
    lengths = {name: column.shape[0] if column.ndim else 0 for name, column in stored.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DatasetError(f"its columns differ in length ({listed}): it was cut off")
    if not lengths["rewards"]:
        raise DatasetError("holds no transition: collect again")
    state, state_metadata = join_state(stored)
    columns = {
        "observation": stored["observations"],
        "action": stored["actions"],
        "reward": stored["rewards"].reshape(-1),
        "state": state,
        "cost": _stored_cost(stored),
    }
    terminals = as_column("terminated", stored["terminals"]).reshape(-1)
    if "next_observations" in stored:
        columns |= _stored_successors(stored, terminals)
    else:
        columns = _shifted_successors(columns, stored, terminals)
    return Transitions(**columns, metadata=state_metadata | metadata)


def _stored_cost(stored: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The costs of a file, which DSRL calls costs and other D4RL-style files infos/cost; or None.

    Raises:
        DatasetError: the file has both, and they differ.
    """
    names = [name for name in ("costs", "cost") if name in stored]
    columns = [as_column("cost", stored[name]).reshape(-1) for name in names]
    if len(columns) == 2 and not np.array_equal(columns[0], columns[1], equal_nan=True):
        raise DatasetError("its costs and infos/cost differ: keep the column that is right")
    return columns[0] if columns else None


def _stored_successors(
    stored: Mapping[str, np.ndarray], terminals: np.ndarray
) -> dict[str, np.ndarray]:
    """Next observations and episodes of a file with next_observations. Without timeouts, an episode
    also ends where the next row begins with another observation.

    Raises:
        DatasetError: the next observation of an episode's last row belongs to the next episode.
    """
    following, observations = stored["next_observations"], stored["observations"]
    follows = np.append(
        np.isclose(following[:-1], observations[1:], rtol=1e-5, atol=1e-5).all(1), False
    )
    timeouts = (
        as_column("truncated", stored["timeouts"]).reshape(-1) if "timeouts" in stored else ~follows
    )
    ends = terminals | timeouts
    ends[-1] = True
    leaks = np.flatnonzero(ends & follows)
    if len(leaks):  # D4RL's own qlearning_dataset makes this mistake (D4RL issue 145)
        raise DatasetError(
            f"row {leaks[0]} ends an episode, but its next_observations is the first observation "
            f"of the next episode ({len(leaks)} such rows): a model would learn that falls lead to "
            "resets; store the true next observations"
        )
    return {
        "next_observation": following,
        "terminated": terminals,
        "truncated": ends & ~terminals,
        "episode": _episode_numbers(ends),
    }


def _shifted_successors(
    columns: Mapping[str, Any], stored: Mapping[str, np.ndarray], terminals: np.ndarray
) -> dict[str, Any]:
    """All columns of a file without next_observations: they are the observations of the next rows.
    The last row of an episode is dropped: its next observation is unknown.

    Raises:
        DatasetError: the ends of the episodes are unknown, or the successors of terminal rows, or
            every episode has a single row.
    """
    if "timeouts" not in stored:
        raise DatasetError(
            "has neither next_observations nor timeouts, so where episodes end is unknown: "
            "use a file with one of them (D4RL -v2)"
        )
    if terminals.any():
        raise DatasetError(
            f"has no next_observations, so what followed its {int(terminals.sum())} terminal rows "
            f"(first: row {int(np.argmax(terminals))}) is unknown: use a file that has them "
            "(D4RL -v2, or worldplan data collect)"
        )
    ends = as_column("truncated", stored["timeouts"]).reshape(-1)
    ends[-1] = True
    kept = np.flatnonzero(~ends)
    if not len(kept):
        raise DatasetError(
            "has no next_observations and only episodes of a single row, "
            "so no transition is known: use a file that has them"
        )
    last = ends[kept + 1]  # the row after a kept row was dropped: the kept row ends its episode
    rows = {name: None if column is None else column[kept] for name, column in columns.items()}
    return rows | {
        "next_observation": stored["observations"][kept + 1],
        "terminated": np.zeros(len(kept), dtype=bool),
        "truncated": last,
        "episode": _episode_numbers(last),
    }


def _episode_numbers(ends: np.ndarray) -> np.ndarray:
    """(n,) int: the episode of every row, from `ends` (n,), which marks the last rows."""
    numbers: np.ndarray = np.cumsum(ends) - ends
    return numbers


def _hdf5_metadata(file: Any) -> dict[str, Any]:
    """The metadata that `save_hdf5` wrote, else the scalars and texts in the group metadata, where
    D4RL also keeps the weights of networks.
    """
    if "metadata/worldplan" in file:
        return _parsed(file["metadata/worldplan"][()])
    metadata: dict[str, Any] = {}
    for name, entry in file.get("metadata", {}).items():
        if getattr(entry, "shape", None) == ():
            value = entry[()]
            metadata[name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return metadata
