"""True dynamics against gymnasium's own step, one state at a time."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.mujoco.hopper_v5 import HopperEnv
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from worldplan.envs.dynamics.mixed import MixedDynamics
from worldplan.envs.dynamics.model import DynamicsModel, Members, Prediction
from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.envs.dynamics.mujoco_readings import Layout
from worldplan.envs.dynamics.mujoco_rows import SimulatorStep
from worldplan.milp.errors import ConfigError

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is out of date:DeprecationWarning", "ignore:.*out of date.*:UserWarning"
)

FORMULAS = (
    "Hopper",
    "HalfCheetah",
    "Walker2d",
    "Swimmer",
    "InvertedPendulum",
    "InvertedDoublePendulum",
)
OWN_CODE = ("Ant", "Humanoid", "HumanoidStandup")
TASKS = [f"{name}-{version}" for name in FORMULAS + OWN_CODE for version in ("v4", "v5")] + [
    "Reacher-v4",
    "Reacher-v5",
    "Pusher-v5",
]
ENDING = ("Hopper", "Walker2d", "Inverted", "Ant", "Humanoid-")


class LazyHopper(HopperEnv):
    """A user's own task: rewarded for its height, which is observed twice.

    It terminates where it leaves the start.
    """

    def _get_obs(self) -> Any:
        return np.concatenate((super()._get_obs(), self.data.qpos[1:2] ** 2))

    def step(self, action: Any) -> Any:
        _, reward, _, _, info = super().step(action)
        tip = self.data.geom("foot_geom").xpos[0]  # as the engine left it
        return (
            self._get_obs(),
            0.5 * reward + tip + self.data.qpos[1],
            bool(abs(self.data.qpos[0]) > 0.002),
            False,
            info,
        )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (12,))


class PaidHopper(HopperEnv):
    """Only the reward is its own."""

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward + 1, *rest


gym.register("LazyHopper-v0", LazyHopper)
gym.register("PaidHopper-v0", PaidHopper)


@functools.cache
def dynamics(task: str, threads: int = 1) -> MujocoDynamics:
    return MujocoDynamics(task, threads=threads)


def visited(task: str, count: int, **kwargs: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """An environment, states that a random policy visits (also unhealthy ones), and actions up to
    1.5 times their limits.
    """
    env: Any = gym.make(task, **kwargs).unwrapped
    generator = np.random.default_rng(1)
    states, actions = [], []
    for number in range(5 * count):
        if number % 120 == 0:
            env.reset(seed=number)
        action = 1.5 * generator.uniform(-1, 1, env.model.nu) * env.action_space.high
        if number % 5 == 0:
            states.append(np.concatenate((env.data.qpos, env.data.qvel)))
            actions.append(action)
        env.step(action)
    return env, np.array(states), np.array(actions)


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


# --- between learned and true ---------------------------------------------------------------------


class Guess:
    """A random "learned" model with three members."""

    observation_size, action_size, state_size = 11, 3, 0

    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> Prediction:
        predicted = Members(
            torch.randn((3, len(action), 12), generator=generator),
            torch.rand((3, len(action), 12), generator=generator),
        )
        following = observation + 0.1 * predicted.mean[0, :, :11] + action.sum(dim=1, keepdim=True)
        return Prediction(
            following,
            predicted.mean[0, :, 11],
            following[:, 0] > 1.3,
            None,
            predicted if members else None,
        )


def ends_high(observation: Tensor, action: Tensor, following: Tensor) -> Tensor:
    return following[:, 0] > 1.25


def mixed_step(share: float) -> tuple[Prediction, Prediction, Prediction]:
    """What the mixture, the learned and the true model make of the same rows and the same random
    numbers.
    """
    _, states, actions = visited("Hopper-v5", 12)
    true, state, action = (
        dynamics("Hopper-v5"),
        torch.from_numpy(states),
        torch.from_numpy(actions.astype(np.float32)),
    )
    models: list[DynamicsModel] = [MixedDynamics(Guess(), true, share, ends_high), Guess(), true]
    result = [
        model.step(
            true.observe(state),
            action,
            state=state,
            generator=torch.Generator().manual_seed(5),
            members=True,
        )
        for model in models
    ]
    return result[0], result[1], result[2]


@pytest.mark.parametrize("share", [0, 1])
def test_the_ends_of_the_mixture_are_the_models_themselves(share: float) -> None:
    result, learned, true = mixed_step(share)
    expected = true if share else learned
    for name in ("next_observation", "reward", "terminated"):
        assert torch.equal(getattr(result, name), getattr(expected, name))
    assert (result.members is None) == (expected.members is None)
    if share:
        assert torch.equal(result.state, expected.state)  # type: ignore[arg-type]
    else:
        assert result.state is None
        assert torch.equal(result.members.mean, expected.members.mean)  # type: ignore[union-attr]


def test_between_the_ends_everything_is_on_the_line() -> None:
    result, learned, true = mixed_step(0.25)
    assert (
        result.state is not None
        and true.state is not None
        and result.members is not None
        and learned.members is not None
    )
    line = 0.75 * learned.next_observation + 0.25 * true.next_observation
    torch.testing.assert_close(result.next_observation, line)
    torch.testing.assert_close(result.reward, 0.75 * learned.reward + 0.25 * true.reward)
    assert torch.equal(result.terminated, result.next_observation[:, 0] > 1.25)
    assert result.terminated.any() and not result.terminated.all()
    # the next state is the mixed observation; only the unobserved x is the simulator's
    assert torch.equal(result.state[:, 0], true.state[:, 0])
    torch.testing.assert_close(result.state[:, 1:6], line[:, :5].double(), rtol=1e-5, atol=1e-5)
    free = line[:, 5:].abs() < 10
    torch.testing.assert_close(
        result.state[:, 6:][free], line[:, 5:][free].double(), rtol=1e-5, atol=1e-5
    )
    disagreement, before = (
        members.mean.std(dim=0) for members in (result.members, learned.members)
    )
    torch.testing.assert_close(disagreement, 0.75 * before)
    torch.testing.assert_close(result.members.variance, 0.75**2 * learned.members.variance)
    torch.testing.assert_close(
        result.members.mean.mean(0),
        0.75 * learned.members.mean.mean(0)
        + 0.25 * torch.cat((true.next_observation, true.reward[:, None]), 1),
    )


def test_a_simulator_that_blows_up_ends_the_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    true = dynamics("Hopper-v5")
    observation, state = true.reset(3)
    state[1, 8:] = 5e9
    result = MixedDynamics(Guess(), true, 0.5, ends_high).step(
        observation, torch.full((3, 3), -1.0), state=state
    )
    assert (
        result.terminated.tolist() == [False, True, False]
        and not result.next_observation[1].isfinite().any()
    )


def test_settings_of_the_mixture_are_checked() -> None:
    true = dynamics("Hopper-v5")
    assert [MixedDynamics(Guess(), true, share, ends_high).state_size for share in (0, 0.5, 1)] == [
        0,
        12,
        12,
    ]
    for call, words in (
        (lambda: MixedDynamics(Guess(), true, 1.5), "share = 1.5"),
        (lambda: MixedDynamics(Guess(), true, 0.5), "termination function"),
        (lambda: MixedDynamics(Guess(), dynamics("Walker2d-v5"), 1), "sizes"),
        (lambda: MixedDynamics(true, true, 0.5, ends_high), "state of its own"),
        (
            lambda: MixedDynamics(Guess(), true, 1).step(torch.zeros(1, 11), torch.zeros(1, 3)),
            "simulator state",
        ),
    ):
        with pytest.raises(ConfigError, match=words):
            call()
