"""`worldplan fit` and `worldplan evaluate` of methods that learn from data, with the references
beside the returns.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from tests.planners.offline.model_free.builders import COMMON, pendulum_data
from worldplan.cli import main
from worldplan.milp.errors import CheckpointError
from worldplan.planners.offline.references import saved_references
from worldplan.world_models.data.files import save_transitions

SETTINGS = {name: list(value) if name == "hidden" else value for name, value in COMMON.items()}
MODULES = ["behaviour_cloning", "td3_bc", "iql"]


def trained(folder: Path, module: str = "iql", **metadata) -> Path:
    """The run folder of a small training."""
    data = folder / "data.npz"
    save_transitions(pendulum_data(**metadata), data)
    run = folder / "run"
    config = {
        "model": {
            "class_path": f"worldplan.planners.offline.model_free.{module}.for_dataset",
            "init_args": {
                "dataset": str(data),
                "seeds": 2,
                "epochs": 1,
                "check_every": 1,
                "check_episodes": 1,
                "settings": SETTINGS,
            },
        },
        "trainer": {"default_root_dir": str(run)},
    }
    (folder / "fit.yaml").write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", str(folder / "fit.yaml")]) == 0
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("finished"))


@pytest.mark.parametrize("module", MODULES)
def test_a_training_is_evaluated_beside_random_and_data(module, tmp_path, capsys):
    run = trained(tmp_path, module)
    (tmp_path / "data.npz").unlink()  # the returns of the data are in the run
    assert main(["evaluate", str(run), "--episodes", "3"]) == 0
    table = pd.read_csv(run / "evaluation.csv").set_index("policy")
    assert table.index.tolist() == ["policy", "policy", "random policy", "data, mean episode"]
    assert table["seed"].tolist()[:2] == [0, 1] and table["seed"].isna().sum() == 2
    returns = pendulum_data().returns()
    data, random = table.loc["data, mean episode"], table.loc["random policy"]
    assert data["mean"] == pytest.approx(returns.mean()) and data["episodes"] == len(returns)
    assert returns.min() <= data["low"] <= data["mean"] <= data["high"] <= returns.max()
    assert data["length"] == 12 and random["length"] == 200 and random["episodes"] == 3
    assert -1900 < random["mean"] < -800, "random torques do not swing up"
    assert "score" not in table
    assert "data, mean episode" in capsys.readouterr().out


def test_scores_come_from_the_metadata_of_the_dataset(tmp_path):
    run = trained(tmp_path, ref_min_score=-1200.0, ref_max_score=-150.0)
    assert main(["evaluate", str(run), "--episodes", "2"]) == 0
    table = pd.read_csv(run / "evaluation.csv").set_index("policy")
    expert = table.loc["score 100 (expert)"]
    assert expert["mean"] == -150 and np.isnan(expert["low"]) and expert["score"] == 100
    np.testing.assert_allclose(table["score"], 100 * (table["mean"] + 1200) / 1050)


def test_a_training_has_one_policy(finished, capsys):
    assert main(["evaluate", str(finished), "--policies", "policy,iql"]) == 2
    assert "--policies: iql is not in this run" in capsys.readouterr().err


def test_a_random_policy_is_the_same_every_time(finished):
    tables = []
    for _ in range(2):
        assert main(["evaluate", str(finished), "--episodes", "1"]) == 0
        tables.append((finished / "evaluation.csv").read_bytes())
    assert tables[0] == tables[1]


def change(run: Path, update) -> None:
    last = run / "last.ckpt"
    content = torch.load(last, weights_only=True)
    update(content["model_free"])
    torch.save(content, last)


def test_a_run_without_stored_returns_is_still_evaluated(finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    change(run, lambda record: record.pop("references"))
    assert main(["evaluate", str(run), "--episodes", "1"]) == 0
    assert "does not hold the returns of its dataset" in capsys.readouterr().out
    table = pd.read_csv(run / "evaluation.csv")
    assert table["policy"].tolist() == ["policy", "policy", "random policy"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"returns": torch.tensor([float("nan")], dtype=torch.float64)},
        {"returns": [1.0]},
        {"returns": torch.zeros(0, dtype=torch.float64)},
        {"steps": 0},
        {"steps": "x"},
        {"score": [1.0]},
        {"score": [1.0, 1.0]},
        {"score": [0.0, float("inf")]},
    ],
)
def test_damaged_returns_are_refused_by_name(wrong, tmp_path):
    good = {"returns": torch.ones(2, dtype=torch.float64), "steps": 4, "score": [0.0, 1.0]}
    file = tmp_path / "last.ckpt"
    torch.save({"model_free": {"references": good}}, file)
    assert saved_references(tmp_path).score == (0.0, 1.0)
    torch.save({"model_free": {"references": good | wrong}}, file)
    with pytest.raises(CheckpointError, match=r"last\.ckpt: its reference returns"):
        saved_references(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sizes", [3, 8, 8]),
        ("sizes", "x"),
        ("seeds", 0),
        ("mean", torch.zeros(2)),
        ("spread", torch.zeros(3)),
        ("high", torch.tensor([-3.0])),
        ("layer_norm", 7),
        ("about", None),
        ("actor", {}),
    ],
)
def test_damaged_policies_are_refused_by_name(name, value, finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    change(run, lambda record: record.update({name: value}))
    assert main(["evaluate", str(run), "--episodes", "1"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("worldplan: CheckpointError") and "last.ckpt" in error
