"""Figures of a bandit run by policy: mean reward, interval, share of the bound, decision time.

The share of the bound is measured from the default action of the feasible set at every step (no
visits, where that is allowed), whose return is computed exactly:
(mean - default) / (bound - default). So 0 % is what needs no decisions, also where rewards are
negative, and a constant in the rewards changes no share. The bound holds in expectation: a mean
over episodes may exceed it by chance.

Means are taken over returns with control variates (`worldplan.envs.bandits.control`): they have the
same expectation as the returns of the episodes, and less variance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from worldplan.commands.bandits.jobs import BOUND, LIMITED, SLACK, STEADY, ZERO, result_file
from worldplan.commands.bandits.scenario import Scenario
from worldplan.files import read_table
from worldplan.planners.bandits.units import annuity, endless_annuity


def summarise(folder: Path, scenario: Scenario) -> pd.DataFrame:
    """One row per policy: mean reward per step, share of the bound, intervals, decision time.

    `bound_share` has the interval `share_low` to `share_high`; they are NaN where no policy can
    earn more than the default action. The interval is a bootstrap over episodes within each seed:
    it covers the random numbers of the episodes, given the instances and trainings.

    Raises:
        DatasetError: a job's table is missing or damaged.
    """
    seeds, steps = scenario.seed_list(), weighted_steps(scenario)
    results = {
        policy: [_read(folder, policy, seed) for seed in seeds]
        for policy in [*scenario.policy_list(), BOUND]
    }
    bound, zero = (
        float(np.mean([table[name].mean() for table in results[BOUND]])) / steps
        for name in ("return", ZERO)
    )
    rows = []
    for policy in scenario.policy_list():
        reward = np.stack([_returns(table) for table in results[policy]]) / steps
        low, high = _interval(reward)
        shares = [_share(value, bound, zero) for value in (reward.mean(), low, high)]
        seconds = np.mean([table["decision_seconds"].mean() for table in results[policy]])
        rows.append(
            {
                "policy": policy,
                "mean": reward.mean(),
                "low": low,
                "high": high,
                "bound_share": shares[0],
                "share_low": shares[1],
                "share_high": shares[2],
                "decision_ms": 1000 * seconds,
                "episodes": reward.size,
                "note": "; ".join(filter(None, [_note(results[policy]), _luck(shares[0])])),
            }
        )
    return pd.DataFrame(rows).sort_values("mean", ascending=False, ignore_index=True)


def _returns(table: pd.DataFrame) -> NDArray[np.float64]:
    """Returns with control variates; tables of earlier versions have returns only."""
    column = STEADY if STEADY in table else "return"
    returns: NDArray[np.float64] = table[column].to_numpy(dtype=float)
    return returns


def _share(value: float, bound: float, zero: float) -> float:
    """The share of the possible gain over the default action; NaN where none is possible."""
    possible = bound - zero
    rounding = 1e-9 * max(abs(bound), abs(zero))
    return (value - zero) / possible if possible > rounding else math.nan


def _luck(share: float) -> str:
    """What is to be said where a mean is above the bound."""
    return "above the bound by chance" if share > 1.0 + 1e-9 else ""


def _note(tables: list[pd.DataFrame]) -> str:
    """The policy's own notes, and how many decisions hit the time limit."""
    notes = {str(note) for table in tables for note in table["note"].dropna().unique() if str(note)}
    limits = int(sum(table["time_limits"].sum() for table in tables))
    cut = [f"{limits} decisions hit the time limit"] if limits else []
    return "; ".join([*sorted(notes), *cut])


def weighted_steps(scenario: Scenario) -> float:
    """What returns are divided by: the steps of an episode, each with its discount; 1 where they
    are averages already.
    """
    programme = scenario.programme
    if programme.endless:
        return endless_annuity(programme.discount)
    return annuity(programme.horizon, programme.discount)


def endless_sentences(programme: Mapping[str, Any]) -> list[str]:
    """What the figures of a programme without an end are, in words; none with an end.

    Args:
        programme: its settings, in plain types.
    """
    if not programme.get("endless"):
        return []
    steps, discount = programme["horizon"], programme["discount"]
    if discount == 1:
        return [
            f"no end: averages per step of {steps} steps, corrected for the first and last states "
            "by the relaxation's values"
        ]
    return [
        f"no end: {steps} steps were played; later ones, {100 * discount**steps:.2g} % of the "
        "discounted weight, count as the default action's"
    ]


def mean_bound(folder: Path, scenario: Scenario) -> float:
    """Mean upper bound per step over the evaluated start states.

    Raises:
        DatasetError: a job's table is missing or damaged.
    """
    tables = [_read(folder, BOUND, seed) for seed in scenario.seed_list()]
    return float(np.mean([table["return"].mean() for table in tables])) / weighted_steps(scenario)


def early_bound(folder: Path) -> str:
    """What is to be said where the search for the bound's prices ended early; else empty.

    Raises:
        DatasetError: a job's table is damaged.
    """
    tables = [
        read_table(path)
        for path in sorted(result_file(folder, BOUND, 0).parent.glob("bound-*.csv"))
    ]
    limited = [table for table in tables if LIMITED in table and table[LIMITED].any()]
    return early_end(max(float(table[SLACK].max()) for table in limited)) if limited else ""


def early_end(slack: float) -> str:
    """That a search for a bound ended early, in words; `slack` as in `Bound`."""
    most = f" by at most {100 * slack:.2g} % of the possible gain" if 0 < slack < 1 else ""
    return (
        "the search for the bound's prices ended early: the bound holds, and a longer search "
        f"(solver.time_limit) may lower it{most}"
    )


def _read(folder: Path, policy: str, seed: int) -> pd.DataFrame:
    """The result of one job."""
    return read_table(result_file(folder, policy, seed))


def _interval(reward: NDArray[np.float64], resamples: int = 2000) -> tuple[float, float]:
    """95 % percentile bootstrap of the mean of `reward` (seeds, episodes), within seeds."""
    rng = np.random.default_rng(0)
    seeds, episodes = reward.shape
    means = np.zeros(resamples)
    for row in reward:
        means += row[rng.integers(episodes, size=(resamples, episodes))].mean(1) / seeds
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
