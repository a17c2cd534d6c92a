"""A fence that names a file after its language (```csv clients.csv) is shown with that name."""

from __future__ import annotations

import re

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

_FENCE = re.compile(r"^```(\w+) (\S+)$", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the change of a page's source, and languages without colours."""
    app.connect("source-read", _caption)
    app.add_lexer("csv", TextLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _caption(app: Sphinx, document: str, source: list[str]) -> None:
    source[0] = _FENCE.sub(r"```{code-block} \1\n:caption: \2\n", source[0])
