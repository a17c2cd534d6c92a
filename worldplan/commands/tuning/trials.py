"""A trial: settings drawn from the search space, a training with them, and its score. Runs in a
process of its own, on this machine or another, which shares the storage with all others.
"""

from __future__ import annotations

import math
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import optuna
import torch
from optuna.trial import Trial, TrialState

from worldplan.commands.studies.jobs import Job, make_training
from worldplan.commands.tuning.scores import returns, score_of
from worldplan.commands.tuning.space import Choice, Parameter
from worldplan.commands.tuning.storage import open_study, sampler_of, storage_errors
from worldplan.commands.tuning.tuning import Tuning, value_of
from worldplan.milp.errors import ConfigError, Diverged
from worldplan.planners.offline.model_free.training import ModelFreeModule
from worldplan.planners.offline.saved_policies import load_policies
from worldplan.planners.offline.training import ReachAwareModule
from worldplan.world_models.training.trainer import fit

OWNER, TOKEN, NOTE, SCORES = "owner", "token", "note", "scores"
RETURNS, STOPPED = "returns", "stopped"
WORST = float("-inf")  # the score of a trial that diverged
_OPEN_STATES = (TrialState.RUNNING, TrialState.WAITING)


@dataclass(frozen=True)
class TrialJob:
    """One trial.

    Args:
        folder: of the run.
        tuning: the tuning.
        storage: absolute path or URL.
        made_with: see `open_study`.
        resumed: number of an unfinished trial; None draws a new one.
        owner: the run that the trial belongs to, also on a machine with another folder.
        token: of its own for each new trial, whose job is repeated where its machine is lost.
    """

    folder: Path
    tuning: Tuning
    storage: str
    made_with: dict[str, str]
    resumed: int | None
    owner: str
    token: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The folder of an unfinished trial; that of a new one has no name yet."""
        return () if self.resumed is None else (trial_folder(self.folder, self.resumed),)

    def open(self) -> optuna.Study:
        """The study that all trials belong to."""
        return open_study(self.storage, self.tuning, self.made_with)


def trial_folder(folder: Path, number: int) -> Path:
    """Where a trial of the run in `folder` is trained."""
    return folder / "trials" / f"{number:04d}"


def owner_of(folder: Path) -> str:
    """The run that a trial belongs to: one process at a time works in its folder."""
    return f"{socket.gethostname()}:{folder}"


def jobs_of(
    folder: Path, tuning: Tuning, storage: str, made_with: dict[str, str], private: bool
) -> list[TrialJob]:
    """The trials that are missing: first those that were interrupted, then new ones.

    Args:
        folder: of the run.
        tuning: the tuning.
        storage: absolute path or URL.
        made_with: see `open_study`.
        private: whether no other run uses the storage, so that every unfinished trial is ours.
    """
    owner = owner_of(folder)
    job = TrialJob(folder, tuning, storage, made_with, None, owner)
    with storage_errors(storage):
        trials = job.open().get_trials(deepcopy=False)
    counted = [trial for trial in trials if trial.state != TrialState.FAIL]
    interrupted = [
        trial.number
        for trial in counted
        if trial.state in _OPEN_STATES and (private or trial.user_attrs.get(OWNER) == owner)
    ]
    missing = max(tuning.trials - len(counted), 0)
    return [
        *(replace(job, resumed=number) for number in interrupted),
        *(replace(job, token=secrets.token_hex(8)) for _ in range(missing)),
    ]


def run_trial(job: TrialJob) -> TrialJob:
    """Run one trial, or resume it, and tell its score to the storage."""
    torch.set_num_threads(1)
    with storage_errors(job.storage):
        study = job.open()
        trial = _asked(study, job) if job.resumed is None else _resumed(study, job.resumed)
        if trial is None:
            return job
        study.sampler = sampler_of(job.tuning, trial.number)
        changes = {
            parameter.name: value_of(parameter, suggested(trial, parameter))
            for parameter in job.tuning.space
        }
        score, state = _scored(job, trial, changes)
        # the storage holds the checks of a pruned trial: the last one is its value
        study.tell(trial.number, None if state == TrialState.PRUNED else score, state)
    return job


def _asked(study: optuna.Study, job: TrialJob) -> Trial | None:
    """A new trial, or the one that this job began on a machine that was lost; None where other
    processes have begun the last ones meanwhile.
    """
    for other in study.get_trials(deepcopy=False, states=_OPEN_STATES):
        if job.token and other.user_attrs.get(TOKEN) == job.token:
            return _resumed(study, other.number)
    trial = study.ask()
    trial.set_user_attr(OWNER, job.owner)
    trial.set_user_attr(TOKEN, job.token)
    before = [
        other
        for other in study.get_trials(deepcopy=False)
        if other.state != TrialState.FAIL and other.number < trial.number
    ]
    if len(before) < job.tuning.trials:
        return trial
    study.tell(trial.number, state=TrialState.FAIL)
    return None


def _resumed(study: optuna.Study, number: int) -> Trial:
    """An unfinished trial, whose settings the storage holds."""
    frozen = next(trial for trial in study.get_trials(deepcopy=False) if trial.number == number)
    return Trial(study, frozen._trial_id)


def suggested(trial: Trial, parameter: Parameter) -> Any:
    """The value of a parameter in a trial, as the storage holds it: the label of a choice."""
    if isinstance(parameter, Choice):
        return trial.suggest_categorical(parameter.name, parameter.labels())
    low, high = parameter.low, parameter.high
    if parameter.whole:
        step = 1 if parameter.step is None else int(parameter.step)
        return trial.suggest_int(parameter.name, int(low), int(high), step=step, log=parameter.log)
    return trial.suggest_float(parameter.name, low, high, step=parameter.step, log=parameter.log)


def _scored(job: TrialJob, trial: Trial, changes: dict[str, Any]) -> tuple[float, TrialState]:
    """The score of a trial, and how it ended. A training that diverges, and settings that do not
    fit each other, have the worst score.
    """
    tuning = job.tuning
    try:
        study = tuning.trial_study(changes)
        row = study.rows()[0]
        training = make_training(Job(job.folder, study, row, first=tuning.seed, count=tuning.seeds))
    except ConfigError as error:
        trial.set_user_attr(NOTE, f"worst score, these settings do not fit each other: {error}")
        return WORST, TrialState.COMPLETE
    score = score_of(tuning, training.task)
    reports = _Reports(tuning, trial, score)
    try:
        file = fit(
            training,
            trial_folder(job.folder, trial.number),
            save_every=tuning.save_every,
            accelerator=tuning.accelerator,
            callbacks=[] if tuning.pruner == "none" else [reports],
        )
    except Diverged as error:
        trial.set_user_attr(NOTE, f"worst score, diverged: {error}")
        return WORST, TrialState.COMPLETE
    policies = load_policies(file)
    stopped = trial.user_attrs.get(STOPPED)
    if stopped is not None:
        trial.set_user_attr(NOTE, f"ended early after {stopped[0]} epochs")
        return float(stopped[1]), TrialState.PRUNED
    scores = score(policies)
    trial.set_user_attr(SCORES, scores)
    if tuning.score != "environment":  # to compare with: nothing is chosen by it
        trial.set_user_attr(RETURNS, returns(training.task, policies, tuning.episodes))
    mean = sum(scores) / len(scores)
    if not math.isfinite(mean):
        trial.set_user_attr(NOTE, f"worst score, the score of a policy is {mean}")
        return WORST, TrialState.COMPLETE
    return mean, TrialState.COMPLETE


class _Reports(L.Callback):
    """Reports the score of every check to the storage, and ends the training where the pruner says
    so.
    """

    def __init__(self, tuning: Tuning, trial: Trial, score: Callable[..., list[float]]) -> None:
        self._tuning, self._trial, self._score = tuning, trial, score

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report a check."""
        assert isinstance(pl_module, ReachAwareModule | ModelFreeModule)
        epoch = trainer.current_epoch + 1
        if epoch >= (trainer.max_epochs or 0):  # the final score follows
            return
        if self._tuning.score == "environment":
            value = float(trainer.callback_metrics["check/mean_return"])
        else:
            scores = self._score([pl_module.policy(index) for index in range(pl_module.seeds)])
            value = sum(scores) / len(scores)
        self._trial.report(value, epoch)
        if self._trial.should_prune():
            self._trial.set_user_attr(STOPPED, [epoch, value])
            trainer.should_stop = True
