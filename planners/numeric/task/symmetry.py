"""Planning with a few of many interchangeable objects: a map with hundreds of equal cells becomes a
handful of cells.

Two objects are interchangeable if swapping them leaves the initial state, the goal and the model as
they are. Leaving some of them out is always sound: actions speak of their own objects only, so a
plan for fewer objects is a plan for all of them. A plan may get lost, or longer, only if it needs
more objects of a kind than are kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from worldplan.world_models.numeric.domain import Lifted, NumericProblem, State, Vocabulary

SELF = "\0"  # stands for the object itself; no object has this name


def with_representatives(
    vocabulary: Vocabulary, problem: NumericProblem, each: int
) -> NumericProblem:
    """The problem with at most `each` objects of every set of interchangeable ones, the first in
    the problem's order.

    Constants of the domain and objects that the goal names are always kept. The problem itself if
    nothing can be left out.
    """
    state, goal = problem.initial, problem.goal
    facts: dict[str, set[tuple[object, ...]]] = defaultdict(set)
    for fact, value in [*((atom, True) for atom in state.atoms), *state.values.items()]:
        for one in set(fact[1:]):
            facts[one].add((fact[0], *(SELF if term == one else term for term in fact[1:]), value))
    fixed = set(vocabulary.constants) | _named(goal.positive | goal.negative)
    fixed |= _named(
        fluent for comparison in goal.comparisons for fluent, _ in comparison.expression.terms
    )
    # equal facts but for their own names: then no fact names both, since only one of the two would
    # say SELF where the other is named
    counts: dict[tuple[str, frozenset[tuple[object, ...]]], int] = defaultdict(int)
    objects = {}
    for one, kind in problem.objects.items():
        looks = kind, frozenset(facts[one])
        if one in fixed or counts[looks] < each:
            objects[one] = kind
            counts[looks] += one not in fixed
    if len(objects) == len(problem.objects):
        return problem
    atoms = frozenset(atom for atom in state.atoms if all(term in objects for term in atom[1:]))
    values = {
        fluent: value
        for fluent, value in state.values.items()
        if all(term in objects for term in fluent[1:])
    }
    return NumericProblem(problem.name, objects, State(atoms, values), goal)


def _named(facts: Iterable[Lifted]) -> set[str]:
    return {str(term) for fact in facts for term in fact[1:]}
