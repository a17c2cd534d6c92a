"""What `worldplan bandits decide` says about its list: reasons as columns, tables and JSON."""

from __future__ import annotations

import csv
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.errors import ConfigError, SolverFailed
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.reasons.explainer import Explainer
from worldplan.planners.bandits.reasons.results import ClientReason, Reasons
from worldplan.planners.base import Decision, Planner
from worldplan.world_models.arms.dynamics import ArmPosterior

SCHEMA = "worldplan.decision/1"
COLUMNS: dict[str, Callable[[ClientReason], float | None]] = {
    "benefit": lambda why: why.benefit,
    "benefit_low": lambda why: why.benefit_low,
    "benefit_high": lambda why: why.benefit_high,
    "cost_of_leaving_out": lambda why: why.cost,
    "expected_state_if_visited": lambda why: why.expected_state_with,
    "expected_state_if_not": lambda why: why.expected_state_without,
}


def names_in(text: str, option: str) -> list[str]:
    """The names in "ana,bela"; a name with a comma stands in double quotes.

    Raises:
        ConfigError: a name is empty, or holds what cannot be printed; names the option.
    """
    if not text.strip():
        return []
    if not text.replace("\xa0", " ").isprintable():
        raise ConfigError(f"{option} {text!r} holds a line break or the like: write {option} a,b")
    names = [name.strip() for name in next(csv.reader([text], skipinitialspace=True))]
    if not all(names):
        raise ConfigError(f"{option} '{text}' holds an empty name: write {option} ana,bela")
    return names


def reasons_of(
    planner: Planner,
    instance: BanditInstance,
    observation: Mapping[str, Any],
    decision: Decision | None,
    *,
    solver: SolverSettings,
    unit: str,
    force: list[str],
    forbid: list[str],
    seconds: float,
    posterior: ArmPosterior | None = None,
) -> tuple[Decision, Reasons | None, str]:
    """The decision that is shown, its reasons or None, and why there are none.

    It is another one than the planner's where arms are forced, or where the exact solve of the
    reasons found a better list.

    Args:
        planner: that decided.
        instance: the programme, with today's feasible set.
        observation: what was decided for.
        decision: of the planner; None where arms are forced, which the planner cannot do.
        solver: settings of the scenario.
        unit: of the reward.
        force: names of arms that must be on the list.
        forbid: names of arms that must not.
        seconds: time for all reasons; 0 for none.
        posterior: of a log, for intervals of benefits; None: no intervals.

    Raises:
        ConfigError: a name is unknown, or the policy can force nobody.
        InfeasibleActionSet: no list does what is forced and forbidden.
        SolverFailed: arms are forced, and no list was found in time.
    """
    if decision is not None and not seconds:
        return decision, None, ""
    began = time.perf_counter()
    try:
        explainer = Explainer(
            planner,
            instance,
            observation,
            settings=solver,
            unit=unit,
            time_limit=None if decision is None else seconds,
        )
        if decision is not None:
            left = max(seconds - (time.perf_counter() - began), 0.01)
            reasons = explainer.reasons(decision=decision, time_limit=left)
            if posterior is not None:
                reasons = explainer.with_intervals(reasons, posterior)
            same = np.array_equal(decision.action, reasons.action)
            return decision if same else _better(decision, reasons), reasons, ""
    except (ConfigError, SolverFailed) as error:
        if decision is None:
            raise
        return decision, None, f"no reasons: {error}"
    if seconds:  # the list itself has the solver's whole time
        limit = max(seconds, solver.time_limit)
        reasons = explainer.reasons(force, forbid, time_limit=limit)
        if posterior is not None:
            reasons = explainer.with_intervals(reasons, posterior)
        return _decision(reasons), reasons, ""
    forced = explainer.decide(force, forbid)
    if forced.action is None:
        raise SolverFailed("no list was found in the time limit: raise solver.time_limit")
    return forced, None, ""


def _decision(reasons: Reasons) -> Decision:
    proven = 0.0 if reasons.status == "optimal" else None
    return Decision(
        reasons.action,
        reasons.value,
        reasons.bound,
        reasons.status,
        reasons.seconds,
        gap=proven,
    )


def _better(decision: Decision, reasons: Reasons) -> Decision:
    """The better list of the reasons; what was proven of the planner's list holds for it, too."""
    better = _decision(reasons)
    if better.status != "time_limit":
        return better
    bounds = [bound for bound in (better.bound, decision.bound) if bound is not None]
    bound = min(bounds, default=None)
    if bound is not None and better.value is not None:
        bound = max(bound, better.value)  # nothing but rounding is below the value
    if decision.status == "time_limit":
        return dataclasses.replace(better, bound=bound)
    return dataclasses.replace(better, status=decision.status, gap=decision.gap, bound=bound)


def with_reasons(table: pd.DataFrame, reasons: Reasons) -> pd.DataFrame:
    """The table of the decision with columns on the right: benefit, cost of leaving out, states.

    Rows that are no arm, such as a variable of the user's rules, have empty cells there.
    """
    key = "intervention" if "intervention" in table else "arm"
    whys = {why.name: why for why in reasons.chosen}
    found = [whys.get(str(name)) for name in table[key]] if key in table else []
    for name, value in COLUMNS.items():
        cells = [None if why is None else value(why) for why in found]
        if name not in table and any(cell is not None for cell in cells):
            table[name] = cells
    return table


def with_interval(table: pd.DataFrame) -> pd.DataFrame:
    """The table for the console: "3.62 (2.1 to 4.9)" as benefit where there are intervals."""
    if "benefit_low" not in table:
        return table
    ends = table[["benefit", "benefit_low", "benefit_high"]].itertuples(index=False)
    cells = ["" if pd.isna(b) else f"{b:.4g} ({low:.3g} to {high:.3g})" for b, low, high in ends]
    return table.assign(benefit=cells)


def as_json(
    table: pd.DataFrame,
    decision: Decision,
    reasons: Reasons | None,
    facts: Mapping[str, Any],
    note: str,
) -> dict[str, Any]:
    """The decision in plain types: what the table holds, value, bound, and the reasons.

    Args:
        table: of things to do.
        decision: what was decided.
        reasons: why, or None.
        facts: policy, unit, date, steps left.
        note: why there are no reasons.
    """
    rows = [
        {name: None if pd.isna(cell) else cell for name, cell in row.items()}
        for row in table.astype(object).to_dict("records")
    ]
    return {
        "schema": SCHEMA,
        **facts,
        "list": rows,
        "value": decision.value,
        "bound": decision.bound,
        "status": decision.status,
        "seconds": decision.seconds,
        "reasons": None if reasons is None else reasons.to_dict(),
        "note": note,
    }


def print_reasons(console: Console, reasons: Reasons) -> None:
    """The next best arms, the prices of the limits, and the value in words."""
    if reasons.not_chosen:
        console.print(_next_best(reasons.not_chosen))
    if reasons.limits:
        console.print(_limits(reasons))
    console.print(reasons.sentence())
    for sentence in reasons.left_out:
        console.print(f"left out: {sentence}")


def _next_best(whys: tuple[ClientReason, ...]) -> Table:
    table = Table(title="not on the list: what forcing each one in costs")
    name = "arm" if whys[0].next_with else "intervention"
    for column in (name, "state", "benefit", "cost", "leaves the list"):
        table.add_column(column)
    for why in whys:
        cost = _number(why.cost)
        if why.asked:
            cost = "forbidden"
        elif why.possible is False:
            cost = f"not possible: {why.why_not}"
        elif why.cost is not None and not why.exact:
            cost = f"about {cost}"
        state = "" if why.state is None else str(why.state)
        table.add_row(why.name, state, _number(why.benefit), cost, ", ".join(why.leaves))
    return table


def _limits(reasons: Reasons) -> Table:
    table = Table(title="limits: what one more of each is worth today")
    for column in ("limit", "now", "one more", "worth", "binds", "comes on the list"):
        table.add_column(column)
    for limit in reasons.limits:
        worth = _number(limit.price)
        if limit.price is not None and not limit.exact:
            worth = f"about {worth}"
        table.add_row(
            limit.name,
            _number(limit.amount),
            limit.step,
            worth,
            {True: "yes", False: "no", None: ""}[limit.binds],
            ", ".join(limit.enters),
        )
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
