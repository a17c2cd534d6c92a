"""Trainings of MoDem that are resumed, repeated or damaged."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import pytest
import torch

from tests.places import ROOT
from tests.planners.modem.builders import (
    ID,
    PICTURES,
    TRAINING,
    demonstrations,
    module_of,
    same_weights,
    task_of,
)
from worldplan.milp.errors import CheckpointError, ConfigError, DatasetError, Diverged
from worldplan.planners.modem.policy import load_policy
from worldplan.planners.modem.task import ModemTask
from worldplan.planners.modem.training import ModemModule
from worldplan.world_models.data.episodes import Episode
from worldplan.world_models.training.journal import Journal
from worldplan.world_models.training.trainer import fit


def test_an_interrupted_run_ends_like_an_unbroken_one(whole: Path, tmp_path: Path) -> None:
    """Killed with SIGKILL in the middle, then resumed: the same weights and the same table."""
    script = (
        "import sys; from pathlib import Path; import torch; torch.set_num_threads(1)\n"
        "import tests.planners.modem.builders as t\n"
        "from worldplan.world_models.training.trainer import fit\n"
        "class Killed(t.ModemModule):\n"
        "    def on_train_epoch_end(self):\n"
        "        super().on_train_epoch_end()\n"
        "        if self.current_epoch == 3:\n"
        "            import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
        "module = Killed(t.task_of(), t.TRAINING, seed=0, check_every=2, check_episodes=4)\n"
        "fit(module, Path(sys.argv[1]), save_every=1)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert killed.returncode == -9, killed.stderr
    assert len(pd.read_csv(tmp_path / "metrics.csv")) == 3
    resumed = fit(module_of(check_every=2), tmp_path, save_every=1)
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "metrics.csv"), pd.read_csv(whole.parent / "metrics.csv")
    )
    assert same_weights(resumed, whole)


def test_finished_work_is_not_repeated(whole: Path) -> None:
    before = whole.stat().st_mtime_ns
    assert fit(module_of(check_every=2), whole.parent, save_every=1) == whole
    assert whole.stat().st_mtime_ns == before
    with pytest.raises(CheckpointError, match="another task, other settings or another seed"):
        fit(module_of(seed=1), whole.parent)


def test_a_lost_episode_is_named(whole: Path, tmp_path: Path) -> None:
    fit(module_of(check_every=2), tmp_path, save_every=1)
    (tmp_path / "done").unlink()
    (tmp_path / "episodes" / "000003.npz").unlink()
    with pytest.raises(DatasetError, match="000003.npz"):
        fit(module_of(), tmp_path)


@pytest.mark.parametrize("steps", [0, 96])
def test_a_finished_run_that_is_resumed_does_not_change(steps: int, tmp_path: Path) -> None:
    """After a kill between the last checkpoint and the end, or with `fit --ckpt_path` on a finished
    run.
    """
    path = fit(module_of(replace(TRAINING, steps=steps)), tmp_path, save_every=1)
    (tmp_path / "done").unlink()
    state, table = path.read_bytes(), (tmp_path / "metrics.csv").read_text()
    fit(module_of(replace(TRAINING, steps=steps)), tmp_path, save_every=1)
    assert path.read_bytes() == state
    assert (tmp_path / "metrics.csv").read_text() == table


def test_other_demonstrations_are_another_training(whole: Path) -> None:
    other = ModemTask(
        ID, {}, demonstrations(3)[::-1], {"environment": ID, "options": {}, "episodes": 3}
    )
    with pytest.raises(CheckpointError, match="another task"):
        fit(ModemModule(other, TRAINING, check_episodes=4), whole.parent)


@pytest.mark.parametrize(
    ("environment", "encoder_rate", "epoch"), [(ID, 0.5, 3), (PICTURES, 0.0, 3), (PICTURES, 0.0, 1)]
)
def test_encoded_observations_are_the_same_after_resuming(
    environment: str, encoder_rate: float, epoch: int, tmp_path: Path
) -> None:
    """The same weights, unbroken and stopped in the middle: with an encoder that is trained after
    cloning, and with shifted copies of images.

    The clone keeps its own encoder.
    """
    settings, task = (
        replace(TRAINING, steps=192, encoder_rate=encoder_rate, clone_updates=30),
        task_of(3, environment),
    )
    whole = fit(ModemModule(task, settings, check_episodes=4), tmp_path / "whole", save_every=1)

    class Stopped(ModemModule):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == epoch:
                raise KeyboardInterrupt
            super().on_train_epoch_start()

    with pytest.raises(KeyboardInterrupt):
        fit(Stopped(task, settings, check_episodes=4), tmp_path / "broken", save_every=1)
    resumed = fit(ModemModule(task, settings, check_episodes=4), tmp_path / "broken", save_every=1)
    assert same_weights(whole, resumed)
    agent = load_policy(whole)[0].agent
    clone, model = agent.clone.encoder.state_dict(), agent.model.encoder.state_dict()
    assert all(torch.equal(clone[name], model[name]) for name in clone) == (encoder_rate == 0)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    """The last good checkpoint and table are kept."""
    module = module_of()
    update = module.agent.update

    def broken(*arguments: Any, **options: Any) -> Any:
        figures, priority = update(*arguments, **options)
        return (
            (figures | {"loss": figures["loss"] * float("nan")}, priority)
            if module.current_epoch == 3
            else (figures, priority)
        )

    module.agent.update = broken  # type: ignore[method-assign]
    with pytest.raises(Diverged, match=r"loss is not a finite number in epoch 3.*last\.ckpt"):
        fit(module, tmp_path, save_every=1)
    assert len(pd.read_csv(tmp_path / "metrics.csv")) == 3
    load_policy(tmp_path)


@pytest.mark.parametrize("setting", ["clone_rate", "learning_rate"])
def test_weights_that_are_no_numbers_stop_the_run_before_they_are_used(
    setting: str, tmp_path: Path
) -> None:
    """No episode is played with them and nothing is saved, even in an epoch with a check."""
    with pytest.raises(
        Diverged, match=r"is not a finite number in epoch \d.*(last\.ckpt|no checkpoint yet)"
    ):
        fit(module_of(replace(TRAINING, **{setting: 1e30}), check_every=1), tmp_path, save_every=1)  # type: ignore[arg-type]
    if (tmp_path / "last.ckpt").exists():
        planner, _ = load_policy(tmp_path)
        assert all(bool(value.isfinite().all()) for value in planner.agent.parameters())


def test_a_full_disk_leaves_the_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of the file system is raised; afterwards the run can be resumed."""
    import worldplan.planners.modem.training as training

    real, calls = training.save_episode, []

    def full(episode: Episode, file: Path) -> None:
        calls.append(file)
        if len(calls) > 10:
            raise OSError(28, "No space left on device", str(file))
        real(episode, file)

    monkeypatch.setattr(training, "save_episode", full)
    with pytest.raises(OSError, match="No space left"):
        fit(module_of(check_every=9), tmp_path, save_every=1)
    monkeypatch.setattr(training, "save_episode", real)
    fit(module_of(check_every=9), tmp_path, save_every=1)
    assert pd.read_csv(tmp_path / "metrics.csv")["step"].iloc[-1] == TRAINING.steps


@pytest.mark.parametrize(("journal", "named"), [(False, "Journal"), (True, "default_root_dir")])
def test_resuming_without_the_episodes_reports_where_they_are(
    whole: Path, tmp_path: Path, journal: bool, named: str
) -> None:
    callbacks: list[L.Callback] = [Journal(tmp_path)] if journal else []
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=callbacks,
        max_epochs=-1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=journal,
        default_root_dir=tmp_path,
    )
    with pytest.raises(ConfigError, match=named):
        trainer.fit(module_of(), ckpt_path=whole, weights_only=True)
