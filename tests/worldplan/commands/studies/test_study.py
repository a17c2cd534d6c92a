"""`worldplan run` and `worldplan fit` on the plane: table, plots, report, resume, evaluation, and
wrong input in one line.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from worldplan.cli import main
from worldplan.commands.studies.jobs import oracle_return
from worldplan.commands.studies.study import study_from_dict

SMALL = {
    "critics": 2,
    "diversity": 0.0,
    "hidden": [16, 16],
    "batch": 16,
    "horizon": 4,
    "starts": 20,
    "retain": 2,
    "updates": 10,
    "real_share": 0.0,
}
TIMES = ("decision_seconds", "cpu_seconds")
STUDY = {
    "name": "tiny",
    "plane": {"goal": [0.4, 0.1]},
    "settings": SMALL,
    "seeds": 3,
    "side_by_side": 2,
    "epochs": 2,
    "check_every": 1,
    "save_every": 1,
    "check_episodes": 2,
    "episodes": 4,
    "methods": {
        "base": {},
        "patched": {"patch": "oracle"},
        "mopo": {"pessimism": {"penalty": "ensemble_std", "weight": 2.0}},
    },
}


def write(folder: Path, study: dict) -> str:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return str(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    assert main(["run", write(folder, STUDY), "--jobs", "1", "--runs", str(folder / "runs")]) == 0
    return next((folder / "runs" / "tiny").glob("[!.]*"))


def test_run_folder_is_complete(finished):
    summary, seeds = pd.read_csv(finished / "summary.csv"), pd.read_csv(finished / "seeds.csv")
    assert summary["policy"].tolist() == ["base", "patched", "mopo"]
    assert seeds.groupby("method")["seed"].apply(sorted).tolist() == [[0, 1, 2]] * 3
    from worldplan.envs.edge_of_reach import Plane

    share = summary["mean"] / oracle_return(Plane(goal=(0.4, 0.1)), 4)
    np.testing.assert_allclose(summary["bound_share"], share)
    for row in summary.to_dict("records"):
        own = seeds.loc[seeds["method"] == row["policy"], "return"]
        assert (
            row["mean"] == pytest.approx(own.mean())
            and own.min() - 1e-9 <= row["low"] <= row["high"] <= own.max() + 1e-9
        )
    plots = {path.stem for path in (finished / "plots").glob("*.svg")}
    assert {
        "policy_comparison",
        "learning_curve_return",
        "learning_curve_q",
        "rollouts",
        "critic_spread",
        "training_base",
    } <= plots
    for name in ("config.yaml", "versions.json", "seed", "report.html", "curves.csv", "notes.txt"):
        assert (finished / name).stat().st_size > 0


def test_exact_dynamics_leave_a_dynamics_penalty_nothing_to_do(finished):
    """The statement of the paper, to the last digit: without model error MOPO is Base."""
    curves = pd.read_csv(finished / "curves.csv").drop(columns=["policy", "method"])
    base, mopo = curves.iloc[: len(curves) // 3], curves.iloc[2 * len(curves) // 3 :]
    pd.testing.assert_frame_equal(
        base.reset_index(drop=True), mopo.reset_index(drop=True), check_exact=True
    )


def test_an_unfinished_run_is_continued_and_gives_the_same(finished, tmp_path, capsys):
    import shutil

    root = tmp_path / "runs"
    copy = root / "tiny" / finished.name
    shutil.copytree(finished, copy)
    for gone in ("summary.csv", "report.html", "jobs/base-2.csv", "jobs/patched-0.csv"):
        (copy / gone).unlink()
    shutil.rmtree(copy / "checkpoints" / "base-seed2")
    assert main(["run", write(tmp_path, STUDY), "--jobs", "1", "--runs", str(root)]) == 0
    assert "continuing" in capsys.readouterr().err
    assert [path.name for path in (root / "tiny").glob("[!.]*")] == [finished.name]
    for name in ("seeds.csv", "curves.csv"):
        before, after = pd.read_csv(finished / name), pd.read_csv(copy / name)
        columns = [column for column in before if column not in TIMES]
        pd.testing.assert_frame_equal(before[columns], after[columns], check_exact=True)


def test_evaluate_plays_every_policy_of_the_run(finished, capsys):
    assert main(["evaluate", str(finished), "--episodes", "3", "--policies", "patched"]) == 0
    assert "patched" in capsys.readouterr().out
    table = pd.read_csv(finished / "evaluation.csv")
    assert table["policy"].tolist() == ["patched"] * 3 + ["random policy"]
    assert (table["length"] == 30).all()
    assert main(["evaluate", str(finished), "--policies", "nobody"]) == 2
    assert "choose from base, patched, mopo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plane": None}, "needs one task"),
        ({"methods": {}}, "give at least one"),
        ({"methods": {"a/b": {}}}, "becomes a folder"),
        ({"methods": {3: {}}}, "becomes a folder"),
        ({"methods": {None: {}}}, "becomes a folder"),
        ({"methods": {"a": {"critics": 0}}}, "method 'a': "),
        ({"methods": {"a": {"critik": 3}}}, "critik"),
        ({"methods": {"a": {"patch": "x"}}}, "choose none, oracle, random"),
        ({"epochs": 0}, "epochs 0"),
        ({"epochs": 3, "check_every": 2}, "multiple of check_every"),
        ({"settings": SMALL | {"real_share": 0.5}}, "set real_share to 0"),
        ({"methods": {"a": {"true_share": 1.0}}}, "leave out true_share"),
        ({"shares": [0, 1]}, "leave out true_share and shares"),
        ({"shares": [0, 2]}, "different shares from 0"),
        ({"shares": [0, 0.0]}, "different shares from 0"),
        ({"shares": [0], "methods": {"a": {"shares": []}}}, "method 'a': shares"),
        ({"shares": [0], "methods": {"a": {"shares": ["x"]}}}, "method 'a': shares"),
        ({"shares": [0], "methods": {"a": {"shares": 1}}}, "method 'a': shares"),
        ({"shares": [0], "methods": {"a": {"true_share": 1}}}, "leave one of them out"),
        ({"shares": [0], "true_share": 1.0}, "leave one of them out"),
        ({"methods": {"a": {"shares": [0]}}}, "the study has no shares"),
        ({"methods": {"a": {"target_cap": "max_reward"}}}, "needs a dataset"),
        (
            {"plane": None, "data": {"dataset": "x.npz"}, "methods": {"a": {"patch": "oracle"}}},
            "only the plane has",
        ),
        ({"plane": {"width": -1.0}}, "width"),
        ({"nonsense": 1}, "nonsense"),
        ({"accelerator": "abacus"}, "set --accelerator cpu"),
    ],
)
def test_wrong_studies_are_one_line(tmp_path, capsys, change, message):
    assert (
        main(
            [
                "run",
                write(tmp_path, STUDY | change),
                "--jobs",
                "1",
                "--runs",
                str(tmp_path / "runs"),
            ]
        )
        == 2
    )
    text = capsys.readouterr().err.strip()
    assert message in text and "\n" not in text and "Traceback" not in text
    assert not (tmp_path / "runs").exists()


def fit_config(folder: Path, epochs: int, **changes: object) -> str:
    run = str(folder / "run")
    config = {
        "seed_everything": 0,
        "model": {
            "class_path": "worldplan.planners.offline.edge_of_reach.for_plane",
            "init_args": {
                "plane": {"goal": [0.4, 0.1]},
                "settings": SMALL | changes,
                "seeds": 2,
                "epochs": epochs,
                "check_every": 1,
                "check_episodes": 2,
            },
        },
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False, "default_root_dir": run},
    }
    path = folder / f"fit{epochs}.yaml"
    path.write_text(yaml.safe_dump(config))
    return str(path)


def test_a_missing_dataset_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    config = {
        "model": {
            "class_path": "worldplan.planners.offline.training.for_dataset",
            "init_args": {"dataset": str(tmp_path / "none.npz"), "true_share": 1.0},
        }
    }
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", str(tmp_path / "fit.yaml")]) == 2
    text = capsys.readouterr().err.strip().splitlines()[-1]
    assert text.startswith("worldplan: DatasetError: ") and "none.npz" in text


def test_a_method_that_diverges_is_a_result(tmp_path):
    """The others are finished, and the table says what happened."""
    study = STUDY | {
        "methods": {"base": {}, "wild": {"critic_rate": 1e30, "patch": "oracle"}},
        "seeds": 1,
        "epochs": 3,
    }
    assert (
        main(["run", write(tmp_path, study), "--jobs", "1", "--runs", str(tmp_path / "runs")]) == 0
    )
    run = next((tmp_path / "runs" / "tiny").glob("[!.]*"))
    table = pd.read_csv(run / "summary.csv").set_index("policy")
    assert np.isfinite(table.loc["base", "mean"]) and np.isnan(table.loc["wild", "mean"])
    assert "diverged" in table.loc["wild", "note"]
    assert (run / "report.html").exists()


def test_fit_by_configuration_resumes_and_is_evaluated(tmp_path, capsys):
    (tmp_path / "whole").mkdir()
    assert main(["fit", "--config", fit_config(tmp_path / "whole", 3)]) == 0
    assert main(["fit", "--config", fit_config(tmp_path, 1)]) == 0
    assert main(["fit", "--config", fit_config(tmp_path, 3)]) == 0
    assert f"continuing {tmp_path / 'run'}" in capsys.readouterr().err
    whole, parts = (
        pd.read_csv(folder / "run" / "metrics.csv") for folder in (tmp_path / "whole", tmp_path)
    )
    pd.testing.assert_frame_equal(whole, parts, check_exact=True)
    assert {"config.yaml", "versions.json", "seed"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }
    assert (tmp_path / "run" / "plots" / "learning_curve.svg").stat().st_size > 0
    assert main(["report", str(tmp_path / "run")]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--episodes", "2"]) == 0
    played = pd.read_csv(tmp_path / "run" / "evaluation.csv")
    assert played["policy"].tolist() == ["policy", "policy", "random policy"]
    assert "Traceback" not in capsys.readouterr().err


def test_a_fit_under_the_former_defaults_is_refused_or_resumed(tmp_path, capsys):
    """A file that left them out trains otherwise today; the folder's own record resumes."""
    former = dict.fromkeys(("layer_norm", "normalise_observations", "normalise_rewards"), False)
    assert main(["fit", "--config", fit_config(tmp_path, 1, **former)]) == 0
    written = (tmp_path / "run" / "last.ckpt").read_bytes()
    capsys.readouterr()
    assert main(["fit", "--config", fit_config(tmp_path, 2)]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "settings.layer_norm was not set, is True" in printed
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == written
    (tmp_path / "run" / "config.yaml").rename(tmp_path / "kept.yaml")
    again = ["fit", "--config", str(tmp_path / "kept.yaml"), "--model.init_args.epochs", "2"]
    assert main(again) == 0
    assert len(pd.read_csv(tmp_path / "run" / "metrics.csv")) == 2


def test_a_study_from_before_a_setting_keeps_its_meaning(finished):
    """A run folder records all settings of its time; what did not exist yet was off."""
    config = yaml.safe_load((finished / "config.yaml").read_text())
    assert study_from_dict(config, finished).settings.layer_norm
    for name in ("layer_norm", "normalise_observations", "normalise_rewards"):
        del config["settings"][name]
    config["settings"]["hidden"] = [2, 2]  # too few units for layer normalisation
    for method in ("base", "mopo"):
        settings = study_from_dict(config, finished).method_settings(method)
        assert not (settings.layer_norm or settings.normalise_observations)
        assert not settings.normalise_rewards


@pytest.mark.parametrize("method", [None, 3, "x", [1], True, {"true_share": "x"}, {"nothing": 1}])
def test_a_method_is_a_mapping_of_changes(method, tmp_path, capsys):
    assert main(["run", write(tmp_path, STUDY | {"methods": {"base": method}})]) == 2
    printed = capsys.readouterr().err
    assert "base" in printed or 'key "methods"' in printed


@pytest.mark.parametrize("name", [1, 0.5, True, None])
def test_a_methods_name_is_a_text_in_a_run_folder_too(name, tmp_path, capsys):
    (tmp_path / "seed").write_text("0")
    config = STUDY | {"methods": {name: {}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["evaluate", str(tmp_path), "--episodes", "1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
