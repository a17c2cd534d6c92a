"""The distance of a state from the goal: additive costs of facts in the delete relaxation, and a
relaxed plan extracted from them.

Sources: h_add (Bonet and Geffner, Artificial Intelligence 2001); the relaxed plan of FF (Hoffmann
and Nebel, JAIR 2001) with the best supporters of h_add; for numeric conditions, the number of
repetitions of an action after Scala et al. (subgoaling, JAIR 2020). Numeric goals that share
fluents are replaced by the moves to their nearest joint solution (`GoalPoint`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from worldplan.planners.numeric.search.facts import FactTable, fact_table
from worldplan.planners.numeric.search.goal_point import GoalPoint
from worldplan.planners.numeric.task.rules import Form, Value, defined_value, holds
from worldplan.planners.numeric.task.task import GroundTask, Node
from worldplan.world_models.exact.numbers import Rational

ROUNDING = 1e-9  # relative; the sign of a form closer to zero than this is computed exactly
EXACT_FLOATS = 2.0**52  # integers up to this size are exact as floats
MOST_REPETITIONS = 10_000  # of one action in a row
HUGE = 1e300  # larger values are clipped to this in estimates


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a state.

    Args:
        cost: length of the relaxed plan; infinite if the goal is certainly unreachable.
        preferred: numbers of the actions of the relaxed plan whose preconditions hold already, and
            how often the relaxed plan applies each.
    """

    cost: float
    preferred: Mapping[int, int]


_HOPELESS = Estimate(math.inf, {})


class RelaxedPlanHeuristic:
    """Estimates the distance of reachable states from the goal.

    Args:
        task: the ground task.
        check: called often during the compilation; it ends the compilation by raising.
    """

    def __init__(self, task: GroundTask, check: Callable[[], None] = lambda: None) -> None:
        table = fact_table(task, check)
        self._bytes = max(1, -(-len(task.atoms) // 8))
        self._facts, self._first_number, self._move_count = (
            table.count,
            table.first_number,
            len(table.moves),
        )
        self._positive = np.array(list(table.positive), dtype=np.intp)
        self._negative = np.array(list(table.negative), dtype=np.intp)
        self._numeric = _NumericFacts(task, table)
        self._goal = table.goal
        self._goal_point: GoalPoint | None = None
        if table.moves and table.goal is not None:
            achievable = {achiever.fact for achiever in table.achievers}
            movable = {move for move, number in table.moves.items() if number in achievable}
            up, down = (
                {place for place, sign in movable if sign == direction} for direction in (1, -1)
            )
            self._goal_point = GoalPoint(task.goal_conditions, table.box, up, down)
            self._joint_goal = [fact for fact in table.goal if fact < self._first_number] + list(
                table.moves.values()
            )
        self._preconditions = [facts or [] for facts in table.preconditions]
        starts = np.cumsum([0, *map(len, self._preconditions)])
        needed = np.array([fact for facts in self._preconditions for fact in facts], dtype=np.intp)
        self._needs = csr_matrix(
            (np.ones(len(needed)), needed, starts),
            shape=(len(self._preconditions), self._facts + 1),
        )
        self._set_achievers(table)

    def _set_achievers(self, table: FactTable) -> None:
        """Arrays over achievers, sorted by the fact that they make true.

        Fact number `_facts` stands for "no fact"; its cost is 0.
        """
        achievers = sorted(table.achievers, key=lambda achiever: achiever.fact)
        self._fact_of = np.array([achiever.fact for achiever in achievers], dtype=np.intp)
        self._heads, self._starts = np.unique(self._fact_of, return_index=True)
        self._lengths = np.diff([*self._starts, len(achievers)])
        self._action_list = [achiever.action for achiever in achievers]
        self._extra_list = [
            achiever.extra if achiever.extra >= 0 else self._facts for achiever in achievers
        ]
        self._actions, self._extras = (
            np.array(self._action_list, dtype=np.intp),
            np.array(self._extra_list, dtype=np.intp),
        )
        self._has_extras = bool((self._extras < self._facts).any())
        self._stepped = np.array(
            [number for number, achiever in enumerate(achievers) if achiever.step is not None],
            dtype=np.intp,
        )
        self._stepped_row = self._fact_of[self._stepped] - self._first_number
        self._steps = np.array([float(achievers[number].step or 0) for number in self._stepped])
        growths = [
            (row, growth)
            for row, number in enumerate(self._stepped)
            if (growth := achievers[number].growth) is not None
        ]
        self._growing = np.array([row for row, _ in growths], dtype=np.intp)
        self._growth, self._growth_constant = _matrix(
            [growth for _, growth in growths], self._numeric.width
        )

    @property
    def count(self) -> int:
        """How many estimates a state has: 2 with numeric goals that share fluents, else 1."""
        return 1 if self._goal_point is None else 2

    def __call__(self, node: Node) -> Estimate:
        """The estimate of a reachable state: the last one of `estimates`."""
        return self.estimates(node)[-1]

    def estimates(self, node: Node) -> list[Estimate]:
        """The estimates of a reachable state: by the gap of each goal; where goals share fluents,
        also by the moves to their nearest joint solution.

        Either may mislead where the other does not: an action that raises one fluent of a sum and
        lowers another is no move, and an action that closes one gap may open the next. A state
        whose first estimate is infinite cannot reach the goal.
        """
        if self._goal is None:
            return [_HOPELESS] * self.count
        # forms whose values are too large for floats are evaluated exactly
        with np.errstate(over="ignore", invalid="ignore"):
            cost, times, joint = self._start(node)
        offer, action_cost = self._relax(cost, times)
        if np.isinf(cost[self._goal]).any():
            return [_HOPELESS] * self.count
        by_gaps = self._relaxed_plan(self._goal, cost, times, offer, action_cost)
        if self._goal_point is None:
            return [by_gaps]
        # the moves may be unreachable although the goal is not: it may have another joint solution
        if not joint or np.isinf(cost[self._joint_goal]).any():
            return [by_gaps, by_gaps]
        return [
            by_gaps,
            self._relaxed_plan(self._joint_goal, cost, times, offer, action_cost),
        ]

    def _start(self, node: Node) -> tuple[np.ndarray, np.ndarray, bool]:
        """Initial costs of the facts and repetitions of the achievers in a state.

        Returns:
            Costs of the facts (facts + 1,), 0 or infinite; number of applications of each achiever
            (achievers,); whether the moves to a joint goal solution are set.
        """
        bits, values = node
        cost = np.full(self._facts + 1, math.inf)
        cost[-1] = 0.0
        true = np.unpackbits(
            np.frombuffer(bits.to_bytes(self._bytes, "little"), dtype=np.uint8), bitorder="little"
        )
        positive = len(self._positive)
        cost[:positive][true[self._positive] == 1] = 0.0
        cost[positive : self._first_number][true[self._negative] == 0] = 0.0
        times = np.ones(len(self._actions))
        if not self._numeric.count and not self._move_count:
            return cost, times, False
        x = self._numeric.floats(values)
        level, holding = self._numeric.levels(values, x)
        distance = self._goal_point(x) if self._goal_point is not None else None
        if distance is not None:
            # in the order of FactTable.moves: up, down, up, ...
            moves = np.column_stack([distance, -distance]).ravel()
            level = np.concatenate([-np.maximum(moves, 0.0), level])
            holding = np.concatenate([moves <= ROUNDING, holding])
        elif self._move_count:
            level = np.concatenate([np.zeros(self._move_count), level])
            holding = np.concatenate([np.ones(self._move_count, dtype=bool), holding])
        cost[self._first_number : -1][holding] = 0.0
        if len(self._stepped):
            steps = self._steps
            if len(self._growing):
                steps = steps.copy()
                steps[self._growing] = np.fmax(
                    steps[self._growing], self._growth @ x + self._growth_constant
                )
            times[self._stepped] = np.fmax(
                1.0, np.ceil(-level[self._stepped_row] / steps - ROUNDING)
            )
        return cost, times, distance is not None

    def _relax(self, cost: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower the costs of the facts to the fixpoint, in place.

        Args:
            cost: costs of the facts (facts + 1,).
            times: number of applications of each achiever (achievers,).

        Returns:
            The cost by each achiever (achievers,) and of each action's precondition (actions,).
        """
        while True:
            action_cost = self._needs @ cost
            offer = action_cost[self._actions] + times
            if self._has_extras:
                offer += cost[self._extras]
            if not len(offer):
                return offer, action_cost
            cheapest, current = np.minimum.reduceat(offer, self._starts), cost[self._heads]
            if (cheapest >= current).all():
                return offer, action_cost
            cost[self._heads] = np.minimum(cheapest, current)

    def _relaxed_plan(
        self,
        goal: list[int],
        cost: np.ndarray,
        times: np.ndarray,
        offer: np.ndarray,
        action_cost: np.ndarray,
    ) -> Estimate:
        """Collect the cheapest achievers of the goal and of the facts that they need.

        An action counts as often as in its most demanding use.

        Args:
            goal: fact numbers.
            cost: costs of the facts (facts + 1,).
            times: number of applications of each achiever (achievers,).
            offer: cost by each achiever (achievers,).
            action_cost: cost of each action's precondition (actions,).
        """
        costs = cost.tolist()
        cheapest = np.flatnonzero(offer == np.repeat(cost[self._heads], self._lengths))
        supporter = dict(zip(self._fact_of[cheapest].tolist(), cheapest.tolist(), strict=True))
        used: dict[int, float] = {}
        open_facts = [fact for fact in goal if costs[fact] > 0]
        expanded_facts = set(open_facts)
        while open_facts:
            achiever = supporter[open_facts.pop()]
            action = self._action_list[achiever]
            needed_facts = [] if action in used else self._preconditions[action]
            used[action] = max(used.get(action, 0.0), float(times[achiever]))
            for needed_fact in (*needed_facts, self._extra_list[achiever]):
                if needed_fact not in expanded_facts and costs[needed_fact] > 0:
                    expanded_facts.add(needed_fact)
                    open_facts.append(needed_fact)
        return Estimate(
            float(sum(used.values())),
            {
                action: int(min(times, MOST_REPETITIONS))
                for action, times in used.items()
                if action_cost[action] == 0
            },
        )


class _NumericFacts:
    """The numeric facts as a matrix, and which of them hold, decided exactly.

    Args:
        task: the ground task.
        table: its facts.
    """

    def __init__(self, task: GroundTask, table: FactTable) -> None:
        self.width, self.count = max(1, len(task.fluents)), len(table.numeric)
        self._facts = list(table.numeric)
        self._weights, self._constants = _matrix([form for form, _ in self._facts], self.width)
        self._strict = np.array([strict for _, strict in self._facts], dtype=bool)
        self._norms, self._offsets = np.abs(self._weights).sum(axis=1), np.abs(self._constants)
        is_integral = table.is_integral and all(isinstance(form[1], int) for form, _ in self._facts)
        self._safe = (
            (EXACT_FLOATS - self._offsets.max(initial=0.0)) / max(1.0, self._norms.max(initial=0.0))
            if is_integral
            else -1.0
        )

    def floats(self, values: tuple[Value, ...]) -> np.ndarray:
        """The values as floats (fluents,); 0 where undefined."""
        try:
            x = np.array(values or (0.0,), dtype=float)
        except OverflowError:
            x = np.array(
                [None if value is None else _float(value) for value in values], dtype=float
            )
        floats: np.ndarray = np.nan_to_num(x)
        return floats

    def levels(self, values: tuple[Value, ...], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The value of each form as a float (numeric facts,), and whether each fact holds (numeric
        facts,).

        The truth values are exact: forms whose sign floats could get wrong are evaluated exactly.

        Args:
            values: the exact values.
            x: the same as floats (fluents,).
        """
        level = self._weights @ x + self._constants
        holding = np.where(self._strict, level > 0, level >= 0)
        largest = np.abs(x).max()
        if largest > self._safe:
            is_certain = np.abs(level) > ROUNDING * (self._norms * largest + self._offsets)
            for row in np.flatnonzero(~is_certain).tolist():
                form, strict = self._facts[row]
                value = defined_value(form, values)
                holding[row] = value is not None and holds(value, ">" if strict else ">=")
        if None in values:
            undefined = np.array([value is None for value in values])
            holding &= ~((self._weights != 0) @ undefined)
        return level, holding


def _matrix(forms: list[Form], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (forms, width) and constants (forms,)."""
    weights = np.zeros((len(forms), width))
    for row, (terms, _) in enumerate(forms):
        for place, coefficient in terms:
            weights[row, place] = _float(coefficient)
    return weights, np.array([_float(constant) for _, constant in forms])


def _float(number: Rational) -> float:
    return float(max(-HUGE, min(HUGE, number)))
