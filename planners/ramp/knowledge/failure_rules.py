"""Short conjunctions that hold for all successes of an action and for none of its failures, as
general as they can be.

A condition is a literal, or a bound on one fluent, that every success meets. Of all conjunctions of
as few conditions as explain the failures, or one more, those are kept whose bounds cannot be
loosened and whose conditions cannot be left out: the general boundary of a version space (Mitchell
1982), kept short.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Lifted

Failure = tuple[
    frozenset[Lifted], tuple[Rational | None, ...]
]  # the atoms that were true, the values of the fluents
TRIED = 5000  # conjunctions looked at


@dataclass(frozen=True)
class Condition:
    """A literal (`fluent` is None), or a bound on a fluent.

    Args:
        atom: of the literal.
        sign: whether the atom must be true (1) or false (-1); or whether the fluent is bounded from
            below (1) or above (-1).
        fluent: its position.
        end: its least, or greatest, allowed value; or
        strict: a value that it must not even have.
    """

    atom: Lifted | None
    sign: int
    fluent: int | None = None
    end: Rational = 0
    strict: bool = False

    def excludes(self, truth: frozenset[Lifted], values: Sequence[Rational | None]) -> bool:
        """Whether the condition is broken where these atoms are true and the fluents have these
        values.
        """
        if self.fluent is None:
            return (self.atom in truth) != (self.sign > 0)
        value = values[self.fluent]
        return (
            value is None
            or self.sign * value < self.sign * self.end
            or (self.strict and value == self.end)
        )


def boldest_rules(
    candidates: Sequence[Condition], failures: Sequence[Failure], most: int
) -> tuple[list[tuple[Condition, ...]], list[Failure]]:
    """At most `most` conjunctions of candidates, bounds loosened, none of which implies another;
    and the failures that no candidate excludes.
    """
    failures = list(dict.fromkeys(failures))
    scales = [_Scale(condition, failures) for condition in candidates]
    explained = reduce(or_, (scale.masks[-1] for scale in scales), 0)
    # those with the fewest explanations first: they leave the least choice
    hard = sorted(
        (i for i in range(len(failures)) if explained >> i & 1),
        key=lambda i: sum(scale.masks[-1] >> i & 1 for scale in scales),
    )
    rules: set[Rule] = set()
    size = 0
    while not rules:
        rules, size = set(_rules(scales, hard, size)), size + 1
    rules |= set(_rules(scales, hard, size))
    general = [
        rule
        for rule in rules
        if not any(other != rule and _implies(rule, other) for other in rules)
    ]
    general.sort(key=lambda rule: (len(rule), sorted(rule)))
    unexplained = [failure for i, failure in enumerate(failures) if not explained >> i & 1]
    return [
        tuple(scales[place].conditions[level] for place, level in sorted(rule))
        for rule in general[:most]
    ], unexplained


Rule = frozenset[tuple[int, int]]  # candidates with their levels


class _Scale:
    """A candidate at every looseness that matters, from the loosest on, with the failures that each
    excludes as bits.
    """

    def __init__(self, condition: Condition, failures: Sequence[Failure]) -> None:
        excluded = [failure for failure in failures if condition.excludes(*failure)]
        self.conditions = [condition]
        if condition.fluent is not None:
            found = {
                value for _, values in excluded if (value := values[condition.fluent]) is not None
            }
            levels = sorted(found, key=lambda value: condition.sign * value)
            self.conditions = [replace(condition, end=value, strict=True) for value in levels] or [
                condition
            ]
        self.masks = [
            sum(1 << i for i, failure in enumerate(failures) if one.excludes(*failure))
            for one in self.conditions
        ]


def _rules(scales: Sequence[_Scale], failures: Sequence[int], size: int) -> Iterator[Rule]:
    """Conjunctions of at most `size` conditions that exclude all failures; all those are among them
    that cannot be loosened (up to TRIED).

    Some condition must exclude the first failure that none excludes yet: each is tried, as loose as
    does it.
    """
    waiting: list[dict[int, int]] = [{}]
    seen: set[Rule] = set()
    while waiting and len(seen) < TRIED:
        levels = waiting.pop()
        excluded = reduce(or_, (scales[place].masks[level] for place, level in levels.items()), 0)
        open_failure = next((i for i in failures if not excluded >> i & 1), None)
        if open_failure is None:
            yield frozenset(levels.items())
            continue
        for place, scale in enumerate(scales):
            if scale.masks[-1] >> open_failure & 1 and (place in levels or len(levels) < size):
                level = next(
                    level for level, mask in enumerate(scale.masks) if mask >> open_failure & 1
                )
                tighter = {**levels, place: level}
                rule = frozenset(tighter.items())
                if rule not in seen:
                    seen.add(rule)
                    waiting.append(tighter)


def _implies(rule: Rule, other: Rule) -> bool:
    """Whether every condition of the other rule is one of this rule, or a looser one."""
    levels = dict(rule)
    return all(place in levels and levels[place] >= at for place, at in other)
