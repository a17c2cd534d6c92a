"""`worldplan evaluate` for policies learned from data: those of one training of `worldplan fit`, or
of every method of a study.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from gymnasium.vector import VectorEnv
from rich.table import Table

from worldplan.commands.evaluation.finished_runs import policies_to_evaluate
from worldplan.commands.studies.jobs import finished_rows, jobs_of
from worldplan.commands.studies.study import study_from_dict
from worldplan.envs.edge_of_reach import Plane, PlaneVectorEnv
from worldplan.envs.environments import make_environments
from worldplan.output.console import plain_console
from worldplan.planners.base import bootstrap, evaluate
from worldplan.planners.offline.policy import ReachAwarePolicy
from worldplan.runs import CONFIG, Run


def evaluate_policies(run: Run, episodes: int, names: list[str], seed: int) -> Path:
    """Play new episodes, print a table and write evaluation.csv, whose path is returned.

    Args:
        run: a training, or a finished study.
        episodes: per policy, side by side.
        names: of the methods of a study; empty: all of them.
        seed: of the episodes.

    Raises:
        ConfigError: the study is not finished, or has no method of such a name.
        CheckpointError: a policy cannot be read.
    """
    rows = []
    table = Table("policy", "seed", "mean", "95 % interval", "length")
    table.title = f"{episodes} new episodes per policy: return"
    for name, policy_seed, policy in _policies(run, names):
        environment = environment_of(policy, episodes)
        played = evaluate(policy, environment, episodes, seed).episodes
        environment.close()
        result, length = bootstrap(played["return"].to_numpy()), played["length"].mean()
        table.add_row(
            name,
            str(policy_seed),
            f"{result['mean']:.2f}",
            f"{result['low']:.2f} .. {result['high']:.2f}",
            f"{length:.0f}",
        )
        rows.append(
            {"policy": name, "seed": policy_seed, **result, "length": length, "episodes": episodes}
        )
    plain_console().print(table)
    file = run.write_csv("evaluation.csv", pd.DataFrame(rows))
    plain_console().print(f"written to {file}", soft_wrap=True)
    return file


def environment_of(policy: ReachAwarePolicy, count: int) -> VectorEnv:
    """`count` copies of the environment that a policy was trained for.

    Raises:
        ConfigError: the environment cannot be made.
    """
    if "plane" in policy.about:
        return PlaneVectorEnv(count, Plane(**policy.about["plane"]))
    return make_environments(policy.about["environment"], count)


def _policies(run: Run, names: list[str]) -> Iterator[tuple[str, int, ReachAwarePolicy]]:
    """(method, seed, policy) of a study, or ("policy", index, policy) of a training.

    Raises:
        ConfigError: the study is not finished, or has no method of such a name.
    """
    config = run.config
    if "methods" not in config:
        for index, policy in enumerate(ReachAwarePolicy.load_all(run.path)):
            yield "policy", index, policy
        return
    study = study_from_dict(config, run.path / CONFIG)
    finished = finished_rows(run.path, study)
    chosen = policies_to_evaluate(run, "worldplan run", names, [row.name for row in finished])
    for job in jobs_of(run.path, study, [row for row in finished if row.name in chosen]):
        for index, policy in enumerate(ReachAwarePolicy.load_all(job.training)):
            yield job.row.name, job.first + index, policy
