"""What PDDL may say and the exact models cannot represent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from worldplan.milp.errors import DatasetError
from worldplan.world_models.pddl.declared import BEYOND_SECTIONS


class BeyondModels(DatasetError):
    """Well-formed PDDL that exact linear planning cannot represent; other engines may take it."""


def beyond_message(where: str, what: str, text: str = "") -> str:
    """The message for something that exact linear planning cannot represent.

    Args:
        where: the file, and the part of it.
        what: its kind, in words.
        text: the expression.
    """
    excerpt = f": {text[:120]}{'...' * (len(text) > 120)}" if text else ""
    return (
        f"{where}: {what} is beyond the exact models here (conjunctions of literals and "
        f"linear comparisons){excerpt}. "
        "ENHSP can take such a domain: worldplan actions solve --planner enhsp, or "
        "worldplan.planners.numeric.enhsp.solve_files"
    )


class Beyond(NamedTuple):
    """Something that the exact models cannot represent.

    Attributes:
        what: its kind, in words.
        line: its line.
        text: the expression, shortened.
        grounded: whether it is gone once quantifiers are expanded over the objects of a problem.
    """

    what: str
    line: int
    text: str
    grounded: bool = False


def refuse_beyond(beyond: Sequence[Beyond], where: str | Path) -> None:
    """Refuse what exact linear planning cannot represent.

    Raises:
        BeyondModels: there is something; the message has its line.
    """
    for entry in beyond:
        place = f"{where}: line {entry.line}"
        if entry.what in BEYOND_SECTIONS.values() or entry.what == "a timed initial literal":
            raise BeyondModels(
                f"{place}: {entry.what} is beyond the planners here, which have no time: write "
                "instantaneous actions instead"
            )
        raise BeyondModels(beyond_message(place, entry.what, entry.text))
