"""Logs of Python programs as trajectories: dictionaries with states, actions and next states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldplan.milp import checks
from worldplan.milp.errors import DatasetError
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Ground, State, Vocabulary
from worldplan.world_models.numeric.forms import exact_number
from worldplan.world_models.numeric.sources.object_types import Fact, inferred_types, kind_of
from worldplan.world_models.numeric.sources.written_facts import written_fact
from worldplan.world_models.numeric.trajectories import NOT_OBSERVED, Trajectory, check_facts

KEYS = ("state", "action", "next_state", "success", "episode")


def trajectories_from_steps(
    steps: Iterable[Mapping[str, Any]],
    vocabulary: Vocabulary,
    objects: Mapping[str, str] | None = None,
    *,
    source: str = "steps",
) -> list[Trajectory]:
    """The trajectories in a list of dictionaries, one for each action that was taken.

    ```python
    step = {
        "state": {("fuel", "truck 1"): 7.5, "at(truck 1, depot)": True},
        "action": ("drive", "truck 1", "depot", "mill"),
        "next_state": {("fuel", "truck 1"): 5.5, "at(truck 1, mill)": True},
        "success": True,
        "episode": 3,
    }
    ```

    A state maps facts to values: a tuple of names or a text such as "fuel truck1" to a number for a
    fluent, and to True or False for an atom. What it does not list is false or undefined. Objects
    may have any name, capitals included; only the names of the domain are those of PDDL. `success`
    and `episode` may be missing. A new trajectory begins where `episode` changes or a step's state
    is not the next state of the step before.

    Args:
        steps: the dictionaries.
        vocabulary: the declarations that every name is checked against.
        objects: type of each object; default: the narrowest types that the declarations require.
        source: what errors name.

    Returns:
        At least one trajectory.

    Raises:
        DatasetError: a step is malformed, or a name or value does not fit; names step and entry.
    """
    checks.of_type(vocabulary, "vocabulary", Vocabulary, error=DatasetError)
    entries = _entries(steps, source)
    reader = _Reader(vocabulary, {*vocabulary.constants, *(objects or ())})
    runs: list[_Run] = []
    for number, entry in enumerate(entries, 1):
        where = f"{source}: step {number}"
        before = reader.state(entry["state"], f"{where}: state")
        after = reader.state(entry["next_state"], f"{where}: next_state")
        call = reader.fact(entry["action"], f"{where}: action", is_action=True)
        success = entry.get("success")
        if success is not None and not isinstance(success, bool | np.bool_):
            raise DatasetError(f"{where}: success is {checks.shown(success)}: give True or False")
        episode = entry.get("episode")
        if not runs or runs[-1].episode != episode or runs[-1].states[-1] != before:
            runs.append(_Run(number, episode, [before]))
        runs[-1].states.append(after)
        runs[-1].calls.append(call)
        runs[-1].succeeded.append(None if success is None else bool(success))
    kinds = {
        **vocabulary.constants,
        **(inferred_types(vocabulary, reader.seen, Path(source)) if objects is None else objects),
    }
    trajectories = [
        Trajectory(
            kinds,
            tuple(run.states),
            tuple(run.calls),
            tuple(run.succeeded),
            f"{source}, from step {run.first}",
        )
        for run in runs
    ]
    for trajectory in trajectories:
        check_facts(trajectory, vocabulary)
    return trajectories


@dataclass
class _Run:
    """The steps of one trajectory.

    Args:
        first: number of its first step, from 1.
        episode: its value of `episode`.
        states: so far.
        calls: so far.
        succeeded: so far.
    """

    first: int
    episode: object
    states: list[State]
    calls: list[Ground] = field(default_factory=list)
    succeeded: list[bool | None] = field(default_factory=list)


def _entries(steps: Any, source: str) -> list[Mapping[str, Any]]:
    """The steps, each with the keys that it needs.

    Raises:
        DatasetError: no list of dictionaries, or a key is missing or unknown.
    """
    if isinstance(steps, str | bytes | Mapping) or not isinstance(steps, Iterable):
        raise DatasetError(f"{source} is {checks.shown(steps)}: give a list of dictionaries")
    entries = list(steps)
    if not entries:
        raise DatasetError(f"{source}: no step: give a dictionary for each action")
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, Mapping):
            raise DatasetError(
                f"{source}: step {number} is {checks.shown(entry)}: give a dictionary with state, "
                "action and next_state"
            )
        for key in KEYS[:3]:
            if key not in entry:
                raise DatasetError(f"{source}: step {number}: '{key}' is missing")
        if unknown := [key for key in entry if key not in KEYS]:
            raise DatasetError(
                f"{source}: step {number}: '{unknown[0]}' is unknown: give {', '.join(KEYS)}"
            )
    return entries


class _Reader:
    """Reads facts and states; collects what objects occur in.

    Args:
        vocabulary: the declarations.
        declared: the declared objects, constants included.
    """

    def __init__(self, vocabulary: Vocabulary, declared: Set[str]) -> None:
        self.vocabulary, self.declared = vocabulary, declared
        self.seen: dict[Fact, None] = {}

    def fact(self, key: Any, where: str, *, is_action: bool = False) -> Ground:
        """A ground action, atom or fluent.

        Raises:
            DatasetError: it is no tuple of names and no text.
        """
        try:
            written = written_fact(key) if isinstance(key, str) else tuple(key)
        except (TypeError, ValueError):
            written = ()
        if not written or not all(isinstance(name, str) and name for name in written):
            raise DatasetError(
                f"{where}: {checks.shown(key)}: give a tuple of names such as ('at', 'truck 1', "
                "'depot'), or a text"
            )
        fact = (written[0].lower(), *(self._object(name) for name in written[1:]))
        self.seen["action" if is_action else kind_of(self.vocabulary, fact), fact] = None
        return fact

    def _object(self, name: str) -> str:
        """A constant of the domain in lower case, another object as it is."""
        low = name.lower()
        return low if low in self.vocabulary.constants and name not in self.declared else name

    def state(self, values: Any, where: str) -> State:
        """A state.

        Raises:
            DatasetError: no mapping, a value of a wrong kind, or two values for one fact.
        """
        if not isinstance(values, Mapping):
            raise DatasetError(
                f"{where} is {checks.shown(values)}: give a mapping from facts to values"
            )
        atoms: dict[Ground, bool] = {}
        numbers: dict[Ground, Rational] = {}
        for key, value in values.items():
            fact = self.fact(key, where)
            text = f"{where}: ({' '.join(fact)})"
            if value is None or (isinstance(value, float) and np.isnan(value)):
                raise DatasetError(f"{text} is {value}: {NOT_OBSERVED}")
            if fact in atoms or fact in numbers:
                raise DatasetError(f"{text} has two values in one state")
            if fact[0] in self.vocabulary.functions:
                if isinstance(value, bool | np.bool_):
                    raise DatasetError(f"{text} is {value}: a fluent needs a number")
                numbers[fact] = exact_number(value, text)
            else:
                if not isinstance(value, bool | np.bool_) and value not in (0, 1):
                    raise DatasetError(f"{text} is {checks.shown(value)}: an atom is True or False")
                atoms[fact] = bool(value)
        return State(frozenset(fact for fact, true in atoms.items() if true), numbers)
