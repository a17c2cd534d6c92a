"""Bodies of requests and answers of the HTTP interface; the schema is made from them."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.today import parse_date
from worldplan.planners.bandits.reasons.results import ClientReason, LimitPrice, Reasons
from worldplan.routine.request import MOST_BY


def _exact_date(value: object) -> object:
    """A text as a date; what is no text is left to the schema.

    Raises:
        ValueError: the text is not written YYYY-MM-DD.
    """
    if isinstance(value, dt.date):
        return value
    try:
        return parse_date(value if isinstance(value, str) else repr(value), "the date")
    except ConfigError as error:
        raise ValueError(str(error)) from None


Date = Annotated[dt.date, BeforeValidator(_exact_date)]
Whole = Annotated[int, Field(strict=True)]  # neither true nor "1"
Truth = Annotated[bool, Field(strict=True)]
Amount = Annotated[float, Field(strict=True)]


class Body(BaseModel):
    """A body whose unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class RelaxationOut(BaseModel):
    """Changes for one day: fields to be sent with it, and clients to be taken out of others."""

    waived: list[str] = Field(description="own rules to leave out")
    visits: int | None = Field(description="limit of visits; null: as before")
    moves: int | None = Field(description="limit of moves; null: as before")
    hours: dict[str, float] = Field(description="of workers")
    not_forced: list[str] = Field(description="to be taken out of force_in")
    not_forbidden: list[str] = Field(description="to be taken out of force_out")
    words: str = Field(description="the same for readers")


class Problem(BaseModel):
    """Why a request was refused, whatever the reason."""

    detail: str = Field(description="the cause, and what to do about it")
    conflict: list[str] = Field(
        default=[], description="rules that cannot all be met, where no list is possible"
    )
    relaxations: list[RelaxationOut] = Field(
        default=[], description="sets of changes with each of which the day can be decided"
    )


class VisitOut(BaseModel):
    """A client on a decided day, with the outcome."""

    client: str
    state: int = Field(description="on the morning of the day")
    observed: bool = Field(description="false: the model's most probable state")
    belief: list[float] | None = Field(
        description="probability of each state when the day was decided; null: it was observed"
    )
    last_seen: dt.date | None = Field(
        description="with a belief: when a state was last observed; null: never"
    )
    present: bool
    forced: str | None = Field(description="'in', 'out' or null")
    chosen: bool
    next_state: int | None = Field(description="after the visits; null: not entered")
    visited: bool | None = Field(description="what was done; null: not entered")
    note: str
    version: int = Field(description="of the outcome, to be sent with a change")


Row = dict[str, str | bool | int | float | None]
"""A row of a list; what stands in it depends on the kind of the feasible set."""


class Settings(BaseModel):
    """With what a day was decided."""

    policy: str
    absent: list[str]
    force_in: list[str]
    force_out: list[str]
    left: list[str] = Field(default=[], description="who left the programme on the day")
    steps_left: int | None = Field(description="days to plan for; null: the horizon")
    waived: list[str] = Field(default=[], description="own rules that did not hold on the day")
    visits: int | None = Field(default=None, description="most visits; null: constraint.budget")
    moves: int | None = Field(default=None, description="most moves; null: constraint.moves")
    hours: dict[str, float] = Field(default={}, description="of workers, if not as in the files")


class MadeWith(BaseModel):
    """From what a day was decided."""

    model: dict[str, str | int | float | None] = Field(description="kind, moves, clients")
    inputs: dict[str, str] = Field(description="SHA-256 of each file")
    versions: dict[str, Any]
    seed: int


class DayOut(BaseModel):
    """A decided day."""

    date: dt.date
    revision: int = Field(description="to be sent when the day is decided again")
    settings: Settings
    status: str
    value: float | None
    bound: float | None
    plan: list[Row] = Field(
        description="rows of the list: arm, state (null, and unseen in words, if it was not "
        "observed), worker, ..."
    )
    made_with: MadeWith


class DayWithVisits(DayOut):
    """A decided day and everybody in the programme."""

    visits: list[VisitOut]


class OutcomeIn(Body):
    """An outcome; the version is the one that was read."""

    version: Whole
    state: Whole | None = Field(default=None, description="after the visits; null: not known")
    visited: Truth | None = Field(default=None, description="null: as the list said")
    note: str = Field(default="", max_length=2000)
    by: str = Field(default="", max_length=MOST_BY)


class Version(BaseModel):
    """The version of an outcome after a change."""

    version: Whole


class DecideIn(Body):
    """A day to be decided, as the options of `worldplan bandits day`."""

    date: Date
    states: dict[str, Whole] = Field(
        default_factory=dict, description="of newcomers, and of everybody on the first day"
    )
    policy: str | None = None
    join: Truth = False
    leave: list[str] = []
    absent: list[str] = []
    force_in: list[str] = []
    force_out: list[str] = []
    assume: Truth = False
    steps_left: Whole | None = None
    waived: list[str] = Field(default=[], description="own rules that do not hold on this day")
    visits: Whole | None = Field(
        default=None, description="most visits on this day; null: constraint.budget"
    )
    moves: Whole | None = Field(
        default=None, description="most moves on this day; null: constraint.moves"
    )
    hours: dict[str, Amount] = Field(default={}, description="of workers on this day, by name")
    by: str = Field(default="", max_length=MOST_BY)


class RedoIn(Body):
    """The last day, decided again with other clients forced in or out."""

    revision: Whole
    force_in: list[str] = []
    force_out: list[str] = []
    absent: list[str] | None = Field(default=None, description="null: as before")
    by: str = Field(default="", max_length=MOST_BY)


class WhatIfIn(Body):
    """Another list for the same day; nothing is changed."""

    force_in: list[str] = []
    force_out: list[str] = []
    raised: dict[str, Whole] = Field(
        default_factory=dict, description="units more of limits, by name"
    )


class WhatIfOut(BaseModel):
    """The best such list, and its value against that of the day's own list."""

    status: str
    value: float | None
    difference: float | None
    plan: list[Row]
    enters: list[str]
    leaves: list[str]


class ForeseenOut(BaseModel):
    """A day after the last decided one, as it is foreseen; nothing of it is decided."""

    date: dt.date
    plan: list[Row] = Field(
        description="rows of the list: arm, expected (the most likely state), worker, ..."
    )
    closed: bool = Field(description="nobody works, by the calendar")
    early: list[str] = Field(description="clients visited because the rules of a later day need it")
    problem: str = Field(
        description="why the rules of the day cannot be met; no further day follows"
    )


def _fields_of(kind: type, *without: str) -> dict[str, Any]:
    """The fields of a dataclass for `create_model`."""
    types = get_type_hints(kind)
    return {each.name: (types[each.name], ...) for each in fields(kind) if each.name not in without}


ClientReasonOut = create_model(
    "ClientReasonOut", __doc__=ClientReason.__doc__, exact=(bool, ...), **_fields_of(ClientReason)
)
LimitPriceOut = create_model(
    "LimitPriceOut",
    __doc__=LimitPrice.__doc__,
    exact=(bool, ...),
    binds=(bool | None, ...),
    **_fields_of(LimitPrice),
)
ReasonsOut = create_model(
    "ReasonsOut",
    __doc__=Reasons.__doc__,
    version=(str, Field(alias="schema")),
    sentence=(str, ...),
    gap=(float | None, ...),
    action=(list[int], ...),
    chosen=(list[ClientReasonOut], ...),  # type: ignore[valid-type]
    not_chosen=(list[ClientReasonOut], ...),  # type: ignore[valid-type]
    limits=(list[LimitPriceOut], ...),  # type: ignore[valid-type]
    **_fields_of(Reasons, "action", "chosen", "not_chosen", "limits"),
)


class LimitOut(BaseModel):
    """A limit that may be raised."""

    name: str
    step: str
    amount: float | None


class Event(BaseModel):
    """A line of the audit trail."""

    at: dt.datetime
    by: str
    what: str
    date: dt.date | None
    detail: dict[str, Any]


class Programme(BaseModel):
    """The programme and its last decided day."""

    name: str
    database: str
    last: dt.date | None
    states: int
    worldplan: str
