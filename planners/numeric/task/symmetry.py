"""Planning with a few of many interchangeable objects: a map with hundreds of equal cells shrinks
to a few cells.

Two objects are interchangeable if swapping them leaves the initial state, the goal and the model
unchanged. Leaving some of them out is sound: an action concerns its own objects only, so a plan for
fewer objects is a plan for all of them. Plans may be lost or become longer only if they need more
objects of a kind than are kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from worldplan.world_models.numeric.domain import Lifted, NumericProblem, State, Vocabulary

SELF = "\0"  # the place of the object itself in its facts; no object has this name


def with_representatives(
    vocabulary: Vocabulary, problem: NumericProblem, each: int
) -> NumericProblem:
    """The problem with at most `each` objects of every set of interchangeable ones.

    The first ones in the order of the problem are kept. Constants of the domain and objects of the
    goal and of the metric are always kept.

    Args:
        vocabulary: the declarations of the domain.
        problem: the problem; returned itself if nothing can be left out.
        each: largest number of objects per set.
    """
    state, goal = problem.initial, problem.goal
    facts: dict[str, set[tuple[object, ...]]] = defaultdict(set)
    for fact, value in [*((atom, True) for atom in state.atoms), *state.values.items()]:
        for name in set(fact[1:]):
            arguments = (SELF if term == name else term for term in fact[1:])
            facts[name].add((fact[0], *arguments, value))
    fixed = set(vocabulary.constants) | _names_in(goal.positive | goal.negative)
    fixed |= _names_in(
        fluent for comparison in goal.comparisons for fluent in comparison.expression.fluents
    )
    if problem.metric is not None:
        fixed |= _names_in(problem.metric.expression.fluents)
    # objects are interchangeable if their facts are equal up to their own names; no fact then names
    # two of them, because SELF would stand for one of them only
    counts: dict[tuple[str, frozenset[tuple[object, ...]]], int] = defaultdict(int)
    objects = {}
    for name, kind in problem.objects.items():
        signature = kind, frozenset(facts[name])
        if name in fixed or counts[signature] < each:
            objects[name] = kind
            counts[signature] += name not in fixed
    if len(objects) == len(problem.objects):
        return problem
    atoms = frozenset(atom for atom in state.atoms if all(term in objects for term in atom[1:]))
    values = {
        fluent: value
        for fluent, value in state.values.items()
        if all(term in objects for term in fluent[1:])
    }
    return NumericProblem(problem.name, objects, State(atoms, values), goal, problem.metric)


def _names_in(facts: Iterable[Lifted]) -> set[str]:
    """The names that occur in atoms or fluents."""
    return {str(term) for fact in facts for term in fact[1:]}
