"""The command lines of the documentation, in the order in which they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from tests.documents.blocks import Block, blocks, documents

_VARIABLE = r"(?:[A-Z_]+=\S+ )*"
FIRST = ("configs/ravl/", "configs/")  # documents on whose results commands of others depend
BEGINS = re.compile(rf"\s*{_VARIABLE}(worldplan|make|python3?|git|export|\S+/bin/\w+) [^=]")


class Command(NamedTuple):
    """A command line.

    Args:
        place: file and line.
        line: the command without comment, variables and the brackets of optional arguments.
    """

    place: str
    line: str

    @property
    def words(self) -> list[str]:
        """The program and its arguments."""
        return shlex.split(self.line)


@cache
def commands() -> tuple[Command, ...]:
    """Every command line, once: those of equal text are one. The documents in FIRST come first."""
    found: dict[str, Command] = {}
    for block in sorted((*_heads(), *blocks("indented")), key=_rank):
        if BEGINS.match(block.text):
            for command in _commands(block):
                found.setdefault(command.line, command)
    return tuple(found.values())


def _rank(block: Block) -> int:
    return [block.path.startswith(begin) for begin in (*FIRST, "")].index(True)


def _heads() -> Iterator[Block]:
    """Runs of indented lines in the heads of YAML files, where no blank lines are around them."""
    for document in documents():
        if document.path.endswith(".yaml"):
            for match in re.finditer(r"(?:^ .*\n?)+", document.text, re.MULTILINE):
                line = document.line + document.text.count("\n", 0, match.start())
                yield Block(document.path, line, "indented", match[0])


def _commands(block: Block) -> Iterator[Command]:
    joined = re.sub(r"\\\n\s*", " ", block.text)
    joined = re.sub(r"\n\s*(?=\[)", " ", joined)  # a further line of optional arguments
    for number, line in enumerate(joined.splitlines()):
        if not line.strip():
            continue
        assert BEGINS.match(line), f"{block.place}: not a command: {line}"
        for part in shlex.join(shlex.split(line, comments=True)).split(" '&&' "):
            yield Command(f"{block.path}:{block.line + number}", _plain(part))


def _plain(line: str) -> str:
    """Without variables before the program, and with all optional arguments."""
    line = re.sub(rf"^{_VARIABLE}", "", line)
    return shlex.join(word.strip("[]") for word in shlex.split(line) if word.strip("[]") != "...")
