"""MuJoCo gets the same numbers whatever the layout of the caller's arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.milp.errors import ConfigError
from worldplan.planners.shooting.planner import ShootingPlanner
from worldplan.planners.shooting.settings import ShootingSettings

TASKS = [
    name
    for name, spec in gym.registry.items()
    if str(spec.entry_point).startswith("gymnasium.envs.mujoco") and spec.version == 5
]
REPRESENTATIVES = ("Hopper-v5", "Reacher-v5", "InvertedDoublePendulum-v5", "Ant-v5")


def read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.setflags(write=False)
    return copy


def unaligned(array: np.ndarray) -> np.ndarray:
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[:] = array
    return view


LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "Fortran": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every second column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed rows": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "reversed columns": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "read-only": read_only,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "unaligned": unaligned,
    "list": lambda a: a.tolist(),
    "masked": lambda a: np.ma.masked_array(a),
    "tensor": torch.from_numpy,
    "transposed tensor": lambda a: torch.from_numpy(a).T.contiguous().T,
    "strided tensor": lambda a: torch.from_numpy(a).repeat_interleave(3, 1)[:, ::3],
    "tensor with gradient": lambda a: torch.from_numpy(a.copy()).requires_grad_(),
}


def numbers(step: Any) -> list[np.ndarray]:
    return [np.asarray(part) for part in (step.observation, step.reward, step.state)]


@pytest.mark.parametrize("task", REPRESENTATIVES)
def test_every_layout_gives_the_same_step(task: str) -> None:
    model = MujocoDynamics(task, threads=1)
    generator = np.random.default_rng(0)
    _, states = model.reset(7, torch.Generator().manual_seed(0))
    state, action = states.numpy(), generator.uniform(-1, 1, (7, model.action_size))
    truth = numbers(model.step_numpy(state.copy(), action.copy()))
    seen = model.observe(states).numpy()
    for name, layout in LAYOUTS.items():
        given = layout(state), layout(action)
        for one, two in zip(numbers(model.step_numpy(*given)), truth, strict=True):
            np.testing.assert_array_equal(one, two, name)
        np.testing.assert_array_equal(model.observe(given[0]).numpy(), seen, name)
        stepped = model.step(torch.zeros(7, 1), given[1], state=given[0])
        np.testing.assert_array_equal(np.asarray(stepped.state), truth[2], name)


def test_other_types_are_the_numbers_that_they_hold() -> None:
    model = MujocoDynamics("Pusher-v5", threads=2)
    _, states = model.reset(4, torch.Generator().manual_seed(0))
    whole = np.arange(4 * model.action_size).reshape(4, -1) % 3 - 1
    truth = numbers(model.step_numpy(states.numpy(), whole.astype(float)))
    for kind in (np.int8, np.int64, np.float16, np.longdouble):
        for one, two in zip(
            numbers(model.step_numpy(states, whole.astype(kind))), truth, strict=True
        ):
            np.testing.assert_array_equal(one, two)
    single = states.numpy().astype(np.float32)
    one = numbers(model.step_numpy(single, whole.astype(float)))
    two = numbers(model.step_numpy(single.astype(float), whole.astype(float)))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "wrong", [[[1.0], [1.0, 2.0]], np.array([["a"] * 3]), np.zeros((1, 3), complex), [[None] * 3]]
)
def test_what_holds_no_numbers_is_refused(wrong: Any) -> None:
    model = MujocoDynamics("Hopper-v5", threads=1)
    _, states = model.reset(1)
    with pytest.raises(ConfigError, match="Hopper-v5: actions"):
        model.step_numpy(states, wrong)
    with pytest.raises(ConfigError, match="Hopper-v5: states"):
        model.step_numpy(wrong, np.zeros((1, 3)))


@pytest.mark.parametrize("task", TASKS)
def test_shooting_in_every_task_of_gymnasium(task: str) -> None:
    """Also from an environment in the middle of an episode, whose layout is not ours."""
    env = gym.make(task)
    settings = ShootingSettings(samples=6, elites=3, iterations=1, horizon=2)
    planner = ShootingPlanner.for_env(env, settings, threads=1)
    observation, _ = env.reset(seed=0)
    for _ in range(2):
        decision = planner.plan(observation)
        assert env.action_space.contains(decision.action)
        observation, *_ = env.step(decision.action)
    layouts = [layout(observation[None])[0] for layout in LAYOUTS.values()]
    actions = []
    for layout in layouts:
        planner.reset(seed=3)
        actions.append(planner.plan(layout).action.tolist())
    assert all(action == actions[0] for action in actions)
    env.close()
