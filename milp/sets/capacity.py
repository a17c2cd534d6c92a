"""Workers with limited capacity: each selected arm is served whole by one worker."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from worldplan.milp.errors import InfeasibleActionSet
from worldplan.milp.program import Floats, Indices, Program
from worldplan.milp.sets.base import Action, ActionSet, check_size
from worldplan.milp.sets.linear_problem import LinearProblem

PATTERN_LIMIT = 500  # in all; beyond it one binary per (worker, arm) is the smaller model
ENUMERATION_LIMIT = 20_000
SEARCH_LIMIT = 50_000  # nodes of the packing search before the solver decides

Load = tuple[int, ...]


@dataclass
class Capacity(ActionSet):
    """The selected arms can be packed on the workers: capacity-constrained coRMAB of SEQUOIA (Xu et
    al., ICLR 2025).

    Two exact models. Where costs take few values, a worker's load is one of a few maximal patterns
    ("two arms of cost 2 and one of cost 3"), and integers count the workers that use each: `sum of
    arms of a cost <= slots for that cost` (Gilmore and Gomory 1961; its relaxation is far tighter
    than assignment, and equal workers are one). Otherwise one binary per worker and arm that fits.

    Args:
        costs: what serving each arm takes, > 0.
        capacities: what each worker can give, >= 0 (0: absent).
        budget: at most so many arms, if given.
        arm_names: shown by `explain` instead of arm numbers.
        worker_names: shown by `explain` instead of worker numbers.

    Raises:
        InfeasibleActionSet: empty, non-finite or non-positive input, names that do not match, or no
            arm fits anywhere.
    """

    costs: ArrayLike
    capacities: ArrayLike
    budget: int | None = None
    arm_names: Sequence[Any] | None = None
    worker_names: Sequence[Any] | None = None
    size: int = field(init=False)
    least: int = field(init=False, default=0)
    most: int = field(init=False)
    selectable: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._costs = _numbers(self.costs, "arm costs", zero_allowed=False)
        self._room = _numbers(self.capacities, "worker capacities", zero_allowed=True)
        self.size = len(self._costs)
        for names, count, what in (
            (self.arm_names, self.size, "arm"),
            (self.worker_names, len(self._room), "worker"),
        ):
            if names is not None and len(names) != count:
                raise InfeasibleActionSet(
                    f"{len(names)} {what} names for {count} {what}s: give one name each"
                )
        if self.budget is not None and self.budget < 0:
            raise InfeasibleActionSet(f"budget {self.budget} is negative: give 0 or more")
        largest = float(self._room.max())
        self._slack = 1e-9 * largest  # 0.1 + 0.2 fits in 0.3
        self.selectable = self._costs <= largest + self._slack
        if not self.selectable.any():
            raise InfeasibleActionSet(
                f"every arm costs more than the largest capacity {largest:g}: raise a capacity or lower a cost"
            )
        self._classes, self._class_of = np.unique(self._costs, return_inverse=True)
        self._patterns = self._all_patterns()
        self.most = self._count_bound()
        if self._patterns is not None:
            # the pattern model is small: its optimum is the exact answer, and its bound holds even
            # at the time limit
            self.most = min(self.most, math.floor(LinearProblem(self).solve(1.0).bound + 1e-6))

    # ---- the MILP

    def _all_patterns(self) -> list[tuple[float, int, list[Load]]] | None:
        """(capacity, workers with it, maximal loads as counts per cost class), or None where there
        are too many.
        """
        available = np.bincount(self._class_of).tolist()
        groups, total = [], 0
        for capacity, workers in sorted(Counter(self._room.tolist()).items()):
            if capacity + self._slack < self._classes[0]:
                continue
            patterns = maximal_patterns(
                self._classes.tolist(), available, capacity + self._slack, PATTERN_LIMIT - total
            )
            if patterns is None:
                return None
            total += len(patterns)
            groups.append((capacity, workers, patterns))
        return groups

    def _count_bound(self) -> int:
        """Cheapest arms first, against all capacity at once and against each worker on its own."""
        running = np.cumsum(np.sort(self._costs))
        alone = np.searchsorted(running, self._room + self._slack, side="right")
        together = np.searchsorted(running, self._room.sum() + self._slack, side="right")
        bounds = [int(alone.sum()), int(together), int(self.selectable.sum())]
        return min(bounds if self.budget is None else [*bounds, self.budget])

    def _pairs(self) -> tuple[Indices, Indices]:
        """The (worker, arm) pairs that fit, worker by worker."""
        worker, arm = np.nonzero(self._costs[None, :] <= self._room[:, None] + self._slack)
        return worker, arm

    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        if self.budget is not None and self.budget < self.size:
            program.add_rows((action, np.ones((1, self.size))), upper=self.budget)
        if self._patterns is None:
            self._add_assignment(program, action, relaxed)
            return
        workers = np.repeat(
            [count for _, count, _ in self._patterns],
            [len(loads) for _, _, loads in self._patterns],
        )
        groups = np.repeat(
            np.arange(len(self._patterns)), [len(loads) for _, _, loads in self._patterns]
        )
        count = len(groups)
        used = program.add_columns(count, 0.0, workers, integer=not relaxed)
        member = sparse.csr_array(
            (np.ones(count), (groups, np.arange(count))), shape=(len(self._patterns), count)
        )
        program.add_rows((used, member), upper=[number for _, number, _ in self._patterns])
        loads = np.array([load for _, _, group in self._patterns for load in group], dtype=float).T
        classes = sparse.csr_array(
            (np.ones(self.size), (self._class_of, np.arange(self.size))),
            shape=(len(self._classes), self.size),
        )
        program.add_rows((action, classes), (used, sparse.csr_array(-loads)), upper=0.0)

    def _add_assignment(self, program: Program, action: Indices, relaxed: bool) -> None:
        worker, arm = self._pairs()
        count = len(worker)
        serves = program.add_columns(count, 0.0, 1.0, integer=not relaxed)
        load = sparse.csr_array(
            (self._costs[arm], (worker, np.arange(count))), shape=(len(self._room), count)
        )
        program.add_rows((serves, load), upper=self._room + self._slack)
        served = sparse.csr_array(
            (np.ones(count), (arm, np.arange(count))), shape=(self.size, count)
        )
        program.add_rows(
            (serves, served),
            (action, -sparse.eye_array(self.size, format="csr")),
            lower=0.0,
            upper=0.0,
        )

    # ---- the check

    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        if self.budget is not None and action.sum() > self.budget:
            return None
        packing = self._pack(np.flatnonzero(action), exact=exact)
        if packing is None:
            return None
        if isinstance(packing, str):
            return LinearProblem(self).complete(action)
        return self._values(packing)

    def _values(self, packing: dict[int, int]) -> Floats:
        """Auxiliary values of a packing {arm: worker}."""
        if self._patterns is None:
            worker, arm = self._pairs()
            return np.array(
                [
                    float(packing.get(j) == i)
                    for i, j in zip(worker.tolist(), arm.tolist(), strict=True)
                ]
            )
        loads = np.zeros((len(self._room), len(self._classes)), dtype=np.int64)
        for arm_index, worker_index in packing.items():
            loads[worker_index, self._class_of[arm_index]] += 1
        values = []
        for capacity, _, patterns in self._patterns:
            table, chosen = np.array(patterns), np.zeros(len(patterns))
            for load in loads[self._room == capacity]:
                chosen[np.flatnonzero((table >= load).all(axis=1))[0]] += 1
            values.append(chosen)
        return np.concatenate(values)

    def _pack(self, arms: Indices, *, exact: bool) -> dict[int, int] | str | None:
        """{arm: worker}, None where there is none, "undecided" where an exact search grew too long.

        First-fit and best-fit decreasing, then depth-first search over the arms by decreasing cost;
        a state (arms placed, sorted residual capacities) that failed is never entered again.
        """
        order = arms[np.argsort(-self._costs[arms], kind="stable")].tolist()
        costs = self._costs[order].tolist()
        room = (self._room + self._slack).tolist()
        if sum(costs) > sum(room):
            return None
        for tightest in (True, False):
            placed = _decreasing(costs, room, tightest)
            if placed is not None:
                return dict(zip(order, placed, strict=True))
        limit = (SEARCH_LIMIT if exact else 200) if len(order) <= 500 else 0
        found = _search(costs, room, limit)
        if isinstance(found, str):
            return found if exact else None
        return None if found is None else dict(zip(order, found, strict=True))

    def fill(self, order: Sequence[int] | Indices, start: Action | None = None) -> Action:
        """Take components in the given order while feasible; where one finds no room, none of its
        cost or more will.
        """
        action = np.zeros(self.size, np.int8) if start is None else start.copy()
        taken, refused = int(action.sum()), np.inf
        for component in order:
            if taken >= self.most:
                break
            if action[component] or self._costs[component] >= refused:
                continue
            action[component] = 1
            if self.probably_contains(action):
                taken += 1
            else:
                action[component], refused = 0, self._costs[component]
        return action

    def explain(self, action: Action) -> list[dict[str, Any]]:
        """One row per selected arm: its worker and its cost. Empty for an infeasible action."""
        arms = np.flatnonzero(action)
        packing = self._pack(arms, exact=True)
        if isinstance(packing, str):
            packing = self._packing_by_solver(action)
        if packing is None:
            return []
        arm_names = self.arm_names or range(self.size)
        worker_names = self.worker_names or range(len(self._room))
        return [
            {
                "arm": arm_names[arm],
                "worker": worker_names[packing[arm]],
                "cost": float(self._costs[arm]),
            }
            for arm in arms.tolist()
        ]

    def _packing_by_solver(self, action: Action) -> dict[int, int] | None:
        """{arm: worker} read off the solver's answer where the search gave up."""
        values = LinearProblem(self).complete(action)
        if values is None:
            return None
        if self._patterns is None:
            worker, arm = self._pairs()
            return {int(arm[k]): int(worker[k]) for k in np.flatnonzero(values > 0.5)}
        waiting = [
            [j for j in np.flatnonzero(self._class_of == c).tolist() if action[j]]
            for c in range(len(self._classes))
        ]
        packing, numbers = {}, iter(np.rint(values).astype(int).tolist())
        for capacity, _, patterns in self._patterns:
            free = iter(np.flatnonzero(self._room == capacity).tolist())
            for load in patterns:
                for _ in range(next(numbers)):
                    worker_index = next(free)
                    for group, places in zip(waiting, load, strict=True):
                        for _ in range(min(places, len(group))):
                            packing[group.pop()] = worker_index
        return packing


def maximal_patterns(
    costs: list[float], available: list[int], capacity: float, limit: int
) -> list[Load] | None:
    """Loads (count per ascending cost class, at most `available`) that fit `capacity` and take no
    further arm; None beyond `limit`.
    """
    found: list[Load] = []
    partial: list[tuple[Load, float]] = [
        ((), capacity)
    ]  # chosen counts of the dearest classes first
    entered = 0
    while partial:
        load, room = partial.pop()
        entered += 1
        if len(found) > limit or entered > ENUMERATION_LIMIT:
            return None
        if len(load) == len(costs):
            counts = load[::-1]
            if all(
                count == have or cost > room
                for count, have, cost in zip(counts, available, costs, strict=True)
            ):
                found.append(counts)
            continue
        place = len(costs) - 1 - len(load)
        fits = min(available[place], int(room // costs[place]))
        lowest = fits if place == 0 else 0  # the cheapest class always fills up
        partial.extend((load + (k,), room - k * costs[place]) for k in range(lowest, fits + 1))
    return found if len(found) <= limit else None


def _decreasing(costs: list[float], room: list[float], tightest: bool) -> list[int] | None:
    """Each cost in turn on the tightest (or first) worker with room; the worker of each, or None."""
    left, placed = room.copy(), []
    for cost in costs:
        fitting = [i for i, free in enumerate(left) if free >= cost]
        if not fitting:
            return None
        worker = min(fitting, key=left.__getitem__) if tightest else fitting[0]
        left[worker] -= cost
        placed.append(worker)
    return placed


def _search(costs: list[float], room: list[float], limit: int) -> list[int] | str | None:
    """Depth-first packing: the worker of each cost, None (proven impossible) or "undecided" after
    `limit` nodes.
    """
    failed: set[tuple[int, tuple[float, ...]]] = set()
    remaining = np.append(np.cumsum(costs[::-1])[::-1], 0.0).tolist()
    left, placed, nodes = room.copy(), [0] * len(costs), 0

    def descend(k: int) -> bool:
        nonlocal nodes
        if k == len(costs):
            return True
        useful = tuple(sorted(round(free, 9) for free in left if free >= costs[-1]))
        if (k, useful) in failed or nodes >= limit or sum(useful) + 1e-6 < remaining[k]:
            return False
        nodes += 1
        tried = set()
        for worker in sorted(range(len(left)), key=left.__getitem__):
            free = left[worker]
            if free < costs[k] or free in tried:
                continue
            tried.add(free)
            left[worker], placed[k] = free - costs[k], worker
            if descend(k + 1):
                return True
            left[worker] = free
        failed.add((k, useful))
        return False

    if descend(0):
        return placed
    return "undecided" if nodes >= limit else None


def _numbers(values: Any, what: str, *, zero_allowed: bool) -> Floats:
    try:
        array = np.array(values, dtype=float).reshape(-1)
    except (TypeError, ValueError) as error:
        raise InfeasibleActionSet(f"the {what} are not numbers: {error}") from error
    check_size(len(array), f"the list of {what}")
    bad = ~np.isfinite(array) | (array < 0) | ((array == 0) & (not zero_allowed))
    if bad.any():
        place = int(np.flatnonzero(bad)[0])
        raise InfeasibleActionSet(
            f"number {place} of the {what} is {array[place]:g}: give a finite number {'>= 0' if zero_allowed else '> 0'}"
        )
    return array
