"""What a shooting planner requires of spaces, environments and devices."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from worldplan.envs.boxes import action_box
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError


def bounded(space: gym.Space[Any], size: int) -> spaces.Box:
    """The space itself.

    Raises:
        ConfigError: it is no bounded Box of `size` real numbers.
    """
    box = action_box(space, "shooting draws actions between bounds")
    if int(np.prod(box.shape)) != size:
        raise ConfigError(
            f"the action space {box} has {int(np.prod(box.shape))} numbers, the model's "
            f"actions have {size}"
        )
    return box


def require_plain(env: Any, spec: EnvSpec, *, own_reward: bool) -> None:
    """Check that a simulator made from `spec` does what `env` does.

    Raises:
        ConfigError: `env` is another task, or a wrapper changes its actions or rewards.
    """
    other = env.spec
    if other is None or (other.id, other.kwargs) != (spec.id, spec.kwargs):
        raise ConfigError(
            f"its environments are not all {spec.id} with the options {spec.kwargs}: make a "
            "planner for each task"
        )
    changes_actions = env.action_space != env.unwrapped.action_space
    changes_rewards = False
    while isinstance(env, gym.Wrapper):
        changes_actions |= isinstance(env, gym.ActionWrapper)
        changes_rewards |= isinstance(env, gym.RewardWrapper)
        env = env.env
    if changes_actions:
        raise ConfigError(
            f"{spec.id}: a wrapper changes its actions, so they mean something else to the "
            "simulator: plan without that wrapper"
        )
    if changes_rewards and not own_reward:
        raise ConfigError(
            f"{spec.id}: a wrapper changes its rewards, which the simulator does not know: plan "
            "without that wrapper, or pass reward, a function of observation, action and next "
            "observation"
        )


def device_of(name: torch.device | str) -> torch.device:
    """The device itself, if this machine has it.

    Raises:
        ConfigError: there is no such device.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError, TypeError, NotImplementedError) as error:
        raise ConfigError(
            f"device {checks.shown(name)} cannot be used here ({str(error).splitlines()[0]}): "
            "give 'cpu', or 'cuda' where torch has it"
        ) from error
    return device
