"""D4RL-style HDF5 files of transitions."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.checks import as_column
from worldplan.world_models.data.d4rl.successors import shifted_successors, stored_successors
from worldplan.world_models.data.declared import check_hdf5, fits_memory, parsed_metadata
from worldplan.world_models.data.on_disk.arrays import hdf5_array
from worldplan.world_models.data.simulator_states import join_state, split_state, warn_ignored
from worldplan.world_models.data.transitions import Transitions, episode_numbers
from worldplan.world_models.storage import replace_file

_COLUMNS = (
    "observations",
    "actions",
    "rewards",
    "terminals",
    "timeouts",
    "next_observations",
    "infos/qpos",
    "infos/qvel",
    "costs",
    "infos/cost",
)
_OWN_COLUMNS = (*_COLUMNS, "infos/state")  # in files of others, infos/state may be anything
_REQUIRED = _COLUMNS[:4]
_LARGE = ("observations", "actions", "next_observations")  # stay on disk where memory is too small
_OWN = "metadata/worldplan"


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
        file.create_dataset(_OWN, data=json.dumps(data.metadata))
    return replace_file(Path(path), lambda draft: draft.write_bytes(content.getbuffer()))


def load_hdf5(path: Path) -> Transitions:
    """The transitions of a D4RL-style file.

    A file that worldplan wrote is read as it says. In a file of others the ends of episodes are
    checked, see `stored_successors` and `shifted_successors`, and only infos/qpos and infos/qvel
    count as the simulator's state.

    Raises:
        DatasetError: the file is damaged or no dataset, or its transitions are not known.
    """
    import h5py

    with h5py.File(path, "r") as file:
        missing = [name for name in _REQUIRED if name not in file]
        if missing:
            raise DatasetError(
                f"has no {', '.join(missing)}: a D4RL-style file needs observations, actions, "
                "rewards, terminals and timeouts"
            )
        own = _OWN in file
        names = _OWN_COLUMNS if own else _COLUMNS
        small = fits_memory(check_hdf5(file, (*names, _OWN)))
        stored = {
            name.removeprefix("infos/"): file[name][()]
            if small or name not in _LARGE
            else hdf5_array(path, name, file[name])
            for name in names
            if name in file
        }
        infos = list(file["infos"]) if isinstance(file.get("infos"), h5py.Group) else []
        metadata = _metadata(file)
    lengths = {name: column.shape[0] if column.ndim else 0 for name, column in stored.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DatasetError(f"its columns differ in length ({listed}): it was cut off")
    if not lengths["rewards"]:
        raise DatasetError("holds no transition: collect again")
    for name in ("observations", "next_observations"):
        if name in stored:
            _require_matrix(name, stored[name], stored["observations"].shape)
    state, state_metadata = join_state(stored)
    warn_ignored(infos, state, own=own)
    columns: dict[str, Any] = {
        "observation": stored["observations"],
        "action": stored["actions"],
        "reward": stored["rewards"].reshape(-1),
        "state": state,
        "cost": _cost(stored),
    }
    ends = {
        name: as_column(name, stored[key]).reshape(-1)
        for name, key in (("terminated", "terminals"), ("truncated", "timeouts"))
        if key in stored
    }
    if own and {"next_observations", "timeouts"} <= set(stored):
        last = ends["terminated"] | ends["truncated"]
        columns |= {"next_observation": stored["next_observations"], **ends}
        columns["episode"] = episode_numbers(last)
    elif "next_observations" in stored:
        columns |= stored_successors(stored["next_observations"], stored["observations"], ends)
    else:
        columns = shifted_successors(columns, ends)
    return Transitions(**columns, metadata=state_metadata | metadata)


def _require_matrix(name: str, column: np.ndarray, shape: tuple[int, ...]) -> None:
    """Check that a column holds numbers in the shape (n, o).

    Raises:
        DatasetError: it does not.
    """
    if column.dtype.kind not in "biuf" or column.ndim != 2 or column.shape != shape:
        raise DatasetError(
            f"{name} hold {column.dtype} of shape {column.shape}: numbers (rows, size) are needed, "
            "in observations and next_observations alike"
        )


def _cost(stored: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The costs of a file, which DSRL calls costs and other D4RL-style files infos/cost; or None.

    Raises:
        DatasetError: the file has both, and they differ.
    """
    names = [name for name in ("costs", "cost") if name in stored]
    columns = [as_column("cost", stored[name]).reshape(-1) for name in names]
    if len(columns) == 2 and not np.array_equal(columns[0], columns[1], equal_nan=True):
        raise DatasetError("its costs and infos/cost differ: keep the column that is right")
    return columns[0] if columns else None


def _metadata(file: Any) -> dict[str, Any]:
    """The metadata that `save_hdf5` wrote, else the scalars and texts in the group metadata, where
    D4RL also keeps the weights of networks.
    """
    if _OWN in file:
        return parsed_metadata(file[_OWN][()])
    metadata: dict[str, Any] = {}
    for name, entry in file.get("metadata", {}).items():
        if getattr(entry, "shape", None) == ():
            value = entry[()]
            metadata[name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return metadata
