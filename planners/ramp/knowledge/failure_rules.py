"""The most general short conjunctions that hold for all successes of an action and for none of its
failures.

The conditions are literals, and bounds on single fluents, that hold for every success. A
conjunction explains a failure if one of its conditions excludes it. Let k be the fewest conditions
with which all explainable failures can be explained. Of the conjunctions of at most k + 1
conditions, the most general ones are returned: no bound can be loosened and no condition dropped.
They form the general boundary of a version space (Mitchell 1982), restricted to short conjunctions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Lifted

# the true atoms and the values of the fluents
Failure = tuple[frozenset[Lifted], tuple[Rational | None, ...]]
# a conjunction as (index of the candidate, level of its looseness) pairs, see `_Levels`
Rule = frozenset[tuple[int, int]]
MAX_RULES = 5000  # conjunctions generated per search


@dataclass(frozen=True)
class Condition:
    """A literal (`fluent` is None), or a bound on a fluent.

    Args:
        atom: of the literal.
        sign: of a literal, 1 if the atom must be true and -1 if it must be false; of a bound, 1 for
            a lower and -1 for an upper bound.
        fluent: index of the fluent in the values of a failure.
        end: the bound.
        strict: whether the bound itself is excluded.
    """

    atom: Lifted | None
    sign: int
    fluent: int | None = None
    end: Rational = 0
    strict: bool = False

    def excludes(self, true_atoms: frozenset[Lifted], values: Sequence[Rational | None]) -> bool:
        """Whether the condition is false for these true atoms and fluent values. A bound on an
        undefined fluent is false.
        """
        if self.fluent is None:
            return (self.atom in true_atoms) != (self.sign > 0)
        value = values[self.fluent]
        return (
            value is None
            or self.sign * value < self.sign * self.end
            or (self.strict and value == self.end)
        )


def most_general_rules(
    candidates: Sequence[Condition], failures: Sequence[Failure], most: int
) -> tuple[list[tuple[Condition, ...]], list[Failure]]:
    """Short conjunctions of candidates, bounds loosened as far as the failures permit.

    Args:
        candidates: conditions that hold for all successes, bounds as tight as the successes permit.
        failures: are to be excluded.
        most: number of conjunctions returned at most.

    Returns:
        The conjunctions, none of which implies another, shortest first; and the failures that no
        candidate excludes.
    """
    failures = list(dict.fromkeys(failures))
    levels_of = [_Levels(condition, failures) for condition in candidates]
    # sets of failures are bit masks; the last mask is that of the tightest condition
    explained = reduce(or_, (levels.masks[-1] for levels in levels_of), 0)
    # failures with the fewest explanations first: they leave the least choice
    ordered = sorted(
        (i for i in range(len(failures)) if explained >> i & 1),
        key=lambda i: sum(levels.masks[-1] >> i & 1 for levels in levels_of),
    )
    rules: set[Rule] = set()
    size = 0
    while not rules:
        rules, size = set(_rules(levels_of, ordered, size)), size + 1
    rules |= set(_rules(levels_of, ordered, size))
    general = [
        rule
        for rule in rules
        if not any(other != rule and _implies(rule, other) for other in rules)
    ]
    general.sort(key=lambda rule: (len(rule), sorted(rule)))
    unexplained = [failure for i, failure in enumerate(failures) if not explained >> i & 1]
    return [
        tuple(levels_of[index].conditions[level] for index, level in sorted(rule))
        for rule in general[:most]
    ], unexplained


class _Levels:
    """A candidate at all distinct levels of looseness, loosest first.

    A literal has one level. A bound has one per failure value that it excludes: the strict bound at
    that value.

    Attributes:
        conditions: one per level.
        masks: per level, the excluded failures as bits.
    """

    def __init__(self, candidate: Condition, failures: Sequence[Failure]) -> None:
        self.conditions = [candidate]
        if candidate.fluent is not None:
            excluded = [values for atoms, values in failures if candidate.excludes(atoms, values)]
            ends = sorted(
                {value for values in excluded if (value := values[candidate.fluent]) is not None},
                key=lambda value: candidate.sign * value,
            )
            if ends:
                self.conditions = [replace(candidate, end=end, strict=True) for end in ends]
        self.masks = [
            sum(1 << i for i, failure in enumerate(failures) if condition.excludes(*failure))
            for condition in self.conditions
        ]


def _rules(levels_of: Sequence[_Levels], failures: Sequence[int], size: int) -> Iterator[Rule]:
    """Conjunctions of at most `size` conditions that exclude all failures, among them all most
    general ones (of the first `MAX_RULES` generated).

    Depth-first search. A conjunction that does not exclude all failures must get a condition that
    excludes the first remaining one: the search branches over all candidates, each at the loosest
    level that does.
    """
    stack: list[dict[int, int]] = [{}]
    seen: set[Rule] = set()
    while stack and len(seen) < MAX_RULES:
        rule = stack.pop()
        excluded = reduce(or_, (levels_of[index].masks[level] for index, level in rule.items()), 0)
        remaining = next((i for i in failures if not excluded >> i & 1), None)
        if remaining is None:
            yield frozenset(rule.items())
            continue
        for index, levels in enumerate(levels_of):
            if levels.masks[-1] >> remaining & 1 and (index in rule or len(rule) < size):
                level = next(
                    level for level, mask in enumerate(levels.masks) if mask >> remaining & 1
                )
                tighter = {**rule, index: level}
                key = frozenset(tighter.items())
                if key not in seen:
                    seen.add(key)
                    stack.append(tighter)


def _implies(rule: Rule, other: Rule) -> bool:
    """Whether `rule` contains every condition of `other`, as tight or tighter."""
    levels = dict(rule)
    return all(index in levels and levels[index] >= level for index, level in other)
