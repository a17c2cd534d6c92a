"""States and observations of MuJoCo's dynamics: start states, and each from the other."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.envs.dynamics.builders import OWN_CODE, TASKS, dynamics, visited
from worldplan.envs.dynamics.mujoco_readings import Layout
from worldplan.milp.errors import ConfigError

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is out of date:DeprecationWarning", "ignore:.*out of date.*:UserWarning"
)


# --- observations, start states -------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_start_states_and_what_is_seen_of_them(task: str) -> None:
    model = dynamics(task)
    env: Any = gym.make(task).unwrapped
    observation, state = model.reset(40, torch.Generator().manual_seed(0))
    again = model.reset(40, torch.Generator().manual_seed(0))
    torch.testing.assert_close((observation, state), again, rtol=0, atol=0)
    assert not torch.equal(state, model.reset(40)[1])
    model.step(
        observation, torch.ones(40, model.action_size), state=state
    )  # leaves forces behind, which must not show
    np.testing.assert_array_equal(model.observe(state).numpy(), observation.numpy())
    for row in range(3):
        env.reset(seed=0)
        env.set_state(state[row, : env.model.nq].numpy(), state[row, env.model.nq :].numpy())
        np.testing.assert_allclose(observation[row].numpy(), env._get_obs(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "task", [task for task in TASKS if not task.startswith((*OWN_CODE, "Reacher-v4"))]
)
def test_start_states_are_drawn_as_the_environment_draws_them(task: str) -> None:
    env: Any = gym.make(task).unwrapped
    env.reset(seed=0)
    drawn = []
    for _ in range(300):
        env.reset()
        drawn.append(np.concatenate((env.data.qpos, env.data.qvel)))
    expected, result = (
        np.array(drawn),
        dynamics(task).reset(3000, torch.Generator().manual_seed(1))[1].numpy(),
    )
    spread = expected.std(axis=0)
    assert (
        np.abs(result.mean(axis=0) - expected.mean(axis=0)) <= 5 * spread / np.sqrt(300) + 1e-12
    ).all()
    np.testing.assert_allclose(result.std(axis=0), spread, rtol=0.13, atol=1e-12)
    # uniform noise is bounded at 1.73 standard deviations, normal noise is not
    peaks = np.abs(result - result.mean(axis=0)).max(axis=0) > 2.5 * spread + 1e-12
    np.testing.assert_array_equal(
        peaks, np.abs(expected - expected.mean(axis=0)).max(axis=0) > 2.2 * spread + 1e-12
    )


# --- from observations to states ------------------------------------------------------------------


@pytest.mark.parametrize(
    "task", [task for task in TASKS if not task.startswith("Pusher")] + ["PaidHopper-v0"]
)
def test_an_observation_gives_its_state_back(task: str) -> None:
    model = dynamics(task)
    _, states, _ = visited(task, 20)
    state = torch.from_numpy(states)
    seen = model.observe(state)
    back = model.state_of(seen, like=state)
    torch.testing.assert_close(back, state, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.observe(back), seen, rtol=1e-5, atol=1e-5)


@given(
    state=arrays(np.float64, (4, 9), elements=st.floats(-30, 30)),
    other=arrays(np.float64, (4, 9), elements=st.floats(-30, 30)),
    skip=st.integers(0, 2),
)
def test_what_is_seen_comes_from_the_observation_and_the_rest_from_like(
    state: np.ndarray, other: np.ndarray, skip: int
) -> None:
    layout = Layout(nq=5, nv=4, skip=skip, clip=10.0)
    np.testing.assert_array_equal(layout.state_of(layout.observe(state), state), state)
    alone, helped = (
        layout.state_of(layout.observe(state), None),
        layout.state_of(layout.observe(state), other),
    )
    np.testing.assert_array_equal(alone[:, :skip], 0)
    np.testing.assert_array_equal(helped[:, :skip], other[:, :skip])
    np.testing.assert_array_equal(helped[:, skip:5], state[:, skip:5])
    np.testing.assert_array_equal(alone[:, 5:], state[:, 5:].clip(-10, 10))
    for seen, hint, taken in zip(
        alone[:, 5:].flat, other[:, 5:].flat, helped[:, 5:].flat, strict=True
    ):
        assert taken == (
            hint if (seen == 10 and hint >= 10) or (seen == -10 and hint <= -10) else seen
        )


def test_a_clipped_velocity_is_lost_without_like() -> None:
    model = dynamics("Walker2d-v5")
    _, states, actions = visited("Walker2d-v5", 40)
    assert (np.abs(states[:, 9:]) > 10).any()
    state, action = torch.from_numpy(states), torch.from_numpy(actions)
    seen = model.observe(state)
    truth, rebuilt, blind = (
        model.step(seen, action, state=s).reward
        for s in (state, model.state_of(seen, state), model.state_of(seen))
    )
    assert (truth - rebuilt).abs().median() < 1e-5 and (truth - blind).abs().max() > 0.01


@pytest.mark.parametrize("task", ["Pusher-v5", "LazyHopper-v0"])
def test_a_task_that_hides_its_state_says_so(task: str) -> None:
    with pytest.raises(ConfigError, match="store qpos and qvel"):
        dynamics(task).state_of(torch.zeros(2, dynamics(task).observation_size))
