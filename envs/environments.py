"""Environments by name: a gymnasium id, or a task of another library through an adapter.

```python
from worldplan.envs import make_environment

make_environment("Hopper-v5")
make_environment("worldplan.envs.crafting:worldplan/PogoStickMap6-v0", max_steps=100)
```

A task of another library is named PREFIX/TASK ("MetaWorld/push-v3"), where PREFIX is an adapter: a
function from the name of a task to a gymnasium environment. An adapter of your own is one function
in one file:

```python
# my_module.py
import gymnasium
from worldplan.envs import ADAPTERS, make_environment

@ADAPTERS.register("pendulum")
def pendulum(task, **options):
    return gymnasium.make("Pendulum-v1", g={"earth": 9.81, "moon": 1.62}[task], **options)

make_environment("pendulum/moon")
```

Without the decorator, its address does as well: "my_module:pendulum/moon". An installed package may
announce an adapter in the entry-point group "worldplan.environments".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from worldplan.envs.boxes import action_box
from worldplan.envs.checked import CheckedEnvironment
from worldplan.milp.addresses import user_place
from worldplan.milp.errors import ConfigError, WorldplanError
from worldplan.milp.registry import Registry

Environment = gym.Env[Any, Any]
Adapter = Callable[..., Environment]
"""make(task: str, **options) -> gymnasium environment."""

ADAPTERS: Registry[Adapter] = Registry("environment adapter", "worldplan.environments")


def make_environment(name: str, *, scale_actions: bool = False, **options: Any) -> Environment:
    """The environment of this name.

    Args:
        name: a gymnasium id ("Hopper-v5"; "module:Id-v0" imports the module first), or PREFIX/TASK
            for a task of another library, where PREFIX is in `ADAPTERS` or the address
            "module:adapter".
        scale_actions: rescale its actions to [-1, 1]; they must be vectors with finite bounds.
        options: keyword arguments of the environment.

    Raises:
        ConfigError: no environment has this name, it does not take these options, or, with
            `scale_actions`, its actions are no bounded vectors.
    """
    return _made(_factory(name), name, scale_actions, options)


def make_environments(
    name: str, count: int, *, scale_actions: bool = False, **options: Any
) -> SyncVectorEnv:
    """`count` copies of `make_environment(name, ...)` side by side, which do not reset themselves.
    What they return is checked in every step.

    Args:
        name: see `make_environment`.
        count: of environments.
        scale_actions: see `make_environment`.
        options: keyword arguments of each environment.

    Raises:
        ConfigError: see `make_environment`.
    """
    make = partial(_made, _factory(name), name, scale_actions, options)
    checked = [lambda: CheckedEnvironment(make(), name)] * count
    return SyncVectorEnv(checked, autoreset_mode=AutoresetMode.DISABLED)


def _factory(name: str) -> Adapter:
    """Takes the options of the environment `name` and makes it.

    Raises:
        ConfigError: the module of an adapter fails.
    """
    prefix, slash, task = name.partition("/")
    if slash and prefix in ADAPTERS:
        return partial(ADAPTERS.get(prefix), task)
    if slash and ":" in prefix:
        try:
            adapter = ADAPTERS.get(prefix)
        except ConfigError as error:
            if not isinstance(error.__cause__, ImportError | AttributeError | ValueError):
                raise  # the module fails
            # not an address, but gymnasium's "module:Namespace/Id-v0"
            return partial(gym.make, name)
        if callable(adapter):
            return partial(adapter, task)
    return partial(gym.make, name)


def _made(factory: Adapter, name: str, scale_actions: bool, options: dict[str, Any]) -> Environment:
    try:
        env = factory(**options)
    except WorldplanError:
        raise
    except (Exception, SystemExit) as error:
        with_options = f" with {options}" if options else ""
        is_refusal = isinstance(error, gym.error.Error | ImportError | TypeError)
        cause = error if is_refusal else f"{type(error).__name__}: {error}{user_place(error)}"
        raise ConfigError(
            f"environment '{name}'{with_options} cannot be made ({cause}): give a gymnasium id "
            "such as Hopper-v5, or module:Id-v0 for your own, and options that it takes; or "
            f"ADAPTER/TASK, where ADAPTER is {', '.join(ADAPTERS)} or your own module:function"
        ) from error
    if not isinstance(env, gym.Env):
        raise ConfigError(
            f"environment '{name}': its adapter made a {type(env).__name__}, no gymnasium.Env"
        )
    return _scaled(env, name) if scale_actions else env


def _scaled(env: Environment, name: str) -> Environment:
    box = action_box(env.action_space, f"environment '{name}'")
    if len(box.shape) != 1:
        raise ConfigError(
            f"environment '{name}' has actions {box}: a bounded Box of one axis is needed"
        )
    if np.all(box.low == -1) and np.all(box.high == 1):
        return env
    return gym.wrappers.RescaleAction(env, np.float32(-1), np.float32(1))


@ADAPTERS.register("MetaWorld")
def metaworld_task(task: str, **options: Any) -> Environment:
    """A task of Meta-World, such as "push-v3", in an interpreter of its own.

    Args:
        task: its name in Meta-World.
        options: see `worldplan.envs.isolated.metaworld.make_metaworld`.

    Raises:
        MissingExtra: no interpreter has Meta-World.
        ConfigError: Meta-World has no such task.
    """
    return gym.make(
        "worldplan.envs.isolated.metaworld:worldplan/MetaWorld-v0", task=task, **options
    )
