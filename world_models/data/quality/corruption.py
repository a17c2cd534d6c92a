"""Corruption of a dataset for studies of robustness, after Yang et al. 2024 ("Towards robust
offline reinforcement learning under diverse data corruption", RIQL).

A random share of the rows is corrupted. With e drawn uniformly from [-scale, scale] for each number
and the standard deviation of its column in the whole dataset:

* noise-observations: s + e std(s). A sensor reading: the row before, of which it is the next
  observation, has the same number. (RIQL changes s alone.)
* noise-actions: a + e std(a), cut to the bounds of the actions where the metadata record them.
* noise-rewards: r + e std(r).
* noise-dynamics: s' + e std(s') in this row alone, as in RIQL. The next row begins with the true
  observation, so the episode is cut there: this row is truncated and another episode begins.
* random-rewards: 30 e in the place of r, as in RIQL.
* adversarial-rewards: -scale r, as in RIQL.
* shuffle-rewards: the rewards of the rows in random order.
* drop: the rows are left out; the row before is truncated. Terminated rows stay.

Rows that terminate go on doing so. RIQL's adversarial observations, actions and dynamics need the
gradient of a trained critic and are not made here. Simulator states stay the true ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.settings_check import check_fields
from worldplan.nearest import did_you_mean
from worldplan.world_models.data.on_disk.rows import require_in_memory
from worldplan.world_models.data.transitions import ARRAYS, Transitions, episode_numbers

KINDS = (
    "noise-observations",
    "noise-actions",
    "noise-rewards",
    "noise-dynamics",
    "random-rewards",
    "adversarial-rewards",
    "shuffle-rewards",
    "drop",
)
_REWARD_RANGE = 30.0  # of random-rewards at scale 1


@dataclass(frozen=True)
class Corruption:
    """What is corrupted.

    Args:
        kind: one of KINDS.
        share: of the rows, above 0 and at most 1.
        scale: of the noise, in standard deviations of a column; see the kinds.
        seed: of rows and noise.

    Raises:
        ConfigError: an unknown kind, or a number out of range.
    """

    kind: str
    share: float = 0.3
    scale: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.kind not in KINDS:
            near = did_you_mean(str(self.kind), KINDS)
            raise ConfigError(f"unknown kind '{self.kind}'{near}: choose from {', '.join(KINDS)}")
        if not 0 < self.share <= 1:
            raise ConfigError(f"share is {self.share}: give a number above 0 and at most 1")
        if not 0 < self.scale < 1e6:
            raise ConfigError(f"scale is {self.scale}: give a number above 0 and below 1e6")
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}: give 0 or more")


def corrupt(data: Transitions, corruption: Corruption) -> Transitions:
    """A corrupted copy of a dataset, which records the corruption in its metadata.

    Args:
        data: the transitions; may be corrupted already.
        corruption: what to corrupt.

    Raises:
        DatasetError: no row is left, the share is less than half a row, or the data do not fit into
            memory.
    """
    require_in_memory(data, "it is corrupted")
    generator = np.random.default_rng([corruption.seed, KINDS.index(corruption.kind)])
    candidates = np.arange(len(data))
    if corruption.kind == "drop":
        candidates = np.flatnonzero(~data.terminated)
    count = round(corruption.share * len(candidates))
    if not count:
        raise DatasetError(
            f"a share of {corruption.share} of {len(candidates)} rows is no row: give a larger one"
        )
    rows = np.sort(generator.choice(candidates, count, replace=False))
    columns = {
        name: getattr(data, name).copy() for name in ARRAYS if getattr(data, name) is not None
    }
    if corruption.kind == "drop":
        columns = _without(columns, rows)
    elif corruption.kind.endswith("rewards"):
        columns["reward"][rows] = _rewards(columns["reward"], rows, corruption, generator)
    else:
        _add_noise(columns, rows, corruption, generator, data.metadata)
    metadata = {key: value for key, value in data.metadata.items() if key != "settings"}
    before = metadata.get("corruption", [])
    metadata["corruption"] = [
        *(before if isinstance(before, list) else [before]),
        {**vars(corruption), "rows": count},
    ]
    return Transitions(**columns, metadata=metadata)


def _rewards(
    reward: np.ndarray, rows: np.ndarray, corruption: Corruption, generator: np.random.Generator
) -> np.ndarray:
    """The rewards (count,) of the corrupted `rows` (count,), from all rewards (n,)."""
    old: np.ndarray = reward[rows].astype(np.float64)
    if corruption.kind == "shuffle-rewards":
        return generator.permutation(old)
    if corruption.kind == "adversarial-rewards":
        reversed_rewards: np.ndarray = -corruption.scale * old
        return reversed_rewards
    noise = generator.uniform(-corruption.scale, corruption.scale, len(rows))
    if corruption.kind == "random-rewards":
        drawn: np.ndarray = _REWARD_RANGE * noise
        return drawn
    result: np.ndarray = old + noise * reward.std(dtype=np.float64)
    return result


def _add_noise(
    columns: dict[str, np.ndarray],
    rows: np.ndarray,
    corruption: Corruption,
    generator: np.random.Generator,
    metadata: Mapping[str, Any],
) -> None:
    """Add noise to the corrupted `rows` (count,) of the `columns` (n, ...), in place."""
    kinds = {"observations": "observation", "actions": "action", "dynamics": "next_observation"}
    name = kinds[corruption.kind.removeprefix("noise-")]
    column = columns[name]
    noise = generator.uniform(-corruption.scale, corruption.scale, (len(rows), column.shape[1]))
    noisy = column[rows] + noise * column.std(0, dtype=np.float64)
    if name == "action":
        noisy = _within_bounds(noisy, metadata)
    column[rows] = noisy
    ends = columns["terminated"] | columns["truncated"]
    if name == "observation":
        follows = rows[(rows > 0) & ~ends[rows - 1]]  # not the first rows of episodes
        columns["next_observation"][follows - 1] = column[follows]
    elif name == "next_observation":
        columns["truncated"][rows[~ends[rows]]] = True
        columns["episode"] = episode_numbers(columns["terminated"] | columns["truncated"])


def _within_bounds(action: np.ndarray, metadata: Mapping[str, Any]) -> np.ndarray:
    """The actions (count, a) cut to the bounds in the metadata, if these fit them."""
    low, high = (
        np.asarray(bound if (bound := metadata.get(key)) is not None else default, np.float64)
        for key, default in (("action_low", -np.inf), ("action_high", np.inf))
    )
    shapes = {low.shape, high.shape} - {(), action.shape[1:]}
    if shapes or not (low <= high).all():
        return action
    clipped: np.ndarray = np.clip(action, low, high)
    return clipped


def _without(columns: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """The columns (n, ...) without `rows` (count,); the row before a gap is truncated.

    Raises:
        DatasetError: no row is left.
    """
    kept = np.ones(len(columns["reward"]), dtype=bool)
    kept[rows] = False
    if not kept.any():
        raise DatasetError("no row would be left: give a smaller share")
    ends = columns["terminated"] | columns["truncated"]
    before = rows[rows > 0] - 1
    columns["truncated"][before[~ends[before]]] = True
    columns["episode"] = episode_numbers(columns["terminated"] | columns["truncated"])
    return {name: column[kept] for name, column in columns.items()}
