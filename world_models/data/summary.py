"""What a Minari dataset of whole episodes holds, found one episode at a time, so that images need
not fit into memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.world_models.data.demonstrations import KIND, succeeded
from worldplan.world_models.data.episodes import columns_of
from worldplan.world_models.data.minari_files import metadata_of, open_minari, steps_of


@dataclass(frozen=True)
class Column:
    """What is stored under one name: type, shape per step, and the range over all steps and
    episodes (inf to -inf for texts).
    """

    dtype: str
    shape: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True)
class DemonstrationSummary:
    """Figures of a dataset.

    Args:
        lengths: (episodes,), steps.
        returns: (episodes,), undiscounted.
        success: (episodes,) bool.
        columns: observations, actions and the numbers among infos, by name.
        metadata: ours, or what Minari records.
    """

    lengths: np.ndarray
    returns: np.ndarray
    success: np.ndarray
    columns: dict[str, Column]
    metadata: dict[str, Any]


def holds_demonstrations(dataset_id: str) -> bool:
    """Whether a Minari dataset is one of whole episodes: written as demonstrations, or with
    observations that are not flat vectors.

    It is fetched from its hub where it is not on this machine; see `open_minari` for what is
    raised.
    """
    with open_minari(dataset_id) as (dataset, raw):
        space = dataset.observation_space
        return (
            metadata_of(dataset, raw).get("kind") == KIND
            or isinstance(space, gym.spaces.Dict)
            or len(space.shape or ()) > 1
        )


def summarise(dataset_id: str) -> DemonstrationSummary:
    """Read all episodes once. Raises DatasetError for damaged data; numbers that are not finite
    show in the ranges.
    """
    lengths, returns, success = [], [], []
    columns: dict[str, Column] = {}
    with open_minari(dataset_id) as (dataset, raw):
        for number, stored in enumerate(
            dataset.storage.get_episodes(range(dataset.total_episodes))
        ):
            observations = _arrays("observation", stored["observations"])
            lengths.append(steps_of(number, stored, observations))
            returns.append(float(np.sum(stored["rewards"], dtype=np.float64)))
            success.append(succeeded(stored))
            for name, column in (
                observations
                | _arrays("action", stored["actions"])
                | _numbers(stored["infos"] or {})
            ).items():
                columns[name] = _joined(columns.get(name), column)
        metadata = metadata_of(dataset, raw)
    return DemonstrationSummary(
        np.array(lengths), np.array(returns), np.array(success), columns, metadata
    )


def _arrays(name: str, value: Any) -> dict[str, np.ndarray]:
    """Arrays of a nested observation, by path."""
    found: dict[str, np.ndarray] = {}
    for key, part in (
        dict(enumerate(value)) if isinstance(value, tuple) else columns_of(value)
    ).items():
        path = name if key == "" else f"{name}/{key}"
        found |= (
            _arrays(path, part) if isinstance(part, Mapping | tuple) else {path: np.asarray(part)}
        )
    return found


def _numbers(infos: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {
        name: column
        for name, column in _arrays("infos", infos).items()
        if column.dtype.kind in "biuf"
    }


def _joined(before: Column | None, column: np.ndarray) -> Column:
    if column.dtype.kind not in "biuf" or not column.size:  # texts, or an episode without steps
        return before or Column(str(column.dtype), column.shape[1:], np.inf, -np.inf)
    low, high = column.min(), column.max()
    if before is not None:
        low, high = (
            np.minimum(low, before.low),
            np.maximum(high, before.high),
        )  # not min and max, which may lose a NaN
    return Column(str(column.dtype), column.shape[1:], float(low), float(high))
