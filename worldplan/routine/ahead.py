"""The lists of the days after the last decided one, as they are foreseen; nothing is stored.

The state of a client on a later day is not known: it has a belief, from what is known today, the
model, and the visits of the days in between (`people.states_today`). Each day is decided by the
policy of the last decided day under the calendar and the rules of its own date, which see the
visits of the days before. The real decision of a day replaces what was foreseen.

A rule such as "once in 7 days" may be impossible to meet on a day because of the days before it.
Then the smallest number of clients that is found by bisection (QuickXplain, Junker 2004) is visited
earlier: each on the latest earlier day whose own rules allow it, as jobs with deadlines are placed
on one machine. This is a heuristic where visits fall due again within the days planned.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.milp.errors import ConfigError, InfeasibleActionSet
from worldplan.milp.sets.today import read_calendar
from worldplan.milp.tables import CsvTable
from worldplan.routine.database import Database
from worldplan.routine.day import Day, decided_states
from worldplan.routine.model import (
    Model,
    build_model,
    decide,
    last_visits,
    present_states,
    today,
)
from worldplan.routine.outcomes import last_day, outcomes_entered
from worldplan.routine.people import Known, members, states_today
from worldplan.routine.request import Names, Request, Setup
from worldplan.world_models.arms.programme import finder

MOST_DAYS = 31
_ROUNDS = 5  # repairs for each day that is planned


@dataclass(frozen=True)
class ForeseenDay:
    """A day after the last decided one.

    Args:
        date: of the day.
        plan: rows of the list: arm, "expected" (the most likely state, with its probability), and
            worker, slot, stop or cost by the feasible set.
        closed: whether the calendar has nobody who works; the state of no client changes then.
        early: clients who are visited because the rules of a later day need it.
        problem: why the rules of the day cannot be met, and what to do; "" if they are. No further
            day is planned then.
    """

    date: dt.date
    plan: tuple[Mapping[str, Any], ...] = ()
    closed: bool = False
    early: Names = ()
    problem: str = ""


def next_dates(date: dt.date, count: int, name: str = "days") -> tuple[dt.date, ...]:
    """The `count` days after a date; messages call the number `name`.

    Raises:
        ConfigError: there are none, or more than `MOST_DAYS`.
    """
    if not 1 <= count <= MOST_DAYS:
        raise ConfigError(f"{name} {count}: give 1 to {MOST_DAYS}")
    return tuple(date + dt.timedelta(number) for number in range(1, count + 1))


def foresee(
    database: Database, setup: Setup, day: Day, dates: Sequence[dt.date]
) -> tuple[ForeseenDay, ...]:
    """The lists of days after the last decided one; fewer if the programme ends before.

    Args:
        database: of the programme.
        setup: the programme.
        day: the last decided one; outcomes that are entered for it count.
        dates: ascending, after it.

    Raises:
        ConfigError: `day` is not the last one, or a setting or the policy does not fit.
        DatasetError: a file is wrong.
    """
    with database.read() as connection:
        if last_day(connection) != day.date:
            raise ConfigError(
                f"{day.date}: only from the last decided day, {last_day(connection)}, are the next "
                "days planned"
            )
        reward, names = setup.rewards()
        now = members(connection)
        model = build_model(connection, setup, dates[0], now, names, reward, {})
        request = Request(dates[0], assume=True)
        known = states_today(connection, request, model.dynamics, model.names)
        decided = _Decided(
            day,
            decided_states(connection, day),
            last_visits(connection, setup, day.date, names),
            outcomes_entered(connection, day.date) is not None,
        )
    closed = _closed(setup)
    plan = _Plan(setup, decided, model, known, [date for date in dates if not closed(date)])
    foreseen = {entry.date: entry for entry in plan.days()}
    shown: list[ForeseenDay] = []
    for date in dates:
        if not closed(date) and date not in foreseen:
            break  # the programme ends, or the day before has a problem
        shown.append(ForeseenDay(date, closed=True) if closed(date) else foreseen[date])
    return tuple(shown)


def _closed(setup: Setup) -> Callable[[dt.date], bool]:
    """Whether every worker is away on a date, by the calendar."""
    constraint, find = setup.programme.constraint, finder(setup.base)
    if constraint.calendar is None or constraint.workers is None:
        return lambda date: False
    workers = tuple(dict.fromkeys(CsvTable(find(constraint.workers), ("worker",)).text("worker")))
    calendar = read_calendar(find(constraint.calendar), workers)
    away = {
        date
        for date, hours in calendar.items()
        if all(hours.get(worker, 1.0) == 0 for worker in workers)
    }
    return away.__contains__


@dataclass(frozen=True)
class _Decided:
    """The last decided day, what was known on its morning, and whether outcomes are entered."""

    day: Day
    known: Mapping[str, Known]
    last_visits: Mapping[str, dt.date]
    over: bool


@dataclass(frozen=True)
class _Morning:
    """What is expected of the morning of a day: states, and last visits by client."""

    known: Mapping[str, Known]
    last_visits: Mapping[str, dt.date]


@dataclass
class _Plan:
    """The days one after the other, and again from an earlier one where a rule needs it.

    Args:
        setup: the programme.
        decided: the last decided day.
        model: of the first date.
        known: states on its morning.
        dates: on which somebody works.
    """

    setup: Setup
    decided: _Decided
    model: Model
    known: Mapping[str, Known]
    dates: Sequence[dt.date]
    forced: list[set[str]] = field(init=False)
    steps: int | None = field(init=False)  # left on the decided day; None: the horizon

    def __post_init__(self) -> None:
        self.steps = self.decided.day.settings["steps_left"]
        if self.steps is not None:
            self.dates = self.dates[: self.steps - 1]
        self.forced = [set() for _ in self.dates]

    def days(self) -> list[ForeseenDay]:
        """The foreseen days; the last one may have a problem."""
        mornings = [_Morning(self.known, self.model.last_visits)]
        plans: list[tuple[Mapping[str, Any], ...]] = []
        rounds = 0
        while len(plans) < len(self.dates):
            number = len(plans)
            try:
                rows, action = self._decide(number, mornings[number])
            except InfeasibleActionSet as error:
                rounds += 1
                first = self._visit_earlier(number, mornings)
                if first is None or rounds > _ROUNDS * len(self.dates):
                    problem = f"{error}{self._remedy(number, mornings[number])}"
                    return [*self._shown(plans), ForeseenDay(self.dates[number], problem=problem)]
                del plans[first:], mornings[first + 1 :]
                continue
            plans.append(rows)
            mornings.append(self._evening(number, mornings[number], action))
        return self._shown(plans)

    def _shown(self, plans: Sequence[tuple[Mapping[str, Any], ...]]) -> list[ForeseenDay]:
        return [
            ForeseenDay(date, plan, early=tuple(sorted(forced)))
            for date, plan, forced in zip(self.dates, plans, self.forced, strict=False)
        ]

    def _steps(self, number: int) -> int | None:
        return None if self.steps is None else self.steps - 1 - number

    def _model(self, number: int, last_visits: Mapping[str, dt.date]) -> Model:
        return replace(self.model, date=self.dates[number], last_visits=last_visits)

    def _decide(
        self, number: int, morning: _Morning
    ) -> tuple[tuple[Mapping[str, Any], ...], NDArray[np.int8]]:
        """The list of a day, and its action (arms,).

        Raises:
            InfeasibleActionSet: the rules of the day cannot be met.
        """
        request = Request(
            self.dates[number],
            policy=self.decided.day.settings["policy"],
            force_in=tuple(sorted(self.forced[number])),
            steps_left=self._steps(number),
        )
        model = self._model(number, morning.last_visits)
        decision, rows = decide(self.setup, request, model, morning.known)
        return tuple(_expected(row, morning.known) for row in rows), decision.action

    def _evening(self, number: int, morning: _Morning, action: NDArray[np.int8]) -> _Morning:
        """The next morning after an action (arms,): b P_k for each arm with its action k."""
        model = self._model(number, morning.last_visits)
        belief = present_states(model, morning.known).belief
        after = model.dynamics.after(belief, action.astype(np.int64))
        known = {
            name: Known(int(row.argmax()), tuple(row.tolist()), morning.known[name].seen)
            for name, row in zip(model.names, after, strict=True)
            if name in morning.known
        }
        visited = [model.names[arm] for arm in np.flatnonzero(action)]
        return _Morning(known, {**morning.last_visits, **dict.fromkeys(visited, model.date)})

    # ---- visits that the rules of a later day need

    def _fits(
        self, number: int, morning: _Morning, forced: set[str], visited: Mapping[str, dt.date]
    ) -> bool:
        """Whether the rules of a day can be met with some clients forced in, and others visited
        before.
        """
        model = self._model(number, {**morning.last_visits, **visited})
        marks = np.array([name in forced for name in model.names])
        steps = self._steps(number) or model.built.instance.horizon
        state = present_states(model, morning.known).known
        try:
            today(self.setup, model, state, steps, np.zeros_like(marks), marks, {})
        except InfeasibleActionSet:
            return False
        return True

    def _visit_earlier(self, number: int, mornings: Sequence[_Morning]) -> int | None:
        """Force clients in on earlier days so that the rules of a day can be met; the number of the
        first day that changes, or None if that does not help.
        """
        if number == 0:
            return None
        before, morning = self.dates[number - 1], mornings[number]
        candidates = sorted(morning.known)

        def fits(names: Sequence[str]) -> bool:
            return self._fits(number, morning, self.forced[number], dict.fromkeys(names, before))

        while candidates and fits(candidates):
            needed = _smallest(fits, (), candidates)
            places: list[tuple[int, str]] = []
            for name in needed:
                place = self._latest_place(name, number, mornings, places)
                if place is None:
                    candidates.remove(name)
                    break
                places.append((place, name))
            else:
                for place, name in places:
                    self.forced[place].add(name)
                return min((place for place, _ in places), default=None)
        return None

    def _latest_place(
        self,
        name: str,
        number: int,
        mornings: Sequence[_Morning],
        places: Sequence[tuple[int, str]],
    ) -> int | None:
        """The latest day before day `number` on which a client can be forced in as well as those
        in `places`; None if there is none.
        """
        for earlier in reversed(range(number)):
            forced = self.forced[earlier] | {other for day, other in places if day == earlier}
            if name not in forced and self._fits(earlier, mornings[earlier], forced | {name}, {}):
                return earlier
        return None

    def _remedy(self, number: int, morning: _Morning) -> str:
        """Words on clients who could be visited on the decided day, so that the rules of this day
        can be met; "" where that is not possible.
        """
        day = self.decided.day
        names = [name for name in sorted(self.decided.known) if name not in day.clients]

        def fits(visited: Sequence[str]) -> bool:
            days = dict.fromkeys(visited, day.date)
            return self._fits(number, morning, self.forced[number], days)

        if self.decided.over or not names or not fits(names):
            return ""
        forced = sorted({*_smallest(fits, (), names), *day.settings["force_in"]})
        if not self._could_force(forced):
            return ""
        called = ",".join(forced)
        return f"; or decide {day.date} again with {called} forced in (--redo --force {called})"

    def _could_force(self, forced: Sequence[str]) -> bool:
        """Whether the rules of the decided day can be met with clients forced in."""
        day, names = self.decided.day, np.array(self.model.names)
        model = replace(self.model, date=day.date, last_visits=self.decided.last_visits)
        out = [*day.settings["absent"], *day.settings["force_out"]]
        absent, marks = (np.isin(names, np.array([*some, ""])) for some in (out, forced))
        steps = self.steps or self.model.built.instance.horizon
        state = present_states(model, self.decided.known).known
        try:
            today(self.setup, model, state, steps, absent, marks, day.settings)
        except InfeasibleActionSet:
            return False
        return not (absent & marks).any()


def _smallest(
    fits: Callable[[Sequence[str]], bool], kept: Sequence[str], names: Sequence[str]
) -> list[str]:
    """Some of `names` of which none can be left out, so that `kept` with them fits; all of them
    with `kept` do.
    """
    if fits(kept):
        return []
    if len(names) == 1:
        return list(names)
    half = len(names) // 2
    left, right = names[:half], names[half:]
    second = _smallest(fits, [*kept, *left], right)
    first = _smallest(fits, [*kept, *second], left)
    return first + second


def _expected(row: Mapping[str, Any], known: Mapping[str, Known]) -> dict[str, Any]:
    """A row of a list with the expected state of its client in words."""
    if "arm" not in row:
        return dict(row)
    entry = known[row["arm"]]
    likely = f"{entry.state}"
    if not entry.observed:
        likely = f"{entry.state} ({100 * entry.belief[entry.state]:.0f} %)"
    rest = {name: value for name, value in row.items() if name not in ("arm", "state", "unseen")}
    return {"arm": row["arm"], "expected": likely} | rest
