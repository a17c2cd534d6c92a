"""Trajectories of numeric planning in the public s-expression format, and the check of names and
types that all sources share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from worldplan.milp.errors import DatasetError
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Ground, State, Vocabulary
from worldplan.world_models.numeric.s_expressions import SExpression, line_of, parse, read_text
from worldplan.world_models.storage import replace_file


@dataclass(frozen=True, slots=True)
class Trajectory:
    """States and the actions between them.

    Args:
        objects: names with types, constants included.
        states: one more than there are actions.
        calls: ground actions.
        succeeded: for each action True, False (it could not be taken), or None if the file does not
            say.
        source: where it comes from, for messages.
    """

    objects: Mapping[str, str]
    states: tuple[State, ...]
    calls: tuple[Ground, ...]
    succeeded: tuple[bool | None, ...]
    source: str = "trajectory"


class Checker:
    """Checks ground facts, fluents and calls against a vocabulary and a problem's objects;
    remembers what was right.
    """

    def __init__(self, vocabulary: Vocabulary, objects: Mapping[str, str]) -> None:
        self.vocabulary = vocabulary
        self.objects = {**vocabulary.constants, **objects}
        self._right: set[tuple[str, Ground]] = set()
        for name, kind in self.objects.items():
            if kind != "object" and kind not in vocabulary.types:
                raise DatasetError(
                    f"object '{name}' is of type '{kind}', which the domain does not declare"
                )

    def __call__(self, kind: str, fact: Ground) -> str | None:
        """What is wrong with a "predicate", "function" or "action" and its objects; None if nothing
        is.
        """
        if (kind, fact) in self._right:
            return None
        declared = {
            "predicate": self.vocabulary.predicates,
            "function": self.vocabulary.functions,
            "action": self.vocabulary.actions,
        }[kind]
        name, *arguments = fact
        if name not in declared:
            return f"the domain declares no {kind} '{name}'"
        wanted = [entry if isinstance(entry, str) else entry[1] for entry in declared[name]]
        if len(arguments) != len(wanted):
            return f"{kind} '{name}' takes {len(wanted)} objects, not {len(arguments)}"
        for one, needed in zip(arguments, wanted, strict=True):
            if one not in self.objects:
                return f"'{one}' in ({' '.join(fact)}) is not an object of the problem"
            if not self.vocabulary.is_a(self.objects[one], needed):
                return f"'{one}' in ({' '.join(fact)}) is of type '{self.objects[one]}', not '{needed}'"
        self._right.add((kind, fact))
        return None


def read_trajectory(
    path: str | Path, vocabulary: Vocabulary, objects: Mapping[str, str] | None = None
) -> Trajectory:
    """Read `((:init fact ...) (operator: (name object ...)) (:state fact ...) ...)`.

    A fact is `(predicate object ...)` or `(= (function object ...) number)`; `(:transition_status
    success|failure)` may follow an operator. Objects are those of the problem file of the same name
    beside it, unless given.

    Raises:
        DatasetError: names file and line of what is malformed or undeclared.
    """
    path = Path(path)
    objects = read_objects(path.with_suffix(".pddl")) if objects is None else objects
    try:
        check = Checker(vocabulary, objects)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    return _Reader(path, read_text(path), check).trajectory()


class _Reader:
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
                    "expected (:init ...), then (operator: (name object ...)) and (:state ...) in turn",
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
        if wrong := self.check(kind, ground):
            raise self._error(fact, wrong)
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
    """The objects a problem file declares, with their types; the rest of the file is not looked at."""
    path = Path(path)
    problem = parse(read_text(path), str(path))
    objects: dict[str, str] = {}
    for part in problem:
        if isinstance(part, SExpression) and part and part[0] == ":objects":
            waiting: list[str] = []
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
                    objects |= dict.fromkeys(waiting, kind)
                    waiting = []
                else:
                    waiting.append(name)
            objects |= dict.fromkeys(waiting, "object")
    return objects


def write_trajectory(trajectory: Trajectory, path: str | Path) -> None:
    """Write a trajectory in the s-expression format; numbers stay exact (a fraction is written as
    1/3).
    """
    lines = []
    for number, state in enumerate(trajectory.states):
        if number:
            lines.append(f"(operator: ({' '.join(trajectory.calls[number - 1])}))")
            if (done := trajectory.succeeded[number - 1]) is not None:
                lines.append(f"(:transition_status {'success' if done else 'failure'})")
        facts = [
            f"(= ({' '.join(fluent)}) {value})" for fluent, value in sorted(state.values.items())
        ]
        facts += [f"({' '.join(atom)})" for atom in sorted(state.atoms)]
        lines.append(f"({':state' if number else ':init'} {' '.join(facts)})")
    text = "(" + "\n".join(lines) + "\n)\n"
    replace_file(Path(path), lambda file: Path(file).write_text(text, encoding="utf-8"))
