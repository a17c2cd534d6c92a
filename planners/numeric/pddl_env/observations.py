"""Observations of symbolic states: one vector, or an array for every predicate and function.

Numbers are float32 and clipped to +-`LARGEST`; the symbolic state itself stays exact. The goal is
part of every observation, so that one policy can serve all problems: +1 for an atom that must be
true and -1 for one that must be false. For a numeric goal `expression >= 0` it is the value of the
expression in the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from worldplan.planners.numeric.pddl_env.slots import SlotCall, Slots
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Comparison, Goal, Ground, NumericProblem, State

Kind = Literal["vector", "relational"]
KINDS: tuple[Kind, ...] = ("vector", "relational")
LARGEST = 1e9  # absolute value of a number in an observation
Vector = NDArray[np.float32]
Observation = Vector | dict[str, Vector]


class VectorObserver:
    """All numbers one after another: which slots are filled, the atoms (0 or 1), the fluents (0
    where undefined), the goal's atoms (-1, 0 or 1), and the goal's numeric conditions.

    Args:
        slots: of the environment.
        comparisons: number of places for numeric conditions of the goal.

    Attributes:
        names: what each number stands for.
    """

    def __init__(self, slots: Slots, comparisons: int) -> None:
        self.slots, self.comparisons = slots, comparisons
        atoms, fluents = slots.atoms, slots.fluents
        self._starts = np.cumsum([0, len(slots), len(atoms), len(fluents), len(atoms)]).tolist()
        size = self._starts[-1] + comparisons
        low = np.full(size, -LARGEST, np.float32)
        high = np.full(size, LARGEST, np.float32)
        filled, fluent, goal, numeric = self._starts[1:]
        low[:filled], high[:filled] = 0, 1
        low[filled:fluent], high[filled:fluent] = 0, 1
        low[goal:numeric], high[goal:numeric] = -1, 1
        self.space = spaces.Box(low, high, dtype=np.float32)
        self.names = [
            *(f"filled {_slot(slots, slot)}" for slot in range(len(slots))),
            *(_text(slots, atom) for atom in atoms),
            *(_text(slots, each) for each in fluents),
            *(f"goal {_text(slots, atom)}" for atom in atoms),
            *(f"goal condition {number}" for number in range(comparisons)),
        ]

    def begin(self, problem: NumericProblem, placed: tuple[str, ...]) -> None:
        """Prepare for a problem, whose objects are `placed` in the slots."""
        slots, (_, filled, fluent, goal, _) = self.slots, self._starts
        self._base = np.zeros(self.space.shape, np.float32)
        self._base[: len(slots)] = [name != "" for name in placed]
        atoms = _places(slots.atoms, placed)
        self._atoms = {atom: filled + place for atom, place in atoms.items()}
        self._fluents = {
            each: fluent + place for each, place in _places(slots.fluents, placed).items()
        }
        for atom, sign in _signs(problem.goal).items():
            self._base[goal + atoms[atom]] = sign
        self._comparisons = problem.goal.comparisons

    def observe(self, state: State) -> Vector:
        """The observation (size,) of a state."""
        observation = self._base.copy()
        observation[[self._atoms[atom] for atom in state.atoms]] = 1
        for fluent, value in state.values.items():
            observation[self._fluents[fluent]] = _float(value)
        start = self._starts[-1]
        for number, comparison in enumerate(self._comparisons):
            observation[start + number] = _slack(comparison, state.values)
        return observation


class RelationalObserver:
    """A dictionary of arrays over slots, for networks over objects and relations.

    "types" (slots, types) says which types the object in a slot has, its supertypes included; the
    row of an empty slot is 0. "predicate NAME" and "goal NAME" have one axis of length slots per
    argument (without arguments: one entry), as has "function NAME"; "goal conditions"
    (comparisons,) is there if problems have numeric goals.

    Args:
        slots: of the environment.
        comparisons: number of places for numeric conditions of the goal.

    Attributes:
        types: names of the columns of "types".
    """

    def __init__(self, slots: Slots, comparisons: int) -> None:
        self.slots, self.comparisons = slots, comparisons
        words = slots.vocabulary
        self.types = ["object", *(kind for kind in words.types if kind != "object")]
        boxes: dict[str, spaces.Space[Any]] = {"types": _box((len(slots), len(self.types)), 0, 1)}
        for name, kinds in words.predicates.items():
            boxes[f"predicate {name}"] = _box(self._shape(kinds), 0, 1)
            boxes[f"goal {name}"] = _box(self._shape(kinds), -1, 1)
        for name, kinds in words.functions.items():
            boxes[f"function {name}"] = _box(self._shape(kinds), -LARGEST, LARGEST)
        if comparisons:
            boxes["goal conditions"] = _box((comparisons,), -LARGEST, LARGEST)
        self.space = spaces.Dict(boxes)

    def begin(self, problem: NumericProblem, placed: tuple[str, ...]) -> None:
        """Prepare for a problem, whose objects are `placed` in the slots."""
        words = self.slots.vocabulary
        self._slot = {name: slot for slot, name in enumerate(placed) if name}
        self._base = {
            name: np.zeros(box.shape, np.float32)
            for name, box in self.space.spaces.items()
            if box.shape is not None
        }
        for name, slot in self._slot.items():
            kind = problem.objects.get(name) or words.constants[name]
            self._base["types"][slot] = [words.is_a(kind, ancestor) for ancestor in self.types]
        for atom, sign in _signs(problem.goal).items():
            self._base[f"goal {atom[0]}"][self._index(atom)] = sign
        self._comparisons = problem.goal.comparisons

    def observe(self, state: State) -> dict[str, Vector]:
        """The observation of a state, an array for each name of the space."""
        observation = {name: array.copy() for name, array in self._base.items()}
        for atom in state.atoms:
            observation[f"predicate {atom[0]}"][self._index(atom)] = 1
        for fluent, value in state.values.items():
            observation[f"function {fluent[0]}"][self._index(fluent)] = _float(value)
        for number, comparison in enumerate(self._comparisons):
            observation["goal conditions"][number] = _slack(comparison, state.values)
        return observation

    def _shape(self, kinds: tuple[str, ...]) -> tuple[int, ...]:
        return (len(self.slots),) * len(kinds) or (1,)

    def _index(self, term: Ground) -> tuple[int, ...]:
        return tuple(self._slot[name] for name in term[1:]) or (0,)


def observer_of(kind: Kind, slots: Slots, comparisons: int) -> VectorObserver | RelationalObserver:
    """The observer of this kind, for at most so many numeric conditions of a goal."""
    return (VectorObserver if kind == "vector" else RelationalObserver)(slots, comparisons)


def _signs(goal: Goal) -> dict[Ground, int]:
    return dict.fromkeys(goal.positive, 1) | dict.fromkeys(goal.negative, -1)


def _places(terms: tuple[SlotCall, ...], placed: tuple[str, ...]) -> dict[Ground, int]:
    """The place of every atom or fluent that exists in a problem."""
    grounded = (Slots.ground(term, placed) for term in terms)
    return {term: place for place, term in enumerate(grounded) if term is not None}


def _slack(comparison: Comparison, values: Mapping[Ground, Rational]) -> float:
    """The value of a condition's expression; -LARGEST where a fluent is undefined."""
    try:
        return _float(comparison.expression.value((), values))
    except KeyError:
        return -LARGEST


def _float(value: Rational) -> float:
    # compared exactly, since a large fraction is no float
    return float(min(max(value, -int(LARGEST)), int(LARGEST)))


def _box(shape: tuple[int, ...], low: float, high: float) -> spaces.Box:
    return spaces.Box(low, high, shape, np.float32)


def _slot(slots: Slots, slot: int) -> str:
    """What stands for the object of a slot in a text: the constant, or the type and a number."""
    if slot < len(slots.constants):
        return slots.constants[slot]
    kind = slots.types[slot]
    first = slots.types.index(kind, len(slots.constants))
    return f"{kind}#{slot - first}"


def _text(slots: Slots, term: SlotCall) -> str:
    return " ".join((term[0], *(_slot(slots, slot) for slot in term[1])))
