"""Record every step of an environment, with the state of its simulator before the step, in files
that are written part by part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.precision import check_single, needs_double
from worldplan.world_models.data.transitions import OBSERVATIONS, Transitions
from worldplan.world_models.storage import READ_ERRORS, replace_file

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


def simulator(env: gym.Env[Any, Any]) -> Any | None:
    """The `MjData` of an environment (qpos, qvel); None if MuJoCo does not simulate it."""
    data = getattr(env.unwrapped, "data", None)
    return data if hasattr(data, "qpos") and hasattr(data, "qvel") else None


class Recorder(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps the steps of an environment until `take`.

    Wrappers that reset the environment by themselves must lie outside this one: they would replace
    the last observation of an episode.

    Args:
        env: whose observations and actions are vectors.
        first_episode: number of the first episode.
        on_step: called after every step.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        first_episode: int = 0,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(env)
        self._episode, self._on_step = first_episode - 1, on_step
        self._observation: Any = None
        self._rows: list[tuple[Any, ...]] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start the next episode; see `gymnasium.Env.reset`."""
        self._observation, info = self.env.reset(seed=seed, options=options)
        self._episode += 1
        return self._observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take the step and keep it; see `gymnasium.Env.step`."""
        data = simulator(self.env)
        state = np.empty(0) if data is None else np.concatenate([data.qpos, data.qvel])
        following, reward, terminated, truncated, info = self.env.step(action)
        self._rows.append(
            (
                np.array(self._observation),
                np.array(action, dtype=np.float32),
                reward,
                np.array(following),
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

    def take(self) -> dict[str, NDArray[Any]]:
        """Remove the steps that were kept, and return them.

        Returns:
            observation, next_observation (rows, observation), action (rows, action), reward,
            terminated, truncated, episode (rows,), and state (rows, qpos + qvel): the state of the
            simulator before the step, of width 0 without a simulator.

        Raises:
            DatasetError: the differences of the rewards vanish in float32.
        """
        by_column = zip(*self._rows, strict=True)
        columns: dict[str, NDArray[Any]] = {
            name: np.array(column) for name, column in zip(_COLUMNS, by_column, strict=True)
        }
        check_single({"reward": columns["reward"]})
        double = needs_double(columns["observation"], columns["next_observation"])
        exact = OBSERVATIONS if double else ()
        for name, dtype in _COLUMNS.items():
            columns[name] = columns[name].astype(np.float64 if name in exact else dtype)
        self._rows = []
        return columns


class Recording:
    """A recording in the parts `part-00000.npz`, ... of a folder. A kill leaves no half part."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def count(self) -> int:
        """Number of parts in the folder."""
        count = 0
        while self._path(count).is_file():
            count += 1
        return count

    def write(self, number: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Write part `number`, and replace one that a killed run left there.

        Args:
            number: from 0.
            columns: name -> (rows, ...), as from `Recorder.take`.
        """
        replace_file(
            self._path(number),
            lambda draft: np.savez_compressed(draft, allow_pickle=False, **columns),
        )

    def read(self, count: int) -> dict[str, NDArray[Any]]:
        """The first `count` parts in one: name -> (rows, ...), see `joined`.

        Raises:
            DatasetError: a part is missing or damaged.
        """
        return joined([self.part(number) for number in range(count)])

    def part(self, number: int) -> dict[str, NDArray[Any]]:
        """Name -> (rows, ...) of one part, as from `Recorder.take`.

        Raises:
            DatasetError: it is missing or damaged.
        """
        path = self._path(number)
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in _COLUMNS}
        except READ_ERRORS as error:
            raise DatasetError(
                f"{path}: this part of a collection cannot be read ({error}): collect again "
                "with --fresh, or with another --folder"
            ) from error

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.npz"


def joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The parts in one: name -> (rows, ...). An episode that its part does not end is truncated at
    its last step.
    """
    columns = {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS}
    ends = np.append(columns["episode"][1:] != columns["episode"][:-1], True)
    columns["truncated"] |= ends & ~columns["terminated"]
    return columns


def as_transitions(columns: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> Transitions:
    """The columns of a recording as a dataset.

    Args:
        columns: name -> (rows, ...), as from `Recorder.take`; a state of width 0 is left out.
        metadata: of the dataset.
    """
    state = columns["state"] if columns["state"].shape[1] else None
    return Transitions(
        **{name: columns[name] for name in _COLUMNS if name != "state"},
        state=state,
        metadata=metadata,
    )
