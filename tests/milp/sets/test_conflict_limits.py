"""The search for a conflict keeps its time limit, and says what it did not compute."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

from worldplan.milp.sets import ActionSet, Budget, Capacity, Conflict, PyomoSet
from worldplan.milp.sets.conflicts import conflict_of

ARMS = 12


def _rules(block: Any) -> None:
    block.day = pyo.Constraint(expr=sum(block.a.values()) <= 6)
    block.south = pyo.Constraint(expr=sum(block.a[j] for j in range(4)) <= 2)


SETS: dict[str, ActionSet] = {
    "budget": Budget(ARMS, 4),
    "capacity": Capacity(np.arange(ARMS) % 5 + 1, [5, 4], budget=5),
    "rules": PyomoSet(_rules, ARMS),
}


def limited(
    monkeypatch: pytest.MonkeyPatch, actions: ActionSet, lower: np.ndarray, reads: int
) -> Conflict | None:
    """The conflict that is found if the clock is read `reads` times before the limit."""
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: float(next(ticks)))
    with monkeypatch.context() as patch:
        patch.setattr("worldplan.milp.sets.conflicts.time", clock)
        return conflict_of(actions, lower, time_limit=reads)


@pytest.mark.parametrize("kind", SETS)
def test_what_is_found_in_time_is_a_conflict(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    for _ in range(4):
        lower = (generator.random(ARMS) < 0.8).astype(np.int8)
        whole = conflict_of(SETS[kind], lower)
        assert whole is not None and whole.not_computed == ""
        for reads in (1, 2, 5, 9, 17, 40, 90, 4000):
            conflict = limited(monkeypatch, SETS[kind], lower, reads)
            if conflict is None:
                assert reads <= 2  # no time to prove that there is one
                continue
            forced = {int(rule.split("'")[1]) for rule in conflict.rules if "forced in" in rule}
            part = np.isin(np.arange(ARMS), list(forced)).astype(np.int8)
            assert (part <= lower).all() and conflict_of(SETS[kind], part) is not None
            assert set(conflict.remedies) <= set(whole.remedies) or conflict.rules != whole.rules
            assert (conflict.not_computed == "") is (conflict.sentence() == whole.sentence())
            assert conflict.not_computed in conflict.sentence()
        assert conflict == whole


def test_a_long_list_of_names_is_cut_in_words_only() -> None:
    conflict = conflict_of(Budget(40, 20), np.ones(40, np.int8), names=[f"c{j}" for j in range(40)])
    assert conflict is not None and len(conflict.rules) == 22
    text = conflict.sentence()
    assert "and 11 more forced in" in text and len(text) < 400
