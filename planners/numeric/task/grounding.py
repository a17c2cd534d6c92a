"""Grounding by joins: the bindings whose positive atoms can ever be true together, deletes aside,
and whose static conditions hold.

Atoms are taken from a queue, the initial ones first. Each is matched with every positive
precondition it fits, the other preconditions are joined on indexed atoms taken earlier, and what
the found actions add joins the queue (semi-naive evaluation of the delete relaxation as a logic
program). So work grows with the number of bindings found, not with the product of the types.
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
    ground,
    object_for,
)

Binding = list[str]
Check = tuple[frozenset[int], Callable[[Binding], bool]]  # the parameters it needs, the test
Index = dict[
    Ground, list[Ground]
]  # arguments of one predicate's atoms, by those at some of their places


def check_problem(model: NumericModel, problem: NumericProblem) -> None:
    """See that a problem speaks the model's language.

    Raises:
        DatasetError: an object of unknown type, or an unknown predicate, function or object, or a
            wrong number of arguments.
    """
    words, where = model.vocabulary, f"problem '{problem.name}'"
    for name, kind in problem.objects.items():
        if kind != "object" and kind not in words.types:
            raise DatasetError(
                f"{where}: object '{name}' has type '{kind}', which domain '{words.name}' does not declare"
            )
    goal_atoms = problem.goal.positive | problem.goal.negative
    goal_fluents = [
        fluent
        for comparison in problem.goal.comparisons
        for fluent, _ in comparison.expression.terms
    ]
    for place, what, known, items in (
        ("initial state", "predicate", words.predicates, problem.initial.atoms),
        ("initial state", "function", words.functions, problem.initial.values),
        ("goal", "predicate", words.predicates, goal_atoms),
        ("goal", "function", words.functions, goal_fluents),
    ):
        for item in items:
            _check_item(f"{where}, {place}", what, known, item, problem.objects)
    for action in model.actions.values():
        for atom in action.positive | action.negative | action.adds | action.deletes:
            _check_item(
                f"action '{action.name}'", "predicate", words.predicates, atom, problem.objects
            )
        for fluent in _fluents(action):
            _check_item(
                f"action '{action.name}'", "function", words.functions, fluent, problem.objects
            )


def _fluents(action: NumericAction) -> Iterator[Lifted]:
    for comparison in action.comparisons:
        yield from (fluent for fluent, _ in comparison.expression.terms)
    for region in action.regions:
        yield from region.fluents
    for target, after in action.effects:
        yield target
        yield from (fluent for fluent, _ in after.terms)


def _check_item(
    where: str,
    what: str,
    known: Mapping[str, tuple[str, ...]],
    item: Lifted,
    objects: Mapping[str, str],
) -> None:
    name, *arguments = item
    if name not in known:
        raise DatasetError(
            f"{where}: unknown {what} '{name}' in ({' '.join(map(str, item))}); declare it in the domain"
        )
    if len(arguments) != len(known[str(name)]):
        raise DatasetError(
            f"{where}: {what} '{name}' takes {len(known[str(name)])} objects, ({' '.join(map(str, item))}) has {len(arguments)}"
        )
    for one in arguments:
        if isinstance(one, str) and one not in objects:
            raise DatasetError(
                f"{where}: unknown object '{one}' in ({' '.join(map(str, item))}); declare it in the problem"
            )


def reachable_bindings(
    model: NumericModel, problem: NumericProblem, check: Callable[[], None] = lambda: None
) -> Iterator[tuple[NumericAction, Ground]]:
    """Every (action, binding) that delete-relaxed reachability and static conditions allow, in an
    order that is always the same.

    `check` is called at every partial binding; what it raises ends the grounding.

    Raises:
        DatasetError: as `check_problem`.
    """
    check_problem(model, problem)
    yield from _Grounder(model, problem, check).run()


@dataclass
class _Step:
    """Extends a partial binding: by the atoms in `index` that agree on the bound terms, or (no
    index) by the objects of a parameter.
    """

    index: Index | None = None
    key: tuple[int | str, ...] = ()  # bound parameters and constants, in the index's order
    binds: tuple[
        tuple[int, int], ...
    ] = ()  # (argument place, parameter) to bind; a repeated parameter is compared the second time
    parameter: int = -1
    checks: list[Callable[[Binding], bool]] = field(default_factory=list)


@dataclass
class _Plan:
    """How to complete the bindings of one action once an atom matched its `pivot` (None: the action
    has no positive atoms).
    """

    action: NumericAction
    pivot: Lifted | None
    steps: list[_Step]  # the first takes in the pivot's arguments


class _Grounder:
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
                    one: None
                    for one, kind in sorted(problem.objects.items())
                    if model.vocabulary.is_a(kind, wanted)
                }
                for _, wanted in action.parameters
            ]
            for action in model.actions.values()
        }
        self.plans: dict[int | str, list[_Plan]] = {}
        self.free_plans: list[_Plan] = []
        for action in model.actions.values():
            checks = list(self._checks(action))
            for pivot in sorted(action.positive, key=str):
                self.plans.setdefault(pivot[0], []).append(self._plan(action, pivot, checks))
            if not action.positive:
                self.free_plans.append(self._plan(action, None, checks))

    def run(self) -> Iterator[tuple[NumericAction, Ground]]:
        self.queue = deque(sorted(self.problem.initial.atoms))
        self.known = set(self.queue)
        found: set[tuple[str, Ground]] = set()
        for plan in self.free_plans:
            yield from self._fire(plan, (), found)
        while self.queue:
            name, *rest = self.queue.popleft()
            arguments = tuple(rest)
            for places, index in self.indices.get(name, {}).items():
                index.setdefault(tuple(arguments[place] for place in places), []).append(arguments)
            for plan in self.plans.get(name, ()):
                yield from self._fire(plan, arguments, found)

    def _fire(
        self, plan: _Plan, arguments: Ground, found: set[tuple[str, Ground]]
    ) -> Iterator[tuple[NumericAction, Ground]]:
        action = plan.action
        for binding in self._complete(plan, arguments):
            if (action.name, binding) not in found:
                found.add((action.name, binding))
                for atom in sorted(ground(lifted, binding) for lifted in action.adds):
                    if atom not in self.known:
                        self.known.add(atom)
                        self.queue.append(atom)
                yield action, binding

    def _checks(self, action: NumericAction) -> Iterator[Check]:
        """The conditions no action of the model can change, each to be tested as soon as its
        parameters are bound.
        """
        initial = self.problem.initial
        for first, second in action.distinct:
            yield (
                _parameters([first, second]),
                lambda binding, a=first, b=second: object_for(a, binding) != object_for(b, binding),
            )  # type: ignore[misc]
        for atom in action.negative:
            if atom[0] not in self.deleted:
                yield (
                    _parameters(atom),
                    lambda binding, atom=atom: ground(atom, binding) not in initial.atoms,
                )  # type: ignore[misc]
        conditions: list[Comparison | Region] = [*action.comparisons, *action.regions]
        for condition in conditions:
            fluents = (
                [f for f, _ in condition.expression.terms]
                if isinstance(condition, Comparison)
                else condition.fluents
            )
            if all(fluent[0] not in self.changed for fluent in fluents):
                needs = _parameters(term for fluent in fluents for term in fluent)
                yield (
                    needs,
                    lambda binding, condition=condition: condition.holds(binding, initial.values),
                )  # type: ignore[misc]

    def _plan(self, action: NumericAction, pivot: Lifted | None, checks: list[Check]) -> _Plan:
        """Join order: always the atom with the fewest unbound parameters next; parameters in no
        atom last.
        """
        bound: set[int] = set()
        waiting = list(checks)
        steps: list[_Step] = []

        def close(step: _Step, binds: Iterable[int]) -> None:
            bound.update(binds)
            step.checks = [test for needs, test in waiting if needs <= bound]
            waiting[:] = [check for check in waiting if not check[0] <= bound]
            steps.append(step)

        places = tuple(
            (place, term)
            for place, term in enumerate((pivot or ("",))[1:])
            if isinstance(term, int)
        )
        close(_Step(binds=places), [term for _, term in places])
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
                _Step(index, tuple(atom[1 + place] for place in fixed), binds),
                [term for _, term in binds],
            )
        for parameter in range(len(action.parameters)):
            if parameter not in bound:
                close(_Step(parameter=parameter), [parameter])
        return _Plan(action, pivot, steps)

    def _complete(self, plan: _Plan, arguments: Ground) -> Iterator[Ground]:
        if plan.pivot and any(
            isinstance(term, str) and term != one
            for term, one in zip(plan.pivot[1:], arguments, strict=True)
        ):
            return
        binding = [""] * len(plan.action.parameters)
        fitting = self.fitting[plan.action.name]
        if self._bind(plan.steps[0], arguments, binding, fitting):
            yield from self._extend(plan.steps, 1, binding, fitting)

    def _extend(
        self, steps: list[_Step], number: int, binding: Binding, fitting: list[dict[str, None]]
    ) -> Iterator[Ground]:
        self.check()
        if number == len(steps):
            yield tuple(binding)
            return
        step = steps[number]
        if step.index is None:
            for one in fitting[step.parameter]:
                binding[step.parameter] = one
                if all(test(binding) for test in step.checks):
                    yield from self._extend(steps, number + 1, binding, fitting)
            return
        key = tuple(binding[term] if isinstance(term, int) else term for term in step.key)
        for arguments in step.index.get(key, ()):
            if self._bind(step, arguments, binding, fitting):
                yield from self._extend(steps, number + 1, binding, fitting)

    @staticmethod
    def _bind(
        step: _Step, arguments: Ground, binding: Binding, fitting: list[dict[str, None]]
    ) -> bool:
        """Write an atom's objects into the binding; False where a type, a repeated parameter or a
        check does not agree.
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
    return frozenset(term for term in terms if isinstance(term, int))
