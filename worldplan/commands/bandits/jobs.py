"""The independent parts of a bandit run: one job per policy (or the bound) and seed.

Each job writes its result file in one move, so that a run that was killed resumes with the jobs
that are missing.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from worldplan.commands.bandits.control import WITHOUT, control_file, values_of
from worldplan.commands.bandits.scenario import Scenario
from worldplan.envs.bandits.environment import BanditVectorEnv, Floats
from worldplan.milp.errors import ConfigError
from worldplan.planners.bandits.bounds import make_bound
from worldplan.planners.bandits.control_values import found_none
from worldplan.planners.bandits.played import play_policy
from worldplan.planners.bandits.policies import (
    PolicyContext,
    job_length,
    learns,
    make_policy,
    naming_policy,
)
from worldplan.planners.bandits.units import counted_steps, default_returns
from worldplan.planners.base import Planner
from worldplan.runs import write_result
from worldplan.world_models.arms.hidden import as_seen
from worldplan.world_models.arms.programme import Built, Programme, build

BOUND = "bound"  # the job that bounds the return of every policy
ZERO = "zero"  # its column: the return of the set's default action at every step
LIMITED, SLACK = "limited", "slack"  # its columns: `worldplan.planners.bandits.bound.Bound`
STEADY = "steady_return"  # a policy's column: returns with control variates, of the same mean
MOST_UNPLAYED = 0.01  # of the discounted weight of all steps of a programme without an end
_BOUND_LENGTH = 1  # its relative length, as `NamedPolicy.job_length`


@dataclass(frozen=True)
class Job:
    """One policy (or the bound) on one seed of a run.

    Args:
        folder: of the run.
        scenario: what is run.
        base: the scenario's file; file names in it are looked up there.
        policy: name or address, or `BOUND`.
        seed: of the instance, the training and the episodes.
    """

    folder: Path
    scenario: Scenario
    base: Path
    policy: str
    seed: int

    @property
    def result(self) -> Path:
        """Table of episodes."""
        return result_file(self.folder, self.policy, self.seed)

    @property
    def steps(self) -> Path:
        """Table of the mean reward of each step."""
        return result_file(self.folder, self.policy, self.seed, "-steps")

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files and folders, the one that says that it is done last; first what it reads."""
        if self.policy == BOUND:
            return (self.result,)
        values = control_file(self.folder, self.seed)
        return values, training_folder(self), self.steps, self.result

    @property
    def done(self) -> bool:
        """Whether the job's tables exist, in the form of this version."""
        if self.policy == BOUND:
            return self.result.exists() and ZERO in self.result.read_text(encoding="utf-8")
        return self.result.exists() and self.steps.exists()


def file_stem(policy: str) -> str:
    """The policy's name in file names: an address has no colon there."""
    return policy.replace(":", ".")


def result_file(folder: Path, policy: str, seed: int, suffix: str = "") -> Path:
    """Where a job of the run in `folder` writes a table."""
    return folder / "jobs" / f"{file_stem(policy)}-{seed}{suffix}.csv"


def training_folder(job: Job) -> Path:
    """Where a learned policy of this job keeps its checkpoints."""
    return job.folder / "checkpoints" / f"{file_stem(job.policy)}-seed{job.seed}"


def jobs_of(folder: Path, scenario: Scenario, base: Path) -> list[Job]:
    """All jobs of a run, the long ones first."""
    lengths = {policy: job_length(policy) for policy in scenario.policy_list()}
    lengths[BOUND] = _BOUND_LENGTH
    policies = sorted([*scenario.policy_list(), BOUND], key=lambda policy: -lengths[policy])
    return [
        Job(folder, scenario, base, policy, seed)
        for policy in policies
        for seed in scenario.seed_list()
    ]


def with_control_values(job: Job) -> bool:
    """Whether the job reads the values of the control variates."""
    averaged = job.scenario.programme.averaged  # corrected by them for learners, too
    return job.policy != BOUND and (averaged or not learns(job.policy))


def run_job(job: Job) -> Job:
    """Run the job, unless it is done.

    Raises:
        ConfigError: the policy does not fit the instance.
        SolverFailed: no bound or no action within the time limit.
    """
    if not job.done:
        programme = job.scenario.programme
        built = as_seen(build(programme, job.base, programme.seed + job.seed), programme).built
        if job.policy == BOUND:
            _bound(job, built)
        else:
            with naming_policy(job.policy, job.seed):
                _evaluate(job, built)
    return job


def _bound(job: Job, built: Built) -> None:
    """Bound the return from the start state of every episode, and that of the default action."""
    env = BanditVectorEnv(built.instance, job.scenario.episodes)
    observation, _ = env.reset(seed=job.seed)
    started = time.process_time()
    bound = make_bound(built.instance, job.scenario.solver, job.scenario.bound)
    bounds: dict[bytes, float] = {}  # by start state: equal ones are solved once
    values = []
    for state in observation["state"]:
        key = state.tobytes()
        if key not in bounds:
            bounds[key] = bound.from_state(state)
        values.append(bounds[key])
    seconds = (time.process_time() - started) / len(values)
    write_result(
        job.result,
        pd.DataFrame(
            {
                "episode": np.arange(len(values)),
                "return": values,
                ZERO: default_returns(built.instance, observation["state"]),
                "decision_seconds": seconds,
                LIMITED: bound.limited,
                SLACK: bound.slack,
            }
        ),
    )


def _evaluate(job: Job, built: Built) -> None:
    """Play the policy's episodes."""
    planner = make_planner(job.policy, built, job.scenario, job.seed, training_folder(job))
    instance, episodes = built.instance, job.scenario.episodes
    values = None
    if with_control_values(job):
        values = values_of(job.folder, job.seed, instance, job.scenario.solver)
    played = play_policy(planner, instance, episodes, job.seed, values, learns=learns(job.policy))
    result = played.evaluation
    table = result.episodes[["return", "decision_seconds", "time_limits"]].reset_index(
        names="episode"
    )
    rewards = result.step_reward
    table["return"], table[STEADY] = played.returns, played.steady
    notes = list(getattr(planner, "notes", []))
    if learns(job.policy):
        means = played.returns / counted_steps(instance)
        notes.append(_progress(means))
    if values is not None and found_none(instance, values):
        notes.append(WITHOUT)
    table["note"] = "; ".join(notes)
    steps = pd.DataFrame({"step": np.arange(1, rewards.shape[1] + 1), "mean": rewards.mean(0)})
    write_result(job.steps, steps)
    write_result(job.result, table)  # last: its presence says that the job is done


def _progress(means: Floats) -> str:
    """What a learner earned in its first and its last episodes, in words.

    Args:
        means: (episodes,) reward per step.
    """
    part = max(1, len(means) // 5)
    return (
        f"learns from episode to episode: {means[:part].mean():.4g} in the first {part}, "
        f"{means[-part:].mean():.4g} in the last {part}"
    )


def policy_context(
    built: Built, scenario: Scenario, seed: int, folder: Path | None
) -> PolicyContext:
    """What the scenario's policies are made from; `folder` is for training (None: none)."""
    return PolicyContext(
        built.instance,
        built.models,
        scenario.solver,
        seed,
        samples=scenario.samples,
        fluid_window=scenario.fluid_window,
        sequoia=scenario.sequoia,
        folder=folder,
        checkpoint=scenario.checkpoint,
        later=built.later,
        prior=None if built.posterior is None else built.posterior.concentration,
        moves=built.moves if built.weighted is None else built.weighted,
        delta=scenario.delta,
    )


def refuse_learner(policy: str, programme: Programme, *, simulated: bool) -> None:
    """Refuse a policy that learns the dynamics where it has nothing to learn from.

    Args:
        policy: its name.
        programme: the settings.
        simulated: episodes are simulated, which it can learn from without a log.

    Raises:
        ConfigError: names the setting.
    """
    if programme.seen != "always":
        raise ConfigError(
            f"policy '{policy}' counts moves between states that are seen, and programme.seen is "
            f"'{programme.seen}': choose whittle, myopic or fluid"
        )
    if programme.log is None and not simulated:
        raise ConfigError(
            f"policy '{policy}' learns the dynamics, and this programme gives them: give "
            "programme.log in place of programme.transitions, or choose whittle"
        )


def refuse_short(programme: Programme) -> None:
    """Refuse to play too few steps of a discounted programme without an end.

    The steps after them count as those of the default action; their discounted weight is the share
    of the return that is not measured.

    Raises:
        ConfigError: names the number of steps that suffice.
    """
    discount, steps = programme.discount, programme.horizon
    if not programme.endless or programme.averaged or discount**steps <= MOST_UNPLAYED:
        return
    enough = math.ceil(math.log(MOST_UNPLAYED) / math.log(discount))
    raise ConfigError(
        f"programme.horizon is {steps}: with the discount {discount:g}, the steps after them have "
        f"{100 * discount**steps:.3g} % of the weight, and at most {100 * MOST_UNPLAYED:g} % may "
        f"go unplayed: give programme.horizon {enough} or more"
    )


def make_planner(
    policy: str, built: Built, scenario: Scenario, seed: int, folder: Path | None
) -> Planner:
    """The planner of a policy; errors as in `worldplan.planners.bandits.policies.make_policy`.

    Args:
        policy: name or address.
        built: the programme.
        scenario: settings of the policies.
        seed: of the policy's random numbers and training.
        folder: where a learned policy is trained, or resumes; None: it must not be trained.

    Raises:
        ConfigError: the policy learns the dynamics, and there is no log that it could start from,
            or states are not always seen.
    """
    if learns(policy):
        refuse_learner(policy, scenario.programme, simulated=folder is not None)
    return make_policy(policy, policy_context(built, scenario, seed, folder))
