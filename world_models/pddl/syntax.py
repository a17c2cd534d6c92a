"""PDDL text as a tree of names and groups; every part keeps its line for error messages.

Comments, letter case and blanks carry no meaning: `(fuel?t)` is `(fuel ?t)`.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

from worldplan.milp.errors import DatasetError
from worldplan.world_models.numeric.s_expressions import DEEPEST

TOKEN = re.compile(r";[^\n]*|[()]|\?[^\s();?]*|[^\s();?]+|\n")
NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[-+]?[\d_]+)?(/\d+)?")
# a number with an exponent or of many digits
LONG_NUMBER = re.compile(r"[-+]?[\d.](?:[\d_./]{400,}|[\d_./]*e([-+]?[\d_]+))")
LARGEST_EXPONENT = 300


class Name(str):
    """A name, variable, keyword or number, in lower case."""

    __slots__ = ("line",)
    line: int

    @classmethod
    def at(cls, text: str, line: int) -> Name:
        """A name in a line."""
        name = cls(text)
        name.line = line
        return name

    @property
    def is_number(self) -> bool:
        """Whether it is a number; `inf` and `nan` are none."""
        return NUMBER.fullmatch(self) is not None


class Group(list["Node"]):
    """The parts between two parentheses."""

    line = 0

    @property
    def head(self) -> str:
        """Its first part if that is a name, else ""."""
        return str(self[0]) if self and isinstance(self[0], Name) else ""

    @classmethod
    def of(cls, parts: list[Node], line: int) -> Group:
        """A group of some parts in a line."""
        group = cls(parts)
        group.line = line
        return group


Node = Name | Group


def at(where: str | Path, node: Node) -> str:
    """The place of a part, for messages."""
    return f"{where}: line {node.line}"


def shown(node: Node, most: int = 80) -> str:
    """A part as PDDL, shortened for messages."""
    text = written(node)
    return text if len(text) <= most else f"{text[:most]}..."


def written(node: Node) -> str:
    """A part as PDDL in one line."""
    return f"({' '.join(map(written, node))})" if isinstance(node, Group) else str(node)


def parse_tree(text: str, where: str | Path) -> Group:
    """The single group of a text.

    Args:
        text: PDDL text, with or without a byte order mark.
        where: what errors name.

    Raises:
        DatasetError: a parenthesis is missing or extra, they are nested too deep, something stands
            outside of them, or a number is too long or too large.
    """
    stack: list[Group] = [Group()]
    line = 1
    for match in TOKEN.finditer(text.removeprefix("\ufeff")):
        token = match[0]
        if token == "\n":  # noqa: S105 - a line's end
            line += 1
        elif token == "(":  # noqa: S105 - a parenthesis
            group = Group.of([], line)
            stack[-1].append(group)
            stack.append(group)
            if len(stack) > DEEPEST + 1:
                raise DatasetError(
                    f"{where}: line {line}: nested deeper than {DEEPEST} parentheses: check the "
                    "parentheses"
                )
        elif token == ")":  # noqa: S105 - a parenthesis
            if len(stack) == 1:
                raise DatasetError(f"{where}: line {line}: a ')' closes nothing: remove it")
            stack.pop()
        elif token[0] != ";":
            if len(stack) == 1:
                raise DatasetError(
                    f"{where}: line {line}: '{token[:40]}' stands outside the parentheses: a PDDL "
                    "file is one (define ...)"
                )
            _check_number(token, line, where)
            stack[-1].append(Name.at(token.lower(), line))
    if len(stack) > 1:
        raise DatasetError(
            f"{where}: the parenthesis opened in line {stack[-1].line} is never closed"
        )
    groups = stack[0]
    if len(groups) != 1:
        place = f"line {groups[1].line}: a second expression begins" if groups else "it is empty"
        raise DatasetError(f"{where}: {place}: Expected one (define ...) around everything")
    tree = groups[0]
    assert isinstance(tree, Group)  # names outside the parentheses have raised
    return tree


def _check_number(token: str, line: int, where: str | Path) -> None:
    """Check that no number takes for ever to read, as 1e999999999 does: exact arithmetic has a
    digit for each of its zeros.

    Raises:
        DatasetError: one has over 400 digits, or an exponent beyond +-300.
    """
    match = LONG_NUMBER.fullmatch(token.lower())
    if match is None:
        return
    exponent = (match[1] or "").replace("_", "").lstrip("+-0")
    if match[1] is None or len(exponent) > 3 or int(exponent or "0") > LARGEST_EXPONENT:
        raise DatasetError(
            f"{where}: line {line}: {token[:20]}... is too long or too large a number: give at "
            f"most 400 digits and exponents to {LARGEST_EXPONENT}"
        )


def number(node: Node) -> Fraction | None:
    """The value of a number, or of a quotient of numbers such as (/ 1 3) or (- 5); None for
    anything else, and for a division by zero.
    """
    if isinstance(node, Name):
        if not node.is_number:
            return None
        try:
            return Fraction(str(node))
        except (ValueError, ZeroDivisionError):
            return None
    operands = [number(part) for part in node[1:]]
    values = [value for value in operands if value is not None]
    if node.head not in ("+", "-", "*", "/") or not values or len(values) < len(operands):
        return None
    if node.head == "-" and len(values) == 1:
        return -values[0]
    total = values[0]
    for value in values[1:]:
        if node.head == "/" and not value:
            return None
        total = {"+": total + value, "-": total - value, "*": total * value}.get(
            node.head, total / (value or 1)
        )
    return total
