"""The independent pieces of a bandit run: one job per (policy, seed), each leaving its result file
whole or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from worldplan.commands.bandits.scenario import Scenario
from worldplan.envs.bandits.environment import BanditInstance, BanditVectorEnv
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import Budget
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.baselines import (
    IterativeMyopicPolicy,
    MyopicPolicy,
    NullPolicy,
    RandomPolicy,
    SamplingPolicy,
)
from worldplan.planners.bandits.fluid import FluidBound, FluidPlanner
from worldplan.planners.bandits.lagrangian import LagrangianBound, LagrangianPlanner
from worldplan.planners.bandits.sequoia.planner import SequoiaPlanner, SequoiaSettings, load_network
from worldplan.planners.bandits.whittle import WhittlePolicy
from worldplan.planners.base import Planner, evaluate
from worldplan.runs import write_csv
from worldplan.world_models.arms.programme import Built, build

BOUND = "bound"
LARGE = 1000  # arms above which plain budgets are solved by prices instead of one linear program
_COST = (
    "sequoia_paper",
    "repaired_dqn",
    "sequoia",
    "iterative_dqn",
    "fluid",
    BOUND,
)  # longest jobs first


@dataclass(frozen=True)
class Job:
    """One policy (or the bound) on one seed of a run."""

    folder: Path
    scenario: Scenario
    base: Path
    policy: str
    seed: int

    @property
    def result(self) -> Path:
        return self.folder / "jobs" / f"{self.policy}-{self.seed}.csv"

    @property
    def steps(self) -> Path:
        return self.folder / "jobs" / f"{self.policy}-{self.seed}-steps.csv"


def jobs_of(folder: Path, scenario: Scenario, base: Path) -> list[Job]:
    """All jobs of a run, the long ones first."""
    policies = sorted(
        [*scenario.policy_list(), BOUND],
        key=lambda policy: _COST.index(policy) if policy in _COST else len(_COST),
    )
    return [
        Job(folder, scenario, base, policy, seed)
        for policy in policies
        for seed in scenario.seed_list()
    ]


def run_job(job: Job) -> Job:
    """Do the job unless its result is there already."""
    if not job.result.exists():
        built = build(job.scenario.programme, job.base, job.scenario.programme.seed + job.seed)
        if job.policy == BOUND:
            _bound(job, built)
        else:
            _evaluate(job, built)
    return job


def _bound(job: Job, built: Built) -> None:
    env = BanditVectorEnv(built.instance, job.scenario.episodes)
    observation, _ = env.reset(seed=job.seed)
    began = time.process_time()
    bound = make_bound(built, job.scenario.solver)
    known: dict[bytes, float] = {}
    values = []
    for state in observation["state"]:
        key = state.tobytes()
        if key not in known:
            known[key] = bound.from_state(state)
        values.append(known[key])
    seconds = (time.process_time() - began) / len(values)
    write_csv(
        job.result,
        pd.DataFrame(
            {"episode": np.arange(len(values)), "return": values, "decision_seconds": seconds}
        ),
    )


def _by_prices(instance: BanditInstance) -> bool:
    """Whether one linear program would be too large and prices serve instead."""
    return (
        isinstance(instance.actions, Budget)
        and instance.dynamics.effect is None
        and instance.dynamics.arms > LARGE
    )


def make_bound(built: Built, settings: SolverSettings) -> FluidBound | LagrangianBound:
    """The fluid bound, by one linear program or, for very many arms, by prices."""
    if _by_prices(built.instance):
        return LagrangianBound(built.instance)
    return FluidBound(built.instance, settings)


def _evaluate(job: Job, built: Built) -> None:
    planner = make_planner(job.policy, built, job.scenario, job.seed, training_folder(job))
    result = evaluate(
        planner,
        BanditVectorEnv(built.instance, job.scenario.episodes),
        job.scenario.episodes,
        job.seed,
    )
    table = result.episodes[["return", "decision_seconds", "time_limits"]].reset_index(
        names="episode"
    )
    table["note"] = "; ".join(getattr(planner, "notes", []))
    rewards = result.step_reward
    steps = pd.DataFrame({"step": np.arange(1, rewards.shape[1] + 1), "mean": rewards.mean(0)})
    write_csv(job.steps, steps)
    write_csv(job.result, table)  # last: its presence says that the job is done


def training_folder(job: Job) -> Path:
    """Where a learned policy of this job keeps its checkpoints."""
    return job.folder / "checkpoints" / f"{job.policy}-seed{job.seed}"


def make_planner(
    policy: str, built: Built, scenario: Scenario, seed: int, folder: Path | None
) -> Planner:
    """The planner that a policy name stands for; learned ones are trained into `folder` first (or
    continued there).
    """
    instance, models, solver = built.instance, built.models, scenario.solver
    dynamics = list(models) if models else None
    simple: dict[str, Callable[[], Any]] = {
        "null": lambda: NullPolicy(instance),
        "random": lambda: RandomPolicy(instance, seed=seed),
        "sampling": lambda: SamplingPolicy(
            instance, dynamics=dynamics, samples=scenario.samples, seed=seed
        ),
        "myopic": lambda: MyopicPolicy(instance, dynamics=dynamics, settings=solver),
        "iterative_myopic": lambda: IterativeMyopicPolicy(instance, dynamics=dynamics),
        "whittle": lambda: WhittlePolicy(instance, dynamics=dynamics, settings=solver),
        "fluid": lambda: _fluid(built, scenario),
    }
    if policy in simple:
        return simple[policy]()
    return _learned(policy, built, scenario, seed, folder)


def _fluid(built: Built, scenario: Scenario) -> Planner:
    dynamics = list(built.models) if built.models else None
    if _by_prices(built.instance):
        return LagrangianPlanner(built.instance, dynamics[0] if dynamics else None)
    return FluidPlanner(built.instance, scenario.fluid_window, dynamics, scenario.solver)


def _learned(
    policy: str, built: Built, scenario: Scenario, seed: int, folder: Path | None
) -> Planner:
    # Lightning takes seconds to import
    from worldplan.planners.bandits.sequoia.training import SequoiaModule, greedy_planner
    from worldplan.world_models.training.trainer import fit

    if scenario.checkpoint is not None and policy == "sequoia":
        return SequoiaPlanner.load(scenario.checkpoint, built.instance, scenario.solver)
    if folder is None:
        raise ConfigError(
            f"policy '{policy}' must be trained: run the scenario first and give its checkpoint (--checkpoint RUN), or choose fluid"
        )
    settings = {
        "sequoia": scenario.sequoia,
        "sequoia_paper": SequoiaSettings.paper(),
        "iterative_dqn": SequoiaSettings.greedy(),
        "repaired_dqn": SequoiaSettings.repaired_greedy(),
    }[policy]
    if settings.argmax == "greedy":
        path = fit(SequoiaModule(built.instance, settings, seed, scenario.solver), folder)
        return greedy_planner(built.instance, load_network(path, built.instance))
    paths = []
    for member, model in enumerate(built.models or [built.instance.dynamics]):
        instance = replace(built.instance, dynamics=model)
        where = folder / f"member{member}" if built.models else folder
        paths.append(fit(SequoiaModule(instance, settings, seed, scenario.solver), where))
    return SequoiaPlanner.load(paths, built.instance, scenario.solver)
