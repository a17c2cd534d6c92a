"""The pages' templates, and how values are written in them."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from worldplan.milp.errors import WorldplanError
from worldplan.routine.lists import further_variables, heading, shown_lists
from worldplan.routine.people import belief_words
from worldplan.routine.web.service import Service, Visit

FOLDER = resources.files("worldplan.routine.web")
_STATUS = {
    "optimal": "proven best",
    "within_gap": "best within the solver's gap",
    "time_limit": "best found in the time limit",
    "heuristic": "by a rule of thumb",
}
_MARKS = {  # texts of ours: no name of a user is in them
    "visited": Markup('<span role="img" aria-label="visited">●</span>'),
    "planned": Markup('<span role="img" aria-label="on the list">○</span>'),
    "missed": Markup('<span role="img" aria-label="on the list, not visited">✕</span>'),
}


class Pages:
    """Renders the templates for one programme.

    Args:
        service: of the programme.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._environment = Environment(
            loader=FileSystemLoader(str(FOLDER.joinpath("templates"))),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        self._environment.globals.update(
            lists=shown_lists,
            variables=further_variables,
            number=number,
            words=lambda status: _STATUS.get(status, status),
            mark=mark,
            done=done,
            shown=shown,
            brief=brief,
            heading=heading,
            state_words=state_words,
            state_brief=state_brief,
            count=count,
        )

    def _last(self) -> Any:
        """The last decided day; None where there is none, or the database cannot be read."""
        try:
            return self._service.last()
        except WorldplanError:
            return None

    def render(self, template: str, here: str, status: int = 200, **context: Any) -> HTMLResponse:
        """A page.

        Args:
            template: its file.
            here: label of the page in the navigation.
            status: of the answer.
            context: of the template; "day" is the day that the navigation points to.
        """
        day = context.get("day") or self._last()
        text = self._environment.get_template(template).render(
            {"message": "", "by": ""}
            | context
            | {"name": self._service.setup.name, "here": here, "nav": _navigation(day)}
        )
        return HTMLResponse(text, status)


def without_options(text: str) -> str:
    """A message without the options of the command line, which stand in parentheses."""
    return re.sub(r" \([^()]*--[^()]*\)", "", text)


def _navigation(day: Any) -> list[tuple[str, str]]:
    """Addresses and labels of the pages; those of a day only where there is one."""
    own = []
    if day is not None:
        address = f"/days/{day.date}"
        own = [
            (address, "Today"),
            (f"{address}/why", "Why"),
            (f"{address}/what-if", "What if"),
            (f"{address}/outcomes", "Outcomes"),
            ("/week", "Week"),
        ]
    return [*own, ("/new", "Next day"), ("/audit", "Audit")]


def model_words(model: Mapping[str, Any]) -> str:
    """What a day's model was made from."""
    if model["kind"] == "tables":
        return f"the given tables, {model['clients']} clients"
    words = (
        f"{model['kind']} of {model['moves in the log']} moves in the log and "
        f"{model['moves observed']} observed since, {model['clients']} clients"
    )
    gaps = model.get("moves in gaps, not counted", 0)  # days of earlier versions have no number
    if not gaps:
        return words
    were = "move is" if gaps == 1 else "moves are"
    return f"{words}; {gaps} {were} not counted, as a client was not seen before or after"


def number(value: float | None) -> str:
    """A number with three significant digits, or a dash."""
    if value is None:
        return "–"
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return text.replace("-", "−") if value else "0"


def done(visit: Visit) -> str:
    """Whether a client was visited, as the form writes it: "1", "0" or "" for not entered."""
    return "" if visit.visited is None else str(int(visit.visited))


def shown(visit: Visit) -> str:
    """The outcome as the form shows it."""
    state = "" if visit.next_state is None else str(visit.next_state)
    return shown_fields(state, done(visit), visit.note)


def shown_fields(state: str, visited: str, note: str) -> str:
    """The fields of an outcome as one text: equal texts are unchanged outcomes."""
    return "|".join((state, visited, note))


def count(number: int, one: str, more: str) -> str:
    """ "1 client was", "2 clients were": a number with its noun."""
    return f"{number} {one if number == 1 else more}"


def state_words(visit: Visit, date: dt.date) -> str:
    """A client's state on the morning of a day, in words where it was not observed."""
    if visit.observed:
        return str(visit.state)
    if visit.belief is None:  # before version 2 of the tables
        return f"{visit.state} (assumed)"
    return belief_words(visit.belief, visit.last_seen, date)


def state_brief(visit: Visit) -> str:
    """The state, with its probability where it was not observed."""
    if visit.observed:
        return str(visit.state)
    if visit.belief is None:
        return f"{visit.state}?"
    return f"{visit.state} ({100 * visit.belief[visit.state]:.0f} %)"


def mark(visit: Visit) -> Markup:
    """What was done with a client on a day, as a sign."""
    if visit.visited:
        return _MARKS["visited"]
    if not visit.chosen:
        return Markup("")
    return _MARKS["planned" if visit.visited is None else "missed"]


def brief(detail: Mapping[str, Any]) -> str:
    """The beginning of an event's detail: what is not empty, without versions and checksums."""
    parts = dict(detail)
    settings = parts.pop("settings", {})
    if "files" in parts:
        parts["files"] = list(parts["files"])
    shown = {
        name: _plain(value)
        for name, value in {**settings, **parts}.items()
        if name not in ("made_with", "before", "bound") and value not in (None, [], "")
    }
    text = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())
    return text if len(text) <= 100 else f"{text[:100]}…"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, float):
        return number(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
