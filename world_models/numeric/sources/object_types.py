"""The types of objects that no problem file declares, from the declared arguments of the atoms,
fluents and actions in which they occur.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from worldplan.milp.errors import DatasetError
from worldplan.world_models.numeric.domain import Ground, Vocabulary

Fact = tuple[str, Ground]  # "predicate", "function" or "action", with name and objects


def inferred_types(vocabulary: Vocabulary, facts: Iterable[Fact], path: Path) -> dict[str, str]:
    """The type of each object in some facts: that one of the types required of it which is a
    subtype of all others.

    A learned model does not depend on how narrow these types are: it only has the types that the
    domain declares for parameters. What the domain does not declare, or with another number of
    objects, is left to `Checker`.

    Args:
        vocabulary: the declarations.
        facts: what the objects occur in.
        path: the file that they come from, for messages.

    Raises:
        DatasetError: the types required of an object have no such type among them.
    """
    required: dict[str, dict[str, Ground]] = {}
    for kind, fact in dict.fromkeys(facts):
        kinds = declared_types(vocabulary, kind, fact[0])
        if len(kinds) != len(fact) - 1:
            continue
        for argument, expected in zip(fact[1:], kinds, strict=True):
            if argument not in vocabulary.constants:
                required.setdefault(argument, {}).setdefault(expected, fact)
    return {
        argument: _narrowest(vocabulary, argument, uses, path)
        for argument, uses in required.items()
    }


def kind_of(vocabulary: Vocabulary, fact: Ground) -> str:
    """Whether the name of an atom or a fluent is that of a "function" or of a "predicate"."""
    return "function" if fact[0] in vocabulary.functions else "predicate"


def declared_types(vocabulary: Vocabulary, kind: str, name: str) -> Sequence[str]:
    """The types of the arguments of a predicate, function or action; none if it is not declared."""
    if kind == "action":
        return [of_parameter for _, of_parameter in vocabulary.actions.get(name, ())]
    declared = vocabulary.functions if kind == "function" else vocabulary.predicates
    return declared.get(name, ())


def _narrowest(vocabulary: Vocabulary, argument: str, uses: dict[str, Ground], path: Path) -> str:
    """That one of the types in `uses` which is a subtype of all of them.

    Raises:
        DatasetError: there is none.
    """
    for kind in uses:
        if all(vocabulary.is_a(kind, other) for other in uses):
            return kind
    kinds = sorted(uses)
    places = ", ".join(f"({' '.join(uses[kind])})" for kind in kinds)
    raise DatasetError(
        f"{path}: '{argument}' is used as {' and as '.join(kinds)}; name its type in "
        f"{path.with_suffix('.pddl').name}, or mend one of {places}"
    )
