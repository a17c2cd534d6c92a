"""Nested parentheses, as PDDL and trajectory files use them; every part keeps its place for error
messages.
"""

from __future__ import annotations

import re
from typing import Any

from worldplan.milp.errors import DatasetError

DEEPEST = 100  # levels of parentheses; a file of either kind has about ten
TOKEN = re.compile(r';[^\n]*|[()]|"[^"\n]*"|[^\s();]+')
UNQUOTED = re.compile(r'[^\s();"]+')


class SExpression(list[Any]):
    """A list of names (in lower case unless they are quoted) and of expressions.

    `offset` is its start in the text.
    """

    offset = 0


def parse(text: str, source: str) -> SExpression:
    """The single expression of a text.

    Args:
        text: the text; a semicolon starts a comment.
        source: for messages.

    Raises:
        DatasetError: a parenthesis is missing or extra, they are nested too deep, or something
            stands outside of them; the message names source and line.
    """
    stack: list[SExpression] = [SExpression()]
    for match in TOKEN.finditer(text):
        token = match.group()
        if token == "(":  # noqa: S105 - a parenthesis
            inner = SExpression()
            inner.offset = match.start()
            stack[-1].append(inner)
            stack.append(inner)
            if len(stack) > DEEPEST:
                raise DatasetError(
                    f"{source}, line {line_of(text, match.start())}: nested deeper than {DEEPEST} "
                    "parentheses: check the parentheses"
                )
        elif token == ")":
            stack.pop()
            if not stack:
                raise DatasetError(
                    f"{source}, line {line_of(text, match.start())}: a ')' closes nothing"
                )
        elif token[0] != ";":
            if len(stack) == 1:
                raise DatasetError(
                    f"{source}, line {line_of(text, match.start())}: '{token}' stands outside the "
                    "parentheses"
                )
            is_quoted = token[0] == '"' == token[-1] and len(token) > 2
            stack[-1].append(token[1:-1] if is_quoted else token.lower())
    if len(stack) > 1:
        raise DatasetError(
            f"{source}, line {line_of(text, stack[-1].offset)}: the '(' here is never closed"
        )
    if len(stack[0]) != 1:
        raise DatasetError(f"{source}: holds {len(stack[0])} expressions instead of one")
    expression: SExpression = stack[0][0]  # a name outside the parentheses has raised
    return expression


def line_of(text: str, offset: int) -> int:
    """The line, counted from 1, of an offset in a text."""
    return text.count("\n", 0, offset) + 1


def written_name(name: str) -> str:
    """A name as `parse` reads it back: in double quotes if it has capitals, blanks or parentheses.

    Raises:
        DatasetError: it has a double quote or a line end.
    """
    if UNQUOTED.fullmatch(name) and name == name.lower():
        return name
    if '"' in name or "\n" in name:
        raise DatasetError(f"{name!r}: a name with a double quote or a line end cannot be written")
    return f'"{name}"'
