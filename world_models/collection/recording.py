"""Record every step of an environment, with the state of its simulator before the step and the cost
that it reports (`info["cost"]`), in files that are written part by part.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, DatasetError
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
    "cost": np.float32,
    "cost_reported": np.bool_,
}
_COSTS = ("cost", "cost_reported")  # absent from recordings of an older worldplan

_log = logging.getLogger(__name__)


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
        self._name = type(env.unwrapped).__name__ if env.spec is None else env.spec.id
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
        """Take the step and keep it; see `gymnasium.Env.step`.

        Raises:
            ConfigError: see `reported_cost`.
        """
        data = simulator(self.env)
        state = np.empty(0) if data is None else np.concatenate([data.qpos, data.qvel])
        following, reward, terminated, truncated, info = self.env.step(action)
        cost = reported_cost(info, self._name)
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
                0.0 if cost is None else cost,
                cost is not None,
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
            terminated, truncated, episode (rows,), state (rows, qpos + qvel), which is the state of
            the simulator before the step, of width 0 without a simulator, and cost and
            cost_reported (rows,): a cost is 0 where the environment reports none.

        Raises:
            DatasetError: the differences of the rewards or of the costs vanish in float32.
        """
        by_column = zip(*self._rows, strict=True)
        columns: dict[str, NDArray[Any]] = {
            name: np.array(column) for name, column in zip(_COLUMNS, by_column, strict=True)
        }
        check_single({name: columns[name] for name in ("reward", "cost")})
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
                return {name: file[name] for name in _COLUMNS if name in file or name not in _COSTS}
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

    Raises:
        DatasetError: the environment reports costs, and an older worldplan did not record them.
    """
    parts = _with_costs(parts)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS}
    ends = np.append(columns["episode"][1:] != columns["episode"][:-1], True)
    columns["truncated"] |= ends & ~columns["terminated"]
    return columns


def _with_costs(parts: Sequence[Mapping[str, NDArray[Any]]]) -> list[Mapping[str, NDArray[Any]]]:
    """The parts, all with the columns of costs.

    Raises:
        DatasetError: some parts have costs, and others lack the columns.
    """
    older = [number for number, part in enumerate(parts) if "cost" not in part]
    if older and any(part["cost_reported"].any() for part in parts if "cost" in part):
        raise DatasetError(
            f"part {older[0]} of this collection lacks the costs that the environment reports, as "
            "an older worldplan recorded it: collect again with --fresh, or with another --folder"
        )
    return [
        part if "cost" in part else {**part, **_no_costs(len(part["reward"]))} for part in parts
    ]


def _no_costs(rows: int) -> dict[str, NDArray[Any]]:
    return {name: np.zeros(rows, _COLUMNS[name]) for name in _COSTS}


def reported_cost(info: Mapping[str, Any], name: str) -> float | None:
    """The cost of a step, `info["cost"]`; None where there is none.

    Args:
        info: of the step.
        name: of the environment, for messages.

    Raises:
        ConfigError: it is no single number, or negative, or not finite in float32.
    """
    if "cost" not in info:
        return None
    value = info["cost"]
    try:
        number = np.asarray(value)
        single = not number.shape and number.dtype.kind in "biuf"
        cost = float(number) if single else math.nan
    except Exception:  # of a value that NumPy does not read
        cost = math.nan
    if not 0 <= cost <= np.finfo(np.float32).max:
        raise ConfigError(
            f"environment '{name}': step: info['cost'] is {checks.shown(value)}, and it is "
            "recorded as the cost of the step: return one finite number of at least 0, or remove "
            "it in a wrapper of your own (--wrappers '[my_module:NoCost]')"
        )
    return cost


def as_transitions(columns: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> Transitions:
    """The columns of a recording as a dataset.

    Args:
        columns: name -> (rows, ...), as from `Recorder.take`; a state of width 0, and costs that
            are reported on no step, are left out.
        metadata: of the dataset.
    """
    state = columns["state"] if columns["state"].shape[1] else None
    reported = columns["cost_reported"]
    if 0 < reported.sum() < len(reported):
        _log.warning(
            "the environment reports a cost on %d of %d steps: the others have cost 0",
            reported.sum(),
            len(reported),
        )
    return Transitions(
        **{name: columns[name] for name in _COLUMNS if name not in ("state", *_COSTS)},
        state=state,
        metadata=metadata,
        cost=columns["cost"] if reported.any() else None,
    )
