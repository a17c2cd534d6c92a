"""Whole episodes of any gymnasium environment with vector or image observations: what
demonstrations and replay are made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldplan.milp.errors import DatasetError
from worldplan.world_models.storage import replace_file

Observations = np.ndarray | dict[str, np.ndarray]  # one array, or one per key of a Dict space
_PREFIX = "observation/"


@dataclass(frozen=True)
class Episode:
    """T steps and the T + 1 observations around them.

    Args:
        observation: (T + 1, ...) array, or a dict of such arrays.
        action: (T, action) float32.
        reward: (T,) float32.
        terminated: whether the last step ended in a terminal state; an episode that was cut did
            not.
        success: whether the environment called it one.
    Raises DatasetError where the lengths do not fit or a number is not finite.
    """

    observation: Observations
    action: np.ndarray
    reward: np.ndarray
    terminated: bool = False
    success: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "action", np.asarray(self.action, dtype=np.float32))
        object.__setattr__(self, "reward", np.asarray(self.reward, dtype=np.float32))
        steps = len(self.reward)
        if self.action.ndim != 2 or self.reward.ndim != 1 or not steps or len(self.action) != steps:
            raise DatasetError(
                f"an episode with actions {self.action.shape} and rewards {self.reward.shape}: give (T, action) and (T,), T > 0"
            )
        for name, column in columns_of(self.observation).items():
            if len(column) != steps + 1:
                raise DatasetError(
                    f"an episode of {steps} steps has {len(column)} observations ({name or 'vector'}): {steps + 1} are needed"
                )
            _require_finite(f"observation {name}".strip(), column)
        _require_finite("action", self.action)
        _require_finite("reward", self.reward)

    def __len__(self) -> int:
        return len(self.reward)


def columns_of(observation: Any) -> dict[str, Any]:
    """The arrays of an observation by key; a plain array has the key ""."""
    return dict(observation) if isinstance(observation, Mapping) else {"": observation}


def observation_of(columns: Mapping[str, Any]) -> Any:
    """The inverse of `columns_of`."""
    return columns[""] if set(columns) == {""} else dict(columns)


def save_episode(episode: Episode, file: Path) -> None:
    """Write one .npz file in one move: a full disk or a kill leaves what was there before."""
    arrays = {_PREFIX + name: column for name, column in columns_of(episode.observation).items()}
    ends = {"terminated": np.array(episode.terminated), "success": np.array(episode.success)}

    def write(draft: Path) -> None:
        with draft.open("wb") as stream:  # given a name, NumPy would append .npz to it
            np.savez(stream, action=episode.action, reward=episode.reward, **ends, **arrays)  # type: ignore[arg-type]

    replace_file(file, write)


def load_episode(file: Path) -> Episode:
    """What `save_episode` wrote. Raises DatasetError when the file is missing or damaged."""
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
            f"{file}: cannot be read ({type(error).__name__}): it is missing or damaged, train again from the start"
        ) from error


def _require_finite(name: str, column: np.ndarray) -> None:
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        step = int(np.argwhere(~np.isfinite(column))[0][0])
        raise DatasetError(
            f"an episode's {name} holds a number that is not finite, first at step {step}: repair or leave out that episode"
        )
