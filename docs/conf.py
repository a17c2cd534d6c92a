"""Settings of the documentation site: `make docs` builds it; it loads nothing from a network."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the folder of _extensions

project = "worldplan"
author = "the worldplan authors"
copyright = "the worldplan authors, Apache-2.0"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "_extensions.accessible",
    "_extensions.api_pages",
    "_extensions.mathml",
    "_extensions.own_files",
    "_extensions.picture",
]
exclude_patterns = ["_extensions"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types of signatures: links of the pages are checked

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
highlight_language = "bash"  # an indented block holds commands

html_theme = "furo"
html_title = "worldplan"
html_static_path = ["_static"]
html_css_files = ["worldplan.css"]
html_show_sphinx = False
html_copy_source = False

autodoc_typehints = "none"  # the signature shows them
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_inherit_docstrings = False  # those of libraries are not in our format
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
default_role = "code"
