"""Which environment a misspelt name was probably meant to be."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from contextlib import suppress

import gymnasium as gym

from worldplan.nearest import closest_of

_MODULES = (
    "worldplan.envs.crafting",
    "worldplan.envs.manipulation",
    "worldplan.envs.swing_up",
    "worldplan.envs.adroit",
)
"""Modules here that register environments under `worldplan/`."""


def near_environment(name: str, adapters: Iterable[str]) -> str:
    """ " (did you mean 'Hopper-v5'?)", with an environment that exists; "" where none is near.

    Args:
        name: as it was written: "Hoper-v5", "module:Id-v0" or "ADAPTER/task".
        adapters: prefixes of the tasks of other libraries.
    """
    module, colon, inner = name.rpartition(":")
    prefix, slash, task = inner.partition("/")
    if slash and not colon and (adapter := closest_of(prefix, adapters)):
        return _sentence(f"{adapter}/{task}")
    if module in sys.modules and module not in _MODULES:  # it has registered its environments
        known = {entry: f"{module}:{entry}" for entry in gym.registry}
    else:
        own = _own_ids() if not colon or closest_of(module, _MODULES) else {}
        known = {entry: entry for entry in gym.registry} | own
    near = closest_of(inner, known)
    return _sentence(known[near]) if near and known[near] != name else ""


def _sentence(name: str) -> str:
    return f" (did you mean '{name}'?)"


def _own_ids() -> dict[str, str]:
    """The full names of worldplan's environments, by their ids; of those whose extra is there."""
    full = {}
    for module in _MODULES:
        with suppress(ImportError):
            importlib.import_module(module)
        for name, spec in gym.registry.items():
            if name.startswith("worldplan/") and str(spec.entry_point).startswith(module):
                full[name] = f"{module}:{name}"
    return full
