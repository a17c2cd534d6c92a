"""Lists as people write them on a command line: 0,1 and 0..4 and [0, 3]."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from worldplan.hints import members, settings_within

LONGEST = 10_000  # numbers of a range
_RANGE = re.compile(r"(\d{1,10})\s*\.\.\s*(\d{1,10})")


def items(text: str) -> list[str]:
    """The items of "a,b", "a, b" or "[a, 'b']"; none of "". An item may be empty, as in "a,,b"."""
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1].strip()
    return [_bare(part.strip()) for part in inner.split(",")] if inner else []


def _bare(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def whole_numbers(text: str) -> list[int]:
    """The numbers of "3", "0,1", "0..4", "0..2,7" or "[0, 3]".

    Raises:
        ValueError: an item is neither a number nor a range, or a range is too long.
    """
    return [number for item in items(text) for number in _range(item)]


def _range(item: str) -> Sequence[int]:
    match = _RANGE.fullmatch(item)
    if match is None:
        return [int(item)]
    first, last = int(match[1]), int(match[2])
    if last - first >= LONGEST:
        raise ValueError(f"{item}: more than {LONGEST} numbers")
    return range(first, last + 1)


def with_lists(argv: Sequence[str], hints: Mapping[str, Any]) -> list[str]:
    """The words of a command line, in which the values of settings that are lists have brackets:
    `--settings.hidden 64,64` becomes `--settings.hidden [64,64]`.

    Args:
        argv: the words.
        hints: type hint of each setting by the first part of its name, or such a mapping for the
            next part; those of dataclasses are followed.
    """
    words = list(argv)
    for number, word in enumerate(words):
        name, equals, text = word.partition("=")
        if not name.startswith("--"):
            continue
        item = _item_type(name[2:].split("."), hints)
        if item is None:
            continue
        if equals:
            words[number] = f"{name}={_bracketed(text, item)}"
        elif number + 1 < len(words) and not words[number + 1].startswith("--"):
            words[number + 1] = _bracketed(words[number + 1], item)
    return words


def _item_type(path: Sequence[str], hints: Mapping[str, Any]) -> Any:
    """The type of the items of the list at a dotted name; None where there is no list of numbers or
    texts, or where a text may be meant.
    """
    hint = hints.get(path[0].replace("-", "_"), hints.get(path[0]))
    if isinstance(hint, Mapping):
        return _item_type(path[1:], hint) if len(path) > 1 else None
    if len(path) > 1:
        return _item_type(path[1:], settings_within(hint))
    kinds = members(hint)
    if str in kinds:
        return None
    for kind in kinds:
        origin = get_origin(kind)
        if origin in (list, tuple) or origin is Sequence:
            types_of_items = set(get_args(kind)) - {Ellipsis}
            if types_of_items and types_of_items <= {int, float, str}:
                return next(iter(types_of_items))
    return None


def _bracketed(text: str, item: Any) -> str:
    """The text of a list with its brackets; another text, such as null, as it is."""
    if not text.strip() or text.strip() in ("null", "None") or set(text) & set("[]{}\"'"):
        return text
    if item is int:
        try:
            return f"[{', '.join(map(str, whole_numbers(text)))}]"
        except ValueError:
            return text
    return f"[{text}]"
