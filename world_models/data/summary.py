"""Summary of a Minari dataset of whole episodes, which are read in turn so that images need not fit
into memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.world_models.data.demonstration_checks import KIND
from worldplan.world_models.data.demonstrations import succeeded
from worldplan.world_models.data.episodes import columns_of
from worldplan.world_models.data.minari_files import metadata_of, open_minari, steps_of


@dataclass(frozen=True)
class Column:
    """A stored column: type, shape per step, and the range over all steps of all episodes (inf to
    -inf for texts).
    """

    dtype: str
    shape: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True)
class DemonstrationSummary:
    """Summary of a dataset of episodes.

    Args:
        lengths: (episodes,) steps.
        returns: (episodes,) undiscounted.
        success: (episodes,) bool.
        columns: observations, actions and the numeric infos, by name.
        metadata: those that worldplan stored, else those that Minari records.
    """

    lengths: np.ndarray
    returns: np.ndarray
    success: np.ndarray
    columns: dict[str, Column]
    metadata: dict[str, Any]


def holds_demonstrations(dataset_id: str) -> bool:
    """Whether a Minari dataset holds demonstrations rather than transitions: `save_demonstrations`
    wrote it, or its observations are not flat vectors.

    A dataset that is not on this machine is downloaded from its hub.

    Raises:
        DatasetError: the dataset cannot be downloaded or read.
    """
    with open_minari(dataset_id) as (dataset, raw):
        space = dataset.observation_space
        return (
            metadata_of(dataset, raw).get("kind") == KIND
            or isinstance(space, gym.spaces.Dict)
            or len(space.shape or ()) > 1
        )


def summarise(dataset_id: str) -> DemonstrationSummary:
    """Read all episodes and summarise them; numbers that are not finite appear in the ranges.

    Raises:
        DatasetError: the dataset cannot be downloaded or read.
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
    """The arrays of a nested observation by path, such as observation/image."""
    arrays: dict[str, np.ndarray] = {}
    parts = dict(enumerate(value)) if isinstance(value, tuple) else columns_of(value)
    for key, part in parts.items():
        path = name if key == "" else f"{name}/{key}"
        nested = isinstance(part, Mapping | tuple)
        arrays |= _arrays(path, part) if nested else {path: np.asarray(part)}
    return arrays


def _numbers(infos: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The numeric arrays among the infos."""
    return {
        name: column
        for name, column in _arrays("infos", infos).items()
        if column.dtype.kind in "biuf"
    }


def _joined(before: Column | None, column: np.ndarray) -> Column:
    """The column of all episodes so far, `before` extended by that of another episode."""
    if column.dtype.kind not in "biuf" or not column.size:  # texts, or an episode without steps
        return before or Column(str(column.dtype), column.shape[1:], np.inf, -np.inf)
    low, high = column.min(), column.max()
    if before is not None:  # np.minimum keeps a NaN, which min() may lose
        low, high = np.minimum(low, before.low), np.maximum(high, before.high)
    return Column(str(column.dtype), column.shape[1:], float(low), float(high))
