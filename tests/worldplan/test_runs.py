"""Run folders: complete or absent, resumed only with the same settings, and clear about damaged
files.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from worldplan import opening
from worldplan.files import config_hash, plain, read_config, write_csv, write_text
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.opening import create_run, open_run
from worldplan.runs import Run, list_runs
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
