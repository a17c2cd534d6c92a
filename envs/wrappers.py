"""Wrappers of gymnasium by name, for environments that a dataset or a policy describes.

Only wrappers whose arguments say all that they do are made: the running statistics of
NormalizeObservation, for example, are in no dataset.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.envs.spec import WrapperSpec
from worldplan.milp.addresses import import_address, own_errors
from worldplan.milp.errors import ConfigError

WRAPPERS = (
    "ClipAction",
    "ClipReward",
    "DelayObservation",
    "DtypeObservation",
    "FilterObservation",
    "FlattenObservation",
    "FrameStackObservation",
    "MaxAndSkipObservation",
    "RepeatAction",
    "RescaleAction",
    "RescaleObservation",
    "ReshapeObservation",
    "StickyAction",
    "TimeAwareObservation",
)
"""Names of the wrappers in gymnasium.wrappers that are made; TimeLimit is `max_episode_steps`."""
WITHOUT_EFFECT = ("OrderEnforcing", "PassiveEnvChecker", "RecordEpisodeStatistics")
"""Wrappers that change neither what an environment returns nor what it takes."""
_REASONS = {
    "NormalizeObservation": "its running statistics are part of no dataset",
    "NormalizeReward": "its running statistics are part of no dataset",
    "TransformAction": "a function is no JSON value: name your own wrapper, module:Name",
    "TransformObservation": "a function is no JSON value: name your own wrapper, module:Name",
    "TransformReward": "a function is no JSON value: name your own wrapper, module:Name",
    "Autoreset": "episodes must end where the environment ends them",
}


def wrapped(env: gym.Env[Any, Any], wrapper: WrapperSpec, name: str) -> gym.Env[Any, Any]:
    """The environment in a wrapper.

    Args:
        env: the environment.
        wrapper: one of `WRAPPERS`, or of the user's own at "module:Name".
        name: of the environment, for messages.

    Raises:
        ConfigError: there is no such wrapper, it cannot be made again, or it refuses its arguments
            or the environment.
    """
    what = f"environment '{name}': wrapper {wrapper.name}"
    if wrapper.name in WITHOUT_EFFECT:
        return env
    make = wrapper_class(wrapper.name, what)
    if wrapper.kwargs is None:
        raise ConfigError(f"{what}: its arguments are recorded nowhere: give them in environment")
    with own_errors(f"{what} with {dict(wrapper.kwargs)}", "check its arguments, and that it fits"):
        made = make(env, **_with_arrays(wrapper))
    if not isinstance(made, gym.Env):
        raise ConfigError(f"{what} made a {type(made).__name__}, no gymnasium.Env: mend it")
    return made


def wrapper_class(name: str, what: str) -> Any:
    """The class of a wrapper.

    Args:
        name: one of `WRAPPERS`, or "module:Name", which is imported.
        what: the beginning of the messages.

    Raises:
        ConfigError: there is no such wrapper, or it cannot be made again.
    """
    if ":" in name:
        return import_address(name, "wrapper")
    if name not in WRAPPERS:
        reason = _REASONS.get(name, "it is none of those that can be made again")
        raise ConfigError(f"{what}: {reason}: choose {', '.join(WRAPPERS)}, or module:Name")
    return getattr(importlib.import_module("gymnasium.wrappers"), name)


def _with_arrays(wrapper: WrapperSpec) -> Mapping[str, Any]:
    """The arguments of a wrapper: bounds (min_..., max_...) that are lists become arrays, and the
    list of a shape a tuple.
    """
    arguments = dict(wrapper.kwargs or {})
    for name, value in arguments.items():
        if (
            isinstance(value, list)
            and name.startswith(("min_", "max_"))
            and ":" not in wrapper.name
        ):
            arguments[name] = np.array(value, np.float32)
        elif isinstance(value, list) and name == "shape":
            arguments[name] = tuple(value)
    return arguments
