"""The plane: the edge of reach and the oracle against brute force."""

import itertools

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.envs.edge_of_reach import Plane, PlaneDynamics, PlaneEnv, PlaneVectorEnv
from worldplan.milp.errors import ConfigError


def test_edge_is_what_the_fastest_rollouts_reach_last():
    """Walk outward at full speed from every corner: exactly the last of k states is at the edge."""
    plane, horizon = Plane(start=2.0, step=1.0), 10
    for corner in itertools.product((-2.0, 2.0), repeat=2):
        state = torch.tensor(corner)
        for step in range(1, horizon + 1):
            state = plane.move(state, 5 * state)
            assert bool(plane.is_edge(state, horizon)) == (step == horizon)
    assert not bool(plane.is_edge(torch.tensor([12.5, 0.0]), horizon)), (
        "beyond reach is not at its edge"
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**31))
def test_no_rollout_meets_the_edge_before_its_last_step(horizon, seed):
    plane, generator = Plane(), torch.Generator().manual_seed(seed)
    state = plane.starts(200, generator).double()
    for step in range(1, horizon + 1):
        state = plane.move(state, torch.rand(state.shape, generator=generator) * 2 - 1)
        assert step == horizon or not plane.is_edge(state, horizon).any()


def test_oracle_value_equals_walking_to_the_goal():
    plane = Plane(goal=(5.0, -3.0), width=2.0, height=0.7, step=0.8)
    state = torch.tensor([[0.3, 0.2], [5.0, -3.0], [-9.9, 4.0]], dtype=torch.float64)
    for row in state:
        here, total = row.clone(), 0.0
        for step in range(3000):
            here = plane.move(here, plane.best_action(here))
            total += 0.99**step * float(plane.reward(here))
        assert float(plane.oracle_value(row, 0.99)) == pytest.approx(total, rel=1e-9)
        finite = sum(0.99**t * float(plane.reward(s)) for t, s in enumerate(_walk(plane, row, 30)))
        assert float(plane.oracle_value(row, 0.99, 30)) == pytest.approx(finite, rel=1e-9)


def _walk(plane, state, steps):
    for _ in range(steps):
        state = plane.move(state, plane.best_action(state))
        yield state


def test_oracle_beats_dynamic_programming_on_a_grid_of_actions_never():
    """Value iteration over integer moves: from integer states the oracle is attained, and no such
    policy does better.
    """
    plane, discount, size = Plane(goal=(4.0, 3.0), width=2.5, step=1.0), 0.9, 15
    axis = torch.arange(-size, size + 1, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    moves = torch.tensor(list(itertools.product((-1, 0, 1), repeat=2)))
    value = torch.zeros(grid.shape[:2], dtype=torch.float64)
    index = torch.arange(2 * size + 1)
    for _ in range(300):
        options = []
        for move in moves:
            i, j = (index + move[0]).clamp(0, 2 * size), (index + move[1]).clamp(0, 2 * size)
            options.append(plane.reward(grid[i][:, j]) + discount * value[i][:, j])
        value = torch.stack(options).amax(0)
    inner = slice(5, -5)
    torch.testing.assert_close(
        value[inner, inner], plane.oracle_value(grid, discount)[inner, inner], rtol=1e-6, atol=1e-8
    )


def test_oracle_q_is_reward_plus_value():
    plane, generator = Plane(), torch.Generator().manual_seed(0)
    state, action = (
        plane.starts(50, generator) * 4,
        torch.rand((50, 2), generator=generator) * 2 - 1,
    )
    best = plane.oracle_q(state, plane.best_action(state), 0.99)
    torch.testing.assert_close(best, plane.oracle_value(state, 0.99))
    assert (plane.oracle_q(state, action, 0.99) <= best + 1e-6).all()


def test_environment_vector_environment_and_dynamics_agree():
    check_env(PlaneEnv(), skip_render_check=True)
    env, many, dynamics = PlaneEnv(), PlaneVectorEnv(1), PlaneDynamics()
    observation, _ = env.reset(seed=3)
    many.reset(seed=3)
    many._state = observation[None].copy()
    rng = np.random.default_rng(0)
    for step in range(30):
        action = rng.uniform(-1, 1, 2).astype(np.float32)
        prediction = dynamics.step(
            torch.from_numpy(observation[None]), torch.from_numpy(action[None])
        )
        observation, reward, ended, late, _ = env.step(action)
        row, rewards, endings, lates, _ = many.step(action[None])
        np.testing.assert_allclose(prediction.next_observation[0], observation, rtol=1e-6)
        np.testing.assert_allclose(row[0], observation, rtol=1e-6)
        assert (
            reward == pytest.approx(float(rewards[0])) == pytest.approx(float(prediction.reward[0]))
        )
        assert not ended and not endings[0] and late == lates[0] == (step == 29)


@pytest.mark.parametrize(
    "wrong", [{"width": 0.0}, {"goal": (1.0,)}, {"goal": (1.0, float("nan"))}, {"episode": 0}]
)
def test_wrong_settings(wrong):
    with pytest.raises(ConfigError):
        Plane(**wrong)
