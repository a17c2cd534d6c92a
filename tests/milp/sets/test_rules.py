"""Rules that see today: each against all actions, and what they refuse by name."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from worldplan.milp.errors import ConfigError, InfeasibleActionSet
from worldplan.milp.sets import (
    Budget,
    Capacity,
    PyomoSet,
    Schedule,
    Today,
    WithRules,
    conflict_of,
    rules,
)

NAMES = ("Ana", "Bela", "Chen", "Dora", "Emil")
DAY = datetime.date(2026, 11, 29)
DISTRICT = dict(zip(NAMES, ("north", "north", "south", "south", "south"), strict=True))
SKILL = dict(zip(NAMES, ("nurse", "any", "any", "nurse", "any"), strict=True))
TODAY = Today(
    NAMES,
    states=(0, 1, 0, 1, 0),
    date=DAY,
    last_visits={
        "Ana": DAY - datetime.timedelta(14),
        "Bela": DAY - datetime.timedelta(13),
        "Chen": DAY,
        "Dora": DAY - datetime.timedelta(30),
    },
    hours={"Uma": 4.0, "Vito": 3.0, "Wim": 0.0},
    steps_left=5,
    attributes={"district": DISTRICT, "skill": SKILL},
)
ACTIONS = [np.array(row, np.int8) for row in itertools.product((0, 1), repeat=len(NAMES))]
Holds = Callable[[dict[str, int]], bool]


def serves(hours: dict[str, float], can: dict[str, str], travel: float = 0.0) -> Holds:
    """Whether an assignment of the visited arms to Uma and Vito exists, by enumeration."""

    def holds(a: dict[str, int]) -> bool:
        visited = [name for name in NAMES if a[name]]
        for workers in itertools.product(("Uma", "Vito"), repeat=len(visited)):
            load = {
                worker: sum(hours[name] for name, w in zip(visited, workers) if w == worker)  # noqa: B905
                + travel * len({DISTRICT[n] for n, w in zip(visited, workers) if w == worker})  # noqa: B905
                for worker in ("Uma", "Vito")
            }
            able = all(SKILL[n] in can[w] for n, w in zip(visited, workers, strict=True))
            if able and all(load[worker] <= TODAY.hours[worker] for worker in load):
                return True
        return False

    return holds


HOURS = dict(zip(NAMES, (1.0, 2.0, 2.0, 3.0, 1.0), strict=True))
CASES: dict[str, tuple[Callable[[Any], None], Holds]] = {
    "must": (
        lambda b: rules.must_visit(b, TODAY, ["Ana", "Emil"]),
        lambda a: a["Ana"] and a["Emil"],
    ),
    "must not": (lambda b: rules.must_not_visit(b, TODAY, ["Chen"]), lambda a: not a["Chen"]),
    "once in": (
        lambda b: rules.at_least_once_in(b, TODAY, 14),
        lambda a: a["Ana"] and a["Dora"] and a["Emil"],
    ),
    "once in, some": (
        lambda b: rules.at_least_once_in(b, TODAY, 13, ["Bela", "Chen"]),
        lambda a: a["Bela"],
    ),
    "per group": (
        lambda b: rules.at_least_per_group(b, TODAY, "district", 1),
        lambda a: a["Ana"] + a["Bela"] >= 1 and a["Chen"] + a["Dora"] + a["Emil"] >= 1,
    ),
    "per named group": (
        lambda b: rules.at_least_per_group(b, TODAY, "district", {"south": 2}),
        lambda a: a["Chen"] + a["Dora"] + a["Emil"] >= 2,
    ),
    "at most per group": (
        lambda b: rules.at_most_per_group(b, TODAY, "district", 1),
        lambda a: a["Ana"] + a["Bela"] <= 1 and a["Chen"] + a["Dora"] + a["Emil"] <= 1,
    ),
    "fair": (
        lambda b: rules.fair_shares(b, TODAY, "district", 0.5),
        lambda a: abs(a["Ana"] + a["Bela"] - 0.4 * sum(a.values())) <= 0.5,
    ),
    "workers": (
        lambda b: rules.assign_workers(b, TODAY, HOURS),
        serves(HOURS, {"Uma": "nurse any", "Vito": "nurse any"}),
    ),
    "skills": (
        lambda b: rules.assign_workers(
            b, TODAY, HOURS, needs="skill", skills={"Uma": ["nurse"], "Vito": ["any"]}
        ),
        serves(HOURS, {"Uma": "nurse", "Vito": "any"}),
    ),
    "travel": (
        lambda b: rules.assign_workers(b, TODAY, HOURS, area="district", travel=1.0),
        serves(HOURS, {"Uma": "nurse any", "Vito": "nurse any"}, travel=1.0),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rule_allows_what_it_says(case: str) -> None:
    build, holds = CASES[case]
    actions = PyomoSet(build, len(NAMES), NAMES)
    for action in ACTIONS:
        visited = dict(zip(NAMES, action.tolist(), strict=True))
        assert actions.contains(action) is bool(holds(visited)), visited


def test_the_worker_of_each_arm_is_in_the_table() -> None:
    build, _ = CASES["skills"]
    actions = PyomoSet(build, len(NAMES), NAMES)
    rows = actions.explain(np.array([1, 1, 0, 0, 1], np.int8))
    assert rows == [
        {"arm": 0, "worker": "Uma"},
        {"arm": 1, "worker": "Vito"},
        {"arm": 4, "worker": "Vito"},
    ]


def test_the_workers_of_rules_count_on_top_of_another_set() -> None:
    """Amara may serve nurses' clients only: the capacity set alone would put anybody there."""
    own = PyomoSet(CASES["skills"][0], 5, NAMES)
    inner = Capacity([1, 1, 1, 1, 1], [4, 3], arm_names=NAMES, worker_names=("Uma", "Vito"))
    both = WithRules(inner, own)
    rows = both.explain(np.array([1, 1, 0, 0, 1], np.int8))
    assert {row["arm"]: row["worker"] for row in rows} == {
        "Ana": "Uma", "Bela": "Vito", "Emil": "Vito",
    }  # fmt: skip
    assert all(
        limit.name.startswith(("workers", "capacity", "hours_of")) for limit in both.limits()
    )
    slots = Schedule(np.ones((5, 2), bool), np.ones((2, 2), bool), visits=1, budget=3)
    with pytest.raises(ConfigError, match="assign_workers on top of kind 'schedule'"):
        WithRules(slots, own)


def test_many_rules_of_one_kind_are_named_together() -> None:
    build = lambda block: rules.at_least_once_in(block, TODAY, 1, NAMES[:2] + NAMES[3:])  # noqa: E731
    with pytest.raises(InfeasibleActionSet) as caught:
        WithRules(Budget(5, 3), PyomoSet(build, 5, NAMES))
    text = str(caught.value)
    assert "the rules 'once_in_1_days' of Ana, Bela, Dora, Emil" in text
    assert "loosen 'once_in_1_days' of one of Ana, Bela, Dora, Emil" in text


def test_on_any_day_nobody_is_due() -> None:
    build = lambda block: rules.at_least_once_in(block, Today(NAMES), 1)  # noqa: E731
    assert PyomoSet(build, len(NAMES)).contains(np.zeros(len(NAMES)))


def test_who_is_absent_is_not_due() -> None:
    away = dataclasses.replace(TODAY, absent=frozenset({"Dora", "Emil"}))
    build = lambda block: rules.at_least_once_in(block, away, 14)  # noqa: E731
    assert PyomoSet(build, 5).default().tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("kind", ["budget", "capacity"])
def test_rules_on_top_of_a_set_of_any_kind(kind: str) -> None:
    inner = Budget(5, 3) if kind == "budget" else Capacity([1, 2, 2, 3, 1], [4, 3], budget=3)
    build, holds = CASES["per group"]
    both = WithRules(inner, PyomoSet(build, 5, NAMES))
    feasible = [
        action.tolist()
        for action in ACTIONS
        if inner.contains(action) and holds(dict(zip(NAMES, action.tolist(), strict=True)))
    ]
    assert [action.tolist() for action in ACTIONS if both.contains(action)] == feasible
    counts = [sum(action) for action in feasible]
    assert both.least <= min(counts) and both.most >= max(counts)
    generator = np.random.default_rng(0)
    for action in (both.default(), both.sample(generator), both.fill([4, 2, 0])):
        assert action.tolist() in feasible
    arms = [row["arm"] for row in both.explain(np.array([1, 0, 1, 0, 0], np.int8))]
    assert arms == [0, 2]
    names = [limit.name for limit in both.limits()]
    assert "visits a day" in names and "at_least_per_district[north]" in names
    for limit in both.limits():
        assert sum(map(limit.raised(1).contains, ACTIONS)) >= len(feasible)


def test_rules_in_conflict_with_the_set_are_named() -> None:
    must = PyomoSet(lambda b: rules.must_visit(b, TODAY, NAMES[:3]), 5, NAMES)
    with pytest.raises(InfeasibleActionSet) as caught:
        WithRules(Budget(5, 2), must)
    text = str(caught.value)
    for name in NAMES[:3]:
        assert name in text
    assert "the rules 'must_visit' of Ana, Bela, Chen" in text
    assert "at most 2 visits a day" in text and "allow 3 visits a day" in text
    none = PyomoSet(lambda b: rules.must_not_visit(b, TODAY, ["Ana"]), 5, NAMES)
    conflict = conflict_of(none, np.array([1, 0, 0, 0, 0], np.int8), names=NAMES)
    assert conflict is not None
    assert conflict.rules == ("the rule 'must_not_visit[Ana]'", "'Ana' forced in")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda b: rules.must_visit(b, TODAY, ["Anna"]), "'Anna' is unknown: did you mean Ana"),
        (lambda b: rules.must_visit(b, TODAY, "Ana"), "no list of names"),
        (lambda b: rules.must_not_visit(b, TODAY, [3]), "arm 3 is unknown"),
        (lambda b: rules.at_least_once_in(b, TODAY, 0), "days is 0"),
        (lambda b: rules.at_least_once_in(b, TODAY, 3, ["Bella"]), "did you mean Bela"),
        (lambda b: rules.at_least_per_group(b, TODAY, "distrikt", 1), "did you mean district"),
        (lambda b: rules.at_least_per_group(b, TODAY, "district", {"nord": 1}), "mean north"),
        (lambda b: rules.at_least_per_group(b, TODAY, "district", -1), "is -1"),
        (lambda b: rules.fair_shares(b, TODAY, "district", -0.5), "within is -0.5"),
        (lambda b: rules.assign_workers(b, Today(NAMES)), "give constraint.workers"),
        (lambda b: rules.assign_workers(b, TODAY, {"Ana": 1.0}), "hours of arm 'Bela' is missing"),
        (
            lambda b: rules.assign_workers(b, TODAY, needs="skill", skills={"Umma": ["any"]}),
            "worker 'Umma' is unknown: did you mean Uma",
        ),
        (
            lambda b: rules.assign_workers(b, TODAY, needs="skill", skills={"Uma": ["nurs"]}),
            "did you mean nurse",
        ),
        (lambda b: rules.assign_workers(b, TODAY, skills={}), "skills without needs"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(
    build: Callable[[Any], None], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        PyomoSet(build, len(NAMES))
    assert words in str(caught.value) and "\n" not in str(caught.value)
