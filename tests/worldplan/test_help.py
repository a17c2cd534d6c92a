"""Help and wrong options of the command line."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module

import pytest

from tests.places import ROOT
from worldplan.cli import COMMANDS, main
from worldplan.parallel import execute


@pytest.mark.parametrize(
    "words", ["--help", "--version", "doctor --help", "report --help", "bandits --help"]
)
def test_help_is_quick(words: str) -> None:
    code = (
        f"import sys; from worldplan.cli import main; code = main({words.split()!r});"
        "heavy = {'torch', 'lightning', 'highspy', 'pyomo'} & sys.modules.keys();"
        "sys.exit(code or ', '.join(heavy) or 0)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()


def test_bandits_without_sequoia_need_no_torch() -> None:
    code = "import sys, worldplan.commands.bandits.run; sys.exit('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT)
    assert answer.returncode == 0


@pytest.mark.parametrize(
    "words", ["bandits run", "bandits decide", "bandits bound", "evaluate", "fit"]
)
def test_help(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words.split(), "--help"]) == 0
    printed = capsys.readouterr()
    assert "usage" in printed.out.lower()
    assert printed.err == ""


def test_every_command_is_in_the_help_and_can_be_imported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"\n  {name} {command.arguments}".rstrip() in printed
        assert command.help in printed
        module, _, function = command.entry.partition(":")
        assert callable(getattr(import_module(module), function)), name


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("validate", "test")])
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    if name == "fit":  # Lightning's own help
        assert "worldplan [options] fit" in printed.out
    else:
        assert f"worldplan {name}" in printed.out
        assert "<class" not in printed.out


@pytest.mark.parametrize("group", ["bandits", "data", "actions"])
def test_the_verbs_of_a_group(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    verbs = [name.split()[1] for name in COMMANDS if name.startswith(group)]
    assert main([group, "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"{group} {verb} " in printed for verb in verbs)
    assert "report" not in printed.replace("plots, report", "")
    for words, problem in (
        ([group], "the following arguments are required: verb"),
        ([group, "fly"], "invalid choice: 'fly'"),
    ):
        assert main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{problem} (choose from {', '.join(verbs)}): see worldplan {group} --help" in line


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fly"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "unknown command 'fly': choose bandits, fit," in line


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("report", "the following arguments are required: runs"),
        ("report a --sorted", "unrecognized arguments: --sorted"),
        ("report a --output", "--output: expected one argument"),
        ("evaluate a --episodes many", 'key "episodes": Expected a int. Got value: many'),
        ("doctor now", "unrecognized arguments: now"),
        ("data collect Hopper-v5", "one of the arguments --policy --demonstrator is required"),
        (
            "data collect Hopper-v5 --policy random --demonstrator scripted",
            "argument --demonstrator: not allowed with argument --policy",
        ),
        ("data convert a.npz", "the following arguments are required: target"),
    ],
)
def test_wrong_options_are_one_line(
    words: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert problem in line
    assert re.search(r": see worldplan [a-z ]+ --help$", line)
    assert printed.out == ""


@pytest.mark.parametrize("processes", [3, 10**6 + 1, 10**9, 10**30])
def test_more_processes_than_jobs(processes: int) -> None:
    assert sorted(execute(abs, [-1, -2], processes)) == [1, 2]
    assert list(execute(abs, [], processes)) == []
