"""The model of the arms from all moves so far, and the decision that a policy takes in it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints
from worldplan.files import plain
from worldplan.milp.errors import ConfigError, DatasetError, InfeasibleActionSet
from worldplan.milp.sets.fixed import fixed
from worldplan.milp.sets.today import read_last_visits
from worldplan.planners.bandits.policies import naming_policy
from worldplan.planners.base import Decision, Planner
from worldplan.routine import schema
from worldplan.routine.history import moves_in_gaps, observed_moves
from worldplan.routine.people import Known
from worldplan.routine.request import DEFAULT_POLICY, Names, Request, Setup
from worldplan.world_models.arms.beliefs import PresentStates
from worldplan.world_models.arms.ends import refuse_ended
from worldplan.world_models.arms.hidden import HiddenProgramme, as_seen
from worldplan.world_models.arms.programme import Built, build, finder, later_days, on_day


@dataclass(frozen=True)
class Model:
    """The programme as it is today.

    Args:
        built: the instance; arms that are not in the programme earn nothing.
        inside: (arms,) whether an arm is in the programme.
        description: kind and moves of the model, for the audit trail.
        date: of the day.
        last_visits: dates by client, for those who were visited before the day.
    """

    built: Built
    inside: NDArray[np.bool_]
    description: Mapping[str, Any]
    date: dt.date
    last_visits: Mapping[str, dt.date]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the arms."""
        return self.built.instance.arm_names

    @property
    def dynamics(self) -> ArmDynamics:
        """Of the arms."""
        return self.built.instance.dynamics


def build_model(
    connection: Connection,
    setup: Setup,
    date: dt.date,
    now: Collection[str],
    names: tuple[str, ...],
    reward: Floats,
    settings: Mapping[str, Any],
) -> Model:
    """The programme with the moves before a day and the clients who are in it.

    Args:
        connection: of the read.
        setup: the programme.
        date: the day.
        now: the clients.
        names: (arms,) of the rewards file.
        reward: (arms, states).
        settings: of the day (`Day.settings`).

    Raises:
        ConfigError: a setting is wrong.
        DatasetError: a file is wrong, or lacks a client who is in the programme.
        InfeasibleActionSet: the constraints cannot be met on any day.
    """
    lost = sorted(set(now) - set(names))
    if lost:
        raise DatasetError(
            f"{setup.programme.rewards}: client '{lost[0]}' is in the programme and has no rewards "
            f"here: add a row for each state, or let the client leave (--leave {lost[0]})"
        )
    programme = replace(setup.programme, start=None)  # first states are read on the first day
    log, description = None, dict[str, Any](kind="tables")
    if programme.log is not None:
        half_life = programme.forgetting
        file = Path(finder(setup.base)(programme.log))
        log, imported, observed = observed_moves(connection, date, names, reward, half_life, file)
        kind = "posterior samples" if programme.members else "posterior mean"
        description = {
            "kind": kind,
            "moves in the log": imported,
            "moves observed": observed,
            "moves in gaps, not counted": moves_in_gaps(connection, date),
        }
    relaxed = relaxed_of(settings)
    built = build(
        programme,
        setup.base,
        setup.seed,
        log,
        dated=True,
        relaxed=relaxed,
        clients=setup.clients(),
    )
    if built.instance.ends is not None:
        raise ConfigError(
            f"{setup.base}: programme.ends has steps from the start of an episode: a day's routine "
            "needs the last date of each client: give the column until"
        )
    instance = built.instance
    inside = np.isin(np.array(instance.arm_names), np.array([*now, ""]))
    out = ~inside
    instance = replace(instance, dynamics=instance.dynamics.without_rewards(out))
    models = built.models and tuple(model.without_rewards(out) for model in built.models)
    visits = last_visits(connection, setup, date, names)
    built = replace(built, instance=instance, models=models)
    return Model(built, inside, description, date, visits)


def relaxed_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is relaxed on a day, as `worldplan.world_models.arms.programme.build` takes it.

    Args:
        settings: of the day (`Day.settings`).
    """
    return {name: settings.get(name) for name in ("waived", "visits", "moves", "hours")}


def last_visits(
    connection: Connection, setup: Setup, date: dt.date, names: tuple[str, ...]
) -> dict[str, dt.date]:
    """The last visit of each client before a day: those of `constraint.last_visits`, then those of
    decided days, as they were entered or, without an outcome, as the list said.

    Args:
        connection: of the read.
        setup: the programme.
        date: the day.
        names: the clients.

    Raises:
        DatasetError: the file is malformed.
    """
    file = setup.programme.constraint.last_visits
    last = {}
    if file is not None:
        last = read_last_visits(finder(setup.base)(file), names, date)
    visits = schema.visits.c
    query = (
        select(visits.client, func.max(visits.date).label("last"))
        .where(func.coalesce(visits.visited, visits.chosen), visits.date < date)
        .group_by(visits.client)
    )
    for row in connection.execute(query):
        last[row.client] = max(row.last, last.get(row.client, row.last))
    return last


def decide(
    setup: Setup, request: Request, model: Model, known: Mapping[str, Known]
) -> tuple[Decision, list[dict[str, Any]]]:
    """The policy's decision of today, and the rows of the list.

    Args:
        setup: the programme.
        request: policy, forced and absent clients, days to plan for.
        model: of today.
        known: states of the clients who are in the programme.

    Raises:
        ConfigError: a client is not in the programme, or the policy does not fit.
        InfeasibleActionSet: nothing satisfies the constraints with the forced and absent clients.
    """
    present = present_states(model, known)
    observation = observation_of(model, request.steps_left, present)
    built = asked_today(setup, request, model, known)
    hidden = as_planned(setup, built, present.belief, observation)
    built, seen = hidden.built, hidden.observation(observation)
    actions = built.instance.actions
    policy = request.policy or DEFAULT_POLICY
    with naming_policy(policy, setup.seed):
        decision = planner_of(setup, built, request.date, policy).plan(seen)
    if not actions.contains(decision.action):
        raise ConfigError(
            f"policy '{policy}': its action is not feasible with the forced and absent clients: "
            f"choose another policy, such as {DEFAULT_POLICY}"
        )
    return decision, rows_of(actions.explain(decision.action), model, known)


def asked_today(setup: Setup, request: Request, model: Model, known: Mapping[str, Known]) -> Built:
    """The programme with the feasible set of a request; arguments and errors as in `decide`."""
    present = present_states(model, known)
    steps = observation_of(model, request.steps_left, present)["steps_left"]
    absent = _mark(model, request.absent, "--absent")
    absent |= _mark(model, request.force_out, "--forbid")
    forced = _mark(model, request.force_in, "--force")
    return today(setup, model, present.known, steps, absent, forced, request.settings())


def present_states(model: Model, known: Mapping[str, Known]) -> PresentStates:
    """Today's states and beliefs of all arms; state 0 for those that are not in the programme.

    Args:
        model: of the day.
        known: states of the clients.
    """
    here = [known.get(name, Known(0)) for name in model.names]
    belief = np.eye(model.dynamics.states)[[entry.state for entry in here]]
    days = np.zeros(len(here), np.int64)
    for arm, entry in enumerate(here):
        if not entry.observed:
            belief[arm] = entry.belief
            days[arm] = -1 if entry.seen is None else (model.date - entry.seen).days
    return PresentStates(belief, days)


def observation_of(model: Model, steps_left: int | None, present: PresentStates) -> dict[str, Any]:
    """What a policy sees: "state" (arms,) or, if somebody was not seen, "belief" (arms, states);
    and "steps_left".

    Args:
        model: of the day.
        steps_left: days to plan for; None: the horizon.
        present: states of the arms.

    Raises:
        ConfigError: more days than the horizon, or none, or the programme has no end.
    """
    if model.built.instance.endless and steps_left is not None:
        raise ConfigError(
            f"{steps_left} days left: the programme has no end (programme.endless): leave "
            "--steps_left out"
        )
    horizon = model.built.instance.horizon
    steps = horizon if steps_left is None else steps_left
    if not 1 <= steps <= horizon:
        raise ConfigError(
            f"{steps} days left: give 1 to {horizon}, the programme's horizon (--steps_left)"
        )
    return present.observation(steps)


def today(
    setup: Setup,
    model: Model,
    state: Ints,
    steps_left: int,
    absent: NDArray[np.bool_],
    forced: NDArray[np.bool_],
    settings: Mapping[str, Any],
) -> Built:
    """The programme with the feasible set of the day: staff calendar, rules that see the day, who
    is in the programme, absent and forced.

    Args:
        setup: the programme.
        model: of the day.
        state: (arms,) of today, -1 where it is not known.
        steps_left: days to plan for.
        absent: (arms,) who is not visited.
        forced: (arms,) who is visited.
        settings: of the day (`Day.settings`): which rules do not hold, and the limit of visits.

    Raises:
        ConfigError: the rules fail, or a rule that is not to hold is unknown.
        InfeasibleActionSet: nothing satisfies the rules of the day; says which conflict.
    """
    out = ~model.inside
    away = [name for name, gone in zip(model.names, absent | out, strict=True) if gone]
    built = on_day(
        model.built,
        setup.programme,
        setup.base,
        state,
        date=model.date,
        steps_left=steps_left,
        absent=away,
        last_visits=model.last_visits,
        waived=settings.get("waived") or (),
        visits=settings.get("visits"),
        moves=settings.get("moves"),
        hours=settings.get("hours"),
    )
    refuse_ended(built.ended, [model.names[arm] for arm in np.flatnonzero(forced)], "--force")
    actions = fixed(built.instance.actions, out, absent, forced, model.names)
    later = built.later
    if later is not None:
        nobody = np.zeros_like(out)
        try:
            later = fixed(later, out, nobody, nobody, model.names)
        except InfeasibleActionSet:  # a rule asks for somebody who has left
            relaxed = relaxed_of(settings)
            if not any(relaxed.values()):
                raise
            later = later_days(model.built, setup.programme, setup.base, relaxed)
            later = fixed(later, out, nobody, nobody, model.names)
    return replace(built, instance=replace(built.instance, actions=actions), later=later)


def as_planned(
    setup: Setup, built: Built, belief: Floats, observation: Mapping[str, Any]
) -> HiddenProgramme:
    """The programme of the day for planning: of belief states where `programme.seen` says so.

    Args:
        setup: the programme.
        built: the programme of the day.
        belief: (arms, states) of today.
        observation: of today.

    Raises:
        ConfigError: states are seen before visits, which outcomes do not say; or see `as_seen`.
    """
    if setup.programme.seen == "visits":
        raise ConfigError(
            "programme.seen visits: outcomes of a day are the states after the visits: write "
            "programme.seen outcomes"
        )
    return as_seen(built, setup.programme, belief, observation["steps_left"])


def planner_of(setup: Setup, built: Built, date: dt.date, policy: str) -> Planner:
    """The policy's planner for the programme of a day, with the random numbers of the day."""
    planner = setup.make_planner(policy, built)
    numbers = np.random.default_rng([setup.seed, date.toordinal()])
    planner.reset(seed=int(numbers.integers(2**31)))
    return planner


def _mark(model: Model, chosen: Sequence[str], option: str) -> NDArray[np.bool_]:
    """(arms,) true for the clients `chosen`.

    Raises:
        ConfigError: one of them is not in the programme.
    """
    place = {name: number for number, name in enumerate(model.names)}
    marks = np.zeros(len(place), bool)
    for name in chosen:
        if name not in place or not model.inside[place[name]]:
            raise ConfigError(f"'{name}' is not in the programme: correct the name ({option})")
        marks[place[name]] = True
    return marks


def rows_of(
    explained: Sequence[Mapping[str, Any]], model: Model, known: Mapping[str, Known]
) -> list[dict[str, Any]]:
    """Rows of a list: each arm by name with its state, then what the feasible set explains.

    Where the state was not observed it is None, and "unseen" says since when, and the most likely
    one.

    Args:
        explained: from `ActionSet.explain`.
        model: of the day.
        known: states of the clients.
    """
    rows = []
    for entry in explained:
        row = dict(entry)
        if "arm" in row:
            arm = row.pop("arm")
            name = arm if isinstance(arm, str) else model.names[int(arm)]
            client = known.get(name, Known(0))
            shown = {"arm": name, "state": client.state if client.observed else None}
            unseen = {} if client.observed else {"unseen": client.words(model.date)}
            row = shown | unseen | row
        rows.append(plain(row))
    return rows


def clients_on(plan: Sequence[Mapping[str, Any]]) -> Names:
    """The clients on a list, in its order, each once.

    Args:
        plan: rows of the list.
    """
    return tuple(dict.fromkeys(row["arm"] for row in plan if "arm" in row))
