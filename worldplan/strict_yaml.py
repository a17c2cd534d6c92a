"""YAML that means one thing only: duplicate keys, numbers that YAML reads as octal or as minutes,
and texts that are nested, or expand, beyond any settings file are refused with their line.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.error import Mark
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_DEEPEST = 40
_MOST_VALUES = 100_000  # after all aliases are expanded
_LARGEST = 2**1000  # of an integer: a float could not hold it
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*|0b[01]+|0x[0-9a-fA-F]+)")
_CLOCK = re.compile(r"[-+]?[0-9]+(:[0-9]+)+(\.[0-9]*)?")


def strict_load(text: str) -> Any:
    """What a YAML text holds: mappings, lists, texts, numbers, truth values, dates and None.

    Raises:
        yaml.YAMLError: it is no YAML, or is ambiguous, too deep or too large; names the line.
    """
    return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader


class RefusedYAML(ConstructorError):
    """YAML that is ambiguous, too deep or too large.

    Args:
        mark: its place.
        problem: what is wrong.
    """

    def __init__(self, mark: Mark | None, problem: str) -> None:
        super().__init__(None, None, problem, mark)


class _StrictLoader(yaml.SafeLoader):
    """`yaml.SafeLoader` without its surprises."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._values = 0
        self._sizes: dict[int, int] = {}  # values of a finished node, by id; the document holds it

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Mark = event.start_mark
        is_alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise RefusedYAML(mark, f"nested deeper than {_DEEPEST} levels")
        before = self._values
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and id(node) not in self._sizes:
            raise RefusedYAML(mark, f"'*{event.anchor}' stands inside the value that it repeats")
        self._values += self._sizes[id(node)] if is_alias else 1
        if self._values > _MOST_VALUES:
            raise RefusedYAML(
                mark, f"holds more than {_MOST_VALUES} values, repeated ones included"
            )
        if not is_alias:
            self._sizes[id(node)] = self._values - before
        return node

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        first: dict[Hashable, Mark] = {}
        for key_node, _ in node.value if isinstance(node, MappingNode) else ():
            if not isinstance(key_node, ScalarNode) or key_node.tag.endswith(":merge"):
                continue
            key = self.construct_object(key_node)
            if key in first:
                raise RefusedYAML(
                    key_node.start_mark,
                    f"'{key_node.value}' is given twice, first in line {first[key].line + 1}: "
                    "keep one of them",
                )
            first[key] = key_node.start_mark
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        if isinstance(node, ScalarNode):
            _check_number(node)
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int) and abs(value) > _LARGEST:
                raise OverflowError("too large a number")
            return value
        except (ValueError, TypeError, OverflowError, LookupError, AttributeError) as error:
            # such as the date 2026-99-99, or an integer of 100,000 digits
            text = node.value if isinstance(node, ScalarNode | SequenceNode) else ""
            raise RefusedYAML(node.start_mark, f"{str(text)[:60]!r}: {error}") from error


def _check_number(node: ScalarNode) -> None:
    """Refuse integers that YAML 1.1 does not read as they look: 010 is 8, 1:30 is 90.

    Raises:
        RefusedYAML: names the line.
    """
    kind, text = node.tag.rpartition(":")[2], node.value.replace("_", "")
    if kind in ("int", "float") and _CLOCK.fullmatch(text):
        raise RefusedYAML(node.start_mark, f"{node.value[:60]}: put it in quotes, or give a number")
    if kind == "int" and not _INTEGER.fullmatch(text):
        raise RefusedYAML(
            node.start_mark, f"{node.value[:60]}: write the number without zeros before it"
        )
