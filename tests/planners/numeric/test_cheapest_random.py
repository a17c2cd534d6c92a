"""Cheapest plans and their bounds against plain searches, on random tasks with random metrics."""

from __future__ import annotations

import heapq
from dataclasses import replace
from fractions import Fraction
from itertools import count

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.planners.numeric.builders import RANDOM, plain_successors
from tests.planners.numeric.test_milp_random import random_task
from worldplan.planners.numeric.cheapest.lower_bounds import LowerBounds
from worldplan.planners.numeric.cheapest.planner import UnboundedMetric, astar_plan
from worldplan.planners.numeric.milp.planner import milp_plan
from worldplan.planners.numeric.task.task import GroundTask
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Linear, NumericModel, NumericProblem, State
from worldplan.world_models.numeric.execution import is_valid, plan_cost
from worldplan.world_models.numeric.metrics import TOTAL_TIME, Metric

Task = tuple[NumericModel, NumericProblem]
DEPTH = 4
MOST_STATES = 400
SPENT = ("spent",)
PRICES = (0, 1, 1, 2, 5, Fraction(1, 2))


def with_prices(seed: int, *, varying: bool) -> Task:
    """A random task in which every action costs something, in fluent `spent`.

    Args:
        seed: of everything.
        varying: whether prices may depend on the state.
    """
    model, problem = random_task(seed)
    rng = np.random.default_rng(seed)
    actions = {}
    for name, action in model.actions.items():
        fluents = [("energy",), *(("dust", n) for n in range(len(action.parameters)))]
        price = Linear((), PRICES[rng.integers(len(PRICES))])
        if varying and rng.random() < 0.5:
            price = Linear(((fluents[rng.integers(len(fluents))], 1),), price.constant)
        after = Linear(((SPENT, 1), *price.terms), price.constant)
        actions[name] = replace(action, effects=(*action.effects, (SPENT, after)))
    words = replace(model.vocabulary, functions={**model.vocabulary.functions, "spent": ()})
    initial = State(problem.initial.atoms, {**problem.initial.values, SPENT: 0})
    extra = (0, 0, 1, Fraction(1, 3))[rng.integers(4)]
    metric = Metric("minimize", Linear(((SPENT, 1), *(((TOTAL_TIME, extra),) if extra else ()))))
    return NumericModel(words, actions), replace(problem, initial=initial, metric=metric)


@st.composite
def tasks_with_metrics(draw: st.DrawFn) -> Task:
    """A random task, whose metric may fall, rise, depend on the state, or count the steps."""
    model, problem = with_prices(draw(st.integers(0, 10**9)), varying=draw(st.booleans()))
    fluents = [*sorted(problem.initial.values), SPENT, TOTAL_TIME, TOTAL_TIME]
    weights = st.sampled_from([1, 1, 2, -1, Fraction(1, 2), Fraction(-1, 3)])
    terms = draw(st.dictionaries(st.sampled_from(fluents), weights, max_size=3))
    expression = Linear(tuple(terms.items()), draw(st.sampled_from([0, 3, -1])))
    metric = Metric(draw(st.sampled_from(["minimize", "minimize", "maximize"])), expression)
    return model, replace(problem, metric=metric)


def without(state: State, fluent: tuple[str, ...]) -> State:
    return State(state.atoms, {f: v for f, v in state.values.items() if f != fluent})


def cheapest(model: NumericModel, problem: NumericProblem) -> tuple[Rational | None, bool]:
    """The cost of a cheapest plan by uniform-cost search over whole states, without what is paid;
    and whether the search was complete.
    """
    assert problem.metric is not None
    tie, done = count(), set()
    waiting: list[tuple[Rational, int, int, State]] = [
        (problem.metric.value(problem.initial.values, 0), next(tie), 0, problem.initial)
    ]
    while waiting:
        cost, _, steps, state = heapq.heappop(waiting)
        if problem.goal.holds(state):
            return cost, True
        if without(state, SPENT) in done:
            continue
        done.add(without(state, SPENT))
        if len(done) > MOST_STATES:
            return None, False
        for after in plain_successors(model, problem, state).values():
            value = problem.metric.value(after.values, steps + 1)
            heapq.heappush(waiting, (value, next(tie), steps + 1, after))
    return None, True


def best_within(
    model: NumericModel, problem: NumericProblem, depth: int
) -> tuple[Rational | None, bool]:
    """The best signed metric of all plans with at most `depth` actions, one by one; and whether
    these are all of them.
    """
    assert problem.metric is not None
    best: Rational | None = None
    frontier = {problem.initial}
    for steps in range(depth + 1):
        for state in frontier:
            if problem.goal.holds(state):
                value = problem.metric.sign * problem.metric.value(state.values, steps)
                best = value if best is None else min(best, value)
        frontier = {
            after
            for state in frontier
            for after in plain_successors(model, problem, state).values()
        }
        if len(frontier) > MOST_STATES:
            return best, False
    return best, True


@RANDOM
@given(st.integers(0, 10**9))
def test_the_cheapest_plan_costs_what_uniform_cost_search_finds(seed: int) -> None:
    model, problem = with_prices(seed, varying=False)
    cost, complete = cheapest(model, problem)
    assume(complete)
    result = astar_plan(model, problem, time_limit=20)
    if cost is None:
        assert result.status == "unsolvable"
        return
    assert result.status == "optimal"
    assert result.plan is not None
    assert is_valid(model, problem, result.plan)
    assert plan_cost(model, problem, result.plan) == result.cost == result.bound == cost


@RANDOM
@given(tasks_with_metrics())
def test_no_plan_of_few_actions_is_better_than_the_bound(task: Task) -> None:
    model, problem = task
    assert problem.metric is not None
    best, complete = best_within(model, problem, DEPTH)
    sign = problem.metric.sign
    try:
        result = astar_plan(model, problem, time_limit=0.5)
    except UnboundedMetric:
        return
    assert best is None or result.status != "unsolvable"
    if result.bound is not None and best is not None:
        assert sign * result.bound <= best
    if result.plan is not None:
        assert is_valid(model, problem, result.plan)
        assert plan_cost(model, problem, result.plan) == result.cost
        if result.status == "optimal":
            assert result.bound == result.cost
            assert best is None or sign * result.cost <= best
            if complete and len(result.plan) <= DEPTH:
                assert sign * result.cost == best


@RANDOM
@given(st.integers(0, 10**9))
def test_bounds_of_all_states_hold(seed: int) -> None:
    model, problem = with_prices(seed, varying=False)
    ground = GroundTask(model, problem, with_costs=True)
    if ground.unreachable:
        return
    bounds = LowerBounds(ground)
    frontier = {problem.initial}
    for _ in range(3):
        for state in frontier:
            cost, complete = cheapest(model, replace(problem, initial=state))
            if complete:
                still = bounds.still_to_pay(ground.encode(state))
                assert problem.metric is not None
                paid = problem.metric.value(state.values, 0)
                assert cost is None or still <= cost - paid
        frontier = {
            after
            for state in frontier
            for after in plain_successors(model, problem, state).values()
        }
        frontier = set(list(frontier)[:10])


@RANDOM
@given(tasks_with_metrics())
def test_the_best_plan_of_few_actions_by_programs_is_the_one_of_brute_force(task: Task) -> None:
    model, problem = task
    assert problem.metric is not None
    best, complete = best_within(model, problem, 3)
    assume(complete)
    result = milp_plan(model, problem, max_horizon=3, time_limit=20)
    sign = problem.metric.sign
    assert (result.plan is None) == (best is None)
    if result.plan is not None:
        assert is_valid(model, problem, result.plan)
        assert plan_cost(model, problem, result.plan) == result.cost
        assert result.cost is not None and sign * result.cost == best
    longer, _ = best_within(model, problem, DEPTH)
    if longer is not None and result.bound is not None:
        assert sign * result.bound <= longer
    if result.status == "optimal":
        assert longer == best
