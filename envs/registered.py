"""Specifications of environments beside what is registered here: with the registered arguments
filled in, compared with each other, and translated from and into gymnasium's own form.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import (
    EnvSpec,
    find_highest_version,
    get_env_id,
    load_env_creator,
    parse_env_id,
)

from worldplan.envs.environments import loaded_adapter
from worldplan.envs.spec import (
    NO_LIMIT,
    EnvironmentSpec,
    WrapperSpec,
    parse_spec,
    plain_arguments,
)
from worldplan.envs.wrappers import WITHOUT_EFFECT, WRAPPERS, wrapper_class
from worldplan.milp.errors import DatasetError

_Change = tuple[str, str, str]  # (argument, its value there, its value here)
_UNKNOWN = "not set"
_DRAWING = ("render_mode",)  # arguments without an effect on observations, rewards and ends


def registration(name: str) -> EnvSpec | None:
    """What gymnasium's registry holds of an id, without importing its module; of an id without a
    version, the latest. None where there is nothing.
    """
    bare = name.rpartition(":")[2]
    if bare in gym.registry:
        return gym.registry[bare]
    try:
        namespace, short, version = parse_env_id(bare)
    except gym.error.Error:
        return None
    latest = find_highest_version(namespace, short) if version is None else None
    return None if latest is None else gym.registry[get_env_id(namespace, short, latest)]


def resolved(spec: EnvironmentSpec) -> EnvironmentSpec:
    """The same environment with its version, and with the registered arguments and step limit where
    `spec` has none of its own. An adapter's task, and an id that is not registered, stay as they
    are.
    """
    registered = None if loaded_adapter(spec.id) else registration(spec.id)
    if registered is None:
        return spec
    limit, usual = spec.max_episode_steps, registered.max_episode_steps
    module = spec.id.rpartition(":")[0]
    kwargs = plain_arguments(registered.kwargs) | dict(spec.kwargs)
    return replace(
        spec,
        id=f"{module}:{registered.id}" if module else registered.id,
        kwargs={name: value for name, value in kwargs.items() if name not in _DRAWING},
        max_episode_steps=(usual or NO_LIMIT) if limit is None else limit,
    )


# --- comparison -----------------------------------------------------------------------------------


def differences(
    recorded: EnvironmentSpec, given: EnvironmentSpec, where: str = "the data", here: str = "here"
) -> list[str]:
    """What differs between two environments, such as "g: 2 in the data, 10 here".

    An argument that one of them leaves out has the default of the environment's constructor.
    Nothing that `recorded` names is imported.

    Args:
        recorded: what a dataset or a policy records.
        given: the user's.
        where: `recorded` comes from, for the texts.
        here: `given` comes from, for the texts.
    """
    two = resolved(given)
    if not _same_id(recorded.id, two.id):
        return [f"id: {recorded.id} in {where}, {two.id} {here}"]
    one = resolved(replace(recorded, id=two.id))
    changes = _argument_changes("", one.kwargs, two.kwargs, _defaults(two.id))
    if one.max_episode_steps != two.max_episode_steps:
        limits = [_limit_text(spec.max_episode_steps) for spec in (one, two)]
        changes.append(("max_episode_steps", limits[0], limits[1]))
    changes += _wrapper_changes(_effective(one), _effective(two))
    return [f"{name}: {before} in {where}, {now} {here}" for name, before, now in changes]


def _same_id(recorded: str, given: str) -> bool:
    """Whether two names are of one environment: "module:Id-v0" and "Id-v0" are."""
    same = recorded.rpartition(":")[2] == given.rpartition(":")[2]
    return recorded == given or (same and loaded_adapter(given) is None)


def _effective(spec: EnvironmentSpec) -> list[WrapperSpec]:
    return [wrapper for wrapper in spec.wrappers if wrapper.name not in WITHOUT_EFFECT]


def _argument_changes(
    prefix: str, one: Mapping[str, Any], two: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[_Change]:
    changes: list[_Change] = []
    for name in sorted((one.keys() | two.keys()).difference(_DRAWING)):
        values = [kwargs.get(name, defaults.get(name, _UNKNOWN)) for kwargs in (one, two)]
        if not _equal(*values):
            texts = [value if value is _UNKNOWN else repr(value) for value in values]
            changes.append((f"{prefix}{name}", texts[0], texts[1]))
    return changes


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_equal, one, two))
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_equal(one[name], two[name]) for name in one)
    return bool(one == two) and isinstance(one, bool) == isinstance(two, bool)


def _limit_text(limit: int | None) -> str:
    return "none" if limit == NO_LIMIT else _UNKNOWN if limit is None else str(limit)


def _wrapper_changes(one: list[WrapperSpec], two: list[WrapperSpec]) -> list[_Change]:
    if [wrapper.name for wrapper in one] != [wrapper.name for wrapper in two]:
        texts = [", ".join(map(str, wrappers)) or "none" for wrappers in (one, two)]
        return [("wrappers", texts[0], texts[1])]
    changes = []
    for before, now in zip(one, two, strict=True):
        if before.kwargs is None or now.kwargs is None:  # recorded nowhere: not comparable
            continue
        own = now.name not in WRAPPERS  # a name in a file is not imported
        defaults = {} if own else _signature_defaults(wrapper_class(now.name, "environment"))
        changes += _argument_changes(f"{now.name}.", before.kwargs, now.kwargs, defaults)
    return changes


def _defaults(name: str) -> dict[str, Any]:
    """Default arguments of an environment's constructor, as JSON values where they have any."""
    adapter = loaded_adapter(name)
    if adapter is not None:
        return _signature_defaults(adapter)
    registered = registration(name)
    creator: Any = registered.entry_point if registered is not None else None
    if isinstance(creator, str):
        try:
            creator = load_env_creator(creator)
        except Exception:  # of an environment that cannot be imported: making it says why
            creator = None
    return {} if creator is None else _signature_defaults(creator)


def _signature_defaults(make: Callable[..., Any]) -> dict[str, Any]:
    """Default arguments; those of a class include what its parents take by keyword."""
    makers = (
        [vars(kind).get("__init__") for kind in make.__mro__] if isinstance(make, type) else [make]
    )
    defaults: dict[str, Any] = {}
    for maker in makers:
        try:
            parameters = inspect.signature(maker).parameters.values() if maker else ()
        except (TypeError, ValueError):
            continue
        for parameter in parameters:
            if parameter.default is not parameter.empty:
                defaults.setdefault(parameter.name, parameter.default)
        if maker and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return plain_arguments(defaults)


# --- gymnasium's form -----------------------------------------------------------------------------


def spec_from_gymnasium(text: Any, what: str) -> EnvironmentSpec:
    """The environment that the JSON text of a gymnasium EnvSpec describes; nothing is imported.

    Its entry point is not used: the id must be registered here when the environment is made.

    Args:
        text: of `EnvSpec.to_json`.
        what: the beginning of the messages.

    Raises:
        DatasetError: it is no EnvSpec.
    """
    try:
        content = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise DatasetError(
            f"{what} is no JSON text ({error}): delete it from metadata.json, and set environment"
        ) from error
    if not isinstance(content, Mapping):
        raise DatasetError(f"{what} is no mapping: delete it, or write the dataset again")
    wrappers = content.get("additional_wrappers")
    if not isinstance(wrappers, list) or not all(isinstance(entry, Mapping) for entry in wrappers):
        raise DatasetError(f"{what}: additional_wrappers is no list of wrappers: write it again")
    kwargs = content.get("kwargs")
    if isinstance(kwargs, Mapping):
        kwargs = {name: value for name, value in kwargs.items() if name not in _DRAWING}
    limit = content.get("max_episode_steps")
    spec = parse_spec(
        {
            "id": content.get("id"),
            "kwargs": kwargs,
            "max_episode_steps": NO_LIMIT if limit is None else limit,
            "wrappers": [_from_gymnasium(entry) for entry in wrappers],
        },
        what,
        error=DatasetError,
    )
    own = registration(spec.id)
    registered = [] if own is None else [entry.name for entry in own.additional_wrappers]
    names = [wrapper.name.rpartition(":")[2] for wrapper in spec.wrappers]
    if registered and names[: len(registered)] == registered:  # gymnasium.make adds them itself
        spec = replace(spec, wrappers=spec.wrappers[len(registered) :])
    return spec


def _from_gymnasium(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A wrapper's mapping: gymnasium's own by name, others by address."""
    address = str(entry.get("entry_point"))
    is_own = not address.startswith(("gymnasium.wrappers.", "gymnasium.wrappers:"))
    name = address if is_own else entry.get("name")
    return {"name": name, "kwargs": entry.get("kwargs", {})}


def spec_to_gymnasium(spec: EnvironmentSpec) -> EnvSpec | None:
    """The same environment in gymnasium's form; None where its id is not registered here, or is the
    task of an adapter.
    """
    registered = None if loaded_adapter(spec.id) else registration(spec.id)
    if registered is None:
        return None
    complete, form = resolved(spec), copy.deepcopy(registered)
    limit = complete.max_episode_steps
    form.kwargs = {**plain_arguments(registered.kwargs), **complete.kwargs}
    form.entry_point = _address(registered.entry_point)
    form.vector_entry_point = _address(registered.vector_entry_point)
    form.max_episode_steps = None if limit == NO_LIMIT else limit
    form.additional_wrappers = (
        *registered.additional_wrappers,
        *(_to_gymnasium(wrapper) for wrapper in _effective(complete)),
    )
    return form


def _address(creator: Any) -> str | None:
    """The entry point as a text "module:Name": a dataset cannot hold the class that was
    registered.
    """
    if creator is None or isinstance(creator, str):
        return creator
    name = getattr(creator, "__qualname__", type(creator).__qualname__)
    return f"{getattr(creator, '__module__', '')}:{name}"


def _to_gymnasium(wrapper: WrapperSpec) -> gym.envs.registration.WrapperSpec:
    """A wrapper in gymnasium's form; nothing is imported."""
    name = wrapper.name.rpartition(":")[2]
    address = wrapper.name if ":" in wrapper.name else f"gymnasium.wrappers:{name}"
    kwargs = None if wrapper.kwargs is None else dict(wrapper.kwargs)
    return gym.envs.registration.WrapperSpec(name, address, kwargs)
