"""A numeric problem compiled for search: atoms are bits of an int, fluents places of a tuple,
ground actions a few masks.

Only relevant parts are kept. Atoms and fluents that no action changes are evaluated during
grounding. Fluents on which neither the goal nor a condition depends (a cost that is only counted,
for example) are left out, so that states that differ in nothing else are the same. The plans stay
the same: an action that is left out is never applicable or changes nothing that is kept. A planner
that uses the metric of the problem has the task made `with_costs`: what the cost of a step depends
on is then kept, too.
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
    GroundForm,
    NextValueCache,
    Value,
    defined_value,
    ground_form,
    holds,
)
from worldplan.planners.numeric.task.step_costs import StepMetric
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
    """A ground action in atom bits and fluent places, with static parts evaluated.

    Args:
        name: its name and objects.
        positive: bits that must be set.
        negative: bits that must be clear.
        adds: bits that are set.
        deletes: bits that are cleared (disjoint from `adds`).
        conditions: its comparisons.
        boxes: comparisons implied by the bounds of its regions (necessary, not sufficient).
        effects: (place, form of the next value) of each changed fluent.
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
# (bits that must be clear, bits kept, bits added, reader of the cache's key, cache, changed places,
# number of the action)
Branch = tuple[list[Entry], list[tuple[int, "Branch"]]]
# (entries whose required bits are all tested, (further bit, branch of entries that require it))


class GroundTask:
    """A model and a problem, ground and exact.

    Attributes:
        problem: the problem.
        numerics: the numeric part of each lifted action.
        actions: the ground actions that may be useful, in a deterministic order.
        atoms: the bit of each kept atom.
        fluents: the place of each kept fluent.
        initial: the initial state.
        goal_positive: bits that the goal requires to be set.
        goal_negative: bits that the goal requires to be clear.
        goal_conditions: the comparisons of the goal.
        unreachable: why no state can satisfy the goal, if grounding proved it; else "".
        metric: the metric by its changing parts, if made `with_costs`.
        changes: for each action, what it adds to the metric: by fluent, and None for the number of
            steps; empty unless made `with_costs`.
    """

    def __init__(
        self,
        model: NumericModel,
        problem: NumericProblem,
        check: Callable[[], None] = lambda: None,
        *,
        with_costs: bool = False,
    ) -> None:
        """Ground a problem.

        Args:
            model: the model.
            problem: the problem.
            check: called often; it ends the grounding by raising.
            with_costs: whether the metric of the problem counts.

        Raises:
            DatasetError: the problem does not fit the model.
        """
        self.problem = problem
        self.numerics = {name: ActionNumerics(action) for name, action in model.actions.items()}
        instances = []
        for action, binding in reachable_bindings(model, problem, check):
            instances.append(Instance.of(action, binding, self.numerics[action.name].fluents))
        instances = prune(instances, problem.initial)
        self.unreachable = goal_unreachable(instances, problem)
        self.metric = StepMetric(problem, instances) if with_costs else None
        self.changes: list[dict[Ground | None, Form]] = []
        also = () if self.metric is None else self.metric.reads
        relevant = relevant_fluents(instances, problem, also)
        self.fluents = {fluent: place for place, fluent in enumerate(sorted(relevant))}
        needed = problem.goal.positive | problem.goal.negative
        needed = needed.union(*(instance.positive | instance.negative for instance in instances))
        variable = {atom for instance in instances for atom in instance.adds | instance.deletes}
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
        caches: dict[tuple[object, ...], NextValueCache] = {}
        for instance in instances:
            check()
            compiled = self._compile(instance)
            changes = self._changes(instance)
            if not (compiled.adds or compiled.deletes or compiled.effects) and all(
                not terms and added >= 0 for terms, added in changes.values()
            ):
                continue
            possible, read, cache, targets = self._numbers_of(instance, caches)
            if possible:
                masks = compiled.negative, ~compiled.deletes, compiled.adds
                entry = (*masks, read, cache, targets, len(self.actions))
                entries.append((compiled.positive, entry))
                self.actions.append(compiled)
                self.changes.append(changes)
        self._entries = [entry for _, entry in entries]
        self._root = _branch(entries)

    def encode(self, state: State) -> Node:
        """The kept part of a state."""
        return self._mask(state.atoms), tuple(state.values.get(fluent) for fluent in self.fluents)

    def is_goal(self, node: Node) -> bool:
        """Whether a state satisfies the goal; always False if the goal is `unreachable`."""
        bits, values = node
        if (
            bits & self.goal_positive != self.goal_positive
            or bits & self.goal_negative
            or self.unreachable
        ):
            return False
        for form, relation in self.goal_conditions:
            value = defined_value(form, values)
            if value is None or not holds(value, relation):
                return False
        return True

    @cached_property
    def is_integral(self) -> bool:
        """Whether every kept fluent is defined and an integer in every reachable state."""
        numbers = list(self.initial[1])
        for action in self.actions:
            for _, (terms, constant) in action.effects:
                numbers += [constant, *(coefficient for _, coefficient in terms)]
        return all(number is not None and Fraction(number).denominator == 1 for number in numbers)

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers of ground actions, atoms and fluents, for the detail of a result."""
        counted = {"ground_actions": self.actions, "atoms": self.atoms, "fluents": self.fluents}
        return {name: len(items) for name, items in counted.items()}

    def calls(self, numbers: Iterable[int]) -> tuple[Ground, ...]:
        """The ground actions with these numbers."""
        return tuple(self.actions[number].name for number in numbers)

    def numbers(self, plan: Iterable[Ground]) -> list[int]:
        """The numbers of a plan's actions, without those that are left out of the task."""
        numbers = {action.name: number for number, action in enumerate(self.actions)}
        return [numbers[call] for call in plan if call in numbers]

    def successors(self, node: Node) -> list[tuple[int, Node]]:
        """(number of the action, successor state) of every applicable action."""
        bits, values = node
        successors = []
        branches = [self._root]
        while branches:
            entries, children = branches.pop()
            for bit, child in children:
                if bits & bit:
                    branches.append(child)
            for forbidden, kept, added, read, cache, targets, number in entries:
                if bits & forbidden:
                    continue
                after = values
                if cache is not None:
                    new = cache[read(values)]
                    if new is None:
                        continue
                    if targets:
                        after = _replaced(values, targets, new)
                successors.append((number, (bits & kept | added, after)))
        return successors

    def apply(self, number: int, node: Node) -> Node | None:
        """The successor state of one action; None if it is not applicable."""
        bits, values = node
        needed = self.actions[number].positive
        forbidden, kept, added, read, cache, targets, _ = self._entries[number]
        if bits & needed != needed or bits & forbidden:
            return None
        new = cache[read(values)] if cache is not None else ()
        if new is None:
            return None
        return bits & kept | added, _replaced(values, targets, new) if targets else values

    def _compile(self, instance: Instance) -> GroundAction:
        """The compiled form of an instance."""
        conditions = [
            self._condition(comparison, instance.binding)
            for comparison in instance.action.comparisons
        ]
        boxes = [
            box
            for region in instance.action.regions
            for box in self._boxes(region, instance.binding)
        ]
        return GroundAction(
            (instance.action.name, *instance.binding),
            self._mask(instance.positive),
            self._mask(instance.negative),
            self._mask(instance.adds),
            self._mask(instance.deletes),
            tuple(condition for condition in conditions if condition[0][0]),
            tuple(boxes),
            tuple(
                (self.fluents[t], self._form(instance.action.effects[number][1], instance.binding))
                for t, number in instance.effects
                if t in self.fluents
            ),
        )

    def _changes(self, instance: Instance) -> dict[Ground | None, Form]:
        """What an instance adds to the metric; see `changes`."""
        if self.metric is None:
            return {}
        changes: dict[Ground | None, Form] = {None: ((), self.metric.per_step)}
        for fluent, change in self.metric.changes(instance).items():
            changes[fluent] = self._placed(change)
        return changes

    def _numbers_of(
        self, instance: Instance, caches: dict[tuple[object, ...], NextValueCache]
    ) -> tuple[bool, Reader, NextValueCache | None, tuple[int, ...]]:
        """The numeric part of an instance.

        Args:
            instance: the instance.
            caches: the caches so far, to which a new one is added.

        Returns:
            (whether the instance may be applicable, reader of the cache's key, cache, changed
            places).
        """
        numerics, values = self.numerics[instance.action.name], self.problem.initial.values
        if not instance.fluents and not instance.effects:
            return True, _reader(()), None, ()
        kept = [number for target, number in instance.effects if target in self.fluents]
        targets = tuple(
            self.fluents[target] for target, _ in instance.effects if target in self.fluents
        )
        read = numerics.reads(kept)
        changing = tuple(place for place in read if instance.fluents[place] in self.fluents)
        fixed = [
            values[fluent] if place in read and place not in changing else 0
            for place, fluent in enumerate(instance.fluents)
        ]
        key = (instance.action.name, changing, *fixed, *kept)
        if key not in caches:
            caches[key] = NextValueCache(numerics, fixed, changing, kept)
        cache: NextValueCache | None = caches[key]
        possible = bool(changing) or caches[key][()] is not None
        if not changing and not kept:
            cache = None
        read_key = _reader([self.fluents[instance.fluents[place]] for place in changing])
        return possible, read_key, cache, targets

    def _mask(self, atoms: Iterable[Ground]) -> int:
        return sum(1 << self.atoms[atom] for atom in set(atoms) if atom in self.atoms)

    def _form(self, expression: Linear, binding: Ground) -> Form:
        """An expression over fluent places, with static fluents added to the constant."""
        values = self.problem.initial.values
        return self._placed(ground_form(expression, binding, values, self.fluents))

    def _placed(self, form: GroundForm) -> Form:
        """A form of kept fluents over their places."""
        terms, constant = form
        return tuple(sorted((self.fluents[fluent], c) for fluent, c in terms.items())), constant

    def _condition(self, comparison: Comparison, binding: Ground) -> Condition:
        return self._form(comparison.expression, binding), comparison.relation

    def _boxes(self, region: Region, binding: Ground) -> list[Condition]:
        bounds: list[Condition] = []
        for lifted, (low, high) in zip(region.fluents, region.shape.bounds(), strict=True):
            place = self.fluents.get(ground(lifted, binding))
            if place is None:
                continue
            if low is not None:
                bounds.append(((((place, 1),), -low), ">="))
            if high is not None:
                bounds.append(((((place, -1),), high), ">="))
        return bounds


def _replaced(
    values: tuple[Value, ...], places: tuple[int, ...], new: tuple[Rational, ...]
) -> tuple[Value, ...]:
    """The values with new ones at some places."""
    changed: list[Value] = list(values)
    for place, value in zip(places, new, strict=True):
        changed[place] = value
    return tuple(changed)


def _reader(places: Sequence[int]) -> Reader:
    """A function that picks the values at some places, always as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    if places:
        place = places[0]
        return lambda values: (values[place],)
    return lambda values: ()


def _branch(entries: list[tuple[int, Entry]]) -> Branch:
    """A prefix tree over required bits.

    The bits that most actions require come first, so that one test rules out many actions.
    """
    frequency: Counter[int] = Counter()
    for needed, _ in entries:
        frequency.update(bit_numbers(needed))
    root: Branch = ([], [])
    branches: dict[tuple[int, ...], Branch] = {(): root}  # by the bits on the way to them
    for needed, entry in entries:
        path: tuple[int, ...] = ()
        for bit in sorted(bit_numbers(needed), key=lambda bit: (-frequency[bit], bit)):
            above, path = branches[path], (*path, bit)
            if path not in branches:
                branches[path] = ([], [])
                above[1].append((1 << bit, branches[path]))
        branches[path][0].append(entry)
    return root


def bit_numbers(mask: int) -> list[int]:
    """The numbers of the set bits, in increasing order."""
    numbers = []
    while mask:
        low = mask & -mask
        numbers.append(low.bit_length() - 1)
        mask ^= low
    return numbers
