"""Goals and numeric conditions as texts.

```python
from worldplan.world_models.numeric import read_goal

read_goal("water c2 >= 3")
read_goal("at truck0 depot1 and not open d1 and 2 * fuel truck0 - 0.5 > water c1")
read_goal("(and (>= (water c2) 3) (at truck0 depot1))")
```

With a vocabulary and objects, `read_goal(text, vocabulary, objects)`, names are checked.

A goal is a conjunction of conditions, joined by `and` or by new lines. A condition is an atom (`at
truck0 depot1`), `not` and an atom, or two sums with `>=`, `>`, `=`, `<` or `<=` between them. A sum
has numbers, fluents (`water c2`, with or without parentheses) and products or quotients by numbers,
with `+` and `-` between them (with spaces around, because `-` may be part of a name). Every
condition may be written in PDDL. A decimal is exact: 0.1 is 1/10. Small and capital letters are the
same.

A text is taken by `read_goal`, and where a `Goal` is: `NumericProblem`,
`NumericPlanner.for_environment` and `Ramp`. A numeric condition alone is taken by the `comparisons`
of a `Goal` and of a `NumericAction`, there with parameters: "fuel ?truck >= 2".
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from worldplan.milp import checks
from worldplan.milp.errors import DatasetError
from worldplan.world_models.numeric.condition_reader import ConditionReader
from worldplan.world_models.numeric.domain import Comparison, Goal, Lifted, State, Vocabulary
from worldplan.world_models.numeric.trajectories import Checker

FEW = 12  # names that a message lists


def read_goal(
    text: str,
    vocabulary: Vocabulary | None = None,
    objects: Mapping[str, str] | None = None,
    *,
    initial: State | None = None,
) -> Goal:
    """The goal that a text describes; see the module for the form of the text.

    Args:
        text: the goal.
        vocabulary: the declarations; names, numbers of objects and their types are checked.
        objects: type of each object of the problem; None: objects are not checked.
        initial: a state whose functions the goal may use, where there is no vocabulary.

    Raises:
        DatasetError: the text is no such goal, or uses an unknown name; the message has the text,
            the place, and names that are close.
    """
    checks.of_type(text, "goal", str, remedy="a text such as 'water c2 >= 3'", error=DatasetError)
    reader = ConditionReader(text, "goal", ())
    conditions = reader.read()
    if vocabulary is not None:
        _check_names(reader, vocabulary, objects)
    else:
        _check_values(reader, objects, initial)
    return Goal(
        frozenset(_names(conditions.positive)),
        frozenset(_names(conditions.negative)),
        tuple(dict.fromkeys(conditions.comparisons)),
    )


def read_comparisons(text: str, parameters: Sequence[str] = ()) -> list[Comparison]:
    """The numeric conditions that a text describes.

    Args:
        text: as for `read_goal`, without atoms.
        parameters: names of an action's parameters, which stand as "?name".

    Raises:
        DatasetError: the text is no such condition.
    """
    conditions = ConditionReader(text, "condition", parameters).read()
    atoms = [*conditions.positive, *conditions.negative]
    if atoms:
        name = " ".join(map(str, atoms[0]))
        raise DatasetError(
            f"condition {checks.shown(text)}: '{name}' is an atom: list it in positive or negative"
        )
    return conditions.comparisons


def _names(atoms: Iterable[Lifted]) -> list[tuple[str, ...]]:
    return [tuple(map(str, atom)) for atom in atoms]


def _check_names(
    reader: ConditionReader, vocabulary: Vocabulary, objects: Mapping[str, str] | None
) -> None:
    """Check every fact against the declarations."""
    check = Checker(vocabulary, objects or {})
    for kind, fact, offset in reader.facts:
        names = tuple(map(str, fact))
        mistake = check(kind, names)
        if mistake is None or (objects is None and _is_declared(vocabulary, kind, names)):
            continue
        other = "function" if kind == "predicate" else "predicate"
        declared = vocabulary.functions if kind == "function" else vocabulary.predicates
        if names[0] not in declared and _is_declared(vocabulary, other, names):
            _wrong_kind(reader, kind, names, offset)
        unknown = [name for name in names[1:] if name not in check.objects]
        known: Iterable[str] = declared
        if names[0] in declared and unknown:
            known = check.objects
        name = names[0] if names[0] not in declared else (unknown or [""])[0]
        reader.refuse(offset, mistake + _close(name, known))


def _is_declared(vocabulary: Vocabulary, kind: str, names: tuple[str, ...]) -> bool:
    """Whether there is such a predicate or function with this number of objects."""
    declared = vocabulary.functions if kind == "function" else vocabulary.predicates
    return len(declared.get(names[0], (None,) * len(names))) == len(names) - 1


def _wrong_kind(
    reader: ConditionReader, kind: str, names: tuple[str, ...], offset: int
) -> NoReturn:
    """Refuse an atom where a number is needed, or a fluent without a relation."""
    text = " ".join(names)
    if kind == "predicate":
        reader.refuse(offset, f"'{text}' is a number: compare it, as in '{text} >= 1'")
    reader.refuse(offset, f"'{text}' is no number: write it without a relation")


def _check_values(
    reader: ConditionReader, objects: Mapping[str, str] | None, initial: State | None
) -> None:
    """Check every fact against the objects, and the functions against a state."""
    functions = {str(fluent[0]): None for fluent in (initial.values if initial else ())}
    for kind, fact, offset in reader.facts:
        name, *arguments = map(str, fact)
        if initial is not None and kind == "function" and name not in functions:
            reader.refuse(
                offset,
                f"the initial state has no function '{name}'" + _close(name, functions),
            )
        if kind == "predicate" and name in functions:
            _wrong_kind(reader, kind, (name, *arguments), offset)
        for argument in arguments:
            if objects is not None and argument not in objects:
                reader.refuse(
                    offset,
                    f"'{argument}' is not an object of the problem" + _close(argument, objects),
                )


def _close(name: str, known: Iterable[str]) -> str:
    """A hint at the known names: those close to `name`, or all if they are few."""
    names = list(known)
    matches = difflib.get_close_matches(name, names, n=3) if name else []
    if matches:
        return f": did you mean {' or '.join(repr(match) for match in matches)}?"
    return f": choose {', '.join(names)}" if name and 0 < len(names) <= FEW else ""
