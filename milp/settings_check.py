"""The check that every settings dataclass runs first: each field has the type that it declares."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.limits import refuse_absurd


def check_fields(settings: Any, prefix: str = "", *, infinite: tuple[str, ...] = ()) -> None:
    """Check the fields of a settings dataclass against their annotations, and against `limits`.

    A number must be finite and no truth value, a list becomes the tuple that is declared, and a
    number of numpy becomes one of Python. Ranges are up to the class.

    Args:
        settings: the dataclass, which is changed where a value is brought into its type.
        prefix: of the names in messages ("sequoia.").
        infinite: fields that may be infinite.

    Raises:
        ConfigError: a value of another type, or not finite; names the setting.
    """
    kind: Any = type(settings)
    hints = _hints(kind)
    for field in fields(settings):
        value = getattr(settings, field.name)
        if not field.init:
            continue
        hint = hints.get(field.name, Any)
        checked = _checked(value, hint, f"{prefix}{field.name}", field.name in infinite)
        if checked is not value:
            object.__setattr__(settings, field.name, checked)
    refuse_absurd(settings, prefix.removesuffix("."))


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _checked(value: Any, hint: Any, name: str, infinite: bool) -> Any:
    """The value in the type of its annotation.

    Raises:
        ConfigError: it is of another type.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _one_of(value, arguments, name, infinite)
    if origin is Literal:
        return checks.choice(value, name, arguments)
    if hint is bool:
        return checks.truth(value, name)
    if hint is int:
        return checks.whole_number(value, name)
    if hint is float:
        real = checks.number(value, name, infinite=infinite)
        return value if type(value) in (int, float) else real
    if origin is tuple:
        return _entries(value, arguments, name, infinite)
    if hint is str:
        return checks.of_type(value, name, str, remedy="a text")
    if origin in (dict, Mapping):
        return checks.of_type(value, name, Mapping, remedy="a mapping")
    if is_dataclass(hint) and isinstance(hint, type):
        return checks.of_type(value, name, hint)
    return value


def _one_of(value: Any, hints: tuple[Any, ...], name: str, infinite: bool) -> Any:
    """The value in the first of several types that fits it."""
    others = [hint for hint in hints if hint is not type(None)]
    if value is None and len(others) < len(hints):
        return None
    if len(others) > 1:
        return _text_or_list(value, others, name)
    return _checked(value, others[0], name, infinite)


def _text_or_list(value: Any, hints: list[Any], name: str) -> Any:
    """A text, or a list as a tuple, where these two are declared; any value of other types.

    Raises:
        ConfigError: it is neither; names the setting.
    """
    kinds = {get_origin(hint) or hint for hint in hints}
    if kinds != {str, tuple} or isinstance(value, str):
        return value
    return _entries(value, next(get_args(h) for h in hints if get_origin(h) is tuple), name, False)


def _entries(value: Any, hints: tuple[Any, ...], name: str, infinite: bool) -> Any:
    """A tuple of checked entries; the value itself if it is one and nothing changed.

    Raises:
        ConfigError: it is no tuple or list, or has another number of entries than declared.
    """
    if not isinstance(value, tuple | list):
        raise ConfigError(f"{name} is {checks.shown(value)}: give a tuple or a list")
    repeated = len(hints) == 2 and hints[1] is Ellipsis
    if not repeated and len(value) != len(hints):
        raise ConfigError(f"{name} is {checks.shown(value)}: give {len(hints)} entries")
    wanted = [hints[0]] * len(value) if repeated else hints
    entries = tuple(
        _checked(entry, hint, f"{name}[{index}]", infinite)
        for index, (entry, hint) in enumerate(zip(value, wanted, strict=True))
    )
    same = type(value) is tuple and all(a is b for a, b in zip(entries, value, strict=True))
    return value if same else entries
