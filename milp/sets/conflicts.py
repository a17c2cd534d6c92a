"""Why no action is feasible: named rules that cannot all be met, and what to relax.

A deletion filter (Chinneck and Dravnieks 1991, "Locating minimal infeasible constraint sets in
linear programs"): each named rule is left out in turn, and stays out if the others still
conflict. What remains is irreducible: without any one of its rules, the others can be met.
Rules are left out in blocks that grow while the others still conflict.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from worldplan.milp.errors import InfeasibleActionSet, Remedy
from worldplan.milp.program import Floats, Indices, Program
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.sets.named_rows import RowGroup, Side, add_rules
from worldplan.milp.sets.routes.forced import forced_by_rows, route_of
from worldplan.milp.solvers import Solution, SolverSettings, open_session
from worldplan.name_lists import SHOWN, some

_INDEXED = re.compile(r"'(\w+)\[(.*)\]'")
# presolve and heuristics take a second for 10,000 arms, a check without them ten milliseconds
FEASIBILITY = SolverSettings(gap=0.0, quick=True)
TIME_LIMIT = 10.0  # seconds of one search for a conflict


@dataclass(frozen=True)
class Conflict:
    """Rules that cannot all be met.

    Args:
        rules: their names; without any one of them, the others can be met, unless the search was
            cut off.
        remedies: changes each of which alone makes all rules of the day feasible; none if the day
            has another conflict besides.
        not_computed: what the time limit cut off, in words; "" for nothing.
        changes: what relaxes one of the rules, whether that alone is enough or not.
    """

    rules: tuple[str, ...]
    remedies: tuple[str, ...]
    not_computed: str = ""
    changes: tuple[Remedy, ...] = ()

    def sentence(self) -> str:
        """The conflict and its remedies in words."""
        note = f" ({self.not_computed})" if self.not_computed else ""
        if not self.remedies:
            more = note or " (there is another conflict besides)"
            return f"{self.clash()}: relax one of them{more}"
        remedies = _grouped(_together(self.remedies), "loosen '{0}' of one of {1}")
        return f"{self.clash()}: {_listed(remedies, 'or')}{note}"

    def clash(self) -> str:
        """The conflict in words."""
        rules = _listed(_grouped(_together(self.rules), "the rules '{0}' of {1}"), "and")
        return f"{rules} {'cannot be met' if len(self.rules) == 1 else 'cannot all be met'}"

    def error(self, text: str) -> InfeasibleActionSet:
        """An error with this conflict.

        Args:
            text: of its message, with {0} for the sentence.
        """
        message = text.format(self.sentence())
        return InfeasibleActionSet(message, self.rules, self.changes, self.clash())


class _Filter:
    """A set's program in which named rules and forced components can be left out.

    Args:
        actions: the set.
        lower: (components,) 1 where a component is forced in.
        upper: (components,) 0 where it is left out.
        names: of the components.
        deadline: on `time.perf_counter`; a check that is not decided by then counts as feasible.
    """

    def __init__(
        self,
        actions: ActionSet,
        lower: Action,
        upper: Action,
        names: Sequence[str],
        deadline: float,
    ) -> None:
        self.deadline = deadline
        program = Program()
        self._action = program.add_columns(actions.size, 0.0, 1.0, integer=True)
        self.groups = add_rules(actions, program, self._action)
        self._session = open_session(program, FEASIBILITY)
        m = self._session.matrices
        self._row_lower, self._row_upper = m.row_lower.copy(), m.row_upper.copy()
        self._lower, self._upper, self._names = lower, upper, names
        self._route = route_of(actions)
        self._route_rules = {
            number for number, group in enumerate(self.groups) if Remedy("moves") in group.changes
        }
        by_row = {} if self._route is None else forced_by_rows(m, self._action)
        self._forced_by_rules = [
            (number, by_row[row])
            for number, group in enumerate(self.groups)
            for row in group.rows.tolist()
            if row in by_row
        ]
        self.asked: list[int] = np.flatnonzero((lower == 1) | (upper == 0)).tolist()

    def names(self, members: list[int]) -> tuple[str, ...]:
        """Names of rules: the groups come first, then the components that are asked for."""
        every = [group.name for group in self.groups]
        every += [
            f"'{self._names[j]}' {'forced in' if self._lower[j] else 'left out'}"
            for j in self.asked
        ]
        return tuple(dict.fromkeys(every[member] for member in members))

    def feasible(self, members: set[int]) -> bool:
        """Whether these rules can all be met; a check that runs out of time counts as feasible."""
        if self.over:
            return True
        if self._needs_longer_route(members):
            return False
        self._set(members)
        self._session.set_cost(np.arange(len(self._session.matrices.cost)), self._zeros())
        try:
            self._solve()
        except InfeasibleActionSet:
            return False
        return True

    def _needs_longer_route(self, members: set[int]) -> bool:
        """Whether no route that these rules allow passes all that they force in."""
        if self._route is None or not self._route_rules & members:
            return False
        asked = enumerate(self.asked, start=len(self.groups))
        forced = {each for number, each in asked if number in members and self._lower[each]}
        forced |= {each for number, each in self._forced_by_rules if number in members}
        return self._route.least_moves(sorted(forced)) > self._route.moves

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return time.perf_counter() >= self.deadline

    def _solve(self) -> Solution:
        return self._session.solve(time_limit=max(self.deadline - time.perf_counter(), 1e-3))

    def _zeros(self) -> Floats:
        return np.zeros(len(self._session.matrices.cost))

    def _set(self, members: set[int], freed: Sequence[int] = ()) -> None:
        """Leave out all rules but `members`, and the rows `freed`."""
        out: list[Indices] = [
            group.rows for number, group in enumerate(self.groups) if number not in members
        ]
        free = np.concatenate([np.array(freed, np.int64), *out])
        low, high = self._row_lower.copy(), self._row_upper.copy()
        low[free], high[free] = -np.inf, np.inf
        self._session.set_row_bounds(np.arange(len(low)), low, high)
        lower, upper = np.zeros(len(self._action)), np.ones(len(self._action))
        for number, component in enumerate(self.asked, start=len(self.groups)):
            if number in members:
                lower[component] = self._lower[component]
                upper[component] = self._upper[component]
        self._session.set_column_bounds(self._action, lower, upper)

    def remedies(self, member: int, every: set[int]) -> tuple[list[str], list[Remedy]]:
        """What to do about a rule: in words where that alone makes the day feasible, and in all.

        No words where the time limit came before that was decided.
        """
        alone = self.feasible(every - {member}) and not self.over
        if member >= len(self.groups):
            component = self.asked[member - len(self.groups)]
            forced, called = bool(self._lower[component]), self._names[component]
            text = f"{'do not force' if forced else 'do not leave out'} {called}"
            change = Remedy("forced" if forced else "left out", called)
            return [text] if alone else [], [change]
        group = self.groups[member]
        words, changes = list[str](), list(group.changes)
        for side in group.sides:
            amount = self._amount(group, side, every) if alone else None
            if amount is not None:
                words.append(f"{amount:g}".join(side.words))
            if side.remedy.kind != "rule":
                changes.append(replace(side.remedy, amount=amount))
        if alone and not words:
            words.append(f"relax {group.name}")
        return words, changes

    def _amount(self, group: RowGroup, side: Side, every: set[int]) -> float | None:
        """The nearest side of a single row with which all other rows can be met; also where the
        row is one of several of a rule.
        """
        self._set(every, freed=(side.row,))
        m, row = self._session.matrices, side.row
        entries = slice(int(m.starts[row]), int(m.starts[row + 1]))
        columns, values = m.column[entries].astype(np.int64), m.value[entries].copy()
        for limit, way in ((self._row_upper[row], -1.0), (self._row_lower[row], 1.0)):
            if not np.isfinite(limit):
                continue
            cost = self._zeros()
            cost[columns] = way * values
            self._session.set_cost(np.arange(len(cost)), cost)
            try:
                solution = self._solve()
            except InfeasibleActionSet:  # the other rows of the group conflict as well
                return None
            if solution.x is None or solution.status != "optimal":
                return None
            nearest = float(values @ solution.x[columns])
            if way * (nearest - limit) < -1e-6:
                return round(nearest, 6)
        return None


def conflict_of(
    actions: ActionSet,
    lower: Action | None = None,
    upper: Action | None = None,
    names: Sequence[str] | None = None,
    *,
    time_limit: float = TIME_LIMIT,
) -> Conflict | None:
    """Rules of a set, and components forced in or out, that cannot all be met.

    Args:
        actions: the set.
        lower: (components,) 1 where a component is forced in; none unless given.
        upper: (components,) 0 where a component is left out; none unless given.
        names: of the components; their numbers unless given.
        time_limit: seconds of the search.

    Returns:
        A conflict, irreducible unless the time limit cut the search off, or None if there is none
        or none was proven in time.
    """
    deadline = time.perf_counter() + time_limit
    size = actions.size
    filter_ = _Filter(
        actions,
        np.zeros(size, np.int8) if lower is None else lower,
        np.ones(size, np.int8) if upper is None else upper,
        [str(j) for j in range(size)] if names is None else names,
        deadline,
    )
    every = set(range(len(filter_.groups) + len(filter_.asked)))
    if filter_.feasible(every):
        return None
    members = sorted(_reduced(filter_, sorted(every)))
    reduced = not filter_.over
    if reduced:
        # which rules remain depends on the order: the smaller set of two orders
        second = sorted(_reduced(filter_, sorted(every, reverse=True)))
        members = members if filter_.over or len(members) <= len(second) else second
    found = [filter_.remedies(member, every) for member in members]
    cut_off = "" if reduced else "which of them matter"
    if filter_.over:
        cut_off = "remedies" if reduced else f"{cut_off}, and remedies"
    return Conflict(
        filter_.names(members),
        tuple(dict.fromkeys(text for texts, _ in found for text in texts)),
        f"not computed within {time_limit:.3g} s: {cut_off}" if cut_off else "",
        tuple(dict.fromkeys(change for _, changes in found for change in changes)),
    )


def _reduced(filter_: _Filter, order: Sequence[int]) -> set[int]:
    """The deletion filter: rules that still conflict, none of which can be left out.

    After the filter's deadline, rules that were not looked at are kept.
    """
    kept, place, size = set(order), 0, 1
    while place < len(order) and not filter_.over:
        block = order[place : place + size]
        if not filter_.feasible(kept.difference(block)):
            kept.difference_update(block)
            place, size = place + len(block), 2 * size
        elif len(block) == 1:
            place += 1
        else:
            size = len(block) // 2
    return kept


_TOGETHER = re.compile(r"'(.*)' (forced in|left out)|(do not force|do not leave out) (.*)", re.S)


def _together(words: Sequence[str]) -> list[str]:
    """The words, those on more than ten components that are asked for as one."""
    groups: dict[str, list[str]] = {}
    for word in words:
        match = _TOGETHER.fullmatch(word)
        if match:
            groups.setdefault(match[2] or match[3], []).append(match[1] or match[4])
    together: dict[str, None] = {}
    for word in words:
        match = _TOGETHER.fullmatch(word)
        kind = (match[2] or match[3]) if match else ""
        if match is None or len(groups[kind]) <= SHOWN:
            text = word
        elif match[2]:
            text = f"{some(_quoted(groups[kind]))} {kind}"
        else:
            text = f"{kind} one of {some(groups[kind])}"
        together[text] = None
    return list(together)


def _quoted(names: Sequence[str]) -> list[str]:
    return [f"'{name}'" for name in names]


def _grouped(words: Sequence[str], several: str) -> list[str]:
    """The words, those on three or more entries of one indexed constraint as `several`.

    Args:
        words: such as "the rule 'must_visit[Amina]'".
        several: with {0} for the constraint and {1} for the entries.
    """
    entries: dict[str, list[str]] = {}
    for word in words:
        match = _INDEXED.search(word)
        if match:
            entries.setdefault(match[1], []).append(match[2])
    grouped: dict[str, None] = {}
    for word in words:
        match = _INDEXED.search(word)
        many = match is not None and len(entries[match[1]]) > 2
        text = several.format(match[1], some(entries[match[1]])) if match and many else word
        grouped[text] = None
    return list(grouped)


def _listed(words: Sequence[str], last: str) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"
