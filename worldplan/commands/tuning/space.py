"""The search space of a tuning: which settings are varied, and over which values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_type_hints

from worldplan.hints import members
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.settings import ReachAwareSettings

# settings of a study, beside those of value learning, that change how a method trains
_OF_STUDY: dict[str, Any] = {"true_share": float, "epochs": int, "data.ensemble": str}
_RANGE_KEYS = ("low", "high", "log", "step")
_PREFIX = "settings."


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Args:
        name: of the setting, dotted.
        low: least value.
        high: greatest value.
        log: whether the logarithm is drawn uniformly.
        step: distance of the values; None: any number, or every whole number.
        whole: whether the setting takes whole numbers only.
    """

    name: str
    low: float
    high: float
    log: bool
    step: float | None
    whole: bool

    def ends(self) -> tuple[Any, ...]:
        """Values that stand for the others in checks."""
        return (self.low, self.high)


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Args:
        name: of the setting, dotted.
        options: the values.
    """

    name: str
    options: tuple[Any, ...]

    def ends(self) -> tuple[Any, ...]:
        """Values that stand for the others in checks: all of them."""
        return self.options

    def labels(self) -> list[str]:
        """The values as texts: storages hold no lists."""
        return [json.dumps(option) for option in self.options]


Parameter = Range | Choice


def tunable(settings: type = ReachAwareSettings) -> dict[str, Any]:
    """The settings that can be searched, dotted, with their types.

    Args:
        settings: dataclass of a method's settings.
    """
    return dict(_leaves(settings)) | _OF_STUDY


def _leaves(settings: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    hints = get_type_hints(settings)
    for entry in fields(settings):
        hint, name = hints[entry.name], f"{prefix}{entry.name}"
        groups = [kind for kind in members(hint) if isinstance(kind, type) and is_dataclass(kind)]
        for group in groups:
            yield from _leaves(group, f"{name}.")
        if not groups:
            yield name, hint


def read_space(search: Mapping[str, Any], settings: type = ReachAwareSettings) -> list[Parameter]:
    """The parameters of a search space, in its order.

    Args:
        search: from setting to a list of values, or to {low, high} with log and step; names may be
            dotted or nested.
        settings: dataclass of the method's settings.

    Raises:
        ConfigError: the space is empty, names no setting, or its values cannot be searched.
    """
    if not isinstance(search, Mapping):  # jsonargparse takes every null
        raise ConfigError(f"search is {search!r:.60}: give settings and their values")
    known = tunable(settings)
    space: list[Parameter] = []
    for written, value in _flat(search, known):
        name = written.removeprefix(_PREFIX)
        if name not in known:
            raise ConfigError(f"search: {_unknown(name, known)}")
        if any(parameter.name == name for parameter in space):
            raise ConfigError(f"search: {name} is given twice: leave one out")
        space.append(_parameter(name, value, known[name]))
    if not space:
        raise ConfigError(
            "search is empty: give settings and their values, such as "
            "pessimism.weight: {low: 0.1, high: 10, log: true}"
        )
    return space


def _flat(
    search: Mapping[str, Any], known: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """(dotted name, values); a mapping under the name of a group of settings is looked into."""
    for key, value in search.items():
        name = f"{prefix}{key}"
        inner = name.removeprefix(_PREFIX)
        group = name == "settings" or any(other.startswith(f"{inner}.") for other in known)
        if group and isinstance(value, Mapping):
            yield from _flat(value, known, f"{name}.")
        else:
            yield name, value


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    """A message that names the settings nearest to `name`."""
    last = name.rpartition(".")[2]
    near = [other for other in known if other.rpartition(".")[2] == last or other == last]
    ends = {other.rpartition(".")[2]: other for other in known}
    near += get_close_matches(name, known, n=3)
    near += [ends[end] for end in get_close_matches(last, ends, n=3)]
    shown = ", ".join(list(dict.fromkeys(near))[:3]) or ", ".join(known)
    return f"'{name}' is no setting that can be tuned: the nearest are {shown}"


def _parameter(name: str, value: Any, hint: Any) -> Parameter:
    """One parameter.

    Raises:
        ConfigError: its values cannot be searched.
    """
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _choice(name, list(value))
    if isinstance(value, Mapping):
        return _range(name, dict(value), hint)
    raise ConfigError(
        f"search.{name} is {value!r:.60}: give a list of values, or {{low: .., high: ..}}; a fixed "
        "value belongs into settings"
    )


def _choice(name: str, options: list[Any]) -> Choice:
    if not options:
        raise ConfigError(f"search.{name} is an empty list: give at least one value")
    texts = [json.dumps(option, default=str) for option in options]
    if len(set(texts)) < len(texts):
        raise ConfigError(f"search.{name} holds a value twice: leave one out")
    return Choice(name, tuple(options))


def _range(name: str, given: dict[str, Any], hint: Any) -> Range:
    """A range of numbers.

    Raises:
        ConfigError: a key is unknown or missing, or the numbers make no range.
    """
    unknown = [str(key) for key in given if key not in _RANGE_KEYS]
    if unknown or not {"low", "high"} <= given.keys():
        problem = f"has '{unknown[0]}'" if unknown else "lacks low or high"
        raise ConfigError(f"search.{name} {problem}: give low, high, and if need be log or step")
    kinds = set(members(hint))
    if not kinds & {int, float}:
        raise ConfigError(f"search.{name} takes no numbers: give a list of values")
    whole = float not in kinds
    low, high = (_number(name, key, given[key], whole) for key in ("low", "high"))
    log, step = given.get("log", False), given.get("step")
    if not isinstance(log, bool):
        raise ConfigError(f"search.{name}.log is {log!r:.40}: give true or false")
    if low > high:
        raise ConfigError(f"search.{name}: low {low} is above high {high}: exchange them")
    if log and low <= 0:
        raise ConfigError(
            f"search.{name}: log with low {low}: a logarithm needs numbers above 0: raise low, or "
            "leave log out"
        )
    if step is not None:
        step = _number(name, "step", step, whole)
        if step <= 0 or log:
            raise ConfigError(f"search.{name}.step is {step}: give a number above 0, without log")
    return Range(name, low, high, log, step, whole)


def _number(name: str, key: str, value: Any, whole: bool) -> Any:
    """A finite number; YAML reads 1e-4 as a text.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise ConfigError(f"search.{name}.{key} is {value!r:.40}: give a finite number")
    if whole and value != int(value):
        raise ConfigError(f"search.{name}.{key} is {value}: {name} takes whole numbers only")
    return int(value) if whole else float(value)


def shown(value: Any) -> Any:
    """A value as tables hold it: numbers as they are, null and lists as in YAML."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as nested mappings."""
    result: dict[str, Any] = {}
    for name, value in changes.items():
        *outer, last = name.split(".")
        inner = result
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return result
