"""A folder in which the documentation's code runs, with the files that it takes from a user."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import pytest
import yaml
from matplotlib.figure import Figure
from PIL import Image

from tests.documents.commands import Command, commands
from tests.documents.shrinking import GREEDY, METHODS, OPTIONS, SETTINGS
from tests.places import ROOT
from tests.worldplan.commands.actions.builders import DELIVERY, TRUE, make_data
from worldplan.cli import main
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings

T = TypeVar("T")
STATIONS = 12
PLACEHOLDERS = {
    "DATASET": "worldplan/readme-v0",
    "FOLDER": "trajectories",
    "TRUE.pddl": "true.pddl",
    "configs/bandits/example_log": "example_log",  # a folder of that name hides shipped files
}


def sandbox(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `folder` the current one, with a user's own files, and keep datasets in it.

    Args:
        folder: an empty one.
        monkeypatch: undoes it.
    """
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder / "minari"))
    monkeypatch.setattr(SequoiaSettings, "greedy", staticmethod(lambda: GREEDY))
    monkeypatch.setattr(Figure, "savefig", blank)
    ring = [(i, (i + 1) % STATIONS) for i in range(STATIONS)]
    write_rows("connections.csv", "from,to", [*ring, (0, 5), (3, 9)])
    write_rows(
        "stations.csv",
        "id,name,latitude,longitude",
        [(i, f"station {i}", i % 4, i // 4) for i in range(STATIONS)],
    )
    Path("true.pddl").write_text(TRUE)
    with mock.patch("tests.worldplan.commands.actions.builders.DELIVERY", str(ROOT / DELIVERY)):
        make_data(Path("trajectories"))


def blank(figure: Figure, file: Any, **options: Any) -> None:
    """Save a picture of one pixel: drawing takes most of the time, and is tested elsewhere."""
    Image.new("RGB", (1, 1)).save(file, format="png")


def shorten_constants(journey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what no option changes short: films of a policy that never succeeds, and the episodes in
    which SEQUOIA compares the starts of its network.
    """
    if journey == "modem":
        monkeypatch.setattr("worldplan.commands.evaluation.modem._MOST_FILMED", 2)
    elif journey == "bandits":
        for name in ("FIRST_EPISODES", "LAST_EPISODES"):
            monkeypatch.setattr(f"worldplan.planners.bandits.sequoia.starts.{name}", 2)


def write_rows(name: str, header: str, rows: list[tuple[object, ...]]) -> None:
    """Write a CSV file."""
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    Path(name).write_text("\n".join(lines) + "\n")


def run_small(command: Command, *, all_methods: bool = False) -> int:
    """Run a command with the options that make it small; returns its exit code.

    Args:
        command: which one.
        all_methods: of a study are trained, also those that `METHODS` leaves out.
    """
    program, *words = [_placed(word) for word in command.words]
    words += shortened(command.line, OPTIONS if all_methods else OPTIONS | METHODS, SETTINGS)
    if program == "worldplan":
        return main(words)
    assert (program, words[0]) == ("python", "-m"), command.line
    with mock.patch.object(sys, "argv", words[1:]):
        runpy.run_module(words[1], run_name="__main__")
    return 0


def run_documented(pattern: str) -> None:
    """Run the commands of the documentation that contain `pattern`."""
    for command in commands():
        if re.search(pattern, command.line):
            assert run_small(command) == 0, command


def shortened(
    line: str, options: Mapping[str, str], settings: Mapping[str, dict[str, Any]]
) -> list[str]:
    """Words to append to a command so that it is short.

    Args:
        line: the command.
        options: to append, by a pattern that the command contains.
        settings: to append as files, which are written into the current folder.
    """
    words = " ".join(_matching(options, line)).split()
    for number, init_args in enumerate(_matching(settings, line)):
        file = Path(f"small-{number}.yaml")
        file.write_text(yaml.safe_dump({"model": {"init_args": init_args}}))
        words += ["--config", str(file)]
    return words


def _matching(table: Mapping[str, T], line: str) -> list[T]:
    return [value for pattern, value in table.items() if re.search(pattern, line)]


def _placed(word: str) -> str:
    """A word of a command; where it is a placeholder, what a user puts in its place."""
    if word.endswith("/TIME"):
        return str(max(Path(word).parent.iterdir()))
    return PLACEHOLDERS.get(word, word)
