"""Dynamics of arms: read from CSV tables, or estimated from a log of observed moves.

`read_tables` gives known dynamics. `read_log(...).posterior()` gives a Dirichlet posterior over
them, whose mean or samples are dynamics. `read_states` reads the present state of every arm.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from worldplan.envs.bandits.arms import states_of
from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.tables import CsvTable
from worldplan.world_models.arms.drift import HalfLife
from worldplan.world_models.arms.log_rows import move_columns, read_rows
from worldplan.world_models.arms.rewards import arm_positions as arm_positions
from worldplan.world_models.arms.rewards import first_gap as first_gap
from worldplan.world_models.arms.rewards import (
    first_missing,
    one_per_arm,
    own_states_in,
    read_reward_table,
)

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class ArmTables:
    """Dynamics read from tables, and the arms' ids in the order of the arrays."""

    dynamics: ArmDynamics
    arm_names: tuple[str, ...]


@dataclass(frozen=True)
class ArmLog:
    """Counts of observed moves.

    Args:
        counts: (arms, actions, states, states); `counts[j, k, s, t]` moves of arm `j` from state
            `s` to state `t` under action `k`.
        reward: (arms, states), earned in the state moved to.
        arm_names: ids in the order of the arrays.
        action_reward: rewards of actions, as in `ArmDynamics`; None: there are none.
        own_states: (arms,) number of states of each arm; None: all have `states`.
        weights: (arms, actions, states, states) what the moves count for, at most as many; None:
            each counts for one (`worldplan.world_models.arms.drift`).
        squares: (arms, actions, states, states) sums of the moves' squared weights, which say how
            far weighted moves vary; None: as whole moves.
    """

    counts: Ints
    reward: Floats
    arm_names: tuple[str, ...]
    action_reward: Floats | None = None
    own_states: Ints | None = None
    weights: Floats | None = None
    squares: Floats | None = None

    def __post_init__(self) -> None:
        shape = ("arms", "actions", "states", "states")
        counts = checks.whole_numbers(self.counts, "counts", shape, least=0)
        object.__setattr__(self, "counts", counts)
        _check_arms(self, counts)
        _check_own_states(self, counts)
        for name in ("weights", "squares"):
            if getattr(self, name) is None:
                continue
            weights = checks.array(getattr(self, name), name, shape)
            if weights.shape != counts.shape or (weights < 0).any() or (weights > counts).any():
                raise DatasetError(
                    f"{name} {weights.shape}: give a number from 0 to the number of moves for "
                    f"each of counts {counts.shape}"
                )
            object.__setattr__(self, name, weights)
        exists = _exists(self)
        outside = ~(exists[:, None, :, None] & exists[:, None, None, :])
        bad = np.argwhere((counts > 0) & outside)
        if len(bad):
            arm, _, state, after = (int(index) for index in bad[0])
            raise DatasetError(
                f"arm '{self.arm_names[arm]}': a move from state {state} to state {after}, and the "
                f"arm has states 0 to {exists[arm].sum() - 1}: correct the move, or add the reward "
                "of the state"
            )

    @property
    def effective(self) -> Floats:
        """(arms, actions, states, states), what the moves count for."""
        return self.counts.astype(float) if self.weights is None else self.weights

    def posterior(
        self, prior_strength: float = 2.0, concentration: Floats | None = None
    ) -> ArmPosterior:
        """Posterior distribution of every transition probability.

        The posterior is Dirichlet with parameters prior + counts (conjugate; Gelman et al., BDA3,
        section 3.4). The default prior of arm `j`, action `k`, state `s` weighs `prior_strength`
        observations. Its mean is (n + 1) / (sum(n) + states), where `n` counts the moves of *all*
        arms from `s` under `k`: a mixture of the pooled frequencies with the uniform distribution.
        So rarely observed arms borrow from the others. (The pool contains the arm's own moves:
        with very few arms the posterior is a little too narrow.) States that an arm does not have
        are left out of its prior, whose weight stays the same.

        Args:
            prior_strength: number of observations that the prior counts for, positive.
            concentration: replaces the default prior; broadcastable to (arms, actions, states,
                states).

        Raises:
            ConfigError: the prior is not positive and finite.
        """
        if concentration is None:
            if not (prior_strength > 0 and np.isfinite(prior_strength)):
                raise ConfigError(
                    f"prior_strength is {prior_strength:g}: "
                    "give a positive number of observations, such as 2"
                )
            pooled = (self.effective.sum(0) + 1.0) * _exists(self)[:, None, None, :]
            concentration = prior_strength * pooled / pooled.sum(-1, keepdims=True)
        prior = np.broadcast_to(np.asarray(concentration, dtype=float), self.counts.shape)
        own = np.broadcast_to(_exists(self)[:, None, None, :], prior.shape)
        if not (np.isfinite(prior).all() and (prior[own] > 0).all()):
            raise ConfigError(
                "the prior concentration holds values that are not positive and finite: "
                "give positive numbers"
            )
        return ArmPosterior(
            prior + self.effective, self.reward, self.arm_names, self.action_reward, self.own_states
        )


@dataclass(frozen=True)
class ArmPosterior:
    """Independent Dirichlet distributions over next states.

    Args:
        concentration: (arms, actions, states, states), positive; zero for moves to states that the
            arm does not have.
        reward: (arms, states).
        arm_names: ids in the order of the arrays.
        action_reward: rewards of actions, as in `ArmDynamics`; None: there are none.
        own_states: (arms,) number of states of each arm; None: all have `states`. What
            `concentration` holds for further states is not read.
    """

    concentration: Floats
    reward: Floats
    arm_names: tuple[str, ...]
    action_reward: Floats | None = None
    own_states: Ints | None = None

    def __post_init__(self) -> None:
        shape = ("arms", "actions", "states", "states")
        concentration = checks.array(self.concentration, "concentration", shape)
        _check_arms(self, concentration)
        _check_own_states(self, concentration)
        exists = _exists(self)
        concentration = np.where(exists[:, None, None, :], concentration, 0.0)
        concentration = np.where(exists[:, None, :, None], concentration, concentration[:, :, :1])
        if not ((concentration > 0) | ~exists[:, None, None, :]).all():
            raise DatasetError(
                "concentration holds a number that is not positive: give positive ones"
            )
        concentration.setflags(write=False)
        object.__setattr__(self, "concentration", concentration)

    def mean(self) -> ArmDynamics:
        """Dynamics whose transition probabilities are the posterior means."""
        return self._dynamics(self.concentration / self.concentration.sum(-1, keepdims=True))

    def _dynamics(self, transition: Floats) -> ArmDynamics:
        return ArmDynamics(
            transition, self.reward, action_reward=self.action_reward, own_states=self.own_states
        )

    def select(self, places: Sequence[int]) -> ArmPosterior:
        """The arms at `places`, in this order."""
        index = list(places)
        extra = self.action_reward
        return ArmPosterior(
            self.concentration[index],
            self.reward[index],
            tuple(self.arm_names[place] for place in index),
            extra if extra is None else extra[index],
            self.own_states if self.own_states is None else self.own_states[index],
        )

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Lower and upper ends of central credible intervals, from the Beta marginals.

        Two arrays (arms, actions, states, states).

        Raises:
            ConfigError: `level` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ConfigError(
                f"interval level is {level:g}: give a number between 0 and 1, such as 0.95"
            )
        moves = self.concentration
        rest = moves.sum(-1, keepdims=True) - moves
        open_ = (moves > 0) & ((moves > 0).sum(-1, keepdims=True) > 1)  # neither 0 nor 1 for sure
        low, high = np.where(moves > 0, 1.0, 0.0), np.where(moves > 0, 1.0, 0.0)
        low[open_], high[open_] = stats.beta.interval(level, moves[open_], rest[open_])
        return low, high

    def sample(self, members: int, generator: np.random.Generator) -> list[ArmDynamics]:
        """`members` samples of the dynamics (Dirichlet draws as normalised gamma variates)."""
        draws = (
            generator.standard_gamma(self.concentration, size=(members, *self.concentration.shape))
            + 1e-300
        ) * (self.concentration > 0)
        return [self._dynamics(draw) for draw in draws / draws.sum(-1, keepdims=True)]


def _exists(table: ArmLog | ArmPosterior) -> NDArray[np.bool_]:
    """(arms, states), whether the arm has the state."""
    arms, states = table.reward.shape
    own = np.full(arms, states) if table.own_states is None else table.own_states
    return states_of(own, states)


def _check_own_states(table: ArmLog | ArmPosterior, moves: Floats | Ints) -> None:
    """Check and copy `own_states` against (arms, actions, states, states).

    Raises:
        DatasetError: they are no whole numbers from 1 to the number of states.
    """
    if table.own_states is not None:
        own = checks.whole_numbers(
            table.own_states, "own_states", (len(moves),), least=1, most=moves.shape[-1]
        )
        object.__setattr__(table, "own_states", own)


def _check_arms(table: ArmLog | ArmPosterior, moves: Floats | Ints) -> None:
    """Check rewards and names against counts of moves (arms, actions, states, states).

    Raises:
        DatasetError: other numbers of arms or states.
    """
    arms, _, states, following = moves.shape
    if states != following:
        raise DatasetError(f"moves from {states} states to {following}: give both the same states")
    names = checks.texts(table.arm_names, "arm_names", count=arms, error=DatasetError)
    object.__setattr__(table, "reward", checks.array(table.reward, "reward", (arms, states)))
    object.__setattr__(table, "arm_names", names)
    extra = table.action_reward
    if extra is not None:
        extra = checks.array(extra, "action_reward", ("arms", "levels", "states", "states"))
        if len(extra) != arms:
            raise DatasetError(
                f"action_reward is of {len(extra)} arms: give one for each of {arms}"
            )
        object.__setattr__(table, "action_reward", extra)


def read_tables(
    transitions_csv: Path, rewards_csv: Path, own_states_csv: Path | None = None
) -> ArmTables:
    """Dynamics from a table of transition probabilities and a table of rewards.

    Args:
        transitions_csv: CSV arm, state, action, next_state, probability; moves that are not listed
            have probability 0.
        rewards_csv: CSV arm, state, reward, or with rewards of actions
            (`worldplan.world_models.arms.rewards`); arms are ordered as they first appear here.
        own_states_csv: CSV arm, states: the number of states of each arm; None: all have the same.

    Raises:
        DatasetError: a gap, a duplicate or a bad number; names file, line and remedy.
    """
    rewards = read_reward_table(rewards_csv, own_states=own_states_csv)
    reward, names, own = rewards.reward, rewards.arm_names, rewards.own_states
    states = reward.shape[1]
    table = CsvTable(transitions_csv, ("arm", "state", "action", "next_state", "probability"))
    arm, state, action, target = move_columns(table, names, own)
    probability = table.numbers("probability")
    table.refuse(
        probability < 0,
        lambda i: f"probability {probability[i]:g} is negative",
        "give a number from 0 to 1",
    )
    actions = max(2, int(action.max()) + 1)
    case = (arm * actions + action) * states + state  # rows of one case form one distribution
    table.refuse_repeats(
        case * states + target, "this arm, state, action and next_state", "keep one of the rows"
    )
    needed = np.repeat(states_of(own, states), actions, axis=0).ravel()
    missing = first_missing(case, needed)
    if missing is not None:
        pair, s = divmod(missing, states)
        j, k = divmod(pair, actions)
        raise DatasetError(
            f"{table.path}: arm '{names[j]}', state {s}, action {k} has no rows: "
            "add its probabilities (they must sum to 1)"
        )
    total = np.bincount(case, probability)
    table.refuse(
        np.abs(total[case] - 1) > 1e-6,
        lambda i: (
            f"arm '{names[arm[i]]}', state {state[i]}, action {action[i]}: "
            f"probabilities sum to {total[case[i]]:.6g}"
        ),
        "they must sum to 1",
    )
    transition = np.zeros((len(names), actions, states, states))
    transition[arm, action, state, target] = probability / total[case]
    if rewards.action_reward is not None and actions > 2:
        raise DatasetError(
            f"{os.fspath(rewards_csv)}: rewards of actions 0 and 1, and transitions of actions 0 "
            f"to {actions - 1}: leave out the column action, or the further actions"
        )
    dynamics = ArmDynamics(transition, reward, action_reward=rewards.action_reward, own_states=own)
    return ArmTables(dynamics, names)


def read_states(csv: Path, arm_names: tuple[str, ...], states: int | Ints) -> Ints:
    """Present state of every arm, (arms,), from a CSV arm, state with one row per arm.

    Args:
        csv: the file.
        arm_names: of the arms.
        states: number of states of an arm, or of each arm (arms,).

    Raises:
        DatasetError: an arm is unknown, missing or repeated, or a state is not in 0..states-1.
    """
    table = CsvTable(csv, ("arm", "state"))
    arm = arm_positions(table, arm_names)
    state = own_states_in(table, "state", arm, np.broadcast_to(states, len(arm_names)), arm_names)
    return one_per_arm(table, arm, state, arm_names, "present state")


def read_log(
    csv: Path,
    rewards_csv: Path,
    *,
    levels: int | None = None,
    own_states_csv: Path | None = None,
) -> ArmLog:
    """Counts of the moves in a log with one row per arm and step.

    Args:
        csv: CSV arm, state, action, next_state. If it says when (date, day, week, step or time),
            rows of one arm that follow each other must agree (`world_models.arms.log_rows`). An arm
            without rows is allowed: its posterior is the prior.
        rewards_csv: as in `read_tables`; fixes arms and states.
        levels: number of actions per arm; one more than the largest in the log, at least 2, unless
            given.
        own_states_csv: as in `read_tables`.

    Raises:
        DatasetError: a bad cell; names file, line and remedy.
    """
    table = read_reward_table(rewards_csv, own_states=own_states_csv)
    log = read_moves(csv, table.reward, table.arm_names, table.own_states, levels=levels)
    if table.action_reward is not None and log.counts.shape[1] > 2:
        raise DatasetError(
            f"{os.fspath(rewards_csv)}: rewards of actions 0 and 1, and moves of action "
            f"{log.counts.shape[1] - 1}: leave out the column action, or the further actions"
        )
    return replace(log, action_reward=table.action_reward)


def read_moves(
    csv: Path,
    reward: Floats,
    names: tuple[str, ...],
    own_states: Ints | None = None,
    *,
    levels: int | None = None,
    half_life: HalfLife | None = None,
    today: datetime.date | None = None,
) -> ArmLog:
    """As `read_log`, of the arms `names` with the rewards `reward` (arms, states).

    `own_states` (arms,) are the numbers of states of the arms; all have `states` without. With
    `half_life`, moves are weighted by their age at `today`, or at the last row.
    """
    own = np.full(len(names), reward.shape[1]) if own_states is None else own_states
    table, (arm, state, action, target) = read_rows(csv, names, own, levels)
    counts = np.zeros(
        (len(names), levels or max(2, int(action.max()) + 1), reward.shape[1], reward.shape[1]),
        np.int64,
    )
    np.add.at(counts, (arm, action, state, target), 1)
    weights = squares = None
    if half_life is not None:
        weight = half_life.of_rows(table, today)
        weights, squares = np.zeros(counts.shape), np.zeros(counts.shape)
        np.add.at(weights, (arm, action, state, target), weight)
        np.add.at(squares, (arm, action, state, target), weight**2)
    return ArmLog(counts, reward, names, own_states=own_states, weights=weights, squares=squares)


def read_rewards(csv: Path) -> tuple[Floats, tuple[str, ...]]:
    """Reward (arms, states) of the states moved to, and the arms' ids.

    Rewards of actions are zero in it (`worldplan.world_models.arms.rewards.read_reward_table`).

    Raises:
        DatasetError: an arm has no reward for a state, or a row is wrong.
    """
    table = read_reward_table(csv)
    return table.reward, table.arm_names
