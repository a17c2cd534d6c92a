"""Values of single arms that need no training: at prices, without any price, and Whittle indices.

With n steps to go, arm j in state s and level k,

    Q_njs(k) = r_js(k) + sum_s' P_js(s'|k) V_{n-1,j}(s')

where V is one of

* the value at the prices of a relaxation: of a plain budget (`lagrangian`), of the convex hull of
  the action set (`hull`), or the dual values of the fluid relaxation for several levels (`fluid`);
* the value without any limit, the best level in every step.

Everything is computed for the programme at hand, whoever its clients are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.bandits.environment import BanditInstance, Floats, Ints
from worldplan.milp.sets.fixed import budget_of
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.fluid import FluidProgram
from worldplan.planners.bandits.group_values import GroupTable, main_effects
from worldplan.planners.bandits.hull import HullBound
from worldplan.planners.bandits.joint import JointBound, suits
from worldplan.planners.bandits.lagrangian import LagrangianBound
from worldplan.planners.bandits.whittle_horizon import finite_whittle_indices

GAP = 2e-3  # of the search for prices
STARTS = {
    "pulls": ("prices", "whittle", "prices-whittle", "myopic"),
    "levels": ("prices", "joint", "myopic"),
}


def kind_of(instance: BanditInstance) -> str:
    """ "pulls" if an arm is pulled or not, "levels" if several interventions reach it."""
    return "pulls" if instance.dynamics.effect is None else "levels"


class ArmValues:
    """Values of each arm by steps to go, state and level.

    Args:
        instance: in planned rewards (`worldplan.planners.bandits.units`), with the feasible actions
            of the days to come.
        solver: of the search for prices, and its time limit.

    Attributes:
        reference: (arms,) level of each arm without interventions.
        share: (arms, levels) strength of each level, as a share of the strongest.
        reached: (arms,) whether an intervention on the arm is ever possible.
        value: (horizon + 1, arms, states) at the prices; `constant` (horizon + 1,) is added to its
            sum.
        price: (horizon + 1, arms) of a pull; zero for several levels.
        groups: values of groups of arms, where the joint bound suits the programme.

    Raises:
        SolverFailed: no prices within the time limit.
    """

    def __init__(self, instance: BanditInstance, solver: SolverSettings) -> None:
        self.instance, self.kind = instance, kind_of(instance)
        model, actions = instance.dynamics, instance.actions
        self.arms = np.arange(model.arms)
        level = _last_used(model.strengths, model.arms, model.levels)
        self.move: Floats = model.transition[self.arms[:, None], level].transpose(0, 2, 1, 3)
        self.now: Floats = model.one_step()[self.arms[:, None], level].transpose(0, 2, 1)
        self.reference: Ints = model.level(np.zeros(model.components))
        self.share = _shares(model.strengths, self.reference, model.arms, model.levels)
        usable = np.asarray(actions.selectable, dtype=bool)
        if model.effect is not None:
            usable = np.asarray(((model.effect != 0) & usable).any(1))
        self.reached: NDArray[np.bool_] = usable
        self.groups: tuple[GroupTable, ...] = ()
        self.price: Floats = np.zeros((instance.horizon + 1, model.arms))
        if model.effect is not None:
            self.value, self.constant = self._fluid_values(solver)
            if suits(instance):
                self.groups = tuple(JointBound(instance, solver, gap=GAP).group_values())
        else:
            self.price[1:], support = self._pull_prices(solver)
            self.value = self._recursion(self.price)
            self.constant = np.append(0.0, np.cumsum(support))
        self.free_value = self._recursion(None)
        self._index: dict[int, Floats] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> ArmValues:
        return self  # it does not change

    @property
    def starts(self) -> tuple[str, ...]:
        """Names of the separable values from which learning may start."""
        return tuple(name for name in STARTS[self.kind] if name != "joint" or self.groups)

    def start(self, name: str, left: int) -> Floats:
        """The values (arms, states, levels) of a start with `left` steps to go.

        Args:
            name: one of `starts`, or "none" for zeros.
            left: steps to go; zero: zeros.
        """
        if left == 0 or name == "none":
            return np.zeros_like(self.now)
        priced = self.priced(left)
        if name == "prices":
            return priced
        if name == "myopic":
            return self.passive(priced)[..., None] + self.now - self.passive(self.now)[..., None]
        if name == "joint":
            return self._main_effects(priced, left)
        gain = self.indices(left)
        if name == "prices-whittle":
            gain = (gain + priced[..., 1] - priced[..., 0]) / 2
        return np.stack([priced[..., 0], priced[..., 0] + gain], axis=-1)

    def offset(self, name: str, left: int) -> float:
        """What is added to the sum over the arms of the values of a start: what the action set can
        earn at the prices in the steps after this one.
        """
        return 0.0 if left == 0 or name in ("none", "joint") else float(self.constant[left - 1])

    def passive(self, values: Floats) -> Floats:
        """Of values (arms, states, levels), those without interventions, (arms, states)."""
        return values[self.arms, :, self.reference]

    def priced(self, left: int) -> Floats:
        """Values (arms, states, levels) at the prices."""
        return self._ahead(self.value[left - 1])

    def free(self, left: int) -> Floats:
        """Values (arms, states, levels) without any limit."""
        return self._ahead(self.free_value[left - 1])

    def indices(self, left: int) -> Floats:
        """Whittle indices (arms, states) of arms that are pulled or not."""
        if left not in self._index:
            self._index[left] = finite_whittle_indices(self.instance.dynamics, left)
        return self._index[left]

    def expected(self, after: Floats) -> Floats:
        """Mean of `after` (arms, states) over the next states, (arms, states, levels)."""
        mean: Floats = np.einsum("jskt,jt->jsk", self.move, after)
        return mean

    # ---- the values

    def _ahead(self, after: Floats) -> Floats:
        """Reward and what follows, (arms, states, levels), if states are worth `after`."""
        return self.now + self.expected(after)

    def _recursion(self, price: Floats | None) -> Floats:
        """Value (horizon + 1, arms, states) of the best level in each step.

        Args:
            price: (horizon + 1, arms) of the second level; None: no level has a price.
        """
        value = np.zeros((self.instance.horizon + 1, *self.now.shape[:2]))
        idle = (~self.reached)[:, None, None] & (
            np.arange(self.now.shape[2]) != self.reference[:, None, None]
        )
        for left in range(1, len(value)):
            worth = self._ahead(value[left - 1])
            if price is not None:
                worth[..., 1] -= price[left][:, None]
            value[left] = np.where(idle, -np.inf, worth).max(-1)
        return value

    def _pull_prices(self, solver: SolverSettings) -> tuple[Floats, Floats]:
        """Prices of a pull by steps to go, (horizon, arms), and what the action set can earn at
        them, (horizon,).
        """
        instance = self.instance
        budget = budget_of(instance.actions)
        if budget is not None:
            found = LagrangianBound(instance, solver, gap=GAP).solve(instance.initial)
            prices = found.prices[::-1]
            return np.repeat(prices[:, None], len(self.arms), axis=1), budget.budget.most * prices
        hull = HullBound(instance, solver, gap=GAP).solve()
        return hull.prices[::-1], hull.support[::-1]

    def _fluid_values(self, solver: SolverSettings) -> tuple[Floats, Floats]:
        """Dual values of the fluid relaxation from the start distribution, and their constant."""
        instance = self.instance
        program = FluidProgram([instance.dynamics], instance.actions, instance.horizon, solver)
        tables = program.value_tables(program.solve(instance.initial))
        return tables.table, tables.constant

    def _main_effects(self, priced: Floats, left: int) -> Floats:
        """Group values as a sum over arms: the effect of each arm's state, the others' states
        weighed equally, (arms, states, levels). Arms without a group keep `priced`.
        """
        values = priced.copy()
        for group in self.groups:
            effects = main_effects(group, group.values[left : left + 1], self.instance.dynamics)
            for arm, own in zip(group.arms, effects, strict=True):
                values[arm] = own[0]
        return values


def _last_used(strengths: Floats | None, arms: int, levels: int) -> Ints:
    """(arms, levels) each level, or the last used one where the rest repeats its strength."""
    number = np.tile(np.arange(levels), (arms, 1))
    if strengths is None:
        return number
    used = np.diff(strengths, axis=1, prepend=-np.inf) > 1e-9
    return np.asarray(np.maximum.accumulate(np.where(used, number, 0), axis=1))


def _shares(strengths: Floats | None, reference: Ints, arms: int, levels: int) -> Floats:
    """Strengths (arms, levels) beyond that without interventions, the largest 1 in size."""
    if strengths is None:
        return np.tile(np.linspace(0.0, 1.0, levels), (arms, 1))
    beyond = strengths - strengths[np.arange(arms), reference][:, None]
    most = np.abs(beyond).max(1, keepdims=True)
    return np.asarray(beyond / np.where(most > 0, most, 1.0))
