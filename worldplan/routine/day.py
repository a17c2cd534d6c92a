"""A day's routine: outcomes in, the model updated, a decision out, all in one transaction.

Two processes cannot decide for one programme at the same time. A process that is killed leaves the
database as it was before the day, or with the whole day. A day that is decided already is read from
the database, so that the command may be repeated.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from worldplan.milp.errors import ConfigError, DatasetError, InfeasibleActionSet
from worldplan.routine import schema
from worldplan.routine.database import Conflict, Database, record
from worldplan.routine.history import checksum, import_log
from worldplan.routine.model import Model, clients_on, decide
from worldplan.routine.outcomes import (
    check_first_states,
    enter_outcomes,
    last_day,
    outcomes_entered,
)
from worldplan.routine.people import Known, change_members
from worldplan.routine.relax import models_for, refuse_infeasible
from worldplan.routine.request import Names, Request, Setup
from worldplan.versions import versions
from worldplan.world_models.arms.programme import finder

_FURTHEST = 366  # days between two decided days; more is taken for a typing error


@dataclass(frozen=True)
class Day:
    """A decided day, as it is stored.

    Args:
        date: of the day.
        revision: 1, and one more each time the day was decided again.
        settings: policy, forced and absent clients, days to plan for.
        status, value, bound: of the decision, as in `Decision`.
        plan: rows of the list: arm, state (None and "unseen" in words where it was not observed),
            and worker, slot, stop or cost by the feasible set.
        made_with: the model, SHA-256 of the inputs, versions.
        new: whether the day was decided now.
    """

    date: dt.date
    revision: int
    settings: Mapping[str, Any]
    status: str
    value: float | None
    bound: float | None
    plan: tuple[Mapping[str, Any], ...]
    made_with: Mapping[str, Any]
    new: bool = False

    @property
    def clients(self) -> Names:
        """The clients on the list, in its order."""
        return clients_on(self.plan)

    @property
    def unseen(self) -> int:
        """How many clients were not seen on the day."""
        model = self.made_with["model"]  # the second name: before version 2 of the tables
        return int(model.get("clients not seen", model.get("states assumed", 0)))


def run_day(setup: Setup, request: Request) -> Day:
    """Decide a day, or read it where it is decided already.

    Args:
        setup: the programme.
        request: what is asked.

    Raises:
        ConfigError: the programme or the database cannot be used, or the date is not the last one.
        DatasetError: a file or an outcome is wrong.
        FolderInUse: another process decides for this programme.
        InfeasibleActionSet: nothing satisfies the constraints with the forced and absent clients.
    """
    database = Database(setup.database, setup.name)
    with database.deciding():
        return decide_day(database, setup, request)


def decide_day(database: Database, setup: Setup, request: Request) -> Day:
    """As `run_day`, for a caller that holds `Database.deciding`."""
    _check_states(setup, request)
    stored = _stored(database, request)
    if stored is not None and not request.redo:
        _compare(stored, request)
        if not request.outcomes:
            return stored
    with database.write() as connection:
        if stored is not None and not request.redo:
            enter_outcomes(connection, request)  # the same ones, or corrections
            check_first_states(connection, request)
            return stored
        return _decide(connection, setup, request, stored)


def _check_states(setup: Setup, request: Request) -> None:
    """Refuse outcomes with a state that the arms do not have.

    Raises:
        DatasetError: names the first one.
    """
    if not request.outcomes:
        return
    own = setup.states_of()
    for outcome in request.outcomes:
        states = own.get(outcome.client, max(own.values()))  # others are refused by name later
        if not 0 <= outcome.state < states:
            raise DatasetError(
                f"{outcome.place}: client '{outcome.client}' in state {outcome.state}: give 0 to "
                f"{states - 1}"
            )


def read_day(database: Database, date: dt.date | None = None) -> Day | None:
    """A decided day, the last one unless a date is given; None where there is none."""
    if not database.exists:
        return None
    with database.read() as connection:
        date = date or last_day(connection)
        query = select(schema.days).where(schema.days.c.date == date)
        row = connection.execute(query).one_or_none()
    return None if row is None else _day(row)


def _day(row: Row[Any], new: bool = False) -> Day:
    return Day(
        row.date,
        row.revision,
        row.settings,
        row.status,
        row.value,
        row.bound,
        tuple(row.plan),
        row.made_with,
        new,
    )


def _stored(database: Database, request: Request) -> Day | None:
    """The day as it is decided already, or None for a day after the last one.

    Raises:
        ConfigError: the date is before the last decided day or far after it, or nothing is there to
            be decided again.
        Conflict: the last day has another revision than that in the request.
    """
    last = read_day(database)
    if request.revision is not None and (last is None or last.revision != request.revision):
        raise Conflict(f"{request.date} was decided again meanwhile: look at the new list first")
    if last is not None and request.date < last.date:
        raise ConfigError(
            f"{request.date} is before {last.date}, the last decided day: give a later date, or "
            f"look at the list of {last.date} (--date {last.date})"
        )
    if last is not None and (request.date - last.date).days > _FURTHEST:
        raise ConfigError(
            f"{request.date} is more than a year after {last.date}, the last decided day: correct "
            "the date (--date)"
        )
    stored = last if last is not None and last.date == request.date else None
    if request.redo and stored is None:
        raise ConfigError(
            f"{request.date} is not decided yet, so not to be decided again: decide it (leave "
            "--redo out)"
            if last is None
            else f"only {last.date}, the last decided day, can be decided again: give this date "
            f"(--date {last.date}), or decide {request.date} (leave --redo out)"
        )
    return stored


def _compare(stored: Day, request: Request) -> None:
    """Refuse settings that differ from those that the day was decided with.

    Raises:
        ConfigError: names the setting.
    """
    left = set(stored.settings.get("left", ()))
    if not set(request.leave) <= left:
        raise ConfigError(_already(stored, "leave", sorted(left), sorted(request.leave)))
    for name, value in request.settings().items():
        given = value not in (None, [], {})
        if name == "policy":
            given = request.policy is not None
        then = stored.settings.get(name)
        if given and then != value:
            option = {"force_in": "force", "force_out": "forbid", "waived": "waive"}.get(name, name)
            raise ConfigError(_already(stored, option, then, value))


def _already(stored: Day, name: str, then: Any, now: Any) -> str:
    words = [_words(value) for value in (then, now)]
    return (
        f"{stored.date} is decided already with {name} {words[0]}, not {words[1]}: leave the "
        "option out to see its list, or decide the day again (--redo)"
    )


def _words(value: Any) -> str:
    """A setting in words."""
    if isinstance(value, dict):
        value = [f"{name}={amount:g}" for name, amount in value.items()]
    return ", ".join(value) or "none" if isinstance(value, list) else str(value)


def _decide(connection: Connection, setup: Setup, request: Request, stored: Day | None) -> Day:
    """Enter what is new, decide, and write the day.

    Raises:
        ConfigError: the programme has no rewards.
    """
    if stored is not None:
        _refuse_outcomes_of(connection, stored.date)
    clients = setup.clients()
    if setup.programme.log is not None:
        log = Path(finder(setup.base)(setup.programme.log))
        moves = import_log(connection, log, clients, request.date)
        if moves:
            record(connection, request.by, "log imported", request.date, moves=moves)
    enter_outcomes(connection, request)
    first = last_day(connection, before=request.date) is None
    change_members(connection, request, clients.names, setup.start_states() if first else {})
    known_on = models_for(connection, setup, clients)
    try:
        model, known = known_on(request)
        decision, plan = decide(setup, request, model, known)
    except InfeasibleActionSet as error:
        refuse_infeasible(setup, request, known_on, error)
    left = {*request.leave, *(() if stored is None else stored.settings["left"])}
    values = {
        "date": request.date,
        "revision": 1 if stored is None else stored.revision + 1,
        "settings": request.settings() | {"left": sorted(left)},
        "status": decision.status,
        "value": decision.value,
        "bound": decision.bound,
        "plan": plan,
        "made_with": _made_with(setup, model, known),
    }
    _write(connection, request, values, known, stored)
    record(
        connection,
        request.by,
        "decided" if stored is None else "decided again",
        request.date,
        **{key: values[key] for key in ("revision", "settings", "status", "value", "bound")},
        made_with=values["made_with"],
        before=None if stored is None else list(stored.plan),
    )
    row = connection.execute(select(schema.days).where(schema.days.c.date == request.date)).one()
    return _day(row, new=True)


def _refuse_outcomes_of(connection: Connection, date: dt.date) -> None:
    """Refuse to decide a day again whose outcomes are known.

    Raises:
        ConfigError: one is entered.
    """
    client = outcomes_entered(connection, date)
    if client is not None:
        raise ConfigError(
            f"the outcome of client '{client}' on {date} is entered, so the day is over and is not "
            "decided again: decide the next day (leave --redo out)"
        )


def _inputs(setup: Setup) -> dict[str, str]:
    """SHA-256 of the scenario and of the files that it names."""
    scenario = {str(setup.base): checksum(setup.base)} if setup.base.is_file() else {}
    return scenario | dict(setup.inputs())


def changed_inputs(day: Day, setup: Setup) -> list[str]:
    """The files that are others than those which a day was decided with."""
    before, now = day.made_with["inputs"], _inputs(setup)
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]


def _made_with(setup: Setup, model: Model, known: Mapping[str, Known]) -> dict[str, Any]:
    """What the decision was made with, for the audit trail."""
    unseen = sum(not entry.observed for entry in known.values())
    return {
        "model": dict(model.description) | {"clients": len(known), "clients not seen": unseen},
        "inputs": _inputs(setup),
        "versions": versions(),
        "seed": setup.seed,
    }


def _write(
    connection: Connection,
    request: Request,
    values: dict[str, Any],
    known: Mapping[str, Known],
    stored: Day | None,
) -> None:
    """Write the rows of a day; those of a day that is decided again are replaced.

    Raises:
        DatasetError: nobody is in the programme.
    """
    days, visits = schema.days, schema.visits
    if stored is None:
        connection.execute(days.insert().values(**values))
    else:
        connection.execute(delete(visits).where(visits.c.date == request.date))
        connection.execute(update(days).where(days.c.date == request.date).values(**values))
    chosen = set(clients_on(values["plan"]))
    forced = dict.fromkeys(request.force_in, "in") | dict.fromkeys(request.force_out, "out")
    rows = [
        {
            "date": request.date,
            "client": name,
            "state": entry.state,
            "observed": entry.observed,
            "decided_state": entry.state,
            "belief": list(entry.belief) or None,
            "last_seen": entry.seen,
            "present": name not in request.absent,
            "forced": forced.get(name),
            "chosen": name in chosen,
        }
        for name, entry in known.items()
    ]
    if not rows:
        raise DatasetError("nobody is in the programme: let clients join (--outcomes with --join)")
    connection.execute(visits.insert(), rows)


def decided_states(connection: Connection, day: Day) -> dict[str, Known]:
    """States and beliefs of the clients with which a day was decided, whatever was entered later.

    Days of a database before version 2 were decided with the most probable states.

    Args:
        connection: of the read.
        day: decided.
    """
    visits = schema.visits
    rows = connection.execute(select(visits).where(visits.c.date == day.date))
    listed = {row["arm"]: row["state"] for row in day.plan if "arm" in row}
    return {
        row.client: Known(row.decided_state, tuple(row.belief or ()), row.last_seen)
        if row.decided_state is not None
        else Known(listed.get(row.client, row.state))
        for row in rows
    }


def redone(day: Day, **changes: Any) -> Request:
    """The request that decides `day` again with some changes."""
    settings = day.settings
    request = Request(
        day.date,
        policy=settings["policy"],
        absent=tuple(settings["absent"]),
        force_in=tuple(settings["force_in"]),
        force_out=tuple(settings["force_out"]),
        steps_left=settings["steps_left"],
        waived=tuple(settings.get("waived", ())),
        visits=settings.get("visits"),
        moves=settings.get("moves"),
        hours=settings.get("hours", {}),
        leave=(),
        assume=True,
        redo=True,
    )
    return replace(request, **changes)
