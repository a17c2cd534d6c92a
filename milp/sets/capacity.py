"""Workers with limited capacity: one worker serves each selected arm."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from worldplan.milp import checks
from worldplan.milp.errors import DatasetError, InfeasibleActionSet
from worldplan.milp.program import Floats, Indices, Program
from worldplan.milp.sets.base import Action, ActionSet, check_budget, check_names, check_size
from worldplan.milp.sets.linear_problem import LinearProblem
from worldplan.milp.sets.packing import Pattern, fit_decreasing, maximal_patterns, search_packing
from worldplan.milp.sets.source import SetContext, naming_files, read_amounts
from worldplan.milp.sets.today import hours_on

PATTERN_LIMIT = 500  # in all; beyond it one binary per (worker, arm) is the smaller model
SEARCH_LIMIT = 50_000  # nodes of the packing search before the solver decides


@dataclass
class Capacity(ActionSet):
    """Actions whose selected arms can be packed on the workers.

    Capacity-constrained coRMAB of SEQUOIA (Xu et al., ICLR 2025). There are two exact models.

    If the costs take few values, a worker's load is one of a few maximal patterns, such as two arms
    of cost 2 and one of cost 3. With integers u_p, the number of workers that use pattern p,

        sum_p u_p <= workers                            for each capacity (p of that capacity)
        sum of a_j over the arms of cost class c <= sum_p (count of c in p) u_p        for each c

    (Gilmore and Gomory 1961). The relaxation is far tighter than that of an assignment, and equal
    workers cause no symmetry.

    Otherwise x_ij = 1 if worker i serves arm j, for the pairs that fit: sum_j cost_j x_ij <=
    capacity_i and sum_i x_ij = a_j.

    Args:
        costs: (arms,) what serving each arm takes, > 0.
        capacities: (workers,) what each worker can give, >= 0 (0: absent).
        budget: most arms; no limit unless given.
        arm_names: shown by `explain` instead of arm numbers.
        worker_names: shown by `explain` instead of worker numbers.

    Attributes:
        widened: (workers,) the capacities with a margin for rounding: 0.1 + 0.2 fits in 0.3.

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
    widened: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._costs = _numbers(self.costs, "arm costs", zero_allowed=False)
        self._room = _numbers(self.capacities, "worker capacities", zero_allowed=True)
        self.size = len(self._costs)
        check_names(self.arm_names, self.size, "arm")
        check_names(self.worker_names, len(self._room), "worker")
        check_budget(self.budget)
        self.costs, self.capacities = self._costs, self._room  # not the caller's own arrays
        largest = float(self._room.max())
        # of each worker's own capacity, so that no other's widens it
        self.widened = (1 + 1e-9) * self._room
        self.selectable = self._costs <= self.widened.max()
        if not self.selectable.any():
            raise InfeasibleActionSet(
                f"every arm costs more than the largest capacity {largest:g}: "
                "raise a capacity or lower a cost"
            )
        self._classes, self._class_of = np.unique(self._costs, return_inverse=True)
        self._patterns = self._all_patterns()
        self.most = self._count_bound()
        if self._patterns is not None:
            # the pattern model is small enough to solve; its bound holds even at the time limit
            self.most = min(self.most, math.floor(LinearProblem(self).solve(1.0).bound + 1e-6))

    @classmethod
    def from_files(cls, context: SetContext) -> Self:
        """From `constraint.costs` (CSV arm, cost) and `workers` (CSV worker, capacity).

        Also read: `constraint.budget` unless 0.

        Raises:
            ConfigError: a file name is missing.
            DatasetError: a file is missing or malformed.
            InfeasibleActionSet: no arm fits anywhere; the message names both files.
        """
        costs_file, workers_file = context.file("costs"), context.file("workers")
        costs = read_amounts(costs_file, "arm", "cost", context.arms)
        for name, cost in costs.items():
            if cost == 0:
                raise DatasetError(
                    f"{costs_file}: cost of '{name}' is 0: give a number above 0, however small"
                )
        capacities = hours_on(context, read_amounts(workers_file, "worker", "capacity"))
        with naming_files(costs_file, workers_file):
            if not any(capacities.values()):
                raise InfeasibleActionSet(
                    f"every worker is away{f' on {context.date}' if context.date else ''}: "
                    "nobody can be visited: correct the hours, or leave this day out"
                )
            return cls(
                [costs[name] for name in context.arms],
                list(capacities.values()),
                context.settings.budget or None,
                context.arms,
                tuple(capacities),
            )

    # ---- the MILP

    def _all_patterns(self) -> list[tuple[float, int, list[Pattern]]] | None:
        """(capacity, workers with it, patterns) by ascending capacity, or None if too many."""
        available = np.bincount(self._class_of).tolist()
        groups, total = [], 0
        for capacity, workers in sorted(Counter(self.widened.tolist()).items()):
            if capacity < self._classes[0]:
                continue
            patterns = maximal_patterns(
                self._classes.tolist(), available, capacity, PATTERN_LIMIT - total
            )
            if patterns is None:
                return None
            total += len(patterns)
            groups.append((capacity, workers, patterns))
        return groups

    def _count_bound(self) -> int:
        """Upper bound on the number of arms.

        The cheapest arms are packed against the total capacity, and against each worker alone.
        """
        running = np.cumsum(np.sort(self._costs))
        alone = np.searchsorted(running, self.widened, side="right")
        together = np.searchsorted(running, self.widened.sum(), side="right")
        bounds = [int(alone.sum()), int(together), int(self.selectable.sum())]
        return min(bounds if self.budget is None else [*bounds, self.budget])

    def _pairs(self) -> tuple[Indices, Indices]:
        """The (worker, arm) pairs that fit, worker by worker."""
        worker, arm = np.nonzero(self._costs[None, :] <= self.widened[:, None])
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
        program.add_rows((serves, load), upper=self.widened)
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
            for load in loads[self.widened == capacity]:
                chosen[np.flatnonzero((table >= load).all(axis=1))[0]] += 1
            values.append(chosen)
        return np.concatenate(values)

    def _pack(self, arms: Indices, *, exact: bool) -> dict[int, int] | str | None:
        """{arm: worker}, None if there is no packing, "undecided" if an exact search is cut off.

        First best-fit and first-fit decreasing, then depth-first search.
        """
        order = arms[np.argsort(-self._costs[arms], kind="stable")].tolist()
        costs = self._costs[order].tolist()
        room = self.widened.tolist()
        if sum(costs) > sum(room):
            return None
        for tightest in (True, False):
            placed = fit_decreasing(costs, room, tightest=tightest)
            if placed is not None:
                return dict(zip(order, placed, strict=True))
        limit = (SEARCH_LIMIT if exact else 200) if len(order) <= 500 else 0
        packing = search_packing(costs, room, limit)
        if isinstance(packing, str):
            return packing if exact else None
        return None if packing is None else dict(zip(order, packing, strict=True))

    def fill(self, order: Sequence[int] | Indices, start: Action | None = None) -> Action:
        """As `ActionSet.fill`: (n,) components into an action (size,).

        After an arm found no room, arms of its cost or more are not tried.
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
        """A row per arm selected in `action` (size,): its worker and its cost.

        No rows for an infeasible action.
        """
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
        """{arm: worker} from the solver's solution, or None if there is none."""
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
            free = iter(np.flatnonzero(self.widened == capacity).tolist())
            for load in patterns:
                for _ in range(next(numbers)):
                    worker_index = next(free)
                    for group, places in zip(waiting, load, strict=True):
                        for _ in range(min(places, len(group))):
                            packing[group.pop()] = worker_index
        return packing


def _numbers(values: Any, what: str, *, zero_allowed: bool) -> Floats:
    """The values as an array (n,).

    Raises:
        InfeasibleActionSet: not numbers, none, or not all finite and positive.
    """
    if hasattr(values, "__len__") and not isinstance(values, str):
        check_size(len(values), f"the list of {what}")
    array = checks.array(values, what, ("n",), finite=False, error=InfeasibleActionSet)
    bad = ~np.isfinite(array) | (array < 0) | ((array == 0) & (not zero_allowed))
    if bad.any():
        place = int(np.flatnonzero(bad)[0])
        raise InfeasibleActionSet(
            f"number {place} of the {what} is {array[place]:g}: "
            f"give a finite number {'>= 0' if zero_allowed else '> 0'}"
        )
    return array
