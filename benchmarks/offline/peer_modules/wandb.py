"""A logger without effect in the place of wandb, which reports to a server."""

from __future__ import annotations

from typing import Any


class _Run:
    def save(self) -> None:
        pass


run = _Run()


def init(*arguments: Any, **options: Any) -> _Run:
    return run


def log(*arguments: Any, **options: Any) -> None:
    pass


def mark_preempting() -> None:
    pass


def finish() -> None:
    pass
