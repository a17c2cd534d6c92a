"""The bound over the convex hull: against a plain linear program over all actions, and exact
dynamic programming.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools

import networkx as nx
import numpy as np
import pytest
from scipy.optimize import linprog

from tests.planners.bandits.builders import feasible, random_dynamics
from tests.planners.bandits.test_bounds_are_bounds import instance_of_kind, optimum
from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.path import Path
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits import hull
from worldplan.planners.bandits.bounds import make_bound
from worldplan.planners.bandits.fluid import FluidBound
from worldplan.planners.bandits.hull import HullBound
from worldplan.planners.bandits.observations import one_hot

KINDS = ("exactly", "capacity", "schedule", "path")


def plain_hull(instance: BanditInstance, start: np.ndarray, steps: int) -> float:
    """The discounted fluid optimum over mixtures of all feasible actions, as one dense linear
    program; arms count while `steps - t` exceeds their own late steps.
    """
    late = np.zeros(instance.dynamics.arms) if instance.late is None else instance.late
    model, actions = instance.dynamics, feasible(instance)
    arms, states = model.arms, model.states
    shape, mixtures = (steps, arms, states, 2), steps * len(actions)
    at = np.arange(np.prod(shape)).reshape(shape)
    share = at.size + np.arange(mixtures).reshape(steps, len(actions))
    cost = np.zeros(at.size + mixtures)
    rows, right = [], []
    for t, j, s in itertools.product(range(steps), range(arms), range(states)):
        row = np.zeros(len(cost))
        row[at[t, j, s]] = 1.0
        for before, k in itertools.product(range(states), range(2)):
            if t:
                row[at[t - 1, j, before, k]] = -model.transition[j, k, before, s]
        for k in range(2):
            earned = model.transition[j, k, s] @ model.reward[j]
            cost[at[t, j, s, k]] = instance.discount**t * earned * (steps - t > late[j])
        rows.append(row)
        right.append(0.0 if t else start[j, s])
    for t in range(steps):
        row = np.zeros(len(cost))
        row[share[t]] = 1.0
        rows.append(row)
        right.append(1.0)
        for j in range(arms):
            row = np.zeros(len(cost))
            row[at[t, j, :, 1]], row[share[t]] = 1.0, -actions[:, j]
            rows.append(row)
            right.append(0.0)
    return -float(linprog(-cost, A_eq=np.array(rows), b_eq=right).fun)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_a_linear_program_over_all_actions(kind: str) -> None:
    for seed in range(4):
        generator = np.random.default_rng(seed)
        instance = instance_of_kind(kind, generator)
        bound, exact = HullBound(instance, gap=1e-6), optimum(instance)
        for _ in range(2):
            state = generator.integers(0, instance.dynamics.states, instance.dynamics.arms)
            left = int(generator.integers(1, instance.horizon + 1))
            value = bound.from_state(state, left)
            start = one_hot(state, instance.dynamics.states)
            assert value == pytest.approx(plain_hull(instance, start, left), abs=1e-5)
            assert exact[(left, *state)] - 1e-6 <= value
            assert value <= FluidBound(instance).from_state(state, left) + 1e-5


def star(seed: int, horizon: int = 4) -> BanditInstance:
    """A tree with two branches of which a walk serves one: half of each is in the relaxation."""
    graph = nx.Graph([(0, 1), (1, 2), (0, 3), (3, 4)])
    dynamics = random_dynamics(np.random.default_rng(seed), 5, 2)
    return BanditInstance(dynamics, Path(graph, 0, 4, 2), horizon, np.full((5, 2), 0.5))


@pytest.mark.parametrize("seed", range(4))
def test_every_early_stop_is_a_bound(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = star(seed)
    exact, plain = optimum(instance), plain_hull(instance, instance.initial, 4)
    for rounds in (0, 1, 3):
        monkeypatch.setattr(hull, "ROUNDS", rounds)
        bound = HullBound(instance)
        found = bound.solve()
        assert found.bound >= plain - 1e-6
        tables = bound.value_tables()
        for state in itertools.product(range(2), repeat=5):
            for left in (2, 4):
                value = tables.table[left, np.arange(5), state].sum() + tables.constant[left]
                assert value >= exact[(left, *state)] - 1e-6
                assert bound.from_state(state, left) >= exact[(left, *state)] - 1e-6


@pytest.mark.parametrize("limit", [1e-9, 1e-3])
def test_a_search_cut_off_by_its_time_limit_is_a_bound(limit: float) -> None:
    instance = star(0)
    bound = HullBound(instance)
    bound.settings = SolverSettings(time_limit=limit)  # the linear programs keep their own
    found, exact = bound.solve(), optimum(instance)
    assert found.limited
    for state in itertools.product(range(2), repeat=5):
        value = bound.from_state(state, 4)
        assert (
            exact[(4, *state)] - 1e-6 <= value <= FluidBound(instance).from_state(state, 4) + 1e-6
        )


def test_the_prices_of_the_first_search_bound_every_start() -> None:
    instance = star(2)
    quick, exact = make_bound(instance, SolverSettings()), optimum(instance)
    assert isinstance(quick, HullBound) and not quick.refine
    fluid, tight = FluidBound(instance), HullBound(instance)
    values = []
    for state in itertools.product(range(2), repeat=5):
        for left in (2, 4):
            value = quick.from_state(np.array(state), left)
            assert exact[(left, *state)] - 1e-6 <= value
            assert value <= fluid.from_state(np.array(state), left) + 1e-6
        values.append((value, tight.from_state(np.array(state))))
    quick_mean, tight_mean = np.mean(values, axis=0)
    assert tight_mean - 1e-3 <= quick_mean <= tight_mean + 0.05


def test_a_used_bound_equals_a_fresh_one() -> None:
    instance = star(1)
    used, generator = HullBound(instance), np.random.default_rng(0)
    for _ in range(6):
        state, left = generator.integers(0, 2, 5), int(generator.integers(1, 5))
        assert used.from_state(state, left) == HullBound(instance).from_state(state, left)
        assert copy.deepcopy(used).from_state(state, left) == used.from_state(state, left)


def test_the_bound_of_a_path_is_tighter_and_scales_with_the_rewards() -> None:
    instance = generate("path", 12, 3, seed=1, horizon=8)
    fluid, tight = FluidBound(instance), HullBound(instance)
    state = instance.draw_start(np.random.default_rng(0), 1)[0]
    value = tight.from_state(state)
    assert value < 0.995 * fluid.from_state(state)
    model = instance.dynamics
    for factor, constant in ((1e-7, 0.0), (1e7, 0.0), (1.0, 1e5)):
        dynamics = dataclasses.replace(model, reward=factor * model.reward + constant)
        other = HullBound(dataclasses.replace(instance, dynamics=dynamics))
        expected = factor * value + 8 * 12 * constant
        assert other.from_state(state) == pytest.approx(expected, abs=2e-3 * factor * value)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="several interventions"):
        HullBound(generate("interventions", 6, 2))
    with pytest.raises(ConfigError, match="gap is 0"):
        HullBound(generate("path", 6, 2), gap=0.0)
