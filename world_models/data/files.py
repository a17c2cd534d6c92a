"""Datasets of transitions on disk: D4RL-style HDF5, npz and Minari, read into one checked form and
written from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.stored_columns import READ_ERRORS, join_state, split_state
from worldplan.world_models.data.transitions import ARRAYS, Transitions
from worldplan.world_models.storage import replace_file

_HDF5 = (".hdf5", ".h5")


def load_transitions(source: str | Path) -> Transitions:
    """The dataset in a `.npz` or D4RL-style `.hdf5` / `.h5` file, or the Minari dataset of that id
    ("minari:" may stand before it).

    A Minari dataset that is not on this machine is fetched from its hub. Raises DatasetError naming
    the source and what is wrong.
    """
    path = file_of(source)
    if path is None:
        from worldplan.world_models.data.minari_files import load_minari  # takes a second to import

        return load_minari(str(source).removeprefix("minari:"))
    if not path.is_file():
        raise DatasetError(f"{path}: no such file: check the path")
    return _naming(path, _load_npz if path.suffix.lower() == ".npz" else _load_hdf5)


def save_transitions(data: Transitions, target: str | Path) -> str:
    """Write to a new `.npz` or `.hdf5` / `.h5` file, else to a new Minari dataset of that id;
    returns where it is.
    """
    require_free(target)
    path = file_of(target)
    if path is None:
        from worldplan.world_models.data.minari_files import save_minari

        return save_minari(data, str(target).removeprefix("minari:"))
    return str(save_npz(data, path) if path.suffix.lower() == ".npz" else save_hdf5(data, path))


def require_free(target: str | Path) -> None:
    """Raise DatasetError when `target` exists already, or can name no dataset."""
    path = file_of(target)
    if path is None:
        from worldplan.world_models.data.minari_files import require_free_id

        require_free_id(str(target).removeprefix("minari:"))
    elif path.exists():
        raise DatasetError(f"{path} exists already: choose another name, or delete it")


def file_of(name: str | Path) -> Path | None:
    """The file that `name` means, or None where it means a Minari dataset ("minari:" may stand
    before its id).
    """
    path = Path(name)
    return (
        path
        if path.suffix.lower() in (".npz", *_HDF5) and not str(name).startswith("minari:")
        else None
    )


def _naming(path: Path, read: Callable[[Path], Transitions]) -> Transitions:
    """Let every complaint about the content name the file."""
    try:
        return read(path)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    except READ_ERRORS as error:
        text = " ".join(str(error).split())
        raise DatasetError(
            f"{path}: cannot be read, it is cut off, damaged or no dataset ({text}): fetch or make it again"
        ) from error


# --- npz ------------------------------------------------------------------------------------------


def save_npz(data: Transitions, path: str | Path) -> Path:
    """Write the fields of `Transitions` under their names, the metadata as JSON text."""
    columns = {name: getattr(data, name) for name in ARRAYS if getattr(data, name) is not None}
    text = np.array(json.dumps(data.metadata))
    return replace_file(
        Path(path),
        lambda draft: np.savez_compressed(draft, allow_pickle=False, metadata=text, **columns),
    )


def _load_npz(path: Path) -> Transitions:
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in ARRAYS if name not in file and name != "state"]
        if missing:
            raise DatasetError(
                f"has no {', '.join(missing)}: it needs the arrays {', '.join(ARRAYS)} (state is optional)"
            )
        columns = {name: file[name] for name in ARRAYS if name in file}
        metadata = json.loads(str(file["metadata"])) if "metadata" in file else {}
    return Transitions(**columns, metadata=metadata)


# --- D4RL-style HDF5 ------------------------------------------------------------------------------


def save_hdf5(data: Transitions, path: str | Path) -> Path:
    """Write the names D4RL uses, with next_observations, and with infos/qpos and infos/qvel where
    the state is known.

    The metadata go, as JSON text, to metadata/worldplan.
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
    }

    def write(draft: Path) -> None:
        with h5py.File(draft, "w") as file:
            for name, column in columns.items():
                file.create_dataset(name, data=column, compression="gzip", compression_opts=4)
            file.create_dataset("metadata/worldplan", data=json.dumps(data.metadata))

    return replace_file(Path(path), write)


def _load_hdf5(path: Path) -> Transitions:
    import h5py

    with h5py.File(path, "r") as file:
        missing = [
            name for name in ("observations", "actions", "rewards", "terminals") if name not in file
        ]
        if missing:
            raise DatasetError(
                f"has no {', '.join(missing)}: a D4RL-style file needs observations, actions, rewards, terminals and timeouts"
            )
        wanted = (
            "observations",
            "actions",
            "rewards",
            "terminals",
            "timeouts",
            "next_observations",
            "infos/qpos",
            "infos/qvel",
            "infos/state",
        )
        raw = {name.removeprefix("infos/"): file[name][()] for name in wanted if name in file}
        metadata = _hdf5_metadata(file)
    lengths = {name: len(column) for name, column in raw.items()}
    if len(set(lengths.values())) > 1:
        raise DatasetError(
            f"its columns differ in length ({', '.join(f'{name} {length}' for name, length in lengths.items())}): it was cut off"
        )
    if not lengths["rewards"]:
        raise DatasetError("holds no transition: collect again")
    state, about = join_state(raw)
    terminals = raw["terminals"].reshape(-1).astype(bool)
    columns = {
        "observation": raw["observations"],
        "action": raw["actions"],
        "reward": raw["rewards"].reshape(-1),
        "state": state,
    }
    if "next_observations" in raw:
        columns |= _with_next(raw, terminals)
    else:
        columns = _without_next(columns, raw, terminals)
    return Transitions(**columns, metadata=about | metadata)


def _with_next(raw: Mapping[str, np.ndarray], terminals: np.ndarray) -> dict[str, np.ndarray]:
    """Episodes of a file with next observations. Without timeouts, an episode also ends where the
    next row does not follow on.
    """
    following, observations = raw["next_observations"], raw["observations"]
    follows = np.append(
        np.isclose(following[:-1], observations[1:], rtol=1e-5, atol=1e-5).all(1), False
    )
    timeouts = raw["timeouts"].reshape(-1).astype(bool) if "timeouts" in raw else ~follows
    ends = terminals | timeouts
    ends[-1] = True
    leaks = np.flatnonzero(ends & follows)
    if len(leaks):  # D4RL's own qlearning_dataset makes this mistake (D4RL issue 145)
        raise DatasetError(
            f"row {leaks[0]} ends an episode, but its next_observations is the first observation of the next episode "
            f"({len(leaks)} such rows): a model would learn that falls lead to resets; store the true next observations"
        )
    return {
        "next_observation": following,
        "terminated": terminals,
        "truncated": ends & ~terminals,
        "episode": _number(ends),
    }


def _without_next(
    columns: dict[str, Any], raw: Mapping[str, np.ndarray], terminals: np.ndarray
) -> dict[str, Any]:
    """Next observations from the next row of the episode; the last row of an episode, whose next
    one nobody knows, is left out.
    """
    if "timeouts" not in raw:
        raise DatasetError(
            "has neither next_observations nor timeouts, so where episodes end is unknown: use a file with one of them (D4RL -v2)"
        )
    if terminals.any():
        raise DatasetError(
            f"has no next_observations, so what followed its {int(terminals.sum())} terminal rows (first: row {int(np.argmax(terminals))}) is "
            "unknown: use a file that has them (D4RL -v2, or worldplan data collect)"
        )
    ends = raw["timeouts"].reshape(-1).astype(bool)
    ends[-1] = True
    known = np.flatnonzero(~ends)
    if not len(known):
        raise DatasetError(
            "has no next_observations and only episodes of a single row, so no transition is known: use a file that has them"
        )
    last = ends[known + 1]  # the row after is left out, so this one now ends its episode
    kept = {name: None if column is None else column[known] for name, column in columns.items()}
    return kept | {
        "next_observation": raw["observations"][known + 1],
        "terminated": np.zeros(len(known), dtype=bool),
        "truncated": last,
        "episode": _number(last),
    }


def _number(ends: np.ndarray) -> np.ndarray:
    """The episode of every row, from the rows that end one."""
    return np.cumsum(ends) - ends


def _hdf5_metadata(file: Any) -> dict[str, Any]:
    """Our own metadata, else the plain numbers and texts of the metadata group (D4RL also keeps
    whole networks there).
    """
    if "metadata/worldplan" in file:
        return dict(json.loads(file["metadata/worldplan"][()]))
    found: dict[str, Any] = {}
    for name, entry in file.get("metadata", {}).items():
        if getattr(entry, "shape", None) == ():
            value = entry[()]
            found[name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return found
