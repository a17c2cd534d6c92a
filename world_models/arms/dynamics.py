"""Dynamics of arms estimated from observed moves.

`ArmLog.posterior` is a Dirichlet posterior over the dynamics, whose mean or samples are dynamics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from worldplan.envs.bandits.arms import states_of
from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, DatasetError


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
