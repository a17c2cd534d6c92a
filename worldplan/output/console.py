"""The terminal, for texts that contain names of the user."""

from __future__ import annotations

from rich.console import Console


def plain_console() -> Console:
    """A console on stdout that prints brackets and colons as they are: a file may be called
    "[/]x.npz", which rich would take for a tag.
    """
    return Console(markup=False, emoji=False)
