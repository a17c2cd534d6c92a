"""The values of the control variates are found once for each seed, also when a run resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.worldplan.commands.bandits.builders import Desk
from worldplan.cli import main
from worldplan.cluster.parcels import pack
from worldplan.commands.bandits import control
from worldplan.commands.bandits.control import WITHOUT, control_file
from worldplan.commands.bandits.jobs import jobs_of, run_job
from worldplan.commands.bandits.scenario import Scenario
from worldplan.world_models.arms.programme import Programme

GENERATED: dict[str, Any] = {"domain": "path", "arms": 8, "budget": 2, "horizon": 4}


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each fluid program of the control variates."""
    calls: list[int] = []
    real = control.control_values

    def counting(*arguments: Any) -> Any:
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(control, "control_values", counting)
    return calls


def run(desk: Desk, *more: str) -> Path:
    """Run the scenario again; its folder."""
    assert main(["bandits", "run", "small.yaml", "--jobs", "1", *more]) == 0
    (folder,) = {path.parent for path in Path("runs").rglob("config.yaml")}
    return folder


def test_one_program_a_seed_also_where_a_run_resumes(desk: Desk, solved: list[int]) -> None:
    desk.scenario(policies=["null", "random", "myopic", "whittle"], seeds="0..1", episodes=3)
    folder = run(desk)
    assert len(solved) == 2
    first = pd.read_csv(folder / "episodes.csv")
    for path in [*folder.glob("jobs/whittle-1*"), folder / "summary.csv"]:
        path.unlink()  # as if it had been killed
    run(desk)
    assert len(solved) == 2
    control_file(folder, 0).unlink()  # a run of an earlier version
    for path in [*folder.glob("jobs/myopic-0*"), folder / "summary.csv"]:
        path.unlink()
    run(desk)
    assert len(solved) == 3
    again = pd.read_csv(folder / "episodes.csv")
    assert first["steady_return"].tolist() == again["steady_return"].tolist()


def test_a_job_alone_finds_the_same_values(tmp_path: Path, solved: list[int]) -> None:
    scenario = Scenario("x", Programme(**GENERATED), ["myopic"], seeds="3", episodes=2)
    means = []
    for name in ("alone", "handed"):
        folder = tmp_path / name
        (folder / "jobs").mkdir(parents=True)
        base = tmp_path / "x.yaml"
        if name == "handed":
            control.run_control_job(control.ControlJob(folder, scenario, base, 3))
        (job,) = [each for each in jobs_of(folder, scenario, base) if each.policy == "myopic"]
        carried = pack(job).files
        assert any("control-values" in file for file in carried) == (name == "handed")
        means.append(pd.read_csv(run_job(job).result)["steady_return"].tolist())
    assert means[0] == means[1] and len(solved) == 2


def test_damaged_values_are_refused(desk: Desk) -> None:
    desk.scenario(policies=["random"], episodes=2)
    folder = run(desk)
    control_file(folder, 0).write_bytes(b"PK\x03\x04 cut off")
    for path in [*folder.glob("jobs/random-0*"), folder / "summary.csv"]:
        path.unlink()
    desk.capsys.readouterr()
    assert main(["bandits", "run", "small.yaml", "--jobs", "1"]) == 2
    error = desk.capsys.readouterr().err.splitlines()[-1]
    assert "control-values-0.npz: cut off or damaged" in error and "delete it" in error


def test_that_there_are_none_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.scenario(policies=["random"], episodes=2)
    monkeypatch.setattr(
        control, "control_values", lambda instance, _: np.zeros((5, instance.dynamics.arms, 2))
    )
    folder = run(desk)
    table = pd.read_csv(folder / "episodes.csv")
    assert (table["note"] == WITHOUT).all()
    assert table["steady_return"].tolist() == pytest.approx(table["return"].tolist())
