"""Numeric planning in exact numbers: vocabularies, states, actions, models and problems.

A number is an `int`, or a `Fraction` where it is not an integer. The two compare, add and hash
alike, and nothing is ever rounded. Ground atoms and fluents are tuples of names, ("at", "truck0",
"depot1"). Lifted ones stand in actions: there a parameter is given by its position, a constant by
its name, as in ("at", 0, "depot1").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import Any, Protocol

from worldplan.milp import checks
from worldplan.milp.errors import DatasetError
from worldplan.world_models.exact.numbers import Point, Rational
from worldplan.world_models.numeric import forms
from worldplan.world_models.numeric.metrics import Metric
from worldplan.world_models.numeric.products import Ground as Ground
from worldplan.world_models.numeric.products import Lifted as Lifted
from worldplan.world_models.numeric.products import Product as Product
from worldplan.world_models.numeric.products import Term, fluents_in, sum_value, unplannable
from worldplan.world_models.numeric.products import ground as ground
from worldplan.world_models.numeric.products import object_for as object_for

RELATIONS = (">=", ">", "=")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a domain declares: everything but preconditions and effects. All names are in lower
    case.

    Args:
        name: the domain's name.
        types: the parent of each type ("object" is the root and is not listed).
        constants: objects of every problem, with their types.
        predicates: argument types by name.
        functions: argument types by name.
        actions: (parameter name, type) pairs by action name.

    Raises:
        DatasetError: a part of another type, a type that is not declared, or types that are their
            own ancestors.
    """

    name: str
    types: Mapping[str, str]
    constants: Mapping[str, str]
    predicates: Mapping[str, tuple[str, ...]]
    functions: Mapping[str, tuple[str, ...]]
    actions: Mapping[str, tuple[tuple[str, str], ...]]

    def __post_init__(self) -> None:
        forms.check_vocabulary(self)

    def is_a(self, kind: str, ancestor: str) -> bool:
        """Whether type `kind` is `ancestor` or a subtype of it."""
        while kind != ancestor and kind in self.types:
            kind = self.types[kind]
        return kind == ancestor or ancestor == "object"

    def bindings(self, action: str, objects: Mapping[str, str]) -> Iterator[Ground]:
        """Every tuple of objects that fits the parameter types of an action; objects may repeat.

        Args:
            action: name of the action.
            objects: type of each object.
        """
        candidates = [
            [name for name, kind in objects.items() if self.is_a(kind, expected)]
            for _, expected in self.actions[action]
        ]
        return product(*candidates)


@dataclass(frozen=True, slots=True)
class State:
    """A complete state.

    Args:
        atoms: the true ground atoms; all others are false.
        values: the values of the ground fluents; a missing fluent is undefined. The state keeps a
            copy with exact numbers, a float as its shortest decimal.

    Raises:
        DatasetError: the atoms are no set, or a value is no finite number.
    """

    atoms: frozenset[Ground]
    values: Mapping[Ground, Rational]

    def __post_init__(self) -> None:
        if type(self.atoms) is not frozenset:
            object.__setattr__(self, "atoms", forms.atoms(self.atoms, "atoms"))
        object.__setattr__(self, "values", forms.exact_values(self.values))

    def __hash__(self) -> int:
        return hash((self.atoms, frozenset(self.values.items())))


@dataclass(frozen=True, slots=True)
class Linear:
    """The expression constant + sum of coefficient * term.

    Args:
        terms: (term, coefficient) pairs. A term is a fluent, lifted in an action and ground in a
            goal, or a `Product` of fluents of which at most one changes.
        constant: the constant.

    Numbers are exact: a float is taken as its shortest decimal, 0.1 as 1/10.

    Raises:
        DatasetError: a coefficient or the constant is no finite number, or a fluent is no tuple.
    """

    terms: tuple[tuple[Term, Rational], ...]
    constant: Rational = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "constant", forms.exact_number(self.constant, "constant"))
        object.__setattr__(self, "terms", forms.exact_terms(self.terms))

    def value(self, binding: Sequence[str], values: Mapping[Ground, Rational]) -> Rational:
        """The value in a state.

        Args:
            binding: the objects for the parameters.
            values: the values of the ground fluents.

        Raises:
            KeyError: a fluent is undefined, or a divisor is 0.
        """
        return sum_value((self.terms, self.constant), binding, values)

    @property
    def fluents(self) -> tuple[Lifted, ...]:
        """Every fluent of it, those of products included, once."""
        return fluents_in(self.terms)

    def has_value(self, binding: Sequence[str], values: Mapping[Ground, Rational]) -> bool:
        """Whether every fluent of it is defined and no divisor is 0."""
        if not any(isinstance(term, Product) for term, _ in self.terms):
            return all(ground(fluent, binding) in values for fluent, _ in self.terms)  # type: ignore[arg-type]
        try:
            self.value(binding, values)
        except KeyError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Comparison:
    """The condition `expression relation 0`.

    Args:
        expression: the left side.
        relation: ">=", ">" or "=".

    Raises:
        DatasetError: another relation, or no `Linear`.
    """

    expression: Linear
    relation: str

    def __post_init__(self) -> None:
        checks.of_type(self.expression, "expression", Linear, error=DatasetError)
        if isinstance(self.relation, str) and self.relation in ("<=", "<"):
            raise DatasetError(
                f"relation '{self.relation}': the condition is `expression relation 0`, so negate "
                "the expression and use '>=' or '>'"
            )
        checks.choice(self.relation, "relation", RELATIONS, error=DatasetError)

    def holds(self, binding: Sequence[str], values: Mapping[Ground, Rational]) -> bool:
        """Whether the condition holds in a state; False where a fluent is undefined."""
        try:
            value = self.expression.value(binding, values)
        except KeyError:
            return False
        if self.relation == "=":
            return value == 0
        return value > 0 if self.relation == ">" else value >= 0


class Shape(Protocol):
    """A set of points whose membership is decided exactly."""

    def contains(self, point: Point) -> bool:
        """Exact membership."""
        ...

    def bounds(self) -> list[tuple[Rational | None, Rational | None]]:
        """Least and greatest value of each coordinate; None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Region:
    """The condition that the values of some fluents lie in a set.

    Args:
        fluents: in the order of the coordinates of `shape`.
        shape: the set.

    Raises:
        DatasetError: a part of another type.
    """

    fluents: tuple[Lifted, ...]
    shape: Shape

    def __post_init__(self) -> None:
        if type(self.fluents) is not tuple:
            object.__setattr__(self, "fluents", forms.collection(self.fluents, "fluents"))
        if not callable(getattr(self.shape, "contains", None)):
            raise DatasetError(
                f"shape is {checks.shown(self.shape)}: give a set with contains and bounds"
            )

    def holds(self, binding: Sequence[str], values: Mapping[Ground, Rational]) -> bool:
        """Whether the condition holds in a state; False where a fluent is undefined."""
        try:
            point = tuple(values[ground(fluent, binding)] for fluent in self.fluents)
        except KeyError:
            return False
        return self.shape.contains(point)


@dataclass(frozen=True, slots=True)
class NumericAction:
    """A lifted action, given or learned.

    Args:
        name: its name.
        parameters: (name, type) pairs.
        positive: atoms that must be true.
        negative: atoms that must be false.
        distinct: pairs of parameter positions, or of a position and a constant, that must stand for
            different objects.
        comparisons: numeric preconditions.
        regions: further numeric preconditions.
        adds: atoms that become true.
        deletes: atoms that become false; an atom that is both deleted and added becomes true.
        effects: (changed fluent, its next value as a function of the state before) pairs.

    A numeric precondition may be given as a text, "fuel ?truck >= 2" (see
    `worldplan.world_models.numeric.goals`).

    Raises:
        DatasetError: a part of another type, a position without a parameter, or two effects on
            the same fluent.
    """

    name: str
    parameters: tuple[tuple[str, str], ...] = ()
    positive: frozenset[Lifted] = frozenset()
    negative: frozenset[Lifted] = frozenset()
    distinct: frozenset[tuple[int | str, int | str]] = frozenset()
    comparisons: tuple[Comparison, ...] = ()
    regions: tuple[Region, ...] = ()
    adds: frozenset[Lifted] = frozenset()
    deletes: frozenset[Lifted] = frozenset()
    effects: tuple[tuple[Lifted, Linear], ...] = ()

    def __post_init__(self) -> None:
        forms.check_action(self, Comparison, Region, Linear)

    def applicable(self, binding: Ground, state: State) -> bool:
        """Whether the precondition holds for these objects; their types are not checked."""
        return (
            all(object_for(a, binding) != object_for(b, binding) for a, b in self.distinct)
            and all(ground(atom, binding) in state.atoms for atom in self.positive)
            and not any(ground(atom, binding) in state.atoms for atom in self.negative)
            and all(comparison.holds(binding, state.values) for comparison in self.comparisons)
            and all(region.holds(binding, state.values) for region in self.regions)
            and all(after.has_value(binding, state.values) for _, after in self.effects)
        )

    def successor(self, binding: Ground, state: State) -> State:
        """The successor state. Preconditions are not checked.

        Raises:
            KeyError: an effect reads an undefined fluent.
        """
        atoms = (state.atoms - {ground(atom, binding) for atom in self.deletes}) | {
            ground(atom, binding) for atom in self.adds
        }
        changed = {
            ground(fluent, binding): after.value(binding, state.values)
            for fluent, after in self.effects
        }
        return State(atoms, forms.changed_values(state.values, changed))


@dataclass(frozen=True, slots=True)
class NumericModel:
    """A domain for planning: a vocabulary and the actions whose preconditions and effects are
    known.

    Args:
        vocabulary: the declarations.
        actions: the known actions by name; an action of the vocabulary may be missing.
        detail: where the model comes from, such as the `LearningReport` of a learned one as
            "report".

    Raises:
        DatasetError: no `Vocabulary`, an action that is no `NumericAction`, or a product of two
            fluents that actions change.
    """

    vocabulary: Vocabulary
    actions: Mapping[str, NumericAction]
    detail: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        checks.of_type(self.vocabulary, "vocabulary", Vocabulary, error=DatasetError)
        checks.of_type(self.actions, "actions", Mapping, error=DatasetError)
        for name, action in self.actions.items():
            checks.of_type(action, f"actions['{name}']", NumericAction, error=DatasetError)
        if (found := unplannable_action(self.actions)) is not None:
            name, reason = found
            raise DatasetError(f"action '{name}': {reason} is beyond exact linear planning")


def unplannable_action(actions: Mapping[str, NumericAction]) -> tuple[str, str] | None:
    """The first action whose sums are not linear once its parameters are bound, and what keeps them
    from it; None if there is none.
    """
    changing = {str(fluent[0]) for action in actions.values() for fluent, _ in action.effects}
    for name, action in actions.items():
        sums = [comparison.expression for comparison in action.comparisons]
        for expression in [*sums, *(after for _, after in action.effects)]:
            if reason := unplannable(expression.terms, changing):
                return name, reason
    return None


@dataclass(frozen=True, slots=True)
class Goal:
    """Ground conditions that must all hold in the last state.

    Args:
        positive: atoms that must be true.
        negative: atoms that must be false.
        comparisons: numeric conditions; each may be given as a text, "water c2 >= 3".

    `worldplan.world_models.numeric.read_goal` makes a goal of a text.

    Raises:
        DatasetError: a part of another type.
    """

    positive: frozenset[Ground] = frozenset()
    negative: frozenset[Ground] = frozenset()
    comparisons: tuple[Comparison, ...] = ()

    def __post_init__(self) -> None:
        forms.check_goal(self, Comparison)

    def holds(self, state: State) -> bool:
        """Whether a state satisfies the goal."""
        return (
            self.positive <= state.atoms
            and not (self.negative & state.atoms)
            and all(comparison.holds((), state.values) for comparison in self.comparisons)
        )


@dataclass(frozen=True, slots=True)
class NumericProblem:
    """A planning problem.

    Args:
        name: its name.
        objects: type of each object, constants included.
        initial: the initial state.
        goal: the goal; a text such as "water c2 >= 3 and at truck0 depot1" becomes a `Goal`.
        metric: the quality of plans; without one, shorter plans are better.

    Raises:
        DatasetError: a part of another type, or a text that is no goal or names a function or an
            object that the initial state and the objects do not have.
    """

    name: str
    objects: Mapping[str, str]
    initial: State
    goal: Goal
    metric: Metric | None = None

    def __post_init__(self) -> None:
        forms.check_problem(self, State, Goal, Metric)
