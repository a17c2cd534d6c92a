"""When an episode of a MuJoCo task is over, read from observations: for models that predict the
next observation and nothing else.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable

import torch
from torch import Tensor

from worldplan.milp.errors import ConfigError

Termination = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(observation, action, next_observation), each (batch, size) -> (batch,) bool. A time limit is no termination."""


def never(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """HalfCheetah, Swimmer, Reacher, Pusher and HumanoidStandup only ever reach their time limit."""
    return torch.zeros(
        next_observation.shape[:-1], dtype=torch.bool, device=next_observation.device
    )


def hopper(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """Height at most 0.7, torso angle out of (-0.2, 0.2), or a state number out of (-100, 100).

    The observation shows velocities cut at +-10, so a velocity beyond 100, which ends an episode
    too, cannot be seen.
    """
    height, angle, rest = (
        next_observation[..., 0],
        next_observation[..., 1],
        next_observation[..., 1:],
    )
    # asked this way round, a value that is not a number counts as fallen, as in gymnasium
    return ~(
        (height > 0.7) & (height < torch.inf) & (angle.abs() < 0.2) & (rest.abs() < 100).all(-1)
    )


def walker2d(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """Height out of (0.8, 2) or torso angle out of (-1, 1)."""
    height, angle = next_observation[..., 0], next_observation[..., 1]
    return ~((height > 0.8) & (height < 2.0) & (angle.abs() < 1.0))


def ant(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """Height out of [0.2, 1], or a number that is not finite."""
    height = next_observation[..., 0]
    return ~((height >= 0.2) & (height <= 1.0) & torch.isfinite(next_observation).all(-1))


def humanoid(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """Height out of (1, 2)."""
    height = next_observation[..., 0]
    return ~((height > 1.0) & (height < 2.0))


def inverted_pendulum(observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
    """Pole angle beyond 0.2 rad, or a number that is not finite."""
    return ~((next_observation[..., 1].abs() <= 0.2) & torch.isfinite(next_observation).all(-1))


def inverted_double_pendulum(
    observation: Tensor, action: Tensor, next_observation: Tensor
) -> Tensor:
    """Tip of the two poles (0.6 m each) at most 1 m high; the observation holds sines and cosines
    of the two joint angles.
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
"""Rules of gymnasium's v5 tasks with their default settings (v4 has the same ones)."""


def termination_for(name: str) -> Termination:
    """The rule of a task ("hopper", "inverted_double_pendulum"), of an environment id
    ("Hopper-v5"), or your own function ("my_module:my_rule").

    Raises ConfigError for an unknown name, with the choices, and for a function that cannot be
    imported.
    """
    if ":" in name:
        return _imported(name)
    rule = TERMINATIONS.get(re.sub(r"(-v\d+$)|[_-]", "", name).lower())
    if rule is None:
        raise ConfigError(
            f"no termination rule for '{name}': choose one of {', '.join(TERMINATIONS)}, or your own 'module:function'"
        )
    return rule


def _imported(name: str) -> Termination:
    module, _, function = name.partition(":")
    try:
        rule = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"termination '{name}' cannot be imported ({reason}): check the names, and that the module is on PYTHONPATH"
        ) from error
    if not callable(rule):
        raise ConfigError(
            f"termination '{name}' is a {type(rule).__name__}: name a function (observation, action, next_observation) -> bool"
        )
    return rule
