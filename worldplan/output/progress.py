"""The progress bar of commands that take minutes."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def progress_bar(*, terminal_only: bool = False) -> Progress:
    """A bar on stderr with description, count and remaining time; use it with `with`.

    Args:
        terminal_only: show nothing where stderr is no terminal, not even the finished bar.
    """
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=terminal_only and not console.is_terminal,
    )
