"""Fluents of an action that could be the same one, and how their meeting is ruled out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from worldplan.world_models.numeric.domain import Lifted, Vocabulary
from worldplan.world_models.pddl.expressions import pair


def pairs_against_meeting(
    changed: list[Lifted],
    parameters: tuple[tuple[str, str], ...],
    distinct: set[tuple[int | str, int | str]],
    vocabulary: Vocabulary,
) -> Iterator[tuple[int | str, int | str]]:
    """One pair of terms that must differ for each two changed fluents that could be the same."""

    def may_meet(a: int | str, b: int | str) -> bool:
        if isinstance(a, str) and isinstance(b, str):
            return a == b
        first, second = (
            parameters[term][1]
            if isinstance(term, int)
            else vocabulary.constants.get(term, "object")
            for term in (a, b)
        )
        return vocabulary.is_a(first, second) or vocabulary.is_a(second, first)

    for first_fluent, second_fluent in combinations(changed, 2):
        if first_fluent[0] != second_fluent[0]:
            continue
        terms = list(zip(first_fluent[1:], second_fluent[1:], strict=True))
        if not all(may_meet(a, b) for a, b in terms):
            continue
        pairs = [pair(a, b) for a, b in terms if a != b]
        if not distinct & set(pairs):
            yield pairs[0]
