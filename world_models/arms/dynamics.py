"""Dynamics of arms: read from CSV tables, or estimated from a log of observed moves.

`read_tables` gives known dynamics. `read_log(...).posterior()` gives a Dirichlet posterior over
them, whose mean or samples are dynamics. `read_states` reads the present state of every arm.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.tables import CsvTable
from worldplan.world_models.arms.rewards import arm_positions as arm_positions
from worldplan.world_models.arms.rewards import first_gap as first_gap
from worldplan.world_models.arms.rewards import read_reward_table

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
    """

    counts: Ints
    reward: Floats
    arm_names: tuple[str, ...]
    action_reward: Floats | None = None

    def __post_init__(self) -> None:
        shape = ("arms", "actions", "states", "states")
        counts = checks.whole_numbers(self.counts, "counts", shape, least=0)
        object.__setattr__(self, "counts", counts)
        _check_arms(self, counts)

    def posterior(
        self, prior_strength: float = 2.0, concentration: Floats | None = None
    ) -> ArmPosterior:
        """Posterior distribution of every transition probability.

        The posterior is Dirichlet with parameters prior + counts (conjugate; Gelman et al., BDA3,
        section 3.4). The default prior of arm `j`, action `k`, state `s` weighs `prior_strength`
        observations. Its mean is (n + 1) / (sum(n) + states), where `n` counts the moves of *all*
        arms from `s` under `k`: a mixture of the pooled frequencies with the uniform distribution.
        So rarely observed arms borrow from the others. (The pool contains the arm's own moves:
        with very few arms the posterior is a little too narrow.)

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
            pooled = self.counts.sum(0) + 1.0
            concentration = prior_strength * pooled / pooled.sum(-1, keepdims=True)
        prior = np.asarray(concentration, dtype=float)
        if not (np.isfinite(prior).all() and (prior > 0).all()):
            raise ConfigError(
                "the prior concentration holds values that are not positive and finite: "
                "give positive numbers"
            )
        return ArmPosterior(prior + self.counts, self.reward, self.arm_names, self.action_reward)


@dataclass(frozen=True)
class ArmPosterior:
    """Independent Dirichlet distributions over next states.

    Args:
        concentration: (arms, actions, states, states), positive.
        reward: (arms, states).
        arm_names: ids in the order of the arrays.
        action_reward: rewards of actions, as in `ArmDynamics`; None: there are none.
    """

    concentration: Floats
    reward: Floats
    arm_names: tuple[str, ...]
    action_reward: Floats | None = None

    def __post_init__(self) -> None:
        shape = ("arms", "actions", "states", "states")
        concentration = checks.array(self.concentration, "concentration", shape)
        if not (concentration > 0).all():
            raise DatasetError(
                "concentration holds a number that is not positive: give positive ones"
            )
        object.__setattr__(self, "concentration", concentration)
        _check_arms(self, concentration)

    def mean(self) -> ArmDynamics:
        """Dynamics whose transition probabilities are the posterior means."""
        return self._dynamics(self.concentration / self.concentration.sum(-1, keepdims=True))

    def _dynamics(self, transition: Floats) -> ArmDynamics:
        return ArmDynamics(transition, self.reward, action_reward=self.action_reward)

    def select(self, places: Sequence[int]) -> ArmPosterior:
        """The arms at `places`, in this order."""
        index = list(places)
        extra = self.action_reward
        return ArmPosterior(
            self.concentration[index],
            self.reward[index],
            tuple(self.arm_names[place] for place in index),
            extra if extra is None else extra[index],
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
        if self.concentration.shape[-1] == 1:
            return np.ones_like(self.concentration), np.ones_like(self.concentration)
        rest = self.concentration.sum(-1, keepdims=True) - self.concentration
        low, high = stats.beta.interval(level, self.concentration, rest)
        return low, high

    def sample(self, members: int, generator: np.random.Generator) -> list[ArmDynamics]:
        """`members` samples of the dynamics (Dirichlet draws as normalised gamma variates)."""
        draws = (
            generator.standard_gamma(self.concentration, size=(members, *self.concentration.shape))
            + 1e-300
        )
        return [self._dynamics(draw) for draw in draws / draws.sum(-1, keepdims=True)]


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


def read_tables(transitions_csv: Path, rewards_csv: Path) -> ArmTables:
    """Dynamics from a table of transition probabilities and a table of rewards.

    Args:
        transitions_csv: CSV arm, state, action, next_state, probability; moves that are not listed
            have probability 0.
        rewards_csv: CSV arm, state, reward, or with rewards of actions
            (`worldplan.world_models.arms.rewards`); arms are ordered as they first appear here.

    Raises:
        DatasetError: a gap, a duplicate or a bad number; names file, line and remedy.
    """
    rewards = read_reward_table(rewards_csv)
    reward, names = rewards.reward, rewards.arm_names
    states = reward.shape[1]
    table = CsvTable(transitions_csv, ("arm", "state", "action", "next_state", "probability"))
    arm, state, action, target = _moves(table, names, states)
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
    missing = first_gap(case, len(names) * actions * states)
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
    return ArmTables(ArmDynamics(transition, reward, action_reward=rewards.action_reward), names)


def read_states(csv: Path, arm_names: tuple[str, ...], states: int) -> Ints:
    """Present state of every arm, (arms,), from a CSV arm, state with one row per arm.

    Raises:
        DatasetError: an arm is unknown, missing or repeated, or a state is not in 0..states-1.
    """
    table = CsvTable(csv, ("arm", "state"))
    arm, state = arm_positions(table, arm_names), table.integers("state", states)
    table.refuse_repeats(arm, "this arm", "keep one row per arm")
    missing = first_gap(arm, len(arm_names))
    if missing is not None:
        raise DatasetError(
            f"{table.path}: arm '{arm_names[missing]}' has no row: add its present state"
        )
    result = np.empty(len(arm_names), np.int64)
    result[arm] = state
    return result


def read_log(csv: Path, rewards_csv: Path, *, levels: int | None = None) -> ArmLog:
    """Counts of the moves in a log with one row per arm and step.

    Args:
        csv: CSV arm, state, action, next_state; other columns are ignored, rows may repeat. An arm
            without rows is allowed: its posterior is the prior.
        rewards_csv: as in `read_tables`; fixes arms and states.
        levels: number of actions per arm; one more than the largest in the log, at least 2, unless
            given.

    Raises:
        DatasetError: a bad cell; names file, line and remedy.
    """
    table = read_reward_table(rewards_csv)
    log = read_moves(csv, table.reward, table.arm_names, levels=levels)
    if table.action_reward is not None and log.counts.shape[1] > 2:
        raise DatasetError(
            f"{os.fspath(rewards_csv)}: rewards of actions 0 and 1, and moves of action "
            f"{log.counts.shape[1] - 1}: leave out the column action, or the further actions"
        )
    return replace(log, action_reward=table.action_reward)


def read_moves(
    csv: Path, reward: Floats, names: tuple[str, ...], *, levels: int | None = None
) -> ArmLog:
    """As `read_log`, of the arms `names` with the rewards `reward` (arms, states)."""
    table = CsvTable(csv, ("arm", "state", "action", "next_state"))
    arm, state, action, target = _moves(table, names, reward.shape[1], levels)
    counts = np.zeros(
        (len(names), levels or max(2, int(action.max()) + 1), reward.shape[1], reward.shape[1]),
        np.int64,
    )
    np.add.at(counts, (arm, action, state, target), 1)
    return ArmLog(counts, reward, names)


def read_rewards(csv: Path) -> tuple[Floats, tuple[str, ...]]:
    """Reward (arms, states) of the states moved to, and the arms' ids.

    Rewards of actions are zero in it (`worldplan.world_models.arms.rewards.read_reward_table`).

    Raises:
        DatasetError: an arm has no reward for a state, or a row is wrong.
    """
    table = read_reward_table(csv)
    return table.reward, table.arm_names


def _moves(
    table: CsvTable, names: tuple[str, ...], states: int, levels: int | None = None
) -> tuple[Ints, Ints, Ints, Ints]:
    """The columns arm, state, action and next_state as numbers, each (rows,)."""
    return (
        arm_positions(table, names),
        table.integers("state", states),
        table.integers("action", levels),
        table.integers("next_state", states),
    )
