"""The metric of a plan in words and as plain values: its value, the proven bound, and the gap."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.pddl.formatting import number_text


def number_in_words(value: Rational) -> str:
    """An integer, a decimal where it is exact, else a quotient such as 1/3."""
    text = number_text(value)
    return str(value) if text.startswith("(") else text


def in_words(result: PlanResult) -> str:
    """The metric of a result's plan, and what is proven about it; "" without a metric."""
    sense = result.detail.get("sense")
    if sense is None or result.cost is None:
        return ""
    name, best, verb, beyond = (
        ("cost", "least", "costs", "less")
        if sense == "minimize"
        else ("value", "most", "is worth", "more")
    )
    value = f"{name} {number_in_words(result.cost)}"
    if result.status == "optimal":
        return f"{value}, and no plan of this model {verb} {beyond}"
    horizon = result.detail.get("proven_horizon", -1)
    among = f"; no plan with at most {horizon} actions {verb} {beyond}" if horizon >= 0 else ""
    if result.bound is None:
        return f"{value}, not proven to be the {best}; no bound is proven{among}"
    return (
        f"{value}, not proven to be the {best}: no plan {verb} {beyond} than "
        f"{number_in_words(result.bound)} (gap {_percent(result.cost, result.bound)}){among}"
    )


def advice(result: PlanResult, planner: str) -> str:
    """What to do for a better plan, or for a proof; "" where there is nothing to do.

    Args:
        result: of the planner.
        planner: the name that it was chosen by.
    """
    if result.cost is None or "sense" not in result.detail or result.status == "optimal":
        return ""
    if "unprovable" in result.detail:
        return str(result.detail["unprovable"])
    if planner in ("astar", "milp"):
        return "a higher --time-limit allows a better plan, or the proof"
    return "--planner astar searches for the best plan, and for the proof, until --time-limit"


def as_document(result: PlanResult) -> dict[str, Any]:
    """The metric as plain values: numbers for programs, and texts that are exact."""
    known = {"cost": result.cost, "bound": result.bound}
    document: dict[str, Any] = {"sense": result.detail.get("sense")}
    for name, value in known.items():
        document[name] = None if value is None else float(value)
        document[f"{name}_exact"] = None if value is None else number_in_words(value)
    gap = None
    if result.cost is not None and result.bound is not None:
        gap = _gap(result.cost, result.bound)
    return document | {"gap": gap, "proven": result.status == "optimal"}


def _gap(cost: Rational, bound: Rational) -> float:
    """|cost - bound| as a share of |cost|."""
    if cost == bound:
        return 0.0
    return float("inf") if cost == 0 else float(abs(Fraction(cost - bound) / cost))


def _percent(cost: Rational, bound: Rational) -> str:
    gap = _gap(cost, bound)
    return "unlimited" if gap == float("inf") else f"{100 * gap:.3g} %"
