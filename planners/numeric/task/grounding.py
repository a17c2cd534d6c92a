"""Grounding by joins: the bindings whose positive atoms are reachable together, ignoring deletes,
and whose static conditions hold.

Atoms are taken from a queue, starting with the initial ones. Each atom is matched with every
positive precondition that it fits, the other preconditions are joined on indexed atoms taken
earlier, and the adds of the resulting actions join the queue (semi-naive evaluation of the delete
relaxation as a logic program). The work therefore grows with the number of bindings found, not with
the product of the types.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from worldplan.milp.errors import DatasetError
from worldplan.world_models.numeric.domain import (
    Comparison,
    Ground,
    Lifted,
    NumericAction,
    NumericModel,
    NumericProblem,
    Region,
    State,
    ground,
    object_for,
)
from worldplan.world_models.numeric.metrics import TOTAL_TIME
from worldplan.world_models.numeric.products import unplannable

Binding = list[str]  # the object of each parameter; "" where it is not bound yet
Test = Callable[[Binding], bool]
StaticCheck = tuple[frozenset[int], Test]  # the parameters that the test reads, the test
# arguments of the atoms of one predicate, by the arguments at some of the places
Index = dict[Ground, list[Ground]]


def check_problem(model: NumericModel, problem: NumericProblem) -> None:
    """Check that a problem fits a model.

    Args:
        model: the model.
        problem: the problem.

    Raises:
        DatasetError: an object of unknown type, an unknown predicate, function or object, or a
            wrong number of arguments.
    """
    vocabulary, where = model.vocabulary, f"problem '{problem.name}'"
    for name, kind in problem.objects.items():
        if kind != "object" and kind not in vocabulary.types:
            raise DatasetError(
                f"{where}: object '{name}' has type '{kind}', which domain '{vocabulary.name}' "
                "does not declare"
            )
    goal_atoms = problem.goal.positive | problem.goal.negative
    goal_fluents = [
        fluent
        for comparison in problem.goal.comparisons
        for fluent in comparison.expression.fluents
    ]
    in_metric = () if problem.metric is None else problem.metric.expression.fluents
    metric_fluents = [f for f in in_metric if f != TOTAL_TIME or f[0] in vocabulary.functions]
    for place, what, known, items in (
        ("initial state", "predicate", vocabulary.predicates, problem.initial.atoms),
        ("initial state", "function", vocabulary.functions, problem.initial.values),
        ("goal", "predicate", vocabulary.predicates, goal_atoms),
        ("goal", "function", vocabulary.functions, goal_fluents),
        ("metric", "function", vocabulary.functions, metric_fluents),
    ):
        for item in items:
            _check_item(f"{where}, {place}", what, known, item, problem.objects)
    changing = {str(target[0]) for action in model.actions.values() for target, _ in action.effects}
    for comparison in problem.goal.comparisons:
        if reason := unplannable(comparison.expression.terms, changing):
            raise DatasetError(f"{where}, goal: {reason} is beyond exact linear planning")
    for action in model.actions.values():
        for atom in action.positive | action.negative | action.adds | action.deletes:
            _check_item(
                f"action '{action.name}'", "predicate", vocabulary.predicates, atom, problem.objects
            )
        for fluent in _fluents(action):
            _check_item(
                f"action '{action.name}'", "function", vocabulary.functions, fluent, problem.objects
            )


def _fluents(action: NumericAction) -> Iterator[Lifted]:
    """Every fluent of an action's conditions and effects."""
    for comparison in action.comparisons:
        yield from comparison.expression.fluents
    for region in action.regions:
        yield from region.fluents
    for target, after in action.effects:
        yield target
        yield from after.fluents


def _check_item(
    where: str,
    what: str,
    known: Mapping[str, tuple[str, ...]],
    item: Lifted,
    objects: Mapping[str, str],
) -> None:
    """Check one atom or fluent, ground or lifted.

    Args:
        where: for messages.
        what: "predicate" or "function".
        known: argument types of the declared ones, by name.
        item: the atom or fluent.
        objects: type of each object.

    Raises:
        DatasetError: the name, an object or the number of arguments is wrong.
    """
    name, *arguments = item
    if name not in known:
        raise DatasetError(
            f"{where}: unknown {what} '{name}' in ({' '.join(map(str, item))}); declare it in the "
            "domain"
        )
    if len(arguments) != len(known[str(name)]):
        raise DatasetError(
            f"{where}: {what} '{name}' takes {len(known[str(name)])} objects, "
            f"({' '.join(map(str, item))}) has {len(arguments)}"
        )
    for argument in arguments:
        if isinstance(argument, str) and argument not in objects:
            raise DatasetError(
                f"{where}: unknown object '{argument}' in ({' '.join(map(str, item))}); declare it "
                "in the problem"
            )


def reachable_bindings(
    model: NumericModel, problem: NumericProblem, check: Callable[[], None] = lambda: None
) -> Iterator[tuple[NumericAction, Ground]]:
    """Every (action, binding) whose delete-relaxed preconditions are reachable and whose static
    conditions hold, in a deterministic order.

    Args:
        model: the model.
        problem: the problem.
        check: called at every partial binding; it ends the grounding by raising.

    Raises:
        DatasetError: as in `check_problem`.
    """
    check_problem(model, problem)
    yield from _Grounder(model, problem, check).run()


@dataclass
class _JoinStep:
    """One step that extends a partial binding: by the atoms of an index, or by the objects of a
    parameter.

    Args:
        index: atoms to join with, by their arguments at bound places; None for the objects of
            `parameter`.
        key: bound parameters and constants, in the order of the index.
        binds: (argument place, parameter) pairs to bind. A parameter that occurs twice is compared
            the second time.
        parameter: the parameter to bind if there is no index.
        checks: tests to run after binding.
    """

    index: Index | None = None
    key: tuple[int | str, ...] = ()
    binds: tuple[tuple[int, int], ...] = ()
    parameter: int = -1
    checks: list[Test] = field(default_factory=list)


@dataclass
class _JoinPlan:
    """The steps that complete the bindings of one action once an atom has matched its pivot.

    Args:
        action: the action.
        pivot: the matched precondition; None if the action has no positive atoms.
        steps: the first one binds the arguments of the pivot.
    """

    action: NumericAction
    pivot: Lifted | None
    steps: list[_JoinStep]


class _Grounder:
    """The indices, queue and join plans of one grounding."""

    def __init__(
        self, model: NumericModel, problem: NumericProblem, check: Callable[[], None]
    ) -> None:
        self.model, self.problem, self.check = model, problem, check
        self.added = {atom[0] for action in model.actions.values() for atom in action.adds}
        self.deleted = {atom[0] for action in model.actions.values() for atom in action.deletes}
        self.changed = {
            target[0] for action in model.actions.values() for target, _ in action.effects
        }
        self.indices: dict[int | str, dict[tuple[int, ...], Index]] = {}  # by predicate and places
        self.fitting = {
            action.name: [
                {
                    name: None
                    for name, kind in sorted(problem.objects.items())
                    if model.vocabulary.is_a(kind, expected)
                }
                for _, expected in action.parameters
            ]
            for action in model.actions.values()
        }
        self.plans: dict[int | str, list[_JoinPlan]] = {}
        self.free_plans: list[_JoinPlan] = []
        for action in model.actions.values():
            checks = list(self._checks(action))
            for pivot in sorted(action.positive, key=str):
                self.plans.setdefault(pivot[0], []).append(self._plan(action, pivot, checks))
            if not action.positive:
                self.free_plans.append(self._plan(action, None, checks))

    def run(self) -> Iterator[tuple[NumericAction, Ground]]:
        """Every reachable (action, binding), once."""
        self.queue = deque(sorted(self.problem.initial.atoms))
        self.known = set(self.queue)
        known_bindings: set[tuple[str, Ground]] = set()
        for plan in self.free_plans:
            yield from self._fire(plan, (), known_bindings)
        while self.queue:
            name, *rest = self.queue.popleft()
            arguments = tuple(rest)
            for places, index in self.indices.get(name, {}).items():
                index.setdefault(tuple(arguments[place] for place in places), []).append(arguments)
            for plan in self.plans.get(name, ()):
                yield from self._fire(plan, arguments, known_bindings)

    def _fire(
        self, plan: _JoinPlan, arguments: Ground, known_bindings: set[tuple[str, Ground]]
    ) -> Iterator[tuple[NumericAction, Ground]]:
        """The new bindings of a join plan for one atom; their adds join the queue."""
        action = plan.action
        for binding in self._complete(plan, arguments):
            if (action.name, binding) not in known_bindings:
                known_bindings.add((action.name, binding))
                for atom in sorted(ground(lifted, binding) for lifted in action.adds):
                    if atom not in self.known:
                        self.known.add(atom)
                        self.queue.append(atom)
                yield action, binding

    def _checks(self, action: NumericAction) -> Iterator[StaticCheck]:
        """Tests of the conditions that no action of the model changes.

        Each test is run as soon as its parameters are bound.
        """
        initial = self.problem.initial
        for first, second in action.distinct:
            yield _parameters([first, second]), _differ(first, second)
        for atom in action.negative:
            if atom[0] not in self.deleted:
                yield _parameters(atom), _is_false(atom, initial)
        conditions: list[Comparison | Region] = [*action.comparisons, *action.regions]
        for condition in conditions:
            fluents = (
                condition.expression.fluents
                if isinstance(condition, Comparison)
                else condition.fluents
            )
            if all(fluent[0] not in self.changed for fluent in fluents):
                parameters = _parameters(term for fluent in fluents for term in fluent)
                yield parameters, _holds(condition, initial)

    def _plan(
        self, action: NumericAction, pivot: Lifted | None, checks: list[StaticCheck]
    ) -> _JoinPlan:
        """The join order for a pivot: always the atom with the fewest unbound parameters next, then
        the parameters that occur in no atom.
        """
        bound: set[int] = set()
        waiting = list(checks)
        steps: list[_JoinStep] = []

        def close(step: _JoinStep, binds: Iterable[int]) -> None:
            bound.update(binds)
            step.checks = [test for needs, test in waiting if needs <= bound]
            waiting[:] = [check for check in waiting if not check[0] <= bound]
            steps.append(step)

        places = tuple(
            (place, term)
            for place, term in enumerate((pivot or ("",))[1:])
            if isinstance(term, int)
        )
        close(_JoinStep(binds=places), [term for _, term in places])
        rest = sorted(action.positive - {pivot} if pivot else action.positive, key=str)
        while rest:
            atom = min(
                rest, key=lambda atom: (len(_parameters(atom) - bound), atom[0] in self.added)
            )
            rest.remove(atom)
            fixed = tuple(
                place
                for place, term in enumerate(atom[1:])
                if not isinstance(term, int) or term in bound
            )
            index = self.indices.setdefault(atom[0], {}).setdefault(fixed, {})
            binds = tuple(
                (place, term)
                for place, term in enumerate(atom[1:])
                if place not in fixed and isinstance(term, int)
            )
            close(
                _JoinStep(index, tuple(atom[1 + place] for place in fixed), binds),
                [term for _, term in binds],
            )
        for parameter in range(len(action.parameters)):
            if parameter not in bound:
                close(_JoinStep(parameter=parameter), [parameter])
        return _JoinPlan(action, pivot, steps)

    def _complete(self, plan: _JoinPlan, arguments: Ground) -> Iterator[Ground]:
        """The bindings of a join plan for the arguments of an atom that matches the pivot."""
        if plan.pivot and any(
            isinstance(term, str) and term != argument
            for term, argument in zip(plan.pivot[1:], arguments, strict=True)
        ):
            return
        binding = [""] * len(plan.action.parameters)
        fitting = self.fitting[plan.action.name]
        if self._bind(plan.steps[0], arguments, binding, fitting):
            yield from self._extend(plan.steps, 1, binding, fitting)

    def _extend(
        self, steps: list[_JoinStep], number: int, binding: Binding, fitting: list[dict[str, None]]
    ) -> Iterator[Ground]:
        """The completions of a partial binding by the steps from `number` on."""
        self.check()
        if number == len(steps):
            yield tuple(binding)
            return
        step = steps[number]
        if step.index is None:
            for candidate in fitting[step.parameter]:
                binding[step.parameter] = candidate
                if all(test(binding) for test in step.checks):
                    yield from self._extend(steps, number + 1, binding, fitting)
            return
        key = tuple(binding[term] if isinstance(term, int) else term for term in step.key)
        for arguments in step.index.get(key, ()):
            if self._bind(step, arguments, binding, fitting):
                yield from self._extend(steps, number + 1, binding, fitting)

    @staticmethod
    def _bind(
        step: _JoinStep, arguments: Ground, binding: Binding, fitting: list[dict[str, None]]
    ) -> bool:
        """Write the arguments of an atom into the binding.

        Returns:
            False if a type, a repeated parameter or a check does not agree.
        """
        for _, parameter in step.binds:
            binding[parameter] = ""
        for place, parameter in step.binds:
            if (
                binding[parameter] not in ("", arguments[place])
                or arguments[place] not in fitting[parameter]
            ):
                return False
            binding[parameter] = arguments[place]
        return all(test(binding) for test in step.checks)


def _parameters(terms: Iterable[int | str]) -> frozenset[int]:
    """The parameters among some terms."""
    return frozenset(term for term in terms if isinstance(term, int))


def _differ(first: int | str, second: int | str) -> Test:
    """Whether two terms stand for different objects."""
    return lambda binding: object_for(first, binding) != object_for(second, binding)


def _is_false(atom: Lifted, initial: State) -> Test:
    """Whether an atom is false in the initial state."""
    return lambda binding: ground(atom, binding) not in initial.atoms


def _holds(condition: Comparison | Region, initial: State) -> Test:
    """Whether a numeric condition holds in the initial state."""
    return lambda binding: condition.holds(binding, initial.values)
