"""UCWhittle: Whittle indices of optimistic dynamics (Wang, Xu, Taneja and Tambe, AAAI 2023).

In episode t the rows of the true transition probabilities lie, with probability 1 - delta, in

    |P(s, a, .) - P^(s, a, .)|_1 <= sqrt(2 S log(2 S A N t^4 / delta) / max(1, n(s, a)))

with P^ the frequencies of the n(s, a) moves so far, S states, A = 2 actions and N arms. Their
value-maximising variant takes for each arm the dynamics in this set with the largest value at the
present price l of a visit,

    V(s) = max_a max_P  -l a + sum_t P(s, a, t) (r(s, a, t) + gamma V(t)),

and acts by the Whittle indices of these dynamics. For two states they solve a bilinear program;
rows vary independently of each other, so extended value iteration (Jaksch, Ortner and Auer 2010)
solves it for any number of states. The price is the smallest index that was visited, the K-th
largest with a budget of K; it is 0 in the first episode. They always visit K arms, also of
negative indices, which are common: the most valuable dynamics of an arm left alone are optimistic
too. The set's own limits say here how many that is; only the order of the indices counts.

Other than in their work: episodes have an end, and indices are those of the steps that are left
(`WhittlePolicy`), for which their proof of regret does not speak; gamma is the programme's
discount, at most 1 - 1 / n for an arm with n steps in an episode. Without an end, episodes are the
learning periods of `OnlineLearner`. Where nothing was observed, P^ is uniform. Model and price are
of an episode, and the price that of its first step; the published code chooses both anew in each
step. It also counts each move for every state of the arm, takes a set by component, cut at 1, in
place of the 1-norm, and adds the constraints that visits and good states help: none of it here.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.milp import checks
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.level_maximiser import EXACT
from worldplan.planners.bandits.observations import steps_left_of
from worldplan.planners.bandits.online.learner import OnlineLearner, VisitsTies
from worldplan.planners.bandits.units import of_counting
from worldplan.planners.base import Decision

ACCURACY = 1e-6  # of the optimistic values, as a share of the range of the rewards
MOST_PASSES = 20_000  # of value iteration


class _ByOrder(VisitsTies):
    """The Whittle policy of indices that are raised alike until every arm is worth a visit."""

    def weights(self, observation: Any) -> Floats:
        values = super().weights(observation)
        raised = max(0.0, self.tie - float(values[:, 1].min()))
        left = steps_left_of(self.instance, observation)
        values[:, 1] += of_counting(np.full(len(values), raised), self.instance.late, left)
        return values


class UCWhittle(OnlineLearner):
    """The Whittle policy of the most valuable dynamics that the moves leave possible.

    Args:
        instance, counts, settings: as in `OnlineLearner`.
        delta: probability with which the true dynamics may lie outside the confidence set.

    Attributes:
        price: of a visit, for the next episode's model.
        episode: number of the present one, from 1.

    Raises:
        ConfigError: several interventions per arm, counts of another shape, or a delta outside
            (0, 1).
    """

    def __init__(
        self,
        instance: BanditInstance,
        *,
        counts: Any = None,
        delta: float = 1e-3,
        settings: SolverSettings = EXACT,
    ) -> None:
        self._delta = checks.number(delta, "delta", above=0.0, below=1.0)
        super().__init__(instance, counts=counts, settings=settings)

    policy_class: ClassVar[type[VisitsTies]] = _ByOrder

    def reset(self, *, seed: int | None = None) -> None:
        super().reset(seed=seed)
        self.price, self.episode, self._first = 0.0, 0, True

    def choose_model(self) -> Floats:
        self.episode += 1
        self._first = True
        uniform = self.instance.dynamics.uniform
        estimate, radius = confidence(self.counts, self.episode, self._delta, uniform)
        own = self.instance.horizon if self.instance.ends is None else self.instance.ends
        gamma = np.minimum(self.instance.discount, 1.0 - 1.0 / np.maximum(own, 2))
        return optimistic(self.instance.dynamics, estimate, radius, self.price, gamma)

    def decided(self, observation: Any, decision: Decision) -> None:
        if not self._first:
            return
        self._first = False
        index = self.action_values(observation)[:, 1][np.asarray(decision.action) > 0]
        self.price = max(float(index.min()), 0.0) if len(index) else 0.0


def confidence(
    counts: Floats, episode: int, delta: float, uniform: Floats
) -> tuple[Floats, Floats]:
    """Frequencies (arms, 2, states, states) and radii (arms, 2, states) of the confidence set.

    Args:
        counts: (arms, 2, states, states) moves.
        episode: t, from 1.
        delta: probability outside the set.
        uniform: (arms, states) the frequencies where nothing was observed.
    """
    arms, actions, states, _ = counts.shape
    moves = counts.sum(-1)
    some, start = moves[..., None] > 0, uniform[:, None, None, :]
    estimate = np.where(some, counts / np.where(some, moves[..., None], 1.0), start)
    log = np.log(2.0 * states * actions * arms * float(episode) ** 4 / delta)
    radius: Floats = np.sqrt(2.0 * states * log / np.maximum(moves, 1.0))
    return estimate, radius


def optimistic(
    dynamics: ArmDynamics, estimate: Floats, radius: Floats, price: float, gamma: Floats | float
) -> Floats:
    """The dynamics in the confidence set with the largest values, (arms, 2, states, states).

    Args:
        dynamics: whose rewards are known.
        estimate: (arms, 2, states, states).
        radius: (arms, 2, states) in the 1-norm.
        price: of a visit.
        gamma: discount, below 1; one for each arm (arms,), or for all.
    """
    arms, levels, states, _ = estimate.shape
    gamma = np.broadcast_to(gamma, arms)
    reward = np.broadcast_to(dynamics.reward[:, None, None, :], estimate.shape)
    if dynamics.action_reward is not None:
        reward = reward + dynamics.action_reward
    value = np.zeros((arms, states))
    cost = price * np.arange(levels)[:, None]
    # the choice depends on differences of values alone: spans, not levels, must have settled
    accuracy = ACCURACY * (1.0 - gamma) * np.ptp(reward, axis=(1, 2, 3))
    accuracy = accuracy + 1e-13 * (np.abs(reward).max((1, 2, 3)) + price)  # rounding
    best, own = estimate, dynamics.exists[:, None, None, :]
    for _ in range(MOST_PASSES):
        worth = reward + gamma[:, None, None, None] * value[:, None, None, :]
        worth = np.where(own, worth, worth.min(-1, keepdims=True) - 1.0)  # never the best state
        best = most_valuable(estimate, radius, worth)
        after = ((best * worth).sum(-1) - cost).max(1)
        change = np.ptp(after - value, axis=1)
        value = after - after[:, :1]  # a common constant changes no choice
        if (change <= accuracy).all():
            break
    return best


def most_valuable(estimate: Floats, radius: Floats, worth: Floats) -> Floats:
    """The distributions within `radius` of `estimate` in the 1-norm with the largest mean worth.

    Half the radius of probability goes to the best state, and is taken from the worst ones.

    Args:
        estimate: (..., states) distributions.
        radius: (...,).
        worth: (..., states).
    """
    order = np.argsort(worth, axis=-1, kind="stable")
    row = np.take_along_axis(estimate, order, -1)  # from the worst state to the best
    gain = np.minimum(radius / 2, 1.0 - row[..., -1])
    taken = np.clip(gain[..., None] - (np.cumsum(row, -1) - row), 0.0, row)
    taken[..., -1] = 0.0
    row = row - taken
    row[..., -1] += taken.sum(-1)
    result = np.empty_like(row)
    np.put_along_axis(result, order, row, -1)
    found: Floats = np.maximum(result, 0.0)
    found /= found.sum(-1, keepdims=True)
    return found
