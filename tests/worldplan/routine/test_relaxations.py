"""What is offered to be relaxed: the smallest sets of changes, found again by trying everything."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from worldplan.milp.errors import InfeasibleActionSet, Remedy
from worldplan.milp.sets.fixed import fixed
from worldplan.milp.sets.kinds import make_set
from worldplan.milp.sets.source import Constraint, SetContext
from worldplan.routine.relax import Relaxation, offers_for
from worldplan.routine.request import Request

NAMES, WORKERS = ("Ann", "Bob", "Cid", "Dee"), ("Xenia", "Yann")
TODAY, FREE = dt.date(2026, 11, 30), 99

RULES = """
from worldplan.milp.sets import rules

def build(block, today):
    rules.must_visit(block, today, {must})
    rules.at_least_once_in(block, today, days=5)
    rules.at_least_per_group(block, today, "district", {least})
    rules.at_most_per_group(block, today, "district", {most})
    within = {within}
    if within is not None:
        rules.fair_shares(block, today, "district", within)
    block.own = __import__("pyomo.environ").environ.Constraint(
        expr=block.a[0] + block.a[1] <= {own})
    {workers}
"""
ASSIGN = """rules.assign_workers(block, today, {hours}, needs="needs", skills={skills},
        area="district", travel={travel})"""


@dataclasses.dataclass
class Case:
    """A day with its rules as numbers."""

    kind: str
    visits: int
    forced: tuple[str, ...]
    district: dict[str, str]
    needs: dict[str, str]
    skills: dict[str, list[str]]
    hours: dict[str, float]  # of workers
    length: dict[str, float]  # of visits
    travel: float
    rules: dict[str, Any]
    due: set[str]

    def keys(self) -> list[tuple[str, str]]:
        """Everything that may be changed for the day."""
        groups = sorted(set(self.district.values()))
        names = [f"must_visit[{n}]" for n in self.rules["must"]]
        names += [f"once_in_5_days[{n}]" for n in NAMES if n in self.due]
        names += [f"at_least_per_district[{g}]" for g in groups if self.rules["least"]]
        names += [f"at_most_per_district[{g}]" for g in groups] + ["own"]
        if self.rules["within"] is not None:
            names += [
                f"fair_share_of_district_at_{w}[{g}]" for g in groups for w in ("most", "least")
            ]
        keys = [("forced", name) for name in self.forced]
        keys += [] if self.kind == "custom" else [("visits", "")]
        if self.kind != "budget":
            keys += [("hours", worker) for worker in WORKERS]
        if self.kind == "custom":
            able = {w: self.skills[w] for w in WORKERS}
            names += [
                f"skill[{n}]" for n in NAMES if any(self.needs[n] not in able[w] for w in WORKERS)
            ]
        return keys + [("rule", name) for name in names]

    def meets(self, changes: set[tuple[str, str]], amounts: dict[tuple[str, str], float]) -> bool:
        """Whether some list does all that the changes leave, tried one by one."""
        return any(
            self._action(set(itertools.compress(NAMES, row)), changes, amounts)
            for row in itertools.product((0, 1), repeat=len(NAMES))
        )

    def _action(self, on: set[str], changes: set[Any], amounts: dict[Any, float]) -> bool:
        def holds(rule: str, ok: bool) -> bool:
            return ok or ("rule", rule) in changes

        limit = amounts.get(("visits", ""), FREE) if ("visits", "") in changes else self.visits
        if self.kind != "custom" and len(on) > limit:
            return False
        if any(n not in on and ("forced", n) not in changes for n in self.forced):
            return False
        if not all(holds(f"must_visit[{n}]", n in on) for n in self.rules["must"]):
            return False
        if not all(holds(f"once_in_5_days[{n}]", n in on) for n in self.due):
            return False
        if not holds("own", len(on & {"Ann", "Bob"}) <= self.rules["own"]):
            return False
        for group in set(self.district.values()):
            members = [n for n in NAMES if self.district[n] == group]
            count, least, most = len(on & set(members)), self.rules["least"], self.rules["most"]
            if not holds(f"at_least_per_district[{group}]", count >= least):
                return False
            if not holds(f"at_most_per_district[{group}]", count <= most):
                return False
            within = FREE if self.rules["within"] is None else self.rules["within"] + 1e-9
            extra = count - len(members) / len(NAMES) * len(on)
            if not holds(f"fair_share_of_district_at_most[{group}]", extra <= within):
                return False
            if not holds(f"fair_share_of_district_at_least[{group}]", extra >= -within):
                return False
        return self.kind == "budget" or self._staffed(sorted(on), changes, amounts)

    def _staffed(self, on: list[str], changes: set[Any], amounts: dict[Any, float]) -> bool:
        """Whether the workers can serve the clients `on`."""
        for workers in itertools.product(WORKERS, repeat=len(on)):
            pairs = list(zip(workers, on, strict=True))
            custom = self.kind == "custom"
            able = all(
                self.needs[n] in self.skills[w] or ("rule", f"skill[{n}]") in changes
                for w, n in pairs
            )
            used = {w: sum(self.length[n] for v, n in pairs if v == w) for w in WORKERS}
            if custom:
                goes = {(w, self.district[n]) for w, n in pairs}
                used = {w: used[w] + self.travel * sum(w == v for v, _ in goes) for w in used}
            room = {
                w: amounts.get(("hours", w), FREE) if ("hours", w) in changes else self.hours[w]
                for w in WORKERS
            }
            if (able or not custom) and all(used[w] <= room[w] + 1e-9 for w in WORKERS):
                return True
        return False


def draw(kind: str, generator: np.random.Generator) -> Case:
    """A day that may or may not be possible."""
    some = [n for n in NAMES if generator.random() < 0.4]
    needs = {n: str(generator.choice(["any", "nurse"])) for n in NAMES}
    known = sorted(set(needs.values()))
    return Case(
        kind,
        int(generator.integers(1, 4)),
        tuple(n for n in NAMES if generator.random() < 0.25),
        {n: str(generator.choice(["north", "south"])) for n in NAMES},
        needs,
        {"Xenia": known, "Yann": known[:1]},
        {w: float(generator.integers(1, 5)) for w in WORKERS},
        {n: float(generator.choice([0.5, 0.7, 1.0, 1.3])) for n in NAMES},
        float(generator.choice([0.0, 0.4])),
        {
            "must": some,
            "least": int(generator.integers(0, 3)),
            "most": int(generator.integers(0, 4)),
            "within": None if generator.random() < 0.5 else float(generator.choice([0.4, 1.0])),
            "own": int(generator.integers(0, 3)),
        },
        {n for n in NAMES if generator.random() < 0.3},
    )


def context_of(case: Case, folder: Path) -> SetContext:
    """Write the files of a case."""
    workers = ""
    if case.kind == "custom":
        workers = ASSIGN.format(hours=case.length, skills=case.skills, travel=case.travel)
    (folder / "rules.py").write_text(RULES.format(**case.rules, workers=workers))
    rows = [f"{n},{case.district[n]},{case.needs[n]}\n" for n in NAMES]
    (folder / "attributes.csv").write_text("arm,district,needs\n" + "".join(rows))
    (folder / "costs.csv").write_text(
        "arm,cost\n" + "".join(f"{n},{case.length[n]}\n" for n in NAMES)
    )
    (folder / "workers.csv").write_text(
        "worker,capacity\n" + "".join(f"{w},{case.hours[w]}\n" for w in WORKERS)
    )
    constraint = Constraint(
        case.kind,
        budget=0 if case.kind == "custom" else case.visits,
        costs="costs.csv" if case.kind == "capacity" else None,
        workers=None if case.kind == "budget" else "workers.csv",
        rules="rules.py:build",
        attributes="attributes.csv",
    )
    last = {n: TODAY - dt.timedelta(9 if n in case.due else 1) for n in NAMES}
    find = lambda name: str(folder / name)  # noqa: E731
    return SetContext(NAMES, constraint, find, TODAY, (0,) * 4, 3, frozenset(), last)


def offered(case: Case, folder: Path) -> list[Relaxation] | None:
    """What is offered for a case; None if it is possible."""
    context, request = context_of(case, folder), Request(TODAY, force_in=case.forced)

    def fails(asked: Request) -> InfeasibleActionSet | None:
        budget = context.settings.budget if asked.visits is None else asked.visits
        settings = dataclasses.replace(context.settings, budget=budget)
        day = dataclasses.replace(
            context, settings=settings, waived=frozenset(asked.waived), hours=asked.hours
        )
        forced = np.isin(np.array(NAMES), np.array([*asked.force_in, ""]))
        try:
            fixed(make_set(day), ~forced & False, ~forced & False, forced, NAMES)
        except InfeasibleActionSet as error:
            return error
        return None

    error = fails(request)
    if error is None:
        return None
    return offers_for(request, error, fails, kind=case.kind, clients=len(NAMES), seconds=60)


def changes_of(offer: Relaxation) -> dict[tuple[str, str], float]:
    """The changes of an offer, with their amounts."""
    changes = {("rule", name): 0.0 for name in offer.waived}
    changes |= {("forced", name): 0.0 for name in offer.not_forced}
    changes |= {} if offer.visits is None else {("visits", ""): float(offer.visits)}
    return changes | {("hours", worker): amount for worker, amount in offer.hours.items()}


def by_hand(case: Case) -> Iterator[set[tuple[str, str]]]:
    """All smallest sets of changes."""
    keys = case.keys()
    for size in range(len(keys) + 1):
        sets = [
            set(some) for some in itertools.combinations(keys, size) if case.meets(set(some), {})
        ]
        if sets:
            yield from sets
            return


def check(case: Case, folder: Path) -> int:
    """Compare what is offered with what trying everything finds; returns the size of the sets."""
    offers = offered(case, folder)
    if offers is None:
        assert case.meets(set(), {})
        return 0
    every = [changes_of(offer) for offer in offers]
    smallest = list(by_hand(case))
    size = len(smallest[0])
    if size > 3:
        assert len(every) == 1 and case.meets(set(every[0]), every[0])
        return size
    assert all(set(changes) in smallest for changes in every), (case, every, smallest)
    assert len(every) == min(len(smallest), 12)
    for changes in every:
        assert case.meets(set(changes), changes), (case, changes)
        for key, amount in changes.items():
            if key[0] in ("visits", "hours"):
                less = amount - (1 if key[0] == "visits" else 0.011)
                assert not case.meets(set(changes), changes | {key: less}), (case, changes)
    return size


@pytest.mark.parametrize("least", [0.01, 7.25, 671_088.7, 900_000.0, 1e6])
def test_hours_are_found_up_to_the_most_that_a_day_takes(least: float) -> None:
    def fails(asked: Request) -> InfeasibleActionSet | None:
        if asked.hours.get("Xenia", 0.0) >= least:
            return None
        return InfeasibleActionSet("too few", ("hours",), (Remedy("hours", "Xenia"),))

    request = Request(TODAY)
    error = fails(request)
    assert error is not None
    (offer,) = offers_for(request, error, fails, kind="custom", clients=1)
    assert offer.hours == {"Xenia": least}


def test_amounts_are_looked_for_within_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    workers, clock = [f"w{i}" for i in range(9)], [0.0]
    remedies = tuple(Remedy("hours", worker) for worker in workers)

    def fails(asked: Request) -> InfeasibleActionSet | None:
        enough = max(asked.hours.values(), default=0.0) >= 7.25
        clock[0] += 0.1 if enough else 8.0
        return None if enough else InfeasibleActionSet("too few", ("hours",), remedies)

    monkeypatch.setattr("worldplan.routine.relax.time", SimpleNamespace(monotonic=lambda: clock[0]))
    request = Request(TODAY)
    error = fails(request)
    assert error is not None
    offers = offers_for(request, error, fails, kind="custom", clients=1)
    assert offers and clock[0] < 45
    for offer in offers:
        assert fails(offer.applied(request)) is None
        assert max(offer.hours.values()) < 100


@pytest.mark.parametrize("kind", ["budget", "capacity", "custom"])
def test_smallest_sets(kind: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(len(kind))
    sizes = [check(draw(kind, generator), tmp_path) for _ in range(6)]
    assert max(sizes) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["budget", "capacity", "custom"])
def test_smallest_sets_of_many_days(kind: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(7 + len(kind))
    for _ in range(60):
        check(draw(kind, generator), tmp_path)
