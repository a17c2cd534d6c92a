"""The files that `actions learn`, `actions solve` and `bandits decide` write: whole or not at all,
and never in the place of a file that the command reads.
"""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.places import ROOT
from worldplan.cli import main

LOGS, CLINIC = "configs/actions/delivery", "configs/bandits/clinic"
DOMAIN, PROBLEM = f"{LOGS}/domain.pddl", f"{LOGS}/problem.pddl"
STATE = "configs/bandits/example_log/today.csv"

COMMANDS = {
    "model.json": f"actions learn {LOGS}/log.csv --domain {DOMAIN} "
    f"--declare {LOGS}/declarations.yaml --output",
    "model.pddl": f"actions learn {LOGS}/log.csv --domain {DOMAIN} --output",
    "plan.txt": f"actions solve learned.json {PROBLEM} --output",
    "decision.csv": f"bandits decide configs/bandits/clinic.yaml --state {STATE} --policy myopic "
    "--output",
}
STEPS = {  # where each command is interrupted
    "model.json": ("learn.save_model", "learn._observe"),
    "model.pddl": ("learn.domain_text", "learn.read_vocabulary"),
    "plan.txt": ("solve.write_plan", "solve.solve"),
    "decision.csv": ("decide.write_csv", "decide.make_planner"),
}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (LOGS, "configs/bandits"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    assert main([*COMMANDS["model.json"].split(), "learned.json"]) == 0


def run(name: str, output: str = "") -> int:
    return main([*COMMANDS[name].split(), output or name])


@pytest.mark.parametrize("name", COMMANDS)
def test_interrupted_or_on_a_full_disk(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    family = "bandits" if name == "decision.csv" else "actions"
    for old in (None, "old"):
        if old is not None:
            Path(name).write_text(old)
        for step in STEPS[name]:
            with monkeypatch.context() as patched:
                patched.setattr(f"worldplan.commands.{family}.{step}", interrupt)
                capsys.readouterr()
                assert run(name) == 130
            assert capsys.readouterr().err.count("\n") == 1
        for size in (0, 40):
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
            try:
                assert run(name) == 2
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert f"{name}: File too large: check the disk" in capsys.readouterr().err
        assert Path(name).read_text() == old if old else not Path(name).exists()
        assert not list(Path().glob(".*"))
    assert run(name) == 0 and len(Path(name).read_bytes()) > 40


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("model.pddl", DOMAIN),
        ("model.pddl", f"{LOGS}/../delivery/domain.pddl"),
        ("plan.txt", PROBLEM),
        ("plan.txt", "learned.json"),
        ("decision.csv", STATE),
        ("decision.csv", "configs/bandits/clinic.yaml"),
        *[("decision.csv", f"{CLINIC}/{table}.csv") for table in ("costs", "workers")],
    ],
)
def test_inputs_are_not_replaced(
    name: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path(output).read_bytes()
    assert run(name, output) == 2
    assert f"--output {output}: the command reads this file: choose" in capsys.readouterr().err
    assert Path(output).read_bytes() == before


@pytest.mark.parametrize("name", COMMANDS)
def test_folders_and_devices_are_not_replaced(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ending = Path(name).suffix
    folder, pipe, link = Path(f"d{ending}"), Path(f"p{ending}"), Path(f"l{ending}")
    folder.mkdir()
    os.mkfifo(pipe)
    link.symlink_to("/proc/self/fd/1")  # as /dev/stdout
    before = {path: path.lstat().st_mode for path in (folder, pipe, link)}
    for output, reason in [
        (folder, "this is a folder: give a file"),
        (pipe, "is a device, pipe or socket: give the name of a file"),
        (link, "is a device, pipe or socket: give the name of a file"),
        (Path(f"/proc/self/x{ending}"), "is a device, pipe or socket: give the name of a file"),
        (Path(), "-o .: end it in .json" if name.startswith("model") else "this is a folder"),
    ]:
        capsys.readouterr()
        assert main([*COMMANDS[name].split(), str(output)]) == 2
        assert reason in capsys.readouterr().err
    assert {path: path.lstat().st_mode for path in before} == before
    assert not list(Path().glob(".*"))
