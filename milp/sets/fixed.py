"""A feasible set with some components fixed: absent arms, and arms that must or must not be
selected today.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from worldplan.milp.errors import InfeasibleActionSet
from worldplan.milp.program import Floats, Indices, Program
from worldplan.milp.sets.base import Action, ActionSet, Budget
from worldplan.milp.sets.conflicts import conflict_of
from worldplan.milp.sets.limits import Limit, limits_of
from worldplan.milp.sets.named_rows import RowGroup, add_rules
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.routes.forced import forced_in, no_route, route_of
from worldplan.milp.sets.solved_set import SolvedSet

Truths = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class FixedBudget:
    """A plain budget with some components fixed.

    Args:
        budget: the limit.
        lower: (size,) 1 where a component is selected today.
        upper: (size,) 0 where it is not selected today.
        never: (size,) components that are not selected on any day.
    """

    budget: Budget
    lower: Action
    upper: Action
    never: Truths

    @property
    def feasible(self) -> bool:
        """Whether there is any action."""
        forced, left = int(self.lower.sum()), int(self.upper.sum())
        fits = forced <= self.budget.most and left >= self.budget.least
        return fits and not (self.lower > self.upper).any()

    def best(self, gain: Floats) -> Action:
        """The best action (size,) for the gains (size,) of the components.

        The components that are forced in come first, then the largest gains; beyond `least`
        components, positive gains only. What is not above the rounding of the largest gain counts
        as zero.
        """
        action = self.lower.copy()
        order = np.argsort(-gain, kind="stable")
        order = order[(self.lower[order] == 0) & (self.upper[order] == 1)]
        forced = int(action.sum())
        order = order[: max(self.budget.most - forced, 0)]
        positive = gain[order] > 1e-13 * np.abs(gain).max(initial=0.0)
        action[order[positive | (np.arange(len(order)) < self.budget.least - forced)]] = 1
        return action


class Fixed(SolvedSet):
    """The actions of a set in which some components are fixed, today or for good.

    The relaxation (`relaxed=True`), by which planners describe later days, only leaves out the
    components in `never`: who is absent or forced today need not be so tomorrow.

    Args:
        inner: the set.
        never: (size,) components that are not selected on any day.
        absent: (size,) components that are not selected today.
        forced: (size,) components that are selected today.
        names: of the components, for messages; their numbers unless given.

    Raises:
        InfeasibleActionSet: no action of the set fits; says which rules conflict.
    """

    def __init__(
        self,
        inner: ActionSet,
        never: Truths,
        absent: Truths,
        forced: Truths,
        names: Sequence[str] | None = None,
    ) -> None:
        self.inner, self.size, self.arm_names = inner, inner.size, inner.arm_names
        self._parts = never, absent, forced
        self._never, self._absent, self._forced = never, never | absent, forced
        self.selectable = inner.selectable & ~self._absent
        self.least = max(inner.least, int(forced.sum()))
        self.most = min(inner.most, int(self.selectable.sum()))
        self._budget = budget_of(self)
        try:
            if self._budget is not None and not self._budget.feasible:
                raise InfeasibleActionSet("more are fixed than the budget allows")
            if no_route(self):
                raise InfeasibleActionSet("no route passes all that are forced in")
            if self._budget is None:
                self._best(0.0)
        except InfeasibleActionSet as error:
            lower, upper = forced.astype(np.int8), (~self._absent).astype(np.int8)
            conflict = conflict_of(inner, lower, upper, names)
            if conflict is None:
                raise InfeasibleActionSet("force or leave out fewer") from error
            raise conflict.error("{0}, or force or leave out fewer") from error

    @property
    def forced(self) -> Indices:
        """The components that are selected today."""
        return np.flatnonzero(self._forced)

    @property
    def fixed_today(self) -> int:
        """How many components are fixed today."""
        return int((self._absent | self._forced).sum())

    def within(self, inner: FixedBudget) -> FixedBudget:
        """The budget `inner`, of the inner set, with what this set fixes."""
        lower = np.maximum(inner.lower, self._forced.astype(np.int8))
        upper = np.minimum(inner.upper, (~self._absent).astype(np.int8))
        return FixedBudget(inner.budget, lower, upper, inner.never | self._never)

    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        self.inner.add_constraints(program, action, relaxed=relaxed)
        self.add_fixed(program, action, relaxed=relaxed)

    def add_fixed(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        """Add the rows of the fixed components; arguments as in `add_constraints`."""
        out = self._never if relaxed else self._absent
        fixed = np.flatnonzero(out if relaxed else out | self._forced)
        if len(fixed):
            value = 0.0 if relaxed else self._forced[fixed].astype(float)
            unit = sparse.eye_array(len(fixed), format="csr")
            program.add_rows((action[fixed], unit), lower=value, upper=value)

    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        selected = action.astype(bool)
        if (selected & self._absent).any() or (self._forced & ~selected).any():
            return None
        return self.inner.witness(action, exact=exact)

    def default(self) -> Action:
        """The set's own default action where it fits, else one with the fewest components."""
        own = self.inner.default()
        return own if self.contains(own) else super().default()

    def sample(self, generator: np.random.Generator) -> Action:
        """The best action (size,) for random positive weights."""
        return self._best(1.0 + generator.random(self.size))

    def _best(self, weights: ArrayLike) -> Action:
        """As in `SolvedSet`; a budget needs no solver."""
        if self._budget is None:
            return super()._best(weights)
        return self._budget.best(np.broadcast_to(np.asarray(weights, float), (self.size,)))

    def explain(self, action: Action) -> list[dict[str, Any]]:
        return self.inner.explain(action)

    def limits(self) -> list[Limit]:
        """The limits of the inner set; a raised one keeps what is fixed."""
        return [
            dataclasses.replace(limit, raised=partial(self._raised, limit))
            for limit in limits_of(self.inner)
        ]

    def _raised(self, limit: Limit, by: int) -> ActionSet:
        return Fixed(limit.raised(by), *self._parts)


def budget_of(actions: ActionSet) -> FixedBudget | None:
    """What a plain budget fixes, also where it is the inner set of `Fixed`; None for other sets."""
    if type(actions) is Budget:
        size = actions.size
        nothing = np.zeros(size, bool)
        return FixedBudget(actions, np.zeros(size, np.int8), np.ones(size, np.int8), nothing)
    inner = budget_of(actions.inner) if isinstance(actions, Fixed) else None
    return None if inner is None or not isinstance(actions, Fixed) else actions.within(inner)


@add_rules.register
def _fixed_rules(actions: Fixed, program: Program, action: Indices) -> list[RowGroup]:
    """The rules of the inner set, then that of the fixed components."""
    groups = add_rules(actions.inner, program, action)
    first = program.rows
    actions.add_fixed(program, action)
    rows = np.arange(first, program.rows)
    return [*groups, RowGroup("who is there today", rows)] if len(rows) else groups


@route_of.register
def _route(actions: Fixed) -> Path | None:
    return route_of(actions.inner)


@forced_in.register
def _forced(actions: Fixed) -> set[int]:
    return forced_in(actions.inner).union(actions.forced.tolist())


def fixed(
    actions: ActionSet,
    never: Truths,
    absent: Truths,
    forced: Truths,
    names: Sequence[str] | None = None,
) -> ActionSet:
    """`Fixed`, or the set itself where nothing is fixed; arguments and errors as in `Fixed`."""
    if not (never | absent | forced).any():
        return actions
    return Fixed(actions, never, absent, forced, names)
