"""What an environment was made of, as plain JSON values: id, keyword arguments, step limit and
wrappers. Datasets and policies store it, and it can be compared.

```python
from worldplan.envs import make_environment, parse_spec

spec = parse_spec(
    {
        "id": "Pendulum-v1",
        "kwargs": {"g": 2.0},
        "max_episode_steps": 100,
        "wrappers": ["ClipAction", {"name": "ClipReward", "kwargs": {"min_reward": -5.0}}],
    }
)
env = make_environment(spec)
```

Reading a specification imports nothing and makes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, WorldplanError

NO_LIMIT = -1
"""`max_episode_steps` of an environment without a time limit, as in gymnasium.make."""
_LONGEST = 100_000  # characters of a specification's JSON text
_KEYS = ("id", "kwargs", "max_episode_steps", "wrappers")
_FORM = "give an id, or a mapping with " + ", ".join(_KEYS)


@dataclass(frozen=True)
class WrapperSpec:
    """A wrapper of an environment.

    Args:
        name: of a class in gymnasium.wrappers ("RescaleAction"), or its address "module:Name".
        kwargs: its keyword arguments, JSON values; None: a file does not say which they were.
    """

    name: str
    kwargs: Mapping[str, Any] | None = field(default_factory=dict)

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value}" for name, value in (self.kwargs or {}).items())
        return f"{self.name}({'?' if self.kwargs is None else inside})"


@dataclass(frozen=True)
class EnvironmentSpec:
    """An environment; see `parse_spec` for values that are not checked yet.

    Args:
        id: its name, as `worldplan.envs.environments.make_environment` takes it.
        kwargs: its keyword arguments, JSON values.
        max_episode_steps: steps after which an episode is truncated; None: as registered;
            `NO_LIMIT`: never.
        wrappers: from the innermost to the outermost.
    """

    id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    max_episode_steps: int | None = None
    wrappers: tuple[WrapperSpec, ...] = ()

    @property
    def bare_id(self) -> str:
        """The id without the module that registers it."""
        return self.id.rpartition(":")[2]

    @property
    def is_plain(self) -> bool:
        """Whether the id says everything."""
        return not self.kwargs and self.max_episode_steps is None and not self.wrappers

    def to_json(self) -> dict[str, Any]:
        """JSON values that `parse_spec` reads."""
        return {
            "id": self.id,
            "kwargs": dict(self.kwargs),
            "max_episode_steps": self.max_episode_steps,
            "wrappers": [
                {
                    "name": wrapper.name,
                    "kwargs": None if wrapper.kwargs is None else dict(wrapper.kwargs),
                }
                for wrapper in self.wrappers
            ],
        }

    def short(self) -> str:
        """The JSON text of a mapping without what is empty; the id alone where that says all."""
        parts = {name: value for name, value in self.to_json().items() if value}
        return self.id if self.is_plain else json.dumps(parts)

    def __str__(self) -> str:
        parts = [f"{name}={value}" for name, value in self.kwargs.items()]
        if self.max_episode_steps is not None:
            parts.append(f"max_episode_steps={self.max_episode_steps}")
        parts += [str(wrapper) for wrapper in self.wrappers]
        return f"{self.id}({', '.join(parts)})" if parts else self.id


def parse_spec(
    value: Any, what: str = "environment", *, error: type[WorldplanError] = ConfigError
) -> EnvironmentSpec:
    """The specification in a text (an id) or a mapping of JSON values.

    Args:
        value: an id; a mapping with id and, where they are needed, kwargs, max_episode_steps and
            wrappers (each a name, or a mapping with name and kwargs); or a specification.
        what: the beginning of the messages.
        error: what is raised.

    Raises:
        WorldplanError: it is none of these, or holds a value that JSON does not have; of the type
            `error`.
    """
    if isinstance(value, EnvironmentSpec):
        return value
    if isinstance(value, str):
        value = {"id": value}
    mapping = _mapping(value, what, _FORM, error)
    for key in mapping:
        if key not in _KEYS:
            raise error(f"{what}: '{key}' is no part of an environment: {_FORM}")
    name = mapping.get("id")
    if not isinstance(name, str) or not name.strip():
        raise error(f"{what}: its id is {checks.shown(name)}: give a gymnasium id, e.g. Hopper-v5")
    kwargs = mapping.get("kwargs")
    wrappers = mapping.get("wrappers")
    if wrappers is not None and not isinstance(wrappers, list | tuple):
        raise error(f"{what}: wrappers are {checks.shown(wrappers)}: give a list, innermost first")
    spec = EnvironmentSpec(
        name,
        {} if kwargs is None else _arguments(kwargs, f"{what}: kwargs", error),
        _limit(mapping.get("max_episode_steps"), what, error),
        tuple(_wrapper(wrapper, what, error) for wrapper in wrappers or ()),
    )
    return _with_time_limit(spec, what, error)


def plain_arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that JSON can hold, as JSON values: tuples become lists, and what JSON does not
    have, such as a function, is left out.
    """
    kept = {}
    for name, value in values.items():
        try:
            kept[name] = json.loads(json.dumps(value, default=_as_list))
        except (TypeError, ValueError, RecursionError):
            continue
    return kept


def _as_list(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy
        return value.tolist()
    raise TypeError


def _mapping(value: Any, what: str, form: str, error: type[WorldplanError]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise error(f"{what} is {checks.shown(value)}: {form}")
    return value


def _arguments(value: Any, what: str, error: type[WorldplanError]) -> dict[str, Any]:
    """Keyword arguments as JSON values.

    Raises:
        WorldplanError: they are no mapping from names to such values; of the type `error`.
    """
    mapping = _mapping(value, what, "give a mapping from names to values", error)
    for name in mapping:
        if not isinstance(name, str) or not name.isidentifier():
            raise error(f"{what}: {checks.shown(name)} is no name of an argument: write e.g. g: 2")
    try:
        text = json.dumps(dict(mapping), default=_as_list)
        plain: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise error(
            f"{what} hold a value that JSON does not have: keep to numbers, texts, truth values, "
            "lists and mappings"
        ) from None
    if len(text) > _LONGEST:
        raise error(f"{what} take {len(text)} characters: give at most {_LONGEST}")
    for name, entry in plain.items():
        if any(isinstance(leaf, float) and math.isnan(leaf) for leaf in _leaves(entry)):
            raise error(f"{what}: {name} holds NaN, which equals nothing: give a number")
    return plain


def _leaves(value: Any) -> Iterator[Any]:
    inner = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for entry in inner:
            yield from _leaves(entry)
    else:
        yield value


def _limit(value: Any, what: str, error: type[WorldplanError]) -> int | None:
    """The step limit.

    Raises:
        WorldplanError: it is no number of steps; of the type `error`.
    """
    if value is None or (type(value) is int and (value == NO_LIMIT or 0 < value < 2**53)):
        return value
    raise error(
        f"{what}: max_episode_steps is {checks.shown(value)}: give a whole number of at least 1, "
        f"or {NO_LIMIT} for no limit"
    )


def _wrapper(value: Any, what: str, error: type[WorldplanError]) -> WrapperSpec:
    """The wrapper in a name or a mapping.

    Raises:
        WorldplanError: it is no wrapper; of the type `error`.
    """
    form = "give a name, or a mapping with name and kwargs"
    mapping = {"name": value} if isinstance(value, str) else value
    mapping = _mapping(mapping, f"{what}: a wrapper", form, error)
    name, kwargs = mapping.get("name"), mapping.get("kwargs", {})
    if not isinstance(name, str) or not name.strip() or mapping.keys() - {"name", "kwargs"}:
        raise error(f"{what}: a wrapper is {checks.shown(dict(mapping))}: {form}")
    name = name.removeprefix("gymnasium.wrappers.").removeprefix("gymnasium.wrappers:")
    if kwargs is None:
        return WrapperSpec(name, None)
    return WrapperSpec(name, _arguments(kwargs, f"{what}: wrapper {name}: kwargs", error))


def _with_time_limit(
    spec: EnvironmentSpec, what: str, error: type[WorldplanError]
) -> EnvironmentSpec:
    """The same environment, where a wrapper TimeLimit is the step limit.

    Raises:
        WorldplanError: the limit is given twice, or is no number; of the type `error`.
    """
    limits = [wrapper for wrapper in spec.wrappers if wrapper.name == "TimeLimit"]
    if not limits:
        return spec
    arguments = limits[0].kwargs or {}
    if len(limits) > 1 or spec.max_episode_steps is not None:
        raise error(f"{what}: its step limit is given twice: keep max_episode_steps only")
    if arguments.keys() != {"max_episode_steps"} or arguments["max_episode_steps"] is None:
        raise error(f"{what}: wrapper TimeLimit takes max_episode_steps: set that only")
    limit = _limit(arguments["max_episode_steps"], f"{what}: wrapper TimeLimit", error)
    others = tuple(wrapper for wrapper in spec.wrappers if wrapper.name != "TimeLimit")
    return EnvironmentSpec(spec.id, spec.kwargs, limit, others)
