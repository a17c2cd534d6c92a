"""Values of single arms without an end, which need no solver."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldplan.envs.bandits.environment import ArmDynamics, Floats
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.planners.bandits.chains import values_of
from worldplan.planners.bandits.units import used_levels

NEARLY_ONE = 0.999  # the discount by which average rewards are planned for
PASSES = 100  # of policy iteration, which needs a few


def planning_discount(discount: float) -> float:
    """The discount by which values of states are computed; below 1 for the average, too.

    With a discount near 1, differences of discounted values are nearly those of the relative values
    of the average reward, and they exist for every arm.
    """
    return NEARLY_ONE if discount == 1 else discount


class EndlessOutlook:
    """Discounted values of the default action, and of arms without any joint limit.

    Args:
        models: one model, or an ensemble, whose mean value counts.
        actions: the feasible set.
        discount: per step, below 1.
    """

    def __init__(self, models: Sequence[ArmDynamics], actions: ActionSet, discount: float) -> None:
        self._models, self._discount = models, discount
        self._arms = np.arange(models[0].arms)
        self._level = models[0].level(actions.default())
        self._default = [self._of_level(model) for model in models]
        self._free = np.mean([free_values(model, discount) for model in models], axis=0)

    def _of_level(self, model: ArmDynamics) -> Floats:
        """Values (arms, states) of the default action at every step."""
        chain = model.transition[self._arms, self._level]
        reward = model.one_step()[self._arms, self._level]
        return np.asarray(values_of(chain, reward[..., None], self._discount)[..., 0])

    @property
    def default_table(self) -> Floats:
        """(arms, states) mean value over the models of the default action at every step."""
        return np.asarray(np.mean(self._default, axis=0))

    def free(self, start: Floats) -> float:
        """Upper bound on the value of every policy from the distribution `start` (arms, states)."""
        return float((self._free * start).sum())

    def first(self, action: Action, start: Floats) -> float:
        """The value of `action` (components,) now and the default action afterwards."""
        values = []
        for model, later in zip(self._models, self._default, strict=True):
            level = model.level(action)
            now = (start * model.one_step()[self._arms, level]).sum()
            values.append(now + self._discount * (model.after(start, level) * later).sum())
        return float(np.mean(values))

    def window(self, start: Floats, steps: int, later: Floats) -> float:
        """The value of the default action in some steps, and of `later` (arms, states) after them.

        Args:
            start: (arms, states) distribution of the first states.
            steps: of the default action.
            later: values of the states that follow.
        """
        values = []
        for model in self._models:
            mass, total = start, 0.0
            reward = model.one_step()[self._arms, self._level]
            for step in range(steps):
                total += self._discount**step * float((mass * reward).sum())
                mass = model.after(mass, self._level)
            values.append(total + self._discount**steps * float((mass * later).sum()))
        return float(np.mean(values))


def free_values(model: ArmDynamics, discount: float) -> Floats:
    """Optimal values (arms, states) of arms without a joint limit, by policy iteration.

    Args:
        model: of the arms.
        discount: per step, below 1.
    """
    reward = np.where(used_levels(model)[:, :, None], model.one_step(), -np.inf)
    arm, state = np.arange(model.arms)[:, None], np.arange(model.states)
    chosen = np.zeros((model.arms, model.states), int)
    value = np.zeros(chosen.shape)
    for _ in range(PASSES):
        own = reward[arm, chosen, state]
        value = values_of(model.transition[arm, chosen, state], own[..., None], discount)[..., 0]
        worth = reward + discount * np.einsum("jkst,jt->jks", model.transition, value)
        slack = 1e-12 * np.abs(value).max(1, keepdims=True)
        better = worth.max(1) > worth[arm, chosen, state] + slack
        if not better.any():
            break
        chosen = np.where(better, worth.argmax(1), chosen)
    best: Floats = worth.max(1)
    return best
