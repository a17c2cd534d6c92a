"""`worldplan evaluate` with --estimate and --checkpoint, on a study of a little data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.worldplan.commands.pendulum import pendulum_study
from worldplan.cli import main
from worldplan.commands.evaluation.estimates import _true
from worldplan.planners.base import Evaluation
from worldplan.planners.offline.best import BEST


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(pendulum_study(folder)))
    assert main(["run", str(file), "--jobs", "1", "--runs", str(folder / "runs")]) == 0
    return next((folder / "runs" / "pendulum").glob("[!.]*"))


def evaluate(run, *options) -> int:
    return main(["evaluate", str(run), "--episodes", "2", *map(str, options)])


def test_fitted_q_evaluation_beside_the_true_return(finished, capsys):
    assert evaluate(finished, "--estimate", "fqe", "--updates", 40) == 0
    printed = capsys.readouterr().out
    assert "fitted Q evaluation" in printed and "discounted by 0.9" in printed
    assert "data are those of the training" in printed and "4 episodes only" in printed
    table = pd.read_csv(finished / "estimates.csv")
    assert table["seed"].tolist() == [0, 1] and (table["estimate_by"] == "fqe").all()
    assert (table["low"] <= table["estimate"]).all() and (table["true_mean"] < 0).all()
    assert (table["true_mean"] > -17 / (1 - 0.9)).all()  # discounted: the least reward is -16.3


def test_value_in_a_held_out_ensemble_and_in_that_of_the_training(finished, capsys):
    folder = finished.parents[2]
    for name, note in (("held_out", False), ("ensemble", True)):
        assert evaluate(finished, "--estimate", "model", "--ensemble", folder / f"{name}.ckpt") == 0
        assert ("trained in, not a held-out one" in capsys.readouterr().out) == note
    table = pd.read_csv(finished / "estimates.csv")
    assert (table["true_mean"] < -100).all()  # 200 steps, not discounted


def test_best_checkpoints_are_played(finished, capsys):
    assert evaluate(finished, "--checkpoint", "best") == 0
    printed = capsys.readouterr().out
    assert "best checkpoints by mean return of the checks' episodes in the environment" in printed
    best = pd.read_csv(finished / "evaluation.csv")
    assert evaluate(finished) == 0
    last = pd.read_csv(finished / "evaluation.csv")
    (training,) = (finished / "checkpoints").iterdir()
    metrics = pd.read_csv(training / "metrics.csv")
    for seed in range(2):
        is_last = metrics[f"check/return/{seed}"].idxmax() == len(metrics) - 1
        assert (best["mean"][seed] == last["mean"][seed]) == is_last


def test_a_run_without_best_checkpoints_says_what_to_do(finished, capsys):
    (training,) = (finished / "checkpoints").iterdir()
    kept = (training / BEST).read_bytes()
    (training / BEST).unlink()
    assert evaluate(finished, "--checkpoint", "best") == 2
    assert "give --checkpoint last" in capsys.readouterr().err
    (training / BEST).write_bytes(kept[:100])
    assert evaluate(finished, "--checkpoint", "best") == 2
    assert capsys.readouterr().err.count("\n") == 1
    (training / BEST).write_bytes(kept)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--estimate", "model"], "needs --ensemble"),
        (["--estimate", "fqe", "--ensemble", "x.ckpt"], "does not use it"),
        (["--estimate", "luck"], "--estimate"),
        (["--checkpoint", "first"], "--checkpoint"),
        (["--data", "x.npz"], "begin with --estimate"),
        (["--ensemble", "x.ckpt"], "begin with --estimate"),
        (["--estimate", "fqe", "--updates", "0"], "--updates must be at least 1"),
        (["--estimate", "fqe", "--data", "none.npz"], "none.npz"),
        (["--estimate", "model", "--ensemble", "none.ckpt"], "none.ckpt"),
    ],
)
def test_wrong_options_are_one_line(finished, capsys, options, message):
    assert evaluate(finished, *options) == 2
    text = capsys.readouterr().err.strip()
    assert message in text and "\n" not in text


def test_true_values_are_discounted():
    rewards = np.array([[1.0, 2.0, 4.0], [8.0, np.nan, np.nan]])
    assert _true(Evaluation(pd.DataFrame(), rewards), 0.5)["mean"] == (1 + 1 + 1 + 8) / 2
