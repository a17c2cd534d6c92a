"""`worldplan runs`: every kind of run folder, whatever state it is in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.worldplan.commands.overview.builders import SETTINGS, make_run, policy
from worldplan.cli import main
from worldplan.commands.overview.found import find_runs
from worldplan.commands.overview.kinds import DONE
from worldplan.world_models.folders import exclusive
from worldplan.world_models.training import saved

SUMMARY = [policy("null", 1.0, bound_share=0.1), policy("fluid", 2.0, bound_share=0.9)]
TIME = "20261129-071753"


def listed(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What `worldplan runs FOLDER --json` prints."""
    assert main(["runs", str(folder), "--json", *words]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    answer: dict[str, Any] = json.loads(printed.out)
    return answer


def test_every_kind_has_its_headline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = [
        {"count": 1, "precondition_precision_mean": 0.5, "effect_recall_mean": 0.2},
        {"count": 9, "precondition_precision_mean": 1.0, "effect_recall_mean": 0.75},
    ]
    for kind in ("bandits", "tuning", "study", "action models"):
        make_run(tmp_path / kind / TIME, kind, summary=SUMMARY, results=results)
    make_run(tmp_path / "model report" / TIME, "model report")
    make_run(tmp_path / "MoDem", "MoDem", evaluation=[policy("planner", 0.8)])
    make_run(tmp_path / "bandit policy", "bandit policy", metrics=[{"epoch": 1, "val/reward": 3.5}])
    rows = [{"epoch": 1, "check/return/0": 1.0, "check/return/1": 3.0}, {"epoch": 2}]
    make_run(tmp_path / "policy from data", "policy from data", metrics=rows)
    make_run(tmp_path / "ensemble", "ensemble", metrics=[{"epoch": 1, "best_val_mse": 0.25}])
    make_run(tmp_path / "training", "training", metrics=[{"epoch": 1, "val/x": 7.0}])
    found = {run["kind"]: run for run in listed(tmp_path, capsys)["runs"]}
    assert found.keys() == SETTINGS.keys()
    assert {run["state"] for run in found.values()} == {"finished"}
    values = {kind: [each["value"] for each in run["figures"]] for kind, run in found.items()}
    assert values == {
        "bandits": [0.9, 2.0],
        "tuning": [0.9, 2.0],
        "study": [0.9, 2.0],
        "action models": [0.9, 2.0, 1.0, None, None, 0.75],
        "model report": [],
        "MoDem": [0.8],
        "bandit policy": [3.5],
        "policy from data": [2.0],
        "ensemble": [0.25],
        "training": [7.0],
    }
    assert found["bandits"]["date"] == "2026-11-29 07:17:53"
    assert main(["runs", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for text in ("fluid: share of the bound 90.0 %", "planner: success rate 80.0 %", "solved"):
        assert text in shown


def test_states(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("bandits", "MoDem"):
        make_run(tmp_path / f"{kind}-finished", kind, summary=SUMMARY)
        make_run(tmp_path / f"{kind}-broken off", kind, finished=False)
        running = make_run(tmp_path / f"{kind}-running", kind, finished=False)
        code = (
            "import sys; from worldplan.world_models.folders import exclusive\n"
            f"with exclusive({str(running)!r}): print('held', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            states = {run["path"]: run["state"] for run in listed(tmp_path, capsys)["runs"]}
            holder.communicate(b"")
        for path, state in states.items():
            if f"/{kind}-" in path:
                assert path.endswith(f"-{state}"), path
        with exclusive(running, 0.0):  # the list holds no lock itself
            pass
    part = make_run(tmp_path / "part", "study", summary=SUMMARY)
    (part / "unfinished.txt").write_text("rows are left")
    states = {run["path"]: run["state"] for run in listed(tmp_path, capsys)["runs"]}
    assert states[str(part)] == "part of it"
    assert DONE == saved.DONE


def damage(name: str, text: str | bytes) -> Any:
    """A damage that replaces a file of a run."""

    def replace(folder: Path) -> None:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return replace


BROKEN = {
    "yaml": damage("config.yaml", "a: [1"),
    "empty": damage("config.yaml", ""),
    "list": damage("config.yaml", "- 1"),
    "binary": damage("config.yaml", b"\x00\xff\xfe"),
    "foreign": damage("config.yaml", "services: {web: 1}"),
    "odd model": damage("config.yaml", "model: 3\ntrainer: {}"),
    "text": damage("summary.csv", "policy,mean\nfluid,high\n"),
    "columns": damage("summary.csv", "a,b\n1,2\n"),
    "torn": damage("summary.csv", 'policy,mean\n"flu'),
    "nothing": damage("summary.csv", ""),
    "bytes": damage("summary.csv", b"\xff\xfe\x00"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_named_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    make_run(tmp_path / "good", "bandits", summary=SUMMARY)
    bad = make_run(tmp_path / "bad", "bandits", summary=SUMMARY)
    BROKEN[name](bad)
    answer = listed(tmp_path, capsys)
    assert [run["path"] for run in answer["runs"]] == [str(tmp_path / "good")]
    (skipped,) = answer["skipped"]
    assert skipped["path"] == str(bad)
    assert skipped["reason"]
    assert main(["runs", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "good" in printed.out
    assert printed.err.startswith(f"skipped: {bad}: ")
    assert printed.err.count("\n") == 1


def test_foreign_folders_links_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "a" / TIME, "study", summary=SUMMARY)
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.html").write_text("")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "file.csv").write_text("")
    answer = listed(tmp_path, capsys)
    assert len(answer["runs"]) == 1
    assert [each["path"] for each in answer["skipped"]] == [str(tmp_path / "photos")]
    assert len(listed(tmp_path / "a" / TIME, capsys)["runs"]) == 1, "a run by itself"


def test_orders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for day, kind in ((1, "study"), (3, "bandits"), (2, "tuning")):
        make_run(tmp_path / f"{kind}" / f"2026010{day}-000000", kind, summary=SUMMARY)
    kinds = {
        order: [run["kind"] for run in listed(tmp_path, capsys, "--sort", order)["runs"]]
        for order in ("date", "kind", "name")
    }
    assert kinds["date"] == ["bandits", "tuning", "study"]
    assert kinds["kind"] == ["bandits", "study", "tuning"] == kinds["name"]


def test_nothing_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(tmp_path)]) == 0
    assert "no run folders" in capsys.readouterr().out
    assert main(["runs", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["runs", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_narrow_terminals(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    make_run(tmp_path / "x" / TIME, "bandits", summary=SUMMARY)
    assert main(["runs", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "finished" in " ".join(shown.split())
    lines = [line for line in shown.splitlines() if TIME not in line and "runs in" not in line]
    assert max(map(len, lines)) <= columns


def test_the_folder_is_not_changed(tmp_path: Path) -> None:
    make_run(tmp_path / "x", "bandits", summary=SUMMARY, finished=False)
    before = sorted(tmp_path.rglob("*"))
    find_runs(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
