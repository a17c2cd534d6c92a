"""Studies of the options of an agent: costs beside returns, the change-over to the environment, a
simulator per method; and what is refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.planners.offline.slider import random_data
from tests.worldplan.commands.pendulum import SETTINGS, pendulum_data
from worldplan.cli import main
from worldplan.commands.studies.jobs import make_task, make_training
from worldplan.commands.studies.study import DatasetTask, Study
from worldplan.commands.tuning import results
from worldplan.commands.tuning.tuning import Tuning
from worldplan.envs.edge_of_reach import Plane
from worldplan.envs.slider import LIMIT, Slider, best_return
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.options.finetuning import Finetuning
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.world_models.data.files import save_npz

SLIDER = "worldplan.envs.slider:Slider-v0"
STUDY = {
    "name": "options",
    "settings": {**SETTINGS, "real_share": 0.5},
    "seeds": 2,
    "side_by_side": 2,
    "epochs": 1,
    "check_every": 1,
    "save_every": 1,
    "check_episodes": 2,
    "episodes": 3,
}


def run(folder: Path, **changes) -> tuple[int, Path | None]:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | changes, sort_keys=False))
    code = main(["run", str(path), "--jobs", "1", "--runs", str(folder / "runs")])
    folders = list((folder / "runs" / "options").glob("[!.]*"))
    return code, folders[0] if folders else None


@pytest.fixture
def slider(tmp_path: Path) -> dict[str, str]:
    """A slider as the task of a study, with costs by a function."""
    data = save_npz(random_data(10, costs=False), tmp_path / "slider.npz")
    return {
        "dataset": str(data),
        "environment": SLIDER,
        "dynamics": "worldplan.envs.slider:SliderDynamics",
        "cost": "worldplan.envs.slider:beyond",
    }


def test_costs_and_the_change_over_stand_beside_returns(tmp_path, slider, capsys):
    finetuned = {"finetune": 2, "finetuning": {"steps": 30, "share": 1.0}}
    methods = {
        "free": {"costs": {"budget": float("inf")}},
        "tight": {"costs": {"budget": 0.5}, **finetuned},
    }
    code, folder = run(tmp_path, data=slider, methods=methods)
    assert code == 0 and folder is not None
    seeds, summary = pd.read_csv(folder / "seeds.csv"), pd.read_csv(folder / "summary.csv")
    summary = summary.set_index("policy")
    for name in ("free", "tight"):
        own = seeds.loc[seeds["policy"] == name, "cost"]
        assert summary["cost"][name] == pytest.approx(own.mean())
        assert summary["cost_low"][name] <= summary["cost"][name] <= summary["cost_high"][name]
    recorded = (random_data(10).next_observation[:, 0] > LIMIT).reshape(10, 30).sum(1)
    assert summary["cost"]["data, mean episode"] == pytest.approx(recorded.mean())
    (table,) = folder.glob("checkpoints/*/finetune.csv")
    around = pd.read_csv(table)
    for name in ("before", "drop"):
        assert summary[name]["tight"] == pytest.approx(around[name].mean())
        assert np.isnan(summary[name]["free"])
    curves = pd.read_csv(folder / "curves.csv")
    assert curves.groupby("policy")["epoch"].max().to_dict() == {"free": 1, "tight": 3}
    assert "cost" in capsys.readouterr().out
    notes = (folder / "notes.txt").read_text()
    assert "a budget bounds" in notes and "'drop' the lowest" in notes
    assert "cost (interval)" in (folder / "report.html").read_text()


def test_a_method_has_a_simulator_of_its_own(tmp_path):
    data = pendulum_data(tmp_path / "pendulum.npz", 1)
    simulator = {"id": "Pendulum-v1", "kwargs": {"g": 4.0}}
    methods = {"wrong": {}, "true": {"simulator": {"id": "Pendulum-v1"}}}
    study = Study(methods, data=DatasetTask(str(data), simulator=simulator))
    gravities = [make_task(study, 0.0, method).dynamics.g for method in ("wrong", "true")]
    assert gravities == [4.0, 10.0]


METHODS = [
    ({"finetune": 0}, "finetune 0: give a number of epochs of at least 1"),
    ({"finetune": True}, "finetune True"),
    ({"finetune": 1}, "multiple of check_every"),
    ({"finetuning": {"steps": 3}}, "finetuning belongs to finetune"),
    ({"finetune": 10, "finetuning": {"share": 2}}, "finetuning: .*share 2.* must be above 0"),
    ({"finetune": 10, "finetuning": {"stepz": 2}}, "finetuning: .*stepz"),
    ({"finetune": 10, "finetuning": 3}, "give 'name: value' lines"),
    ({"algorithm": "iql", "simulator": {"id": "Pendulum-v1"}}, "simulator: an algorithm learns"),
]


@pytest.mark.parametrize(("changes", "message"), METHODS)
def test_what_a_method_changes_wrongly_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Study({"m": changes}, data=DatasetTask("x.npz"))


def test_the_plane_has_no_such_changes():
    with pytest.raises(ConfigError, match=r"method 'm': simulator: needs a dataset"):
        Study(
            {"m": {"simulator": {"id": "Pendulum-v1"}}},
            plane=Plane(),
            settings=ReachAwareSettings(real_share=0),
        )


def test_a_simulator_that_does_not_fit_is_refused_before_a_run(tmp_path, capsys):
    data = {"dataset": str(pendulum_data(tmp_path / "pendulum.npz", 1))}
    methods = {
        "right": {"simulator": {"id": "Pendulum-v1"}},
        "wrong": {"simulator": {"id": "Hopper-v5"}},
    }
    code, folder = run(tmp_path, data=data, methods=methods)
    assert code == 2 and folder is None
    assert "method 'wrong': simulator 'Hopper-v5' shows" in capsys.readouterr().err


def test_finetuning_of_a_study_reaches_its_training(slider):
    method = {"costs": {"budget": 1.0}, "finetune": 10, "finetuning": {"steps": 60}}
    from worldplan.commands.studies.jobs import jobs_of

    study = Study({"m": method}, data=DatasetTask(**slider), seeds=1)
    (job,) = jobs_of(Path(), study, study.rows())
    training = make_training(job)
    assert (training.finetune, training.finetuning) == (10, Finetuning(steps=60))


def test_the_best_training_of_a_tuning_has_simulator_and_finetuning(tmp_path):
    simulator = {"id": "Pendulum-v1", "kwargs": {"g": 4.0}}
    method = {"simulator": simulator, "finetune": 10, "finetuning": {"steps": 60}}
    data = DatasetTask(str(pendulum_data(tmp_path / "pendulum.npz", 1)))
    tuning = Tuning({"m": method}, data=data, search={"critics": [2, 3]})
    arguments = results._as_training(tuning, tuning)["model"]["init_args"]
    assert arguments["simulator"] == simulator and arguments["finetune"] == 10
    assert arguments["finetuning"]["steps"] == 60


@pytest.mark.parametrize("stop", [1.0, LIMIT])
def test_best_returns_of_the_slider(stop):
    env, returns = Slider(), []
    for seed in range(100):
        observation, _ = env.reset(seed=seed)
        total = 0.0
        for _ in range(30):
            action = np.clip((stop - observation) / 0.2, -1, 1)
            observation, reward, *_ = env.step(action)
            total += reward
        returns.append(total)
    assert np.mean(returns) == pytest.approx(best_return(stop), abs=0.3)
