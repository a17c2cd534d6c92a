"""Run folders: complete or absent, resumed only with the same settings, and clear about damaged
files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from worldplan import opening
from worldplan.files import config_hash, input_files, plain, read_config, write_csv, write_text
from worldplan.milp.errors import ConfigError, DatasetError, FolderInUse
from worldplan.opening import create_run, open_run
from worldplan.runs import Run, list_runs, write_result
from worldplan.versions import versions
from worldplan.world_models.storage import replace_file

CONFIG = {
    "domain": "capacity",
    "arms": 20,
    "solver": {"name": "highs", "gap": 1e-4},
    "policies": ["null", "fluid"],
}


def test_a_new_run_holds_everything(tmp_path: Path) -> None:
    run = create_run(tmp_path, "capacity", CONFIG, seed=7)
    assert run.config == CONFIG
    assert run.seed == 7
    assert run.versions["python"] == sys.version.split()[0]
    assert run.plots.is_dir()
    assert run.checkpoints.is_dir()
    assert run.name.startswith("capacity/20")
    assert [path.name for path in (tmp_path / "capacity").glob("[!.]*")] == [run.path.name]
    assert Run.open(run.path) == run


def test_runs_of_one_second_get_their_own_folders(tmp_path: Path) -> None:
    made = [
        create_run(tmp_path, "capacity", {"number": number}, seed=number) for number in range(12)
    ]
    assert len({run.path for run in made}) == 12
    assert list_runs(tmp_path, "capacity") == made
    with open_run(tmp_path, "capacity", {"number": 3}, seed=3) as run:
        assert run == made[3]
    with open_run(tmp_path, "capacity", {"number": 3}, seed=4) as run:
        assert run not in made
    assert list_runs(tmp_path, "nothing here") == []


def test_a_run_is_continued_only_with_its_own_settings(tmp_path: Path) -> None:
    run = create_run(tmp_path, "capacity", CONFIG, seed=0)
    reordered = dict(reversed(CONFIG.items())) | {
        "policies": ("null", "fluid"),
        "arms": np.int64(20),
    }
    assert run.matches(reordered)
    changed = CONFIG | {"solver": {"name": "gurobi", "gap": 1e-4}}
    assert not run.matches(changed)


def test_one_and_true_and_text_are_different_settings() -> None:
    assert len({config_hash({"x": value}) for value in (1, True, "1", 1.5, None, [1], {})}) == 7


def test_settings_that_yaml_cannot_hold_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="holds a object"):
        create_run(tmp_path, "capacity", {"what": object()}, seed=0)
    assert not list(tmp_path.iterdir())


def test_plain_values() -> None:
    value = {
        "a": np.float64(0.5),
        "b": np.arange(3),
        "c": (1, Path("x/y")),
        4: None,
        "d": np.bool_(True),
    }
    assert plain(value) == {"a": 0.5, "b": [0, 1, 2], "c": [1, "x/y"], 4: None, "d": True}
    assert type(plain(value)["a"]) is float


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden"])
def test_bad_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a run"):
        create_run(tmp_path, name, {}, seed=0)


def test_a_place_where_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot make a run folder"):
        create_run(tmp_path / "file", "capacity", {}, seed=0)


def test_a_failure_while_making_a_run_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> dict[str, str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(opening, "versions", interrupt)
    with pytest.raises(KeyboardInterrupt):
        create_run(tmp_path, "capacity", {}, seed=0)
    assert not list((tmp_path / "capacity").glob("[!.]*"))


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = write_text(tmp_path / "notes.txt", "old")

    def fail(draft: Path) -> None:
        draft.write_text("half of the n")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        replace_file(path, fail)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_tables_come_back_as_they_were(tmp_path: Path) -> None:
    run = create_run(tmp_path, "capacity", {}, seed=0)
    assert run.read_csv("metrics.csv") is None
    table = pd.DataFrame({"policy": ["null", "a, b"], "mean": [1 / 3, 2e-17]})
    run.write_csv("metrics.csv", table)
    pd.testing.assert_frame_equal(run.read_csv("metrics.csv"), table, check_exact=True)
    (run.path / "metrics.csv").write_text('a,b\n1,2,3\n"')
    with pytest.raises(DatasetError, match="metrics.csv"):
        run.read_csv("metrics.csv")


def test_written_files_can_be_read_by_others(tmp_path: Path) -> None:
    plain_file = tmp_path / "plain"
    plain_file.write_text("")
    assert (
        write_csv(tmp_path / "table.csv", pd.DataFrame({"a": [1]})).stat().st_mode
        == plain_file.stat().st_mode
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1", "not valid YAML.*line"),
        ("- 1\n- 2", "holds list"),
        ("", "holds nothing"),
        ("!!python/object:os.system x", "not valid YAML"),
    ],
)
def test_bad_configuration_files_are_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as error:
        read_config(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_and_binary_configuration_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "binary.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a run folder"):
        Run.open(tmp_path)


def test_a_damaged_seed(tmp_path: Path) -> None:
    run = create_run(tmp_path, "capacity", {}, seed=0)
    (run.path / "seed").write_text("seven")
    with pytest.raises(ConfigError, match="seed"):
        _ = run.seed


def test_versions_name_what_is_installed() -> None:
    found = versions()
    assert found["torch"].startswith("2.")
    assert {"python", "platform", "numpy", "highspy", "lightning"} <= found.keys()


def test_starting_up_stays_quick() -> None:
    code = (
        "import sys, worldplan.runs, worldplan.doctor;"
        "import worldplan.output.report, worldplan.output.plots;"
        "heavy = ('torch', 'lightning', 'highspy', 'gurobipy', 'pyomo');"
        "sys.exit(', '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


# --- one process at a time ------------------------------------------------------------------------


def test_an_unfinished_run_is_found_though_the_clock_went_back(tmp_path: Path) -> None:
    unfinished = create_run(tmp_path, "capacity", CONFIG, seed=0)
    for year in ("1999", "2999"):  # finished runs with earlier and later names
        other = create_run(tmp_path, "capacity", CONFIG, seed=0)
        finish(other)
        other.path.rename(other.path.with_name(f"{year}0101-000000"))
    with open_run(tmp_path, "capacity", CONFIG, 0) as run:
        assert run == unfinished
    finish(unfinished)
    with open_run(tmp_path, "capacity", CONFIG, 0) as run:
        assert run != unfinished


def finish(run: Run) -> None:
    run.write_summary(pd.DataFrame({"policy": ["null"], "mean": [1.0]}))
    run.write_text("report.html", "")


def test_a_run_in_use_is_refused_and_fresh_makes_another(tmp_path: Path) -> None:
    with open_run(tmp_path, "capacity", CONFIG, 0) as run:
        with (
            pytest.raises(FolderInUse, match=f"process {os.getpid()} .*--fresh"),
            open_run(tmp_path, "capacity", CONFIG, 0),
        ):
            pass
        with open_run(tmp_path, "capacity", CONFIG, 0, fresh=True) as other:
            assert other != run
            spare = create_run(tmp_path, "capacity", CONFIG, 0)
            with open_run(tmp_path, "capacity", CONFIG, 0) as third:
                assert third == spare, "the unfinished run that nobody works on"


def test_what_killed_processes_left_is_deleted(tmp_path: Path) -> None:
    run = create_run(tmp_path, "capacity", CONFIG, 0)
    draft = tmp_path / "capacity" / ".0123456789ab"
    (draft / "plots").mkdir(parents=True)
    (run.path / "jobs" / ".fluid-0.0123456789ab.csv").write_text("half")
    (tmp_path / "capacity" / ".mine").mkdir()
    with open_run(tmp_path, "capacity", CONFIG, 0) as opened:
        assert opened == run
    assert not draft.exists() and not list((run.path / "jobs").iterdir())
    assert (tmp_path / "capacity" / ".mine").is_dir()


def test_a_report_of_the_unfinished_run_does_not_pass_for_that_of_the_finished(
    tmp_path: Path,
) -> None:
    run = create_run(tmp_path, "capacity", CONFIG, 0)
    run.write_text("report.html", "without results")
    run.write_summary(pd.DataFrame({"policy": ["null"], "mean": [1.0]}))
    assert not run.finished  # killed here, the run is continued and its report written


@pytest.mark.parametrize("file", ["config.yaml", "seed"])
def test_a_damaged_run_does_not_stop_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    damaged = create_run(tmp_path, "capacity", CONFIG, 0)
    (damaged.path / file).write_bytes(b"\x00\xff[")
    with open_run(tmp_path, "capacity", CONFIG, 0) as run:
        assert run != damaged
    assert f"passing over {damaged.path}: " in capsys.readouterr().err


def test_other_versions_are_said_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, said in (("1.0", False), ("2.0", True), ("2.0", False)):
        monkeypatch.setattr(opening, "versions", lambda number=number: {"numpy": number})
        with open_run(tmp_path, "capacity", CONFIG, 0) as run:
            pass
        assert ("numpy 1.0, then 2.0: --fresh" in capsys.readouterr().err) == said
    assert run.versions == {"numpy": "1.0, then 2.0"}


def test_an_interruption_names_the_folder(tmp_path: Path) -> None:
    for fresh, again in ((False, "again"), (True, "without --fresh")):
        with (
            pytest.raises(KeyboardInterrupt, match=f"kept in .*same command {again} to continue"),
            open_run(tmp_path, "capacity", CONFIG, 0, fresh=fresh),
        ):
            raise KeyboardInterrupt


def test_a_run_folder_that_was_deleted_is_not_made_again(tmp_path: Path) -> None:
    with open_run(tmp_path, "capacity", CONFIG, 0) as run:
        shutil.rmtree(run.path)
        with pytest.raises(ConfigError, match="deleted or moved"):
            write_result(run.path / "jobs" / "fluid-0.csv", pd.DataFrame({"a": [1]}))
    assert list_runs(tmp_path, "capacity") == []


def test_input_files_belong_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text("arm,cost\n")
    (tmp_path / "rules.py").write_text("")
    config = {
        "sets": [{"costs": "costs.csv", "rules": "rules.py:build"}],
        "policies": ["fluid", "", "x" * 5000, "a\0b"],
    }
    before = input_files(config, tmp_path)
    assert before.keys() == {"costs.csv", "rules.py:build"}
    (tmp_path / "costs.csv").write_text("arm,cost\na,1\n")
    after = input_files(config, tmp_path)
    assert after["rules.py:build"] == before["rules.py:build"]
    assert after["costs.csv"] != before["costs.csv"]
