"""From the settings of a programme to a bandit instance.

The arms' dynamics are generated (a domain of the paper), read from tables, or learned from a log.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.ends import own_steps
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats, Ints
from worldplan.milp.errors import ConfigError, InfeasibleActionSet
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.sets.kinds import depends_on_day, make_set
from worldplan.milp.sets.source import Constraint, SetContext, naming_files
from worldplan.world_models.arms.clients import Clients
from worldplan.world_models.arms.dynamics import ArmLog, ArmPosterior
from worldplan.world_models.arms.ends import Ends, ends_on, read_ends, without_ended
from worldplan.world_models.arms.evidence import Evidence
from worldplan.world_models.arms.settings import Programme as Programme
from worldplan.world_models.arms.settings import check_settings
from worldplan.world_models.arms.settings import check_size as check_size
from worldplan.world_models.arms.sources import (
    NO_REWARDS,
    Find,
    in_order_of,
    read_model,
    with_costs_of_visits,
)
from worldplan.world_models.arms.sources import clients_of as clients_of
from worldplan.world_models.arms.sources import finder as finder
from worldplan.world_models.arms.tables import read_states

_MOST = 1_000_000_000  # visits, moves


@dataclass(frozen=True)
class Built:
    """A programme, ready for planning.

    Args:
        instance: what policies are evaluated on.
        models: posterior samples of the dynamics that planners see; None: the instance's own.
        posterior: of the log, if there is one; its arms are in the order of the instance.
        later: the feasible actions of the days after today, where `instance` has those of today
            (`on_day`); None: those of the instance.
        moves: (arms, actions, states, states) observed moves of the log, if there is one.
        evidence: own and borrowed moves behind each estimate, if there is a log.
        until: last day of each arm, where ends are dates: `on_day` makes ends of them.
        ended: names of the arms that have ended before today (`on_day`).
        weighted: `moves` as they count by their age; None: each counts for one.
    """

    instance: BanditInstance
    models: tuple[ArmDynamics, ...] | None = None
    posterior: ArmPosterior | None = None
    later: ActionSet | None = None
    moves: Ints | None = None
    evidence: Evidence | None = None
    until: tuple[datetime.date | None, ...] | None = None
    ended: tuple[str, ...] = ()
    weighted: Floats | None = None


def build(
    programme: Programme,
    base: str | FilePath = ".",
    seed: int | None = None,
    log: ArmLog | None = None,
    *,
    dated: bool = False,
    today: datetime.date | None = None,
    relaxed: Mapping[str, Any] | None = None,
    clients: Clients | None = None,
) -> Built:
    """The instance that a programme describes.

    Args:
        programme: the settings.
        base: the settings' file or its folder; relative file names are looked up there first, then
            in the working folder.
        seed: replaces the programme's own.
        log: observed moves that replace those in the file `programme.log`; its arms are those of
            the rewards file, in this order.
        dated: `on_day` is called for each decision, with a date: ends may be dates.
        today: from which the ages of moves count, with `programme.half_life`; None: the last row.
        relaxed: waived, visits, moves and hours as in `on_day`, which hold on later days as well
            if the constraints without a date cannot be met otherwise.
        clients: of the files, if they are read already.

    Raises:
        ConfigError: a setting is missing, unknown or out of range, or ends are dates.
        DatasetError: a file is missing or malformed.
        InfeasibleActionSet: no action satisfies the constraints.
    """
    own = programme.seed if seed is None else seed
    try:
        built = _build(programme, finder(FilePath(base)), own, log, today, relaxed or {}, clients)
        if built.until is not None and not dated:
            raise ConfigError(
                "programme.ends has dates (until), which count where a day is decided: give the "
                "column steps for simulated episodes and bounds"
            )
        return built
    except (ConfigError, InfeasibleActionSet) as error:
        named = not FilePath(base).is_file() or str(base) in str(error)
        raise type(error)(str(error) if named else f"{base}: {error}") from error


def on_day(
    built: Built,
    programme: Programme,
    base: str | FilePath,
    state: Ints,
    *,
    date: datetime.date | None = None,
    steps_left: int | None = None,
    absent: Iterable[str] = (),
    last_visits: Mapping[str, datetime.date] | None = None,
    waived: Iterable[str] = (),
    visits: int | None = None,
    moves: int | None = None,
    hours: Mapping[str, float] | None = None,
) -> Built:
    """The programme of today: staff calendar, rules that see the day, and who has ended.

    The same object where nothing depends on the day.

    Args:
        built: the programme.
        programme: its settings.
        base: as in `build`.
        state: (arms,) of today; -1 where it is not known.
        date: of today; None where the settings need none.
        steps_left: days that remain.
        absent: arms that no rule may ask for today.
        last_visits: dates by arm; None: those of the file `constraint.last_visits`.
        waived: names of own rules that do not hold today.
        visits: most visits today, in place of `constraint.budget`.
        moves: most moves of a route today, in place of `constraint.moves`.
        hours: of workers today, in place of those of their files.

    Raises:
        ConfigError: the settings need the date, the rules fail, a waived rule or a worker is
            unknown, or the kind of set has no such limit.
        DatasetError: a file is malformed.
        InfeasibleActionSet: no action satisfies today's rules; names what conflicts.
    """
    constraint = programme.constraint
    if programme.domain:
        return built
    constraint = _with_limits(constraint, visits, moves, hours or {})
    horizon = built.instance.horizon
    left = horizon if steps_left is None else steps_left
    if built.until is not None:
        ends = ends_on(built.until, date, left, horizon)
        built = replace(built, instance=replace(built.instance, ends=ends))
    names = built.instance.arm_names
    ended = [
        name
        for name, own in zip(names, own_steps(built.instance.late, left, len(names)), strict=True)
        if own == 0
    ]
    states = tuple(None if s < 0 else int(s) for s in state)
    context = SetContext(
        names,
        constraint,
        finder(FilePath(base)),
        date,
        states,
        None if built.instance.endless else steps_left,
        frozenset((*absent, *ended)),
        last_visits,
        frozenset(waived),
        dict(hours or {}),
    )
    try:
        if not (
            depends_on_day(context)
            or context.waived
            or constraint != programme.constraint
            or context.hours
        ):
            return _without_ended(built, built.instance.actions, left) if ended else built
        if context.waived and constraint.rules is None:
            raise ConfigError("there are no rules of your own to leave out (constraint.rules)")
        actions = make_set(context)
    except (ConfigError, InfeasibleActionSet) as error:
        named = not FilePath(base).is_file() or str(base) in str(error)
        raise type(error)(str(error) if named else f"{base}: {error}") from error
    return _without_ended(built, actions, left)


def _without_ended(built: Built, actions: ActionSet, left: int) -> Built:
    """The programme with today's actions, in which clients who have ended are not visited."""
    instance = replace(built.instance, actions=actions)
    actions, ended = without_ended(instance, left)
    return replace(
        built,
        instance=replace(instance, actions=actions),
        later=built.instance.actions,
        ended=ended,
    )


def _with_limits(
    constraint: Constraint, visits: int | None, moves: int | None, hours: Mapping[str, float]
) -> Constraint:
    """The constraint with another limit of visits, and of moves.

    Raises:
        ConfigError: the kind of set has no such limit, or a number is out of range.
    """
    kind = constraint.kind
    if visits is not None and (kind == "custom" or ":" in kind):
        raise ConfigError(
            f"constraint.kind '{kind}' has no limit of visits of its own: leave out a rule instead"
        )
    if moves is not None and kind != "path":
        raise ConfigError(f"constraint.kind '{kind}' has no limit of moves: leave moves out")
    rules = constraint.rules is not None and constraint.workers is not None
    if hours and (kind == "schedule" or not (kind == "capacity" or rules)):
        raise ConfigError(
            f"constraint.kind '{kind}' has no hours of workers"
            f"{'' if rules else ', and no rules that see them'}: leave the hours out"
        )
    for number, what in ((visits, "visits"), (moves, "moves")):
        if number is not None and not 1 <= number <= _MOST:
            raise ConfigError(f"{number} {what}: give 1 to {_MOST}")
    return replace(
        constraint,
        budget=constraint.budget if visits is None else visits,
        moves=constraint.moves if moves is None else moves,
    )


def _build(
    programme: Programme,
    find: Find,
    seed: int,
    log: ArmLog | None,
    today: datetime.date | None,
    relaxed: Mapping[str, Any],
    clients: Clients | None,
) -> Built:
    check_settings(programme)
    if programme.domain:
        check_size(programme, programme.arms, programme.states)
        generated = _generated(programme, find, seed)
        return Built(replace(generated, discount=programme.discount, endless=programme.endless))
    if programme.rewards is None:
        raise ConfigError(NO_REWARDS)
    model = with_costs_of_visits(
        read_model(programme, find, seed, log, today, clients), programme, find
    )
    check_size(programme, model.dynamics.arms, model.dynamics.states)
    actions = _any_day(SetContext(model.arm_names, programme.constraint, find), relaxed)
    model = in_order_of(actions, model)
    dynamics, names = model.dynamics, model.arm_names
    initial = dynamics.uniform
    if programme.start is not None:
        states = read_states(find(programme.start), names, dynamics.state_counts)
        initial = np.eye(dynamics.states)[states]
    kind = programme.constraint.kind
    ends = Ends()
    if programme.ends is not None:
        ends = read_ends(find(programme.ends), names, programme.horizon)
    instance = BanditInstance(
        dynamics,
        actions,
        programme.horizon,
        initial,
        names,
        kind,
        programme.discount,
        ends.steps,
        programme.endless,
    )
    return Built(
        instance,
        model.models,
        model.posterior,
        moves=model.moves,
        evidence=model.evidence,
        until=ends.until,
        weighted=model.weighted,
    )


def _any_day(context: SetContext, relaxed: Mapping[str, Any]) -> ActionSet:
    """The feasible set without a date.

    Args:
        context: without a date.
        relaxed: as in `build`.

    Raises:
        InfeasibleActionSet: no action satisfies the rules.
    """
    try:
        return make_set(context)
    except InfeasibleActionSet:
        if not any(relaxed.values()):
            raise
    return _relaxed(context, relaxed)


def _relaxed(context: SetContext, relaxed: Mapping[str, Any]) -> ActionSet:
    limits = {name: relaxed.get(name) for name in ("visits", "moves")}
    hours = relaxed.get("hours") or {}
    constraint = _with_limits(context.settings, **limits, hours=hours)
    waived = frozenset(relaxed.get("waived") or ())
    return make_set(replace(context, settings=constraint, waived=waived, hours=hours))


def later_days(
    built: Built, programme: Programme, base: str | FilePath, relaxed: Mapping[str, Any]
) -> ActionSet:
    """The feasible actions of the days after today with what is relaxed today, for a programme
    whose own later days have no action.

    Args:
        built: the programme.
        programme: its settings.
        base: as in `build`.
        relaxed: as in `build`.

    Raises:
        InfeasibleActionSet: nothing satisfies them.
    """
    names = built.instance.arm_names
    context = SetContext(names, programme.constraint, finder(FilePath(base)))
    return _relaxed(context, relaxed)


def _generated(programme: Programme, find: Find, seed: int) -> BanditInstance:
    """An instance of a domain of the paper."""
    connections, stations = (
        None if name is None else find(name) for name in (programme.connections, programme.stations)
    )
    with naming_files(connections):
        return generate(
            programme.domain,
            programme.arms,
            programme.budget,
            seed=seed,
            horizon=programme.horizon,
            states=programme.states,
            connections=connections,
            stations=stations,
            centre=programme.centre,
        )
