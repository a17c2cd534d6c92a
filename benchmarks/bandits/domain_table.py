"""The table of `benchmarks.bandits.domains`: shares of the bound and SEQUOIA's lead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from worldplan.commands.bandits.jobs import BOUND, SLACK, STEADY, result_file
from worldplan.commands.bandits.scenario import Scenario
from worldplan.envs.bandits.environment import BanditInstance, BanditVectorEnv
from worldplan.files import read_table
from worldplan.world_models.arms.programme import build

RESAMPLES = 2000
Floats = NDArray[np.float64]


def rows_of(domain: str, folder: Path, scenario: Scenario, base: Path) -> pd.DataFrame:
    """One row per policy of a finished run, in the units of a step.

    Args:
        domain: its name in the table.
        folder: of the run.
        scenario: what was run.
        base: the scenario's file.
    """
    seeds, steps = scenario.seed_list(), scenario.programme.horizon
    bound = _column(folder, BOUND, seeds, "return") / steps
    zero = np.stack([_untreated(scenario, base, seed) for seed in seeds]) / steps
    returns = {
        name: _column(folder, name, seeds, STEADY) / steps for name in scenario.policy_list()
    }
    own, slack = returns.get("sequoia"), _slack(folder, seeds)
    rows = []
    for name, values in returns.items():
        possible = float((bound - zero).mean())
        tables = [read_table(result_file(folder, name, seed)) for seed in seeds]
        low, high = interval(values - zero)
        gained = float((values - zero).mean())
        lead = np.full(values.shape, np.nan) if own is None else own - values
        ahead = interval(lead) if own is not None else (np.nan, np.nan)
        rows.append(
            {
                "domain": domain,
                "policy": name.rpartition(":")[2],
                "mean": values.mean(),
                "half": (high - low) / 2,
                "bound": bound.mean(),
                "untreated": zero.mean(),
                "share": gained / possible,
                "share_low": low / possible,
                "share_high": high / possible,
                "share_most": gained / possible / (1 - slack) if slack < 1 else np.nan,
                "lead": lead.mean(),
                "lead_low": ahead[0],
                "lead_high": ahead[1],
                "decision_ms": 1000 * np.mean([t["decision_seconds"].mean() for t in tables]),
                "time_limits": sum(int(t["time_limits"].sum()) for t in tables),
                "episodes": values.size,
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values("mean", ascending=False, ignore_index=True)


def _column(folder: Path, policy: str, seeds: list[int], column: str) -> Floats:
    """(seeds, episodes) of the jobs' tables."""
    tables = [read_table(result_file(folder, policy, seed)) for seed in seeds]
    return np.stack([table[column].to_numpy(dtype=float) for table in tables])


def _slack(folder: Path, seeds: list[int]) -> float:
    """How much of its possible gain a bound whose search ended early may be too large by, at most,
    the mean over the seeds; NaN in tables of earlier versions.
    """
    tables = [read_table(result_file(folder, BOUND, seed)) for seed in seeds]
    known = [float(table[SLACK].max()) if SLACK in table else np.nan for table in tables]
    return float(np.mean(known))


def _untreated(scenario: Scenario, base: Path, seed: int) -> Floats:
    """Expected return (episodes,) from the same start states where every arm has level 0."""
    instance = build(scenario.programme, base, scenario.programme.seed + seed).instance
    observation, _ = BanditVectorEnv(instance, scenario.episodes).reset(seed=seed)
    return untreated_returns(instance, observation["state"])


def untreated_returns(instance: BanditInstance, states: NDArray[np.int64]) -> Floats:
    """Expected return (n,) without any intervention from states (n, arms)."""
    model, value = instance.dynamics, np.zeros_like(instance.dynamics.reward)
    for _ in range(instance.horizon):
        later = np.einsum("jst,jt->js", model.transition[:, 0], value)
        value = model.one_step()[:, 0] + instance.discount * later
    returns: Floats = value[np.arange(model.arms), states].sum(-1)
    return returns


def interval(values: Floats) -> tuple[float, float]:
    """95 % percentile bootstrap of the mean of (seeds, episodes), within seeds."""
    rng = np.random.default_rng(0)
    seeds, episodes = values.shape
    chosen = rng.integers(episodes, size=(seeds, RESAMPLES, episodes))
    means = np.stack([row[place].mean(-1) for row, place in zip(values, chosen, strict=True)])
    low, high = np.percentile(means.mean(0), [2.5, 97.5])
    return float(low), float(high)


def write(table: pd.DataFrame, stem: Path) -> None:
    """Write the table as CSV and as Markdown, and print it."""
    stem.parent.mkdir(exist_ok=True)
    table.to_csv(stem.with_suffix(".csv"), index=False)
    lines = [
        "| domain | policy | mean reward per step (95 %) | bound | share of the bound | "
        "with a longer search, at most | "
        "SEQUOIA minus policy | CPU ms per decision | episodes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        lead = f"{row['lead']:+.3f} ({row['lead_low']:+.3f}..{row['lead_high']:+.3f})"
        share = [f"{100 * row[key]:.1f}" for key in ("share", "share_low", "share_high")]
        most = "" if np.isnan(row["share_most"]) else f"{100 * row['share_most']:.1f} %"
        limits = f", {row['time_limits']} at the time limit" if row["time_limits"] else ""
        lines.append(
            f"| {row['domain']} | {row['policy']} | {row['mean']:.2f} ± {row['half']:.2f} "
            f"| {row['bound']:.2f} | {share[0]} % ({share[1]}..{share[2]}) | {most} "
            f"| {'' if row['policy'] == 'sequoia' else lead} "
            f"| {row['decision_ms']:.1f}{limits} | {row['episodes']} |"
        )
    text = "\n".join(lines) + "\n"
    stem.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text, flush=True)
