"""`worldplan evaluate` for a run of `worldplan bandits run`: every policy, every seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from worldplan.commands.bandits.jobs import (
    Job,
    make_planner,
    training_folder,
)
from worldplan.commands.bandits.scenario import scenario_from_dict
from worldplan.commands.evaluation.bandit_references import (
    bound_rows,
    log_rows,
    reference_rows,
)
from worldplan.commands.evaluation.finished_runs import policies_to_evaluate
from worldplan.output.console import plain_console
from worldplan.planners.bandits.control_values import control_values
from worldplan.planners.bandits.played import play_policy
from worldplan.planners.bandits.policies import learns, naming_policy
from worldplan.planners.bandits.units import counted_steps
from worldplan.planners.base import bootstrap
from worldplan.runs import CONFIG, EVALUATION, Run
from worldplan.world_models.arms.hidden import as_seen
from worldplan.world_models.arms.programme import build


def evaluate_bandits(run: Run, episodes: int, names: list[str], first_seed: int) -> Path:
    """Play new episodes, print a table and write evaluation.csv, whose path is returned.

    Args:
        run: a finished run.
        episodes: per policy and seed of the run.
        names: of the policies; empty: all of the run.
        first_seed: added to the seeds of the run.

    Raises:
        ConfigError: the run is not finished, or has no policy of such a name.
        DatasetError: the file of its bound is damaged.
    """
    config = run.config
    scenario = scenario_from_dict(config, run.path / CONFIG)
    policies = policies_to_evaluate(run, "worldplan bandits run", names, scenario.policy_list())
    base = Path(config.get("base", "."))
    bounds = bound_rows(run)
    rows: list[dict[str, Any]] = []
    references: list[dict[str, Any]] = []
    for seed in scenario.seed_list():
        built = build(scenario.programme, base, scenario.programme.seed + seed)
        built = as_seen(built, scenario.programme).built
        averaged = built.instance.averaged  # corrected for first and last states
        values = control_values(built.instance, scenario.solver) if averaged else None
        for policy in policies:
            folder = training_folder(Job(run.path, scenario, base, policy, seed))
            with naming_policy(policy, seed):
                planner = make_planner(policy, built, scenario, seed, folder)
                played = play_policy(
                    planner,
                    built.instance,
                    episodes,
                    seed + first_seed,
                    values,
                    learns=learns(policy),
                )
            result = bootstrap(played.returns / counted_steps(built.instance))
            rows.append({"policy": policy, "seed": seed, **result, "episodes": episodes})
        references += reference_rows(built, scenario, seed, first_seed, episodes, values)
    rows.sort(key=lambda row: policies.index(row["policy"]))
    references.sort(key=lambda row: str(row["policy"]))
    table = pd.DataFrame([*rows, *references, *log_rows(built), *bounds])
    table = table.astype({"seed": "Int64"}).assign(reference=table.index >= len(rows))
    plain_console().print(_printed(table, episodes))
    file = run.write_csv(EVALUATION, table)
    plain_console().print(f"written to {file}", soft_wrap=True)
    return file


def _printed(table: pd.DataFrame, episodes: int) -> Table:
    """The table as it is printed: a row per policy and seed, and per reference."""
    printed = Table("policy", "seed", "mean", "95 % interval")
    printed.title = f"{episodes} new episodes per policy and seed: mean reward per step"
    for row in table.to_dict("records"):
        known = not pd.isna(row["low"])
        printed.add_row(
            str(row["policy"]),
            "all" if pd.isna(row["seed"]) else str(row["seed"]),
            f"{row['mean']:.3f}",
            f"{row['low']:.3f} .. {row['high']:.3f}" if known else "-",
        )
    return printed
