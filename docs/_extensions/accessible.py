"""What the accessibility checker finds in pages of the theme, mended: headings of the navigation
get a level, and what scrolls, blocks of code and tables, can be reached by the keyboard.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

_AFTER_THE_THEME = 900


def mend(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: object) -> None:
    """Complete the markup of a page before it is written."""
    for name, old, new in (
        ("furo_navigation_tree", ' role="heading"', ' role="heading" aria-level="2"'),
        ("body", '<div class="highlight"><pre>', '<div class="highlight"><pre tabindex="0">'),
        ("body", '<div class="table-wrapper ', '<div tabindex="0" class="table-wrapper '),
    ):
        if name in context:
            context[name] = str(context[name]).replace(old, new)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the step."""
    app.connect("html-page-context", mend, priority=_AFTER_THE_THEME)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
