"""Ends of clients, from a CSV: after how many steps of an episode, or on which date.

With dates, a client counts up to and including its last day. With n days left today, those from
today to the last day are its own, at most n: one day is one step.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldplan.envs.bandits.ends import counting
from worldplan.envs.bandits.environment import BanditInstance, Ints
from worldplan.milp.errors import ConfigError, DatasetError, InfeasibleActionSet
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.sets.fixed import fixed
from worldplan.milp.sets.today import parse_date
from worldplan.milp.tables import CsvTable
from worldplan.world_models.arms.rewards import arm_positions


@dataclass(frozen=True)
class Ends:
    """When clients end; one of both is given.

    Args:
        steps: (arms,) steps from the start of an episode that each arm counts.
        until: last day of each arm; None: it stays.
    """

    steps: Ints | None = None
    until: tuple[datetime.date | None, ...] | None = None


def read_ends(csv: str | os.PathLike[str], names: Sequence[str], horizon: int) -> Ends:
    """The ends in a CSV arm, steps or arm, until; arms without a row stay to the horizon.

    Args:
        csv: the file.
        names: of the arms.
        horizon: steps of an episode.

    Raises:
        DatasetError: an arm is unknown or repeated, there are both columns or none, or a cell is
            malformed.
    """
    table = CsvTable(csv, ("arm",))
    given = [column for column in ("steps", "until") if column in table.columns]
    if len(given) != 1:
        raise DatasetError(
            f"{table.path}, line 1: {' and '.join(given) or 'neither steps nor until'}: give one "
            "of the columns steps (that a client counts, from the start of an episode) and until "
            "(the last date)"
        )
    (column,) = given
    table = CsvTable(csv, ("arm", column))
    arm = arm_positions(table, tuple(names))
    table.refuse_repeats(arm, "this arm", "keep one row per arm")
    if column == "steps":
        steps = np.full(len(names), horizon)
        steps[arm] = table.integers("steps")
        return Ends(steps=steps)
    until: list[datetime.date | None] = [None] * len(names)
    rows = table.cells(("until",))
    for place, (line, text) in zip(arm.tolist(), rows, strict=True):
        try:
            until[place] = parse_date(text, "until")
        except ConfigError as error:
            raise DatasetError(f"{table.path}, line {line}: {error}") from error
    return Ends(until=tuple(until))


def ends_on(
    until: Sequence[datetime.date | None], date: datetime.date | None, left: int, horizon: int
) -> Ints:
    """`BanditInstance.ends` (arms,) of the last days, as seen on a date.

    Args:
        until: last day of each arm.
        date: of today.
        left: steps to the end of the programme, today included.
        horizon: of the programme.

    Raises:
        ConfigError: there is no date.
    """
    if date is None:
        raise ConfigError("--date is missing: programme.ends has dates (until)")
    own = np.array([left if last is None else (last - date).days + 1 for last in until])
    own = np.clip(own, 0, left)
    return np.where(own > 0, own + horizon - left, 0)


def refuse_ended(ended: Sequence[str], forced: Sequence[str], option: str) -> None:
    """Refuse visits that are asked for of clients who have ended.

    Args:
        ended: names of those who have.
        forced: names of those who are to be visited.
        option: that names them.

    Raises:
        ConfigError: names the client.
    """
    for name in forced:
        if name in ended:
            raise ConfigError(
                f"{option}: '{name}' has ended before today: correct the end in programme.ends, or "
                "do not force the visit"
            )


def without_ended(instance: BanditInstance, left: int) -> tuple[ActionSet, tuple[str, ...]]:
    """The feasible actions without visits of clients who have ended, and their names.

    The set stays as it is where it demands such visits.

    Args:
        instance: the programme.
        left: steps to its end.
    """
    counted = counting(instance.late, left)
    actions = instance.actions
    if counted is None or counted.all() or instance.dynamics.effect is not None:
        return actions, ()
    names = tuple(instance.label(arm) for arm in np.flatnonzero(~counted).tolist())
    none = np.zeros(actions.size, bool)
    try:
        return fixed(actions, ~counted, none, none, instance.arm_names), names
    except InfeasibleActionSet:
        return actions, names
