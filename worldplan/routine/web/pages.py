"""The coordinator's pages: today's list, why, what-if, outcomes, the week, the next day."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from worldplan.milp.errors import ConfigError, DatasetError, WorldplanError
from worldplan.routine.ahead import MOST_DAYS
from worldplan.routine.database import Conflict, Missing
from worldplan.routine.day import redone
from worldplan.routine.explain import Answer, ExplainedDay
from worldplan.routine.web.api import SOMEBODY, check_raised
from worldplan.routine.web.forms import BY, Form, named, remember, see, text_of, texts, user_of
from worldplan.routine.web.listing import MOST, listing
from worldplan.routine.web.messages import Date
from worldplan.routine.web.next_day import add_next_day
from worldplan.routine.web.rendering import Pages, model_words, shown_fields, without_options
from worldplan.routine.web.service import Service

_OFFERED = 12  # clients whom the page of what-ifs offers at once


def pages_router(service: Service) -> APIRouter:
    """The routes of the pages for one programme."""
    router, pages = APIRouter(include_in_schema=False), Pages(service)
    _add_lists(router, service, pages)
    _add_what_if(router, service, pages)
    _add_outcomes(router, service, pages)
    add_next_day(router, service, pages)
    return router


def _add_lists(router: APIRouter, service: Service, pages: Pages) -> None:
    """Add the pages that only show."""

    @router.get("/")
    def today() -> Response:
        last = service.last()
        return RedirectResponse("/new" if last is None else f"/days/{last.date}", 303)

    @router.get("/days/{date}")
    def day(date: Date) -> HTMLResponse:
        stored = service.day(date)
        text = model_words(stored.made_with["model"])
        return pages.render("day.html", "Today", day=stored, model=text)

    @router.get("/days/{date}/why")
    def why(date: Date) -> HTMLResponse:
        explained = service.explained(date)
        return pages.render(
            "why.html",
            "Why",
            day=explained.day,
            reasons=explained.reasons(),
            unseen=explained.unseen,
        )

    @router.get("/week")
    def week(until: Date | None = None, find: str = "", page: int = 1) -> HTMLResponse:
        days = service.dates()
        until = until or (days[0] if days else dt.date.today())
        dates, table = service.week(until)
        earlier = max((d for d in days if dates and d < dates[0]), default=None)
        later = sorted(d for d in days if d > until)[:7]
        return pages.render(
            "week.html",
            "Week",
            until=until,
            dates=dates,
            table=table,
            listing=listing(list(table), str, find, page),
            earlier=earlier,
            later=later[-1] if later else None,
            last=days[0] if days else None,
        )

    @router.get("/days/{date}/ahead")
    def ahead(date: Date, days: Annotated[int, Query(ge=1, le=MOST_DAYS)] = 5) -> HTMLResponse:
        foreseen = service.foresee(date, days)
        return pages.render(
            "ahead.html",
            "Week",
            day=service.day(date),
            foreseen=foreseen,
            days=days,
            most=MOST_DAYS,
            ended=len(foreseen) < days and not (foreseen and foreseen[-1].problem),
        )

    @router.get("/audit")
    def audit() -> HTMLResponse:
        return pages.render("audit.html", "Audit", events=service.events())


def _add_what_if(router: APIRouter, service: Service, pages: Pages) -> None:
    """Add the page of what-ifs, and the change that makes one the day's list."""

    @router.get("/days/{date}/what-if")
    def what_if(request: Request, date: Date, part: str = "") -> HTMLResponse:
        explained = service.explained(date)
        query = request.query_params
        given = bool([key for key in query if key != "part"])
        settings = explained.day.settings
        force_in = named(query.getlist("in")) if given else tuple(settings["force_in"])
        force_out = named(query.getlist("out")) if given else tuple(settings["force_out"])
        raised = [_units(query.get(f"raise-{k}")) for k, _ in enumerate(explained.limits)]
        context = _answer(service, explained, force_in, force_out, raised)
        context |= {
            "day": explained.day,
            "force_in": force_in,
            "force_out": force_out,
            "raised": raised,
            BY: user_of(request),
        }
        if part:
            return pages.render("answer.html", "What if", **context)
        offered = _offered(explained, force_in)
        return pages.render(
            "what_if.html",
            "What if",
            limits=explained.limits,
            chosen=explained.day.clients,
            offered=offered,
            clients=explained.clients if len(explained.clients) <= MOST else [],
            **context,
        )

    @router.post("/days/{date}/redo")
    def redo(request: Request, date: Date, form: Form) -> Response:
        day = service.day(date)
        by = text_of(form, BY)
        try:
            revision = int(text_of(form, "revision"))
        except ValueError:
            raise ConfigError("the form has no revision: open the page again") from None
        service.decide(
            redone(
                day,
                force_in=named(texts(form, "in")),
                force_out=named(texts(form, "out")),
                revision=revision,
                by=by or SOMEBODY,
            )
        )
        return see(f"/days/{date}", by)


def _answer(
    service: Service,
    explained: ExplainedDay,
    force_in: tuple[str, ...],
    force_out: tuple[str, ...],
    raised: list[int],
) -> dict[str, Any]:
    """What the page says about a what-if."""
    units = {limit.name: n for limit, n in zip(explained.limits, raised, strict=True)}
    answer, problem = None, ""
    try:
        check_raised(units)
        answer = explained.what_if(force_in, force_out, units)
    except WorldplanError as error:
        problem = without_options(str(error))
    settings = explained.day.settings
    last = service.last()
    changed = [sorted(force_in), sorted(force_out)] != [
        settings["force_in"],
        settings["force_out"],
    ]
    why_not = ""
    if any(raised):
        why_not = "More of a limit is a change of the programme's files."
    elif last is None or last.date != explained.day.date:
        why_not = "Only the last decided day can be decided again."
    return {
        "answer": answer,
        "problem": problem,
        "unit": explained.words,
        "same": answer is not None and _same(answer),
        "can_apply": changed and not why_not and answer is not None,
        "why_not_apply": why_not,
    }


def _same(answer: Answer) -> bool:
    return not answer.enters and not answer.leaves


def _offered(explained: ExplainedDay, force_in: tuple[str, ...]) -> list[str]:
    """Clients who are offered to be forced in: the next best, and those who are forced already."""
    next_best = [why.name for why in explained.reasons().not_chosen if not why.asked]
    return list(dict.fromkeys([*force_in, *next_best]))[: _OFFERED + len(force_in)]


def _add_outcomes(router: APIRouter, service: Service, pages: Pages) -> None:
    """Add the page on which outcomes are entered."""

    def page(
        request: Request, date: dt.date, by: str, conflicts: list[str], message: str = ""
    ) -> HTMLResponse:
        visits, query = service.visits(date), request.query_params
        number = _units(query.get("page")) or 1
        return pages.render(
            "outcomes.html",
            "Outcomes",
            409 if conflicts else 200,
            day=service.day(date),
            listing=listing(visits, lambda visit: visit.client, query.get("find", ""), number),
            entered=sum(visit.next_state is not None for visit in visits),
            states=service.arms()[1],
            conflicts=conflicts,
            message=message,
            by=by,
        )

    @router.get("/days/{date}/outcomes")
    def outcomes(request: Request, date: Date) -> HTMLResponse:
        return page(request, date, user_of(request), [])

    @router.post("/days/{date}/outcomes")
    def save(request: Request, date: Date, form: Form) -> HTMLResponse:
        by, conflicts, changed = text_of(form, BY), list[str](), 0
        columns = [texts(form, name) for name in ("client", "version", "was", "state", "visited")]
        columns.append(texts(form, "note"))
        if len({len(column) for column in columns}) != 1:
            raise ConfigError("the form is not complete: open the page again")
        rows = [row for row in zip(*columns, strict=True) if row[2] != shown_fields(*row[3:])]
        if not all(number.isdecimal() for row in rows for number in (row[1], row[3] or "0")):
            raise ConfigError("the form holds a state that is no number: nothing was saved")
        for client, version, _, state, visited, note in rows:
            done = {"1": True, "0": False}.get(visited)
            try:
                after = int(state[:9]) if state else None
                number = int(version[:9])
                service.change_outcome(date, client, number, after, done, note, by or SOMEBODY)
                changed += 1
            except (ConfigError, Conflict, DatasetError, Missing) as error:
                conflicts.append(f"{error}. Your entry was: {_entry(state, visited, note)}")
        answer = page(request, date, by, conflicts, f"{changed} saved.")
        remember(answer, by)
        return answer


def _entry(state: str, visited: str, note: str) -> str:
    words = [f"state {state}" if state else "no state"]
    words += [{"1": "visited", "0": "not visited"}[visited]] if visited in ("0", "1") else []
    return ", ".join([*words, note] if note else words)


def _units(text: str | None) -> int:
    """Units of a slider, or number of a page; what is no number counts as 0."""
    return int(text) if text and text.isdecimal() else 0
