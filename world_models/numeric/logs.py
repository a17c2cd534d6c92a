"""Logs as trajectories: CSV tables with a row per state, and whole folders of logs and trajectory
files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from worldplan.milp.errors import DatasetError
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Ground, State, Vocabulary
from worldplan.world_models.numeric.sources.log_files import is_table, trajectory_files
from worldplan.world_models.numeric.sources.object_types import inferred_types, kind_of
from worldplan.world_models.numeric.sources.tables import (
    DECIMAL_COMMA,
    NO_ACTION,
    Table,
    read_table,
)
from worldplan.world_models.numeric.sources.written_facts import Spellings, with_hint, written_fact
from worldplan.world_models.numeric.trajectories import (
    NOT_OBSERVED,
    UNKNOWN,
    Checker,
    Trajectory,
    read_objects,
    read_trajectory,
)

SPECIAL = ("action", "episode", "success")
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
    depot`, or `fuel(Truck 1)` where a name has blanks (see
    `worldplan.world_models.numeric.sources.written_facts`). It holds a number for a fluent (empty
    if undefined), 1 or 0 for an atom. Commas, semicolons or tabs stand between the cells. The types
    of the objects come from the problem file of the same name beside the log. Without this file, an
    object has the narrowest of the types that its columns and actions require.

    Args:
        path: the file.
        vocabulary: the declarations that every name is checked against.

    Raises:
        DatasetError: the file is malformed; the message names file, row and column.
    """
    path = Path(path)
    table = read_table(path)
    names = [column.lower() for column in table.columns]
    if "action" not in names or not table.rows:
        raise DatasetError(f"{path}: {NO_ACTION}")
    for special in SPECIAL:
        if names.count(special) > 1:
            raise DatasetError(f"{path}: the column '{special}' is there more than once")
    log = _Log(path, vocabulary, table)
    episodes: dict[str, list[_Row]] = {}
    for number, cells in table.rows:
        row = _Row(number, dict(zip(names, cells, strict=True)), cells)
        episodes.setdefault(row.special.get("episode", "").strip(), []).append(row)
    return [log.trajectory(rows, name) for name, rows in episodes.items()]


class _Row(NamedTuple):
    """A row of a table.

    Attributes:
        number: its number in the file.
        special: its cells by the name of the column in lower case.
        cells: its cells in the order of the columns.
    """

    number: int
    special: dict[str, str]
    cells: list[str]


class _Log:
    """Converts the rows of a log.

    Args:
        path: for messages.
        vocabulary: the declarations.
        table: the cells.

    Raises:
        DatasetError: a column or an action is malformed or not declared.
    """

    def __init__(self, path: Path, vocabulary: Vocabulary, table: Table) -> None:
        self.path = path
        written = {
            index: self._fact(column, f"column {index + 1}")
            for index, column in enumerate(table.columns)
            if column.lower() not in SPECIAL
        }
        problem = path.with_suffix(".pddl")
        declared = read_objects(problem) if problem.exists() else None
        self.spellings = Spellings([*vocabulary.constants, *(declared or ())], written.values())
        self.facts = {index: self.spellings.fact(fact) for index, fact in written.items()}
        self.columns = table.columns
        at = [column.lower() for column in table.columns].index("action")
        self.calls = {number: self._call(number, cells[at]) for number, cells in table.rows}
        if declared is None:
            facts = [(kind_of(vocabulary, fact), fact) for fact in self.facts.values()]
            facts += [("action", call) for call in self.calls.values() if call]
            declared = inferred_types(vocabulary, facts, path)
        self.check = Checker(vocabulary, declared)
        seen: set[Ground] = set()
        for index, fact in self.facts.items():
            column = f"column '{self.columns[index]}'"
            if fact in seen:
                raise DatasetError(f"{path}: the column '{' '.join(fact)}' is there more than once")
            seen.add(fact)
            if mistake := self.check(kind_of(vocabulary, fact), fact):
                raise DatasetError(f"{path}, {column}: {with_hint(mistake, fact)}")

    def _fact(self, text: str, where: str) -> Ground:
        try:
            fact = written_fact(text)
        except ValueError as error:
            raise DatasetError(f"{self.path}, {where}: {error}") from error
        if not fact:
            raise DatasetError(f"{self.path}: {where} has no name")
        return fact

    def _call(self, number: int, text: str) -> Ground:
        try:
            return self.spellings.fact(written_fact(text))
        except ValueError as error:
            raise self._error(number, "action", str(error)) from error

    def trajectory(self, rows: list[_Row], episode: str) -> Trajectory:
        """The trajectory of one episode.

        Args:
            rows: the rows of the episode.
            episode: its name, for messages.

        Raises:
            DatasetError: an action is missing or wrong, or a cell is malformed.
        """
        calls = [self.calls[row.number] for row in rows]
        for row, call in zip(rows[:-1], calls, strict=False):
            mistake = self.check("action", call) if call else "no action, and the episode goes on"
            if mistake:
                raise self._error(row.number, "action", with_hint(mistake, call))
        if calls[-1]:
            raise DatasetError(
                f"{self.path}, row {rows[-1].number}: an episode's last row holds its last state "
                "and no action"
            )
        succeeded = [
            self._truth(row.number, "success", row.special["success"])
            if "success" in row.special
            else None
            for row in rows
        ]
        return Trajectory(
            self.check.objects,
            tuple(self._state(row) for row in rows),
            tuple(calls[:-1]),
            tuple(succeeded[:-1]),
            f"{self.path}{f', episode {episode}' if episode else ''}",
        )

    def _state(self, row: _Row) -> State:
        atoms: set[Ground] = set()
        values: dict[Ground, Rational] = {}
        for index, fact in self.facts.items():
            column, text = self.columns[index], row.cells[index].strip()
            if text.lower() in UNKNOWN:
                raise self._error(row.number, column, f"'{text}': {NOT_OBSERVED}")
            if fact[0] in self.check.vocabulary.predicates:
                if self._truth(row.number, column, text):
                    atoms.add(fact)
            elif text:
                values[fact] = self._number(row.number, column, text)
        return State(frozenset(atoms), values)

    def _number(self, row: int, column: str, text: str) -> Rational:
        if DECIMAL_COMMA.fullmatch(text):
            point = text.replace(".", "").replace(",", ".")
            raise self._error(row, column, f"'{text}' has a decimal comma: write {point}")
        try:
            return exact(text)
        except (ValueError, ZeroDivisionError) as error:
            raise self._error(row, column, f"'{text}' is not a number") from error

    def _truth(self, row: int, column: str, text: str) -> bool | None:
        text = text.strip().lower()
        if text not in TRUTH and not (column == "success" and not text):
            raise self._error(row, column, f"'{text}' is neither 1 nor 0")
        return TRUTH.get(text)

    def _error(self, row: int, column: str, what: str) -> DatasetError:
        return DatasetError(f"{self.path}, row {row}, column '{column}': {what}")
