"""Datasets of transitions: checked on construction, so that nothing behind this file has to doubt
them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import metadata as packages
from typing import Any

import numpy as np

from worldplan.milp.errors import DatasetError

# (ref_min, ref_max): 100 * (return - ref_min) / (ref_max - ref_min) is the D4RL score (Fu et al.
# 2020, constants of the D4RL package)
D4RL_REFERENCES = {
    "hopper": (-20.272305, 3234.3),
    "halfcheetah": (-280.178953, 12135.0),
    "walker2d": (1.629008, 4592.3),
    "ant": (-325.6, 3879.7),
}
_FLOAT32_NOISE = 1e-5  # next_observation[i] and observation[i + 1] may have been rounded separately
_DTYPES = {
    "reward": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "episode": np.int64,
    "state": np.float64,
}


@dataclass(frozen=True)
class Spread:
    """How the columns of an array are spread over all rows; each field is (columns,), float64."""

    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> Spread:
        """Spread of (n, columns)."""
        exact = rows.astype(np.float64)
        return cls(exact.mean(0), exact.std(0), exact.min(0), exact.max(0))


@dataclass(frozen=True)
class Statistics:
    """What `Transitions.statistics` finds.

    Args:
        observation, action: over all rows, (o,) and (a,).
        returns: (episodes,), undiscounted, float64.
        lengths: (episodes,), steps.
        terminations: episodes that ended by termination; all others were cut.
    """

    observation: Spread
    action: Spread
    returns: np.ndarray
    lengths: np.ndarray
    terminations: int


@dataclass(frozen=True)
class Transitions:
    """n steps of whole episodes, in time order within an episode.

    Args:
        observation: (n, o) float32.
        action: (n, a) float32, in the units of the environment.
        reward: (n,) float32.
        next_observation: (n, o) float32; the true one also in the last row of an episode.
        terminated: (n,) bool.
        truncated: (n,) bool; the last row of an episode that a time limit (or the end of the
            recording) cut. A row that is both is kept as terminated only.
        episode: (n,) int64; rows of one episode are neighbours.
        state: (n, s) float64, simulator state before the action, [qpos, qvel], or None.
        metadata: env_id, mujoco_version, qpos_size, seed, policy, ref_min_score, ref_max_score, ...
            (JSON values only).
    Raises DatasetError, naming the first bad row and column, where any of this does not hold.
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

    def __post_init__(self) -> None:
        for name in ARRAYS:
            if name != "state" or self.state is not None:
                object.__setattr__(self, name, _as_column(name, getattr(self, name)))
        object.__setattr__(self, "metadata", plain_metadata(self.metadata))
        object.__setattr__(self, "truncated", self.truncated & ~self.terminated)
        _check_shapes(self)
        _check_finite(self)
        _check_episodes(self)

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def last(self) -> np.ndarray:
        """(n,) bool: rows that end their episode."""
        return self.terminated | self.truncated

    @property
    def starts(self) -> np.ndarray:
        """(episodes,) int64: first row of every episode."""
        return np.flatnonzero(np.append(True, self.last[:-1]))

    def returns(self) -> np.ndarray:
        """(episodes,) float64: undiscounted return of every episode, in the order of the rows."""
        return np.add.reduceat(self.reward.astype(np.float64), self.starts)

    def lengths(self) -> np.ndarray:
        """(episodes,) int64: steps of every episode, in the order of the rows."""
        return np.diff(np.append(self.starts, len(self)))

    def statistics(self) -> Statistics:
        """Means, deviations and ranges of the columns; returns, lengths and terminations of the
        episodes.
        """
        return Statistics(
            Spread.of(self.observation),
            Spread.of(self.action),
            self.returns(),
            self.lengths(),
            int(self.terminated.sum()),
        )

    def select(self, rows: np.ndarray) -> Transitions:
        """Some of the rows: a mask (n,) or row numbers, which must keep whole episodes together."""
        columns = {
            name: getattr(self, name)[rows] for name in ARRAYS if getattr(self, name) is not None
        }
        return Transitions(**columns, metadata=self.metadata)

    def split(
        self, share: float, generator: np.random.Generator
    ) -> tuple[Transitions, Transitions]:
        """(train, validation): `share` of the episodes, drawn without replacement, go to
        validation; at least one to each part.

        Raises DatasetError when there is one episode only, or the share is not strictly between 0
        and 1.
        """
        count = len(self.starts)
        if not 0 < share < 1:
            raise DatasetError(
                f"a validation share of {share} leaves one part empty: choose one between 0 and 1"
            )
        if count < 2:
            raise DatasetError(
                "the data hold a single episode, which cannot be split into training and validation: collect more episodes"
            )
        chosen = np.zeros(count, dtype=bool)
        chosen[generator.permutation(count)[: min(max(round(share * count), 1), count - 1)]] = True
        validation = np.repeat(chosen, self.lengths())
        return self.select(~validation), self.select(validation)

    def where_return(self, low: float = -np.inf, high: float = np.inf) -> Transitions:
        """The episodes whose return lies in [low, high]. Raises DatasetError when there is none."""
        returns = self.returns()
        kept = (returns >= low) & (returns <= high)
        if not kept.any():
            raise DatasetError(
                f"no episode has a return in [{low}, {high}]: the returns run from {returns.min():.1f} to {returns.max():.1f}"
            )
        return self.select(np.repeat(kept, self.lengths()))

    def references(self) -> tuple[float, float]:
        """(ref_min, ref_max) of the metadata, else the D4RL constants of the environment. Raises
        DatasetError when neither is known.
        """
        low, high = self.metadata.get("ref_min_score"), self.metadata.get("ref_max_score")
        env_id = str(self.metadata.get("env_id", ""))
        if low is None or high is None:
            low, high = D4RL_REFERENCES.get(env_id.partition("-")[0].lower(), (None, None))
        if low is None or high is None or not high > low:
            raise DatasetError(
                f"no reference scores are known for environment '{env_id or 'unknown'}': store ref_min_score and ref_max_score "
                "(worldplan data collect --reference RETURN), or report plain returns"
            )
        return float(low), float(high)

    def normalised_score(self, returns: Any) -> np.ndarray:
        """100 * (return - ref_min) / (ref_max - ref_min), the score of Fu et al. 2020 (D4RL).
        Raises DatasetError without references.
        """
        low, high = self.references()
        return 100 * (np.asarray(returns, dtype=np.float64) - low) / (high - low)

    def require_physics(self, env_id: str) -> tuple[str, ...]:
        """Check that stepping `env_id` here is the physics the data were made with; returns what
        the data do not record.

        Raises DatasetError when the environment, its version (v4 and v5 of Walker2d differ in
        friction) or the installed
        mujoco (major.minor) differs from the metadata.
        """
        recorded = {
            key: str(self.metadata[key])
            for key in ("env_id", "mujoco_version")
            if self.metadata.get(key)
        }
        made_with = recorded.get("env_id", env_id)
        if made_with.rpartition(":")[2] != env_id.rpartition(":")[2]:
            raise DatasetError(
                f"the data were made in {made_with}, whose physics is not that of {env_id}: use {made_with}"
            )
        if "mujoco_version" in recorded:
            installed = packages.version("mujoco")
            if installed.split(".")[:2] != recorded["mujoco_version"].split(".")[:2]:
                raise DatasetError(
                    f"the data were made with mujoco {recorded['mujoco_version']}, but {installed} is installed: "
                    f"install mujoco {recorded['mujoco_version']}, or collect the data again"
                )
        return tuple(key for key in ("env_id", "mujoco_version") if key not in recorded)


ARRAYS = tuple(entry.name for entry in fields(Transitions) if entry.name != "metadata")


def concatenate(parts: Sequence[Transitions]) -> Transitions:
    """All episodes of several datasets of one environment, e.g. medium and expert; episodes are
    numbered anew.

    Metadata that all parts share are kept, the full ones of each part under "parts". States are
    kept when all parts have them. Raises DatasetError when the sizes, the environment or the
    physics differ.
    """
    if not parts:
        raise DatasetError("no datasets to join: give at least one")
    for key in ("env_id", "mujoco_version"):
        found = {str(part.metadata[key]) for part in parts if key in part.metadata}
        if len(found) > 1:
            raise DatasetError(
                f"datasets with different {key} cannot be joined: {', '.join(sorted(found))}"
            )
    for name in ("observation", "action"):
        sizes = sorted({getattr(part, name).shape[1] for part in parts})
        if len(sizes) > 1:
            raise DatasetError(f"datasets with different {name} sizes cannot be joined: {sizes}")
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ARRAYS
        if name not in ("episode", "state")
    }
    states = [part.state for part in parts if part.state is not None]
    counts = np.concatenate([part.lengths() for part in parts])
    shared = {
        key: value
        for key, value in parts[0].metadata.items()
        if all(key in part.metadata and part.metadata[key] == value for part in parts)
    }
    return Transitions(
        **columns,
        episode=np.repeat(np.arange(len(counts)), counts),
        state=np.concatenate(states) if len(states) == len(parts) else None,
        metadata=shared
        if len(parts) == 1
        else shared | {"parts": [dict(part.metadata) for part in parts]},
    )


def plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata out of JSON values only. Raises DatasetError for anything JSON cannot hold."""

    def scalar(value: Any) -> Any:
        if hasattr(value, "tolist"):  # numpy
            return value.tolist()
        raise TypeError(f"a {type(value).__name__}")

    try:
        return dict(json.loads(json.dumps(dict(metadata), default=scalar)))
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"the metadata hold {error}: keep to numbers, texts, lists and mappings"
        ) from error


# --- checks ---------------------------------------------------------------------------------------


def _as_column(name: str, value: Any) -> np.ndarray:
    if value is None:
        raise DatasetError(
            f"{name} is missing: every row needs one, the last row of an episode too"
        )
    dtype = _DTYPES.get(name, np.float32)
    try:
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # numbers too large for float32 are reported by row, further down
            return np.ascontiguousarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"{name} does not hold numbers in rows of one length: {error}"
        ) from error


def _check_shapes(data: Transitions) -> None:
    count = len(data.reward) if data.reward.ndim else 0
    if not count:
        raise DatasetError("the data hold no transition: check the source, or collect again")
    for name in ARRAYS:
        column = getattr(data, name)
        if column is None:
            continue
        wide = name in ("observation", "action", "next_observation", "state")
        if column.ndim != (2 if wide else 1):
            raise DatasetError(
                f"{name} has shape {column.shape}, but needs {'(rows, size)' if wide else '(rows,)'}"
            )
        if len(column) != count:
            raise DatasetError(
                f"{name} has {len(column)} rows, but reward has {count}: one of them was cut off"
            )
        if wide and column.shape[1] == 0:
            raise DatasetError(f"{name} has no columns: transitions need at least one")
    if data.observation.shape != data.next_observation.shape:
        raise DatasetError(
            f"observation has {data.observation.shape[1]} columns, but next_observation has {data.next_observation.shape[1]}"
        )


def _check_finite(data: Transitions) -> None:
    for name in ("observation", "action", "reward", "next_observation", "state"):
        column = getattr(data, name)
        if column is None or np.isfinite(column).all():
            continue
        row, *place = np.argwhere(~np.isfinite(column))[0].tolist()
        where = f"{name}[{place[0]}]" if place else name
        raise DatasetError(
            f"row {row}, column {where}: {column[(row, *place)]} is not a usable number: remove the episode or collect again"
        )


def _check_episodes(data: Transitions) -> None:
    change = np.append(
        data.episode[1:] != data.episode[:-1], True
    )  # (n,): the row is the last one with its number
    if change.sum() != len(np.unique(data.episode)):
        firsts = np.append(
            0, np.flatnonzero(change)[:-1] + 1
        )  # first row of every run of one number
        _, new = np.unique(data.episode[firsts], return_index=True)
        row = int(np.delete(firsts, new)[0])
        raise DatasetError(
            f"row {row}, column episode: episode {data.episode[row]} is back after another one: sort the rows by episode and time"
        )
    for name in ("terminated", "truncated"):
        early = np.flatnonzero(getattr(data, name) & ~change)
        if len(early):
            row = int(early[0])
            raise DatasetError(
                f"row {row}, column {name}: set, but episode {data.episode[row]} goes on in row {row + 1}"
            )
    open_ends = np.flatnonzero(change & ~data.last)
    if len(open_ends):
        row = int(open_ends[0])
        raise DatasetError(
            f"row {row}: episode {data.episode[row]} ends here, but neither terminated nor truncated is set"
        )
    follows = np.isclose(
        data.next_observation[:-1], data.observation[1:], rtol=_FLOAT32_NOISE, atol=_FLOAT32_NOISE
    )
    broken = np.argwhere(~follows & ~change[:-1, None])
    if len(broken):
        row, place = broken[0].tolist()
        raise DatasetError(
            f"row {row}, column next_observation[{place}]: {data.next_observation[row, place]} is not the observation of row {row + 1} "
            f"({data.observation[row + 1, place]}), though both are in episode {data.episode[row]}"
        )
