"""Trajectories of numeric planning: files in the public s-expression format in and out, and the
check of names and types that all sources share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from worldplan.milp.checks import of_type
from worldplan.milp.errors import DatasetError
from worldplan.milp.user_files import read_user_text
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Ground, State, Vocabulary
from worldplan.world_models.numeric.forms import check_trajectory
from worldplan.world_models.numeric.s_expressions import SExpression, line_of, parse
from worldplan.world_models.storage import replace_file


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


def read_trajectory(
    path: str | Path, vocabulary: Vocabulary, objects: Mapping[str, str] | None = None
) -> Trajectory:
    """The trajectory in a file of the form `((:init fact ...) (operator: (name object ...)) (:state
    fact ...) ...)`.

    A fact is `(predicate object ...)` or `(= (function object ...) number)`. An operator may be
    followed by `(:transition_status success)` or `failure`. `write_trajectory` writes this format.

    Args:
        path: the file.
        vocabulary: the declarations that every name is checked against.
        objects: type of each object; default: those of the problem file of the same name beside it.

    Raises:
        DatasetError: something is malformed or undeclared; the message names file and line.
    """
    path = Path(path)
    objects = read_objects(path.with_suffix(".pddl")) if objects is None else objects
    try:
        check = Checker(vocabulary, objects)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    return _Reader(path, read_user_text(path), check).trajectory()


class _Reader:
    """Reads one trajectory from a text."""

    def __init__(self, path: Path, text: str, check: Checker) -> None:
        self.path, self.text, self.check = path, text, check

    def trajectory(self) -> Trajectory:
        states: list[State] = []
        calls: list[Ground] = []
        succeeded: list[bool | None] = []
        for part in parse(self.text, str(self.path)):
            head = part[0] if isinstance(part, SExpression) and part else None
            if head in (":init", ":state") and len(states) == len(calls):
                states.append(self._state(part))
            elif head == "operator:" and len(part) == 2 and len(calls) + 1 == len(states):
                calls.append(self._fact("action", part[1]))
                succeeded.append(None)
            elif (
                head == ":transition_status"
                and len(part) == 2
                and part[1] in ("success", "failure")
                and len(calls) == len(states)
            ):
                succeeded[-1] = part[1] == "success"
            else:
                raise self._error(
                    part,
                    "expected (:init ...), then (operator: (name object ...)) and (:state ...) in "
                    "turn",
                )
        if len(states) != len(calls) + 1:
            raise DatasetError(f"{self.path}: ends after an operator, or has no (:init ...)")
        return Trajectory(
            self.check.objects, tuple(states), tuple(calls), tuple(succeeded), str(self.path)
        )

    def _state(self, part: SExpression) -> State:
        atoms: set[Ground] = set()
        values: dict[Ground, Rational] = {}
        for fact in part[1:]:
            if isinstance(fact, SExpression) and fact and fact[0] == "=":
                if len(fact) != 3:
                    raise self._error(fact, "expected (= (function object ...) number)")
                fluent, value = self._fact("function", fact[1], fact), self._number(fact)
                if values.setdefault(fluent, value) != value:
                    raise self._error(fact, f"({' '.join(fluent)}) has two values in one state")
            else:
                atoms.add(self._fact("predicate", fact, part))
        return State(frozenset(atoms), values)

    def _fact(self, kind: str, fact: object, within: SExpression | None = None) -> Ground:
        if (
            not isinstance(fact, SExpression)
            or not fact
            or not all(isinstance(name, str) for name in fact)
        ):
            raise self._error(
                fact if isinstance(fact, SExpression) else within,
                f"'{fact}' is not a {kind} with objects in parentheses",
            )
        ground = tuple(fact)
        if mistake := self.check(kind, ground):
            raise self._error(fact, mistake)
        return ground

    def _number(self, fact: SExpression) -> Rational:
        try:
            return exact(fact[2])
        except (ValueError, TypeError, ZeroDivisionError) as error:
            raise self._error(fact, f"'{fact[2]}' is not a number") from error

    def _error(self, part: object, what: str) -> DatasetError:
        line = f", line {line_of(self.text, part.offset)}" if isinstance(part, SExpression) else ""
        return DatasetError(f"{self.path}{line}: {what}")


def read_objects(path: str | Path) -> dict[str, str]:
    """The objects that a problem file declares, with their types; the rest of the file is ignored.

    Args:
        path: the problem file.

    Raises:
        DatasetError: the file is missing, or its parentheses or (:objects ...) are malformed.
    """
    path = Path(path)
    problem = parse(read_user_text(path), str(path))
    objects: dict[str, str] = {}
    for part in problem:
        if isinstance(part, SExpression) and part and part[0] == ":objects":
            untyped: list[str] = []
            names = iter(part[1:])
            for name in names:
                if not isinstance(name, str):
                    raise DatasetError(f"{path}: (:objects ...) may hold names and types only")
                if name == "-":
                    kind = next(names, "")
                    if not isinstance(kind, str) or not kind:
                        raise DatasetError(
                            f"{path}: a '-' in (:objects ...) is followed by no type"
                        )
                    objects |= dict.fromkeys(untyped, kind)
                    untyped = []
                else:
                    untyped.append(name)
            objects |= dict.fromkeys(untyped, "object")
    return objects


def write_trajectory(trajectory: Trajectory, path: str | Path) -> None:
    """Write a trajectory in the s-expression format that `read_trajectory` reads; numbers stay
    exact.

    A fraction is written as 1/3. The objects are not part of the file: write a problem file of the
    same name beside it (`worldplan.world_models.pddl.write_problem`), or pass them to
    `read_trajectory`.

    Args:
        trajectory: the trajectory.
        path: the file, which is replaced atomically.
    """
    lines = []
    for number, state in enumerate(trajectory.states):
        if number:
            lines.append(f"(operator: ({' '.join(trajectory.calls[number - 1])}))")
            if (succeeded := trajectory.succeeded[number - 1]) is not None:
                lines.append(f"(:transition_status {'success' if succeeded else 'failure'})")
        facts = [
            f"(= ({' '.join(fluent)}) {value})" for fluent, value in sorted(state.values.items())
        ]
        facts += [f"({' '.join(atom)})" for atom in sorted(state.atoms)]
        lines.append(f"({':state' if number else ':init'} {' '.join(facts)})")
    text = "(" + "\n".join(lines) + "\n)\n"
    replace_file(Path(path), lambda file: Path(file).write_text(text, encoding="utf-8"))
