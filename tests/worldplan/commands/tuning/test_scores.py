"""Tunings that are scored without the environment, on a little data of Pendulum-v1."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from tests.worldplan.commands.pendulum import pendulum_study
from tests.worldplan.commands.tuning.builders import run_of
from worldplan.cli import main
from worldplan.commands.studies.study import DatasetTask
from worldplan.commands.tuning.tuning import Tuning
from worldplan.milp.errors import ConfigError

SEARCH = {"pessimism.penalty": ["ensemble_std", "max_aleatoric"], "real_share": [0.05, 0.5]}
QUICK = {"networks": 2, "hidden": [4], "updates": 8, "batch": 8, "discount": 0.9}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return pendulum_study(tmp_path_factory.mktemp("data"))


def tune(folder, study, **changes) -> int:
    file = folder / "tune.yaml"
    file.write_text(yaml.safe_dump(study | {"trials": 2, "search": SEARCH, "seeds": 1} | changes))
    return main(["tune", str(file), "--jobs", "1", "--runs", str(folder / "runs")])


def test_scores_by_fitted_q_evaluation_beside_the_return(tmp_path, study, capsys):
    assert tune(tmp_path, study, score="fqe", fitted_q=QUICK) == 0
    assert "fitted Q evaluation" in capsys.readouterr().out
    run = run_of(tmp_path / "runs", "pendulum")
    table = pd.read_csv(run / "trials.csv")
    # discounted values of rewards of at least -16.3, and returns of 200 of them
    assert (table["score"] > -163.5).all() and (table["return"] < -163.5).all()
    notes = (run / "notes.txt").read_text()
    assert "nothing was chosen by it" in notes and "no true simulator" in notes
    best = yaml.safe_load((run / "best.yaml").read_text())
    assert best["data"]["ensemble"] == study["data"]["ensemble"]
    assert {"score", "search", "fitted_q"}.isdisjoint(best)


@pytest.mark.slow
def test_scores_in_held_out_models_prune(tmp_path, study, capsys):
    ensemble = study["data"]["ensemble"].replace("ensemble.ckpt", "held_out.ckpt")
    changes = {"score": "model", "score_ensemble": ensemble, "trials": 6, "epochs": 4}
    assert tune(tmp_path, study, pruner="hyperband", **changes) == 0
    assert "held-out ensemble" in capsys.readouterr().out
    table = pd.read_csv(run_of(tmp_path / "runs", "pendulum") / "trials.csv")
    assert len(table) == 6 and set(table["state"]) <= {"finished", "pruned"}


@pytest.mark.slow
def test_model_free_methods_are_tuned_by_their_own_settings(tmp_path, study):
    changes = {
        "methods": {"iql": {"algorithm": "iql"}},
        "search": {"expectile": {"low": 0.6, "high": 0.9}},
    }
    assert tune(tmp_path, study, score="fqe", fitted_q=QUICK, **changes) == 0
    run = run_of(tmp_path / "runs", "pendulum")
    best = yaml.safe_load((run / "best.yaml").read_text())["methods"]["best"]
    assert best["algorithm"] == "iql" and 0.6 <= best["expectile"] <= 0.9
    fit = yaml.safe_load((run / "best_fit.yaml").read_text())["model"]
    assert fit["class_path"] == "worldplan.planners.offline.model_free.iql.for_dataset"
    folder = str(tmp_path / "fit")
    assert (
        main(["fit", "--config", str(run / "best_fit.yaml"), "--trainer.default_root_dir", folder])
        == 0
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": "model"}, "set score_ensemble"),
        ({"score": "model", "score_ensemble": "none.ckpt"}, "none.ckpt"),
        ({"score": "fqe", "score_data": "none.npz"}, "none.npz"),
        ({"score": "fqe", "fitted_q": {"discount": 2.0}}, "discount"),
        ({"search": {"data.ensemble": ["none.ckpt"]}}, "none.ckpt"),
        ({"search": {"expectile": [0.7]}}, "'expectile' is no setting"),
        ({"shares": [0.0, 1.0]}, "leave shares out"),
    ],
)
def test_wrong_scores_are_one_line(tmp_path, study, capsys, changes, message):
    assert tune(tmp_path, study, **changes) == 2
    text = capsys.readouterr().err.strip()
    assert message in text and "\n" not in text
    assert not (tmp_path / "runs").exists()


def test_every_ensemble_of_the_search_is_a_task():
    tuning = Tuning(
        data=DatasetTask("x.npz", ensemble="a"),
        search={"data.ensemble": ["a", "b"], "true_share": [0.0, 0.5], "critics": [2, 3]},
    )
    tasks = [(s.data.ensemble, s.rows()[0].share) for s in tuning.task_studies()]
    assert sorted(tasks) == [("a", 0.0), ("a", 0.5), ("b", 0.0), ("b", 0.5)]
    with pytest.raises(ConfigError, match="'nothing' does not fit"):
        Tuning(data=DatasetTask("x.npz"), search={"pessimism.penalty": ["nothing"]})
