"""A misspelt file or folder: the one line names the nearest that exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worldplan.refusals import refused
from worldplan.near_files import near_path

FILES = (
    "own.yaml",
    "tables/today.csv",
    "tables/today.xlsx",
    "tables/rewards.csv",
    "tables/.rewards.csv.draft",
    "domain.pddl",
    "logs/monday.trajectory",
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("own.yml", "own.yaml"),
        ("Own.yaml", "own.yaml"),
        ("onw.yaml", "own.yaml"),
        ("tables/tody.csv", "tables/today.csv"),
        ("tables/tody.xlsx", "tables/today.xlsx"),
        ("table/today.csv", "tables/today.csv"),
        ("tabels/reward.csv", "tables/rewards.csv"),
        ("./domian.pddl", "domain.pddl"),
        ("log", "logs"),
        # of the files that come with worldplan
        ("configs/bandits/capcity.yaml", "configs/bandits/capacity.yaml"),
        ("configs/bandit/clinic.yml", "configs/bandits/clinic.yaml"),
        ("clinic.yaml", "configs/bandits/clinic.yaml"),
        # nothing is near, or it would be a folder in the place of a file's folder
        ("tables/.reward.csv.drft", "tables/.rewards.csv.draft"),
        ("tables/today.csv/x", ""),
        ("own/x.yaml", ""),
        ("elsewhere/other.yaml", ""),
        ("capacity.yaml", ""),  # there are two
        ("*.yaml", ""),
        ("a\0b.yaml", ""),
        ("x" * 5000, ""),
        ("", ""),
    ],
)
def test_the_nearest_path_exists(path: str, near: str) -> None:
    assert near_path(path) == (f" (did you mean '{near}'?)" if near else "")


def test_an_own_file_comes_before_one_that_comes_with_worldplan(tmp_path: Path) -> None:
    (tmp_path / "clinic.yml").touch()
    assert near_path("clinic.yaml") == " (did you mean 'clinic.yml'?)"
    absolute = tmp_path / "tabels" / "today.csv"
    assert near_path(absolute) == f" (did you mean '{tmp_path / 'tables' / 'today.csv'}'?)"


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("bandits run own.yml", "own.yaml"),
        ("bandits bound configs/bandits/clinc.yaml", "configs/bandits/clinic.yaml"),
        ("bandits decide configs/bandits/clinic.yaml --state tables/tody.csv", "tables/today.csv"),
        ("bandits day onw.yaml", "own.yaml"),
        ("bandits day configs/bandits/clinic.yaml --outcomes tables/tody.csv", "tables/today.csv"),
        ("run configs/ravl/edge_of_reech.yaml", "configs/ravl/edge_of_reach.yaml"),
        ("tune configs/ravl/tune_plan.yaml", "configs/ravl/tune_plane.yaml"),
        ("fit --config configs/sequoia/capacity.yml", "configs/sequoia/capacity.yaml"),
        ("actions learn log -o m.json --domain domain.pddl", "logs"),
        ("actions solve domian.pddl p.pddl", "domain.pddl"),
    ],
)
def test_every_command_names_the_nearest(
    words: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"(did you mean '{near}'?)" in refused(words.split(), capsys)
