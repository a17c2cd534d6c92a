"""Datasets of transitions, which are checked on construction: code that takes `Transitions` need
not check again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib import metadata as packages
from typing import Any

import numpy as np

from worldplan.envs.spec import EnvironmentSpec
from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.checks import (
    as_column,
    check_costs,
    check_episodes,
    check_finite,
    check_metadata,
    check_shapes,
)
from worldplan.world_models.data.environment import (
    ENVIRONMENT,
    EVALUATION,
    common_environment,
    data_environment,
)
from worldplan.world_models.data.on_disk.rows import chunks
from worldplan.world_models.data.precision import check_single, needs_double
from worldplan.world_models.data.references import references_of


@dataclass(frozen=True)
class Spread:
    """Mean, standard deviation, least and greatest value of each column of an array over its rows;
    each field is (columns,) float64.
    """

    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> Spread:
        """The spread of `rows` (n, columns), read in two passes over parts."""
        mean, square = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
        for part in chunks(len(rows)):
            mean += rows[part].sum(0, dtype=np.float64) / len(rows)
        for part in chunks(len(rows)):
            square += np.square(rows[part] - mean).sum(0) / len(rows)
        low, high = (limit(0).astype(np.float64) for limit in (rows.min, rows.max))
        return cls(mean, np.sqrt(square), low, high)


@dataclass(frozen=True)
class Statistics:
    """Statistics of a dataset, see `Transitions.statistics`.

    Args:
        observation: spread of the observations over all rows.
        action: spread of the actions over all rows.
        returns: (episodes,) float64, undiscounted.
        lengths: (episodes,) steps.
        terminations: number of episodes that terminated; all others were truncated.
    """

    observation: Spread
    action: Spread
    returns: np.ndarray
    lengths: np.ndarray
    terminations: int


@dataclass(frozen=True)
class Transitions:
    """n steps of whole episodes, in time order within each episode.

    Args:
        observation: (n, o) float32; float64 where the source has it and float32 would lose a
            column, see `worldplan.world_models.data.precision`.
        action: (n, a) float32, in the units of the environment.
        reward: (n,) float32.
        next_observation: (n, o), of the same type; also the true one in the last row of an episode.
        terminated: (n,) bool.
        truncated: (n,) bool; true in the last row of an episode that a time limit or the end of
            the recording ended. A row that is terminated too counts as terminated only.
        episode: (n,) int64; the rows of an episode are neighbours.
        state: (n, s) float64, simulator state [qpos, qvel] before the action, or None.
        metadata: JSON values only: env_id, environment (see
            `worldplan.world_models.data.environment`), mujoco_version, qpos_size, seed, policy,
            ref_min_score, ref_max_score, ...
        cost: (n,) float32, at least 0, the cost of each step in a task with a safety constraint, or
            None.

    Raises:
        DatasetError: names the first row and column where any of this does not hold.
    """

    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_observation: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    episode: np.ndarray
    state: np.ndarray | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    cost: np.ndarray | None = None

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("action", "reward", "cost")}
        doubles = OBSERVATIONS if needs_double(*map(self.__getattribute__, OBSERVATIONS)) else ()
        for name in ARRAYS:
            if name not in OPTIONAL or getattr(self, name) is not None:
                column = as_column(name, getattr(self, name), double=name in doubles)
                object.__setattr__(self, name, column)
        object.__setattr__(self, "metadata", plain_metadata(self.metadata))
        object.__setattr__(self, "truncated", self.truncated & ~self.terminated)
        check_shapes(self)
        check_metadata(self.metadata, self.state)
        check_finite(self)
        check_single(given)
        check_costs(self)
        check_episodes(self)

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns, in memory or on disk."""
        columns = [getattr(self, name) for name in ARRAYS]
        return sum(column.nbytes for column in columns if column is not None)

    @property
    def last(self) -> np.ndarray:
        """(n,) bool: whether a row ends its episode."""
        last: np.ndarray = self.terminated | self.truncated
        return last

    @property
    def starts(self) -> np.ndarray:
        """(episodes,) int64: first row of every episode."""
        return np.flatnonzero(np.append(True, self.last[:-1]))

    def returns(self) -> np.ndarray:
        """(episodes,) float64: undiscounted return of every episode, in the order of the rows."""
        returns: np.ndarray = np.add.reduceat(self.reward.astype(np.float64), self.starts)
        return returns

    def lengths(self) -> np.ndarray:
        """(episodes,) int64: steps of every episode, in the order of the rows."""
        lengths: np.ndarray = np.diff(np.append(self.starts, len(self)))
        return lengths

    def statistics(self) -> Statistics:
        """Spread of the columns (o,) and (a,); returns and lengths (episodes,); terminations."""
        return Statistics(
            Spread.of(self.observation),
            Spread.of(self.action),
            self.returns(),
            self.lengths(),
            int(self.terminated.sum()),
        )

    def select(self, rows: np.ndarray) -> Transitions:
        """The rows in `rows`: a mask (n,) or row numbers, which select whole episodes.

        Raises:
            DatasetError: an episode is selected in part only, so that it no longer ends.
        """
        columns = {
            name: getattr(self, name)[rows] for name in ARRAYS if getattr(self, name) is not None
        }
        return Transitions(**columns, metadata=self.metadata)

    def split(
        self, share: float, generator: np.random.Generator
    ) -> tuple[Transitions, Transitions]:
        """(train, validation), of whole episodes; each part gets at least one.

        Args:
            share: of the episodes that go to validation, drawn without replacement.
            generator: source of the random numbers.

        Raises:
            DatasetError: there is a single episode, or `share` is not strictly between 0 and 1.
        """
        count = len(self.starts)
        if not 0 < share < 1:
            raise DatasetError(
                f"a validation share of {share} leaves a part empty: choose one between 0 and 1"
            )
        if count < 2:
            raise DatasetError(
                "the data hold a single episode, which cannot be split into training and "
                "validation: collect more episodes"
            )
        size = min(max(round(share * count), 1), count - 1)
        chosen = np.zeros(count, dtype=bool)
        chosen[generator.permutation(count)[:size]] = True
        validation = np.repeat(chosen, self.lengths())
        return self.select(~validation), self.select(validation)

    @property
    def environment(self) -> EnvironmentSpec | None:
        """The environment that the data were made in; of older data, its id alone."""
        return data_environment(self.metadata)

    def references(self) -> tuple[float, float]:
        """(ref_min, ref_max): from the metadata, else the D4RL constants of the environment if it
        is one of theirs, with its registered arguments.

        Raises:
            DatasetError: neither is known.
        """
        low, high = self.metadata.get("ref_min_score"), self.metadata.get("ref_max_score")
        env_id = str(self.metadata.get("env_id", ""))
        if low is None or high is None:
            low, high = references_of(self.environment)
        if low is None or high is None or not high > low:
            raise DatasetError(
                f"no reference scores are known for environment '{env_id or 'unknown'}': "
                "store ref_min_score and ref_max_score "
                "(worldplan data collect --reference RETURN), or report plain returns"
            )
        return float(low), float(high)

    def normalised_score(self, returns: Any) -> np.ndarray:
        """100 * (return - ref_min) / (ref_max - ref_min), the score of D4RL (Fu et al. 2020).

        Args:
            returns: undiscounted, a scalar or an array (episodes,).

        Raises:
            DatasetError: no reference scores are known.
        """
        low, high = self.references()
        return 100 * (np.asarray(returns, dtype=np.float64) - low) / (high - low)

    def require_physics(self, env_id: str) -> tuple[str, ...]:
        """Check that `env_id` has, on this machine, the physics with which the data were made;
        returns which of "env_id" and "mujoco_version" the metadata do not record.

        Raises:
            DatasetError: the environment, its version (Walker2d-v4 and -v5 differ in friction), or
                the major or minor version of mujoco differs from the metadata.
        """
        recorded = {
            key: str(self.metadata[key])
            for key in ("env_id", "mujoco_version")
            if self.metadata.get(key)
        }
        made_with = recorded.get("env_id", env_id)
        if made_with.rpartition(":")[2] != env_id.rpartition(":")[2]:
            raise DatasetError(
                f"the data were made in {made_with}, whose physics is not that of {env_id}: "
                f"use {made_with}"
            )
        if "mujoco_version" in recorded:
            installed, needed = packages.version("mujoco"), recorded["mujoco_version"]
            if installed.split(".")[:2] != needed.split(".")[:2]:
                raise DatasetError(
                    f"the data were made with mujoco {needed}, but {installed} is installed: "
                    f"install mujoco {needed}, or collect the data again"
                )
        return tuple(key for key in ("env_id", "mujoco_version") if key not in recorded)


MATRICES = ("observation", "action", "next_observation", "state")
OBSERVATIONS = ("observation", "next_observation")
OPTIONAL = ("state", "cost")  # columns that a dataset may lack
ARRAYS = tuple(entry.name for entry in fields(Transitions) if entry.name != "metadata")


def concatenate(parts: Sequence[Transitions]) -> Transitions:
    """All episodes of several datasets of one environment, such as medium and expert, numbered
    from 0.

    Metadata that are equal in all parts are kept, and those of each part under "parts". States are
    kept if all parts have them.

    Raises:
        DatasetError: the parts differ in sizes, environment or version of mujoco, only some have
            costs, or there is none.
    """
    if not parts:
        raise DatasetError("no datasets to join: give at least one")
    shared_environment = common_environment([part.metadata for part in parts])
    for key in ("env_id", "mujoco_version", EVALUATION):
        values = {str(part.metadata[key]) for part in parts if key in part.metadata}
        if len(values) > 1:
            raise DatasetError(
                f"datasets with different {key} cannot be joined: {', '.join(sorted(values))}"
            )
    for name in ("observation", "action"):
        sizes = sorted({getattr(part, name).shape[1] for part in parts})
        if len(sizes) > 1:
            raise DatasetError(f"datasets with different {name} sizes cannot be joined: {sizes}")
    counts = np.concatenate([part.lengths() for part in parts])
    episode = np.repeat(np.arange(len(counts)), counts)
    known = {} if shared_environment is None else {ENVIRONMENT: shared_environment}
    if len(parts) == 1:  # its arrays may be larger than memory
        return replace(parts[0], episode=episode, metadata={**parts[0].metadata, **known})
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ARRAYS
        if name not in ("episode", *OPTIONAL)
    }
    states = [part.state for part in parts if part.state is not None]
    costs = [part.cost for part in parts if part.cost is not None]
    if 0 < len(costs) < len(parts):
        raise DatasetError(
            f"{len(costs)} of {len(parts)} datasets have a cost column: join those with costs, or "
            "those without"
        )
    shared = {
        key: value
        for key, value in parts[0].metadata.items()
        if all(key in part.metadata and part.metadata[key] == value for part in parts)
    }
    shared |= known
    shared["parts"] = [dict(part.metadata) for part in parts]
    shared.pop("settings", None)  # `data collect` compares them: they do not make this dataset
    return Transitions(
        **columns,
        episode=episode,
        state=np.concatenate(states) if len(states) == len(parts) else None,
        cost=np.concatenate(costs) if costs else None,
        metadata=shared,
    )


def plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The same metadata as JSON values; numpy arrays and scalars become lists and numbers.

    Raises:
        DatasetError: a value is none of these.
    """

    def scalar(value: Any) -> Any:
        if hasattr(value, "tolist"):  # numpy
            return value.tolist()
        raise TypeError(f"a {type(value).__name__}")

    try:
        return dict(json.loads(json.dumps(dict(metadata), default=scalar)))
    except (TypeError, ValueError, RecursionError) as error:
        raise DatasetError(
            f"the metadata hold {error}: keep to numbers, texts, lists and mappings"
        ) from error


def episode_numbers(ends: np.ndarray) -> np.ndarray:
    """(n,) int: the episode of every row, from `ends` (n,) bool, which marks the last rows."""
    numbers: np.ndarray = np.cumsum(ends) - ends
    return numbers
