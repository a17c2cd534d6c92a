"""Planning with a few of many interchangeable objects: a map with hundreds of equal cells shrinks
to a few cells.

Two objects are interchangeable if swapping them leaves the initial state, the goal and the model
unchanged. Leaving some of them out is sound: an action concerns its own objects only, so a plan for
fewer objects is a plan for all of them. Plans may be lost or become longer only if they need more
objects of a kind than are kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import (
    Ground,
    Lifted,
    NumericProblem,
    State,
    Vocabulary,
)

SELF = "\0"  # the place of the object itself in its facts; no object has this name
Fact = tuple[Ground, Rational | None]  # a fluent and its value, or a true atom and None


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
    state = problem.initial
    facts = facts_by_object(facts_in(state))
    fixed = fixed_objects(vocabulary, problem)
    # objects are interchangeable if their facts are equal up to their own names; no fact then names
    # two of them, because SELF would stand for one of them only
    counts: dict[tuple[str, frozenset[Fact]], int] = defaultdict(int)
    objects = {}
    for name, kind in problem.objects.items():
        signature = kind, facts[name]
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
    return NumericProblem(problem.name, objects, State(atoms, values), problem.goal, problem.metric)


def facts_in(state: State) -> Iterator[Fact]:
    """The true atoms and the fluents of a state."""
    yield from ((atom, None) for atom in state.atoms)
    yield from state.values.items()


def facts_by_object(facts: Iterable[Fact]) -> dict[str, frozenset[Fact]]:
    """For each object, the facts that name it, without its name; no facts for any other name.

    A fact that names the same object twice has `SELF` twice.
    """
    by_object: dict[str, set[Fact]] = defaultdict(set)
    for fact, value in facts:
        for name in set(fact[1:]):
            by_object[name].add((without(fact, name), value))
    return defaultdict(frozenset, {name: frozenset(own) for name, own in by_object.items()})


def without(fact: Ground, name: str) -> Ground:
    """A fact with `SELF` in the places of an object."""
    return (fact[0], *(SELF if term == name else term for term in fact[1:]))


def fixed_objects(vocabulary: Vocabulary, problem: NumericProblem) -> set[str]:
    """The constants of the domain, and the objects of the goal and of the metric."""
    goal = problem.goal
    fixed = set(vocabulary.constants) | _names_in(goal.positive | goal.negative)
    for comparison in goal.comparisons:
        fixed |= _names_in(comparison.expression.fluents)
    if problem.metric is not None:
        fixed |= _names_in(problem.metric.expression.fluents)
    return fixed


def _names_in(facts: Iterable[Lifted]) -> set[str]:
    """The names that occur in atoms or fluents."""
    return {str(term) for fact in facts for term in fact[1:]}
