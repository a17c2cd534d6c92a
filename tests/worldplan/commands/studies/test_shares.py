"""Studies that cross methods with shares of the true dynamics, and runs of a part of a study."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from worldplan.cli import main
from worldplan.commands.studies.jobs import make_task, settings_by_data
from worldplan.commands.studies.references import reward_ceiling
from worldplan.commands.studies.rows import Selection, StudyRow, take_selection
from worldplan.commands.studies.study import DatasetTask, Study
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.replay import unpack
from worldplan.planners.offline.task import dataset_task
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.ensemble.training import EnsembleModule, EnsembleSettings
from worldplan.world_models.training import fit

TASK = "InvertedDoublePendulum-v5"
SMALL = {
    "critics": 2,
    "diversity": 0.0,
    "hidden": [8],
    "batch": 20,
    "horizon": 3,
    "starts": 10,
    "retain": 1,
    "updates": 2,
}
SMALL_ENSEMBLE = EnsembleSettings(
    members=2, elites=2, hidden=(8,), weight_decay=(0.0, 0.0), batch=32, epochs=1
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small study on a dataset, beside dataset and ensemble."""
    folder = tmp_path_factory.mktemp("shares")
    data = folder / "data.npz"
    command = f"data collect {TASK} --policy random --steps 300 --output {data}"
    assert main([*command.split(), "--folder", str(folder / "collect")]) == 0
    ensemble = fit(EnsembleModule(load_transitions(data), SMALL_ENSEMBLE, 0), folder / "ensemble")
    description = {
        "name": "shares",
        "data": {"dataset": str(data), "ensemble": str(ensemble), "threads": 1},
        "shares": [0, 0.5, 1],
        "seeds": 2,
        "side_by_side": 1,
        "epochs": 1,
        "check_every": 1,
        "save_every": 1,
        "check_episodes": 1,
        "episodes": 2,
        "settings": SMALL,
        "methods": {
            "base": {},
            "mobile": {"mobile": 0.5, "shares": [0, 1]},
            "cap": {"target_cap": "max_reward", "shares": [1]},
        },
    }
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(description, sort_keys=False))
    return file


def run(study: Path, *options: str) -> Path:
    """The only run folder, after a call of the command."""
    root = study.parent / "runs"
    assert main(["run", str(study), "--jobs", "1", "--runs", str(root), *options]) == 0
    (folder,) = (root / "shares").glob("[!.]*")
    return folder


def test_a_study_in_parts_is_the_study_at_once(study: Path, capsys: pytest.CaptureFixture[str]):
    """Rows that a call did not select are left for the next one, in the same folder."""
    folder = run(study, "--methods", "base,mobile", "--shares", "1")
    summary = pd.read_csv(folder / "summary.csv")
    assert summary["policy"].tolist()[:2] == ["base_true", "mobile_true"]
    assert "unfinished: 4 rows are left (base_learned, " in capsys.readouterr().out
    assert "4 rows are left" in (folder / "report.html").read_text()
    assert main(["evaluate", str(folder), "--episodes", "1"]) == 0
    played = pd.read_csv(folder / "evaluation.csv")["policy"].tolist()
    assert played[-4:-2] == ["mobile_true", "mobile_true"] and "base_true" in played
    assert played[-2:] == ["random policy", "data, mean episode"]
    done = {path.name: path.stat().st_mtime_ns for path in (folder / "jobs").iterdir()}

    assert run(study) == folder
    assert not (folder / "unfinished.txt").exists()
    later = {path.name: path.stat().st_mtime_ns for path in (folder / "jobs").iterdir()}
    assert done.items() <= later.items() and len(done) == 8 and len(later) == 24
    summary = pd.read_csv(folder / "summary.csv").set_index("policy")
    measured = summary[~summary["reference"]]
    assert measured.index.tolist() == [
        "base_learned",
        "base_mixed0.5",
        "base_true",
        "mobile_learned",
        "mobile_true",
        "cap_true",
    ]
    assert (measured["cpu_minutes"] > 0).all()
    # with exact dynamics MOBILE's penalty is zero
    assert measured.loc["mobile_true", "mean"] == measured.loc["base_true", "mean"]
    assert measured.loc["mobile_true", "q"] == measured.loc["base_true", "q"]
    plots = {path.stem for path in (folder / "plots").glob("*.svg")}
    assert {"return_by_share", "critic_spread", "learning_curve_q"} <= plots

    data = load_transitions(study.parent / "data.npz")
    assert summary.loc["data, mean episode", "mean"] == pytest.approx(data.returns().mean())
    assert summary.loc["data, best episode", "mean"] == pytest.approx(data.returns().max())
    assert summary["score"].isna().all() or np.isfinite(summary["score"]).all()
    shutil.rmtree(folder)


def test_the_ceiling_bounds_every_discounted_sum_of_the_datas_rewards(study: Path):
    """Also where all rewards are negative and an episode can end."""
    task = dataset_task(study.parent / "data.npz", true_share=1.0, threads=1)
    reward, terminated = -3, -2  # columns of packed rows
    for shift, ends in ((0.0, True), (-50.0, True), (-50.0, False)):
        rows = task.rows.clone()
        rows[:, reward] += shift
        rows[:, terminated] *= ends
        ceiling = reward_ceiling(replace(task, rows=rows), 0.9)
        best = float(rows[:, reward].max())
        sums = [best * (1 - 0.9**length) / 0.1 for length in range(1, 400)]
        least = max(sums) if rows[:, terminated].any() else best / 0.1
        assert ceiling == pytest.approx(least, rel=1e-4)


def test_a_capped_method_gets_the_ceiling_of_the_data():
    methods = {"cap": {"target_cap": "max_reward"}, "fixed": {"target_cap": 3.0}}
    study = Study(methods, data=DatasetTask("x.npz"))
    assert study.caps_by_data("cap") and study.method_settings("cap").target_cap is None
    assert not study.caps_by_data("fixed") and study.method_settings("fixed").target_cap == 3.0


def test_halting_above_a_quantile_of_the_data_in_learned_dynamics(study: Path):
    """The threshold does not shrink with the share, although the members' differences do."""
    description = yaml.safe_load(study.read_text())
    crossed = Study(
        {"morel": {"halt_quantile": 0.9, "pessimism": {"halt_reward": -1.0}}},
        data=DatasetTask(**description["data"]),
        shares=(0.0, 0.5, 1.0),
    )
    learned, mixed, true = [
        settings_by_data(crossed, row, make_task(crossed, row.share)).pessimism
        for row in crossed.rows()
    ]
    task = make_task(crossed, 0.0)
    batch = unpack(task.rows, task.observation_size)
    members = task.dynamics.step(batch.observation, batch.action, members=True).members
    differences = [
        max(float((one - other).norm()) for one in means for other in means)
        for means in members.mean.transpose(0, 1)
    ]
    assert learned.halt_above == pytest.approx(np.quantile(differences, 0.9), rel=1e-4)
    assert mixed.halt_above == learned.halt_above and true.halt_above is None
    assert {learned.halt_reward, mixed.halt_reward, true.halt_reward} == {-1.0}


@pytest.mark.parametrize("quantile", [0, 1.5, "x", True])
def test_a_quantile_is_a_share(quantile):
    with pytest.raises(ConfigError, match="halt_quantile"):
        Study({"morel": {"halt_quantile": quantile}}, data=DatasetTask("x.npz"))


def test_two_thresholds_are_refused():
    method = {"halt_quantile": 0.9, "pessimism": {"halt_above": 1.0}}
    with pytest.raises(ConfigError, match="leave one of them out"):
        Study({"morel": method}, data=DatasetTask("x.npz"))


@pytest.mark.parametrize(
    ("options", "methods", "shares"),
    [
        ("--methods a,b --x 1", ("a", "b"), ()),
        ("--methods=a --shares=0,.5", ("a",), (0.0, 0.5)),
        ("file.yaml --shares 1 --methods.a.critics 3", (), (1.0,)),
    ],
)
def test_options_that_select(options, methods, shares):
    selection, rest = take_selection(options.split())
    assert selection == Selection(methods, shares)
    assert not {"--methods", "--shares"} & {word.partition("=")[0] for word in rest}


ROWS = [StudyRow("a", 0.0, "a_learned"), StudyRow("a", 1.0, "a_true"), StudyRow("b", 0.0, "b_x")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--methods c", "choose from a, b"),
        ("--shares 0.5", "choose from 0, 1"),
        ("--methods b --shares 1", "no method of this study has such a share"),
        ("--methods a,,b", "missing between the commas"),
        ("--shares [x]", "numbers separated by commas"),
        ("--shares", "expected one argument"),
        ("--methods {}", "choose from a, b"),
    ],
)
def test_what_selects_nothing_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        take_selection(options.split())[0].of(ROWS)


def test_a_row_without_a_share_is_selected_by_its_method():
    rows = [*ROWS, StudyRow("iql", None, "iql")]
    assert Selection().of(rows) == rows
    assert Selection((), (0.0,)).of(rows) == [ROWS[0], ROWS[2]]
    assert Selection(("a", "iql"), (1.0,)).of(rows) == [ROWS[1], rows[3]]


def test_a_selection_keeps_the_order_of_the_rows():
    assert Selection(("b", "a")).of(ROWS) == ROWS
    assert Selection((), (0.0,)).of(ROWS) == [ROWS[0], ROWS[2]]
