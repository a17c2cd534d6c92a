"""A budget with arms forced in or out is decided as a budget: by prices and by sorting."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from worldplan.envs.bandits.domains import generate
from worldplan.milp.errors import InfeasibleActionSet
from worldplan.milp.sets.base import Budget
from worldplan.milp.sets.fixed import Fixed, budget_of
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bounds import make_bound
from worldplan.planners.bandits.lagrangian import LagrangianBound, LagrangianPlanner
from worldplan.planners.bandits.level_maximiser import LevelMaximiser
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.planners.bandits.reasons.problem import SortedProblem, additive_problem


def drawn(seed, arms=6, horizon=3):
    """A programme whose budget has up to two arms forced in, absent, and gone for good."""
    generator = np.random.default_rng(seed)
    most = int(generator.integers(2, 4))
    instance = generate("budget", arms, most, seed=seed, horizon=horizon)
    order = generator.permutation(arms)
    masks = np.zeros((3, arms), bool)
    for mask, part in zip(masks, (order[:1], order[1:2], order[2 : 2 + seed % 3]), strict=True):
        mask[part] = True
    budget = Budget(arms, most, exactly=bool(seed % 2) and seed % 3 == 0)
    return dataclasses.replace(instance, actions=Fixed(budget, *masks)), masks, generator


def occupancy_optimum(instance, budgets, start, fixed, never):
    """The fluid optimum as one linear program over x[t, j, s, k], by SciPy."""
    model, steps = instance.dynamics, len(budgets)
    shape = (steps, model.arms, model.states, 2)
    index = np.arange(np.prod(shape)).reshape(shape)
    reward = np.tile(model.one_step().transpose(0, 2, 1)[None], (steps, 1, 1, 1))
    flow, mass, rows, limits = [], [], [], []
    for t, j, s in itertools.product(range(steps), range(model.arms), range(model.states)):
        row = np.zeros(index.size)
        row[index[t, j, s]] = 1
        if t:
            row[index[t - 1, j]] -= model.transition[j, :, :, s].T
        flow.append(row)
        mass.append(0.0 if t else start[j, s])
    upper = np.full(shape, 1.0)
    for j in range(model.arms):
        if fixed[j] >= 0:
            upper[0, j, :, 1 - fixed[j]] = 0
        if never[j]:
            upper[1:, j, :, 1] = 0
    for t, budget in enumerate(budgets):
        row = np.zeros(index.size)
        row[index[t, :, :, 1]] = 1
        rows.append(row)
        limits.append(budget.most)
        if budget.least:
            rows.append(-row)
            limits.append(-budget.least)
    ends = list(zip(np.zeros(index.size), upper.ravel(), strict=True))
    return -linprog(-reward.ravel(), rows, limits, flow, mass, bounds=ends).fun


@pytest.mark.parametrize("seed", range(12))
def test_the_bound_by_prices_is_the_fluid_optimum(seed):
    instance, (never, absent, forced), generator = drawn(seed)
    arms = instance.dynamics.arms
    start = np.eye(instance.dynamics.states)[generator.integers(0, instance.dynamics.states, arms)]
    fixed = np.where(forced, 1, np.where(absent | never, 0, -1))
    later = instance.actions.inner
    if seed % 2:
        later = Budget(arms, later.most + 1)
    nobody = np.zeros(arms, bool)
    bound = LagrangianBound(instance, later=Fixed(later, never, nobody, nobody), gap=1e-9)
    budgets = [instance.actions.inner, later, later]
    best = occupancy_optimum(instance, budgets, start, fixed, never)
    assert bound.from_distribution(start) == pytest.approx(best, rel=1e-6)
    observation = {"state": start.argmax(1), "steps_left": 3}
    planner = LagrangianPlanner(instance, later=Fixed(later, never, nobody, nobody), gap=1e-9)
    decision = planner.plan(observation)
    assert instance.actions.contains(decision.action)
    assert decision.value <= best + 1e-6 <= decision.bound + 2e-6 * abs(best)


@pytest.mark.parametrize("seed", range(12))
def test_the_best_of_a_fixed_budget_is_that_of_all_actions(seed):
    instance, _, generator = drawn(seed)
    table = np.array(list(itertools.product((0, 1), repeat=6)), np.int8)
    table = table[[instance.actions.contains(action) for action in table]]
    values = generator.normal(size=(6, 2))
    gains = values[:, 1] - values[:, 0]
    best = float((table @ gains).max())
    decision = LevelMaximiser(instance).maximise(values)
    assert decision.value - values[:, 0].sum() == pytest.approx(best)
    assert instance.actions.contains(decision.action)
    problem = additive_problem(instance, instance.actions, values, SolverSettings())
    assert isinstance(problem, SortedProblem)
    for component, forced in itertools.product(range(6), (0, 1)):
        lower, upper = np.zeros(6, np.int8), np.ones(6, np.int8)
        (lower if forced else upper)[component] = forced
        rest = table[table[:, component] == forced]
        if len(rest):
            answer = problem.solve(lower, upper, 1.0)
            assert answer.value == pytest.approx(float((rest @ gains).max()))
            assert instance.actions.contains(answer.action)
        else:
            with pytest.raises(InfeasibleActionSet):
                problem.solve(lower, upper, 1.0)


def test_many_arms_with_a_few_fixed_are_decided_by_prices():
    arms = 1200
    instance = generate("budget", arms, 100, seed=0, horizon=4)
    never, absent, forced = (np.arange(arms) == place for place in (3, 4, 5))
    actions = Fixed(
        Fixed(instance.actions, never, absent, ~never & absent & ~absent), never, absent, forced
    )
    instance = dataclasses.replace(instance, actions=actions)
    assert budget_of(actions) is not None
    assert isinstance(make_bound(instance, SolverSettings()), LagrangianBound)
    planner = make_policy("fluid", PolicyContext(instance))
    assert isinstance(planner, LagrangianPlanner)
    decision = planner.plan({"state": np.zeros(arms, int), "steps_left": 4})
    assert actions.contains(decision.action)
    assert decision.action[[3, 4, 5]].tolist() == [0, 0, 1] and decision.gap < 0.01
