"""Whole episodes with vector or image observations, as in demonstrations and in replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldplan.milp import checks
from worldplan.milp.errors import DatasetError
from worldplan.world_models.storage import replace_file

Observations = np.ndarray | dict[str, np.ndarray]  # one array, or one per key of a Dict space
_PREFIX = "observation/"


@dataclass(frozen=True)
class Episode:
    """T steps and the T + 1 observations before, between and after them.

    Args:
        observation: (T + 1, ...) array, or a dict of such arrays.
        action: (T, action) float32.
        reward: (T,) float32.
        terminated: whether the last step ended in a terminal state; False for a truncated episode.
        success: whether the environment reported a success.

    Raises:
        DatasetError: the lengths differ, there is no step, or a number is not finite.
    """

    observation: Observations
    action: np.ndarray
    reward: np.ndarray
    terminated: bool = False
    success: bool = False

    def __post_init__(self) -> None:
        for name in ("action", "reward"):
            object.__setattr__(self, name, _single_precision(getattr(self, name), name))
        for name in ("terminated", "success"):
            checks.truth(getattr(self, name), name, error=DatasetError)
        steps = len(self.reward) if self.reward.ndim else 0
        if self.action.ndim != 2 or self.reward.ndim != 1 or not steps or len(self.action) != steps:
            raise DatasetError(
                f"an episode with actions {self.action.shape} and rewards {self.reward.shape}: "
                "give (T, action) and (T,), T > 0"
            )
        for name, column in columns_of(self.observation).items():
            if not isinstance(name, str) or "\0" in name:  # no name of an array in a file
                raise DatasetError(f"observation {name!r:.60} has no text as its name: rename it")
            if not isinstance(column, np.ndarray) or not column.ndim:
                raise DatasetError(
                    f"observation {name} is {checks.shown(column)}: give an array (T + 1, ...)"
                )
            if len(column) != steps + 1:
                raise DatasetError(
                    f"an episode of {steps} steps has {len(column)} observations "
                    f"({name or 'vector'}): {steps + 1} are needed"
                )
            _require_finite(f"observation {name}".strip(), column)
        _require_finite("action", self.action)
        _require_finite("reward", self.reward)

    def __len__(self) -> int:
        return len(self.reward)


def columns_of(observation: Any) -> dict[str, Any]:
    """The parts of an observation, or of its space, by key; a plain array has the key ""."""
    return dict(observation) if isinstance(observation, Mapping) else {"": observation}


def observation_of(columns: Mapping[str, Any]) -> Any:
    """The inverse of `columns_of`."""
    return columns[""] if set(columns) == {""} else dict(columns)


def save_episode(episode: Episode, file: Path) -> None:
    """Write the episode to a .npz file, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    arrays = {_PREFIX + name: column for name, column in columns_of(episode.observation).items()}
    ends = {"terminated": np.array(episode.terminated), "success": np.array(episode.success)}

    def write(draft: Path) -> None:
        columns: dict[str, Any] = {"action": episode.action, "reward": episode.reward}
        with draft.open("wb") as stream:  # NumPy appends .npz to a file name, not to a stream
            np.savez(stream, allow_pickle=False, **columns, **ends, **arrays)

    replace_file(file, write)


def load_episode(file: Path) -> Episode:
    """Read an episode that `save_episode` wrote.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            columns = {
                name.removeprefix(_PREFIX): stored[name]
                for name in stored.files
                if name.startswith(_PREFIX)
            }
            ends = {name: bool(stored[name]) for name in ("terminated", "success")}
            return Episode(observation_of(columns), stored["action"], stored["reward"], **ends)
    except DatasetError:
        raise
    except Exception as error:  # NumPy and zipfile raise many types for a damaged file
        raise DatasetError(
            f"{file}: cannot be read ({type(error).__name__}): it is missing or damaged, "
            "train again from the start"
        ) from error


def _single_precision(column: Any, name: str) -> np.ndarray:
    """The column (...) as float32.

    Raises:
        DatasetError: it holds no numbers.
    """
    try:
        return np.asarray(column, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{name} is {checks.shown(column)}: give an array of numbers") from error


def _require_finite(name: str, column: np.ndarray) -> None:
    """Check that a column (T, ...) or (T + 1, ...) of floats is finite.

    Raises:
        DatasetError: it is not.
    """
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        step = int(np.argwhere(~np.isfinite(column))[0][0])
        raise DatasetError(
            f"an episode's {name} holds a number that is not finite, first at step {step}: "
            "repair or leave out that episode"
        )
