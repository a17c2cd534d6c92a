"""Environments that a file describes: a dataset, or a policy's checkpoint.

A file must not decide which code is run. Its environment is made only out of what is registered
here and of gymnasium's own wrappers; all else the user names.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import replace

import gymnasium as gym

from worldplan.envs.environments import ADAPTERS
from worldplan.envs.spec import EnvironmentSpec
from worldplan.milp.addresses import own_errors
from worldplan.milp.errors import ConfigError

_OWN_MODULE = re.compile(r"worldplan\.envs(\.\w+)*")
_PROGRAMS = ("python",)  # arguments of worldplan's environments that name a program to start
_MAKES_ANY = re.compile(r"GymV\d+Environment-v\d+")  # an argument says which environment is made


def makeable(spec: EnvironmentSpec, source: str) -> EnvironmentSpec:
    """The environment that a file describes, if it can be made without code that the file chooses.

    Args:
        spec: of the file.
        source: the file, for messages.

    Returns:
        The same environment, whose id is registered here: it comes without its module.

    Raises:
        ConfigError: the id needs a module that is not worldplan's and not loaded, a wrapper is not
            one of gymnasium's, or an argument names a program to start.
    """
    bare = _registered_id(spec.id)
    foreign = [wrapper.name for wrapper in spec.wrappers if ":" in wrapper.name]
    programs = [f"argument {name}" for name in spec.kwargs if name in _PROGRAMS]
    if bare is None or _MAKES_ANY.fullmatch(bare):
        what = "id"
    elif foreign:
        what = f"wrapper {foreign[0]}"
    elif programs:
        what = programs[0]
    else:
        return replace(spec, id=bare)
    raise ConfigError(
        f"{source}: its environment {spec} runs code that a file must not choose (its {what}): if "
        f"that is yours, name it: environment: {spec.short()}"
    )


def _registered_id(name: str) -> str | None:
    """The name that makes the environment; None where that would run code of a file's choice."""
    prefix, slash, _ = name.partition("/")
    if slash and prefix in ADAPTERS:
        return name
    module, _, bare = name.rpartition(":")
    if not module or bare in gym.registry:
        return bare
    if not _OWN_MODULE.fullmatch(module):
        return None
    with own_errors(f"environment '{name}'", "reinstall worldplan"):
        try:
            importlib.import_module(module)
        except ImportError:
            return None
    return bare if bare in gym.registry else None
