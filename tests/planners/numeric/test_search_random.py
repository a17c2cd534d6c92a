"""The ground task, the searches and the estimate against plain definitions, on random tasks."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.planners.numeric.builders import RANDOM, plain_successors, tasks
from worldplan.planners.numeric.search.heuristic import RelaxedPlanHeuristic
from worldplan.planners.numeric.search.search import search_plan
from worldplan.planners.numeric.task.intervals import reachable_box
from worldplan.planners.numeric.task.task import GroundTask
from worldplan.world_models.numeric.domain import (
    Goal,
    NumericModel,
    NumericProblem,
    State,
)
from worldplan.world_models.numeric.execution import is_valid

MOST_STATES = 60


@dataclass
class Plain:
    """The result of a plain breadth-first search: depth and successors of each state, and whether
    these are all reachable states.
    """

    depth: dict[State, int]
    edges: dict[State, list[State]]
    complete: bool

    def __init__(self, model: NumericModel, problem: NumericProblem) -> None:
        self.depth, self.edges, self.complete = {problem.initial: 0}, {}, True
        unexplored = deque([problem.initial])
        while unexplored:
            state = unexplored.popleft()
            if len(self.depth) > MOST_STATES:
                self.complete = False
                return
            self.edges[state] = list(plain_successors(model, problem, state).values())
            for after in self.edges[state]:
                if after not in self.depth:
                    self.depth[after] = self.depth[state] + 1
                    unexplored.append(after)

    def reaching(self, goal: Goal) -> set[State]:
        """The visited states from which a visited goal state is reachable."""
        before: dict[State, list[State]] = {}
        for state, following in self.edges.items():
            for after in following:
                before.setdefault(after, []).append(state)
        reaching = {state for state in self.depth if goal.holds(state)}
        unexplored = list(reaching)
        while unexplored:
            for state in before.get(unexplored.pop(), ()):
                if state not in reaching:
                    reaching.add(state)
                    unexplored.append(state)
        return reaching


@RANDOM
@given(tasks(), st.integers(0, 10**6))
def test_the_ground_task_allows_what_the_definition_allows_along_random_walks(
    task: tuple[NumericModel, NumericProblem], seed: int
) -> None:
    model, problem = task
    ground = GroundTask(model, problem)
    state, chooser = problem.initial, random.Random(seed)
    for _ in range(6):
        node = ground.encode(state)
        ours = {ground.actions[number].name: after for number, after in ground.successors(node)}
        truth = plain_successors(model, problem, state)
        assert ours == {name: ground.encode(after) for name, after in truth.items() if name in ours}
        # what is left out changes nothing that is kept
        assert all(
            ground.encode(after) == node for name, after in truth.items() if name not in ours
        )
        for number, action in enumerate(ground.actions):
            assert ground.apply(number, node) == ours.get(action.name)
        assert ground.is_goal(node) == problem.goal.holds(state)
        if not truth:
            break
        state = truth[chooser.choice(sorted(truth))]


@RANDOM
@given(tasks())
def test_searches_agree_with_plain_breadth_first_search(
    task: tuple[NumericModel, NumericProblem],
) -> None:
    model, problem = task
    plain = Plain(model, problem)
    goals = [depth for state, depth in plain.depth.items() if problem.goal.holds(state)]
    assume(goals or plain.complete)
    shortest, greedy = (
        search_plan(model, problem, method=method, time_limit=20)
        for method in ("breadth_first", "greedy")
    )
    if not goals:
        assert (shortest.status, greedy.status) == ("unsolvable", "unsolvable")
        return
    assert (
        shortest.status == "optimal"
        and shortest.plan is not None
        and len(shortest.plan) == min(goals)
    )
    assert is_valid(model, problem, shortest.plan)
    assert greedy.status != "unsolvable"
    if plain.complete:
        assert (
            greedy.status == "satisficing"
            and greedy.plan is not None
            and is_valid(model, problem, greedy.plan)
        )
        assert len(greedy.plan) >= min(goals)


@RANDOM
@given(tasks())
def test_the_estimate_is_finite_wherever_a_plan_exists_and_bounds_hold(
    task: tuple[NumericModel, NumericProblem],
) -> None:
    model, problem = task
    plain, ground = Plain(model, problem), GroundTask(model, problem)
    reaching = plain.reaching(problem.goal)
    assert not reaching or not ground.unreachable
    box = reachable_box(ground)
    for state in plain.depth:
        values = ground.encode(state)[1]
        assert all(
            value is None or low <= value <= high
            for value, (low, high) in zip(values, box, strict=True)
        )
    if not ground.unreachable:
        heuristic = RelaxedPlanHeuristic(ground)
        for state in plain.depth:
            estimate = heuristic(ground.encode(state))
            assert state not in reaching or estimate.cost < math.inf
            if problem.goal.holds(state):
                assert estimate.cost == 0
