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

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from worldplan.envs.boxes import action_box
from worldplan.envs.checked import CheckedEnvironment
from worldplan.envs.near_names import near_environment
from worldplan.envs.spec import NO_LIMIT, EnvironmentSpec
from worldplan.envs.wrappers import wrapped
from worldplan.milp.addresses import user_place
from worldplan.milp.errors import ConfigError, WorldplanError
from worldplan.milp.registry import Registry

Environment = gym.Env[Any, Any]
Adapter = Callable[..., Environment]
"""make(task: str, **options) -> gymnasium environment."""

ADAPTERS: Registry[Adapter] = Registry("environment adapter", "worldplan.environments")


def make_environment(
    name: str | EnvironmentSpec, *, scale_actions: bool = False, **options: Any
) -> Environment:
    """The environment of this name, or of this specification.

    Args:
        name: a gymnasium id ("Hopper-v5"; "module:Id-v0" imports the module first), or PREFIX/TASK
            for a task of another library, where PREFIX is in `ADAPTERS` or the address
            "module:adapter"; or what an environment is made of, see `worldplan.envs.spec`.
        scale_actions: rescale its actions to [-1, 1]; they must be vectors with finite bounds.
        options: keyword arguments of the environment, beside those of a specification.

    Raises:
        ConfigError: no environment has this name, it does not take these options or this step
            limit, a wrapper refuses it, or, with `scale_actions`, its actions are no bounded
            vectors.
    """
    spec = EnvironmentSpec(name) if isinstance(name, str) else name
    return _made(_factory(spec.id), spec, scale_actions, options)


def make_environments(
    name: str | EnvironmentSpec, count: int, *, scale_actions: bool = False, **options: Any
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
    spec = EnvironmentSpec(name) if isinstance(name, str) else name
    make = partial(_made, _factory(spec.id), spec, scale_actions, options)
    checked = [lambda: CheckedEnvironment(make(), spec.id)] * count
    return SyncVectorEnv(checked, autoreset_mode=AutoresetMode.DISABLED)


def adapter_of(name: str) -> tuple[Adapter, str] | None:
    """The adapter of PREFIX/TASK, and the task; None for a gymnasium id.

    Raises:
        ConfigError: the module of an adapter fails.
    """
    prefix, slash, task = name.partition("/")
    if slash and prefix in ADAPTERS:
        return ADAPTERS.get(prefix), task
    if slash and ":" in prefix:
        try:
            adapter = ADAPTERS.get(prefix)
        except ConfigError as error:
            if not isinstance(error.__cause__, ImportError | AttributeError | ValueError):
                raise  # the module fails
            return None  # not an address, but gymnasium's "module:Namespace/Id-v0"
        if callable(adapter):
            return adapter, task
    return None


def loaded_adapter(name: str) -> Adapter | None:
    """The adapter of PREFIX/TASK, if its module is loaded; None for a gymnasium id. Nothing is
    imported: the name may come from a file.

    Args:
        name: of an environment.
    """
    prefix, slash, _ = name.partition("/")
    if slash and prefix in ADAPTERS:
        return ADAPTERS.get(prefix)
    module, colon, attribute = prefix.partition(":")
    if not slash or not colon or module not in sys.modules:
        return None
    adapter = vars(sys.modules[module]).get(attribute)
    return adapter if callable(adapter) else None


def _factory(name: str) -> Adapter:
    """Takes the options of the environment `name` and makes it.

    Raises:
        ConfigError: the module of an adapter fails.
    """
    adapter = adapter_of(name)
    return partial(gym.make, name) if adapter is None else partial(_from_adapter, *adapter)


def _from_adapter(
    adapter: Adapter, task: str, *, max_episode_steps: int | None = None, **options: Any
) -> Environment:
    """The environment of an adapter, with a step limit that is not longer than its own.

    Raises:
        ConfigError: the step limit cannot be set.
    """
    env = adapter(task, **options)
    if max_episode_steps is None or not isinstance(env, gym.Env):
        return env
    own = None if env.spec is None else env.spec.max_episode_steps
    if max_episode_steps == NO_LIMIT or (own is not None and own < max_episode_steps):
        raise ConfigError(
            f"environment '{task}': max_episode_steps {max_episode_steps}: its adapter ends "
            f"episodes after {own} steps: give a smaller number, or leave it out"
        )
    return gym.wrappers.TimeLimit(env, max_episode_steps)


def _made(
    factory: Adapter, spec: EnvironmentSpec, scale_actions: bool, options: dict[str, Any]
) -> Environment:
    name, arguments = spec.id, {**spec.kwargs, **options}
    if spec.max_episode_steps is not None:
        arguments["max_episode_steps"] = spec.max_episode_steps
    try:
        env = factory(**arguments)
    except WorldplanError:
        raise
    except (Exception, SystemExit) as error:
        with_options = f" with {arguments}" if arguments else ""
        is_refusal = isinstance(error, gym.error.Error | ImportError | TypeError)
        cause = error if is_refusal else f"{type(error).__name__}: {error}{user_place(error)}"
        near = near_environment(name, ADAPTERS) if _is_unknown(error) else ""
        raise ConfigError(
            f"environment '{name}'{with_options} cannot be made ({cause}){near}: give a "
            "gymnasium id such as Hopper-v5, or module:Id-v0 for your own, and options that it "
            f"takes; or ADAPTER/TASK, where ADAPTER is {', '.join(ADAPTERS)} or your own "
            "module:function"
        ) from error
    if not isinstance(env, gym.Env):
        raise ConfigError(
            f"environment '{name}': its adapter made a {type(env).__name__}, no gymnasium.Env"
        )
    for wrapper in spec.wrappers:
        env = wrapped(env, wrapper, name)
    return _scaled(env, name) if scale_actions else env


def _is_unknown(error: BaseException) -> bool:
    """Whether there is no environment of the name, or no module."""
    is_unknown = isinstance(error, gym.error.UnregisteredEnv)
    return is_unknown or "importing a module failed" in str(error)


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
