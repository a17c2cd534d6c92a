"""`worldplan evaluate` for policies learned from data: those of one training of `worldplan fit`, or
of every method of a study.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from worldplan.commands.evaluation.environment import (
    environment_of,
    is_elsewhere,
    named_environment,
)
from worldplan.commands.evaluation.references import reference_rows
from worldplan.commands.evaluation.run_policies import run_policies
from worldplan.output.console import plain_console
from worldplan.planners.base import bootstrap, evaluate
from worldplan.planners.offline.references import References, saved_references
from worldplan.planners.offline.task_environment import given_environment
from worldplan.runs import EVALUATION, Run


def evaluate_policies(
    run: Run,
    episodes: int,
    names: list[str],
    seed: int,
    *,
    checkpoint: str = "last",
    environment: Any = None,
) -> Path:
    """Play new episodes, print a table and write evaluation.csv, whose path is returned. Beside the
    policies stand a random policy in the same episodes, the episodes of the dataset, and the return
    of score 100 where it is known.

    Args:
        run: a training, or a finished study.
        episodes: per policy, side by side.
        names: of the methods of a study; empty: all of them.
        seed: of the episodes.
        checkpoint: "last", or "best" for each seed's policy of its best check.
        environment: of the episodes, see `worldplan.planners.offline.task_environment`; None: that
            of the training.

    Raises:
        ConfigError: the study is not finished, or has no method of such a name, or the environment
            is another one than that of the training.
        CheckpointError: a policy cannot be read.
    """
    given = given_environment(environment or named_environment(run.config))
    rows: list[dict[str, Any]] = []
    references, environments, elsewhere = None, None, False
    for name, policy_seed, policy, folder in run_policies(run, names, checkpoint):
        if environments is None:
            environments = environment_of(policy, episodes, given, str(run.path))
            elsewhere = is_elsewhere(policy, given, str(run.path))
            references = None if elsewhere else saved_references(folder)
        played = evaluate(policy, environments, episodes, seed).episodes
        result, length = bootstrap(played["return"].to_numpy()), played["length"].mean()
        rows.append(
            {"policy": name, "seed": policy_seed, **result, "length": length, "episodes": episodes}
        )
    assert environments is not None
    rows += reference_rows(environments, references, episodes, seed)
    environments.close()
    table = _with_scores(pd.DataFrame(rows), references).astype({"seed": "Int64"})
    plain_console().print(_printed(table, episodes))
    if elsewhere:
        plain_console().print(
            "judged in another environment than the training's: its data and scores are left out"
        )
    elif references is None and "plane" not in policy.about:
        plain_console().print(
            "the run does not hold the returns of its dataset, since an older worldplan trained it"
        )
    file = run.write_csv(EVALUATION, table)
    plain_console().print(f"written to {file}", soft_wrap=True)
    return file


def _with_scores(table: pd.DataFrame, references: References | None) -> pd.DataFrame:
    """The table with a column "score", 0 and 100 at the reference returns, where they are known."""
    if references is None or references.score is None:
        return table
    low, high = references.score
    return table.assign(score=100 * (table["mean"] - low) / (high - low))


def _printed(table: pd.DataFrame, episodes: int) -> Table:
    """The table as it is printed: one row per policy and seed, and per reference."""
    printed = Table("policy", "seed", "mean", "95 % interval", "length", "episodes")
    printed.title = f"{episodes} new episodes per policy: return"
    if "score" in table:
        printed.add_column("score")
    for row in table.to_dict("records"):
        texts = [
            _text(row["seed"], "d"),
            _text(row["mean"], ".2f"),
            "-" if pd.isna(row["low"]) else f"{row['low']:.2f} .. {row['high']:.2f}",
            _text(row["length"], ".0f"),
            _text(row["episodes"], ".0f"),
        ]
        if "score" in row:
            texts.append(_text(row["score"], ".1f"))
        printed.add_row(row["policy"], *texts)
    return printed


def _text(value: Any, digits: str) -> str:
    return "-" if pd.isna(value) else format(value, digits)
