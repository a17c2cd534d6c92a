"""Rules of one's own: linear and integer constraints written in Pyomo."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, InfeasibleActionSet, MissingExtra
from worldplan.milp.program import Floats, Indices, Program
from worldplan.milp.sets import rule_checks
from worldplan.milp.sets.base import Action, check_names, check_size
from worldplan.milp.sets.rule_files import load_build, sees_today
from worldplan.milp.sets.rules import ASSIGNMENT, HOURS, SKILL, STRUCTURE
from worldplan.milp.sets.solved_set import SolvedSet
from worldplan.milp.sets.source import SetContext, naming_files
from worldplan.milp.sets.today import known, today_of


@dataclass(frozen=True)
class Rule:
    """One side of a row of the rules.

    Args:
        name: of the constraint in Pyomo: "day", "district[2]".
        row: its number.
        way: 1 for an upper side (at most), -1 for a lower side (at least).
        amount: the side's value, after all constants have been moved to it.
    """

    name: str
    row: int
    way: int
    amount: float

    @property
    def step(self) -> str:
        """What loosening the rule by one unit is, in words."""
        return "at most one more" if self.way > 0 else "at least one fewer"


class PyomoSet(SolvedSet):
    """Actions that satisfy constraints written in Pyomo.

    The model is turned into matrices once, by Pyomo's standard-form compiler. Pyomo is not used
    afterwards, and the object can be pickled whatever `build` is. Such a set need not contain the
    empty action, nor stay feasible when a component is removed. So every check and every sample is
    one small MILP.

    Args:
        build: gets a ConcreteModel with binary variables `block.a[0] .. block.a[size-1]` over
            `block.arms`, and adds linear constraints and further variables.
        size: number of components.
        arm_names: of the components, for tables and messages.
        waived: names of constraints that are left out, such as "day" or "district[2]"; "a[Ann]" is
            the bounds of Ann's action variable.
        some: whether names in `waived` may be those of no constraint: rules of some days only.

    Raises:
        ConfigError: `build` adds an objective or a nonlinear constraint, fails, returns something
            else than components, or has numbers that no solver takes; or a constraint that is to
            be left out is not there.
        InfeasibleActionSet: no action satisfies the rules.
        MissingExtra: Pyomo is not installed.
    """

    def __init__(
        self,
        build: Callable[[Any], None],
        size: int,
        arm_names: Sequence[Any] | None = None,
        waived: Collection[str] = (),
        some: bool = False,
    ) -> None:
        check_size(size, "the list of arms")
        if not callable(build):
            raise ConfigError(
                f"build is {checks.shown(build)}: give a function that adds constraints to a block"
            )
        check_names(arm_names, size, "arm")
        self.size, self.arm_names = size, arm_names
        self._compile(build)
        if waived:
            self._waive(waived, some)
        exact = self._problem()
        self.least, self.most = 0, size
        try:
            self.least = int(np.ceil(-exact.solve(-1.0).bound - 1e-6))
        except InfeasibleActionSet as error:
            raise self._infeasible() from error
        self.most = int(np.floor(exact.solve(1.0).bound + 1e-6))
        self.selectable = self._used()

    @classmethod
    def from_files(cls, context: SetContext) -> Self:
        """From `constraint.rules`, "rules.py:build": a file and its function that adds the rules.

        Raises:
            ConfigError: the setting, the file or the function is missing, or the function fails.
            InfeasibleActionSet: no action satisfies the rules; the message names the file.
        """
        rules = context.settings.rules
        if rules is None:
            raise ConfigError(
                "constraint.rules is missing: give 'rules.py:build', "
                "a function that adds Pyomo constraints to the block it is given"
            )
        name, _, function = rules.rpartition(":")
        file = context.find(name)
        with naming_files(file, errors=(ConfigError, InfeasibleActionSet)):
            build = load_build(f"{file}:{function}")
            if sees_today(build):
                return cls._of_day(build, context)
            return cls(build, len(context.arms), context.arms, context.waived, context.date is None)

    @classmethod
    def _of_day(cls, build: Callable[..., None], context: SetContext) -> Self:
        """The rules of a function that sees the day of a context.

        Raises:
            ConfigError: the function fails.
            InfeasibleActionSet: no action satisfies the rules.
        """
        today = today_of(context)
        try:
            return cls(
                lambda block: build(block, today),
                len(context.arms),
                context.arms,
                context.waived,
                context.date is None,
            )
        except ConfigError as error:
            states = context.states or ()
            if None in states and "NoneType" in str(error):
                arm = context.arms[states.index(None)]
                raise ConfigError(
                    f"{error}: today.states holds None for arm '{arm}', whose state is not known: "
                    "leave the rule out for such an arm"
                ) from error
            if context.date is not None or not _for_want_of_a_day(str(error), context.arms):
                raise
            raise ConfigError(
                f"{error}: on any day (a later one, or without --date) today.date is None and "
                "today.last_visits empty: leave the rule out then"
            ) from error

    @classmethod
    def from_file(cls, reference: str, size: int) -> Self:
        """The rules of a function in a file, "rules.py:build", for `size` components.

        Raises:
            ConfigError: the file or the function is missing, or one of them fails.
            InfeasibleActionSet: no action satisfies the rules.
        """
        return cls(load_build(reference), size)

    def _compile(self, build: Callable[[Any], object]) -> None:
        """Turn the rules into matrices and bounds.

        Raises:
            ConfigError: `build` adds an objective or a nonlinear constraint, fails, returns
                something, replaces `block.a`, or has numbers that no solver takes.
            InfeasibleActionSet: a constraint has no variables, and is not met.
            MissingExtra: Pyomo is not installed.
        """
        try:
            import pyomo.environ as pyo
            from pyomo.common.errors import InfeasibleConstraintException
            from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler
        except ImportError as error:
            raise MissingExtra("rules in Pyomo need it installed: pip install pyomo") from error
        block = pyo.ConcreteModel()
        block.arms = pyo.RangeSet(0, self.size - 1)
        block.a = actions = pyo.Var(block.arms, domain=pyo.Binary)
        try:
            returned = build(block)
        except ConfigError as error:
            raise ConfigError(f"build(): {error}") from error
        except (Exception, SystemExit) as error:
            raise ConfigError(f"build() failed ({type(error).__name__}: {error})") from error
        rule_checks.refuse_returned(returned)
        rule_checks.refuse_replaced(block, actions)
        if any(True for _ in block.component_data_objects(pyo.Objective, active=True)):
            raise ConfigError(
                "build() adds an objective: leave it out, a feasible set only has constraints"
            )
        # The compiler drops variables that occur in no constraint: this objective, which is not
        # used, keeps every action variable.
        block.worldplan_objective = pyo.Objective(expr=sum(block.a[j] for j in block.arms))
        try:
            form = LinearStandardFormCompiler().write(block, mixed_form=True)
        except InfeasibleConstraintException as error:
            raise InfeasibleActionSet(
                f"the rules admit no action: {error}: relax it, or leave it out"
            ) from error
        except Exception as error:
            raise ConfigError(
                f"build() adds something that is not linear: {' '.join(str(error).split())}"
            ) from error
        position = pyo.ComponentMap((block.a[j], j) for j in block.arms)
        places = [position.get(variable) for variable in form.columns]
        own = [k for k, place in enumerate(places) if place is not None]
        extra = [k for k, place in enumerate(places) if place is None]
        matrix = sparse.csc_array(form.A)
        rhs, kind = (
            np.asarray(form.rhs, dtype=float),
            np.array([row.bound_type for row in form.rows], dtype=int),
        )
        names = [str(row.constraint.name) for row in form.rows]
        rule_checks.refuse_numbers(sparse.csr_array(matrix), rhs, names)
        self._row_lower = np.where(kind <= 0, rhs, -np.inf)
        self._row_upper = np.where(kind >= 0, rhs, np.inf)
        rows = matrix.shape[0]
        spread = sparse.csc_array(
            (np.ones(len(own)), (np.arange(len(own)), [places[k] for k in own])),
            shape=(len(own), self.size),
        )
        self._action_matrix = (
            sparse.csr_array(matrix[:, own] @ spread) if rows else sparse.csr_array((0, self.size))
        )
        self._extra_matrix = (
            sparse.csr_array(matrix[:, extra]) if rows else sparse.csr_array((0, len(extra)))
        )
        self.row_names = names
        docs = [row.constraint.parent_component().doc for row in form.rows]
        self.structural = np.array([doc == STRUCTURE for doc in docs], dtype=bool)
        self._limits = [doc not in (STRUCTURE, SKILL) for doc in docs]
        self.hours_rows = {
            number: str(row.constraint.index())
            for number, (row, doc) in enumerate(zip(form.rows, docs, strict=True))
            if doc == HOURS
        }
        variables = [form.columns[k] for k in extra]
        self.variable_names = [variable.name for variable in variables]
        assigned = [v.parent_component().doc == ASSIGNMENT for v in variables]
        self._assigned = [
            tuple(map(str, v.index())) if own else None
            for v, own in zip(variables, assigned, strict=True)
        ]
        self._lower = np.array([-np.inf if v.lb is None else v.lb for v in variables], dtype=float)
        self._upper = np.array([np.inf if v.ub is None else v.ub for v in variables], dtype=float)
        self._integer = np.array([not v.is_continuous() for v in variables], dtype=bool)
        # build() may set bounds and values of the action variables
        bounds = [
            (v.value, v.value) if v.fixed else v.bounds for v in (block.a[j] for j in block.arms)
        ]
        self._action_lower = np.array([max(0.0, low or 0.0) for low, _ in bounds])
        self._action_upper = np.array(
            [1.0 if high is None else min(1.0, high) for _, high in bounds]
        )

    def _waive(self, names: Collection[str], some: bool) -> None:
        """Leave the rows with these names without bounds.

        Raises:
            ConfigError: there is no such rule.
        """
        rows = np.array(self.row_names, dtype=object)
        rules = [name for name, fixed in zip(rows, self.structural, strict=True) if not fixed]
        bounded = {self.name_of_fixed(component): component for component, _ in self.fixed()}
        for name in () if some else names:
            known(name, [*rules, *bounded], "rule")
        free = np.isin(rows, list(names))
        self._row_lower[free], self._row_upper[free] = -np.inf, np.inf
        components = [component for name, component in bounded.items() if name in names]
        self._action_lower[components], self._action_upper[components] = 0.0, 1.0

    def name_of_fixed(self, component: int) -> str:
        """The name by which bounds that `build` gave to an action variable are left out."""
        return f"a[{component if self.arm_names is None else self.arm_names[component]}]"

    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        # one column at a time: they keep the order of `variable_names` although some are integer
        extra = [
            program.add_columns(1, low, high, integer=bool(whole) and not relaxed)
            for low, high, whole in zip(self._lower, self._upper, self._integer, strict=True)
        ]
        columns = np.concatenate(extra) if extra else np.zeros(0, np.int64)
        program.add_rows(
            (action, self._action_matrix),
            (columns, self._extra_matrix),
            lower=self._row_lower,
            upper=self._row_upper,
        )
        bounded = np.flatnonzero((self._action_lower > 0) | (self._action_upper < 1))
        if len(bounded):
            program.add_rows(
                (action[bounded], sparse.eye_array(len(bounded), format="csr")),
                lower=self._action_lower[bounded],
                upper=self._action_upper[bounded],
            )

    def _infeasible(self) -> InfeasibleActionSet:
        """The error that names the rules that conflict."""
        from worldplan.milp.sets.conflicts import conflict_of  # which knows of all sets

        conflict = conflict_of(self)
        head = "the rules admit no action:"
        if conflict is None:
            return InfeasibleActionSet(f"{head} relax one of the constraints that build() adds")
        return conflict.error(head + " {0}")

    @property
    def assigns_workers(self) -> bool:
        """Whether the rules say which worker serves each arm."""
        return any(pair is not None for pair in self._assigned)

    def rules(self) -> list[Rule]:
        """The rows of the rules by name; an equation and a range have two rules each.

        Rows that only define variables of `rules.assign_workers`, and its skills, are none.
        """
        rules = []
        for row in np.flatnonzero(self._limits).tolist():
            name = self.row_names[row]
            for way, side in ((1, self._row_upper[row]), (-1, self._row_lower[row])):
                if np.isfinite(side):
                    rules.append(Rule(name, row, way, float(side)))
        return rules

    def most_of(self, row: int) -> float:
        """The upper side of a row."""
        return float(self._row_upper[row])

    def fixed(self) -> list[tuple[int, float]]:
        """(component, value) for the action variables whose bounds `build` has changed.

        Their rows come after those of the rules.
        """
        bounded = np.flatnonzero((self._action_lower > 0) | (self._action_upper < 1))
        return [(int(j), float(self._action_lower[j] or self._action_upper[j])) for j in bounded]

    def loosened(self, row: int, by: int) -> Self:
        """The set whose upper side of a row is raised by `by`, or lower side lowered by -`by`."""
        other = copy.copy(self)
        other._row_lower, other._row_upper = self._row_lower.copy(), self._row_upper.copy()
        if by > 0:
            other._row_upper[row] += by
        else:
            other._row_lower[row] += by
        for remembered in ("_loaded", "_memory"):
            other.__dict__.pop(remembered, None)
        other.least, other.most = 0, self.size
        other.selectable = np.ones(self.size, bool)
        return other

    def _used(self) -> NDArray[np.bool_]:
        """(size,) true for the components that some feasible action selects.

        Each MILP requires one component that is not known to be used, and maximises the number of
        further such components.
        """
        used = np.zeros(self.size, bool)
        for component in range(self.size):
            if used[component]:
                continue
            lower = (np.arange(self.size) == component).astype(float)
            try:
                used |= self._problem().best(1.0 - 2.0 * used, lower=lower).astype(bool)
            except InfeasibleActionSet:
                continue
        return used

    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        return self._problem().complete(action)

    def probably_contains(self, action: Action) -> bool:
        return self._remember(action, exact=True)

    def sample(self, generator: np.random.Generator) -> Action:
        """The best action (size,) for random weights."""
        return self._problem().best(generator.standard_normal(self.size))

    def explain(self, action: Action) -> list[dict[str, Any]]:
        """A row per component of `action` (size,), then one per further variable that is not zero.

        Where `rules.assign_workers` was used, a row has the worker instead of the variable. No rows
        for an infeasible action.
        """
        values = self.witness(action)
        if values is None:
            return []
        rows: list[dict[str, Any]] = [{"arm": int(arm)} for arm in np.flatnonzero(action)]
        workers: dict[str, str] = {}
        others: list[dict[str, Any]] = []
        named = zip(self.variable_names, self._assigned, values.tolist(), strict=True)
        for name, pair, value in named:
            if abs(value) > 1e-9 and pair is not None:
                workers[pair[1]] = pair[0]
            elif abs(value) > 1e-9:
                others.append({"variable": name, "value": value})
        if workers and self.arm_names is not None:
            for row in rows:
                row["worker"] = workers.get(str(self.arm_names[row["arm"]]), "")
        return rows + others


def _for_want_of_a_day(text: str, arms: Sequence[str]) -> bool:
    """Whether an exception of `build` comes from what is None or empty on any day."""
    return "NoneType" in text or any(f"(KeyError: {name!r})" in text for name in arms)
