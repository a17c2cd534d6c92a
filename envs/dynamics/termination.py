"""Termination functions of gymnasium's MuJoCo tasks, computed from observations.

A learned model predicts the next observation and reward; these functions tell which rows terminate.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from worldplan.envs.spec import EnvironmentSpec
from worldplan.envs.wrappers import WITHOUT_EFFECT
from worldplan.milp.addresses import own_errors
from worldplan.milp.errors import ConfigError

_SAME_OBSERVATIONS = (*WITHOUT_EFFECT, "ClipAction", "RescaleAction", "ClipReward")

Termination = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(observation, action, next_observation), each (batch, size) -> (batch,) bool; no time limits."""


def never(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """(batch,), all False: HalfCheetah, Swimmer, Reacher, Pusher and HumanoidStandup."""
    return torch.zeros(
        next_observation.shape[:-1], dtype=torch.bool, device=next_observation.device
    )


def hopper(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """(batch,): height at most 0.7, torso angle or an entry of the state out of range.

    The ranges are (-0.2, 0.2) for the angle and (-100, 100) for every entry after the height. A
    velocity beyond +-100 terminates an episode of the simulator, too, but cannot be detected here:
    observed velocities are clipped to +-10.
    """
    height, angle, rest = (
        next_observation[..., 0],
        next_observation[..., 1],
        next_observation[..., 1:],
    )
    # written so that NaN counts as terminated, as in gymnasium
    return ~(
        (height > 0.7) & (height < torch.inf) & (angle.abs() < 0.2) & (rest.abs() < 100).all(-1)
    )


def walker2d(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """(batch,): height out of (0.8, 2) or torso angle out of (-1, 1)."""
    height, angle = next_observation[..., 0], next_observation[..., 1]
    return ~((height > 0.8) & (height < 2.0) & (angle.abs() < 1.0))


def ant(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """(batch,): height out of [0.2, 1], or an entry that is not finite."""
    height = next_observation[..., 0]
    return ~((height >= 0.2) & (height <= 1.0) & torch.isfinite(next_observation).all(-1))


def humanoid(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """(batch,): height out of (1, 2)."""
    height = next_observation[..., 0]
    return ~((height > 1.0) & (height < 2.0))


def inverted_pendulum(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """(batch,): pole angle beyond +-0.2 rad, or an entry that is not finite."""
    return ~((next_observation[..., 1].abs() <= 0.2) & torch.isfinite(next_observation).all(-1))


def inverted_double_pendulum(
    observation: Tensor, action: Tensor, next_observation: Tensor
) -> Tensor:
    """(batch,): tip of the two poles (0.6 m each) at most 1 m high.

    The observation holds sines and cosines of the two joint angles.
    """
    sin_1, sin_2, cos_1, cos_2 = next_observation[..., 1:5].unbind(-1)
    return ~(0.6 * (cos_1 + cos_1 * cos_2 - sin_1 * sin_2) > 1.0)


TERMINATIONS: dict[str, Termination] = {
    "ant": ant,
    "halfcheetah": never,
    "hopper": hopper,
    "humanoid": humanoid,
    "humanoidstandup": never,
    "inverteddoublependulum": inverted_double_pendulum,
    "invertedpendulum": inverted_pendulum,
    "never": never,
    "pusher": never,
    "reacher": never,
    "swimmer": never,
    "walker2d": walker2d,
}
"""Those of gymnasium's v5 tasks with default settings; v4 has the same ones."""


def termination_for(name: str) -> Termination:
    """The termination function called `name`.

    Args:
        name: of a task ("hopper", "inverted_double_pendulum"), a gymnasium id ("Hopper-v5"), or
            the address of a function ("my_module:my_rule").

    Raises:
        ConfigError: the name is unknown (the message lists the names), or the function cannot be
            imported.
    """
    if ":" in name:
        return _imported(name)
    rule = TERMINATIONS.get(re.sub(r"(-v\d+$)|[_-]", "", name).lower())
    if rule is None:
        raise ConfigError(
            f"no termination rule for '{name}': choose one of {', '.join(TERMINATIONS)}, or your "
            "own 'module:function'"
        )
    return rule


def termination_of(
    *specs: EnvironmentSpec,
    remedy: str = "set termination to 'learned', 'never' or your own 'module:function'",
) -> Termination:
    """The termination function that goes with the name of an environment.

    Args:
        specs: of the environment, as different files record it; the first has the name.
        remedy: what to do where the function does not hold, for messages.

    Raises:
        ConfigError: the name is unknown, or an argument or a wrapper changes when episodes
            terminate, or the observations.
    """
    for spec in specs:
        changes = [
            name
            for name in spec.kwargs
            if name.startswith(("healthy_", "terminate_", "exclude_", "xml_file"))
            and name != "healthy_reward"
        ]
        changes += [
            wrapper.name for wrapper in spec.wrappers if wrapper.name not in _SAME_OBSERVATIONS
        ]
        if changes:
            raise ConfigError(
                f"environment {spec}: the termination rule that goes with its name holds without "
                f"{', '.join(changes)}: {remedy}"
            )
    return termination_for(specs[0].bare_id)


def _imported(name: str) -> Termination:
    module, _, function = name.partition(":")
    rule: Any = None
    with own_errors(f"termination '{name}'", "mend it, or name another function"):
        try:
            rule = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"termination '{name}' cannot be imported ({reason}): check the names, and that "
                "the module is on PYTHONPATH"
            ) from error
    if not callable(rule):
        raise ConfigError(
            f"termination '{name}' is a {type(rule).__name__}: name a function (observation, "
            "action, next_observation) -> bool"
        )
    termination: Termination = rule
    return termination
