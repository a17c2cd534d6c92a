"""Simulators of environments in wrappers of the action step as these environments do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RescaleAction, TimeAwareObservation

from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.envs.environments import make_environment
from worldplan.envs.spec import parse_spec
from worldplan.milp.errors import ConfigError

REGISTERED = "WorldplanTestRescaledHopper-v0"
CLIP = {"name": "ClipAction", "kwargs": {}}


def rescale(low: Any, high: Any) -> dict[str, Any]:
    return {"name": "RescaleAction", "kwargs": {"min_action": low, "max_action": high}}


def register(wrapper: Any) -> None:
    gym.register(
        REGISTERED,
        "gymnasium.envs.mujoco.hopper_v5:HopperEnv",
        max_episode_steps=100,
        additional_wrappers=(wrapper,),
    )


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    register(RescaleAction.wrapper_spec(min_action=-3.0, max_action=5.0))
    yield
    del gym.registry[REGISTERED]


def compare(spec: Any, dtype: type) -> None:
    """Twenty rows with actions in and beyond the box, bit for bit."""
    env = make_environment(spec)
    simulator: Any = env.unwrapped
    model = MujocoDynamics(spec.id, threads=2, wrappers=spec.wrappers, **spec.kwargs)
    random = np.random.default_rng(0)
    _, states = model.reset(20)
    size = model.action_size
    actions = (4 * random.normal(size=(20, size))).astype(dtype)
    result = model.step_numpy(states, actions)
    env.reset(seed=0)
    for row, state in enumerate(states.numpy()):
        simulator.set_state(state[: simulator.model.nq], state[simulator.model.nq :])
        simulator.data.qacc_warmstart[:] = 0
        observation, reward, terminated, *_ = env.step(actions[row])
        np.testing.assert_array_equal(result.observation[row], observation)
        assert result.reward[row] == pytest.approx(reward, rel=1e-12, abs=1e-12)
        assert result.terminated[row] == terminated


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("env_id", "size"),
    [
        ("Hopper-v5", 3),  # formulas
        ("InvertedDoublePendulum-v5", 1),  # quantities of the last substep
        ("Reacher-v4", 2),  # its own step
        (REGISTERED, 3),
    ],
)
@pytest.mark.parametrize(
    "chain",
    [
        lambda size: [],
        lambda size: [rescale(-0.3, 0.7)],
        lambda size: [rescale([-2.0] * size, list(range(1, size + 1)))],
        lambda size: [rescale(0, 9), rescale(-1, 1)],
        lambda size: [CLIP],
        lambda size: [rescale(-0.5, 0.5), CLIP],
    ],
)
def test_steps_are_those_of_the_wrapped_environment(
    chain: Any, env_id: str, size: int, dtype: type
) -> None:
    compare(parse_spec({"id": env_id, "wrappers": chain(size)}), dtype)


@pytest.mark.parametrize(
    "wrapper",
    [
        {"name": "RepeatAction", "kwargs": {"num_repeats": 2}},
        {"name": "ClipReward", "kwargs": {"min_reward": 0.0}},
        {"name": "DelayObservation", "kwargs": {"delay": 1}},
        {"name": "StickyAction", "kwargs": {"repeat_action_probability": 0.5}},
    ],
)
def test_other_wrappers_are_refused_by_name(wrapper: dict[str, Any]) -> None:
    spec = parse_spec({"id": "Hopper-v5", "wrappers": [rescale(-1, 1), wrapper]})
    with pytest.raises(ConfigError, match=f"Hopper-v5: its wrapper {wrapper['name']} cannot be"):
        MujocoDynamics(spec.id, wrappers=spec.wrappers)


def test_wrappers_of_the_registration_are_refused_too() -> None:
    del gym.registry[REGISTERED]
    register(TimeAwareObservation.wrapper_spec())
    with pytest.raises(ConfigError, match="its wrapper TimeAwareObservation cannot be"):
        MujocoDynamics(REGISTERED)
