"""Arms and workers with time slots: workers visit each selected arm in slots when both are free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import csgraph

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, InfeasibleActionSet
from worldplan.milp.program import Floats, Indices, Program
from worldplan.milp.sets.base import Action, ActionSet, check_budget, check_names, check_size
from worldplan.milp.sets.linear_problem import LinearProblem
from worldplan.milp.sets.source import SetContext, naming_files, read_pairs
from worldplan.milp.sets.today import hours_on

ROUNDING_ROWS = 64


@dataclass
class Schedule(ActionSet):
    """Actions whose every selected arm can get `visits` worker-slots.

    Bipartite-matching coRMAB of SEQUOIA (Xu et al., ICLR 2025). The paper has one binary per
    (worker, arm, slot). Here x_js >= 0 counts the visits of arm j in slot s, and W_s is the number
    of workers on duty in slot s:

        sum_s x_js = visits * a_j             for each arm j
        sum_j x_js <= W_s                     for each slot s
        x_js = 0                              if arm j is not free in slot s
        x_js <= 1                             unless two visits may fall into one slot

    The paper's own sets have two visits, which may fall into one slot, and serve at most as many
    arms as there are workers; `worldplan.envs.bandits.domains.generate` says so in its arguments.

    A worker's slots do not constrain each other and, within a slot, any worker on duty can serve
    any free arm, so the visits of a slot can be distributed over its workers. With an integer
    action, the rows are those of a transportation polytope with integer sides (totally unimodular),
    so x need not be declared integer.

    Rounding rows tighten the relaxation: let T be slots with W(T) workers in all. The arms whose
    slots all lie in T satisfy visits * sum a_j <= W(T), so sum a_j <= floor(W(T) / visits).

    Args:
        arm_slots: (arms, slots), true where the arm can be visited.
        worker_slots: (workers, slots), true where the worker is on duty.
        visits: worker-slots that a selected arm needs.
        budget: most arms; no limit but the slots unless given.
        arm_names: shown by `explain` instead of arm numbers.
        worker_names: shown by `explain` instead of worker numbers.
        slot_names: shown by `explain` instead of slot numbers.
        same_slot: whether several workers may visit an arm in one slot; else its visits are in
            different slots.

    Raises:
        InfeasibleActionSet: shapes that do not match, empty input, or no arm that can get its
            visits.
    """

    arm_slots: ArrayLike
    worker_slots: ArrayLike
    visits: int = 1
    budget: int | None = None
    arm_names: Sequence[Any] | None = None
    worker_names: Sequence[Any] | None = None
    slot_names: Sequence[Any] | None = None
    same_slot: bool = False
    size: int = field(init=False)
    least: int = field(init=False, default=0)
    most: int = field(init=False)
    selectable: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._arm_free = _availability(self.arm_slots, "arm_slots")
        self._worker_free = _availability(self.worker_slots, "worker_slots")
        self.size, slots = self._arm_free.shape
        if self._worker_free.shape[1] != slots:
            raise InfeasibleActionSet(
                f"arm_slots has {slots} slots and worker_slots {self._worker_free.shape[1]}: "
                "give both the same slots"
            )
        self.arm_slots, self.worker_slots = self._arm_free, self._worker_free  # not the caller's
        if checks.whole_number(self.visits, "visits", error=InfeasibleActionSet) < 1:
            raise InfeasibleActionSet(f"visits is {self.visits}: give 1 or more")
        check_budget(self.budget)
        checks.truth(self.same_slot, "same_slot", error=InfeasibleActionSet)
        self._budget = self.size if self.budget is None else self.budget
        check_names(self.arm_names, self.size, "arm")
        check_names(self.worker_names, len(self._worker_free), "worker")
        check_names(self.slot_names, slots, "slot")
        self._workers = self._worker_free.sum(0)
        most_in_slot = np.minimum(self._workers, self._per_slot)
        self.selectable = self._arm_free @ most_in_slot >= self.visits
        if not self.selectable.any():
            raise InfeasibleActionSet(
                f"no arm shares {self.visits} {'visits' if self.same_slot else 'slots'} with the "
                "workers: "
                "lower visits, or add arm or worker availability"
            )
        # unit u of slot s is the u-th worker on duty in s; units are numbered slot by slot
        self._first_unit = np.concatenate([[0], np.cumsum(self._workers)])
        unit_slots = np.repeat(np.arange(slots), self._workers)
        self._units = [np.flatnonzero(row[unit_slots]).astype(np.int32) for row in self._arm_free]
        self.most = min(
            self._budget, int(self.selectable.sum()), int(self._workers.sum()) // self.visits
        )
        # the bound of the linear relaxation holds for the set
        self.most = min(self.most, int(LinearProblem(self, relaxed=True).solve(1.0).bound + 1e-6))

    @classmethod
    def from_files(cls, context: SetContext) -> Self:
        """From `constraint.arm_slots` (CSV arm, slot) and `workers` (CSV worker, slot).

        Each file has one row per free slot. Also read: `constraint.visits`, `same_slot`, and
        `budget` unless 0.

        Raises:
            ConfigError: a file name or the number of visits is missing.
            DatasetError: a file is missing or malformed.
            InfeasibleActionSet: no arm can get its visits; the message names both files.
        """
        arm_slots, workers = context.file("arm_slots"), context.file("workers")
        settings = context.settings
        if settings.visits is None:
            raise ConfigError(
                "constraint.visits is missing: give the number of visits that a selected arm needs "
                "in one step (1; or 2 in different slots; with same_slot: true also in one slot)"
            )
        with naming_files(arm_slots, workers, errors=(InfeasibleActionSet,)):
            arm_pairs = read_pairs(arm_slots, ("arm", "slot"), names=context.arms)
            worker_pairs = read_pairs(workers, ("worker", "slot"))
            present = hours_on(context, {worker: 1.0 for _, worker, _ in worker_pairs})
            worker_pairs = [pair for pair in worker_pairs if present[pair[1]] > 0]
            if not worker_pairs:
                raise InfeasibleActionSet(
                    f"every worker is away on {context.date}: nobody can be visited: correct the "
                    "calendar, or leave this day out"
                )
            slots = list(dict.fromkeys(slot for _, _, slot in worker_pairs + arm_pairs))
            staff = list(dict.fromkeys(worker for _, worker, _ in worker_pairs))
            return cls(
                _availability_table(arm_pairs, context.arms, slots),
                _availability_table(worker_pairs, staff, slots),
                settings.visits,
                settings.budget or None,
                arm_names=context.arms,
                worker_names=tuple(staff),
                slot_names=tuple(slots),
                same_slot=settings.same_slot,
            )

    @property
    def _per_slot(self) -> int:
        """Most visits of an arm in one slot."""
        return self.visits if self.same_slot else 1

    def _cells(self) -> tuple[Indices, Indices]:
        """The (arm, slot) cells where a visit is possible, arm by arm."""
        arm, slot = np.nonzero(self._arm_free & (self._workers > 0) & self.selectable[:, None])
        return arm, slot

    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        arm, slot = self._cells()
        count, cells = len(arm), np.arange(len(arm))
        limit = np.minimum(self._per_slot, self._workers[slot])
        visits = program.add_columns(count, 0.0, limit)
        in_slot = sparse.csr_array(
            (np.ones(count), (slot, cells)), shape=(len(self._workers), count)
        )
        busy = np.flatnonzero(
            np.bincount(slot, limit, minlength=len(self._workers)) > self._workers
        )
        program.add_rows((visits, in_slot[busy]), upper=self._workers[busy])
        of_arm = sparse.csr_array((np.ones(count), (arm, cells)), shape=(self.size, count))
        needed = sparse.csr_array(sparse.diags_array(np.full(self.size, -float(self.visits))))
        program.add_rows((visits, of_arm), (action, needed), lower=0.0, upper=0.0)
        if self._budget < self.size:
            program.add_rows((action, np.ones((1, self.size))), upper=self._budget)
        scarce = np.flatnonzero(limit < self.visits)  # x <= visits a is implied; x <= W_s a is not
        if len(scarce):
            rows = np.arange(len(scarce))
            shape = (len(scarce), count)
            pick = sparse.csr_array((np.ones(len(scarce)), (rows, scarce)), shape=shape)
            arms = sparse.csr_array(
                (-limit[scarce].astype(float), (rows, arm[scarce])), shape=(len(scarce), self.size)
            )
            program.add_rows((visits, pick), (action, arms), upper=0.0)
        for inside, bound in self._rounding_rows():
            program.add_rows((action[inside], np.ones((1, len(inside)))), upper=bound)

    def _rounding_rows(self) -> list[tuple[Indices, int]]:
        """(arms confined to some slots, how many of them fit), if rounding down tightens a row.

        The slots are those of one or two arms.
        """
        usable = self._arm_free & (self._workers > 0)
        patterns = np.unique(usable[self.selectable], axis=0)
        if len(patterns) > 40:
            return []
        unions = {tuple(p) for p in patterns} | {tuple(p | q) for p, q in combinations(patterns, 2)}
        rows = []
        for union in sorted(unions):
            inside = np.flatnonzero(self.selectable & ~(usable & ~np.array(union)).any(1))
            bound, rest = divmod(int(self._workers[np.array(union)].sum()), self.visits)
            if rest and bound < min(len(inside), self._budget):
                rows.append((inside, bound))
        return rows[:ROUNDING_ROWS]

    def _match(self, action: Action) -> NDArray[np.int64] | None:
        """The worker-slot unit of each visit, (selected arms, visits), or None if there is none.

        A maximum matching of visits and units (Hopcroft-Karp), or, if the visits of an arm are in
        different slots, a maximum flow from arms to slots.
        """
        arms = np.flatnonzero(action)
        if len(arms) > self._budget or not self.selectable[arms].all():
            return None
        if not len(arms):
            return np.zeros((0, self.visits), np.int64)
        if self.visits > 1 and not self.same_slot:
            return self._flow(arms)
        lengths = np.repeat([len(self._units[j]) for j in arms], self.visits)
        indices = np.concatenate([np.tile(self._units[j], self.visits) for j in arms])
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        graph = sparse.csr_matrix(
            (np.ones(len(indices), np.int8), indices, starts),
            shape=(len(lengths), int(self._first_unit[-1])),
        )
        units = csgraph.maximum_bipartite_matching(graph, perm_type="column")
        return None if (units < 0).any() else units.astype(np.int64).reshape(len(arms), self.visits)

    def _flow(self, arms: Indices) -> NDArray[np.int64] | None:
        """As `_match`, for selected arms (n,) whose visits are in different slots.

        The flow: source -> arm (`visits`) -> slot (1) -> sink (workers in the slot).
        """
        count, slots = len(arms), len(self._workers)
        arm, slot = np.nonzero(self._arm_free[arms])
        source, sink = count + slots, count + slots + 1
        tail = np.concatenate([np.full(count, source), arm, count + np.arange(slots)])
        head = np.concatenate([np.arange(count), count + slot, np.full(slots, sink)])
        room = np.concatenate([np.full(count, self.visits), np.ones(len(arm)), self._workers])
        graph = sparse.csr_array(
            (room.astype(np.int32), (tail, head)), shape=(count + slots + 2, count + slots + 2)
        )
        result = csgraph.maximum_flow(sparse.csr_matrix(graph), source, sink)
        if result.flow_value < count * self.visits:
            return None
        table = result.flow[:count, count : count + slots].toarray() > 0
        # the k-th arm of a slot gets the slot's k-th unit
        unit = self._first_unit[:-1] + np.cumsum(table, axis=0) - 1
        units: NDArray[np.int64] = unit[table].astype(np.int64).reshape(count, self.visits)
        return units

    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        units = self._match(action)
        if units is None:
            return None
        table = np.zeros(self._arm_free.shape)
        slots = np.searchsorted(self._first_unit, units, side="right") - 1
        np.add.at(table, (np.repeat(np.flatnonzero(action), self.visits), slots.ravel()), 1.0)
        return table[self._cells()]

    def explain(self, action: Action) -> list[dict[str, Any]]:
        """A row per visit of the arms in `action` (size,), by arm and slot.

        No rows for an infeasible action.
        """
        units = self._match(action)
        if units is None:
            return []
        arm_names = self.arm_names or range(self.size)
        worker_names = self.worker_names or range(len(self._worker_free))
        slot_names = self.slot_names or range(len(self._workers))
        rows = []
        for arm, visits in zip(np.flatnonzero(action).tolist(), units, strict=True):
            for unit in np.sort(visits):
                slot = int(np.searchsorted(self._first_unit, unit, side="right") - 1)
                worker = int(
                    np.flatnonzero(self._worker_free[:, slot])[unit - self._first_unit[slot]]
                )
                rows.append(
                    {
                        "arm": arm_names[arm],
                        "worker": worker_names[worker],
                        "slot": slot_names[slot],
                    }
                )
        return rows


def _availability_table(
    pairs: list[tuple[int, str, str]], names: Sequence[str], slots: list[str]
) -> NDArray[np.bool_]:
    """(names, slots), true for the (line, name, slot) rows of a file."""
    table = np.zeros((len(names), len(slots)), bool)
    for _, name, slot in pairs:
        table[names.index(name), slots.index(slot)] = True
    return table


def _availability(values: ArrayLike, what: str) -> NDArray[np.bool_]:
    """The table (rows, slots) as booleans.

    Raises:
        InfeasibleActionSet: it is no table of 0 and 1, or empty.
    """
    if isinstance(values, np.ndarray | Sequence) and not isinstance(values, str):
        check_size(len(values), what)
        check_size(len(values[0]) if hasattr(values[0], "__len__") else 1, what)
    return checks.truths(values, what, ("rows", "slots"), error=InfeasibleActionSet)
