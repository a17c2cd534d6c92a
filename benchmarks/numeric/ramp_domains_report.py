"""The tables of benchmarks/numeric/ramp_domains.py."""

from __future__ import annotations

import numpy as np
import pandas as pd

from worldplan.planners.base import bootstrap

LABELS = {
    "ramp": "RAMP",
    "combined": "RAMP, informative actions as well",
    "ppo": "MaskablePPO, masks from failures",
    "ppo_pre": "MaskablePPO, true masks",
}
GOAL = 0.25  # aim for RAMP's steps to the first goal over those of MaskablePPO


def report(table: pd.DataFrame) -> str:
    """The report in Markdown."""
    budget, limit = int(table["budget"].max()), int(table["limit"].max())
    lines = [
        f"{int(table['problems'].max())} problems in sequence, {budget} steps each, episodes of at "
        f"most {limit}. Means with 95 % bootstrap intervals over seeds. A problem whose goal was "
        "not reached counts with its whole budget, so those figures are lower bounds (>=).",
        "",
        "| domain | method | seeds | solved | steps to first goal | shortest episode | planned | "
        "safe plans that broke | CPU s per problem |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    table = table.assign(first=table["first_goal"].fillna(table["budget"]))
    for (domain, method), part in table.groupby(["domain", "method"], sort=False):
        solved = int(part["first_goal"].notna().sum())
        mark = "" if solved == len(part) else ">="
        best = part["best"].mean()
        cells = (
            domain,
            LABELS[str(method)],
            part["seed"].nunique(),
            f"{solved}/{len(part)}",
            _interval(part, mark),
            "-" if np.isnan(best) else f"{best:.1f}",
            f"{100 * part['planned_steps'].sum() / part['steps'].sum():.0f} %",
            int(part["broken_plans"].sum()),
            f"{part['cpu_seconds'].mean():.1f}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, "", *_verdicts(table)]) + "\n"


def _interval(part: pd.DataFrame, mark: str) -> str:
    found = bootstrap(part.groupby("seed")["first"].mean().to_numpy(float))
    if part["seed"].nunique() == 1:
        return f"{mark}{found['mean']:.0f}"
    return f"{mark}{found['mean']:.0f} [{found['low']:.0f}, {found['high']:.0f}]"


def _verdicts(table: pd.DataFrame) -> list[str]:
    """RAMP's steps to the first goal over those of MaskablePPO, seed by seed."""
    lines = [
        "| RAMP's steps to the first goal, over those of | "
        + " | ".join(list(LABELS.values())[2:])
        + " | at most a quarter |",
        "|---|---|---|---|",
    ]
    for domain, part in table.groupby("domain", sort=False):
        means = part.groupby(["method", "seed"])["first"].mean().unstack("method")
        cells, met = [], []
        for peer in ("ppo", "ppo_pre"):
            if peer not in means or "ramp" not in means:
                cells.append("-")
                continue
            ratios = (means["ramp"] / means[peer]).dropna().to_numpy(float)
            if not len(ratios):
                cells.append("-")
                continue
            ratio = bootstrap(ratios)
            unsolved = part.loc[part["method"] == peer, "first_goal"].isna().any()
            mark = "<=" if unsolved else ""
            ends = f" [{ratio['low']:.3f}, {ratio['high']:.3f}]" if len(ratios) > 1 else ""
            cells.append(f"{mark}{ratio['mean']:.3f}{ends}")
            met.append(ratio["high"] <= GOAL)
        verdict = (
            "not measured"
            if not met
            else "met"
            if all(met)
            else "met against the first"
            if met[0]
            else "NOT met"
        )
        lines.append(f"| {domain} | {' | '.join(cells)} | {verdict} |")
    return lines
