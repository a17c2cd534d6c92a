"""Symmetric states: a state in, a key out that states share only if a renaming of interchangeable
objects turns one into the other.

Two objects are interchangeable if swapping them changes neither the goal, the metric, nor what no
action changes. Their plans to the goal then cost the same, from any two states that differ by the
swap, so that A* needs one of these states (orbit search: Domshlak, Katz and Shleyfman, 2015). Only
sets of objects are used of which no atom or fluent of the search names two: a state then falls into
one row of values for each object, and the sorted rows are the key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable

from worldplan.planners.numeric.task.symmetry import (
    facts_by_object,
    facts_in,
    fixed_objects,
    without,
)
from worldplan.planners.numeric.task.task import GroundTask, Node
from worldplan.world_models.numeric.domain import Vocabulary

Key = Callable[[Node], Hashable]


def symmetry_key(task: GroundTask, vocabulary: Vocabulary) -> tuple[Key, int]:
    """A function from states to keys, and the number of objects that are interchangeable.

    Args:
        task: the task.
        vocabulary: of its domain; its constants may stand in actions and are left alone.
    """
    groups = _groups(task, vocabulary)
    if not groups:
        return lambda node: node, 0
    rows = [[_Row.of(task, name) for name in group] for group in groups]
    mentioned = {name for group in groups for name in group}
    bits = sum(1 << bit for atom, bit in task.atoms.items() if not mentioned & set(atom[1:]))
    places = [place for f, place in task.fluents.items() if not mentioned & set(f[1:])]

    def key(node: Node) -> Hashable:
        truth, values = node
        return (
            truth & bits,
            tuple(values[place] for place in places),
            tuple(tuple(sorted(row.read(node) for row in group)) for group in rows),
        )

    return key, len(mentioned)


class _Row:
    """The part of a state that belongs to one object.

    Args:
        bits: atoms of the object, in the order of the facts without its name.
        places: fluents of the object, in the same order.
    """

    def __init__(self, bits: list[int], places: list[int]) -> None:
        self.bits, self.places = bits, places

    @classmethod
    def of(cls, task: GroundTask, name: str) -> _Row:
        """The row of an object."""
        bits = {without(atom, name): bit for atom, bit in task.atoms.items() if name in atom[1:]}
        places = {without(f, name): place for f, place in task.fluents.items() if name in f[1:]}
        return cls([bits[fact] for fact in sorted(bits)], [places[fact] for fact in sorted(places)])

    def read(self, node: Node) -> tuple[Hashable, ...]:
        """The values of the row, which can be sorted."""
        truth, values = node
        numbers = ((v is not None, v or 0) for v in (values[place] for place in self.places))
        return (*(truth >> bit & 1 for bit in self.bits), *numbers)


def _groups(task: GroundTask, vocabulary: Vocabulary) -> list[list[str]]:
    """Sets of at least two interchangeable objects, of which no kept fact names two.

    No fact that no action changes names two of them either: `SELF` would then stand for one of them
    only, and their facts would differ.
    """
    problem = task.problem
    fixed = fixed_objects(vocabulary, problem)
    kept = [*((atom, None) for atom in task.atoms), *((fluent, 0) for fluent in task.fluents)]
    unchanging = facts_by_object(
        (fact, value)
        for fact, value in facts_in(problem.initial)
        if fact not in (task.atoms if value is None else task.fluents)
    )
    own = facts_by_object(kept)
    names_of = (set(fact[1:]) - fixed for fact, _ in kept)
    together = {name for names in names_of if len(names) > 1 for name in names}
    by_facts: dict[Hashable, list[str]] = defaultdict(list)
    for name, kind in problem.objects.items():
        if name not in fixed and name not in together:
            by_facts[kind, unchanging[name], own[name]].append(name)
    return [group for group in by_facts.values() if len(group) > 1]
