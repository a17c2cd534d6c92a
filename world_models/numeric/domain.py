"""Numeric planning in exact numbers: vocabularies, states, actions, models and problems, lifted and
ground.

A number is an `int`, or a `Fraction` where it is not whole; the two compare, add and hash alike, so
nothing is ever rounded. Ground atoms and fluents are tuples of names, `("at", "truck0", "depot1")`;
in an action a parameter stands as its position, `("at", 0, 2)`, beside constants by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import Any, Protocol

from worldplan.milp.errors import DatasetError
from worldplan.world_models.exact.numbers import Point, Rational, exact

Ground = tuple[str, ...]  # (predicate or function or action, object, ...)
Lifted = tuple[int | str, ...]  # (predicate or function, parameter position or constant, ...)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a partial domain declares: everything but preconditions and effects. All names are in
    lower case.

    Args:
        name: the domain's name.
        types: each type with its parent ("object" is the root and has none).
        constants: objects of every problem, with their types.
        predicates: argument types by name.
        functions: argument types by name.
        actions: (parameter name, type) pairs by action name.
    """

    name: str
    types: Mapping[str, str]
    constants: Mapping[str, str]
    predicates: Mapping[str, tuple[str, ...]]
    functions: Mapping[str, tuple[str, ...]]
    actions: Mapping[str, tuple[tuple[str, str], ...]]

    def is_a(self, kind: str, ancestor: str) -> bool:
        """Whether type `kind` is `ancestor` or below it."""
        while kind != ancestor and kind in self.types:
            kind = self.types[kind]
        return kind == ancestor or ancestor == "object"

    def bindings(self, action: str, objects: Mapping[str, str]) -> Iterator[Ground]:
        """Every tuple of objects that fits an action's parameter types, repeated objects included."""
        fitting = [
            [name for name, kind in objects.items() if self.is_a(kind, wanted)]
            for _, wanted in self.actions[action]
        ]
        return product(*fitting)


@dataclass(frozen=True, slots=True)
class State:
    """True ground atoms (all others are false) and the values of the ground fluents."""

    atoms: frozenset[Ground]
    values: Mapping[Ground, Rational]

    def __hash__(self) -> int:
        return hash((self.atoms, frozenset(self.values.items())))


@dataclass(frozen=True, slots=True)
class Linear:
    """constant + sum of coefficient * fluent; fluents are lifted inside an action, ground inside a
    goal.
    """

    terms: tuple[tuple[Lifted, Rational], ...]
    constant: Rational = 0

    def value(self, binding: Ground, values: Mapping[Ground, Rational]) -> Rational:
        """Its value in a state. Raises KeyError for a fluent the state does not define."""
        return exact(
            self.constant + sum(c * values[ground(fluent, binding)] for fluent, c in self.terms)
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """`expression relation 0`, the relation being ">=", ">" or "="."""

    expression: Linear
    relation: str

    def holds(self, binding: Ground, values: Mapping[Ground, Rational]) -> bool:
        """Whether it is true in a state; false where a fluent is undefined."""
        try:
            value = self.expression.value(binding, values)
        except KeyError:
            return False
        return (
            value == 0
            if self.relation == "="
            else value > 0
            if self.relation == ">"
            else value >= 0
        )


class Shape(Protocol):
    """An exact set of points."""

    def contains(self, point: Point) -> bool:
        """Exact membership."""
        ...

    def bounds(self) -> list[tuple[Rational | None, Rational | None]]:
        """Least and greatest value of each coordinate; None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Region:
    """The values of `fluents`, in their order, must lie in `shape`."""

    fluents: tuple[Lifted, ...]
    shape: Shape

    def holds(self, binding: Ground, values: Mapping[Ground, Rational]) -> bool:
        """Whether it is true in a state; false where a fluent is undefined."""
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
        positive, negative: atoms that must be true, and false.
        distinct: pairs of parameter positions (or a position and a constant) that must name
            different objects.
        comparisons, regions: numeric preconditions.
        adds, deletes: atoms made true, and false (a both deleted and added atom is true).
        effects: each changed fluent with its next value as a function of the state before.
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

    def applicable(self, binding: Ground, state: State) -> bool:
        """Whether the action may be taken with these objects (types are not looked at)."""
        return (
            all(object_for(a, binding) != object_for(b, binding) for a, b in self.distinct)
            and all(ground(atom, binding) in state.atoms for atom in self.positive)
            and not any(ground(atom, binding) in state.atoms for atom in self.negative)
            and all(comparison.holds(binding, state.values) for comparison in self.comparisons)
            and all(region.holds(binding, state.values) for region in self.regions)
            and all(
                ground(fluent, binding) in state.values
                for _, after in self.effects
                for fluent, _ in after.terms
            )
        )

    def successor(self, binding: Ground, state: State) -> State:
        """The state after it, preconditions unasked."""
        atoms = (state.atoms - {ground(atom, binding) for atom in self.deletes}) | {
            ground(atom, binding) for atom in self.adds
        }
        changed = {
            ground(fluent, binding): after.value(binding, state.values)
            for fluent, after in self.effects
        }
        return State(atoms, {**state.values, **changed} if changed else state.values)


@dataclass(frozen=True, slots=True)
class NumericModel:
    """A domain that can be planned in: a vocabulary and those of its actions that are known."""

    vocabulary: Vocabulary
    actions: Mapping[str, NumericAction]
    detail: Mapping[str, Any] = field(
        default_factory=lambda: MappingProxyType({})
    )  # where it comes from


@dataclass(frozen=True, slots=True)
class Goal:
    """Ground conditions that all hold at the end (binding-free)."""

    positive: frozenset[Ground] = frozenset()
    negative: frozenset[Ground] = frozenset()
    comparisons: tuple[Comparison, ...] = ()

    def holds(self, state: State) -> bool:
        """Whether a state satisfies it."""
        return (
            self.positive <= state.atoms
            and not (self.negative & state.atoms)
            and all(comparison.holds((), state.values) for comparison in self.comparisons)
        )


@dataclass(frozen=True, slots=True)
class NumericProblem:
    """Objects (constants included) with their types, where to start, and what to reach."""

    name: str
    objects: Mapping[str, str]
    initial: State
    goal: Goal


def object_for(term: int | str, binding: Ground) -> str:
    """The object a parameter position or constant stands for."""
    return binding[term] if isinstance(term, int) else term


def ground(lifted: Lifted, binding: Ground) -> Ground:
    """A lifted atom or fluent with objects for parameters (its first entry, the name, is kept)."""
    return tuple(binding[term] if isinstance(term, int) else term for term in lifted)


class BrokenPlan(DatasetError):
    """A plan that cannot be carried out in a model; the message names the step and the reason."""


def run_plan(model: NumericModel, problem: NumericProblem, plan: Sequence[Ground]) -> list[State]:
    """Carry out a plan exactly: every state from the initial one on.

    Raises:
        BrokenPlan: an unknown action, objects of the wrong number or type, or a precondition that
            does not hold.
    """
    states = [problem.initial]
    for number, (name, *binding) in enumerate(plan, 1):
        where = f"step {number}, ({' '.join((name, *binding))})"
        if name not in model.actions:
            raise BrokenPlan(f"{where}: the model has no action '{name}'")
        action = model.actions[name]
        kinds = [problem.objects.get(one) for one in binding]
        if len(binding) != len(action.parameters):
            raise BrokenPlan(f"{where}: the action takes {len(action.parameters)} objects")
        for one, kind, (_, wanted) in zip(binding, kinds, action.parameters, strict=True):
            if kind is None or not model.vocabulary.is_a(kind, wanted):
                raise BrokenPlan(
                    f"{where}: '{one}' is {'not an object of the problem' if kind is None else f'a {kind}, not a {wanted}'}"
                )
        if not action.applicable(tuple(binding), states[-1]):
            raise BrokenPlan(f"{where}: the precondition does not hold")
        states.append(action.successor(tuple(binding), states[-1]))
    return states


def is_valid(model: NumericModel, problem: NumericProblem, plan: Sequence[Ground]) -> bool:
    """Whether a plan can be carried out exactly and ends in a goal state."""
    try:
        return problem.goal.holds(run_plan(model, problem, plan)[-1])
    except BrokenPlan:
        return False
