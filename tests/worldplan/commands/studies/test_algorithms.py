"""Studies with methods that learn from the dataset alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.planners.offline.model_free.builders import pendulum_data, save_ensemble
from worldplan.cli import main
from worldplan.commands.studies.study import DatasetTask, Study
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.model_free.iql import RIQL, IQLSettings
from worldplan.planners.offline.model_free.td3_bc import REBRAC
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.world_models.data.files import save_transitions

STUDY = {
    "name": "yardsticks",
    "settings": {"hidden": [8], "batch": 20, "updates": 4},
    "seeds": 2,
    "side_by_side": 2,
    "epochs": 2,
    "check_every": 1,
    "save_every": 1,
    "check_episodes": 1,
    "episodes": 2,
    "methods": {
        "clone": {"algorithm": "bc", "best_share": 0.5},
        "rebrac": {"algorithm": "rebrac", "batch": 16},
        "iql": {"algorithm": "iql", "expectile": 0.8},
    },
}


def write(folder: Path, **changes) -> str:
    save_transitions(pendulum_data(), folder / "data.npz")
    study = STUDY | {"data": {"dataset": str(folder / "data.npz")}} | changes
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return str(folder / "study.yaml")


def test_a_study_needs_no_model_and_is_evaluated(tmp_path):
    argv = [write(tmp_path), "--jobs", "1", "--runs", str(tmp_path / "runs")]
    assert main(["run", *argv]) == 0
    (folder,) = (tmp_path / "runs" / "yardsticks").glob("[!.]*")
    summary = pd.read_csv(folder / "summary.csv")
    assert summary["policy"].tolist()[:3] == ["clone", "rebrac", "iql"]
    measured = summary[:3]
    assert measured["true_share"].isna().all() and measured["mean"].between(-2000, 0).all()
    assert np.isnan(measured["q"][0]) and measured["q"][1:].notna().all()
    assert {"random policy", "data, mean episode"} <= set(summary["policy"])
    curves = pd.read_csv(folder / "curves.csv")
    assert len(curves) == 3 * 2 * 2 and curves["check/return"].notna().all()
    assert main(["evaluate", str(folder), "--episodes", "1"]) == 0
    table = pd.read_csv(folder / "evaluation.csv")
    expected = ["clone"] * 2 + ["rebrac"] * 2 + ["iql"] * 2
    assert table["policy"].tolist() == [*expected, "random policy", "data, mean episode"]


def test_beside_rollouts_a_method_has_one_row_at_all_shares(tmp_path):
    methods = {
        "base": {
            "critics": 2,
            "diversity": 0,
            "starts": 4,
            "horizon": 2,
            "real_share": 0.5,
        },
        "iql": {"algorithm": "iql"},
    }
    dynamics = "tests.planners.offline.model_free.builders:Standing"
    data = {"dataset": str(tmp_path / "data.npz"), "dynamics": dynamics}
    argv = [write(tmp_path, methods=methods, data=data), "--runs", str(tmp_path / "runs")]
    assert main(["run", *argv, "--jobs", "1", "--seeds", "1"]) == 0
    (folder,) = (tmp_path / "runs" / "yardsticks").glob("[!.]*")
    summary = pd.read_csv(folder / "summary.csv")
    assert summary["true_share"].tolist()[0] == 0 and np.isnan(summary["true_share"][1])
    names = {path.stem for path in (folder / "plots").glob("*.svg")}
    assert {"learning_curve_return", "learning_curve_q", "policy_comparison"} <= names


def test_leq_rolls_out_in_the_ensemble_of_the_study(tmp_path):
    save_ensemble(pendulum_data(), tmp_path / "ensemble.ckpt")
    data = {
        "dataset": str(tmp_path / "data.npz"),
        "ensemble": str(tmp_path / "ensemble.ckpt"),
        "termination": "never",
    }
    methods = {"leq": {"algorithm": "leq", "starts": 5, "horizon": 2}}
    argv = [write(tmp_path, methods=methods, data=data), "--runs", str(tmp_path / "runs")]
    assert main(["run", *argv, "--jobs", "1", "--epochs", "1"]) == 0
    (folder,) = (tmp_path / "runs" / "yardsticks").glob("[!.]*")
    summary = pd.read_csv(folder / "summary.csv")
    assert summary["policy"][0] == "leq" and summary["true_share"][0] == 0
    assert np.isfinite(summary["mean"][0]) and np.isfinite(summary["q"][0])


def study_of(method, settings=None, **changes):
    arguments = {"data": DatasetTask("data.npz"), "settings": settings or ReachAwareSettings()}
    return Study(methods={"method": method}, **(arguments | changes))


def test_settings_are_published_then_common_then_own():
    assert study_of({"algorithm": "riql"}).algorithm("method") == RIQL
    assert study_of({"algorithm": "rebrac"}).algorithm("method") == REBRAC
    common = ReachAwareSettings(hidden=(64, 64), critics=3, layer_norm=True, updates=250)
    settings = study_of({"algorithm": "rebrac", "updates": 10}, common).algorithm("method")
    assert settings == replace(REBRAC, hidden=(64, 64), updates=10)
    settings = study_of({"algorithm": "iql"}, common).algorithm("method")
    assert settings == IQLSettings(hidden=(64, 64), updates=250)
    rows = study_of({"algorithm": "iql"}, shares=(0.0, 1.0)).rows()
    assert [(row.name, row.share) for row in rows] == [("method", None)]
    assert study_of({}).algorithm("method") is None


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"algorithm": "sarsa"}, "choose bc, td3_bc, rebrac, iql, riql, leq"),
        ({"algorithm": 3}, "algorithm 3: choose"),
        ({"algorithm": None}, "algorithm None: choose"),
        ({"algorithm": ["iql"]}, "choose bc"),
        ({"algorithm": "iql", "true_share": 1.0}, "true_share: an algorithm learns from the data"),
        ({"algorithm": "leq"}, "set data.ensemble"),
        ({"algorithm": "iql", "shares": [1]}, "shares"),
        ({"algorithm": "iql", "patch": "oracle"}, "patch: an algorithm"),
        ({"algorithm": "iql", "diversity": 1.0}, "diversity"),
        ({"algorithm": "bc", "expectile": 0.7}, "expectile"),
        ({"algorithm": "iql", "expectile": 2.0}, "expectile 2.0"),
        ({"algorithm": "iql", "expectile": "x"}, "expectile"),
        ({"algorithm": "iql", "hidden": None}, "hidden"),
    ],
)
def test_a_wrong_algorithm_is_one_line(method, message):
    with pytest.raises(ConfigError, match="method 'method'") as caught:
        study_of(method)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_plane_has_no_rows(tmp_path, capsys):
    argv = [write(tmp_path, data=None, plane={"goal": [0.4, 0.1]}), "--settings.real_share", "0"]
    assert main(["run", *argv]) == 2
    assert "algorithm needs a dataset" in capsys.readouterr().err


def test_two_rows_of_one_name_are_refused():
    methods = {"a": {}, "a_true": {"algorithm": "iql"}}
    with pytest.raises(ConfigError, match="the name a_true"):
        Study(methods=methods, data=DatasetTask("data.npz"), shares=(0.0, 1.0))
