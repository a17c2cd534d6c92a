"""The swing-up tasks: their physics, rewards and successes, and that planning alone stands both
pendulums up.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from benchmarks.shooting.swing_up import SETUPS, play
from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.envs.swing_up import GRAVITY, HELD, Acrobot, SwingUpEnv
from worldplan.milp.errors import ConfigError

TASKS = {name: setup.env_id for name, setup in SETUPS.items()}


@pytest.fixture(params=TASKS)
def env(request: pytest.FixtureRequest) -> Any:
    made = gym.make(TASKS[request.param])
    yield made
    made.close()


def put(env: Any, state: np.ndarray) -> None:
    """The simulator into `state`, without a warm start, as `MujocoDynamics` begins."""
    bare = env.unwrapped
    bare.set_state(state[: bare.model.nq], state[bare.model.nq :])
    bare.data.qacc_warmstart[:] = 0


def test_it_is_a_gymnasium_environment(env: Any) -> None:
    check_env(env.unwrapped, skip_render_check=True)


def test_it_begins_hanging_and_rests_there_without_reward(env: Any) -> None:
    bare = env.unwrapped
    observation, _ = env.reset(seed=1)
    again, _ = env.reset(seed=1)
    np.testing.assert_array_equal(observation, again)
    tip = "pole" if "pole" in bare.task.mjcf else "lower"
    assert bare.data.body(tip).xmat[8] < -0.9  # its axis points down
    put(env, np.where(np.abs(bare.state_vector()) > 1, np.pi, 0.0))
    _, reward, terminated, _, info = env.step(np.zeros(1, np.float32))
    assert reward == pytest.approx(0, abs=1e-9) and not terminated and not info["balanced"]


def test_one_by_one_equals_the_batch(env: Any) -> None:
    """Observation, reward and state of `step` and of the planner's dynamics, also where the cart is
    at the end of its rail.
    """
    random = np.random.default_rng(0)
    states, actions = (
        random.uniform(-3, 3, (40, 4)),
        random.uniform(-1, 1, (40, 1)).astype(np.float32),
    )
    dynamics = MujocoDynamics(env.spec.id, threads=1, **env.spec.kwargs)
    assert dynamics.vectorised
    batch = dynamics.step_numpy(states, actions.astype(np.float64))
    env.reset(seed=0)
    for index, (state, action) in enumerate(zip(states, actions, strict=True)):
        put(env, state)
        observation, reward, _, _, _ = env.step(action)
        np.testing.assert_allclose(batch.observation[index], observation, rtol=0, atol=1e-12)
        np.testing.assert_allclose(
            batch.state[index], env.unwrapped.state_vector(), rtol=0, atol=1e-12
        )
        assert batch.reward[index] == pytest.approx(reward, abs=1e-12)
    assert batch.reward.std() > 0.1
    assert not batch.terminated.any()


def test_success_is_held_in_a_row(env: Any) -> None:
    """Upright at rest is an equilibrium: without a push it stands for ever."""
    env.reset(seed=0)
    upright, hanging = np.zeros(4), np.where(np.abs(env.unwrapped.state_vector()) > 1, np.pi, 0.0)

    def successes(steps: int) -> list[bool]:
        return [bool(env.step(np.zeros(1, np.float32))[4]["is_success"]) for _ in range(steps)]

    put(env, upright)
    assert successes(HELD + 1) == [False] * (HELD - 1) + [True] * 2
    put(env, hanging)
    assert successes(1) == [False]
    put(env, upright)
    assert successes(HELD - 1) == [False] * (HELD - 1)
    env.reset(seed=0)
    put(env, upright)
    assert successes(HELD) == [False] * (HELD - 1) + [True]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="cart_pole, acrobot"):
        SwingUpEnv("pendulum")


def test_the_acrobot_is_a_frictionless_double_pendulum_of_thin_rods() -> None:
    """Its energy by hand equals the engine's and stays the same; with friction at the elbow it
    falls.
    """
    task = Acrobot(length=(1.0, 0.7), mass=(1.0, 0.5))
    model = mujoco.MjModel.from_xml_string(task.mjcf)
    model.opt.timestep, model.opt.integrator = 0.002, mujoco.mjtIntegrator.mjINT_RK4
    model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
    friction = model.dof_damping.copy()
    model.dof_damping[:] = 0
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = (2.0, 0.5), (1.0, -2.0)
    mujoco.mj_forward(model, data)
    begun = data.energy.sum()
    moved = []
    for _ in range(1000):
        mujoco.mj_step(model, data)
        moved.append(data.qpos[0])
    mujoco.mj_forward(model, data)
    assert np.ptp(moved) > 1
    assert data.energy.sum() == pytest.approx(begun, abs=1e-5)
    mount = 2.2 * GRAVITY * sum(task.mass)  # the engine measures heights from the floor
    assert data.energy.sum() - mount == pytest.approx(by_hand(task, data.qpos, data.qvel), abs=1e-9)
    model.dof_damping[:] = friction
    mujoco.mj_step(model, data, 500)
    mujoco.mj_forward(model, data)
    assert data.energy.sum() < begun - 0.5


def test_the_acrobots_angular_momentum_is_the_engines() -> None:
    """The momentum that belongs to the shoulder's angle; standing still over the shoulder, though
    bent, is not falling.
    """
    task = Acrobot(length=(1.0, 0.7), mass=(1.0, 0.5))
    model = mujoco.MjModel.from_xml_string(task.mjcf)
    data = mujoco.MjData(model)
    states = np.random.default_rng(0).uniform(-3, 3, (5, 4))
    for state, ours in zip(states, task.angular_momentum(states), strict=True):
        data.qpos[:], data.qvel[:] = state[:2], state[2:]
        mujoco.mj_forward(model, data)
        momentum = np.zeros(2)
        mujoco.mj_mulM(model, data, momentum, data.qvel)
        assert ours == pytest.approx(momentum[0], abs=1e-9)
    lean = np.arctan2(
        0.175 * np.sin(1.0), 1.0 + 0.175 * np.cos(1.0)
    )  # moments of mass: 1 kg m up to the elbow, 0.175 kg m past it
    still, turning = task.falling(np.array([[lean, -1.0, 0.0, 0.0], [lean, -1.0, 0.1, 0.0]]))
    assert still == pytest.approx(0, abs=1e-12)
    assert turning > 0.01


def by_hand(task: Acrobot, angles: np.ndarray, speeds: np.ndarray) -> float:
    """Energy (J) of the two rods, heights measured from the shoulder."""
    (upper, lower), (heavy, light) = task.length, task.mass
    first, second, turn, own = angles[0], angles.sum(), speeds[0], speeds.sum()
    height = heavy * upper / 2 * np.cos(first) + light * (
        upper * np.cos(first) + lower / 2 * np.cos(second)
    )
    across = upper * turn * np.cos(first) + lower / 2 * own * np.cos(second)
    down = upper * turn * np.sin(first) + lower / 2 * own * np.sin(second)
    kinetic = (
        heavy * upper**2 * turn**2 / 6
        + light * (across**2 + down**2) / 2
        + light * lower**2 * own**2 / 24
    )
    return float(kinetic + GRAVITY * height)


def test_planning_stands_a_pole_up() -> None:
    assert play(SETUPS["cart_pole"], seed=0, steps=45).first is not None


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_planning_alone_succeeds(task: str) -> None:
    episode = play(SETUPS[task], seed=0)
    assert episode.success
    assert episode.balanced > HELD
