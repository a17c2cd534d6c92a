"""Record every step of an environment, with what its simulator knew before it, in parts on the
disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.stored_columns import READ_ERRORS
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.storage import replace_file

_COLUMNS = {
    "observation": np.float32,
    "action": np.float32,
    "reward": np.float32,
    "next_observation": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "episode": np.int64,
    "state": np.float64,
}


def simulator(env: gym.Env) -> Any | None:
    """The MuJoCo data behind an environment, or None where there is no such simulator."""
    data = getattr(env.unwrapped, "data", None)
    return data if hasattr(data, "qpos") and hasattr(data, "qvel") else None


class Recorder(gym.Wrapper):
    """Keeps the steps taken since the last `take`; `on_step` is called after each.

    It must lie under whatever resets the environment by itself, so that it sees the true last
    observation of an episode.
    """

    def __init__(
        self, env: gym.Env, first_episode: int = 0, on_step: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(env)
        self._episode, self._on_step = first_episode - 1, on_step
        self._observation: Any = None
        self._rows: list[tuple[Any, ...]] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start the next episode."""
        self._observation, info = self.env.reset(seed=seed, options=options)
        self._episode += 1
        return self._observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take the step and keep it."""
        data = simulator(self.env)
        state = np.empty(0) if data is None else np.concatenate([data.qpos, data.qvel])
        following, reward, terminated, truncated, info = self.env.step(action)
        before = (
            np.array(self._observation, dtype=np.float32),
            np.array(action, dtype=np.float32),
            reward,
        )
        self._rows.append(
            (
                *before,
                np.array(following, dtype=np.float32),
                terminated,
                truncated,
                self._episode,
                state,
            )
        )
        self._observation = following
        self._on_step()
        return following, reward, terminated, truncated, info

    def __len__(self) -> int:
        return len(self._rows)

    def take(self) -> dict[str, np.ndarray]:
        """Hand over the kept steps as columns, and forget them."""
        by_column = zip(*self._rows, strict=True)
        columns: dict[str, np.ndarray] = {
            name: np.array(column, dtype=_COLUMNS[name])
            for name, column in zip(_COLUMNS, by_column, strict=True)
        }
        self._rows = []
        return columns


class Recording:
    """Parts of a recording in a folder; a part appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def parts(self) -> int:
        """How many parts there are."""
        count = 0
        while self._path(count).is_file():
            count += 1
        return count

    def write(self, number: int, columns: Mapping[str, np.ndarray]) -> None:
        """Write part `number`, over an older one that a killed run left behind."""
        replace_file(
            self._path(number),
            lambda draft: np.savez_compressed(draft, allow_pickle=False, **columns),
        )

    def read(self, count: int) -> dict[str, np.ndarray]:
        """The first `count` parts as columns; an episode that a killed run left open is marked
        truncated at its last step.
        """
        parts = [self._read(number) for number in range(count)]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS}
        ends = np.append(columns["episode"][1:] != columns["episode"][:-1], True)
        columns["truncated"] |= ends & ~columns["terminated"]
        return columns

    def _read(self, number: int) -> dict[str, np.ndarray]:
        path = self._path(number)
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in _COLUMNS}
        except READ_ERRORS as error:
            raise DatasetError(
                f"{path}: this part of a collection cannot be read ({error}): delete the folder and collect again"
            ) from error

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.npz"


def as_transitions(columns: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> Transitions:
    """The columns of a recording as a dataset; environments without a simulator have no state."""
    state = columns["state"] if columns["state"].shape[1] else None
    return Transitions(
        **{name: columns[name] for name in _COLUMNS if name != "state"},
        state=state,
        metadata=metadata,
    )
