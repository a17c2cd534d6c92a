"""The independent jobs of an action-model evaluation: one per fold and number of trajectories.

Each job writes its result files atomically.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.numeric.model_scores import (
    Agreement,
    Example,
    effect_agreement,
    mean_precision,
    mean_recall,
    precondition_agreement,
    random_walk,
    reproduced,
    transition_examples,
)
from worldplan.planners.numeric.planning import PLANNERS, solve
from worldplan.planners.numeric.task.result import STATUSES
from worldplan.runs import write_result
from worldplan.world_models.action_model.learner import ActionModelLearner, LearningReport
from worldplan.world_models.numeric.domain import Ground, NumericModel, NumericProblem
from worldplan.world_models.numeric.execution import is_valid
from worldplan.world_models.numeric.precision import Precision, Rounding, rounded_trajectory
from worldplan.world_models.numeric.sources.observed_problem import observed_problem
from worldplan.world_models.numeric.sources.plain_names import PlainNames
from worldplan.world_models.numeric.trajectories import Trajectory, read_trajectory
from worldplan.world_models.pddl.plans import validate_with_unified_planning
from worldplan.world_models.pddl.reading import read_model, read_problem
from worldplan.world_models.pddl.writing import write_problem

KINDS = ("", "actions", "problems")  # of result files
COUNTS = (1, 5, 10, 20, 40, 80)  # default numbers of trajectories to learn from


@dataclass(frozen=True)
class CrossValidation:
    """All settings that the results of an evaluation depend on.

    Args:
        files: the trajectories; a problem file beside one is used, see `observed_problem`.
        domain: the true domain.
        counts: numbers of trajectories to learn from.
        folds: parts of the data; each is held out once.
        problems: held-out problems per fold, to plan for and to start random walks from; 0 for all.
        walk_steps: steps of each random walk.
        seed: of folds and walks.
        planner: as in `solve`.
        time_limit: seconds per problem.
        memory_limit: MB per problem.
        decimals: that the numbers of the trajectories are rounded to; None: they are not rounded.

    Raises:
        ConfigError: a setting is out of range or does not fit the others.
    """

    files: tuple[Path, ...]
    domain: Path
    counts: tuple[int, ...]
    folds: int
    problems: int
    walk_steps: int
    seed: int
    planner: str
    time_limit: float
    memory_limit: int
    decimals: int | None = None

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ConfigError: a setting is out of range or does not fit the others.
        """
        if self.decimals is not None:
            Precision.decimals(self.decimals)
        PLANNERS.get(self.planner)  # raises for a wrong name or address, before any job starts
        for name, least in (
            ("folds", 2),
            ("problems", 0),
            ("walk_steps", 0),
            ("time_limit", 0.001),
            ("memory_limit", 1),
            ("seed", 0),
        ):
            if not getattr(self, name) >= least:
                raise ConfigError(
                    f"--{name.replace('_', '-')} {getattr(self, name)}: give at least {least}"
                )
        if len(self.files) < self.folds:
            raise ConfigError(
                f"--folds {self.folds}: there are {len(self.files)} trajectories only"
            )
        most = self.most(len(self.files), self.folds)
        if not self.counts or min(self.counts) < 1 or max(self.counts) > most:
            raise ConfigError(
                f"--counts {','.join(map(str, self.counts)) or 'none'}: each fold leaves {most} "
                "trajectories to learn from"
            )

    @staticmethod
    def most(files: int, folds: int) -> int:
        """Number of trajectories that every fold leaves to learn from."""
        return files - -(-files // folds)

    def to_dict(self) -> dict[str, Any]:
        """The settings as a plain mapping, for the run folder."""
        return asdict(self)

    def split(self, fold: int) -> tuple[list[Path], list[Path]]:
        """(training files, held-out files) of a fold, both in random order."""
        rng = np.random.default_rng(self.seed)
        parts = np.array_split(rng.permutation(len(self.files)), self.folds)
        rest = np.concatenate([part for i, part in enumerate(parts) if i != fold])
        order = np.random.default_rng([self.seed, fold]).permutation(rest)
        return [self.files[i] for i in order], [self.files[i] for i in parts[fold]]


@dataclass(frozen=True)
class Job:
    """One fold and one number of trajectories.

    Args:
        folder: the run folder.
        study: the settings.
        fold: the fold.
        count: number of trajectories to learn from.
    """

    folder: Path
    study: CrossValidation
    fold: int
    count: int

    def file(self, kind: str = "") -> Path:
        """A result file; the one without a kind is written last."""
        return (
            self.folder / "jobs" / f"fold{self.fold}-{self.count}{f'-{kind}' if kind else ''}.csv"
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """Its result files, the one without a kind last."""
        return tuple(self.file(kind) for kind in reversed(KINDS))

    @property
    def done(self) -> bool:
        """Whether all result files exist."""
        return all(self.file(kind).exists() for kind in KINDS)


def jobs_of(folder: Path, study: CrossValidation) -> list[Job]:
    """All jobs of a run, grouped by fold."""
    return [
        Job(folder, study, fold, count) for fold in range(study.folds) for count in study.counts
    ]


@dataclass(frozen=True)
class HeldOut:
    """The test data of a fold.

    Args:
        examples: states with ground actions.
        problems: (trajectory file, problem, the expert's plan) of each held-out problem.
    """

    examples: list[Example]
    problems: list[tuple[Path, NumericProblem, tuple[Ground, ...]]]


@lru_cache(maxsize=1)
def true_model(domain: Path) -> NumericModel:
    """The true domain, cached per process.

    Raises:
        DatasetError: the file is missing, malformed, or beyond exact linear planning.
    """
    return read_model(domain)


@lru_cache(maxsize=2000)
def trajectory_of(
    file: Path, domain: Path, decimals: int | None = None
) -> tuple[Trajectory, Rounding]:
    """A trajectory, and what rounding its numbers to `decimals` changed; cached per process.

    Raises:
        DatasetError: the file is missing or malformed.
    """
    trajectory = read_trajectory(file, true_model(domain).vocabulary)
    precision = Precision() if decimals is None else Precision.decimals(decimals)
    return rounded_trajectory(trajectory, precision)


@lru_cache(maxsize=1)
def held_out(study: CrossValidation, fold: int) -> HeldOut:
    """The test data of a fold: observed transitions, random walks in the true model, and problems.

    Args:
        study: the settings.
        fold: the fold.

    Raises:
        DatasetError: a file is missing or malformed.
    """
    true = true_model(study.domain)
    _, files = study.split(fold)
    trajectories = [trajectory_of(file, study.domain, study.decimals)[0] for file in files]
    examples = transition_examples(trajectories)
    problems = []
    for number, (file, trajectory) in enumerate(zip(files, trajectories, strict=True)):
        if study.problems and number >= study.problems:
            break
        problem_file = problem_file_of(file)
        problem = (
            observed_problem(trajectory)
            if problem_file is None
            else read_problem(problem_file, true.vocabulary)
        )
        if problem is None:  # nothing changed: no goal, and nothing to walk to
            continue
        expert = tuple(
            call
            for call, succeeded in zip(trajectory.calls, trajectory.succeeded, strict=True)
            if succeeded is not False
        )
        problems.append((file, problem, expert))
        examples += random_walk(
            true, problem, study.walk_steps, np.random.default_rng([study.seed, fold, number])
        )
    return HeldOut(examples, problems)


def run_job(job: Job) -> Job:
    """Learn, score and plan; does nothing if the result exists already. Returns the job.

    Args:
        job: the job.

    Raises:
        DatasetError: a file is missing or malformed.
    """
    if job.done:
        return job
    study, true, test = job.study, true_model(job.study.domain), held_out(job.study, job.fold)
    read = [
        trajectory_of(file, study.domain, study.decimals)
        for file in study.split(job.fold)[0][: job.count]
    ]
    training = [trajectory for trajectory, _ in read]
    rounding = sum((rounding for _, rounding in read), Rounding())
    started = time.process_time()
    learned = ActionModelLearner(true.vocabulary).observe_all(training).model()
    seconds = time.process_time() - started
    report: LearningReport = learned.detail["report"]
    used = sum(report.observations.values())
    preconditions = precondition_agreement(true, learned, test.examples)
    effects = effect_agreement(true, learned, test.examples)
    actions = [
        _action_row(name, report, preconditions[name], effects[name]) for name in true.actions
    ]
    plans = pd.DataFrame([_plan_row(study, true, learned, *entry) for entry in test.problems])
    if plans.empty:
        raise DatasetError(
            f"fold {job.fold}: no held-out trajectory has a problem file or changes anything, so "
            "there is nothing to plan for: add problem files, or take fewer --folds"
        )
    pooled = sum(effects.values(), Agreement())
    plan_count = int(plans["found"].sum())
    row = {
        "fold": job.fold,
        "count": job.count,
        "transitions": used,
        "skipped": sum(report.skipped.values()),
        "actions": len(learned.actions),
        "excluded": sum(report.observations[name] > 0 for name in report.excluded),
        "rounded_numbers": rounding.changed,
        "largest_rounding": float(rounding.largest),
        "learn_seconds": seconds,
        "self_consistency": reproduced(learned, training) / used if used else float("nan"),
        "precondition_precision": mean_precision(preconditions),
        "precondition_recall": mean_recall(preconditions),
        "effect_precision": pooled.precision,
        "effect_recall": pooled.recall,
        "problems": len(plans),
        "solved": plans["solved"].mean(),
        "false_plans": int(plans["false_plan"].sum()),
        "false_plan_ratio": plans["false_plan"].sum() / plan_count if plan_count else float("nan"),
        "disagreements": int((~plans["validators_agree"]).sum()),
        "expert_accepted": plans["expert_accepted"].mean(),
        "length_ratio": plans.loc[plans["solved"], "length_ratio"].mean(),
        "plan_seconds": plans["seconds"].mean(),
        **{status: int((plans["status"] == status).sum()) for status in STATUSES},
    }
    write_result(job.file("actions"), pd.DataFrame(actions).assign(fold=job.fold, count=job.count))
    write_result(job.file("problems"), plans.assign(fold=job.fold, count=job.count))
    write_result(job.file(), pd.DataFrame([row]))
    return job


def _action_row(
    name: str, report: LearningReport, precondition: Agreement, effect: Agreement
) -> dict[str, Any]:
    """The scores of one action."""
    scores = {
        f"{kind}_{field}": getattr(agreement, field)
        for kind, agreement in (("precondition", precondition), ("effect", effect))
        for field in ("both", "learned_only", "true_only")
    }
    return {
        "action": name,
        "observations": report.observations[name],
        **scores,
        "excluded": report.excluded.get(name, ""),
    }


def _plan_row(
    study: CrossValidation,
    true: NumericModel,
    learned: NumericModel,
    file: Path,
    problem: NumericProblem,
    expert: Sequence[Ground],
) -> dict[str, Any]:
    """The result for one problem: planned in the learned model, checked in the true one by our
    simulator and by unified-planning's validator.
    """
    result = solve(
        learned,
        replace(problem, metric=None),  # what is measured is whether there is a plan
        study.planner,
        time_limit=study.time_limit,
        memory_limit_mb=study.memory_limit,
    )
    plan = result.plan
    valid = plan is not None and is_valid(true, problem, plan)
    confirmed = plan is not None and _confirmed(study.domain, true, file, problem, plan)
    length_ratio = float("nan")
    if plan is not None and expert and is_valid(true, problem, expert):
        length_ratio = len(plan) / len(expert)
    return {
        "problem": file.stem,
        "status": result.status,
        "found": plan is not None,
        "solved": valid and confirmed,
        "false_plan": plan is not None and not (valid and confirmed),
        "validators_agree": valid == confirmed,
        "length": len(plan) if plan is not None else float("nan"),
        "expert_length": len(expert),
        "length_ratio": length_ratio,
        "expert_accepted": is_valid(learned, problem, expert),
        "seconds": result.seconds,
        "expanded": result.expanded,
    }


def problem_file_of(trajectory: Path) -> Path | None:
    """The problem file beside a trajectory file; None if there is none."""
    path = trajectory.with_suffix(".pddl")
    return path if path != trajectory and path.is_file() else None


def _confirmed(
    domain: Path, true: NumericModel, file: Path, problem: NumericProblem, plan: Sequence[Ground]
) -> bool:
    """Whether unified-planning's validator takes a plan; a problem without a file is written."""
    if (problem_file := problem_file_of(file)) is not None:
        return validate_with_unified_planning(domain, problem_file, plan).valid
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "problem.pddl"
        names = PlainNames.of(problem, true.vocabulary)
        write_problem(names.problem(problem), true.vocabulary, written)
        return validate_with_unified_planning(domain, written, names.plain_plan(plan)).valid
