"""Checks of the parts of numeric models and states that a caller writes in Python: names, atoms,
fluents and exact numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np

from worldplan.milp import checks
from worldplan.milp.errors import DatasetError
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.products import Product

EXACT = {int, Fraction}  # bool is a type of its own
MOST_PARAMETERS = 2**31  # of an action whose number of parameters is not known yet


class Values(dict[tuple[str, ...], Rational]):
    """The values of ground fluents, in a copy that belongs to states only."""


def exact_number(value: Any, what: str) -> Rational:
    """The number as an int or a Fraction; a float as its shortest decimal, 0.1 as 1/10.

    Args:
        value: what the caller gave.
        what: for the message.

    Raises:
        DatasetError: it is no finite number.
    """
    if type(value) in EXACT:
        return value  # type: ignore[no-any-return]
    cause: Exception | None = None
    try:
        if isinstance(value, float | Decimal | np.number) and not isinstance(value, complex):
            return exact(value)
    except (ValueError, OverflowError) as error:
        cause = error
    raise DatasetError(
        f"{what} is {checks.shown(value)}: give a finite number (int, Fraction, Decimal or float)"
    ) from cause


def exact_values(values: Any) -> Values:
    """The values of ground fluents, as exact numbers in a copy.

    Raises:
        DatasetError: a fluent is no tuple of names, or its value no finite number.
    """
    if type(values) is Values:
        return values
    if not isinstance(values, Mapping):
        raise DatasetError(
            f"values is {checks.shown(values)}: give a mapping from ground fluents to numbers"
        )
    copy = Values(values)
    if {type(value) for value in copy.values()} <= EXACT:
        return copy
    return Values(
        {fluent: exact_number(value, f"values[{fluent!r}]") for fluent, value in copy.items()}
    )


def changed_values(
    values: Mapping[tuple[str, ...], Rational], changed: Mapping[tuple[str, ...], Rational]
) -> Values:
    """The values of a state with some of them replaced by other exact numbers."""
    if not changed and type(values) is Values:
        return values
    following = Values(values)
    following.update(changed)
    return following


def exact_terms(terms: Any) -> tuple[tuple[Any, Rational], ...]:
    """The (fluent, coefficient) pairs of a linear expression, with exact coefficients.

    Raises:
        DatasetError: they are no pairs, a fluent is no tuple, or a coefficient no finite number.
    """
    pairs = []
    for term in collection(terms, "terms"):
        if type(term) not in (tuple, list) or len(term) != 2:
            raise DatasetError(
                f"term {checks.shown(term)}: give a pair of a fluent and its coefficient"
            )
        fluent, coefficient = term
        if not isinstance(fluent, Product) and (type(fluent) is not tuple or not fluent):
            fluent = atom(fluent, "fluent", MOST_PARAMETERS)
        if type(coefficient) not in EXACT:
            coefficient = exact_number(coefficient, f"coefficient of {fluent}")
        pairs.append((fluent, coefficient))
    return tuple(pairs)


def atom(value: Any, what: str, parameters: int | None = None) -> tuple[Any, ...]:
    """An atom, fluent or call: its name, then objects or, in an action, positions of parameters.

    Args:
        value: what the caller gave.
        what: for the message.
        parameters: how many the action has; None: everything is a name.

    Raises:
        DatasetError: it is no such tuple, or a position is out of range.
    """
    parts = tuple(value) if isinstance(value, list | tuple) else ()
    for index, part in enumerate(parts):
        is_position = (
            parameters is not None and index and type(part) is int and 0 <= part < parameters
        )
        if not is_position and not (type(part) is str and part):
            allowed = "name" if parameters is None else "name or position of a parameter"
            raise DatasetError(f"{what} {checks.shown(value)}: {part!r} is no {allowed}")
    if not parts:
        raise DatasetError(
            f"{what} is {checks.shown(value)}: give a tuple of names such as "
            '("at", "truck0", "depot1")'
        )
    return parts


def atoms(values: Any, what: str, parameters: int | None = None) -> frozenset[tuple[Any, ...]]:
    """A set of atoms; see `atom`.

    Raises:
        DatasetError: it is no set or list, or an entry is no atom.
    """
    return frozenset(atom(value, what, parameters) for value in collection(values, what))


def collection(values: Any, what: str) -> tuple[Any, ...]:
    """The entries of a set, list or tuple.

    Raises:
        DatasetError: it is something else.
    """
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise DatasetError(f"{what} is {checks.shown(values)}: give a tuple or a set")
    return tuple(values)


def names_and_types(pairs: Any, what: str) -> dict[str, str]:
    """A mapping from names to names of types, copied.

    Raises:
        DatasetError: it is something else.
    """
    if not isinstance(pairs, Mapping) or not all(
        isinstance(name, str) and name and isinstance(kind, str) and kind
        for name, kind in pairs.items()
    ):
        raise DatasetError(
            f"{what} is {checks.shown(pairs)}: give a mapping from names to names of types"
        )
    return dict(pairs)


def check_vocabulary(vocabulary: Any) -> None:
    """Check the parts of a `Vocabulary`.

    Raises:
        DatasetError: a part of another type, a type that is not declared, or types that are their
            own ancestors.
    """
    types = names_and_types(vocabulary.types, "types")
    for name in types:
        parents = [name]
        while (parent := types.get(parents[-1])) is not None:
            if parent in parents:
                raise DatasetError(f"types: '{parent}' is its own ancestor: end at 'object'")
            parents.append(parent)
    known = {"object", *types}
    listed = [(kind, f"types['{name}']") for name, kind in types.items()]
    constants = names_and_types(vocabulary.constants, "constants")
    listed += [(kind, f"constants['{name}']") for name, kind in constants.items()]
    for part in ("predicates", "functions", "actions"):
        declared = checks.of_type(getattr(vocabulary, part), part, Mapping, error=DatasetError)
        for name, arguments in declared.items():
            what = f"{part}['{name}']"
            for argument in collection(arguments, what):
                kind: Any = argument
                if part == "actions":
                    pair = atom(argument, f"{what}: parameter")
                    kind = pair[1] if len(pair) == 2 else None
                if not isinstance(kind, str):
                    wanted = "a (name, type) pair" if part == "actions" else "the name of a type"
                    raise DatasetError(f"{what}: {checks.shown(argument)}: give {wanted}")
                listed.append((kind, what))
    for kind, what in listed:
        if kind not in known:
            raise DatasetError(f"{what}: type '{kind}' is not declared: add it to types")


def check_action(action: Any, comparison: type, region: type, expression: type) -> None:
    """Check the parts of a `NumericAction`, and bring them into their types.

    Args:
        action: the action, which is changed.
        comparison: the class `Comparison`.
        region: the class `Region`.
        expression: the class `Linear`.

    Raises:
        DatasetError: a part of another type, a position without a parameter, or two effects on
            the same fluent.
    """
    where = f"action {checks.shown(action.name)}: "
    checks.of_type(action.name, "name of an action", str, error=DatasetError)
    parameters = tuple(
        atom(pair, f"{where}parameter") for pair in collection(action.parameters, "parameters")
    )
    if any(len(pair) != 2 for pair in parameters):
        raise DatasetError(f"{where}parameters are (name, type) pairs")
    count = len(parameters)
    changed: dict[str, Any] = {
        name: atoms(getattr(action, name), f"{where}{name}", count)
        for name in ("positive", "negative", "adds", "deletes")
    }
    names = tuple(name for name, _ in parameters)
    changed["comparisons"] = _comparisons(action.comparisons, where, comparison, names)
    changed["regions"] = _entries(action.regions, f"{where}regions", region)
    changed["effects"] = tuple(
        _effect(effect, where, count, expression)
        for effect in collection(action.effects, "effects")
    )
    fluents = [fluent for fluent, _ in changed["effects"]]
    for fluent in fluents:
        if fluents.count(fluent) > 1:
            raise DatasetError(f"{where}two effects change {fluent}: give its next value once")
    read = [entry.expression for entry in changed["comparisons"]]
    read += [after for _, after in changed["effects"]]
    for fluent in (fluent for linear in read for fluent in linear.fluents):
        atom(fluent, f"{where}fluent", count)
    for name, value in (changed | {"parameters": parameters}).items():
        object.__setattr__(action, name, value)


def _effect(effect: Any, where: str, count: int, expression: type) -> tuple[Any, Any]:
    if not isinstance(effect, tuple | list) or len(effect) != 2:
        raise DatasetError(
            f"{where}effect {checks.shown(effect)}: give a pair of a fluent and its next value"
        )
    fluent, after = effect
    checks.of_type(
        after, f"{where}effect on {checks.shown(fluent)}", expression, error=DatasetError
    )
    return atom(fluent, f"{where}effect on", count), after


def check_goal(goal: Any, comparison: type) -> None:
    """Check the parts of a `Goal`, and bring them into their types.

    Raises:
        DatasetError: a part of another type.
    """
    for name in ("positive", "negative"):
        object.__setattr__(goal, name, atoms(getattr(goal, name), f"goal: {name}"))
    comparisons = _comparisons(goal.comparisons, "goal: ", comparison, ())
    for fluent in (fluent for entry in comparisons for fluent in entry.expression.fluents):
        atom(fluent, "goal: fluent")
    object.__setattr__(goal, "comparisons", comparisons)


def check_problem(problem: Any, state: type, goal: type, metric: type) -> None:
    """Check the parts of a `NumericProblem`; a goal that is a text is read.

    Raises:
        DatasetError: a part of another type, or the text is no goal.
    """
    from worldplan.world_models.numeric.goals import read_goal  # it makes what domain.py defines

    checks.of_type(problem.name, "name of a problem", str, error=DatasetError)
    where = f"problem '{problem.name}': "
    names_and_types(problem.objects, f"{where}objects")
    checks.of_type(problem.initial, f"{where}initial", state, error=DatasetError)
    for fact in (*problem.initial.atoms, *problem.initial.values):
        if type(fact) is not tuple or not fact or not all(type(name) is str for name in fact):
            atom(fact, f"{where}initial")
    if isinstance(problem.goal, str):
        read = read_goal(problem.goal, objects=problem.objects, initial=problem.initial)
        object.__setattr__(problem, "goal", read)
    remedy = "a Goal, or a text such as 'water c2 >= 3'"
    checks.of_type(problem.goal, f"{where}goal", goal, remedy=remedy, error=DatasetError)
    if problem.metric is not None:
        checks.of_type(problem.metric, f"{where}metric", metric, error=DatasetError)


def _comparisons(
    values: Any, where: str, kind: type, parameters: tuple[str, ...]
) -> tuple[Any, ...]:
    """Comparisons; texts among them are read."""
    from worldplan.world_models.numeric.goals import read_comparisons

    entries: list[Any] = []
    for entry in collection(values, f"{where}comparisons"):
        entries += read_comparisons(entry, parameters) if isinstance(entry, str) else [entry]
    return _entries(entries, f"{where}comparisons", kind)


def _entries(values: Any, what: str, kind: type) -> tuple[Any, ...]:
    return tuple(
        checks.of_type(entry, f"{what}[{index}]", kind, error=DatasetError)
        for index, entry in enumerate(collection(values, what))
    )


def check_trajectory(trajectory: Any, state: type) -> None:
    """Check the parts of a `Trajectory`, and bring them into their types.

    Raises:
        DatasetError: a part of another type, lengths that do not fit, or an object that is not
            declared.
    """
    checks.of_type(trajectory.source, "source of a trajectory", str, error=DatasetError)
    where = trajectory.source
    objects = names_and_types(trajectory.objects, f"{where}: objects")
    states = _entries(trajectory.states, f"{where}: states", state)
    calls = tuple(
        atom(call, f"{where}: call {number}")
        for number, call in enumerate(collection(trajectory.calls, f"{where}: calls"), 1)
    )
    succeeded = collection(trajectory.succeeded, f"{where}: succeeded")
    if not (len(states) == len(calls) + 1 and len(succeeded) == len(calls)):
        raise DatasetError(
            f"{where}: {len(states)} states, {len(calls)} calls and {len(succeeded)} entries of "
            "succeeded: give one state more than calls, and one entry for each call"
        )
    for number, entry in enumerate(succeeded, 1):
        if entry is not None and not isinstance(entry, bool | np.bool_):
            raise DatasetError(
                f"{where}: succeeded of call {number} is {checks.shown(entry)}: give True, False "
                "or None"
            )
    _check_objects(where, objects, states, calls)
    changed = {"objects": objects, "states": states, "calls": calls}
    changed["succeeded"] = tuple(None if entry is None else bool(entry) for entry in succeeded)
    for name, value in changed.items():
        object.__setattr__(trajectory, name, value)


def _check_objects(
    where: str, objects: Mapping[str, str], states: Iterable[Any], calls: Iterable[Any]
) -> None:
    """Refuse a fact over an object that is not declared.

    Raises:
        DatasetError: there is one; names its place.
    """
    seen: set[Any] = set()
    places = chain(
        ((f"state {n}", {*state.atoms, *state.values}) for n, state in enumerate(states)),
        ((f"call {n}", {call}) for n, call in enumerate(calls, 1)),
    )
    for place, facts in places:
        for fact in facts - seen:
            for name in atom(fact, f"{where}: {place}:")[1:]:
                if name not in objects:
                    raise DatasetError(
                        f"{where}: {place}: '{name}' in ({' '.join(fact)}) is not an object: add "
                        "it to objects"
                    )
        seen |= facts
