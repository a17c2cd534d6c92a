"""A run that is killed ends, when repeated, with the numbers of an unbroken run; nothing
half-written stays behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from lightning import Trainer

from worldplan.envs.bandits.domains import generate
from worldplan.milp.errors import CheckpointError
from worldplan.milp.sets.custom import PyomoSet
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.planners.bandits.sequoia.training import SequoiaModule
from worldplan.world_models.storage import replace_file
from worldplan.world_models.training.trainer import fit

SETTINGS = SequoiaSettings(
    hidden=(6, 6),
    pretrain_steps=20,
    updates=40,
    solves=4,
    episodes=8,
    batch=16,
    pool=60,
    replay=100,
    check_every=10,
    check_episodes=4,
    learning_rate=0.02,
    fine_learning_rate=0.01,
)
INSTANCE = generate("capacity", 8, 3, seed=1, horizon=4)


def at_most(most: int, block: Any) -> None:
    """The rule that at most so many arms are selected."""
    pyo = pytest.importorskip("pyomo.environ")
    block.limit = pyo.Constraint(expr=sum(block.a[arm] for arm in block.arms) <= most)


class Stop(BaseException):
    """Like a power cut, but within the process."""


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["sequoia"]["weights"]


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def stopping(monkeypatch: pytest.MonkeyPatch, method: str, step: int) -> None:
    whole: Callable[..., Any] = getattr(SequoiaModule, method)

    def cut(self: SequoiaModule, *arguments: Any) -> Any:
        if self.global_step == step:
            raise Stop
        return whole(self, *arguments)

    monkeypatch.setattr(SequoiaModule, method, cut)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    fit(SequoiaModule(INSTANCE, SETTINGS, 3), folder)
    return folder


@pytest.mark.parametrize(
    ("method", "step"),
    [
        ("training_step", 7),
        ("training_step", 10),
        ("validation_step", 20),
        ("training_step", 33),
        ("validation_step", 40),
        ("validation_step", 60),
    ],
)
def test_training_resumes_to_the_same_bits(
    method: str, step: int, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before the first checkpoint, at a checkpoint, within a check, in the learning phase,
    within the last check.
    """
    with monkeypatch.context() as patch:
        stopping(patch, method, step)
        with pytest.raises(Stop):
            fit(SequoiaModule(INSTANCE, SETTINGS, 3), tmp_path)
    assert not (tmp_path / "done").exists()
    fit(SequoiaModule(INSTANCE, SETTINGS, 3), tmp_path)
    for name in ("best.ckpt", "last.ckpt"):
        assert_same(weights(tmp_path / name), weights(unbroken / name))
    checks = [
        pd.read_csv(folder / "metrics.csv")[["step", "val/reward"]].dropna().reset_index(drop=True)
        for folder in (tmp_path, unbroken)
    ]
    pd.testing.assert_frame_equal(*checks, check_exact=True)
    assert checks[0]["step"].tolist() == [10, 20, 30, 40, 50, 60]
    assert checks[0]["val/reward"].nunique() > 1, (
        "the choice of the best network must mean something"
    )
    assert not list(tmp_path.glob("*.part"))


def test_a_cut_while_a_checkpoint_is_written_leaves_the_one_before(
    tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, states = replace_file, []

    def half(draft: Path) -> None:
        draft.write_bytes(b"half of a chec")
        raise Stop

    def cut(path: Path, write: Callable[[Path], object]) -> Path:
        states.extend([path] if path.name == "last.ckpt" else [])
        return whole(path, half if len(states) == 3 else write)

    with monkeypatch.context() as patch:
        patch.setattr("worldplan.world_models.training.journal.replace_file", cut)
        with pytest.raises(Stop):
            fit(SequoiaModule(INSTANCE, SETTINGS, 3), tmp_path)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 20
    fit(SequoiaModule(INSTANCE, SETTINGS, 3), tmp_path)
    assert_same(weights(tmp_path / "best.ckpt"), weights(unbroken / "best.ckpt"))
    assert not [path for path in tmp_path.glob(".*") if path.name != ".lock"]


def test_the_last_epoch_may_be_shorter(tmp_path: Path) -> None:
    """No step is left without a check, and none is counted that was not made."""
    fit(SequoiaModule(INSTANCE, replace(SETTINGS, pretrain_steps=10, updates=5), 3), tmp_path)
    assert pd.read_csv(tmp_path / "metrics.csv")["step"].tolist() == [10, 15]


def test_a_check_alone_repeats_the_last_check(unbroken: Path) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    module = SequoiaModule(INSTANCE, SETTINGS, 3)
    (figures,) = trainer.validate(
        module, ckpt_path=unbroken / "last.ckpt", verbose=False, weights_only=True
    )
    last = pd.read_csv(unbroken / "metrics.csv")["val/reward"].iloc[-1]
    assert figures == {"val/reward": pytest.approx(last)}  # no step: only training counts them


def test_finished_training_is_not_repeated(unbroken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SequoiaModule, "setup", None)
    assert fit(SequoiaModule(INSTANCE, SETTINGS, 3), unbroken) == unbroken / "best.ckpt"


def test_a_damaged_last_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_text("not a checkpoint")
    with pytest.raises(CheckpointError, match=r"last.ckpt.*delete it"):
        fit(SequoiaModule(INSTANCE, SETTINGS, 3), tmp_path)


def test_training_into_the_folder_of_another_set_is_refused(tmp_path: Path, unbroken: Path) -> None:
    """Rules of one's own and the start states belong to a training, too."""
    pair, alone = (PyomoSet(partial(at_most, most), 8) for most in (2, 1))
    instances = [replace(INSTANCE, actions=actions) for actions in (pair, alone)]
    made = [SequoiaModule(instance, SETTINGS, 3).made_with() for instance in instances]
    assert made[0] != made[1]
    pair.contains([1, 1, 0, 0, 0, 0, 0, 0])  # the set remembers it
    assert SequoiaModule(instances[0], SETTINGS, 3).made_with() == made[0]
    shutil.copytree(unbroken, tmp_path / "run")
    start = np.roll(INSTANCE.initial, 1, axis=1)
    for instance in (instances[0], replace(INSTANCE, initial=start)):
        with pytest.raises(CheckpointError, match=r"another instance.*\(instance\."):
            fit(SequoiaModule(instance, SETTINGS, 3), tmp_path / "run")


# --- the whole command, killed --------------------------------------------------------------------

SCENARIO = {
    "name": "small",
    "programme": {"domain": "capacity", "arms": 8, "budget": 3, "horizon": 4},
    "policies": ["random", "sequoia"],
    "seeds": "0..1",
    "episodes": 6,
    "solver": {
        "gap": 0.0
    },  # within a gap, a solver may stop at another action when the process did other things before
    "sequoia": {
        "hidden": [6, 6],
        "pretrain_steps": 40,
        "updates": 40,
        "solves": 4,
        "episodes": 8,
        "batch": 32,
        "pool": 100,
        "replay": 200,
        "check_every": 20,
        "check_episodes": 4,
    },
}


def start(folder: Path, root: str, jobs: int = 1) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "worldplan.cli",
        "bandits",
        "run",
        "small.yaml",
        "--runs",
        root,
        "--jobs",
        str(jobs),
    ]
    return subprocess.Popen(
        command,
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(
    condition: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 120
) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed: give it more work"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def alive(group: int) -> list[str]:
    """Processes of a group that still run (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(stat.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for orphans in /proc")
def test_a_killed_run_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SCENARIO))
    unbroken = start(tmp_path, "unbroken")

    training = start(tmp_path, "broken")
    root = tmp_path / "broken" / "small"
    wait_for(
        lambda: (
            bool(list(root.glob("*/checkpoints/*/last.ckpt")))
            and not list(root.glob("*/checkpoints/*/done"))
        ),
        training,
    )
    os.killpg(training.pid, signal.SIGKILL)
    training.wait()
    assert not list(root.glob("*/jobs/*.csv"))

    evaluating = start(tmp_path, "broken", jobs=2)
    wait_for(
        lambda: any("steps" not in path.name for path in root.glob("*/jobs/*.csv")), evaluating
    )
    os.kill(evaluating.pid, signal.SIGKILL)  # its workers are left behind, and must notice
    evaluating.wait()
    assert not list(root.glob("*/summary.csv"))
    end = time.monotonic() + 20
    while alive(evaluating.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert alive(evaluating.pid) == []

    assert unbroken.wait(timeout=200) == 0
    last = start(tmp_path, "broken")
    assert last.wait(timeout=200) == 0
    (broken,), (whole,) = root.glob("[!.]*"), (tmp_path / "unbroken" / "small").glob("[!.]*")
    for name, ignored in (
        ("summary.csv", "decision_ms"),
        ("episodes.csv", "decision_seconds"),
        ("steps.csv", None),
        ("bound.txt", None),
    ):
        tables = [
            pd.read_csv(folder / name, keep_default_na=False).drop(columns=ignored or [])
            for folder in (broken, whole)
        ]
        pd.testing.assert_frame_equal(*tables, check_exact=True)
    for path in whole.glob("checkpoints/*/best.ckpt"):
        assert_same(weights(path), weights(broken / path.relative_to(whole)))
    metrics = [
        pd.read_csv(folder / "metrics.csv").dropna(subset=["val/reward"]).drop(columns="train/loss")
        for folder in (broken, whole)
    ]
    pd.testing.assert_frame_equal(
        *(table.reset_index(drop=True) for table in metrics), check_exact=True
    )
    assert (broken / "report.html").exists()
