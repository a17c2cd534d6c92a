"""Type hints of settings: the types of a union, and the settings inside of others."""

from __future__ import annotations

import types
from dataclasses import is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints


def members(hint: Any) -> list[Any]:
    """The types of a union, or the type itself."""
    if get_origin(hint) in (Union, types.UnionType):
        return [kind for part in get_args(hint) for kind in members(part)]
    return [hint]


def settings_within(hint: Any) -> dict[str, Any]:
    """Type hints of the fields of the dataclasses among the members of a hint, by name."""
    classes = [kind for kind in members(hint) if isinstance(kind, type) and is_dataclass(kind)]
    return {name: inner for kind in classes for name, inner in get_type_hints(kind).items()}
