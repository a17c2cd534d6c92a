"""The page on which the next day is decided, and what may be relaxed where that is not possible."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.responses import HTMLResponse, Response

from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.today import parse_date
from worldplan.planners.bandits.policies import POLICIES
from worldplan.routine import request as requests
from worldplan.routine.relax import InfeasibleDay, Relaxation
from worldplan.routine.web.api import SOMEBODY
from worldplan.routine.web.forms import BY, Form, named, see, text_of, texts, user_of
from worldplan.routine.web.listing import listing
from worldplan.routine.web.messages import Body
from worldplan.routine.web.rendering import Pages, without_options
from worldplan.routine.web.service import Service


def add_next_day(router: APIRouter, service: Service, pages: Pages) -> None:
    """Add the page on which the next day is decided."""

    @router.get("/new")
    def new(request: Request) -> HTMLResponse:
        return _new_page(service, pages, _Entries(by=user_of(request)))

    @router.post("/new")
    def decide(form: Form) -> Response:
        entries = _entries_of(form)
        if "page" in form:  # another part of the list: nothing is decided
            return _new_page(service, pages, entries)
        last = service.last()
        if entries.policy and (last is None or entries.policy != last.settings["policy"]):
            requests.check_offered(entries.policy, service.setup)
        try:
            day = service.decide(entries.request())
        except InfeasibleDay as error:
            return _new_page(service, pages, entries, error)
        return see(f"/days/{day.date}", entries.by)


@dataclass(frozen=True)
class _Entries:
    """What is entered on the page of the next day; texts as in the form."""

    date: str = ""
    policy: str = ""
    assume: bool = False
    roles: Mapping[str, str] = field(default_factory=dict)  # "absent" or "leave", by client
    states: Mapping[str, str] = field(default_factory=dict)
    waived: tuple[str, ...] = ()
    visits: str = ""
    moves: str = ""
    hours: Mapping[str, float] = field(default_factory=dict)
    by: str = ""
    find: str = ""
    page: str = "1"

    def request(self) -> requests.Request:
        """The decision that is asked for.

        Raises:
            ConfigError: a date or a number is none.
        """
        try:
            date = parse_date(self.date, "the day")
            outcomes = tuple(
                requests.Outcome(client, int(state), place="the form")
                for client, state in self.states.items()
                if state
            )
            visits = int(self.visits) if self.visits else None
            moves = int(self.moves) if self.moves else None
        except ValueError:
            raise ConfigError("the form holds no date, or a state that is no number") from None
        chosen = {
            role: tuple(client for client, each in self.roles.items() if each == role)
            for role in ("absent", "leave")
        }
        return requests.Request(
            date,
            outcomes,
            self.policy or None,
            lambda names: True,
            chosen["leave"],
            chosen["absent"],
            assume=self.assume,
            waived=self.waived,
            visits=visits,
            moves=moves,
            hours=self.hours,
            by=self.by or SOMEBODY,
        )


def _entries_of(form: FormData) -> _Entries:
    """The entries of a form.

    Raises:
        ConfigError: clients and states are not of equal number.
    """
    clients, states = texts(form, "client"), texts(form, "state")
    if len(clients) != len(states):
        raise ConfigError("the form is not complete: open the page again")
    roles = (role.partition(":") for role in texts(form, "role") if role)
    entries = _Entries(
        text_of(form, "date"),
        text_of(form, "policy"),
        bool(text_of(form, "assume")),
        {client: kind for kind, _, client in roles},
        dict(zip(clients, states, strict=True)),
        named(texts(form, "waive")),
        next(reversed(texts(form, "visits")), ""),  # the last of several boxes that were ticked
        next(reversed(texts(form, "moves")), ""),
        dict(_hours_of(text) for text in texts(form, "hours")),
        text_of(form, BY),
        text_of(form, "find"),
        text_of(form, "page") or "1",
    )
    for text in texts(form, "relax"):
        entries = _with_set(entries, text)
    return entries


def _hours_of(text: str) -> tuple[str, float]:
    """Worker and hours, in the form as "Amara=6".

    Raises:
        ConfigError: the text is none.
    """
    worker, _, amount = text.rpartition("=")
    try:
        return worker, float(amount)
    except ValueError:
        raise ConfigError("the form holds hours that are no number: open the page again") from None


def _with_set(entries: _Entries, text: str) -> _Entries:
    """The entries with several changes that were ticked as one.

    Args:
        entries: without them.
        text: JSON of `_Together`.

    Raises:
        ConfigError: the text is none.
    """
    try:
        some = _Together.model_validate_json(text)
    except ValidationError:
        raise ConfigError("the form holds changes of no page: open the page again") from None
    return replace(
        entries,
        waived=tuple(dict.fromkeys((*entries.waived, *some.waived))),
        visits=entries.visits if some.visits is None else str(some.visits),
        moves=entries.moves if some.moves is None else str(some.moves),
        hours={**entries.hours, **some.hours},
    )


class _Together(Body):
    """Several changes that are ticked as one."""

    waived: list[str] = []
    visits: int | None = None
    moves: int | None = None
    hours: dict[str, float] = {}


def _shown(offer: Relaxation) -> tuple[str, str, str]:
    """Field, value and label of the box to tick for an offer."""
    label = offer.words()
    single = [("waive", name) for name in offer.waived]
    single += [
        (name, str(value))
        for name, value in (("visits", offer.visits), ("moves", offer.moves))
        if value is not None
    ]
    single += [("hours", f"{worker}={amount:.10g}") for worker, amount in offer.hours.items()]
    name, value = single[0] if len(single) == 1 else ("relax", _together(offer))
    return name, value, label[0].upper() + label[1:]


def _together(offer: Relaxation) -> str:
    """The changes of an offer as JSON of `_Together`."""
    fields = {name: getattr(offer, name) for name in _Together.model_fields}
    return _Together(**fields).model_dump_json()


def _problem(error: InfeasibleDay) -> str:
    """Why a day cannot be decided; what helps is offered below."""
    return f"{error.head}." if error.offers else without_options(error.plain)


def _new_page(
    service: Service, pages: Pages, entries: _Entries, error: InfeasibleDay | None = None
) -> HTMLResponse:
    """The page of the next day, with what was entered, and what may be relaxed after an error."""
    last = service.last()
    names, states = service.arms()
    visits = [] if last is None else service.visits(last.date)
    inside = [visit.client for visit in visits] if last else list(names)
    newcomers = service.newcomers() if last else ()
    starts = {} if last else service.setup.start_states()
    number = int(entries.page) if entries.page.isdecimal() else 1
    clients = sorted(set(inside) - set(newcomers)) if last else inside
    people, joining = (listing(some, str, entries.find, number) for some in (clients, newcomers))
    shown = {*people.rows, *joining.rows}
    chosen = [last.settings["policy"]] if last else []
    given = {client: str(state) for client, state in starts.items()}
    return pages.render(
        "new.html",
        "Next day",
        200 if error is None else 422,
        last=last,
        date=entries.date or service.next_date(),
        after=None if last is None else last.date + dt.timedelta(1),
        people=people,
        page=max(people.page, joining.page),
        pages=max(people.pages, joining.pages),
        known={v.client: v.next_state for v in visits if v.next_state is not None},
        entered=given | dict(entries.states),
        kept_states={
            client: state
            for client, state in entries.states.items()
            if state and client not in shown and given.get(client) != state
        },
        kept_roles={name: role for name, role in entries.roles.items() if name not in shown},
        newcomers=joining,
        states=states,
        policies=list(dict.fromkeys([*POLICIES, *service.setup.policies, *chosen])),
        policy=entries.policy or (last.settings["policy"] if last else requests.DEFAULT_POLICY),
        entries=entries,
        problem="" if error is None else _problem(error),
        offers=[] if error is None else [_shown(offer) for offer in error.offers],
        by=entries.by,
    )
