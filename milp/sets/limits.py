"""The limits of a feasible set by name, each with the set that has one unit more of it.

A price of a limit is the gain in the objective where the limit is raised by one unit. It is found
by solving again: dual prices of the linear relaxation mislead for integer sets, in which one hour
may be worth nothing and two hours a whole visit.

A set of your own has limits if it defines `limits()`, which returns a list of `Limit`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch

import networkx as nx
import numpy as np

from worldplan.milp.sets.base import ActionSet, Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.custom import PyomoSet
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.schedule import Schedule


@dataclass(frozen=True)
class Limit:
    """One limit of a feasible set.

    Args:
        name: "visits a day", "capacity of ana", or the name of a constraint of your own.
        step: what one unit is, in words: "one more visit".
        amount: the limit's present value; None if it is no single number.
        raised: the set with the limit raised by that many units.
        key: limits of equal keys have equal prices: workers of equal capacity, for example.
    """

    name: str
    step: str
    amount: float | None
    raised: Callable[[int], ActionSet]
    key: object = None


def limits_of(actions: ActionSet) -> list[Limit]:
    """The limits of a set by name; none for a set that does not name any."""
    own = getattr(actions, "limits", None)
    return list(own()) if callable(own) else _known(actions)


@singledispatch
def _known(actions: ActionSet) -> list[Limit]:
    return []


@_known.register
def _budget(actions: Budget) -> list[Limit]:
    if actions.budget >= actions.size:
        return []

    def raised(by: int) -> ActionSet:
        return Budget(actions.size, min(actions.size, actions.budget + by), actions.exactly)

    return [Limit("visits a day", "one more visit", float(actions.budget), raised)]


@_known.register
def _capacity(actions: Capacity) -> list[Limit]:
    costs, room = np.asarray(actions.costs), np.asarray(actions.capacities)
    names = _worker_names(actions.worker_names, len(room))

    def with_room(capacities: np.ndarray, workers: list[str]) -> ActionSet:
        return Capacity(costs, capacities, actions.budget, actions.arm_names, workers)

    limits = []
    if actions.budget is not None and actions.budget < actions.size:
        budget = actions.budget
        limits.append(
            Limit(
                "visits a day",
                "one more visit",
                float(budget),
                lambda by: Capacity(
                    costs, room, budget + by, actions.arm_names, actions.worker_names
                ),
            )
        )
    largest = int(room.argmax())
    limits.append(
        Limit(
            "workers",
            f"one more worker like {names[largest]}",
            float(len(room)),
            lambda by: with_room(
                np.append(room, np.full(by, room[largest])),
                [*names, *(f"{names[largest]} ({i + 2})" for i in range(by))],
            ),
        )
    )
    for worker, name in enumerate(names):
        one = np.eye(len(room))[worker]
        limits.append(
            Limit(
                f"capacity of {name}",
                "one more unit (hour)",
                float(room[worker]),
                lambda by, one=one: with_room(room + by * one, names),  # type: ignore[misc]
                ("capacity", float(room[worker])),
            )
        )
    return limits


@_known.register
def _schedule(actions: Schedule) -> list[Limit]:
    arms, workers = np.asarray(actions.arm_slots), np.asarray(actions.worker_slots)
    names = _worker_names(actions.worker_names, len(workers))
    slots = actions.slot_names or [str(slot) for slot in range(arms.shape[1])]

    def changed(budget: int | None, rows: np.ndarray | None = None, by: int = 0) -> ActionSet:
        table, staff = workers, names
        if rows is not None:
            table = np.vstack([workers, *[rows[None]] * by])
            staff = [*names, *(f"additional {i + 1}" for i in range(by))]
        return Schedule(
            arms,
            table,
            actions.visits,
            budget,
            actions.arm_names,
            staff,
            actions.slot_names,
            actions.same_slot,
        )

    limits, budget = [], actions.budget
    if budget is not None and budget < actions.size:
        limits.append(
            Limit("visits a day", "one more client", float(budget), lambda by: changed(budget + by))
        )
    busiest = int(workers.sum(1).argmax())
    limits.append(
        Limit(
            "workers",
            f"one more worker with the slots of {names[busiest]}",
            float(len(workers)),
            lambda by: changed(budget, workers[busiest], by),
        )
    )
    for slot, name in enumerate(slots):
        row = np.arange(arms.shape[1]) == slot
        limits.append(
            Limit(
                f"workers in slot {name}",
                "one more worker in this slot",
                float(workers[:, slot].sum()),
                lambda by, row=row: changed(budget, row, by),  # type: ignore[misc]
                ("slot", tuple(arms[:, slot]), int(workers[:, slot].sum())),
            )
        )
    return limits


@_known.register
def _path(actions: Path) -> list[Limit]:
    graph = nx.Graph(actions.graph)

    def changed(moves: int, budget: int) -> ActionSet:
        return Path(graph, actions.source, moves, budget)

    moves, budget = actions.moves, actions.budget
    limits = [
        Limit("moves", "one more move", float(moves), lambda by: changed(moves + by, budget)),
        Limit(
            "moves (there and back)",
            "two more moves",
            float(moves),
            lambda by: changed(moves + 2 * by, budget),
        ),
    ]
    if budget < actions.size:
        limits.insert(
            0,
            Limit(
                "visits a day",
                "one more visit",
                float(budget),
                lambda by: changed(moves, budget + by),
            ),
        )
    return limits


@_known.register
def _rules(actions: PyomoSet) -> list[Limit]:
    return [
        Limit(
            rule.name,
            rule.step,
            rule.amount,
            lambda by, row=rule.row, way=rule.way: actions.loosened(row, way * by),  # type: ignore[misc]
        )
        for rule in actions.rules()
    ]


def _worker_names(names: object, count: int) -> list[str]:
    given = list(names) if names is not None else range(count)  # type: ignore[call-overload]
    return [str(name) for name in given]
