"""Stations that are forced in and too far apart for a route: proven and named without a solver."""

from __future__ import annotations

import itertools
from typing import Any

import networkx as nx
import numpy as np
import pyomo.environ as pyo
import pytest

from tests.planners.bandits.builders import OwnBudget
from worldplan.envs.bandits.graphs import random_geometric
from worldplan.milp.errors import InfeasibleActionSet
from worldplan.milp.sets import ActionSet, Path, PyomoSet
from worldplan.milp.sets.conflicts import conflict_of
from worldplan.milp.sets.fixed import Fixed, fixed
from worldplan.milp.sets.with_rules import WithRules


def graph_of(seed: int, kind: str) -> nx.Graph:
    """Eight stations in order: a tree, a ring with branches, or a dense graph."""
    if kind == "tree":
        made = nx.random_labeled_tree(8, seed=seed)
    elif kind == "ring":
        made = nx.union(nx.cycle_graph(5), nx.path_graph([5, 6, 7]))
        made.add_edges_from([(seed % 5, 5), ((seed + 2) % 5, 7)] if seed % 2 else [(seed % 5, 5)])
    else:
        made = nx.connected_watts_strogatz_graph(8, 3, 0.5, seed=seed)
    graph = nx.Graph()
    graph.add_nodes_from(range(8))
    graph.add_edges_from(made.edges)
    return graph


def shortest_walk(graph: nx.Graph, arms: tuple[int, ...]) -> int:
    """Over all orders of the stations, by breadth-first distances."""
    away = dict(nx.all_pairs_shortest_path_length(graph))
    tours = ((0, *order, 0) for order in itertools.permutations(arms))
    return min(sum(away[a][b] for a, b in itertools.pairwise(tour)) for tour in tours)


@pytest.mark.parametrize("kind", ["tree", "ring", "dense"])
@pytest.mark.parametrize("seed", range(3))
def test_the_least_moves_of_a_walk(seed: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(seed, kind)
    path, short = Path(graph, 0, moves=30, budget=8), Path(graph, 0, moves=6, budget=8)
    for count in (0, 1, 3, 4):
        for arms in itertools.combinations(range(8), count):
            expected = shortest_walk(graph, arms)
            assert path.least_moves(arms) == expected
            assert (short.least_moves(arms) > 6) == (expected > 6)
    monkeypatch.setattr("worldplan.milp.sets.path.EXACT_TERMINALS", 2)
    for arms in itertools.combinations(range(1, 8), 5):
        bound = path.least_moves(arms)
        assert 0 < bound <= shortest_walk(graph, arms)


class NoSolver(AssertionError):
    pass


@pytest.fixture
def no_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    def solved(self: Any, weights: Any) -> Any:
        raise NoSolver

    monkeypatch.setattr(Fixed, "_best", solved)


def wide() -> tuple[Path, list[int]]:
    """200 stations, and three of them that a route reaches one at a time."""
    graph = random_geometric(200, 1)
    path = Path(graph, max(graph, key=dict(graph.degree).__getitem__), moves=30, budget=15)
    nearest, far = np.where(path.selectable, path._distance[path._source], -1.0), list[int]()
    for _ in range(3):
        far.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, path._distance[far[-1]])
        nearest[~path.selectable] = -1.0
    return path, far


def test_three_far_stations_of_two_hundred(no_solver: None) -> None:
    path, far = wide()
    nothing, forced = np.zeros(200, bool), np.isin(np.arange(200), far)
    names = [f"S{arm}" for arm in range(200)]
    with pytest.raises(InfeasibleActionSet) as raised:
        fixed(path, nothing, nothing, forced, names)
    clients = [rule.split("'")[1] for rule in raised.value.conflict if "forced in" in rule]
    assert "one route of at most 30 moves" in raised.value.conflict
    arms = [int(name[1:]) for name in clients]
    assert 2 <= len(arms) <= 3 and set(arms) <= set(far)
    assert path.least_moves(arms) > 30
    for arm in arms:
        assert path.least_moves([other for other in arms if other != arm]) <= 30
        alone = path.least_moves([other for other in far if other != arm]) <= 30
        assert (f"do not force S{arm}" in str(raised.value)) == alone


def test_routes_below_rules(no_solver: None) -> None:
    """A rule on top hides neither the route nor that it is too long; a near station is solved."""

    def few(block: Any) -> None:
        block.few = pyo.Constraint(expr=sum(block.a.values()) <= 5)

    inner: ActionSet = WithRules(
        Path(nx.path_graph(9), 4, moves=8, budget=9), PyomoSet(few, 9), check=False
    )
    nothing, ends = np.zeros(9, bool), np.isin(np.arange(9), [0, 8])
    conflict = conflict_of(inner, ends.astype(np.int8))
    assert conflict is not None
    assert set(conflict.rules) == {
        "one route of at most 8 moves", "'0' forced in", "'8' forced in"
    }  # fmt: skip
    with pytest.raises(InfeasibleActionSet, match="do not force 0 or do not force 8"):
        fixed(inner, nothing, nothing, ends)
    with pytest.raises(NoSolver):
        fixed(inner, nothing, nothing, np.isin(np.arange(9), [0]))


def test_stations_that_rules_force_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules of single stations count as those of the day do; a rule on several does not."""
    path, far = wide()

    def build(block: Any) -> None:
        block.must = pyo.Constraint(far[:2], rule=lambda _, arm: block.a[arm] >= 1)
        block.fixed = pyo.Constraint(expr=-2 * block.a[far[2]] == -2)
        block.any = pyo.Constraint(expr=block.a[0] + block.a[path._source] >= 1)

    rules = PyomoSet(build, 200)

    def solved(self: Any, weights: Any) -> Any:
        raise NoSolver

    with monkeypatch.context() as patch:
        patch.setattr("worldplan.milp.sets.linear_problem.LinearProblem.best", solved)
        with pytest.raises(InfeasibleActionSet) as raised:
            WithRules(path, rules)
        text = str(raised.value)
        assert "one route of at most 30 moves" in text and "any" not in text
        named = {
            arm for arm in far if f"must[{arm}]" in text or (arm == far[2] and "fixed" in text)
        }
        assert len(named) >= 2 and path.least_moves(sorted(named)) > 30
    single = PyomoSet(
        lambda block: block.add_component("one", pyo.Constraint(expr=block.a[far[0]] >= 1)), 200
    )
    nothing = np.zeros(200, bool)
    with monkeypatch.context() as patch:
        patch.setattr(Fixed, "_best", solved)
        both = WithRules(path, single, check=False)
        with pytest.raises(InfeasibleActionSet, match="forced in"):
            fixed(both, nothing, nothing, np.isin(np.arange(200), far[1:2]))


class Vans(OwnBudget):
    """A set of one's own that keeps a route, by any name, and is not limited to it."""

    inner: Path


def test_a_set_of_one_s_own_that_keeps_a_route_is_not_limited_to_it() -> None:
    vans = Vans(9, 9)
    vans.inner = Path(nx.path_graph(9), 4, moves=8, budget=9)
    nothing, ends = np.zeros(9, bool), np.isin(np.arange(9), [0, 8])
    with pytest.raises(InfeasibleActionSet, match="one route of at most 8 moves"):
        fixed(vans.inner, nothing, nothing, ends)
    assert fixed(vans, nothing, nothing, ends).default().tolist() == ends.astype(int).tolist()
