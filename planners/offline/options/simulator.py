"""An imperfect simulator as the dynamics that rollouts happen in: `simulator: {id, kwargs}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control import PendulumEnv
from gymnasium.spaces import Box
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from worldplan.envs.dynamics.model import DynamicsModel
from worldplan.envs.dynamics.pendulum import PendulumDynamics
from worldplan.envs.environments import make_environment
from worldplan.milp.errors import ConfigError
from worldplan.world_models.data.transitions import Transitions

_NO_CHANGE = (OrderEnforcing, PassiveEnvChecker, TimeLimit)  # wrappers that leave steps as they are
_NUMBERS = ("g", "m", "l", "dt", "max_speed", "max_torque")


def make_simulator(
    simulator: Mapping[str, Any], data: Transitions, actions: Box, threads: int | None = None
) -> DynamicsModel:
    """The model of a simulator, which steps batches of states of a dataset.

    Args:
        simulator: "id", of a gymnasium environment, and "kwargs", its keyword arguments.
        data: of the real environment.
        actions: of the real environment, finite bounds.
        threads: of a MuJoCo simulator; None takes all cores.

    Raises:
        ConfigError: the mapping is none, the environment cannot be made or has other spaces than
            the real one, cannot be stepped from a state of the data, or the data lack states.
    """
    name, kwargs = _named(simulator)
    env = make_environment(name, **kwargs)
    try:
        _require_spaces(env, name, data, actions)
        _require_bare(env, name)
        if hasattr(env.unwrapped, "data") and hasattr(env.unwrapped, "model"):
            return _mujoco(name, kwargs, data, threads)
        if isinstance(env.unwrapped, PendulumEnv):
            return _pendulum(env.unwrapped, name)
    finally:
        env.close()
    raise ConfigError(
        f"simulator '{name}': only MuJoCo tasks and gymnasium's Pendulum can be set to a state of "
        "the data: give a batched model of your own as dynamics: module:MyDynamics, with its "
        "arguments as dynamics_options, and leave simulator out"
    )


def _named(simulator: Any) -> tuple[str, dict[str, Any]]:
    """Id and keyword arguments.

    Raises:
        ConfigError: they are not what a simulator needs.
    """
    remedy = "write simulator: {id: Pendulum-v1, kwargs: {g: 12}}"
    if not isinstance(simulator, Mapping) or not isinstance(simulator.get("id"), str):
        raise ConfigError(f"simulator {simulator!r:.80}: has no id of an environment: {remedy}")
    if unknown := sorted(str(key) for key in simulator.keys() - {"id", "kwargs"}):
        raise ConfigError(f"simulator: has no setting {', '.join(unknown)}: {remedy}")
    kwargs = simulator.get("kwargs") or {}
    if not isinstance(kwargs, Mapping) or not all(isinstance(key, str) for key in kwargs):
        raise ConfigError(f"simulator.kwargs {kwargs!r:.80}: is no mapping of arguments: {remedy}")
    return simulator["id"], dict(kwargs)


def _require_spaces(env: gym.Env[Any, Any], name: str, data: Transitions, actions: Box) -> None:
    """Compare the spaces of a simulator with the real ones.

    Raises:
        ConfigError: they differ.
    """
    seen, own = env.observation_space, env.action_space
    if not isinstance(seen, Box) or seen.shape != data.observation.shape[1:]:
        raise ConfigError(
            f"simulator '{name}' shows {seen}, the dataset has observations of size "
            f"{data.observation.shape[1]}: take a simulator of the same task"
        )
    if not (
        isinstance(own, Box)
        and own.shape == actions.shape
        and np.allclose(own.low, actions.low)
        and np.allclose(own.high, actions.high)
    ):
        raise ConfigError(
            f"simulator '{name}' takes actions {own}, the environment takes {actions}: take a "
            "simulator of the same task"
        )


def _require_bare(env: gym.Env[Any, Any], name: str) -> None:
    """Check that no wrapper changes what a simulator does in a step.

    Raises:
        ConfigError: one does.
    """
    while isinstance(env, gym.Wrapper):
        if not isinstance(env, _NO_CHANGE):
            raise ConfigError(
                f"simulator '{name}': its wrapper {type(env).__name__} cannot be stepped from a "
                "state of the data: name the environment without it"
            )
        env = env.env


def _mujoco(
    name: str, kwargs: dict[str, Any], data: Transitions, threads: int | None
) -> DynamicsModel:
    """A MuJoCo simulator.

    Raises:
        ConfigError: the data have no simulator states, or of another size.
    """
    from worldplan.envs.dynamics.mujoco import MujocoDynamics  # MuJoCo is loaded only when used

    model = MujocoDynamics(name, threads=threads, **kwargs)
    width = 0 if data.state is None else data.state.shape[1]
    if model.state_size != width:
        raise ConfigError(
            f"simulator '{name}': needs simulator states of size {model.state_size}, the dataset "
            f"has {width or 'none'}: collect data with 'worldplan data collect', or take a "
            "simulator of the same task"
        )
    return model


def _pendulum(env: PendulumEnv, name: str) -> DynamicsModel:
    """The classic pendulum, with the numbers of an environment.

    Raises:
        ConfigError: its class changes the step.
    """
    kind = type(env)
    if any(getattr(kind, part) is not getattr(PendulumEnv, part) for part in ("step", "_get_obs")):
        raise ConfigError(
            f"simulator '{name}': its {kind.__name__} has a step of its own, which no batched "
            "model here reproduces: give one as dynamics: module:MyDynamics"
        )
    return PendulumDynamics(**{number: float(getattr(env, number)) for number in _NUMBERS})
