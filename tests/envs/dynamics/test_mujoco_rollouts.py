"""True dynamics against gymnasium's own step, one state at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.envs.dynamics.builders import OWN_CODE, TASKS, dynamics, visited
from worldplan.envs.dynamics.model import DynamicsModel
from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.envs.dynamics.mujoco_rows import SimulatorStep
from worldplan.milp.errors import ConfigError

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is out of date:DeprecationWarning", "ignore:.*out of date.*:UserWarning"
)

ENDING = ("Hopper", "Walker2d", "Inverted", "Ant", "Humanoid-")


def one_by_one(env: Any, states: np.ndarray, actions: np.ndarray) -> SimulatorStep:
    """The steps of the environment itself, one state at a time."""
    rows = []
    for state, action in zip(states, actions, strict=True):
        env.set_state(state[: env.model.nq], state[env.model.nq :])
        env.data.qacc_warmstart[:] = 0
        observation, reward, terminated, _, _ = env.step(action)
        rows.append(
            (observation, reward, terminated, np.concatenate((env.data.qpos, env.data.qvel)))
        )
    observations, rewards, ends, following = (np.array(part) for part in zip(*rows, strict=True))
    return SimulatorStep(observations, rewards, ends, following)


def assert_equal(result: SimulatorStep, expected: SimulatorStep, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(result.observation, expected.observation, rtol=0, atol=tolerance)
    np.testing.assert_allclose(result.reward, expected.reward, rtol=0, atol=tolerance)
    np.testing.assert_allclose(result.state, expected.state, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(result.terminated, expected.terminated)


# --- equality with the environment ----------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_a_step_is_the_environments_step(task: str) -> None:
    env, states, actions = visited(task, 30)
    for precise in (
        actions,
        actions.astype(np.float32),
    ):  # the reward depends on the precision of the action
        expected = one_by_one(env, states, precise)
        assert_equal(dynamics(task).step_numpy(states, precise), expected)
    if task.startswith(ENDING):
        assert expected.terminated.any() and not expected.terminated.all()
    assert dynamics(task).vectorised == (not task.startswith((*OWN_CODE, "Reacher-v4")))


KWARGS: list[tuple[str, dict[str, Any]]] = [
    (
        "Hopper-v5",
        {
            "forward_reward_weight": 2.0,
            "ctrl_cost_weight": 0.3,
            "healthy_reward": 5.0,
            "healthy_state_range": (-100.0, 1.0),
        },
    ),
    (
        "Hopper-v5",
        {"terminate_when_unhealthy": False, "healthy_state_range": (-1.0, 100.0), "frame_skip": 2},
    ),
    (
        "Hopper-v4",
        {"terminate_when_unhealthy": False, "exclude_current_positions_from_observation": False},
    ),
    (
        "Walker2d-v5",
        {"healthy_z_range": (1.1, 1.3), "exclude_current_positions_from_observation": False},
    ),
    (
        "HalfCheetah-v5",
        {
            "frame_skip": 1,
            "ctrl_cost_weight": 0.7,
            "exclude_current_positions_from_observation": False,
        },
    ),
    (
        "Swimmer-v5",
        {"exclude_current_positions_from_observation": False, "forward_reward_weight": 3.0},
    ),
    ("InvertedDoublePendulum-v5", {"healthy_reward": 3.0}),
    ("Reacher-v5", {"reward_dist_weight": 2.0, "reward_control_weight": 0.1}),
    (
        "Pusher-v5",
        {"reward_near_weight": 2.0, "reward_dist_weight": 3.0, "reward_control_weight": 0.5},
    ),
    (
        "Ant-v5",
        {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.1, "main_body": 3},
    ),
]


@pytest.mark.parametrize(("task", "kwargs"), KWARGS)
def test_keyword_arguments_of_the_environment_count(task: str, kwargs: dict[str, Any]) -> None:
    env, states, actions = visited(task, 20, **kwargs)
    expected = one_by_one(env, states, actions)
    assert_equal(MujocoDynamics(task, threads=1, **kwargs).step_numpy(states, actions), expected)
    plain = one_by_one(visited(task, 1)[0], states, actions)
    assert (
        plain.reward.shape != expected.reward.shape
        or np.abs(plain.reward - expected.reward).max() > 1e-3
        or "exclude" in str(kwargs)
    )


@pytest.mark.parametrize("task", ["LazyHopper-v0", "PaidHopper-v0"])
def test_a_users_own_class_runs_its_own_code(task: str) -> None:
    env, states, actions = visited(task, 20)
    expected = one_by_one(env, states, actions)
    result = dynamics(task, 2).step_numpy(states, actions)
    assert_equal(result, expected)
    assert not dynamics(task).vectorised
    assert (
        np.abs(result.reward - dynamics("Hopper-v5").step_numpy(states, actions).reward).min()
        > 1e-3
    )


def test_constraint_forces_of_the_double_pendulum_are_the_engines() -> None:
    env, states, actions = visited("InvertedDoublePendulum-v5", 10)
    states[:, 0] = np.linspace(-1.02, 1.02, 10)
    actions[:, 0] = np.sign(states[:, 0])  # against the end of the rail
    expected = one_by_one(env, states, actions)
    assert np.abs(expected.observation[:, -1]).max() > 1
    assert_equal(dynamics("InvertedDoublePendulum-v5").step_numpy(states, actions), expected)


@pytest.mark.parametrize("task", ["Walker2d-v5", "Pusher-v5", "Reacher-v5", "Humanoid-v5"])
def test_results_depend_neither_on_threads_nor_on_the_order_of_rows(task: str) -> None:
    _, states, actions = visited(task, 21)
    alone, two = (dynamics(task, threads).step_numpy(states, actions) for threads in (1, 2))
    assert_equal(two, alone, tolerance=0)
    order = np.random.default_rng(0).permutation(21)
    mixed = dynamics(task, 2).step_numpy(states[order], actions[order])
    assert_equal(
        mixed,
        SimulatorStep(
            alone.observation[order],
            alone.reward[order],
            alone.terminated[order],
            alone.state[order],
        ),
        tolerance=0,
    )


@pytest.mark.parametrize("task", ["Walker2d-v5", "Ant-v5"])
def test_a_batch_may_be_empty_or_smaller_than_the_threads(task: str) -> None:
    _, states, actions = visited(task, 1)
    for count in (0, 1):
        step = dynamics(task, 2).step_numpy(states[:count], actions[:count])
        assert step.observation.shape == (
            count,
            dynamics(task).observation_size,
        ) and step.state.shape == (count, dynamics(task).state_size)


def test_long_batches_are_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    _, states, actions = visited("HalfCheetah-v5", 10)
    whole = dynamics("HalfCheetah-v5").step_numpy(states, actions)
    monkeypatch.setattr("worldplan.envs.dynamics.mujoco.BLOCK", 4)
    assert_equal(dynamics("HalfCheetah-v5").step_numpy(states, actions), whole, tolerance=0)


def test_a_trajectory_carries_the_state() -> None:
    """The state stays in double precision beside float32 predictions."""
    model, env = dynamics("Walker2d-v5"), gym.make("Walker2d-v5").unwrapped
    _, state = model.reset(1, torch.Generator().manual_seed(3))
    env.reset(seed=0)
    actions = (
        torch.rand((30, 1, model.action_size), generator=torch.Generator().manual_seed(4)) * 2 - 1
    )
    expected = state.numpy()
    for action in actions:
        prediction = model.step(torch.zeros(1, model.observation_size), action, state=state)
        assert prediction.state is not None
        state, expected = prediction.state, one_by_one(env, expected, action.numpy()).state
    np.testing.assert_array_equal(state.numpy(), expected)
    assert np.abs(expected[:, 9:]).max() > 1


def test_predictions_have_the_types_of_the_interface() -> None:
    model = dynamics("Hopper-v5")
    _, states, actions = visited("Hopper-v5", 6)
    exact = model.step_numpy(states, actions)
    result = model.step(
        torch.empty(6, 11), torch.from_numpy(actions), state=torch.from_numpy(states), members=True
    )
    assert isinstance(model, DynamicsModel)
    assert (model.observation_size, model.action_size, model.state_size, model.env_id) == (
        11,
        3,
        12,
        "Hopper-v5",
    )
    assert result.members is None and result.state is not None
    assert [
        result.next_observation.dtype,
        result.reward.dtype,
        result.terminated.dtype,
        result.state.dtype,
    ] == [torch.float32, torch.float32, torch.bool, torch.float64]
    np.testing.assert_array_equal(
        result.next_observation.numpy(), exact.observation.astype(np.float32)
    )
    np.testing.assert_array_equal(result.reward.numpy(), exact.reward.astype(np.float32))


# --- numbers that blow up -------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["HalfCheetah-v5", "Reacher-v5", "Ant-v5"])
def test_a_row_that_blows_up_ends_and_shows_it(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the engine writes its log where it runs
    _, states, actions = visited(task, 6)
    clean = dynamics(task).step_numpy(states, actions)
    states[1, -3:] = [4e9, -6e9, 8e9]
    states[3, 0] = np.nan
    actions[4, 0] = np.inf
    result = dynamics(task).step_numpy(states, actions)
    lost = np.array([False, True, False, True, True, False])
    assert result.terminated[lost].all()
    for part, whole in (
        (result.observation, clean.observation),
        (result.reward[:, None], clean.reward[:, None]),
        (result.state, clean.state),
    ):
        assert np.isnan(part[lost]).all()
        np.testing.assert_array_equal(part[~lost], whole[~lost])


# --- misuse ---------------------------------------------------------------------------------------


def test_misuse_is_named_in_one_line() -> None:
    model = dynamics("Hopper-v5")
    good = torch.zeros(2, 12, dtype=torch.float64)
    for call, words in (
        (
            lambda: model.step(torch.zeros(2, 11), torch.zeros(2, 3)),
            "need the simulator state.*state_of",
        ),
        (
            lambda: model.step(torch.zeros(2, 11), torch.zeros(2, 3), state=good[:, :11]),
            r"states have shape \(2, 11\)",
        ),
        (
            lambda: model.step(torch.zeros(2, 11), torch.zeros(3, 3), state=good),
            r"actions have shape \(3, 3\)",
        ),
        (lambda: model.observe(good[0]), "states have shape"),
        (lambda: model.state_of(torch.zeros(2, 12)), "observations have shape"),
        (lambda: MujocoDynamics("Hopper-v5", threads=0), "threads = 0"),
        (lambda: MujocoDynamics("NoSuchTask-v5"), "cannot make this task"),
        (lambda: MujocoDynamics("Hopper-v5", wrong_name=1), "cannot make this task"),
        (lambda: MujocoDynamics("CartPole-v1"), "must derive from MujocoEnv"),
        (lambda: MujocoDynamics("Pusher-v4"), "cannot make this task"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
