"""The HTTP interface under /api; its schema is /api/openapi.json."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from importlib import metadata
from typing import Annotated, Any

from fastapi import APIRouter, Query

from worldplan.milp.errors import ConfigError
from worldplan.routine.ahead import MOST_DAYS
from worldplan.routine.day import Day, redone
from worldplan.routine.request import Outcome, Request, check_offered
from worldplan.routine.web import messages
from worldplan.routine.web.service import Service

_MOST_RAISED = 1000
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "not possible as asked"},
    401: {"description": "the token is missing (another address than 127.0.0.1)"},
    403: {"description": "sent by a page of another site"},
    404: {"description": "no such day or client"},
    409: {"description": "changed by somebody else meanwhile: read again"},
    422: {"description": "malformed, or no list can meet the rules"},
    423: {"description": "another process decides"},
}
for _refusal in _REFUSALS.values():
    _refusal["model"] = messages.Problem
SOMEBODY = "page"  # who changes something without giving a name


def api_router(service: Service) -> APIRouter:
    """The routes of the interface for one programme."""
    router = APIRouter(prefix="/api", tags=["programme"], responses=_REFUSALS)
    _add_reading(router, service)
    _add_questions(router, service)
    _add_changes(router, service)
    return router


def _add_reading(router: APIRouter, service: Service) -> None:
    """Add the routes that read days."""

    @router.get("/programme", summary="The programme and its last decided day")
    def programme() -> messages.Programme:
        last = service.last()
        return messages.Programme(
            name=service.setup.name,
            database=str(service.setup.database),
            last=None if last is None else last.date,
            states=service.arms()[1],
            worldplan=metadata.version("worldplan"),
        )

    @router.get("/days", summary="The decided days, the last one first")
    def days() -> list[dt.date]:
        return service.dates()

    @router.get("/days/{date}", summary="A decided day, its list and everybody's state")
    def day(date: messages.Date) -> messages.DayWithVisits:
        visits = [messages.VisitOut(**asdict(visit)) for visit in service.visits(date)]
        return messages.DayWithVisits(**day_dict(service.day(date)), visits=visits)

    @router.get("/events", summary="The audit trail, the newest line first")
    def events(most: Annotated[int, Query(ge=1, le=10_000)] = 200) -> list[messages.Event]:
        return [messages.Event(**row._mapping) for row in service.events(most)]


def _add_questions(router: APIRouter, service: Service) -> None:
    """Add the routes that explain a day."""

    @router.get(
        "/days/{date}/reasons",
        summary="Why the list of a day is as it is",
        response_model=messages.ReasonsOut,
    )
    def reasons(date: messages.Date) -> dict[str, Any]:
        return service.explained(date).reasons().to_dict()

    @router.get("/days/{date}/ahead", summary="The lists of the next days, as foreseen")
    def ahead(
        date: messages.Date, days: Annotated[int, Query(ge=1, le=MOST_DAYS)] = 5
    ) -> list[messages.ForeseenOut]:
        return [messages.ForeseenOut(**asdict(entry)) for entry in service.foresee(date, days)]

    @router.get("/days/{date}/limits", summary="The limits that a what-if may raise")
    def limits(date: messages.Date) -> list[messages.LimitOut]:
        return [
            messages.LimitOut(name=limit.name, step=limit.step, amount=limit.amount)
            for limit in service.explained(date).limits
        ]

    @router.post("/days/{date}/what-if", summary="Another list; nothing is changed")
    def what_if(date: messages.Date, question: messages.WhatIfIn) -> messages.WhatIfOut:
        check_raised(question.raised)
        answer = service.explained(date).what_if(
            tuple(question.force_in), tuple(question.force_out), question.raised
        )
        return messages.WhatIfOut(**asdict(answer))


def _add_changes(router: APIRouter, service: Service) -> None:
    """Add the routes that change something."""

    @router.post("/days", summary="Decide a day", status_code=201)
    def decide(body: messages.DecideIn) -> messages.DayOut:
        if body.policy is not None:
            check_offered(body.policy, service.setup)
        request = Request(
            body.date,
            tuple(Outcome(name, state, place="states") for name, state in body.states.items()),
            body.policy,
            lambda names: body.join,
            tuple(body.leave),
            tuple(body.absent),
            tuple(body.force_in),
            tuple(body.force_out),
            assume=body.assume,
            steps_left=body.steps_left,
            waived=tuple(body.waived),
            visits=body.visits,
            moves=body.moves,
            hours=body.hours,
            by=body.by or SOMEBODY,
        )
        return messages.DayOut(**day_dict(service.decide(request)))

    @router.post("/days/{date}/redo", summary="Decide the last day again")
    def redo(date: messages.Date, body: messages.RedoIn) -> messages.DayOut:
        day = service.day(date)
        request = redone(
            day,
            force_in=tuple(body.force_in),
            force_out=tuple(body.force_out),
            absent=tuple(day.settings["absent"] if body.absent is None else body.absent),
            revision=body.revision,
            by=body.by or SOMEBODY,
        )
        return messages.DayOut(**day_dict(service.decide(request)))

    @router.put("/days/{date}/outcomes/{client:path}", summary="Enter or replace an outcome")
    def outcome(date: messages.Date, client: str, body: messages.OutcomeIn) -> messages.Version:
        version = service.change_outcome(
            date, client, body.version, body.state, body.visited, body.note, body.by or SOMEBODY
        )
        return messages.Version(version=version)


def check_raised(raised: dict[str, int]) -> None:
    """Refuse units of limits that no list needs.

    Raises:
        ConfigError: a number is negative, or too large.
    """
    for name, units in raised.items():
        if not 0 <= units <= _MOST_RAISED:
            raise ConfigError(f"limit '{name}' raised by {units}: give 0 to {_MOST_RAISED}")


def day_dict(day: Day) -> dict[str, Any]:
    """A day as a mapping, without `new`."""
    return {name: value for name, value in asdict(day).items() if name != "new"}
