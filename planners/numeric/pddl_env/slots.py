"""Places for the objects of problems, so that all problems of a domain have the same numbered
actions and arrays of the same size.

A slot takes an object of one type. The objects of a problem, in the natural order of their names
(crate2 before crate10), fill the slots of their types in order; slots that are left over are empty.
A ground action, atom or fluent over an empty slot does not exist in that problem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import product
from math import prod

from worldplan.milp.errors import ConfigError
from worldplan.name_lists import natural_key
from worldplan.world_models.numeric.domain import Ground, NumericProblem, Vocabulary

MOST_ACTIONS = 200_000  # ground actions of an environment
SlotCall = tuple[str, tuple[int, ...]]  # a name, and the slots of its arguments


class Slots:
    """The slots of a domain.

    Args:
        vocabulary: the domain; each constant has a slot of its own.
        counts: number of slots by type, subtypes not included.

    Attributes:
        types: the type of each slot, constants first.
        constants: the constants, in the order of their slots.
        actions: every ground action, in the order of the environment's action numbers.

    Raises:
        ConfigError: a count is negative or of an unknown type, there is no ground action, or there
            are more than `MOST_ACTIONS`.
    """

    def __init__(self, vocabulary: Vocabulary, counts: Mapping[str, int]) -> None:
        _check(vocabulary, counts)
        self.vocabulary, self.counts = vocabulary, dict(counts)
        self.constants = tuple(vocabulary.constants)
        self.types = tuple(vocabulary.constants.values()) + tuple(
            kind for kind, count in counts.items() for _ in range(count)
        )
        size = sum(
            prod(len(self._of(kind)) for _, kind in parameters)
            for parameters in vocabulary.actions.values()
        )
        if not 0 < size <= MOST_ACTIONS:
            raise ConfigError(
                f"domain '{vocabulary.name}' has {size} ground actions over {len(self.types)} "
                f"objects: an environment takes 1 to {MOST_ACTIONS}"
            )
        self.actions: tuple[SlotCall, ...] = tuple(
            (name, slots)
            for name, parameters in vocabulary.actions.items()
            for slots in self._tuples([kind for _, kind in parameters])
        )

    def __len__(self) -> int:
        return len(self.types)

    @cached_property
    def atoms(self) -> tuple[SlotCall, ...]:
        """Every ground atom."""
        return self._terms(self.vocabulary.predicates)

    @cached_property
    def fluents(self) -> tuple[SlotCall, ...]:
        """Every ground fluent."""
        return self._terms(self.vocabulary.functions)

    def place(self, problem: NumericProblem) -> tuple[str, ...]:
        """The object in each slot; "" in an empty one.

        Raises:
            ConfigError: the problem has more objects of a type than there are slots.
        """
        filled = [*self.constants, *[""] * (len(self.types) - len(self.constants))]
        for kind, names in objects_by_type(self.vocabulary, problem).items():
            places = [
                slot
                for slot in range(len(self.constants), len(self.types))
                if self.types[slot] == kind
            ]
            if len(names) > len(places):
                raise ConfigError(
                    f"problem '{problem.name}': has {len(names)} objects of type '{kind}', the "
                    f"environment has room for {len(places)}: "
                    f"give objects={{'{kind}': {len(names)}}}"
                )
            for slot, name in zip(places, names, strict=False):
                filled[slot] = name
        return tuple(filled)

    @staticmethod
    def ground(call: SlotCall, placed: Sequence[str]) -> Ground | None:
        """The ground action, atom or fluent in a problem; None where one of its slots is empty."""
        names = [placed[slot] for slot in call[1]]
        return (call[0], *names) if all(names) else None

    def _of(self, expected: str) -> list[int]:
        return [s for s, kind in enumerate(self.types) if self.vocabulary.is_a(kind, expected)]

    def _tuples(self, kinds: Sequence[str]) -> list[tuple[int, ...]]:
        return list(product(*(self._of(kind) for kind in kinds)))

    def _terms(self, declared: Mapping[str, tuple[str, ...]]) -> tuple[SlotCall, ...]:
        return tuple(
            (name, slots) for name, kinds in declared.items() for slots in self._tuples(kinds)
        )


def objects_by_type(vocabulary: Vocabulary, problem: NumericProblem) -> dict[str, list[str]]:
    """The objects of a problem but for the constants, by type, in the natural order of their
    names.
    """
    by_type: dict[str, list[str]] = {}
    for name in sorted(problem.objects, key=natural_key):
        if name not in vocabulary.constants:
            by_type.setdefault(problem.objects[name], []).append(name)
    return by_type


def slots_for(
    vocabulary: Vocabulary, problems: Sequence[NumericProblem], counts: Mapping[str, int]
) -> Slots:
    """Slots for every problem.

    Args:
        vocabulary: the domain.
        problems: some problems.
        counts: least numbers of slots by type, for problems to come.

    Raises:
        ConfigError: as in `Slots`.
    """
    _check(vocabulary, counts)
    most = dict(counts)
    for problem in problems:
        for kind, names in objects_by_type(vocabulary, problem).items():
            most[kind] = max(most.get(kind, 0), len(names))
    return Slots(vocabulary, most)


def _check(vocabulary: Vocabulary, counts: Mapping[str, int]) -> None:
    """Check numbers of objects by type.

    Raises:
        ConfigError: a count is negative or of an unknown type.
    """
    for kind, count in counts.items():
        if kind != "object" and kind not in vocabulary.types:
            raise ConfigError(
                f"objects: domain '{vocabulary.name}' has no type '{kind}': "
                f"give {', '.join(vocabulary.types) or 'object'}"
            )
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ConfigError(f"objects: {kind}: {count!r}: give a number of objects from 0")
