"""Logs as trajectories: CSV tables with a row per state, and whole folders of logs and trajectory
files.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from worldplan.milp.errors import DatasetError
from worldplan.milp.user_files import read_user_text
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Ground, State, Vocabulary
from worldplan.world_models.numeric.sources.log_files import is_table, trajectory_files
from worldplan.world_models.numeric.sources.object_types import Fact, inferred_types, kind_of
from worldplan.world_models.numeric.trajectories import (
    Checker,
    Trajectory,
    read_objects,
    read_trajectory,
)

TRUTH = {"1": True, "0": False, "true": True, "false": False, "1.0": True, "0.0": False}


def read_trajectories(sources: Sequence[str | Path], vocabulary: Vocabulary) -> list[Trajectory]:
    """The trajectories of trajectory files, of tables and of folders of them, in order of file
    names.

    Args:
        sources: files and folders.
        vocabulary: the declarations that every name is checked against.

    Raises:
        DatasetError: a source is missing or empty, or a file is malformed.
    """
    return [
        trajectory
        for path in trajectory_files(sources)
        for trajectory in read_file(path, vocabulary)
    ]


def read_file(path: Path, vocabulary: Vocabulary) -> list[Trajectory]:
    """The trajectories of one file.

    Raises:
        DatasetError: the file is missing or malformed.
    """
    return read_log(path, vocabulary) if is_table(path) else [read_trajectory(path, vocabulary)]


def read_log(path: str | Path, vocabulary: Vocabulary) -> list[Trajectory]:
    """The trajectories of a CSV log: a row per state, in the order of time.

    Columns:

        action   the action taken in the row's state, as `name object ...` (last row: empty)
        episode  the episode, if there are several
        success  1 or 0, if actions can fail

    Every other column is a ground fluent or atom by name, such as `fuel truck1` or `at truck1
    depot`. It holds a number for a fluent (empty if undefined), 1 or 0 for an atom. The types of
    the objects come from the problem file of the same name beside the log. Without this file, an
    object has the narrowest of the types that its columns and actions require.

    Args:
        path: the file.
        vocabulary: the declarations that every name is checked against.

    Raises:
        DatasetError: the file is malformed; the message names file, row and column.
    """
    path = Path(path)
    table = _read_table(path)
    if "action" not in table or table.empty:
        raise DatasetError(
            f"{path}: needs a row per state and a column 'action' (the action taken in this state; "
            "empty in an episode's last row)"
        )
    facts = {
        str(column): tuple(str(column).split())
        for column in table
        if column not in ("action", "episode", "success")
    }
    calls = [tuple(text.lower().split()) for text in table["action"]]
    problem = path.with_suffix(".pddl")
    objects = (
        read_objects(problem)
        if problem.exists()
        else inferred_types(vocabulary, _facts(vocabulary, facts.values(), calls), path)
    )
    log = _Log(path, Checker(vocabulary, objects), facts)
    episodes = table["episode"] if "episode" in table else pd.Series("", index=table.index)
    return [
        log.trajectory(rows, [calls[i] for i in rows.index], str(name))
        for name, rows in table.groupby(episodes, sort=False)
    ]


def _facts(
    vocabulary: Vocabulary, facts: Iterable[Ground], calls: Iterable[Ground]
) -> Iterator[Fact]:
    """The facts of columns and of cells with actions."""
    for fact in facts:
        yield kind_of(vocabulary, fact), fact
    for call in filter(None, calls):
        yield "action", call


def _read_table(path: Path) -> pd.DataFrame:
    """The cells as text; column names in lower case with single blanks.

    Raises:
        DatasetError: not CSV, a column without a name or twice, or a row of the wrong length.
    """
    try:
        lines = io.StringIO(read_user_text(path, megabytes=1024))
        rows = list(csv.reader(lines, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise DatasetError(f"{path}: cannot be read as CSV ({error})") from error
    header = [" ".join(name.lower().split()) for name in (rows[0] if rows else [])]
    if repeated := next((name for name, count in Counter(header).items() if count > 1), None):
        raise DatasetError(f"{path}: the column '{repeated}' is there more than once")
    if "" in header:
        raise DatasetError(f"{path}: column {header.index('') + 1} has no name")
    for number, row in enumerate(rows[1:], 2):
        if len(row) < len(header) or any(row[len(header) :]):
            raise DatasetError(
                f"{path}, row {number}: has {len(row)} cells, the header {len(header)}"
            )
    return pd.DataFrame([row[: len(header)] for row in rows[1:]], columns=header, dtype=str)


class _Log:
    """Converts the rows of a log.

    Args:
        path: for messages.
        check: checks names and types.
        facts: the ground fluent or atom of each column.
    """

    def __init__(self, path: Path, check: Checker, facts: Mapping[str, Ground]) -> None:
        self.path, self.check, self.facts = path, check, facts
        for column, fact in facts.items():
            if mistake := check(kind_of(check.vocabulary, fact), fact):
                raise DatasetError(f"{path}, column '{column}': {mistake}")

    def trajectory(self, rows: pd.DataFrame, calls: list[Ground], episode: str) -> Trajectory:
        """The trajectory of one episode.

        Args:
            rows: the rows of the episode.
            calls: the ground action of each row; empty in the last row.
            episode: its name, for messages.

        Raises:
            DatasetError: an action is missing or wrong, or a cell is malformed.
        """
        where = f"{self.path}{f', episode {episode}' if episode else ''}"
        for index, call in zip(rows.index[:-1], calls, strict=False):
            mistake = self.check("action", call) if call else "no action, and the episode goes on"
            if mistake:
                raise DatasetError(f"{self.path}, row {index + 2}, column 'action': {mistake}")
        if calls[-1]:
            raise DatasetError(
                f"{self.path}, row {rows.index[-1] + 2}: an episode's last row holds its last "
                "state and no action"
            )
        states = [self._state(index, row) for index, row in rows.iterrows()]
        succeeded: list[bool | None] = [None] * len(rows)
        if "success" in rows:
            succeeded = [self._truth(i, "success", value) for i, value in rows["success"].items()]
        return Trajectory(
            self.check.objects, tuple(states), tuple(calls[:-1]), tuple(succeeded[:-1]), where
        )

    def _state(self, index: object, row: pd.Series) -> State:
        atoms: set[Ground] = set()
        values: dict[Ground, Rational] = {}
        for column, fact in self.facts.items():
            text = str(row[column]).strip()
            if fact[0] in self.check.vocabulary.predicates:
                if self._truth(index, column, text):
                    atoms.add(fact)
            elif text:
                try:
                    values[fact] = exact(text)
                except (ValueError, ZeroDivisionError) as error:
                    raise self._error(index, column, f"'{text}' is not a number") from error
        return State(frozenset(atoms), values)

    def _truth(self, index: object, column: object, text: object) -> bool | None:
        text = str(text).strip().lower()
        if text not in TRUTH and not (column == "success" and not text):
            raise self._error(index, column, f"'{text}' is neither 1 nor 0")
        return TRUTH.get(text)

    def _error(self, index: object, column: object, what: str) -> DatasetError:
        return DatasetError(f"{self.path}, row {int(str(index)) + 2}, column '{column}': {what}")
