"""A numeric problem compiled for search: atoms are bits of an int, fluents places of a tuple,
ground actions a few masks.

Kept is only what matters: atoms and fluents that no action changes are evaluated while grounding,
and those on which neither the goal nor any condition depends (a cost that is only counted, say) are
left out, so that states which differ in nothing else are one. Plans are the same: an action left
out could never be taken or changes nothing that is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from operator import itemgetter

from worldplan.planners.numeric.task.grounding import reachable_bindings
from worldplan.planners.numeric.task.instances import (
    Instance,
    goal_unreachable,
    prune,
    relevant_fluents,
)
from worldplan.planners.numeric.task.rules import (
    ActionNumerics,
    Form,
    NextValueCache,
    Value,
    form_value,
    holds,
)
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import (
    Comparison,
    Ground,
    Linear,
    NumericModel,
    NumericProblem,
    Region,
    State,
    ground,
)

Node = tuple[int, tuple[Value, ...]]  # a state: bits of the true atoms, values of the fluents
Condition = tuple[Form, str]  # a form over fluent places, and its relation to 0


@dataclass(frozen=True, slots=True)
class GroundAction:
    """A ground action in atom bits and fluent places; static parts are folded in.

    Args:
        name: its name and objects.
        positive, negative: bits that must be set, and clear.
        adds, deletes: bits set, and cleared (disjoint).
        conditions: comparisons, exactly.
        boxes: what the bounds of its regions imply (necessary, not sufficient).
        effects: next values of changed fluents; a fluent comes once.
    """

    name: Ground
    positive: int
    negative: int
    adds: int
    deletes: int
    conditions: tuple[Condition, ...]
    boxes: tuple[Condition, ...]
    effects: tuple[tuple[int, Form], ...]


Reader = Callable[[tuple[Value, ...]], tuple[Value, ...]]
Entry = tuple[int, int, int, Reader, NextValueCache | None, tuple[int, ...], int]
# (bits that must be clear, bits kept, bits added, reader of the rule's key, rule, changed places,
# number of the action)
Branch = tuple[
    list[Entry], list[tuple[int, "Branch"]]
]  # entries whose atoms are all true here; (bit, what else needs it)


class GroundTask:
    """A model and a problem, ground and exact.

    Attributes:
        actions: the ground actions that may be of use, in an order that is always the same.
        atoms, fluents: bit, or place, of each kept atom and fluent.
        initial: the initial state.
        goal_positive, goal_negative: bits that the goal wants set, and clear.
        goal_conditions: its comparisons.
        unreachable: why no state can satisfy the goal, where grounding has shown that; else "".
    """

    def __init__(
        self, model: NumericModel, problem: NumericProblem, check: Callable[[], None] = lambda: None
    ) -> None:
        """Ground a problem.

        Args:
            model, problem: what to ground.
            check: called often meanwhile; may raise to stop.

        Raises:
            DatasetError: the problem names what the model or it itself does not declare.
        """
        self.problem = problem
        self.numbers = {name: ActionNumerics(action) for name, action in model.actions.items()}
        instances = []
        for action, binding in reachable_bindings(model, problem, check):
            instances.append(Instance.of(action, binding, self.numbers[action.name].fluents))
        instances = prune(instances, problem.initial)
        self.unreachable = goal_unreachable(instances, problem)
        relevant = relevant_fluents(instances, problem)
        self.fluents = {fluent: place for place, fluent in enumerate(sorted(relevant))}
        needed = problem.goal.positive | problem.goal.negative
        needed = needed.union(*(one.positive | one.negative for one in instances))
        variable = {atom for one in instances for atom in one.adds | one.deletes}
        self.atoms = {atom: bit for bit, atom in enumerate(sorted(needed & variable))}
        self.initial = self.encode(problem.initial)
        self.goal_positive = self._mask(problem.goal.positive)
        self.goal_negative = self._mask(problem.goal.negative)
        comparisons = () if self.unreachable else problem.goal.comparisons
        self.goal_conditions = [
            condition for c in comparisons if (condition := self._condition(c, ()))[0][0]
        ]
        self.actions: list[GroundAction] = []
        entries: list[tuple[int, Entry]] = []
        rules: dict[tuple[object, ...], NextValueCache] = {}
        for one in instances:
            check()
            compiled = self._compile(one)
            if not (compiled.adds or compiled.deletes or compiled.effects):
                continue
            possible, read, rule, targets = self._numbers_of(one, rules)
            if possible:
                entries.append(
                    (
                        compiled.positive,
                        (
                            compiled.negative,
                            ~compiled.deletes,
                            compiled.adds,
                            read,
                            rule,
                            targets,
                            len(self.actions),
                        ),
                    )
                )
                self.actions.append(compiled)
        self._entries = [entry for _, entry in entries]
        self._root = _branch(entries)

    def encode(self, state: State) -> Node:
        """The kept part of a state."""
        return self._mask(state.atoms), tuple(state.values.get(fluent) for fluent in self.fluents)

    def is_goal(self, node: Node) -> bool:
        """Whether a state satisfies the goal (False throughout where the goal is `unreachable`)."""
        bits, values = node
        if (
            bits & self.goal_positive != self.goal_positive
            or bits & self.goal_negative
            or self.unreachable
        ):
            return False
        for form, relation in self.goal_conditions:
            point = {place: value for place, _ in form[0] if (value := values[place]) is not None}
            if len(point) < len(form[0]) or not holds(form_value(form, point), relation):
                return False
        return True

    @cached_property
    def is_integral(self) -> bool:
        """Whether every kept fluent is a whole number in every reachable state (and defined in the
        first).
        """
        numbers = list(self.initial[1])
        for action in self.actions:
            for _, (terms, constant) in action.effects:
                numbers += [constant, *(coefficient for _, coefficient in terms)]
        return all(number is not None and Fraction(number).denominator == 1 for number in numbers)

    def successors(self, node: Node) -> list[tuple[int, Node]]:
        """(number of the action, next state) for every applicable action."""
        bits, values = node
        answer = []
        branches = [self._root]
        while branches:
            entries, children = branches.pop()
            for bit, child in children:
                if bits & bit:
                    branches.append(child)
            for forbidden, kept, added, read, rule, targets, number in entries:
                if bits & forbidden:
                    continue
                after = values
                if rule is not None:
                    new = rule[read(values)]
                    if new is None:
                        continue
                    if targets:
                        after = _replaced(values, targets, new)
                answer.append((number, (bits & kept | added, after)))
        return answer

    def apply(self, number: int, node: Node) -> Node | None:
        """The state after one action; None where it cannot be taken."""
        bits, values = node
        needed = self.actions[number].positive
        forbidden, kept, added, read, rule, targets, _ = self._entries[number]
        if bits & needed != needed or bits & forbidden:
            return None
        new = rule[read(values)] if rule is not None else ()
        if new is None:
            return None
        return bits & kept | added, _replaced(values, targets, new) if targets else values

    def _compile(self, one: Instance) -> GroundAction:
        conditions = [
            self._condition(comparison, one.binding) for comparison in one.action.comparisons
        ]
        boxes = [box for region in one.action.regions for box in self._boxes(region, one.binding)]
        return GroundAction(
            (one.action.name, *one.binding),
            self._mask(one.positive),
            self._mask(one.negative),
            self._mask(one.adds),
            self._mask(one.deletes),
            tuple(condition for condition in conditions if condition[0][0]),
            tuple(boxes),
            tuple(
                (self.fluents[t], self._form(one.action.effects[number][1], one.binding))
                for t, number in one.effects
                if t in self.fluents
            ),
        )

    def _numbers_of(
        self, one: Instance, rules: dict[tuple[object, ...], NextValueCache]
    ) -> tuple[bool, Reader, NextValueCache | None, tuple[int, ...]]:
        """(whether it can ever be taken, reader of its rule's key, its rule, the places it
        changes).
        """
        numbers, values = self.numbers[one.action.name], self.problem.initial.values
        if not one.fluents and not one.effects:
            return True, _reader(()), None, ()
        kept = [number for target, number in one.effects if target in self.fluents]
        targets = tuple(self.fluents[target] for target, _ in one.effects if target in self.fluents)
        read = numbers.reads(kept)
        changing = tuple(place for place in read if one.fluents[place] in self.fluents)
        fixed = [
            values[fluent] if place in read and place not in changing else 0
            for place, fluent in enumerate(one.fluents)
        ]
        key = (one.action.name, changing, *fixed, *kept)
        if key not in rules:
            rules[key] = NextValueCache(numbers, fixed, changing, kept)
        rule: NextValueCache | None = rules[key]
        possible = bool(changing) or rules[key][()] is not None
        if not changing and not kept:
            rule = None
        return (
            possible,
            _reader([self.fluents[one.fluents[place]] for place in changing]),
            rule,
            targets,
        )

    def _mask(self, atoms: Iterable[Ground]) -> int:
        return sum(1 << self.atoms[atom] for atom in set(atoms) if atom in self.atoms)

    def _form(self, expression: Linear, binding: Ground) -> Form:
        """Over fluent places, static fluents folded into the constant."""
        terms: dict[int, Rational] = {}
        constant = expression.constant
        for lifted, coefficient in expression.terms:
            fluent = ground(lifted, binding)
            if fluent in self.fluents:
                place = self.fluents[fluent]
                terms[place] = terms.get(place, 0) + coefficient
            else:
                constant += coefficient * self.problem.initial.values[fluent]
        return tuple((place, coefficient) for place, coefficient in sorted(terms.items())), constant

    def _condition(self, comparison: Comparison, binding: Ground) -> Condition:
        return self._form(comparison.expression, binding), comparison.relation

    def _boxes(self, region: Region, binding: Ground) -> list[Condition]:
        answer: list[Condition] = []
        for lifted, (low, high) in zip(region.fluents, region.shape.bounds(), strict=True):
            place = self.fluents.get(ground(lifted, binding))
            if place is None:
                continue
            if low is not None:
                answer.append(((((place, 1),), -low), ">="))
            if high is not None:
                answer.append(((((place, -1),), high), ">="))
        return answer


def _replaced(
    values: tuple[Value, ...], places: tuple[int, ...], new: tuple[Rational, ...]
) -> tuple[Value, ...]:
    changed: list[Value] = list(values)
    for place, value in zip(places, new, strict=True):
        changed[place] = value
    return tuple(changed)


def _reader(places: Sequence[int]) -> Reader:
    """Picks values at some places, always as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    if places:
        place = places[0]
        return lambda values: (values[place],)
    return lambda values: ()


def _branch(entries: list[tuple[int, Entry]]) -> Branch:
    """A prefix tree over needed bits, the bits that most actions need first, so that one look rules
    out many actions.
    """
    frequency: Counter[int] = Counter()
    for needed, _ in entries:
        frequency.update(bit_numbers(needed))
    root: Branch = ([], [])
    children: dict[int, dict[int, Branch]] = {}  # by the identity of a branch
    for needed, entry in entries:
        branch = root
        for bit in sorted(bit_numbers(needed), key=lambda bit: (-frequency[bit], bit)):
            below = children.setdefault(id(branch), {})
            if bit not in below:
                below[bit] = ([], [])
                branch[1].append((1 << bit, below[bit]))
            branch = below[bit]
        branch[0].append(entry)
    return root


def bit_numbers(mask: int) -> list[int]:
    """The places of the set bits."""
    answer = []
    while mask:
        low = mask & -mask
        answer.append(low.bit_length() - 1)
        mask ^= low
    return answer
