"""MoDem-V2, its baselines and its ablation on the four manipulation tasks, in resumable runs.

    OMP_NUM_THREADS=1 python -m benchmarks.modem.study [--parts main baselines ablation]
        [--tasks BinPick] [--seeds 3] [--jobs 2] [--out FOLDER]

Finished runs are not repeated, interrupted ones resume. Parts:

  main       MoDem-V2 on all four tasks, 3 seeds; the clone that each run begins with is the
             baseline "BC"
  baselines  MoDem-V1 (MPPI of 4 iterations around the warm-started plan, one actor-critic pair, no
             handover, no imitation, white noise) and TD-MPC without demonstrations, on pick and
             pivot, 2 seeds; and TD-MPC with demonstrations among its experience, but without
             cloning, seed 0
  ablation   centring x handover x ensemble on bin pick, seed 0; and MoDem-V2 without the imitation
             term, which was not published

After training, each planner and each clone plays 100 new episodes. Writes modem_study.csv (a row
per run), modem_curves.csv (checks during training), modem_study.md and two plots.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym

from benchmarks.modem.report import study_aims, write_report
from benchmarks.modem.runs import RESULTS, Job, curves, run_all, train_and_evaluate
from worldplan.envs.manipulation.demonstrators.episode import demonstrate
from worldplan.envs.manipulation.demonstrators.tasks import demonstrator_of
from worldplan.milp.errors import DatasetError
from worldplan.planners.modem.settings import HandoverSettings, LinearSchedule, ModemSettings
from worldplan.planners.modem.task import ModemTask
from worldplan.world_models.data.episodes import Episode
from worldplan.world_models.latent.settings import LatentSettings

MODULE = "worldplan.envs.manipulation:worldplan/"


@dataclass(frozen=True)
class Demonstrations:
    """Demonstrations of a task: their number, the std of the noise on their actions, and the
    environment steps of a training with them.
    """

    episodes: int
    noise: float
    steps: int


TASKS = {
    "PlanarPush": Demonstrations(2, 0.05, 10_000),
    "InclinePush": Demonstrations(3, 0.05, 10_000),
    "BinPick": Demonstrations(3, 0.1, 30_000),
    "UprightPivot": Demonstrations(10, 0.1, 36_000),
}
LATENT = LatentSettings(latent=64, hidden=128, encoder_hidden=128, members=3)
V2 = ModemSettings(latent=LATENT)
UNCENTRED = replace(V2.planning.search, iterations=4, proposals=0.05)


def at_once(settings: ModemSettings) -> ModemSettings:
    """Settings with which the planner acts alone from the first step after the seeding on."""
    return replace(settings, handover=HandoverSettings(begin=0, end=1))


def method_settings(name: str, steps: int) -> ModemSettings:
    """Settings of a method: "v2", "v1", "no_demos", "no_cloning", "no_imitation", or an ablation,
    named by the initials of what is on ("c"entring, "h"andover, "e"nsemble), or "none".
    """
    share = LinearSchedule(0.75, 0.25, 0, steps // 2)
    settings = replace(
        V2, steps=steps, demonstration_share=share, handover=replace(V2.handover, end=steps // 2)
    )
    if name == "v2":
        return settings
    if name == "no_imitation":
        return replace(settings, imitation=0.0)
    if name == "v1":
        return published(ablated(settings, ""))
    if name in ("no_demos", "no_cloning"):
        # the encoder learns with the model: there is no cloning to train it
        return replace(published(ablated(settings, "")), clone_updates=0, encoder_rate=1.0)
    return ablated(settings, "" if name == "none" else name)


def published(settings: ModemSettings) -> ModemSettings:
    """Settings without imitation and with white noise, as published; learning rates, slow copy,
    frozen encoder and scale are not those published, since ours are better here.
    """
    return replace(settings, imitation=0.0, planning=replace(settings.planning, correlation=0.0))


def ablated(settings: ModemSettings, on: str) -> ModemSettings:
    """Settings with only the ingredients in `on`. Without centring: MPPI around the warm-started
    plan; without ensemble: one pair and no penalty; without handover: the planner at once.
    """
    planning = settings.planning
    if "e" not in on:
        settings = replace(settings, latent=replace(settings.latent, members=1))
        planning = replace(planning, pessimism=0.0, terminal="own")
    if "c" not in on:
        planning = replace(planning, search=UNCENTRED)
    settings = replace(settings, planning=planning)
    return settings if "h" in on else at_once(settings)


def jobs_of(parts: list[str], tasks: list[str], seeds: int) -> list[Job]:
    """The trainings of the given parts, the most important first, each once."""
    jobs: list[Job] = []
    if "main" in parts:
        jobs += [Job("main", task, "v2", seed) for seed in range(seeds) for task in tasks]
    if "baselines" in parts:
        hard = [task for task in ("BinPick", "UprightPivot") if task in tasks]
        jobs += [
            Job("baselines", task, method, seed)
            for seed in range(min(seeds, 2))
            for task in hard
            for method in ("v1", "no_demos")
        ]
        jobs += [Job("baselines", task, "no_cloning", 0) for task in hard]
    if "ablation" in parts and "BinPick" in tasks:
        ons = [
            "".join(letters)
            for size in (2, 1, 0)
            for letters in itertools.combinations("che", size)
        ]
        jobs += [Job("ablation", "BinPick", on or "none", 0) for on in [*ons, "no_imitation"]]
    return jobs


def demonstrate_successes(
    environment: str, options: dict[str, Any], demonstrations: Demonstrations, seed: int
) -> list[Episode]:
    """Successful episodes of the noisy scripted demonstrator, different ones for every seed.

    Raises:
        DatasetError: too few successes in 1000 episodes.
    """
    env = gym.make(environment, **options)
    demonstrator = demonstrator_of(environment.removeprefix(MODULE).removesuffix("-v0"))
    successes: list[Episode] = []
    for trial in range(1000 * (seed + 1), 1000 * (seed + 2)):
        played = demonstrate(env, demonstrator, demonstrations.noise, trial)
        if played.success:
            successes.append(
                Episode(played.observation, played.action, played.reward, success=True)
            )
        if len(successes) == demonstrations.episodes:
            env.close()
            return successes
    raise DatasetError(
        f"{environment}: 1000 episodes of the demonstrator, with {len(successes)} successes"
    )


def task_of(job: Job, options: dict[str, Any], demonstrations: Demonstrations) -> ModemTask:
    """Environment and demonstrations of a training; of "no_demos", the environment only."""
    environment = f"{MODULE}{job.task}-v0"
    episodes: list[Episode] = []
    if job.method != "no_demos":
        episodes = demonstrate_successes(environment, options, demonstrations, job.seed)
    about = {
        "environment": environment,
        "options": options,
        "noise": demonstrations.noise,
        "episodes": len(episodes),
    }
    return ModemTask(environment, options, episodes, about)


def run(job: Job, out: Path) -> dict[str, Any]:
    """Train, evaluate, and return the row of this run."""
    demonstrations = TASKS[job.task]
    settings = method_settings(job.method, demonstrations.steps)
    return train_and_evaluate(job, lambda: task_of(job, {}, demonstrations), settings, out)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        default=["main", "baselines", "ablation"],
        choices=["main", "baselines", "ablation"],
    )
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs") / "modem_study")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    jobs = jobs_of(options.parts, options.tasks, options.seeds)
    rows = run_all(run, jobs, options.jobs, options.out)
    write_report(
        rows, curves(jobs, options.out), options.results, prefix="modem", aims=study_aims(rows)
    )


if __name__ == "__main__":
    main()
