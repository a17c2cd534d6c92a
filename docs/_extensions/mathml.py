"""Equations as MathML, which browsers draw themselves: no script, no font, no LaTeX.

docutils converts the LaTeX; a formula that it cannot convert is a warning with its page and line,
which fails the build.
"""

from __future__ import annotations

from html import escape

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

log = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer and choose it."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _converted(node: nodes.math | nodes.math_block, *, as_block: bool) -> str:
    """The formula as MathML; a warning and its text where it cannot be converted."""
    text = node.astext()
    try:
        return str(tex2mathml(text, as_block=as_block))
    except MathError as error:
        log.warning("formula '%s': %s", text, error, location=node)
        return escape(text)


def _visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(_converted(node, as_block=False))
    raise nodes.SkipNode


def _visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    formula = _converted(node, as_block=True)
    translator.body.append(f'<div class="math-display" tabindex="0">{formula}</div>\n')
    raise nodes.SkipNode
