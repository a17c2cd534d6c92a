"""The results: why each arm is chosen or not, what each limit is worth, and all of it as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from worldplan.milp.sets.base import Action

SCHEMA = "worldplan.reasons/1"


@dataclass(frozen=True)
class ClientReason:
    """Why an arm (or intervention) is on the list or not.

    Args:
        name: of the arm or intervention.
        chosen: whether it is on the list.
        asked: "forced" or "forbidden" if the question says so, else "".
        state: today's state; None for an intervention, or if it is not known today.
        benefit: value of the list with this arm minus its value without, by the planner's own
            action values, with the rest of the list unchanged and no limit applied.
        expected_state_with: mean of tomorrow's state after a visit; None for an intervention.
        expected_state_without: the same without a visit.
        next_with: (states,) distribution of tomorrow's state after a visit.
        next_without: the same without a visit.
        cost: of the opposite, with the rest of the list chosen again: of leaving a chosen arm out,
            of forcing another one in; None if that is not possible, or was not decided in time.
        cost_low: the proven range of `cost`, if the time limit came first.
        cost_high: the upper end.
        possible: whether any list does the opposite; None if it was not decided in time.
        enters: the arms that are on the opposite's list and not on this one.
        leaves: the arms that are on this list and not on the opposite's.
        why_not: if the opposite is not possible: the rules that conflict.
        benefit_low: lower end of the 90 % interval of the benefit where the dynamics are those of a
            log (`Explainer.with_intervals`), else None.
        benefit_high: the upper end.
    """

    name: str
    chosen: bool
    asked: str
    state: int | None
    benefit: float
    expected_state_with: float | None
    expected_state_without: float | None
    next_with: tuple[float, ...]
    next_without: tuple[float, ...]
    cost: float | None = None
    cost_low: float | None = None
    cost_high: float | None = None
    possible: bool | None = None
    enters: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    why_not: str = ""
    benefit_low: float | None = None
    benefit_high: float | None = None

    @property
    def exact(self) -> bool:
        """Whether the cost is proven."""
        return self.cost is not None and self.cost_low == self.cost_high == self.cost


@dataclass(frozen=True)
class LimitPrice:
    """What one unit more of a limit is worth today.

    Args:
        name: of the limit: "visits a day", "capacity of ana", a constraint of your own.
        step: what one unit is: "one more visit".
        amount: the limit's present value.
        price: gain in the value if the limit is raised by one unit today, found by solving again;
            None if it was not decided in time, or is not possible.
        price_low: the proven range of `price`, if the time limit came first.
        price_high: the upper end.
        enters: the arms that are on the list with the raised limit, and not on this one.
        leaves: the arms that are on this list only.
        possible: false if no list is feasible with the raised limit ("exactly" so many visits).
    """

    name: str
    step: str
    amount: float | None
    price: float | None
    price_low: float | None = None
    price_high: float | None = None
    enters: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    possible: bool = True

    @property
    def binds(self) -> bool | None:
        """Whether one unit more changes the value; None if it was not decided in time."""
        return None if self.price is None else self.price != 0

    @property
    def exact(self) -> bool:
        """Whether the price is proven."""
        return self.price is not None and self.price_low == self.price_high == self.price


@dataclass(frozen=True)
class Reasons:
    """Everything that defends one day's list.

    Args:
        unit: of the reward: "visits attended".
        words: what the value is: "expected over the 20 days that remain".
        action: (components,) the list, zeros and ones.
        value: of the list; None if the time limit came before it was known.
        bound: no list is worth more; None if unknown.
        status: "optimal", "within_gap" or "time_limit".
        chosen: the arms on the list, by benefit.
        not_chosen: the next best, by what forcing them in costs, then by benefit.
        limits: their prices.
        left_out: what could not be said, and why.
        seconds: wall-clock time.
        force: the arms that had to be on the list.
        forbid: the arms that had not to be.
    """

    unit: str
    words: str
    action: Action
    value: float | None
    bound: float | None
    status: str
    chosen: tuple[ClientReason, ...]
    not_chosen: tuple[ClientReason, ...]
    limits: tuple[LimitPrice, ...]
    left_out: tuple[str, ...]
    seconds: float
    force: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()

    @property
    def gap(self) -> float | None:
        """How much more a better list could be worth, in the reward's unit."""
        if self.value is None or self.bound is None:
            return None
        return max(0.0, self.bound - self.value)

    def sentence(self) -> str:
        """Value, bound and gap in words and units."""
        if self.value is None:
            return f"the value of this list in {self.unit} was not found within the time limit"
        value = f"This list is worth {self.value:.6g} {self.unit} {self.words}"
        if self.gap is None:
            return f"{value}; no bound was proven."
        asked = " that does what was asked" if self.force or self.forbid else ""
        if self.status == "optimal":
            return f"{value}; no feasible list{asked} is worth more."
        return (
            f"{value}; no feasible list{asked} is worth more than {self.bound:.6g}, "
            f"which is {self.gap:.3g} more."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON: the fields of this class and of its parts, and "schema"."""
        plain = asdict(self) | {"action": self.action.tolist(), "gap": self.gap}
        for key in ("chosen", "not_chosen", "limits"):
            rows = getattr(self, key)
            plain[key] = [asdict(row) | {"exact": row.exact} for row in rows]
        for row, limit in zip(plain["limits"], self.limits, strict=True):
            row["binds"] = limit.binds
        return {"schema": SCHEMA, "sentence": self.sentence()} | plain
