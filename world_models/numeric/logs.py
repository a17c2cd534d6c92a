"""Logs as trajectories: CSV tables with a row per state, and whole folders of logs and trajectory
files.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from worldplan.milp.errors import DatasetError
from worldplan.milp.user_files import read_user_text
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Ground, State, Vocabulary
from worldplan.world_models.numeric.trajectories import (
    Checker,
    Trajectory,
    read_objects,
    read_trajectory,
)

TRUTH = {"1": True, "0": False, "true": True, "false": False, "1.0": True, "0.0": False}


def read_trajectories(sources: Sequence[str | Path], vocabulary: Vocabulary) -> list[Trajectory]:
    """The trajectories of `.trajectory` and `.csv` files and of folders of them, in order of file
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


def trajectory_files(sources: Sequence[str | Path]) -> list[Path]:
    """The given files, and the trajectory and log files of the given folders.

    Raises:
        DatasetError: a source does not exist, is of another kind, or is a folder without such
            files.
    """
    paths: list[Path] = []
    for source in map(Path, sources):
        files = [source]
        if source.is_dir():
            files = sorted([*source.glob("*.trajectory"), *source.glob("*.csv")])
        if not source.exists():
            raise DatasetError(f"{source}: no such file or folder")
        if not source.is_dir() and source.suffix not in (".trajectory", ".csv"):
            raise DatasetError(f"{source}: give .trajectory or .csv files, or a folder of them")
        if not files:
            raise DatasetError(f"{source}: holds no .trajectory and no .csv file")
        paths += files
    return paths


def read_file(path: Path, vocabulary: Vocabulary) -> list[Trajectory]:
    """The trajectories of one file.

    Raises:
        DatasetError: the file is missing or malformed.
    """
    return (
        read_log(path, vocabulary) if path.suffix == ".csv" else [read_trajectory(path, vocabulary)]
    )


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
        else _narrowest_types(path, vocabulary, [*facts.values(), *filter(None, calls)])
    )
    log = _Log(path, Checker(vocabulary, objects), facts)
    episodes = table["episode"] if "episode" in table else pd.Series("", index=table.index)
    return [
        log.trajectory(rows, [calls[i] for i in rows.index], str(name))
        for name, rows in table.groupby(episodes, sort=False)
    ]


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
            kind = "function" if fact[0] in check.vocabulary.functions else "predicate"
            if mistake := check(kind, fact):
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


def _narrowest_types(path: Path, vocabulary: Vocabulary, facts: Sequence[Ground]) -> dict[str, str]:
    """The type of each object: that one of the types required by its columns and actions which is a
    subtype of all of them.

    Raises:
        DatasetError: the required types of an object have no such type among them.
    """
    required: dict[str, set[str]] = {}
    for name, *arguments in facts:
        of_action = tuple(kind for _, kind in vocabulary.actions.get(name, ()))
        kinds_of_fact = vocabulary.functions.get(name) or vocabulary.predicates.get(name)
        for argument, kind in zip(arguments, kinds_of_fact or of_action, strict=False):
            if argument not in vocabulary.constants:
                required.setdefault(argument, set()).add(kind)
    types: dict[str, str] = {}
    for argument, kinds in required.items():
        lowest = [kind for kind in kinds if all(vocabulary.is_a(kind, other) for other in kinds)]
        if not lowest:
            raise DatasetError(
                f"{path}: '{argument}' is used as {' and as '.join(sorted(kinds))}; name its type "
                f"in {path.with_suffix('.pddl').name}"
            )
        types[argument] = lowest[0]
    return types
