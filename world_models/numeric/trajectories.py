"""Trajectories of numeric planning: files in the public s-expression format in and out, and the
check of names and types that all sources share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from worldplan.milp.checks import of_type
from worldplan.milp.errors import DatasetError
from worldplan.milp.user_files import read_user_text
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Ground, State, Vocabulary
from worldplan.world_models.numeric.forms import check_trajectory
from worldplan.world_models.numeric.s_expressions import SExpression, line_of, parse, written_name
from worldplan.world_models.numeric.sources.object_types import inferred_types
from worldplan.world_models.numeric.sources.trajectory_forms import (
    EXPECTED,
    Part,
    facts_of,
    missing_atom,
    parts_of,
)
from worldplan.world_models.storage import replace_file

UNKNOWN = {"?", "unknown", "undefined", "none", "null", "nan", "na"}  # values of programs
NOT_OBSERVED = (
    "partially observed states are not learned from, so give its value in every state, or in none"
)


@dataclass(frozen=True, slots=True)
class Trajectory:
    """States and the actions between them.

    Args:
        objects: type of each object, constants included.
        states: one more than there are actions.
        calls: ground actions.
        succeeded: for each action whether it was applicable; None if the file does not tell.
        source: where the trajectory comes from, for messages.

    Raises:
        DatasetError: a part of another type, lengths that do not fit, or an object that is not
            declared.
    """

    objects: Mapping[str, str]
    states: tuple[State, ...]
    calls: tuple[Ground, ...]
    succeeded: tuple[bool | None, ...]
    source: str = "trajectory"

    def __post_init__(self) -> None:
        check_trajectory(self, State)


class Checker:
    """Checks ground atoms, fluents and actions against a vocabulary and the objects of a problem.

    Names that passed the check are cached.

    Args:
        vocabulary: the declarations.
        objects: type of each object; constants may be missing.

    Raises:
        DatasetError: an object has a type that the domain does not declare.
    """

    def __init__(self, vocabulary: Vocabulary, objects: Mapping[str, str]) -> None:
        self.vocabulary = vocabulary
        self.objects = {**vocabulary.constants, **objects}
        self._checked: set[tuple[str, Ground]] = set()
        for name, kind in self.objects.items():
            if kind != "object" and kind not in vocabulary.types:
                raise DatasetError(
                    f"object '{name}' is of type '{kind}', which the domain does not declare"
                )

    def __call__(self, kind: str, fact: Ground) -> str | None:
        """What is wrong with a ground atom, fluent or action; None if it is correct.

        Args:
            kind: "predicate", "function" or "action".
            fact: its name and objects.
        """
        if (kind, fact) in self._checked:
            return None
        declared = {
            "predicate": self.vocabulary.predicates,
            "function": self.vocabulary.functions,
            "action": self.vocabulary.actions,
        }[kind]
        name, *arguments = fact
        if name not in declared:
            return f"the domain declares no {kind} '{name}'"
        kinds = [entry if isinstance(entry, str) else entry[1] for entry in declared[name]]
        if len(arguments) != len(kinds):
            return f"{kind} '{name}' takes {len(kinds)} objects, not {len(arguments)}"
        for argument, expected in zip(arguments, kinds, strict=True):
            if argument not in self.objects:
                return f"'{argument}' in ({' '.join(fact)}) is not an object of the problem"
            if not self.vocabulary.is_a(self.objects[argument], expected):
                return (
                    f"'{argument}' in ({' '.join(fact)}) is of type '{self.objects[argument]}', "
                    f"not '{expected}'"
                )
        self._checked.add((kind, fact))
        return None


def check_facts(trajectory: Trajectory, vocabulary: Vocabulary) -> None:
    """Check a trajectory against the declarations of a domain.

    Raises:
        DatasetError: it is no trajectory, or a name, a type or a number of objects is wrong; the
            message names state or call.
    """
    of_type(trajectory, "trajectory", Trajectory, error=DatasetError)
    check = Checker(vocabulary, trajectory.objects)
    seen: dict[str, set[Ground]] = {"predicate": set(), "function": set()}
    for number, state in enumerate(trajectory.states):
        for kind, facts in (("predicate", state.atoms), ("function", state.values.keys())):
            for fact in facts - seen[kind]:
                if mistake := check(kind, fact):
                    raise DatasetError(f"{trajectory.source}: state {number}: {mistake}")
            seen[kind] |= facts
    for number, call in enumerate(trajectory.calls, 1):
        if mistake := check("action", call):
            raise DatasetError(f"{trajectory.source}: call {number}: {mistake}")
    check_observed(trajectory)


def check_observed(trajectory: Trajectory) -> None:
    """Refuse a fluent that has a value in a state and none in a later one.

    No action makes a fluent undefined, so its value was not observed there. A learned precondition
    could not contain it, and would accept too much.

    Raises:
        DatasetError: there is such a fluent; the message names it and its states.
    """
    defined: Mapping[Ground, Rational] = {}
    for number, state in enumerate(trajectory.states):
        if lost := defined.keys() - state.values.keys():
            raise DatasetError(
                f"{trajectory.source}: state {number}: ({' '.join(min(lost))}) has no value, but "
                f"had one in state {number - 1}: {NOT_OBSERVED}"
            )
        defined = state.values


def read_trajectory(
    path: str | Path, vocabulary: Vocabulary, objects: Mapping[str, str] | None = None
) -> Trajectory:
    """The trajectory in a file of the form `((:init fact ...) (operator: (name object ...)) (:state
    fact ...) ...)`, or of another form (`worldplan.world_models.numeric.sources` lists them).

    A fact is `(predicate object ...)` or `(= (function object ...) number)`. What a state does not
    list is false or undefined. An action may be followed by `(:transition_status success)` or
    `failure`. `write_trajectory` writes this format.

    Args:
        path: the file.
        vocabulary: the declarations that every name is checked against.
        objects: type of each object; default: those of the file's own `(:objects ...)`, else those
            of the problem file of the same name beside it, and without one the narrowest types that
            the declarations require of what the objects occur in.

    Raises:
        DatasetError: something is malformed or undeclared, or a state is not completely observed;
            the message names file and line.
    """
    path = Path(path)
    text = read_user_text(path)
    refusal = partial(_refusal, path, text)
    parts = list(parts_of(parse(text, str(path)), refusal))
    if objects is None:
        objects = _objects_of(path, parts, vocabulary)
    try:
        check = Checker(vocabulary, objects)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    return _Reader(path, refusal, check).trajectory(parts)


def _refusal(path: Path, text: str, part: object, what: str) -> DatasetError:
    """The error for a part of a file."""
    line = f", line {line_of(text, part.offset)}" if isinstance(part, SExpression) else ""
    return DatasetError(f"{path}{line}: {what}")


def _objects_of(path: Path, parts: list[Part], vocabulary: Vocabulary) -> dict[str, str]:
    """The objects of a trajectory: declared in it, in the problem file beside it, or inferred.

    Raises:
        DatasetError: the problem file is malformed, or an object is used as two types.
    """
    declared = [part for part in parts if part.kind == "objects"]
    if declared:
        return {
            name: kind
            for part in declared
            for name, kind in typed_objects(part.content, path).items()
        }
    problem = path.with_suffix(".pddl")
    if problem != path and problem.exists():
        return read_objects(problem)
    return inferred_types(vocabulary, facts_of(parts), path)


class _Reader:
    """Reads one trajectory from its parts."""

    def __init__(
        self, path: Path, refusal: Callable[[object, str], DatasetError], check: Checker
    ) -> None:
        self.path, self.refusal, self.check = path, refusal, check

    def trajectory(self, parts: list[Part]) -> Trajectory:
        states: list[State] = []
        calls: list[Ground] = []
        succeeded: list[bool | None] = []
        for part in parts:
            if part.kind == "state" and len(states) == len(calls):
                states.append(self._state(part.content))
            elif part.kind == "action" and len(calls) + 1 == len(states):
                calls.append(self._fact("action", part.content))
                succeeded.append(None)
            elif part.kind == "outcome" and calls and len(calls) == len(states):
                succeeded[-1] = part.content[0] == "success"
            elif part.kind == "state":
                raise self.refusal(part.at, f"{EXPECTED}, but no action leads to this state")
            elif part.kind != "objects":
                raise self.refusal(part.at, EXPECTED)
        if len(states) != len(calls) + 1:
            raise DatasetError(f"{self.path}: ends after an operator, or has no (:init ...)")
        return Trajectory(
            self.check.objects, tuple(states), tuple(calls), tuple(succeeded), str(self.path)
        )

    def _state(self, part: SExpression) -> State:
        atoms: set[Ground] = set()
        false: set[Ground] = set()
        values: dict[Ground, Rational] = {}
        for fact in part:
            head = fact[0] if isinstance(fact, SExpression) and fact else None
            if head == "=":
                if len(fact) != 3:
                    raise self.refusal(fact, "expected (= (function object ...) number)")
                fluent, value = self._fact("function", fact[1], fact), self._number(fact)
                if values.setdefault(fluent, value) != value:
                    raise self.refusal(fact, f"({' '.join(fluent)}) has two values in one state")
            elif head == "not" and len(fact) == 2:
                false.add(self._fact("predicate", fact[1], fact))
            else:
                atoms.add(self._fact("predicate", fact, part))
        self._check_complete(part, atoms, false)
        return State(frozenset(atoms), values)

    def _check_complete(self, part: SExpression, atoms: set[Ground], false: set[Ground]) -> None:
        """Refuse a state with false atoms that leaves some atom open.

        Raises:
            DatasetError: an atom is both true and false, or neither.
        """
        if both := atoms & false:
            raise self.refusal(part, f"({' '.join(min(both))}) is both true and false in one state")
        unknown = (
            missing_atom(atoms | false, self.check.vocabulary, self.check.objects)
            if false
            else None
        )
        if unknown is not None:
            raise self.refusal(
                part,
                f"({' '.join(unknown)}) is neither true nor false in a state with (not ...): a "
                "partially observed state, which is not learned from; list every atom, or only the "
                "true ones",
            )

    def _fact(self, kind: str, fact: object, within: SExpression | None = None) -> Ground:
        if (
            not isinstance(fact, SExpression)
            or not fact
            or not all(isinstance(name, str) for name in fact)
        ):
            raise self.refusal(
                fact if isinstance(fact, SExpression) else within,
                f"'{fact}' is not a {kind} with objects in parentheses",
            )
        ground = tuple(fact)
        if mistake := self.check(kind, ground):
            raise self.refusal(fact, mistake)
        return ground

    def _number(self, fact: SExpression) -> Rational:
        if fact[2] in UNKNOWN:
            raise self.refusal(fact, f"({' '.join(fact[1])}) is '{fact[2]}': {NOT_OBSERVED}")
        try:
            return exact(fact[2])
        except (ValueError, TypeError, ZeroDivisionError) as error:
            raise self.refusal(fact, f"'{fact[2]}' is not a number") from error


def read_objects(path: str | Path) -> dict[str, str]:
    """The objects that a problem file declares, with their types; the rest of the file is ignored.

    Args:
        path: the problem file.

    Raises:
        DatasetError: the file is missing, or its parentheses or (:objects ...) are malformed.
    """
    path = Path(path)
    objects: dict[str, str] = {}
    for part in parse(read_user_text(path), str(path)):
        if isinstance(part, SExpression) and part and part[0] == ":objects":
            objects |= typed_objects(part[1:], path)
    return objects


def typed_objects(entries: list[Any], path: Path) -> dict[str, str]:
    """The objects of a PDDL list such as `a b - kind c`, with their types.

    Args:
        entries: the names, types and dashes.
        path: the file, for messages.

    Raises:
        DatasetError: an entry is no name, or a dash is followed by no type.
    """
    objects: dict[str, str] = {}
    untyped: list[str] = []
    names = iter(entries)
    for name in names:
        if not isinstance(name, str):
            raise DatasetError(f"{path}: (:objects ...) may hold names and types only")
        if name == "-":
            kind = next(names, "")
            if not isinstance(kind, str) or not kind:
                raise DatasetError(f"{path}: a '-' in (:objects ...) is followed by no type")
            objects |= dict.fromkeys(untyped, kind)
            untyped = []
        else:
            untyped.append(name)
    return objects | dict.fromkeys(untyped, "object")


def write_trajectory(trajectory: Trajectory, path: str | Path) -> None:
    """Write a trajectory in the s-expression format that `read_trajectory` reads; numbers stay
    exact.

    A fraction is written as 1/3, a name that PDDL does not allow in double quotes. The objects are
    not part of the file: write a problem file of the same name beside it
    (`worldplan.world_models.pddl.write_problem`), or pass them to `read_trajectory`.

    Args:
        trajectory: the trajectory.
        path: the file, which is replaced atomically.
    """
    lines = []
    for number, state in enumerate(trajectory.states):
        if number:
            lines.append(f"(operator: {_written(trajectory.calls[number - 1])})")
            if (succeeded := trajectory.succeeded[number - 1]) is not None:
                lines.append(f"(:transition_status {'success' if succeeded else 'failure'})")
        facts = [
            f"(= {_written(fluent)} {value})" for fluent, value in sorted(state.values.items())
        ]
        facts += [_written(atom) for atom in sorted(state.atoms)]
        lines.append(f"({':state' if number else ':init'} {' '.join(facts)})")
    text = "(" + "\n".join(lines) + "\n)\n"
    replace_file(Path(path), lambda file: Path(file).write_text(text, encoding="utf-8"))


def _written(fact: Ground) -> str:
    return f"({' '.join(map(written_name, fact))})"
