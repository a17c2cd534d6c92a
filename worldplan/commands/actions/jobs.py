"""The independent pieces of an action-model evaluation: one job per fold and number of
trajectories, each leaving its result whole or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from worldplan.milp.errors import ConfigError
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
from worldplan.runs import write_csv
from worldplan.world_models.action_model.learner import ActionModelLearner, LearningReport
from worldplan.world_models.numeric.domain import Ground, NumericModel, NumericProblem, is_valid
from worldplan.world_models.numeric.trajectories import Trajectory, read_trajectory
from worldplan.world_models.pddl.plans import validate_with_unified_planning
from worldplan.world_models.pddl.reading import read_model, read_problem

COUNTS = (1, 5, 10, 20, 40, 80)


@dataclass(frozen=True)
class CrossValidation:
    """Everything an evaluation depends on.

    Args:
        files: the trajectories, each with its problem file beside it.
        domain: the true domain.
        counts: numbers of trajectories to learn from.
        folds: parts; each is held out once.
        problems: held-out problems per fold to plan for and to walk from; 0: all.
        walk_steps: of the random walk from each of them.
        seed: of folds and walks.
        planner, time_limit, memory_limit: of planning; seconds and MB for each problem.
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

    def __post_init__(self) -> None:
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
                f"--counts {','.join(map(str, self.counts)) or 'none'}: each fold leaves {most} trajectories to learn from"
            )

    @staticmethod
    def most(files: int, folds: int) -> int:
        """Trajectories that every fold leaves to learn from."""
        return files - -(-files // folds)

    def to_dict(self) -> dict[str, Any]:
        """Plain mapping, for the run folder."""
        return asdict(self)

    def split(self, fold: int) -> tuple[list[Path], list[Path]]:
        """(to learn from, held out) in one fold, each in a random order of its own."""
        rng = np.random.default_rng(self.seed)
        parts = np.array_split(rng.permutation(len(self.files)), self.folds)
        rest = np.concatenate([part for i, part in enumerate(parts) if i != fold])
        order = np.random.default_rng([self.seed, fold]).permutation(rest)
        return [self.files[i] for i in order], [self.files[i] for i in parts[fold]]


@dataclass(frozen=True)
class Job:
    """One fold and one number of trajectories."""

    folder: Path
    study: CrossValidation
    fold: int
    count: int

    def file(self, kind: str = "") -> Path:
        """A result file; the one without a kind is written last and says that the job is done."""
        return (
            self.folder / "jobs" / f"fold{self.fold}-{self.count}{f'-{kind}' if kind else ''}.csv"
        )


def jobs_of(folder: Path, study: CrossValidation) -> list[Job]:
    """All jobs of a run, those of a fold together."""
    return [
        Job(folder, study, fold, count) for fold in range(study.folds) for count in study.counts
    ]


@dataclass(frozen=True)
class HeldOut:
    """What a fold is tested on."""

    examples: list[Example]
    problems: list[
        tuple[Path, NumericProblem, tuple[Ground, ...]]
    ]  # file, problem, the expert's plan


@lru_cache(maxsize=1)
def true_model(domain: Path) -> NumericModel:
    """The true domain, read once per process."""
    return read_model(domain)


@lru_cache(maxsize=2000)
def trajectory_of(file: Path, domain: Path) -> Trajectory:
    """A trajectory, read once per process."""
    return read_trajectory(file, true_model(domain).vocabulary)


@lru_cache(maxsize=1)
def held_out(study: CrossValidation, fold: int) -> HeldOut:
    """The fold's examples (transitions that were seen, and walks in the true model) and problems."""
    true = true_model(study.domain)
    _, files = study.split(fold)
    trajectories = [trajectory_of(file, study.domain) for file in files]
    examples = transition_examples(trajectories)
    problems = []
    for number, (file, trajectory) in enumerate(zip(files, trajectories, strict=True)):
        if study.problems and number >= study.problems:
            break
        problem_file = file.with_suffix(".pddl")
        problem = read_problem(problem_file, true.vocabulary)
        expert = tuple(
            call
            for call, done in zip(trajectory.calls, trajectory.succeeded, strict=True)
            if done is not False
        )
        problems.append((problem_file, problem, expert))
        examples += random_walk(
            true, problem, study.walk_steps, np.random.default_rng([study.seed, fold, number])
        )
    return HeldOut(examples, problems)


def run_job(job: Job) -> Job:
    """Learn, measure, plan; do nothing if the result is there already."""
    if job.file().exists():
        return job
    study, true, test = job.study, true_model(job.study.domain), held_out(job.study, job.fold)
    training = [trajectory_of(file, study.domain) for file in study.split(job.fold)[0][: job.count]]
    began = time.process_time()
    learned = ActionModelLearner(true.vocabulary).observe_all(training).model()
    seconds = time.process_time() - began
    report: LearningReport = learned.detail["report"]
    used = sum(report.observations.values())
    preconditions = precondition_agreement(true, learned, test.examples)
    effects = effect_agreement(true, learned, test.examples)
    actions = [
        _action_row(name, report, preconditions[name], effects[name]) for name in true.actions
    ]
    plans = pd.DataFrame([_plan_row(study, true, learned, *entry) for entry in test.problems])
    pooled = sum(effects.values(), Agreement())
    row = {
        "fold": job.fold,
        "count": job.count,
        "transitions": used,
        "skipped": sum(report.skipped.values()),
        "actions": len(learned.actions),
        "excluded": sum(report.observations[name] > 0 for name in report.excluded),
        "learn_seconds": seconds,
        "self_consistency": reproduced(learned, training) / used if used else float("nan"),
        "precondition_precision": mean_precision(preconditions),
        "precondition_recall": mean_recall(preconditions),
        "effect_precision": pooled.precision,
        "effect_recall": pooled.recall,
        "problems": len(plans),
        "solved": plans["solved"].mean(),
        "false_plans": int(plans["false_plan"].sum()),
        "false_plan_ratio": plans["false_plan"].sum() / found
        if (found := int(plans["found"].sum()))
        else float("nan"),
        "disagreements": int((~plans["validators_agree"]).sum()),
        "expert_accepted": plans["expert_accepted"].mean(),
        "length_ratio": plans.loc[plans["solved"], "length_ratio"].mean(),
        "plan_seconds": plans["seconds"].mean(),
        **{status: int((plans["status"] == status).sum()) for status in STATUSES},
    }
    write_csv(job.file("actions"), pd.DataFrame(actions).assign(fold=job.fold, count=job.count))
    write_csv(job.file("problems"), plans.assign(fold=job.fold, count=job.count))
    write_csv(job.file(), pd.DataFrame([row]))
    return job


def _action_row(
    name: str, report: LearningReport, precondition: Agreement, effect: Agreement
) -> dict[str, Any]:
    figures = {
        f"{kind}_{field}": getattr(one, field)
        for kind, one in (("precondition", precondition), ("effect", effect))
        for field in FIELDS
    }
    return {
        "action": name,
        "observations": report.observations[name],
        **figures,
        "excluded": report.excluded.get(name, ""),
    }


FIELDS = ("both", "learned_only", "true_only")


def _plan_row(
    study: CrossValidation,
    true: NumericModel,
    learned: NumericModel,
    file: Path,
    problem: NumericProblem,
    expert: Sequence[Ground],
) -> dict[str, Any]:
    """One problem: planned for in the learned model; judged in the true one by our simulator and by
    unified-planning's validator.
    """
    result = solve(
        learned,
        problem,
        study.planner,
        time_limit=study.time_limit,
        memory_limit_mb=study.memory_limit,
    )
    found = result.plan is not None
    valid = result.plan is not None and is_valid(true, problem, result.plan)
    confirmed = (
        result.plan is not None
        and validate_with_unified_planning(study.domain, file, result.plan).valid
    )
    return {
        "problem": file.stem,
        "status": result.status,
        "found": found,
        "solved": valid and confirmed,
        "false_plan": found and not (valid and confirmed),
        "validators_agree": valid == confirmed,
        "length": len(result.plan) if result.plan is not None else float("nan"),
        "expert_length": len(expert),
        "length_ratio": len(result.plan) / len(expert)
        if result.plan is not None and expert and is_valid(true, problem, expert)
        else float("nan"),
        "expert_accepted": is_valid(learned, problem, expert),
        "seconds": result.seconds,
        "expanded": result.expanded,
    }
