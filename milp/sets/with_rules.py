"""A feasible set of any kind with rules of one's own on top."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, InfeasibleActionSet
from worldplan.milp.program import Floats, Indices, Program
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.sets.conflicts import conflict_of
from worldplan.milp.sets.custom import PyomoSet
from worldplan.milp.sets.limits import Limit, limits_of
from worldplan.milp.sets.named_rows import RowGroup, add_rules
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.routes.forced import forced_in, no_route, route_of
from worldplan.milp.sets.schedule import Schedule
from worldplan.milp.sets.solved_set import SolvedSet


class WithRules(SolvedSet):
    """The actions of a set that also satisfy rules.

    Args:
        inner: a set of any kind.
        rules: of as many components.
        check: whether to refuse an empty set.

    Raises:
        ConfigError: the rules have another number of components, or assign workers whom the set
            assigns itself.
        InfeasibleActionSet: no action satisfies both; names what conflicts.
    """

    def __init__(self, inner: ActionSet, rules: PyomoSet, *, check: bool = True) -> None:
        checks.of_type(inner, "inner", ActionSet, remedy="an ActionSet")
        checks.of_type(rules, "rules", PyomoSet, remedy="a PyomoSet")
        checks.truth(check, "check")
        if inner.size != rules.size:
            raise ConfigError(
                f"the rules have {rules.size} components and the set {inner.size}: give the same"
            )
        if rules.assigns_workers and isinstance(inner, Schedule):
            raise ConfigError(
                "assign_workers on top of kind 'schedule', which assigns workers itself: use kind "
                "'custom' or 'capacity'"
            )
        self.inner, self.rules, self.size = inner, rules, inner.size
        self.arm_names = inner.arm_names
        self.selectable = inner.selectable & rules.selectable
        self.least = max(inner.least, rules.least)
        self.most = min(inner.most, rules.most, int(self.selectable.sum()))
        try:
            if check and no_route(self):
                raise InfeasibleActionSet("no route passes all that the rules force in")
            if check:
                self._problem().best(0.0)
        except InfeasibleActionSet as error:
            conflict = conflict_of(self, names=None if inner.arm_names is None else self._names())
            head = "no action satisfies all rules:"
            if conflict is None:
                raise InfeasibleActionSet(f"{head} relax one of them") from error
            raise conflict.error(head + " {0}") from error

    def _names(self) -> list[str]:
        return [str(name) for name in self.arm_names or range(self.size)]

    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        self.inner.add_constraints(program, action, relaxed=relaxed)
        self.rules.add_constraints(program, action, relaxed=relaxed)

    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        inner = self.inner.witness(action, exact=exact)
        rules = None if inner is None else self.rules.witness(action, exact=exact)
        return None if inner is None or rules is None else np.concatenate([inner, rules])

    def sample(self, generator: np.random.Generator) -> Action:
        """The best action (size,) for random positive weights."""
        return self._problem().best(generator.random(self.size) + 0.01)

    def explain(self, action: Action) -> list[dict[str, Any]]:
        """The rows of the inner set, then the rules' own variables that are not zero.

        Workers are those of `rules.assign_workers` where it was used.
        """
        rows = self.inner.explain(action)
        if not self.contains(action):
            return []
        own = self.rules.explain(action)
        workers = {row["arm"]: row["worker"] for row in own if "worker" in row}
        names = [str(name) for name in self.arm_names or range(self.size)]
        for row in rows if workers else []:
            arm = row["arm"]
            row["worker"] = workers[arm if isinstance(arm, int) else names.index(str(arm))]
        return rows + [row for row in own if "variable" in row]

    def limits(self) -> list[Limit]:
        """The limits of the inner set, then those of the rules."""

        def of_inner(limit: Limit) -> Limit:
            return Limit(
                limit.name,
                limit.step,
                limit.amount,
                lambda by: WithRules(limit.raised(by), self.rules, check=False),
                limit.key,
            )

        def of_rules(limit: Limit) -> Limit:
            def raised(by: int) -> ActionSet:
                rules = limit.raised(by)
                assert isinstance(rules, PyomoSet)
                return WithRules(self.inner, rules, check=False)

            return Limit(limit.name, limit.step, limit.amount, raised)

        return [*map(of_inner, limits_of(self.inner)), *map(of_rules, limits_of(self.rules))]


@add_rules.register
def _both(actions: WithRules, program: Program, action: Indices) -> list[RowGroup]:
    inner = add_rules(actions.inner, program, action)
    return [*inner, *add_rules(actions.rules, program, action)]


@route_of.register
def _route(actions: WithRules) -> Path | None:
    return route_of(actions.inner)


@forced_in.register
def _forced(actions: WithRules) -> set[int]:
    return forced_in(actions.inner) | forced_in(actions.rules)
