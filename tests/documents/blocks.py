"""The code of the documentation: blocks of README, pages, CONTRIBUTING, docstrings, YAML heads.

Code in a docstring stands in a fence (three backticks and a language), as in the README; an
indented block holds commands, a formula or a table.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from typing import NamedTuple

from markdown_it import MarkdownIt

from tests.places import CONFIGS, ROOT

FOLLOWED = ("how-to", "tutorials")  # pages that test_followed.py executes from top to bottom
PAGES = tuple(
    str(page.relative_to(ROOT))
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if page.parent.name not in FOLLOWED
)
TEXTS = ("README.md", *PAGES, "CONTRIBUTING.md", "CHANGELOG.md")
PACKAGES = ("milp", "envs", "world_models", "planners", "worldplan", "benchmarks")
_MARKDOWN = MarkdownIt("commonmark").enable("table")


class Document(NamedTuple):
    """A text in Markdown.

    Args:
        path: of its file, from the root of the repository.
        line: of the file, where the text begins, from 1.
        text: the text.
    """

    path: str
    line: int
    text: str


class Block(NamedTuple):
    """A block of code, or a span within a sentence.

    Args:
        path: of its file, from the root of the repository.
        line: of its first line, from 1.
        language: "python", "yaml", ...; "indented" without a fence, "inline" within a sentence.
        text: the block.
    """

    path: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.path}:{self.line}"


@cache
def documents() -> tuple[Document, ...]:
    """All texts that people read as documentation."""
    return (*texts(), *docstrings(), *heads())


def texts() -> Iterator[Document]:
    """The Markdown files, without pages that are followed and results that benchmarks write."""
    for name in TEXTS:
        yield Document(name, 1, (ROOT / name).read_text(encoding="utf-8"))


def docstrings() -> Iterator[Document]:
    """Every docstring of the packages and benchmarks."""
    for folder in PACKAGES:
        for file in sorted((ROOT / folder).rglob("*.py")):  # does not follow links
            path = str(file.relative_to(ROOT))
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    text = ast.get_docstring(node, clean=False)
                    if text:
                        yield Document(path, node.body[0].lineno, inspect.cleandoc(text))


def heads() -> Iterator[Document]:
    """The comments that YAML files begin with."""
    for file in sorted(CONFIGS.rglob("*.yaml")):
        lines = file.read_text(encoding="utf-8").splitlines()
        head = takewhile(lambda line: line.startswith("#"), lines)
        text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in head)
        yield Document(str(file.relative_to(ROOT)), 1, text)


@cache
def blocks(*languages: str) -> tuple[Block, ...]:
    """The blocks of all documents in these languages, in the order of the documents."""
    return tuple(
        block
        for document in documents()
        for block in blocks_of(document)
        if block.language in languages
    )


def blocks_of(document: Document) -> Iterator[Block]:
    """The blocks and inline code of a document, in their order."""
    for token in _MARKDOWN.parse(document.text):
        line = document.line + (token.map[0] if token.map else 0)
        if token.type == "fence":
            yield Block(document.path, line + 1, token.info.strip(), token.content)
        elif token.type == "code_block":
            yield Block(document.path, line, "indented", token.content)
        for span in token.children or ():
            if span.type == "code_inline":
                yield Block(document.path, line, "inline", span.content)
