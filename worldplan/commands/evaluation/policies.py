"""`worldplan evaluate` for policies learned from data: a training of `worldplan fit`, or every
method of a study.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from gymnasium.vector import VectorEnv
from rich.console import Console
from rich.table import Table

from worldplan.commands.studies.jobs import jobs_of
from worldplan.commands.studies.study import study_from_dict
from worldplan.envs.edge_of_reach import Plane, PlaneVectorEnv
from worldplan.envs.environments import make_environments
from worldplan.milp.errors import ConfigError
from worldplan.planners.base import bootstrap, evaluate
from worldplan.planners.offline.policy import ReachAwarePolicy
from worldplan.runs import CONFIG, SUMMARY, Run

_NEW_LUCK = 100_000  # these episodes are new ones


def evaluate_policies(run: Run, episodes: int, policies: list[str]) -> Path:
    """Play `episodes` new episodes with each policy of the run; prints a table and returns the CSV.
    Raises ConfigError.
    """
    rows = []
    shown = Table(title=f"{episodes} new episodes per policy: return")
    for column in ("policy", "seed", "mean", "95 % interval", "length"):
        shown.add_column(column)
    for name, seed, policy in _policies(run, policies):
        environment = environment_of(policy, episodes)
        table = evaluate(policy, environment, episodes, _NEW_LUCK).episodes
        environment.close()
        figures = bootstrap(table["return"].to_numpy())
        shown.add_row(
            name,
            str(seed),
            f"{figures['mean']:.2f}",
            f"{figures['low']:.2f} .. {figures['high']:.2f}",
            f"{table['length'].mean():.0f}",
        )
        rows.append(
            {
                "policy": name,
                "seed": seed,
                **figures,
                "length": table["length"].mean(),
                "episodes": episodes,
            }
        )
    Console().print(shown)
    return run.write_csv("evaluation.csv", pd.DataFrame(rows))


def environment_of(policy: ReachAwarePolicy, episodes: int) -> VectorEnv:
    """Copies of the environment that a policy was trained for."""
    if "plane" in policy.about:
        return PlaneVectorEnv(episodes, Plane(**policy.about["plane"]))
    return make_environments(policy.about["environment"], episodes)


def _policies(run: Run, wanted: list[str]) -> Iterator[tuple[str, int, ReachAwarePolicy]]:
    config = run.config
    if "methods" not in config:
        for index, policy in enumerate(ReachAwarePolicy.load_all(run.path)):
            yield "policy", index, policy
        return
    study = study_from_dict(config, run.path / CONFIG)
    if not (run.path / SUMMARY).is_file():
        raise ConfigError(
            f"{run.path}: this run is not finished: repeat its 'worldplan run' command, which continues it"
        )
    unknown = [method for method in wanted if method not in study.methods]
    if unknown:
        raise ConfigError(
            f"--policies: {', '.join(unknown)} is not in this run: choose from {', '.join(study.methods)}"
        )
    for job in sorted(
        jobs_of(run.path, study), key=lambda job: list(study.methods).index(job.method)
    ):
        if not wanted or job.method in wanted:
            for index, policy in enumerate(ReachAwarePolicy.load_all(job.training)):
                yield job.method, job.first + index, policy
