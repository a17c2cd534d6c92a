"""Nested parentheses, as PDDL and trajectory files use them, with the line of every part for error
messages.
"""

from __future__ import annotations

import re
from pathlib import Path

from worldplan.milp.errors import DatasetError

TOKEN = re.compile(r";[^\n]*|[()]|[^\s();]+")


class SExpression(list):
    """A list of names (lower case) and expressions; `offset` is where it starts in its text."""

    offset = 0


def read_text(path: str | Path) -> str:
    """A text file. Raises DatasetError if it is missing or not text."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path}: not a text file ({error.reason} at byte {error.start})"
        ) from error
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file") from error


def parse(text: str, source: str) -> SExpression:
    """The one expression a text holds.

    Raises:
        DatasetError: names the source and the line of a missing or extra parenthesis, or of text
            outside.
    """
    stack: list[SExpression] = [SExpression()]
    for match in TOKEN.finditer(text):
        token = match.group()
        if token == "(":  # noqa: S105 - a parenthesis
            inner = SExpression()
            inner.offset = match.start()
            stack[-1].append(inner)
            stack.append(inner)
        elif token == ")":
            stack.pop()
            if not stack:
                raise DatasetError(
                    f"{source}, line {line_of(text, match.start())}: a ')' closes nothing"
                )
        elif token[0] != ";":
            if len(stack) == 1:
                raise DatasetError(
                    f"{source}, line {line_of(text, match.start())}: '{token}' stands outside the parentheses"
                )
            stack[-1].append(token.lower())
    if len(stack) > 1:
        raise DatasetError(
            f"{source}, line {line_of(text, stack[-1].offset)}: the '(' here is never closed"
        )
    if len(stack[0]) != 1:
        raise DatasetError(f"{source}: holds {len(stack[0])} expressions instead of one")
    return stack[0][0]


def line_of(text: str, offset: int) -> int:
    """The line, from 1, of a place in a text."""
    return text.count("\n", 0, offset) + 1
