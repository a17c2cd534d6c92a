"""Arm dynamics given as CSV tables, or estimated from a log of observed moves with a Dirichlet
posterior.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints
from worldplan.milp.errors import ConfigError, DatasetError

Path = str | os.PathLike[str]
LARGEST = 9_999  # largest state or action number; anything above is taken for a typing error


@dataclass(frozen=True)
class ArmTables:
    """Dynamics read from tables, and the arms' ids in the order of the arrays."""

    dynamics: ArmDynamics
    arm_names: tuple[str, ...]


@dataclass(frozen=True)
class ArmLog:
    """Observed moves, counted.

    Args:
        counts: (arms, actions, states, states); `counts[j, k, s, t]` moves of arm `j` from `s` to
            `t` under action `k`.
        reward: (arms, states), earned in the state moved to.
    """

    counts: Ints
    reward: Floats
    arm_names: tuple[str, ...]

    def posterior(
        self, prior_strength: float = 2.0, concentration: Floats | None = None
    ) -> ArmPosterior:
        """Posterior of every law: Dirichlet with parameters prior + counts (conjugate; Gelman et
        al., BDA3, 3.4).

        The default prior of arm `j`, action `k`, state `s` weighs `prior_strength` observations and
        has the mean (n + 1) / (sum(n) + states), where `n` counts the moves of *all* arms from `s`
        under `k`: the pooled law mixed with a uniform one. Arms seen rarely borrow from the others,
        arms seen often speak for themselves. (The pooled law contains the arm's own moves, so with
        very few arms the posterior is a little too sure.) `concentration`, broadcastable to (arms,
        actions, states, states), replaces that prior. Raises ConfigError unless the prior is
        positive and finite.
        """
        if concentration is None:
            if not (prior_strength > 0 and np.isfinite(prior_strength)):
                raise ConfigError(
                    f"prior_strength is {prior_strength:g}: give a positive number of observations, such as 2"
                )
            pooled = self.counts.sum(0) + 1.0
            concentration = prior_strength * pooled / pooled.sum(-1, keepdims=True)
        prior = np.asarray(concentration, dtype=float)
        if not (np.isfinite(prior).all() and (prior > 0).all()):
            raise ConfigError(
                "the prior concentration holds values that are not positive and finite: give positive numbers"
            )
        return ArmPosterior(prior + self.counts, self.reward, self.arm_names)


@dataclass(frozen=True)
class ArmPosterior:
    """Independent Dirichlet laws over next states.

    Args:
        concentration: (arms, actions, states, states), positive.
        reward: (arms, states).
    """

    concentration: Floats
    reward: Floats
    arm_names: tuple[str, ...]

    def mean(self) -> ArmDynamics:
        """Dynamics with the posterior mean of every law."""
        return ArmDynamics(
            self.concentration / self.concentration.sum(-1, keepdims=True), self.reward
        )

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Central intervals of every probability, two arrays (arms, actions, states, states), from
        the Beta marginals.
        """
        if not 0 < level < 1:
            raise ConfigError(
                f"interval level is {level:g}: give a number between 0 and 1, such as 0.95"
            )
        if self.concentration.shape[-1] == 1:
            return np.ones_like(self.concentration), np.ones_like(self.concentration)
        rest = self.concentration.sum(-1, keepdims=True) - self.concentration
        low, high = stats.beta.interval(level, self.concentration, rest)
        return low, high

    def sample(self, members: int, generator: np.random.Generator) -> list[ArmDynamics]:
        """`members` draws of the whole dynamics (normalised gamma variates)."""
        draws = (
            generator.standard_gamma(self.concentration, size=(members, *self.concentration.shape))
            + 1e-300
        )
        return [ArmDynamics(draw, self.reward) for draw in draws / draws.sum(-1, keepdims=True)]


def read_tables(transitions_csv: Path, rewards_csv: Path) -> ArmTables:
    """Dynamics from a table of transitions (arm, state, action, next_state, probability) and one of
    rewards (arm, state, reward).

    Transitions that are not listed have probability 0. Arms are ordered as they first appear in the
    rewards file; ids are text. Raises DatasetError naming file, line and remedy for any gap,
    duplicate or bad number.
    """
    reward, names = _read_rewards(rewards_csv)
    states = reward.shape[1]
    table = _Table(transitions_csv, ("arm", "state", "action", "next_state", "probability"))
    arm, state, action, target = table.moves(names, states)
    probability = table.numbers("probability")
    table.refuse(
        probability < 0,
        lambda i: f"probability {probability[i]:g} is negative",
        "give a number from 0 to 1",
    )
    actions = max(2, int(action.max()) + 1)
    law = (arm * actions + action) * states + state
    table.refuse_repeats(
        law * states + target, "this arm, state, action and next_state", "keep one of the rows"
    )
    missing = _first_gap(law, len(names) * actions * states)
    if missing is not None:
        pair, s = divmod(missing, states)
        j, k = divmod(pair, actions)
        raise DatasetError(
            f"{table.path}: arm '{names[j]}', state {s}, action {k} has no rows: add its probabilities (they must sum to 1)"
        )
    total = np.bincount(law, probability)
    table.refuse(
        np.abs(total[law] - 1) > 1e-6,
        lambda i: (
            f"arm '{names[arm[i]]}', state {state[i]}, action {action[i]}: probabilities sum to {total[law[i]]:.6g}"
        ),
        "they must sum to 1",
    )
    transition = np.zeros((len(names), actions, states, states))
    transition[arm, action, state, target] = probability / total[law]
    return ArmTables(ArmDynamics(transition, reward), names)


def read_states(csv: Path, arm_names: tuple[str, ...], states: int) -> Ints:
    """Present state of every arm, (arms,), from a table (arm, state) in any order that names each
    arm once.
    """
    table = _Table(csv, ("arm", "state"))
    arm, state = table.arms(arm_names), table.integers("state", states)
    table.refuse_repeats(arm, "this arm", "keep one row per arm")
    missing = _first_gap(arm, len(arm_names))
    if missing is not None:
        raise DatasetError(
            f"{table.path}: arm '{arm_names[missing]}' has no row: add its present state"
        )
    result = np.empty(len(arm_names), np.int64)
    result[arm] = state
    return result


def read_log(csv: Path, rewards_csv: Path, *, levels: int | None = None) -> ArmLog:
    """Count a log of moves (arm, state, action, next_state), one row per arm and step; other
    columns are ignored.

    The rewards file fixes arms and states as in `read_tables`. `levels` is the number of actions
    per arm; by default one more than the largest in the log, at least 2. Rows may repeat. Arms
    without rows are allowed: the prior speaks for them.
    """
    reward, names = _read_rewards(rewards_csv)
    table = _Table(csv, ("arm", "state", "action", "next_state"))
    arm, state, action, target = table.moves(names, reward.shape[1], levels)
    counts = np.zeros(
        (len(names), levels or max(2, int(action.max()) + 1), reward.shape[1], reward.shape[1]),
        np.int64,
    )
    np.add.at(counts, (arm, action, state, target), 1)
    return ArmLog(counts, reward, names)


def _read_rewards(csv: Path) -> tuple[Floats, tuple[str, ...]]:
    table = _Table(csv, ("arm", "state", "reward"))
    arm, ids = pd.factorize(table.text("arm"))
    names = tuple(str(name) for name in ids)
    state, value = table.integers("state"), table.numbers("reward")
    states = int(state.max()) + 1
    table.refuse_repeats(arm * states + state, "this arm and state", "keep one of the rows")
    missing = _first_gap(arm * states + state, len(names) * states)
    if missing is not None:
        j, s = divmod(missing, states)
        raise DatasetError(
            f"{table.path}: arm '{names[j]}' has no reward for state {s}: every arm needs a row for each state 0 to {states - 1}"
        )
    reward = np.empty((len(names), states))
    reward[arm, state] = value
    return reward, names


def read_cells(csv: Path, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """(line, cell, cell, ...) of each row of a table, as text, no cell empty. Raises DatasetError."""
    table = _Table(csv, columns)
    return table.cells(columns)


def _first_gap(codes: Ints, count: int) -> int | None:
    """Smallest number of 0..count-1 that is absent from `codes`, or None."""
    present = np.unique(codes)
    if len(present) == count:
        return None
    gaps = np.flatnonzero(present != np.arange(len(present)))
    return int(gaps[0]) if len(gaps) else len(present)


class _Table:
    """A CSV file held as text, whose columns are checked as they are read; errors name the line of
    the file.
    """

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = os.fspath(path)
        frame = self._load()
        frame.columns = frame.columns.str.strip()
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            found = ", ".join(frame.columns)
            raise DatasetError(
                f"{self.path}, line 1: column '{missing[0]}' is missing (found: {found}): the header must name {', '.join(columns)}"
            )
        frame = frame[list(columns)].fillna("").apply(lambda column: column.str.strip())
        frame = frame[(frame != "").any(axis=1)]  # blank lines
        if frame.empty:
            raise DatasetError(
                f"{self.path}: the file has no rows below the header: add at least one"
            )
        self._frame, self._line = frame, frame.index.to_numpy() + 2
        for column in columns:
            self._refuse_empty(column)

    def _refuse_empty(self, column: str) -> None:
        blanks = ("", "nan") if column == "arm" else ("", "nan", "na", "null", "none")
        empty = self._frame[column].str.lower().isin(blanks).to_numpy()
        self.refuse(
            empty, lambda _: f"column '{column}' is empty or NaN", "fill it in or delete the row"
        )

    def _load(self) -> pd.DataFrame:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                return pd.read_csv(
                    self.path,
                    dtype=str,
                    keep_default_na=False,
                    skip_blank_lines=False,
                    index_col=False,
                    encoding="utf-8-sig",
                )
        except FileNotFoundError as error:
            raise DatasetError(f"{self.path}: no such file: check the path") from error
        except pd.errors.EmptyDataError as error:
            raise DatasetError(
                f"{self.path}: the file is empty: write a header and rows"
            ) from error
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            found = re.search(r"line (\d+)", str(error))
            where = f"{self.path}, line {found[1]}" if found else self.path
            raise DatasetError(
                f"{where}: more cells than the header has columns: check commas and quotes"
            ) from error
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{self.path}: not a UTF-8 text file: save it as CSV in UTF-8"
            ) from error
        except OSError as error:
            raise DatasetError(
                f"{self.path}: cannot be read ({error.strerror}): check path and permissions"
            ) from error

    def refuse(self, bad: NDArray[np.bool_], what: Callable[[int], str], remedy: str) -> None:
        """Raise DatasetError for the first row that `bad` marks; `what` turns its place into words."""
        places = np.flatnonzero(bad)
        if len(places):
            raise DatasetError(
                f"{self.path}, line {self._line[places[0]]}: {what(int(places[0]))}: {remedy}"
            )

    def refuse_repeats(self, codes: Ints, what: str, remedy: str) -> None:
        """Raise DatasetError for the first row whose code came before."""
        series = pd.Series(codes)
        first = series.drop_duplicates()
        seen = (
            dict(zip(first.to_numpy(), self._line[first.index], strict=True))
            if series.duplicated().any()
            else {}
        )
        self.refuse(
            series.duplicated().to_numpy(),
            lambda i: f"{what} already appeared on line {seen[codes[i]]}",
            remedy,
        )

    def cells(self, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
        return list(
            zip(self._line.tolist(), *(self._frame[column] for column in columns), strict=True)
        )

    def text(self, column: str) -> pd.Series:
        return self._frame[column]

    def numbers(self, column: str) -> Floats:
        """A column of finite numbers."""
        values = pd.to_numeric(self._frame[column], errors="coerce").to_numpy(dtype=float)
        self.refuse(
            ~np.isfinite(values),
            lambda i: f"{column} '{self._frame[column].iloc[i]}' is not a finite number",
            "write a plain number",
        )
        return values

    def integers(self, column: str, count: int | None = None) -> Ints:
        """A column of whole numbers from 0 to count - 1."""
        values = pd.to_numeric(self._frame[column], errors="coerce").to_numpy(dtype=float)
        raw = self._frame[column]
        whole = np.isfinite(values) & (values == np.floor(values))
        self.refuse(
            ~whole, lambda i: f"{column} '{raw.iloc[i]}' is not an integer", "number from 0"
        )
        top = LARGEST if count is None else count - 1
        self.refuse(
            (values < 0) | (values > top),
            lambda i: f"{column} {raw.iloc[i]} is out of range",
            f"use a number from 0 to {top}",
        )
        return values.astype(np.int64)

    def arms(self, names: tuple[str, ...]) -> Ints:
        """Positions of the arm ids among `names`."""
        arm = pd.Index(names).get_indexer(pd.Index(self._frame["arm"]))
        ids = self._frame["arm"]
        self.refuse(
            arm < 0,
            lambda i: f"unknown arm '{ids.iloc[i]}'",
            "use an id listed in the rewards table, or add its rewards there",
        )
        return arm.astype(np.int64)

    def moves(
        self, names: tuple[str, ...], states: int, levels: int | None = None
    ) -> tuple[Ints, Ints, Ints, Ints]:
        """The columns arm, state, action and next_state as numbers."""
        return (
            self.arms(names),
            self.integers("state", states),
            self.integers("action", levels),
            self.integers("next_state", states),
        )
