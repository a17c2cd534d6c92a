"""`worldplan tune` on the plane: table, plots, report, best settings, resuming, storages."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pandas as pd
import pytest
import yaml

from tests.worldplan.commands.tuning.builders import TUNING, run_of, write
from worldplan.cli import main
from worldplan.commands.tuning import results
from worldplan.commands.tuning import trials as trials_module
from worldplan.commands.tuning.tuning import parse_tuning, tuning_parser

SETTINGS = ["actor_rate", "horizon", "pessimism.penalty", "lower_bound", "hidden"]


def tune(folder, *options, **changes) -> int:
    file = write(folder, **changes)
    return main(["tune", file, "--jobs", "1", "--runs", str(folder / "runs"), *options])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    assert tune(folder) == 0
    return run_of(folder / "runs")


def scores_of(run) -> pd.DataFrame:
    return pd.read_csv(run / "trials.csv", keep_default_na=False).drop(columns="seconds")


def test_run_folder_is_complete(finished):
    table = pd.read_csv(finished / "trials.csv", keep_default_na=False)
    assert table["trial"].tolist() == [0, 1, 2] and (table["state"] == "finished").all()
    assert set(SETTINGS) <= set(table)
    assert set(table["lower_bound"].astype(str)) <= {"null", "1.0"}
    assert set(table["hidden"]) <= {"[8]", "[4, 4]"}
    assert ((table["low"] <= table["score"]) & (table["score"] <= table["high"])).all()
    plots = {path.stem for path in (finished / "plots").glob("*.svg")}
    assert {"learning_curve_score", "settings"} <= plots
    for name in ("config.yaml", "report.html", "summary.csv", "trials.journal", "seed"):
        assert (finished / name).stat().st_size > 0
    notes = (finished / "notes.txt").read_text()
    assert "mean return of the policies in the environment" in notes and "3 finished" in notes


@pytest.mark.slow
def test_best_settings_are_those_of_the_best_trial_and_can_be_run_and_fitted(finished, tmp_path):
    best = scores_of(finished).sort_values("score").iloc[-1]
    study = yaml.safe_load((finished / "best.yaml").read_text())
    method = study["methods"]["best"]
    assert method["horizon"] == best["horizon"]
    assert method["pessimism"]["penalty"] == best["pessimism.penalty"]
    assert str(method["hidden"]) == best["hidden"]
    runs = str(tmp_path / "runs")
    assert main(["run", str(finished / "best.yaml"), "--jobs", "1", "--runs", runs]) == 0
    folder = str(tmp_path / "fit")
    options = ["--trainer.default_root_dir", folder, "--trainer.enable_progress_bar", "false"]
    assert main(["fit", "--config", str(finished / "best_fit.yaml"), *options]) == 0
    # the same training, by two roads, as in the trial
    number = int(best["trial"])
    metrics = pd.read_csv(finished / "trials" / f"{number:04d}" / "metrics.csv")
    pd.testing.assert_frame_equal(metrics, pd.read_csv(tmp_path / "fit" / "metrics.csv"))


@pytest.mark.parametrize(
    "interrupted", ["training", pytest.param("scoring", marks=pytest.mark.slow)]
)
def test_an_interrupted_tuning_ends_with_the_trials_of_an_unbroken_one(
    finished, tmp_path, monkeypatch, capsys, interrupted
):
    name = "fit" if interrupted == "training" else "score_of"
    function, calls = getattr(trials_module, name), []

    def broken(*arguments, **options):
        calls.append(0)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    monkeypatch.setattr(trials_module, name, broken)
    assert tune(tmp_path) == 130
    monkeypatch.undo()
    assert not (run_of(tmp_path / "runs") / "trials.csv").exists()
    assert tune(tmp_path) == 0
    assert "continuing" in capsys.readouterr().err
    pd.testing.assert_frame_equal(
        scores_of(finished), scores_of(run_of(tmp_path / "runs")), check_exact=True
    )


def test_a_journal_that_a_full_disk_has_cut_is_mended(finished, tmp_path, capsys):
    copy = tmp_path / "runs" / "tiny" / finished.name
    shutil.copytree(finished, copy)
    for name in ("summary.csv", "report.html"):
        (copy / name).unlink()
    journal = copy / "trials.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    # the last trial was not told: its line is incomplete
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:30])
    assert tune(tmp_path) == 0
    pd.testing.assert_frame_equal(scores_of(finished), scores_of(copy), check_exact=True)
    (copy / "report.html").unlink()
    journal.write_bytes(b"".join([lines[0], b"{no line\n", *lines[1:]]))
    capsys.readouterr()
    assert tune(tmp_path) == 2
    assert "begin a new run with --fresh" in capsys.readouterr().err


@pytest.mark.slow
def test_a_shared_storage_is_continued_to_a_greater_total(finished, tmp_path):
    storage = {"storage": f"sqlite:///{tmp_path}/trials.db"}
    assert tune(tmp_path, trials=2, **storage) == 0
    first = run_of(tmp_path / "runs")
    assert tune(tmp_path, trials=3, **storage) == 0
    (second,) = set((tmp_path / "runs" / "tiny").glob("[!.]*")) - {first}
    assert len(scores_of(first)) == 2
    pd.testing.assert_frame_equal(scores_of(finished), scores_of(second), check_exact=True)
    assert [path.name for path in (second / "trials").iterdir()] == ["0002"]


def test_runs_that_share_a_storage_make_the_total_together(tmp_path):
    """Both begin while no trial is there; together they make no more than the total."""
    tuning = parse_tuning(tuning_parser(), [write(tmp_path, trials=2, seeds=1)])[0]
    made_with, storage = {"a": "b"}, str(tmp_path / "shared.journal")
    folders = [tmp_path / "first", tmp_path / "second"]
    lists = [trials_module.jobs_of(f, tuning, storage, made_with, False) for f in folders]
    assert [len(jobs) for jobs in lists] == [2, 2]
    for job in [lists[0][0], lists[1][0], lists[0][1], lists[1][1]]:
        trials_module.run_trial(job)
    trials = lists[0][0].open().get_trials()
    states = [trial.state.name for trial in trials]
    assert states[:2] == ["COMPLETE", "COMPLETE"] and set(states[2:]) == {"FAIL"}
    owners = [trial.user_attrs["owner"] for trial in trials[:2]]
    assert [owner.rpartition("/")[2] for owner in owners] == ["first", "second"]
    assert len(results.trial_table(tuning, trials[:2])) == 2
    # an unfinished trial of the other run is not taken over
    study = lists[0][0].open()
    study.ask().set_user_attr("owner", "elsewhere:/runs/third")
    more = replace(tuning, trials=4)
    assert [
        job.resumed for job in trials_module.jobs_of(folders[0], more, storage, made_with, False)
    ] == [None]
    assert [
        job.resumed for job in trials_module.jobs_of(folders[0], more, storage, made_with, True)
    ] == [4, None]


def test_trials_that_diverge_or_do_not_fit_count_as_worst(tmp_path):
    search = {"critic_rate": [1e30, 1e-3], "diversity": [0.5, 0.0], "critics": [1, 2]}
    assert tune(tmp_path, search=search, trials=8, seeds=1) == 0
    table = scores_of(run_of(tmp_path / "runs"))
    worst, fine = table[table["state"] == "worst"], table[table["state"] == "finished"]
    assert len(worst) and len(fine) and len(table) == 8
    assert (worst["score"] == "").all() and (worst["note"].str.contains("worst score")).all()
    assert worst["note"].str.contains("diverged").any()
    assert worst["note"].str.contains("do not fit each other").any()
    assert (fine["critic_rate"].astype(float) == 1e-3).all()


def test_no_finished_trial_is_one_line(tmp_path, capsys):
    assert tune(tmp_path, search={"critic_rate": [1e30]}, trials=2, seeds=1) == 2
    text = capsys.readouterr().err.strip().splitlines()[-1]
    assert "none of 2 trials has a score" in text and "trials.csv says why" in text
    assert len(scores_of(run_of(tmp_path / "runs"))) == 2


@pytest.mark.slow
def test_pruned_trials_are_named(tmp_path):
    changes = {"pruner": "median", "epochs": 4, "trials": 8, "seeds": 1, "sampler": "tpe"}
    search = {"actor_rate": {"low": 1e-4, "high": 1e-1, "log": True}}
    assert tune(tmp_path, search=search, **changes) == 0
    table = scores_of(run_of(tmp_path / "runs"))
    pruned = table[table["state"] == "pruned"]
    assert len(pruned) and pruned["note"].str.contains("ended early after").all()
    assert "pruned" in (run_of(tmp_path / "runs") / "notes.txt").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": {"horison": [1]}}, "nearest are horizon"),
        ({"search": {}}, "search is empty"),
        ({"search": None}, "search"),
        ({"trials": "many"}, "trials"),
        ({"nonsense": 1}, "nonsense"),
        ({"storage": "sqlite:////nowhere/at/all.db"}, "storage sqlite:////nowhere/at/all.db"),
        ({"storage": "/nowhere/at/all.journal"}, "/nowhere/at/all.journal"),
        ({"storage": "postgresql://me:secret@127.0.0.1:9/x"}, "me:***@127.0.0.1:9/x"),
        ({"storage": "redis://127.0.0.1:9/0"}, "redis://127.0.0.1:9/0"),
        ({"storage": "ftp://host/x"}, "storage ftp://host/x"),
        ({"storage": "sqlite:///{folder}/tune.yaml"}, "tune.yaml"),
        ({"storage": "{folder}/tune.yaml"}, "not a journal of trials"),
        ({"storage": "{folder}"}, "cannot be used"),
    ],
)
def test_wrong_input_is_one_line(tmp_path, capsys, changes, message):
    changes = {
        name: value.replace("{folder}", str(tmp_path)) if isinstance(value, str) else value
        for name, value in changes.items()
    }
    assert tune(tmp_path, **changes) == 2
    text = capsys.readouterr().err.strip()
    assert message in text and "\n" not in text and "secret" not in text
    assert not (tmp_path / "runs").exists()


def test_the_storage_of_another_tuning_is_refused_by_name(tmp_path, capsys):
    storage = {"storage": f"{tmp_path}/shared.journal", "trials": 1}
    assert tune(tmp_path, **storage) == 0
    capsys.readouterr()
    changed = TUNING["search"] | {"horizon": {"low": 1, "high": 6}}
    assert tune(tmp_path, search=changed, **storage) == 2
    text = capsys.readouterr().err
    assert "another tuning named 'tiny'" in text and "search.horizon.high was 5, is 6" in text


def test_a_server_that_says_nothing_is_refused(tmp_path, capsys, monkeypatch):
    """It accepts connections, but is no database."""
    import socket

    from worldplan.commands.tuning import storage

    monkeypatch.setattr(storage, "_OPEN", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def wait(*_, **__):
            server.settimeout(20)
            for _ in range(2):  # the first one is closed at once
                connection = server.accept()[0]
                connection.recv(1)

        monkeypatch.setattr(storage, "RDBStorage", wait)
        assert tune(tmp_path, storage=f"postgresql://127.0.0.1:{port}/x") == 2
    assert "no answer within" in capsys.readouterr().err
