"""Dynamics that drift: moves of a log count less the older they are.

A move of age t counts as w = 2^(-t / h) moves, with h the half-life: exponential forgetting
(Kulhavy and Zarrop 1993), the posterior of a likelihood that is raised to the power w. So a
client's estimates rest on sum(w) effective moves, at most 1 / (1 - 2^(-1/h)) for one move a step:
older moves give way to the prior, which is that of all clients, weighted alike.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from worldplan.envs.bandits.environment import Floats
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.tables import CsvTable
from worldplan.world_models.arms.log_rows import spellings, spelt

UNITS = {"day": ("date", 1.0), "week": ("date", 7.0), "step": ("step", 1.0)}
LONGEST = 1e6  # of a half-life: above it no row of a log is old


@dataclass(frozen=True)
class HalfLife:
    """The age at which a move counts one half.

    Args:
        age: in days or steps.
        column: of the log that says when a row was observed: "date" or "step".
        text: of the setting.
    """

    age: float
    column: str
    text: str

    @classmethod
    def parse(cls, text: str) -> HalfLife | None:
        """The half-life "90 days", "12 weeks" or "30 steps"; None of an empty text.

        Raises:
            ConfigError: it is nothing of the kind, or no positive number.
        """
        if not text.strip():
            return None
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(day|week|step)s?\s*", text)
        if match is None or not 0 < float(match[1]) <= LONGEST:
            raise ConfigError(
                f"programme.half_life '{text}': write a positive number and its unit, such as "
                "'90 days', '12 weeks' (with a column date in the log) or '30 steps' (with a "
                "column step)"
            )
        column, length = UNITS[match[2]]
        return cls(float(match[1]) * length, column, text.strip())

    @property
    def spellings(self) -> tuple[str, ...]:
        """Names that the column may have."""
        return spellings(self.column)

    def weight(self, age: Floats) -> Floats:
        """Weights of moves of these ages, in days or steps."""
        weights: Floats = np.exp2(-np.asarray(age, dtype=float) / self.age)
        return weights

    def of_rows(self, table: CsvTable, today: datetime.date | None = None) -> Floats:
        """The weight of each row of a log, (rows,).

        Args:
            table: with the column that says when a row was observed.
            today: from which ages count; None, and with steps: the last row.

        Raises:
            DatasetError: the column is missing, a cell is no date or no step, or a date is after
                today; names file, line and remedy.
        """
        there = spelt(table.columns, self.column)
        if not there:
            raise DatasetError(
                f"{table.path}, line 1: programme.half_life '{self.text}' needs the column "
                f"{self.column} (found: {', '.join(table.columns)}): add it, write the half-life "
                f"in {'steps' if self.column == 'date' else 'days'}, or leave it out"
            )
        if self.column == "step":
            step = table.integers(there)
            return self.weight(np.asarray(step.max() - step, dtype=float))
        text = table.text(there)
        date = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
        table.refuse(
            date.isna().to_numpy(),
            lambda i: f"date '{text.iloc[i]}' is no date",
            "write YYYY-MM-DD",
        )
        last = date.max() if today is None else pd.Timestamp(today)
        age: Floats = np.asarray((last - date).dt.days, dtype=float)
        table.refuse(
            age < 0,
            lambda i: f"date {text.iloc[i]} is after today, {last.date()}",
            "correct it, or decide for a later --date",
        )
        return self.weight(age)
