"""Conflicts are infeasible, irreducible, named, and mended by each remedy; on every set."""

from __future__ import annotations

import itertools
from typing import Any

import networkx as nx
import numpy as np
import pyomo.environ as pyo
import pytest

from worldplan.milp.errors import InfeasibleActionSet
from worldplan.milp.sets import ActionSet, Budget, Capacity, Path, PyomoSet, Schedule
from worldplan.milp.sets.conflicts import conflict_of

ARMS = 5


def _rules(block: Any) -> None:
    block.day = pyo.Constraint(expr=sum(block.a.values()) <= 2)
    block.pair = pyo.Constraint(expr=block.a[0] == block.a[1])
    block.far = pyo.Constraint(expr=block.a[4] <= 0)


SETS: dict[str, ActionSet] = {
    "budget": Budget(ARMS, 2),
    "exactly": Budget(ARMS, 2, exactly=True),
    "capacity": Capacity([2, 3, 4, 5, 2], [5, 4], budget=3),
    "schedule": Schedule(np.ones((ARMS, 3), bool), np.ones((2, 3), bool), visits=2, budget=2),
    "path": Path(nx.path_graph(ARMS), 0, moves=4, budget=2),
    "rules": PyomoSet(_rules, ARMS),
}


WITHOUT_BUDGET: dict[str, ActionSet] = {
    "capacity": Capacity([2, 3, 4, 5, 2], [5, 4]),
    "schedule": Schedule(np.ones((ARMS, 3), bool), np.ones((2, 3), bool), visits=2, budget=ARMS),
    "path": Path(nx.path_graph(ARMS), 0, moves=4, budget=ARMS),
}


def meets(kind: str, rules: tuple[str, ...], action: np.ndarray) -> bool:
    """Whether an action meets the rules of the set that a conflict names, and maybe no others."""
    if kind == "rules":
        checks = {
            "'day'": action.sum() <= 2,
            "'pair'": action[0] == action[1],
            "'far'": action[4] == 0,
        }
        return all(ok for name, ok in checks.items() if f"the rule {name}" in rules)
    counted = [rule for rule in rules if rule.endswith("visits a day")]
    if counted and action.sum() > SETS[kind].most:
        return False
    rest = any(not rule.startswith("'") and rule not in counted for rule in rules)
    return not rest or bool(WITHOUT_BUDGET[kind].contains(action))


def names(conflict: Any) -> set[int]:
    """The components that a conflict names."""
    return {int(rule.split("'")[1]) for rule in conflict.rules if rule.startswith("'")}


@pytest.mark.parametrize("kind", SETS)
def test_a_conflict_of_forced_arms_is_irreducible(kind: str) -> None:
    actions = SETS[kind]
    everything = [np.array(row, np.int8) for row in itertools.product((0, 1), repeat=ARMS)]
    feasible = [row for row in everything if actions.contains(row)]
    ones = np.ones(ARMS, np.int8)
    for lower in everything:
        conflict = conflict_of(actions, lower)
        if any((row >= lower).all() for row in feasible):
            assert conflict is None
            continue
        assert conflict is not None
        forced = np.isin(np.arange(ARMS), list(names(conflict))).astype(np.int8)
        assert (forced <= lower).all()

        def possible(lower: np.ndarray, rules: tuple[str, ...]) -> bool:
            return any((row >= lower).all() and meets(kind, rules, row) for row in everything)

        assert not possible(forced, conflict.rules)
        for rule in conflict.rules:
            rest = tuple(other for other in conflict.rules if other != rule)
            assert "forced" in rule or possible(forced, rest)
        for component in np.flatnonzero(forced):
            less = forced.copy()
            less[component] = 0
            assert possible(less, conflict.rules), (lower, conflict)
            enough = lower.copy()
            enough[component] = 0
            remedy = f"do not force {component}"
            assert (remedy in conflict.remedies) is any((row >= enough).all() for row in feasible)
    assert conflict_of(actions, None, ones) is None


def test_a_large_capacity_does_not_widen_another_ones() -> None:
    actions, both = Capacity([1.0005, 1e6], [1e6, 1.0]), np.ones(2, np.int8)
    assert not actions.contains(both)
    conflict = conflict_of(actions, both)
    assert conflict is not None and "the workers' capacities" in conflict.rules


def test_names_with_braces_stand_in_words_as_they_are() -> None:
    ones = np.ones(3, np.int8)
    workers = conflict_of(Capacity([2, 3, 4], [5, 3], worker_names=["X{0}", "{en}"]), ones)
    assert workers is not None and "raise the capacity of {en} to 4" in workers.remedies

    def build(block: Any) -> None:
        block.most = pyo.Constraint(["{a}"], rule=lambda *_: sum(block.a.values()) <= 1)

    rules = conflict_of(PyomoSet(build, 3), ones)
    assert rules is not None and "loosen 'most[{a}]' to 3" in rules.remedies


def build(block: Any) -> None:
    block.day = pyo.Constraint(expr=sum(block.a.values()) <= 3)
    block.district = pyo.ConstraintList()
    for first in (0, 2, 4):
        block.district.add(block.a[first] + block.a[first + 1] >= 1)
    block.south = pyo.Constraint(expr=sum(block.a[j] for j in range(4)) >= 3)
    block.other = pyo.Constraint(expr=block.a[5] + block.a[6] <= 2)


def test_rules_in_conflict_are_named_with_what_to_relax() -> None:
    with pytest.raises(InfeasibleActionSet) as caught:
        PyomoSet(build, 7)
    text = str(caught.value)
    for word in ("'day'", "'south'", "'district[3]'", "loosen 'day' to 4", "loosen 'south' to 2"):
        assert word in text
    assert "other" not in text and "district[1]" not in text and "\n" not in text


def test_a_fixed_variable_is_a_rule() -> None:
    def fixes(block: Any) -> None:
        block.a[3].setlb(1)
        block.none = pyo.Constraint(expr=block.a[3] + block.a[2] <= 0)

    with pytest.raises(InfeasibleActionSet, match=r"a\[3\] set to 1.*|'none'") as caught:
        PyomoSet(fixes, 4)
    assert "'none'" in str(caught.value) and "a[3] set to 1" in str(caught.value)


def test_two_conflicts_have_no_single_remedy() -> None:
    def twice(block: Any) -> None:
        block.first = pyo.Constraint(expr=block.a[0] + block.a[1] >= 3)
        block.second = pyo.Constraint(expr=block.a[2] + block.a[3] >= 3)

    with pytest.raises(InfeasibleActionSet, match="another conflict besides"):
        PyomoSet(twice, 4)
