"""The rows of a study's table: every method at every share of the true dynamics, and which of them
a command line selects.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

from worldplan.lists import items
from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean


@dataclass(frozen=True)
class StudyRow:
    """One method at one share of the true dynamics.

    Args:
        method: its name in the study.
        share: of the true dynamics, see `worldplan.planners.offline.task.dataset_task`; None for a
            method without rollouts.
        name: of the row in tables, figures and folders.
    """

    method: str
    share: float | None
    name: str

    @property
    def column(self) -> float:
        """The share as a number in tables; NaN for a method without rollouts."""
        return math.nan if self.share is None else self.share


def crossed_row(method: str, share: float) -> StudyRow:
    """The row of a study that crosses its methods with shares: base_learned, base_mixed0.5,
    base_true.
    """
    dynamics = {0.0: "learned", 1.0: "true"}.get(share, f"mixed{share:g}")
    return StudyRow(method, share, f"{method}_{dynamics}")


@dataclass(frozen=True)
class Selection:
    """The part of a study that is run now; the rest is left for later.

    Args:
        methods: their names; empty: all.
        shares: of the true dynamics; empty: all.
    """

    methods: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()

    def of(self, rows: Sequence[StudyRow]) -> list[StudyRow]:
        """The selected ones of `rows`, in their order.

        Raises:
            ConfigError: the study has no such method or share, or no row with both.
        """
        for option, wanted, available in (
            ("--methods", self.methods, list(dict.fromkeys(row.method for row in rows))),
            ("--shares", self.shares, sorted({row.share for row in rows if row.share is not None})),
        ):
            missing = [value for value in wanted if value not in available]
            if missing:
                near = did_you_mean(_listed(missing[:1]), map(str, available))
                raise ConfigError(
                    f"{option}: {_listed(missing)} is not in this study{near}: choose from "
                    f"{_listed(available)}"
                )
        chosen = [row for row in rows if self._includes(row)]
        if not chosen:
            raise ConfigError(
                f"--methods {_listed(self.methods)} --shares {_listed(self.shares)}: no method of "
                "this study has such a share: leave one of the two options out"
            )
        return chosen

    def _includes(self, row: StudyRow) -> bool:
        """Whether a row is selected; without a share, by its method's name or where all are."""
        if row.share is None:
            return row.method in self.methods or not (self.methods or self.shares)
        return (not self.methods or row.method in self.methods) and (
            not self.shares or row.share in self.shares
        )


def take_selection(argv: Sequence[str]) -> tuple[Selection, list[str]]:
    """The options --methods and --shares, and all other arguments.

    Raises:
        ConfigError: an option has no value, or a share is no number.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--methods")
    parser.add_argument("--shares")
    try:
        options, rest = parser.parse_known_args(list(argv))
    except argparse.ArgumentError as error:
        raise ConfigError(f"{error}: see worldplan run --help") from error
    try:
        shares = tuple(map(float, _parts("--shares", options.shares)))
    except ValueError:
        raise ConfigError(
            f"--shares {options.shares}: give numbers separated by commas, such as --shares 0,1"
        ) from None
    return Selection(_parts("--methods", options.methods), shares), rest


def _parts(option: str, text: str | None) -> tuple[str, ...]:
    """The items of a list as people write it.

    Raises:
        ConfigError: a part is empty.
    """
    parts = () if text is None else tuple(items(text))
    if text is not None and not (parts and all(parts)):
        raise ConfigError(f"{option} {text}: a name or number is missing between the commas")
    return parts


def _listed(values: Sequence[str | float]) -> str:
    """The names and numbers, separated by commas."""
    texts = [value if isinstance(value, str) else f"{value:g}" for value in values]
    return ", ".join(texts)
