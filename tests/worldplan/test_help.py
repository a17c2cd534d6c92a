"""Help and wrong options of the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.places import ROOT
from worldplan.arguments import add_settings, command_parser
from worldplan.cli import COMMANDS, main
from worldplan.commands.bandits.scenario import Scenario
from worldplan.commands.studies.study import Study
from worldplan.help_texts import help_texts
from worldplan.parallel import execute
from worldplan.short_help import FILE


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
    assert f"usage: worldplan {name}" in printed.out
    assert "<class" not in printed.out


def test_the_stored_help_is_that_of_the_parsers() -> None:
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(help_texts())), "python -m worldplan.help_texts"
    assert stored.keys() == COMMANDS.keys()
    for name, text in stored.items():
        for kind in ("arguments", "options", "settings"):
            assert all(sentence for _, sentence in text[kind]), (name, text[kind])


@pytest.mark.parametrize(("settings", "kind"), [(Scenario, "scenario"), (Study, "study")])
def test_every_setting_has_a_sentence(settings: type, kind: str) -> None:
    parser = command_parser(kind, "")
    add_settings(parser, settings, kind)
    bare = [action.dest for action in parser._actions if not (action.help or "").strip()]
    assert not bare


@pytest.mark.parametrize("width", ["40", "80", "200"])
def test_help_fits_the_terminal(
    width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    assert main(["bandits", "decide", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    texts = [line for line in lines if not line.lstrip().startswith("--")]
    assert max(map(len, texts)) <= int(width)


def test_help_all_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bandits", "run", "--help-all"]) == 0
    assert "--programme.constraint.kind KIND" in capsys.readouterr().out


SLIPS = [
    ("bandit run", "did you mean 'bandits run'?"),
    ("bandits decid", "did you mean 'decide'?"),
    ("evalute runs/x", "did you mean 'evaluate'?"),
    ("bandits run {scenario} --episods 3", "did you mean 'episodes'?"),
    ("bandits run {scenario} --episode 3", "did you mean 'episodes'?"),
    ("bandits run {scenario} --horizon 3", "did you mean 'programme.horizon'?"),
    ("bandits run {scenario} --policies whitle", "did you mean 'whittle'?"),
    ("bandits run {own} --programme.constraint.kind bugdet", "did you mean 'budget'?"),
    ("bandits run {scenario} --bound hul", "did you mean 'hull'?"),
    ("bandits run {misspelt}", "did you mean 'programme.horizon'?"),
    ("actions solve a b --plannr milp", "did you mean 'planner'?"),
    ("actions solve a b --planner serch", "did you mean 'search'?"),
    ("bandits run {study}", ": worldplan run {study}"),
    ("run {scenario}", ": worldplan bandits run {scenario}"),
    ("tune {scenario}", ": worldplan bandits run {scenario}"),
    ("run {tuning}", ": worldplan tune {tuning}"),
    ("bandits decide {training}", ": worldplan fit --config {training}"),
    ("fit --config {scenario}", ": worldplan bandits run {scenario}"),
    ("bandits run log.csv", "a table: give the scenario file"),
]


@pytest.mark.parametrize(("words", "remedy"), SLIPS)
def test_a_slip_is_told_what_was_meant(
    words: str, remedy: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = {
        "scenario": "bandits/capacity.yaml",
        "own": "bandits/from_logs.yaml",
        "study": "ravl/edge_of_reach.yaml",
        "tuning": "ravl/tune_plane.yaml",
        "training": "ensemble/mujoco-small.yaml",
    }
    names = {kind: str(ROOT / "configs" / name) for kind, name in files.items()}
    misspelt = tmp_path / "misspelt.yaml"
    misspelt.write_text("programme: {domain: capacity, horizn: 3}\n", encoding="utf-8")
    names["misspelt"] = str(misspelt)
    assert main(words.format(**names).split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert remedy.format(**names) in line


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
        ("report a --sorted", "there is no setting or option '--sorted'"),
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
