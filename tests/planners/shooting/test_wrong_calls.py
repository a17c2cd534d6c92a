"""Shooting planners and simulators called wrongly: one line; other layouts: the same decision."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import SyncVectorEnv

from worldplan.envs.dynamics import MujocoDynamics
from worldplan.envs.dynamics.arrays import contiguous
from worldplan.milp.errors import ConfigError
from worldplan.planners.shooting import ShootingPlanner, ShootingSettings

NAME = "InvertedPendulum-v5"
SMALL = ShootingSettings(samples=8, elites=2, horizon=2, iterations=1)


def simulator() -> MujocoDynamics:
    return MujocoDynamics(NAME, threads=1)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda env: gym.wrappers.StickyAction(env, 0.5),
        lambda env: gym.wrappers.RescaleAction(env, -1, 1),
        lambda env: gym.wrappers.TransformReward(env, lambda reward: -reward),
        lambda env: gym.wrappers.ClipReward(gym.wrappers.NormalizeObservation(env), -1, 1),
    ],
)
def test_wrappers_that_the_simulator_does_not_know(wrap: Any) -> None:
    env = wrap(gym.make(NAME))
    with pytest.raises(ConfigError, match="a wrapper changes its (actions|rewards)"):
        ShootingPlanner.for_env(env, SMALL, threads=1)
    if not isinstance(env, gym.ActionWrapper):
        ShootingPlanner.for_env(env, SMALL, threads=1, reward=lambda o, a, n: o[:, 0])


def test_environments_of_other_tasks_are_refused() -> None:
    for other in (
        lambda: gym.make(NAME, reset_noise_scale=0.5),
        lambda: gym.make("InvertedPendulum-v4"),
    ):
        with pytest.raises(ConfigError, match="are not all InvertedPendulum-v5"):
            ShootingPlanner.for_env(SyncVectorEnv([lambda: gym.make(NAME), other]), SMALL)
    for wrong in (None, "InvertedPendulum-v5", 3):
        with pytest.raises(ConfigError, match="true dynamics are only known for MuJoCo"):
            ShootingPlanner.for_env(wrong, SMALL)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "tpu"),
        ("device", 3.5),
        ("seed", 2**70),
        *((name, 3) for name in ("policy", "reward", "terminal_value", "encode", "read_state")),
    ],
)
def test_wrong_arguments(name: str, value: Any) -> None:
    space = gym.spaces.Box(-3, 3, (1,), np.float32)
    with pytest.raises(ConfigError, match=name):
        ShootingPlanner(simulator(), space, SMALL, **{name: value})


def test_wrong_calls() -> None:
    planner = ShootingPlanner(simulator(), gym.spaces.Box(-3, 3, (1,), np.float32), SMALL)
    for seed in (-1, 1.5, "a", True, 2**70):
        with pytest.raises(ConfigError, match="seed is"):
            planner.reset(seed=seed)  # type: ignore[arg-type]
    for observations in (3.0, np.zeros(4), np.zeros((0, 4))):
        with pytest.raises(ConfigError, match="observations have shape"):
            planner.plan_batch(observations, states=np.zeros((1, 4)))
    for count in (-1, 2.5, "a", 10**12):
        with pytest.raises(ConfigError, match="count is"):
            simulator().reset(count)  # type: ignore[arg-type]


ROWS = np.random.default_rng(0).uniform(-0.1, 0.1, (3, 4))


@pytest.mark.parametrize(
    "values",
    [
        torch.tensor(ROWS).to_sparse(),
        torch.tensor(ROWS).to_sparse_csr(),
        torch.empty(3, 4, device="meta"),
        np.ma.masked_array(ROWS, ROWS > 0),
        ROWS.astype("M8[s]"),
        ROWS + 0j,
    ],
)
def test_what_is_no_array_of_numbers_is_refused(values: Any) -> None:
    with pytest.raises(ConfigError, match="states (are|have)"):
        simulator().step_numpy(values, np.zeros((3, 1)))


@pytest.mark.parametrize(
    "values",
    [
        np.asfortranarray(ROWS),
        np.ma.masked_array(ROWS, ROWS > 9),
        torch.tensor(ROWS.T.copy()).T,
        torch.tensor(ROWS, requires_grad=True),
        ROWS.tolist(),
        np.frombuffer(b"x" + ROWS.tobytes(), np.float64, offset=1).reshape(3, 4),
    ],
)
def test_the_same_numbers_in_another_form_step_alike(values: Any) -> None:
    expected = simulator().step_numpy(ROWS, np.zeros((3, 1)))
    result = simulator().step_numpy(values, np.zeros((3, 1)))
    assert np.array_equal(expected.state, result.state)
    small = torch.tensor(ROWS).to(torch.float8_e4m3fn)
    assert np.array_equal(contiguous(small, "numbers"), small.float().numpy())
