"""`worldplan data describe DATA --ensemble CKPT`: tables, files, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.world_models.ensemble.test_ensemble_training import SMALL, transitions
from worldplan.cli import main
from worldplan.commands.data.model_options import ReportSettings
from worldplan.commands.data.model_report import Report, held_out_rows, measure
from worldplan.world_models.collection.collect import collect_transitions
from worldplan.world_models.collection.settings import CollectionSettings
from worldplan.world_models.data.files import load_transitions, save_npz
from worldplan.world_models.data.transitions import Transitions, concatenate
from worldplan.world_models.ensemble.model import load_ensemble
from worldplan.world_models.ensemble.training import EnsembleModule
from worldplan.world_models.training.trainer import fit

TABLES = {"one_step", "steps", "calibration", "recalibration", "penalties"}


def train(data: Transitions, folder: Path, seed: int = 0, epochs: int = 4) -> Path:
    fit(EnsembleModule(data, replace(SMALL, epochs=epochs), seed), folder)
    return folder / "ensemble.ckpt"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.npz of 30 episodes with a trained ensemble, and hopper.npz with another."""
    folder = tmp_path_factory.mktemp("report")
    data = replace(transitions(30), metadata={"env_id": "Own-v0"})
    save_npz(data, folder / "a.npz")
    train(data, folder / "a", epochs=12)
    hopper = CollectionSettings(env_id="Hopper-v5", policy="random", steps=900)
    data = collect_transitions(hopper, folder / "collected")
    save_npz(data, folder / "hopper.npz")
    train(data, folder / "hopper", epochs=1)
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "160")


def described(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, Path]:
    """What the command prints, and the run folder."""
    code = main(["data", "describe", *words.split()])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    folder = re.search(r"run folder: (\S+)", printed.out)
    assert folder is not None
    return printed.out, Path(folder[1])


def test_a_report_and_a_recalibrated_ensemble(capsys: pytest.CaptureFixture[str]) -> None:
    out, run = described(
        "a.npz --ensemble a/ensemble.ckpt --recalibrated new.ckpt --horizon 9", capsys
    )
    assert "held out by the training (seed 0), whole episodes" in out
    assert "beyond the data: not measured: the dataset holds no simulator states" in out
    tables = {path.stem.removeprefix("model_") for path in run.glob("model_*.csv")}
    assert tables == TABLES
    plots = {path.stem for path in (run / "plots").glob("*.svg")}
    assert plots == {"step_errors", "reliability", "pit_histograms", "penalties"}
    assert "Recalibration" in (run / "report.html").read_text()
    steps = pd.read_csv(run / "model_steps.csv")
    one = pd.read_csv(run / "model_one_step.csv").set_index("column")
    assert steps["steps"].max() == 9
    first = steps[steps["steps"] == 1].set_index("column")
    for name in ("rmse", "change", "relative"):
        pd.testing.assert_series_equal(first[name], one[name], check_exact=False, rtol=1e-4)
    assert one.loc["reward", "relative"] < 0.3
    # repeated with the recalibrated ensemble: its draws are those that the first report announced
    _, again = described("a.npz --ensemble new.ckpt --horizon 9", capsys)
    repeated = pd.read_csv(again / "model_steps.csv")
    pd.testing.assert_series_equal(
        repeated["rmse_drawn"], steps["rmse_recalibrated"], check_names=False, rtol=1e-4
    )
    assert load_ensemble("new.ckpt").trained_on == {"seed": 0, "environment": "Own-v0"}


def measured(name: str, checkpoint: str, *, other_data: bool = False, seed: int = 0) -> Report:
    """The tables of a report, without plots and files."""
    data, ensemble = load_transitions(f"{name}.npz"), load_ensemble(checkpoint)
    settings = ReportSettings(f"{name}.npz", Path(checkpoint), other_data=other_data, seed=seed)
    held_out = held_out_rows(ensemble, data, settings)
    return measure(ensemble, data, held_out, 1, seed)


def test_beyond_the_data_of_a_simulator() -> None:
    report = measured("hopper", "hopper/ensemble.ckpt")
    assert any("one uniform action held" in note for note in report.notes)
    beyond = report.tables["model_beyond"]
    assert beyond["steps"].tolist() == list(range(1, len(beyond) + 1))
    penalties = report.tables["model_penalties"]
    assert set(penalties["rows"]) == {"held-out", "beyond the data"}
    assert penalties["spearman"].between(-1, 1).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_recalibration_mends_the_shares_on_other_data(seed: int) -> None:
    save_npz(transitions(40, seed=5), "other.npz")
    report = measured("other", "a/ensemble.ckpt", other_data=True, seed=seed)
    calibration = report.tables["model_calibration"]
    wide = calibration.pivot_table(index="predictions", columns="level", values="share")
    error = (wide - wide.columns.to_numpy()).abs().mean(axis=1)
    assert error["recalibrated"] < 0.04 and error["drawn"] > 2 * error["recalibrated"]
    assert (calibration["low"] <= calibration["share"]).all()
    assert (calibration["share"] <= calibration["high"]).all()


def test_single_rows_are_measured_with_a_warning() -> None:
    data = transitions(4, 120)
    save_npz(data, "four.npz")
    train(data, Path("four"), epochs=1)
    report = measured("four", "four/ensemble.ckpt")
    assert any("single rows were held out" in note for note in report.notes)


def refused(words: str, capsys: pytest.CaptureFixture[str], *texts: str) -> None:
    assert main(["data", "describe", *words.split()]) == 2
    printed = capsys.readouterr()
    assert len(printed.err.strip().splitlines()) == 1
    for text in texts:
        assert text in printed.err, printed.err


def test_other_data_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    data = replace(transitions(30), metadata={"env_id": "Own-v0"})
    order = [2, 0, 1]
    others = {
        "longer": concatenate([data, transitions(2, seed=8)]),
        "part": data.select(np.arange(200)),
        "swapped": replace(
            data,
            observation=data.observation[:, order],
            next_observation=data.next_observation[:, order],
        ),
        "scaled": replace(data, reward=3 * data.reward),
    }
    for name, other in others.items():
        save_npz(other, f"{name}.npz")
        refused(
            f"{name}.npz --ensemble a/ensemble.ckpt", capsys, "CheckpointError", "a/ensemble.ckpt",
            f"not trained on {name}.npz", "--other-data",
        )  # fmt: skip
    refused("a.npz --ensemble a/ensemble.ckpt --other-data", capsys, "leave the option out")
    save_npz(replace(data, metadata={"env_id": "Another-v0"}), "env.npz")
    refused("env.npz --ensemble a/ensemble.ckpt", capsys, "data of Own-v0", "Another-v0")
    refused(
        "env.npz --ensemble a/ensemble.ckpt --other-data", capsys, "data of Own-v0", "Another-v0"
    )
    refused("hopper.npz --ensemble a/ensemble.ckpt", capsys, "observation size 3", "11")


def test_wrong_files_and_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    call = "a.npz --ensemble a/ensemble.ckpt"
    refused(f"{call} --horizon 21", capsys, "--horizon 21", "20 steps", "from 1 to 20")
    refused(f"{call} --horizon 0", capsys, "from 1 to 20")
    refused(f"{call} --report-seed -1", capsys, "--report-seed")
    refused(f"{call} --recalibrated a.npz", capsys, "a.npz", "exists")
    refused("a.npz --ensemble none.ckpt", capsys, "none.ckpt: no such checkpoint")
    refused("a.npz --ensemble a.npz", capsys, "a.npz: not an ensemble checkpoint")
    refused("a.npz --ensemble a", capsys, "CheckpointError: a: cannot be read")
    torch.save({"ensemble": {"sizes": {}}}, "kind.ckpt")
    refused("a.npz --ensemble kind.ckpt", capsys, "kind.ckpt: not an ensemble checkpoint")
    for option in ("--horizon 3", "--other-data", "--recalibrated x.ckpt", "--report-seed 1"):
        refused(f"a.npz {option}", capsys, f"{option.split()[0]} goes with --ensemble")
    small = transitions(2, 12)
    save_npz(small, "small.npz")
    train(small, Path("small"), epochs=1)
    refused("small.npz --ensemble small/ensemble.ckpt", capsys, "4 held-out rows are too few", "80")
    single = transitions(1, 90, seed=3)
    save_npz(single, "single.npz")
    refused("single.npz --ensemble a/ensemble.ckpt --other-data --horizon 91", capsys, "90 steps")


def test_a_dataset_with_nan_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    columns = dict(np.load("a.npz"))
    columns["observation"][5, 1] = np.nan
    np.savez("nan.npz", **columns)
    refused("nan.npz --ensemble a/ensemble.ckpt", capsys, "DatasetError", "nan.npz", "row 5")


def test_columns_that_never_change(capsys: pytest.CaptureFixture[str]) -> None:
    """A constant column and constant rewards: no relative error, no warning, no NaN in shares."""
    data = transitions(30)
    still = np.concatenate([data.observation, np.ones((len(data), 1), np.float32)], 1)
    after = np.concatenate([data.next_observation, np.ones((len(data), 1), np.float32)], 1)
    data = replace(data, observation=still, next_observation=after, reward=0 * data.reward)
    save_npz(data, "still.npz")
    train(data, Path("still"), epochs=1)
    capsys.readouterr()
    tables = measured("still", "still/ensemble.ckpt").tables
    assert capsys.readouterr().err == ""
    one_step = tables["model_one_step"]
    assert one_step["relative"].isna().tolist() == [False] * 3 + [True] * 2
    shares = tables["model_calibration"]
    assert shares["share"].between(0, 1).all()
