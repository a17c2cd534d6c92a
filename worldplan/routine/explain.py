"""Why a decided day's list is as it is, and what another one would be worth."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.limits import Limit, limits_of
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.reasons.explainer import Explainer
from worldplan.planners.bandits.reasons.results import Reasons
from worldplan.planners.bandits.reasons.tomorrow import with_states
from worldplan.planners.base import Decision
from worldplan.routine.database import Database
from worldplan.routine.day import Day, decided_states
from worldplan.routine.model import (
    as_planned,
    build_model,
    clients_on,
    observation_of,
    planner_of,
    present_states,
    rows_of,
    today,
)
from worldplan.routine.request import Names, Setup

_SECONDS = 20.0  # for the reasons of a day, and for one answer


@dataclass(frozen=True)
class Answer:
    """Another list for the same day.

    Args:
        status: of the decision, as in `Decision`.
        value: of the list; None if none was found in time.
        difference: to the value of the day's own list; None if one of the two is not known.
        plan: rows of the list.
        enters: clients who are on it, and not on the day's own list.
        leaves: clients who are on the day's own list only.
    """

    status: str
    value: float | None
    difference: float | None
    plan: tuple[Mapping[str, Any], ...]
    enters: Names
    leaves: Names


class ExplainedDay:
    """One revision of a decided day, with its model and its planner.

    The model is that of the day: outcomes that were entered later do not count.

    Args:
        database: of the programme.
        setup: the programme.
        day: decided.

    Raises:
        ConfigError: the policy has no reasons, or a setting does not fit any more.
        DatasetError: a file is wrong, or lacks a client of the day.
    """

    def __init__(self, database: Database, setup: Setup, day: Day) -> None:
        self.day, self._setup = day, setup
        reward, names = setup.rewards()
        with database.read() as connection:
            self._known = decided_states(connection, day)
            self._model = build_model(
                connection, setup, day.date, self._known, names, reward, day.settings
            )
        present = present_states(self._model, self._known)
        observation = observation_of(self._model, day.settings["steps_left"], present)
        away = np.isin(np.array(self._model.names), np.array([*day.settings["absent"], ""]))
        steps = observation["steps_left"]
        nobody = np.zeros_like(away)
        built = today(setup, self._model, present.known, steps, away, nobody, day.settings)
        self._belief = present.belief
        hidden = as_planned(setup, built, self._belief, observation)
        built, self._observation = hidden.built, hidden.observation(observation)
        self._hidden = hidden.seen is not None
        self._instance = built.instance
        self._planner = planner_of(setup, built, day.date, day.settings["policy"])
        self._explainer = self._explain(())
        self._lock = threading.Lock()
        self._reasons: Reasons | None = None
        self._own: Decision | None = None

    def _explain(self, raised: tuple[tuple[str, int], ...]) -> Explainer:
        """An explainer of the day with some limits raised.

        Raises:
            ConfigError: a limit is unknown.
        """
        actions = self._instance.actions
        for name, units in raised:
            limits = {limit.name: limit for limit in limits_of(actions)}
            if name not in limits:
                raise ConfigError(f"limit '{name}' is unknown: choose {', '.join(limits)}")
            actions = limits[name].raised(units)
        return Explainer(
            self._planner,
            replace(self._instance, actions=actions),
            self._observation,
            settings=SolverSettings(time_limit=_SECONDS),
            unit=self._setup.programme.unit,
        )

    @property
    def clients(self) -> list[str]:
        """Who may be forced in or out: the clients who are there and can be visited."""
        selectable = self._instance.actions.selectable
        return [name for name, can in zip(self._model.names, selectable, strict=True) if can]

    @property
    def unseen(self) -> dict[str, str]:
        """The clients who were not seen that day: since when, and the most likely state."""
        date = self.day.date
        return {name: k.words(date) for name, k in self._known.items() if not k.observed}

    @property
    def words(self) -> str:
        """What a value is: its unit, and over which days."""
        return f"{self._explainer.unit} {self._explainer.words}"

    @property
    def limits(self) -> tuple[Limit, ...]:
        """What may be raised."""
        return self._explainer.limits

    def reasons(self) -> Reasons:
        """Why the day's list is as it is; found once.

        Raises:
            InfeasibleActionSet: no list does what was forced, any more.
        """
        settings = self.day.settings
        with self._lock:
            if self._reasons is None:
                self._reasons = self._explainer.reasons(
                    settings["force_in"],
                    settings["force_out"],
                    decision=self._decision(),
                    time_limit=_SECONDS,
                )
                if self._hidden:
                    dynamics, names = self._model.dynamics, self._model.names
                    self._reasons = with_states(self._reasons, dynamics, self._belief, names)
            return self._reasons

    def _own_list(self) -> tuple[list[str], list[str]]:
        """Who is on the day's own list, and who is not."""
        chosen = set(self.day.clients)
        return sorted(chosen), [name for name in self._model.names if name not in chosen]

    def _decision(self) -> Decision:
        """The day's own list as an action."""
        chosen = set(self.day.clients)
        action = np.array([name in chosen for name in self._model.names], np.int8)
        return Decision(action, self.day.value, self.day.bound, self.day.status, 0.0)

    def what_if(
        self, force_in: Names = (), force_out: Names = (), raised: Mapping[str, int] | None = None
    ) -> Answer:
        """The best list with clients forced in or out and limits raised.

        Args:
            force_in: clients who are on the list.
            force_out: clients who are not.
            raised: units by which limits are raised, by name; 0 for none.

        Raises:
            ConfigError: a client or a limit is unknown, or a client is both forced in and out.
            InfeasibleActionSet: no list does all of this.
        """
        more = tuple((name, units) for name, units in (raised or {}).items() if units)
        with self._lock:
            if self._own is None:
                self._own = self._explainer.decide(*self._own_list())
            explainer = self._explain(more) if more else self._explainer
            decision = explainer.decide(force_in, force_out)
        own, value = self._own.value, decision.value
        plan: list[dict[str, Any]] = []
        if decision.action is not None:
            explained = explainer.instance.actions.explain(decision.action)
            plan = rows_of(explained, self._model, self._known)
        new, old = set(clients_on(plan)), set(self.day.clients)
        return Answer(
            decision.status,
            value,
            None if own is None or value is None else value - own,
            tuple(plan),
            tuple(sorted(new - old)),
            tuple(sorted(old - new)),
        )
