"""Files and folders with logs: which files count, and which of the two kinds each is.

A trajectory file may have any name (`1_blocks_traj`, `run.txt`): its first character is a
parenthesis. A table may be `.csv`, `.tsv` or a text whose header has a cell `action`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from pathlib import Path

from worldplan.milp.errors import DatasetError
from worldplan.milp.user_files import require_regular
from worldplan.near_files import near_path

TRAJECTORIES = {".trajectory", ".traj", ".trace"}
TABLES = {".csv", ".tsv"}
NAMED = re.compile(r"(^|[_-])(traj|trajectory|trace)([_-]|$)", re.IGNORECASE)
COMMENTS = re.compile(r"\s*(;[^\n]*\n\s*)*")
PDDL = re.compile(r"\(\s*define\b", re.IGNORECASE)
DELIMITERS = (",", ";", "\t")


def trajectory_files(sources: Sequence[str | Path]) -> list[Path]:
    """The given files, and the trajectory and log files of the given folders.

    In a folder count `.trajectory`, `.traj`, `.trace`, `.csv` and `.tsv` files, and files without
    an ending whose name has the word traj, trajectory or trace, as `0_rovers_traj`.

    Raises:
        DatasetError: a source does not exist, is of another kind, or is a folder without such
            files.
    """
    paths: list[Path] = []
    for source in map(Path, sources):
        if not source.exists():
            near = near_path(source)
            raise DatasetError(f"{source}: no such file or folder{near}: check the path")
        if source.is_dir():
            files = sorted(path for path in source.iterdir() if _counts(path))
            if not files:
                raise DatasetError(f"{source}: holds no .trajectory and no .csv file")
            paths += files
        elif PDDL.match(_beginning(source)):
            raise DatasetError(
                f"{source}: a PDDL domain or problem: give logs here, and the domain as --domain"
            )
        elif is_table(source) or is_trajectory(source):
            paths.append(source)
        else:
            raise DatasetError(f"{source}: give .trajectory or .csv files, or a folder of them")
    return paths


def is_trajectory(path: Path) -> bool:
    """Whether a file holds a trajectory, by its ending or its beginning."""
    return path.suffix.lower() in TRAJECTORIES or _beginning(path)[:1] == "("


def is_table(path: Path) -> bool:
    """Whether a file holds a table of states, by its ending or its header."""
    if path.suffix.lower() in TABLES | TRAJECTORIES:
        return path.suffix.lower() in TABLES
    lines = [line for line in _beginning(path).splitlines() if line.strip()]
    return any(delimiter_of(line) is not None for line in lines[:2])  # the first may be `sep=;`


def delimiter_of(header: str) -> str | None:
    """The delimiter with which a header has a cell `action`; None if there is none."""
    for delimiter in DELIMITERS:
        cells = (cell.strip().strip('"').lower() for cell in header.split(delimiter))
        if "action" in cells:
            return delimiter
    return None


def _counts(path: Path) -> bool:
    """Whether a file of a folder is one of its logs."""
    if not path.is_file():
        return False
    return path.suffix.lower() in TRAJECTORIES | TABLES or (
        not path.suffix and NAMED.search(path.name) is not None
    )


def _beginning(path: Path) -> str:
    """The first kilobytes of a file as text, without comments and blank lines before."""
    require_regular(path)
    with open(path, "rb") as file:
        data = file.read(4096).removeprefix(codecs.BOM_UTF8)
    text = data.decode("utf-8", errors="replace")
    return text[COMMENTS.match(text).end() :]  # type: ignore[union-attr]
