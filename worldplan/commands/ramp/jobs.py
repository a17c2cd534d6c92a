"""What `worldplan ramp` runs: the settings, and a job for each seed, which resumes after the last
finished problem.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from worldplan.commands.actions.declarations import read_declarations
from worldplan.files import plain
from worldplan.milp import checks
from worldplan.milp.errors import DatasetError
from worldplan.name_lists import natural_key
from worldplan.near_files import near_path
from worldplan.planners.numeric.pddl_env.environment import PddlEnv
from worldplan.planners.ramp.settings import RampSettings
from worldplan.runs import refuse_deleted, write_result
from worldplan.world_models.numeric.domain import Ground


@dataclass(frozen=True)
class RampRun:
    """All settings that the results of a run depend on.

    Args:
        domain: the domain file.
        problems: the problem files, in order.
        seeds: a job each.
        steps: most steps on each problem.
        episode_steps: most steps of an episode.
        explorer: name of the explorer, for tables.
        settings: of the method.

    Raises:
        ConfigError: a number is out of range.
    """

    domain: Path
    problems: tuple[Path, ...]
    seeds: tuple[int, ...]
    steps: int
    episode_steps: int
    explorer: str
    settings: RampSettings

    def __post_init__(self) -> None:
        for name in ("steps", "episode_steps"):
            checks.whole_number(getattr(self, name), f"--{name.replace('_', '-')}", least=1)

    @staticmethod
    def from_files(
        domain: Path,
        problems: Sequence[Path],
        *,
        declare: Path | None = None,
        settings: Mapping[str, Any],
        **numbers: Any,
    ) -> RampRun:
        """The run of a command line.

        Args:
            domain: the domain file.
            problems: problem files, and folders of them.
            declare: file with declarations.
            settings: of the method, but for the declarations.
            numbers: the other arguments of the class.

        Raises:
            ConfigError: a setting or a declaration is wrong.
            DatasetError: a folder holds no problem.
        """
        declared: dict[str, Any] = {}
        if declare is not None:
            by_action, default = read_declarations(declare)
            declared = {"declarations": by_action, "default": default}
        made = RampSettings(**{**settings, **declared})
        files = tuple(problem_files(problems, domain))
        return RampRun(domain.resolve(), files, settings=made, **numbers)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for the run folder."""
        return {**asdict(self), "settings": plain(asdict(self.settings))}

    def environment(self) -> PddlEnv:
        """The environment with all problems.

        Raises:
            ConfigError: a problem has nothing to do, or the domain no ground action.
            DatasetError: a file is missing or malformed.
        """
        return _environment(self.domain, self.problems, self.episode_steps)


@lru_cache(maxsize=1)
def _environment(domain: Path, problems: tuple[Path, ...], episode_steps: int) -> PddlEnv:
    """An environment, kept for the next job in this process: reading files takes seconds."""
    return PddlEnv(domain, problems, max_steps=episode_steps, step_reward=0.0, masks=False)


def problem_files(sources: Sequence[Path], domain: Path) -> list[Path]:
    """The problems among files and folders; of a folder, its .pddl files but the domain, in the
    natural order of their names.

    Raises:
        DatasetError: a file does not exist, a folder holds no problem, or one is given twice.
    """
    files: list[Path] = []
    for source in sources:
        if source.is_file():
            files.append(source.resolve())
            continue
        if not source.is_dir():
            raise DatasetError(
                f"{source.resolve()}: no such file{near_path(source)}: give problem files, or "
                "folders of them"
            )
        inside = [file.resolve() for file in source.glob("*.pddl") if not _is_domain(file, domain)]
        if not inside:
            raise DatasetError(f"{source}: holds no problem (.pddl): give another folder, or files")
        files += sorted(inside, key=lambda file: natural_key(file.name))
    twice = {file for file in files if files.count(file) > 1}
    if twice:
        raise DatasetError(f"{min(twice)}: given twice: give every problem once")
    return files


def _is_domain(file: Path, domain: Path) -> bool:
    if file.resolve() == domain.resolve():
        return True
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"\(\s*define\s*\(\s*domain\b", text, re.IGNORECASE) is not None


@dataclass(frozen=True)
class Job:
    """One seed.

    Args:
        folder: the run folder.
        plan: the settings.
        seed: of all random numbers.
    """

    folder: Path
    plan: RampRun
    seed: int

    @property
    def saved(self) -> Path:
        """Folder of what was learned so far."""
        return self.folder / "checkpoints" / f"seed{self.seed}"

    @property
    def so_far(self) -> Path:
        """A row for each problem that is finished."""
        return self.saved / "records.csv"

    @property
    def file(self) -> Path:
        """A row for each problem; written when all are finished."""
        return self.folder / "jobs" / f"seed{self.seed}.csv"

    def finished(self) -> int:
        """How many problems are finished."""
        if self.file.is_file():
            return len(self.plan.problems)
        if not self.so_far.is_file():
            return 0
        return max(0, len(self.so_far.read_text(encoding="utf-8").splitlines()) - 1)


def run_job(job: Job) -> Job:
    """Run a seed over all problems, after those that an earlier process finished.

    Raises:
        ConfigError: the run folder was deleted.
        CheckpointError: what was saved is damaged.
        Diverged: the policy's weights are not finite.
    """
    from worldplan.planners.ramp.ramp import STATE, Ramp

    plan, env = job.plan, job.plan.environment()
    words = env.model.vocabulary
    if (job.saved / STATE).is_file():
        ramp = Ramp.load(job.saved, env, words)
    else:
        ramp = Ramp(env, words, settings=plan.settings, seed=job.seed)
    names = [problem.name for problem in env.problems]
    refuse_deleted(job.saved.parent)
    job.saved.mkdir(exist_ok=True)
    for number in range(len(ramp.records), len(names)):
        ramp.run_map(plan.steps, {"problem": number})
        refuse_deleted(job.saved)
        ramp.save(job.saved)
        write_result(job.so_far, rows_of(ramp, names, job))
    write_result(job.file, rows_of(ramp, names, job))
    return job


def rows_of(ramp: Any, names: Sequence[str], job: Job) -> pd.DataFrame:
    """A row for each finished problem."""
    rows = []
    for record in ramp.records:
        row = record.to_dict()
        number = row.pop("map")
        searches = row.pop("searches")
        row["best_plan"] = plan_text(row["best_plan"])
        rows.append(
            {
                "seed": job.seed,
                "problem": names[number],
                "file": job.plan.problems[number].name,
                "number": number + 1,
                **row,
                "solved": int(record.best is not None),
                "searches": sum(searches.values()),
            }
        )
    return pd.DataFrame(rows)


def plan_text(plan: Sequence[Ground]) -> str:
    """A plan in one line."""
    return " ".join(f"({' '.join(step)})" for step in plan)
