"""Rewards in the unit and with the zero in which policies plan, and two values without a solver.

With rewards r_js of arm j in state s, policies plan with (r_js - low_j) / unit, where low_j is the
least reward of the arm, and the largest spread of an arm's rewards becomes `SPREAD`. Neither the
unit of the rewards nor a constant in them then changes a decision. Rewards of actions
(`ArmDynamics.action_reward`) are measured from their own least value; low_j is the sum of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.bandits.ends import counting, own_steps
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats, Ints
from worldplan.milp.session import missing_share
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.planners.bandits.chains import endless_values

SPREAD = 6.0  # as in the published domains, for which the settings of learning were chosen


@dataclass(frozen=True)
class Units:
    """reward of arm j = unit * planned reward + low[j].

    Args:
        unit: of the planned rewards, positive.
        low: (arms,) the arms' least rewards.
        discount: per step.
        late: (arms,) steps to the end of the episode when each arm has ended; None: all are zero.
        parts: (2, arms) the least rewards of states and of actions, whose sum is `low`; all of
            `low` are rewards of states unless given.
    """

    unit: float
    low: Floats
    discount: float = 1.0
    parts: Floats | None = None
    late: Ints | None = None

    @classmethod
    def of(
        cls, models: Sequence[ArmDynamics], discount: float = 1.0, late: Ints | None = None
    ) -> Units:
        """The units of one model, or the common ones of an ensemble."""
        ends = np.array([_ends(model) for model in models])  # (models, low or high, parts, arms)
        low, high = ends[:, 0].min(0), ends[:, 1].max(0)
        spread = float((high - low).sum(0).max())
        return cls(spread / SPREAD if spread > 0 else 1.0, low.sum(0), discount, low, late)

    def plan(self, model: ArmDynamics) -> ArmDynamics:
        """The model with planned rewards."""
        low = np.stack([self.low, 0.0 * self.low]) if self.parts is None else self.parts
        extra = model.action_reward
        if extra is not None:
            extra = (extra - low[1][:, None, None, None]) / self.unit
        return replace(
            model, reward=(model.reward - low[0][:, None]) / self.unit, action_reward=extra
        )

    def instance(self, instance: BanditInstance) -> BanditInstance:
        """The instance with planned rewards."""
        return replace(instance, dynamics=self.plan(instance.dynamics))

    def total(self, planned: float, steps: int, left: int | None = None) -> float:
        """The return over `steps` steps in the unit of the rewards, of a planned return.

        Args:
            planned: in planned rewards.
            steps: that it holds.
            left: steps to the end of the episode at the first of them; `steps` unless given.
        """
        if self.late is not None:
            own = own_steps(self.late, steps if left is None else left, len(self.low))
            shares = [annuity(count, self.discount) for count in range(steps + 1)]
            return self.unit * planned + float(np.array(shares)[np.minimum(own, steps)] @ self.low)
        return self.unit * planned + annuity(steps, self.discount) * float(self.low.sum())

    def endless_total(self, planned: float) -> float:
        """A return without an end, in the unit of the rewards: discounted, or the average of a step
        if the discount is 1.

        Args:
            planned: the same in planned rewards.
        """
        return self.unit * planned + endless_annuity(self.discount) * float(self.low.sum())


def _ends(model: ArmDynamics) -> Floats:
    """Least and largest rewards of states and of actions, (2, 2, arms)."""
    states, extra = model.reward, model.action_reward
    actions = np.zeros((1, 1)) if extra is None else extra.reshape(len(extra), -1)
    actions = np.broadcast_to(actions, (model.arms, actions.shape[1]))
    return np.array([[part.min(1), part.max(1)] for part in (states, actions)]).swapaxes(0, 1)


def annuity(steps: int, discount: float) -> float:
    """The return of a reward of 1 in each of `steps` steps."""
    return float(steps) if discount == 1 else (1 - discount**steps) / (1 - discount)


def endless_annuity(discount: float) -> float:
    """What a reward of 1 in every step is worth without an end: discounted, or on average."""
    return 1.0 if discount == 1 else 1.0 / (1.0 - discount)


def counted_steps(instance: BanditInstance) -> float:
    """What returns of an instance are divided by: its steps, each with its discount."""
    if instance.endless:
        return endless_annuity(instance.discount)
    return annuity(instance.horizon, instance.discount)


def in_units(
    models: Sequence[ArmDynamics], discount: float = 1.0, late: Ints | None = None
) -> tuple[list[ArmDynamics], Units]:
    """The models with planned rewards, and the units; arguments as in `Units`."""
    units = Units.of(models, discount, late)
    return [units.plan(model) for model in models], units


def of_counting(reward: Floats, late: Ints | None, left: int) -> Floats:
    """Rewards (arms, ...) of a step with `left` steps to go: zero for arms that have ended."""
    counted = counting(late, left)
    if counted is None:
        return reward
    return reward * counted.reshape(-1, *(1,) * (reward.ndim - 1))


def default_returns(instance: BanditInstance, states: Ints) -> Floats:
    """Expected return of the set's default action at every step, (n,), from states (n, arms).

    Without an end it is the discounted return of all steps, or the average of a step.
    """
    value = default_tables(instance)
    returns: Floats = value[np.arange(instance.dynamics.arms), states].sum(-1)
    return returns


def default_tables(instance: BanditInstance) -> Floats:
    """As `default_returns`, of each arm and state: (arms, states)."""
    model = instance.dynamics
    arms = np.arange(model.arms)
    level = model.level(instance.actions.default())
    reward, move = model.one_step()[arms, level], model.transition[arms, level]
    if instance.endless:
        return endless_values(move, reward, instance.discount)
    value = np.zeros_like(reward)
    for left in range(1, instance.horizon + 1):
        now = of_counting(reward, instance.late, left)
        value = now + instance.discount * np.einsum("jst,jt->js", move, value)
    return value


class Outlook:
    """Returns that need no solver: of the default action, and of arms without any limit.

    Args:
        models: one model, or an ensemble, whose mean return counts.
        actions: the feasible set.
        steps: the longest time to go.
        discount: per step.
        late: (arms,) steps to the end of the episode when each arm has ended; None: all are zero.
    """

    def __init__(
        self,
        models: Sequence[ArmDynamics],
        actions: ActionSet,
        steps: int,
        discount: float = 1.0,
        late: Ints | None = None,
    ) -> None:
        self._models, self._discount, self._late = models, discount, late
        level = models[0].level(actions.default())
        shape = (steps + 1, models[0].arms, models[0].states)
        self._default = [np.zeros(shape) for _ in models]
        self._free = np.zeros(shape)
        arms = np.arange(models[0].arms)
        for model, table in zip(models, self._default, strict=True):
            every, free, usable = model.one_step(), np.zeros(shape[1:]), used_levels(model)
            for left in range(1, steps + 1):
                one_step = of_counting(every, late, left)
                later = np.einsum("jst,jt->js", model.transition[arms, level], table[left - 1])
                table[left] = one_step[arms, level] + discount * later
                worth = one_step + discount * np.einsum("jkst,jt->jks", model.transition, free)
                free = np.where(usable[:, :, None], worth, -np.inf).max(1)
                self._free[left] += free / len(models)

    def default(self, start: Floats, left: int) -> float:
        """The return of the default action at every step.

        Args:
            start: (arms, states) distribution of each arm's first state, here and below.
            left: steps to the end.
        """
        return float(np.mean([_expected(table[left], start) for table in self._default]))

    def free(self, start: Floats, left: int) -> float:
        """Upper bound on the return of every policy: the limits on joint actions do not count."""
        return _expected(self._free[left], start)

    def first(self, action: Action, start: Floats, left: int) -> float:
        """The return of `action` (components,) now and the default action afterwards."""
        arms, returns = np.arange(len(start)), []
        for model, table in zip(self._models, self._default, strict=True):
            level = model.level(action)
            after = model.after(start, level)
            now = (start * of_counting(model.one_step(), self._late, left)[arms, level]).sum()
            returns.append(now + self._discount * (after * table[left - 1]).sum())
        return float(np.mean(returns))

    def missing(self, value: float, bound: float, start: Floats, left: int) -> float:
        """The share of the possible gain over the default action that `value` may miss."""
        return missing_share(value, bound, self.default(start, left))


def _expected(values: Floats, start: Floats) -> float:
    """Sum over the arms of the mean of `values` (arms, states) under `start`."""
    return float((values * start).sum(-1).sum())


def used_levels(model: ArmDynamics) -> NDArray[np.bool_]:
    """(arms, levels), false for the padding, which repeats the last strength."""
    if model.strengths is None:
        return np.ones((model.arms, model.levels), bool)
    return np.diff(model.strengths, axis=1, prepend=-np.inf) > 1e-9
