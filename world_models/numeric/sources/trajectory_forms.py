"""The written forms of trajectories, brought into one: objects, states, actions and outcomes in
turn.

Programs write the same content in several ways:

    ((:init fact ...) (operator: (name object ...)) (:state fact ...) ...)
    (:trajectory (:objects a b - kind) (:init fact ...) (:action (name object ...)) ...)
    (:observation (:state fact ...) (:action (name object ...)) (:state fact ...) ...)

Facts may stand in one `(and ...)`. A state with an explicit false atom, `(not (name object ...))`,
is complete only if it lists every atom; `missing_atoms` finds one that it does not list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from math import prod
from typing import NamedTuple

from worldplan.milp.errors import DatasetError
from worldplan.world_models.numeric.domain import Ground, Vocabulary
from worldplan.world_models.numeric.s_expressions import SExpression
from worldplan.world_models.numeric.sources.object_types import Fact

TITLES = {
    f"{colon}{name}" for colon in ("", ":") for name in ("trajectory", "observation", "trace")
}
STATES = {":init", ":state", "init:", "state:"}
CALLS = {"operator:", ":operator", "action:", ":action"}
JOINT = {"operators:", ":operators", "actions:", ":actions"}
EXPECTED = (
    "expected (:init ...), then (operator: (name object ...)) or (:action (name object ...)), and "
    "(:state ...) in turn"
)

Refusal = Callable[[object, str], DatasetError]  # of a part of the file: what is wrong with it


class Part(NamedTuple):
    """One part of a trajectory.

    Attributes:
        kind: "objects", "state", "action" or "outcome".
        content: names and types, facts, the action with its objects, or one word.
        at: the expression in the file, for messages.
    """

    kind: str
    content: SExpression
    at: SExpression


def parts_of(trajectory: SExpression, refusal: Refusal) -> Iterator[Part]:
    """The parts of a trajectory in the order of the file.

    Args:
        trajectory: the expression that the file holds.
        refusal: makes the error for a part.

    Raises:
        DatasetError: a part has none of the forms.
    """
    title = trajectory[0] if trajectory and isinstance(trajectory[0], str) else ""
    if title == "define":
        raise refusal(trajectory, "a PDDL domain or problem, where a trajectory is expected")
    for part in trajectory[1:] if title in TITLES else trajectory:
        head = part[0] if isinstance(part, SExpression) and part else None
        if not isinstance(head, str):
            raise refusal(part, EXPECTED)
        rest = _within(part, part[1:])
        if head == ":objects":
            yield Part("objects", rest, part)
        elif head in STATES:
            yield Part("state", _conjuncts(rest), part)
        elif head in CALLS:
            nested = len(rest) == 1 and isinstance(rest[0], SExpression)
            yield Part("action", rest[0] if nested else rest, part)
        elif head == ":transition_status" and rest in (["success"], ["failure"]):
            yield Part("outcome", rest, part)
        elif head in JOINT:
            raise refusal(
                part, "actions of several agents at once: give one action between two states"
            )
        else:
            raise refusal(part, EXPECTED)


def facts_of(parts: list[Part]) -> Iterator[Fact]:
    """The atoms, fluents and actions in parts of a trajectory, as far as they have their form."""
    for part in parts:
        if part.kind == "action" and _is_ground(part.content):
            yield "action", tuple(part.content)
        for fact in part.content if part.kind == "state" else ():
            if isinstance(fact, SExpression) and fact and fact[0] in ("=", "not"):
                kind = "function" if fact[0] == "=" else "predicate"
                fact = fact[1] if len(fact) > 1 else None
            else:
                kind = "predicate"
            if _is_ground(fact):
                yield kind, tuple(fact)


def missing_atom(
    listed: set[Ground], vocabulary: Vocabulary, objects: Mapping[str, str]
) -> Ground | None:
    """An atom that is not among those of a state, or None if all are.

    Args:
        listed: the true and the false atoms of the state.
        vocabulary: the declarations.
        objects: type of each object, constants included.
    """
    for name, kinds in vocabulary.predicates.items():
        candidates = [
            [item for item, kind in objects.items() if vocabulary.is_a(kind, expected)]
            for expected in kinds
        ]
        if prod(map(len, candidates)) == sum(atom[0] == name for atom in listed):
            continue
        for arguments in product(*candidates):
            if (name, *arguments) not in listed:
                return (name, *arguments)
    return None


def _within(part: SExpression, entries: list[object]) -> SExpression:
    """Entries of an expression, with its place."""
    inner = SExpression(entries)
    inner.offset = part.offset
    return inner


def _conjuncts(facts: SExpression) -> SExpression:
    """The facts of a state; those within `(and ...)` are taken out of it."""
    only = facts[0] if len(facts) == 1 else None
    if isinstance(only, SExpression) and only and only[0] == "and":
        return _within(only, only[1:])
    return facts


def _is_ground(fact: object) -> bool:
    return (
        isinstance(fact, SExpression) and bool(fact) and all(isinstance(name, str) for name in fact)
    )
