"""Where Minari datasets lie on this machine: their ids, and new ones that appear whole or not at
all.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from minari.data_collector import EpisodeBuffer
from minari.dataset._storages.hdf5_storage import HDF5Storage
from minari.dataset.minari_dataset import parse_dataset_id
from minari.namespace import NAMESPACE_METADATA_FILENAME
from minari.storage import get_dataset_path

from worldplan.milp.errors import DatasetError
from worldplan.near_files import near_path, nearest_path
from worldplan.world_models.data.drafts import Place, reserved
from worldplan.world_models.folders import path_before
from worldplan.world_models.storage import replace_file

_VARIABLE = "MINARI_DATASETS_PATH"


def minari_place(dataset_id: str) -> AbstractContextManager[Place]:
    """A context in which no other process makes the dataset.

    Raises:
        DatasetError: the id is malformed.
        FolderInUse: another process makes a dataset with this id.
    """
    check_id(dataset_id)
    return reserved(dataset_id, get_dataset_path(dataset_id), get_dataset_path())


@contextmanager
def drafting(place: Place, dataset_id: str, *, replace: bool = False) -> Iterator[None]:
    """A context in which Minari's datasets lie in the folder of drafts; then the one of this id is
    moved to its place.

    Raises:
        DatasetError: the id was taken meanwhile.
        OSError: the disk is full.
    """
    usual, root = os.environ.get(_VARIABLE), place.drafts / "datasets"
    os.environ[_VARIABLE] = str(root)
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE)
        if usual is not None:
            os.environ[_VARIABLE] = usual
    for draft in root.rglob(NAMESPACE_METADATA_FILENAME):
        note = get_dataset_path() / draft.relative_to(root)
        note.parent.mkdir(parents=True, exist_ok=True)
        if not note.exists():
            draft.rename(note)
    place.path.parent.mkdir(parents=True, exist_ok=True)
    place.publish(root / dataset_id, replace=replace)


def set_minari_aside(dataset_id: str) -> str:
    """Rename a Minari dataset, so that another can have its id; returns the new id.

    Raises:
        OSError: it cannot be renamed.
    """
    path, version = get_dataset_path(dataset_id), dataset_id.rpartition("-v")[2]
    aside = path_before(path, f"-v{version}")
    new_id = aside.relative_to(get_dataset_path()).as_posix()
    path.rename(aside)
    note = aside / "data" / "metadata.json"
    if note.is_file():
        content = note.read_text(encoding="utf-8")
        with suppress(ValueError):  # a damaged dataset is kept as it is
            text = json.dumps({**json.loads(content), "dataset_id": new_id})
            replace_file(note, lambda draft: draft.write_text(text, encoding="utf-8"))
    return new_id


def require_free_id(dataset_id: str) -> None:
    """Check that a new Minari dataset can have this id.

    Raises:
        DatasetError: the id is malformed or taken on this machine.
    """
    check_id(dataset_id)
    folder = get_dataset_path(dataset_id)
    if folder.exists():
        raise DatasetError(
            f"Minari dataset {dataset_id} exists already ({folder}): choose another id, "
            "such as one with a higher -v number"
        )


def minari_files(dataset_id: str) -> list[Path]:
    """The files of a Minari dataset, and the notes of the namespaces that it is in."""
    root, folder = get_dataset_path(), get_dataset_path(dataset_id)
    parents = [parent for parent in folder.parents if parent.is_relative_to(root)]
    notes = (parent / NAMESPACE_METADATA_FILENAME for parent in parents)
    files = (file for file in folder.rglob("*") if file.is_file())
    return sorted([*files, *(note for note in notes if note.is_file())])


def near_id(dataset_id: str) -> str:
    """ " (did you mean 'worldplan/hopper-own-v0'?)", with a dataset on this machine; "" where none
    is near.
    """
    root = get_dataset_path()
    near = nearest_path(root / dataset_id)
    if near is None or not (near / "data").is_dir():
        return ""
    return f" (did you mean '{near.relative_to(root).as_posix()}'?)"


def check_id(dataset_id: str) -> None:
    try:
        _, name, version = parse_dataset_id(dataset_id)
    except (ValueError, TypeError) as error:  # TypeError: no version
        raise DatasetError(
            f"'{dataset_id}' is neither a .npz, .hdf5 or .h5 file nor a Minari id"
            f"{near_path(dataset_id)}: "
            "write an id as space/name-v0, e.g. mujoco/hopper/medium-v0"
        ) from error


@contextmanager
def hdf5_in_memory() -> Iterator[None]:
    """A context in which Minari builds its HDF5 files in memory and then writes their bytes.

    On a full disk, HDF5 fails only when it closes the file, keeps the file open, and crashes the
    process at a later call, so the disk is left to Python.
    """
    usual = HDF5Storage.update_episodes

    def update_episodes(storage: HDF5Storage, episodes: Iterable[EpisodeBuffer]) -> None:
        path = storage._file_path
        content = io.BytesIO(path.read_bytes())
        storage._file_path = content
        try:
            usual(storage, episodes)
        finally:
            storage._file_path = path
        path.write_bytes(content.getbuffer())
        storage.update_metadata({"dataset_size": storage.get_size()})

    HDF5Storage.update_episodes = update_episodes
    try:
        yield
    finally:
        HDF5Storage.update_episodes = usual
