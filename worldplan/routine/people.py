"""Who is in the programme, who joins and leaves, and in which state everybody is today."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, func, select, update

from worldplan.envs.bandits.environment import ArmDynamics
from worldplan.milp.errors import DatasetError
from worldplan.routine import schema
from worldplan.routine.database import record
from worldplan.routine.outcomes import first_states, last_day
from worldplan.routine.request import Outcome, Request
from worldplan.world_models.arms.beliefs import unseen_words


@dataclass(frozen=True)
class Known:
    """What is known of a client's state today.

    Args:
        state: observed, or the most probable one.
        belief: (states,) distribution of the state if it was not observed today; else empty.
        seen: when a state of the client was last observed; None: never, or today.
    """

    state: int
    belief: tuple[float, ...] = ()
    seen: dt.date | None = None

    @property
    def observed(self) -> bool:
        """Whether the state was observed today."""
        return not self.belief

    def words(self, today: dt.date) -> str:
        """ "not seen for 3 days: most likely state 2 (61 %)"; "" for a state observed today."""
        return belief_words(self.belief, self.seen, today)


def belief_words(belief: Sequence[float], seen: dt.date | None, today: dt.date) -> str:
    """ "not seen for 3 days: most likely state 2 (61 %)"; "" for a state observed today.

    Args:
        belief: (states,) distribution; empty for an observed state.
        seen: when a state was last observed; None: never.
        today: the day of the belief.
    """
    if not belief:
        return ""
    return unseen_words(belief, None if seen is None else (today - seen).days, "never seen")


def members(connection: Connection) -> list[str]:
    """The clients who are in the programme."""
    clients = schema.clients
    query = select(clients.c.name).where(clients.c.left.is_(None)).order_by(clients.c.name)
    return list(connection.execute(query).scalars())


def change_members(
    connection: Connection, request: Request, names: Sequence[str], starts: dict[str, int]
) -> None:
    """Let clients join and leave.

    On the first day every arm of the rewards file joins.

    Args:
        connection: of the change.
        request: who leaves, whether newcomers may join, and their states.
        names: the arms of the rewards file.
        starts: first states by name, where the programme has a file of them.

    Raises:
        DatasetError: a newcomer may not join or has no rewards, or who leaves is not there.
    """
    previous = last_day(connection, before=request.date)
    first = first_states(request, previous)
    inside = set(members(connection))
    begins = previous is None and not inside
    _leave(connection, request, names if begins else inside)
    inside -= set(request.leave)
    if begins:
        states = starts | {name: outcome.state for name, outcome in first.items()}
        _refuse_unknown(first.values(), names)
        joining = [name for name in names if name not in request.leave]
        for name in joining:
            _join(connection, request, name, states.get(name))
        record(connection, request.by, "programme begun", request.date, clients=len(joining))
        return
    _correct_first_states(connection, request, first)
    newcomers = [outcome for name, outcome in first.items() if name not in inside]
    newcomers = [outcome for outcome in newcomers if outcome.client not in request.leave]
    if not newcomers:
        return
    _refuse_unknown(newcomers, names)
    called = tuple(outcome.client for outcome in newcomers)
    if not request.join(called):
        more = f" and {len(called) - 1} more" if len(called) > 1 else ""
        left = connection.execute(
            select(schema.clients.c.left).where(schema.clients.c.name == called[0])
        ).scalar_one_or_none()
        how = "is not in the programme" if left is None else f"left the programme on {left}"
        raise DatasetError(
            f"{newcomers[0].place}: client '{called[0]}'{more} {how}: let them join (--join), or "
            "remove the row"
        )
    for outcome in newcomers:
        _join(connection, request, outcome.client, outcome.state)
    record(connection, request.by, "joined", request.date, clients=list(called))


def _correct_first_states(
    connection: Connection, request: Request, first: Mapping[str, Outcome]
) -> None:
    """Replace the first states of clients who joined on the day that is decided again."""
    clients = schema.clients
    query = select(clients.c.name, clients.c.state).where(
        clients.c.joined == request.date, clients.c.left.is_(None)
    )
    for name, state in connection.execute(query).all():
        if name in first and first[name].state != state:
            changed = {"state": first[name].state}
            connection.execute(update(clients).where(clients.c.name == name).values(**changed))
            detail = {"client": name, "before": state, "now": first[name].state}
            record(connection, request.by, "first state corrected", request.date, **detail)


def _refuse_unknown(outcomes: Iterable[Outcome], names: Sequence[str]) -> None:
    """Refuse clients without rewards.

    Raises:
        DatasetError: names the first one.
    """
    known = set(names)
    for outcome in outcomes:
        if outcome.client not in known:
            raise DatasetError(
                f"{outcome.place}: client '{outcome.client}' has no rewards: correct the name, or "
                "add a row for each state to the rewards file (and to the files of the constraint)"
            )


def _leave(connection: Connection, request: Request, inside: Collection[str]) -> None:
    """Let clients leave.

    Raises:
        DatasetError: one of them is not in the programme.
    """
    clients = schema.clients
    for name in request.leave:
        if name not in inside:
            raise DatasetError(f"'{name}' is not in the programme: correct the name (--leave)")
        query = update(clients).where(clients.c.name == name).values(left=request.date)
        connection.execute(query)
        record(connection, request.by, "left", request.date, client=name)


def _join(connection: Connection, request: Request, name: str, state: int | None) -> None:
    """Add a client, or take one who had left back."""
    clients = schema.clients
    values = {"joined": request.date, "left": None, "state": state}
    query = update(clients).where(clients.c.name == name).values(**values)
    if connection.execute(query).rowcount == 0:
        connection.execute(clients.insert().values(name=name, **values))


def states_today(
    connection: Connection, request: Request, model: ArmDynamics, names: Sequence[str]
) -> dict[str, Known]:
    """The state of every client in the programme.

    It is the outcome of the last decided day or, on the day of joining, the first state. A client
    with neither has a belief, which must be allowed, or the client be absent: with the last
    observed state s and the actions k1, k2, ... on the decided days since,

        b = e_s P_k1 P_k2 ...

    A decided day is one step of the model, however many days passed to the next one. A client who
    was never seen begins with equal probabilities in place of e_s.

    Args:
        connection: of the read.
        request: who is absent, and whether beliefs may stand in for outcomes.
        model: of the arms.
        names: (arms,) of the model.

    Raises:
        DatasetError: the state of a client who is not absent is not known.
    """
    known, missing, unseen = dict[str, Known](), list[str](), dict[str, _History]()
    outcomes = _last_outcomes(connection, request.date)
    histories = _last_known(connection, request.date)
    for name in members(connection):
        if name in outcomes:
            known[name] = Known(outcomes[name])
            continue
        history = histories[name]
        if history.state is not None and not history.actions:
            known[name] = Known(history.state)
        elif request.assume or name in request.absent:
            unseen[name] = history
        else:
            missing.append(name)
    if missing:
        more = f" and of {len(missing) - 1} more clients" if len(missing) > 1 else ""
        raise DatasetError(
            f"{request.date}: the state of client '{missing[0]}'{more} is not known: enter "
            "outcomes (--outcomes), mark who is absent (--absent NAME,...), or decide with the "
            "probabilities of the states (--assume)"
        )
    _refuse_foreign_states(known, model, names)
    return known | _beliefs(unseen, model, names)


def _refuse_foreign_states(
    known: Mapping[str, Known], model: ArmDynamics, names: Sequence[str]
) -> None:
    """Refuse states that a client does not have.

    Raises:
        DatasetError: names the client.
    """
    for name, count in zip(names, model.state_counts.tolist(), strict=True):
        if name in known and known[name].state >= count:
            raise DatasetError(
                f"client '{name}' in state {known[name].state}: the rewards file has states 0 to "
                f"{count - 1} of this client: correct the outcome, or add the reward of the state"
            )


@dataclass(frozen=True)
class _History:
    """What was observed last of a client, and done since.

    Args:
        state: last observed; None: never.
        seen: when; None: never.
        actions: on the decided days since.
    """

    state: int | None
    seen: dt.date | None
    actions: tuple[int, ...] = ()


def _beliefs(
    unseen: Mapping[str, _History], model: ArmDynamics, names: Sequence[str]
) -> dict[str, Known]:
    """The beliefs of clients who were not seen today, by the formula of `states_today`."""
    if not unseen:
        return {}
    place = {name: number for number, name in enumerate(names)}
    arms = [place[name] for name in unseen]
    transition, equal = model.transition[arms], model.uniform[arms]
    belief = np.array(
        [
            equal[number] if history.state is None else np.eye(model.states)[history.state]
            for number, history in enumerate(unseen.values())
        ]
    )
    for day in range(max(len(h.actions) for h in unseen.values())):
        going = np.array([j for j, h in enumerate(unseen.values()) if day < len(h.actions)])
        action = [h.actions[day] for h in unseen.values() if day < len(h.actions)]
        belief[going] = np.einsum("js,jst->jt", belief[going], transition[going, action])
    belief /= belief.sum(-1, keepdims=True)
    return {
        name: Known(int(row.argmax()), tuple(row.tolist()), history.seen)
        for (name, history), row in zip(unseen.items(), belief, strict=True)
    }


def _last_outcomes(connection: Connection, today: dt.date) -> dict[str, int]:
    """The outcomes of the last decided day before today, by client."""
    visits = schema.visits
    query = (
        select(visits.c.client, visits.c.next_state)
        .join(schema.clients, schema.clients.c.name == visits.c.client)
        .where(
            visits.c.date == last_day(connection, before=today),
            visits.c.next_state.is_not(None),
            schema.clients.c.joined < today,
        )
    )
    return {row.client: row.next_state for row in connection.execute(query)}


def _last_known(connection: Connection, today: dt.date) -> dict[str, _History]:
    """What was observed last of each client in the programme, and done since."""
    clients, visits = schema.clients, schema.visits
    inside = select(clients).where(clients.c.left.is_(None))
    known = {
        row.name: _History(row.state, None if row.state is None else row.joined)
        for row in connection.execute(inside)
    }
    since_joining = (visits.c.date >= clients.c.joined) & (visits.c.date < today)
    last = (
        select(visits.c.client, func.max(visits.c.date).label("date"))
        .join(clients, clients.c.name == visits.c.client)
        .where(since_joining, visits.c.observed | visits.c.next_state.is_not(None))
        .group_by(visits.c.client)
        .subquery()
    )
    rows = connection.execute(
        select(visits)
        .join(clients, clients.c.name == visits.c.client)
        .outerjoin(last, last.c.client == visits.c.client)
        .where(since_joining, clients.c.left.is_(None))
        .where(last.c.date.is_(None) | (visits.c.date >= last.c.date))
        .order_by(visits.c.date)
    )
    for row in rows:
        before = known[row.client]
        if row.observed:
            before = _History(row.state, row.date)
        action = int(row.chosen if row.visited is None else row.visited)
        after = _History(before.state, before.seen, (*before.actions, action))
        if row.next_state is not None:
            after = _History(row.next_state, row.date)
        known[row.client] = after
    return known
