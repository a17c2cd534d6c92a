"""Every command of the documentation runs, at a small size, in the order in which it is written."""

from __future__ import annotations

import argparse
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonargparse
import pytest

from tests.documents.commands import Command, commands
from tests.documents.sandbox import run_small, sandbox, shorten_constants
from tests.documents.shrinking import METHODS, NOT_RUN, OPTIONS, SETTINGS
from tests.places import ROOT
from worldplan.cli import main

JOURNEYS = {
    "bandits": (
        r"configs/sequoia|runs/(capacity|path)/|example_log"
        r"|worldplan (bandits|doctor|examples|runs|compare)"
    ),
    "actions": r"worldplan actions",
    "offline": (
        r"configs/(ensemble|ravl|leq|model_free|online)|-v\d |runs/(ravl|leq|model_free)|DATASET"
        r"|worldplan data convert"
    ),
    "modem": r"bin_pick|(incline|planar)_push|upright_pivot|runs/modem/",
}
FILES_OF_TESTS = ["bandits run scenario.yaml", "fit --config value.yaml"]  # see test_python.py


def to_run() -> list[Command]:
    """The commands that are run."""
    return [command for command in commands() if reason(command) is None]


def reason(command: Command) -> str | None:
    """Why a command is not run."""
    return next((why for begin, why in NOT_RUN.items() if re.search(begin, command.line)), None)


def test_every_command_belongs_to_one_journey() -> None:
    for command in to_run():
        fitting = [name for name, part in JOURNEYS.items() if re.search(part, command.line)]
        assert len(fitting) == 1, f"{command.place}: {command.line}: {fitting}"


@pytest.mark.parametrize("pattern", [*OPTIONS, *METHODS, *SETTINGS, *NOT_RUN])
def test_every_entry_of_the_tables_is_needed(pattern: str) -> None:
    lines = [command.line for command in commands()] + FILES_OF_TESTS
    assert any(re.search(pattern, line) for line in lines)


@pytest.mark.parametrize("journey", JOURNEYS)
def test_commands_run(
    journey: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sandbox(tmp_path, monkeypatch)
    shorten_constants(journey, monkeypatch)
    run_journey(journey, capsys, all_methods=False)


@pytest.mark.slow
def test_studies_train_all_their_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox(tmp_path, monkeypatch)
    run_journey("offline", capsys, all_methods=True)


def run_journey(journey: str, capsys: pytest.CaptureFixture[str], *, all_methods: bool) -> None:
    """Run the commands of a journey, in their order."""
    for command in to_run():
        if re.search(JOURNEYS[journey], command.line):
            code = run_small(command, all_methods=all_methods)
            printed = capsys.readouterr()
            assert code == 0, f"{command.place}: {command.line}: {printed.err[-2000:]}"


class Accepted(BaseException):
    """A parser has accepted the options."""


@pytest.mark.parametrize(
    "command", [each for each in commands() if reason(each)], ids=lambda command: command.line
)
def test_what_is_not_run_exists(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *words = command.words
    if program == "make":
        dry = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, check=False)
        assert dry.returncode == 0, f"{command.place}: {dry.stderr!r}"
    elif words[0] == "-m" and words[1].startswith("benchmarks."):
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", accepting(argparse))
        monkeypatch.setattr(sys, "argv", words[1:])
        with pytest.raises(Accepted):
            runpy.run_module(words[1], run_name="__main__")
    elif program == "worldplan":
        monkeypatch.setattr(jsonargparse.ArgumentParser, "parse_args", accepting(jsonargparse))
        with pytest.raises(Accepted):
            main(words)
    for word in words:  # files of this repository
        if re.fullmatch(r"(configs|benchmarks)/\S+\.\w+|constraints.txt", word):
            assert (ROOT / word).is_file(), f"{command.place}: {word}"


def accepting(library: Any) -> Any:
    """`parse_args` of a library that raises `Accepted` after it."""
    parse = library.ArgumentParser.parse_args

    def parse_args(*arguments: Any, **options: Any) -> None:
        parse(*arguments, **options)
        raise Accepted

    return parse_args
