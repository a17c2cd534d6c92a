"""Every feasible set against brute force written from its definition: all 2^J actions of small
random instances.
"""

import pickle
from itertools import product

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldplan.milp.errors import ConfigError, InfeasibleActionSet
from worldplan.milp.program import Program
from worldplan.milp.sets.base import Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.custom import PyomoSet
from worldplan.milp.sets.fixed import Fixed
from worldplan.milp.sets.linear_problem import LinearProblem
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.schedule import Schedule

few = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


# ---- the definitions, written plainly


def packable(costs, capacities):
    """Try every worker for the first arm, then the rest."""
    if not costs:
        return True
    tried = (
        capacities[:i] + [free - costs[0]] + capacities[i + 1 :]
        for i, free in enumerate(capacities)
        if free >= costs[0]
    )
    return any(packable(costs[1:], left) for left in tried)


def schedulable(arms, workers, visits, same_slot):
    """Give each visit in turn any (worker, slot) cell that is free."""
    cells = [(b, s) for b in range(len(workers)) for s in range(len(workers[0])) if workers[b][s]]
    visit_rows = [(arm, row) for arm, row in enumerate(arms) for _ in range(visits)]

    def place(rows, left, used):
        if not rows:
            return True
        arm, free = rows[0]
        return any(
            place(rows[1:], left - {cell}, used | {(arm, cell[1])})
            for cell in left
            if free[cell[1]] and (same_slot or (arm, cell[1]) not in used)
        )

    return place(visit_rows, frozenset(cells), frozenset())


def walkable(graph, source, moves):
    """Sets of nodes that closed walks of the given length can visit."""
    states = {(source, frozenset([source]))}
    everything = set(states)
    closed = {seen for node, seen in states if node == source}
    for _ in range(moves):
        states = {
            (after, seen | {after}) for node, seen in states for after in graph[node]
        } - everything
        everything |= states
        closed |= {seen for node, seen in states if node == source}
    return closed


# ---- what holds for every set


def check(actions, truth, generator):
    """`truth` says of each 0/1 tuple whether it is feasible."""
    everything = [np.array(a, np.int8) for a in product((0, 1), repeat=actions.size)]
    feasible = [a for a in everything if truth(tuple(a.tolist()))]
    assert feasible
    program = Program()
    columns = program.add_columns(actions.size, 0.0, 1.0, integer=True)
    actions.add_constraints(program, columns)
    numbers = program.matrices()
    exact, relaxed = LinearProblem(actions), LinearProblem(actions, relaxed=True)
    for a in everything:
        expected = truth(tuple(a.tolist()))
        assert actions.contains(a) == expected, a
        assert (exact.complete(a) is not None) == expected, a
        if not expected:
            assert not actions.probably_contains(a)
            continue
        assert (
            actions.least <= a.sum() <= actions.most
            and not (a.astype(bool) & ~actions.selectable).any()
        )
        x = np.concatenate([a, actions.witness(a)])
        activity = np.array(
            [
                numbers.value[i:j] @ x[numbers.column[i:j]]
                for i, j in zip(numbers.starts, numbers.starts[1:], strict=False)
            ]
        )
        assert (activity >= numbers.row_lower - 1e-6).all() and (
            activity <= numbers.row_upper + 1e-6
        ).all()
        assert (x >= numbers.lower - 1e-6).all() and (x <= numbers.upper + 1e-6).all()
        assert np.allclose(x[numbers.integer], np.rint(x[numbers.integer]))
    assert all(actions.selectable == np.any(feasible, axis=0)) or isinstance(
        actions, (Path, Schedule, Capacity, Fixed)
    )
    for weights in generator.standard_normal((3, actions.size)) + generator.integers(0, 2):
        best = max(float(weights @ a) for a in feasible)
        solution = exact.solve(weights)
        assert solution.value == pytest.approx(best, abs=1e-6)
        assert truth(tuple(np.rint(solution.x[: actions.size]).astype(int).tolist()))
        assert relaxed.solve(weights).value >= best - 1e-6
        assert actions.support(weights) >= best - 1e-9
    copy = pickle.loads(pickle.dumps(actions))
    for one in (
        actions.default(),
        actions.sample(generator),
        copy.sample(generator),
        copy.fill(generator.permutation(actions.size)),
    ):
        assert truth(tuple(one.tolist()))
        assert copy.contains(one)
    return feasible


@few
@given(st.integers(0, 10**6))
def test_capacity(seed):
    g = np.random.default_rng(seed)
    size, workers = int(g.integers(1, 7)), int(g.integers(1, 4))
    costs, room = g.integers(2, 7, size), g.integers(2, 8, workers)
    if seed % 2:
        costs = costs + g.random(size).round(2)  # all different
    if costs.min() > room.max():
        with pytest.raises(InfeasibleActionSet, match="raise a capacity or lower a cost"):
            Capacity(costs, room)
        return
    budget = int(g.integers(1, 5)) if seed % 3 == 0 else None
    actions = Capacity(costs, room, budget, worker_names=[f"w{i}" for i in range(workers)])

    def truth(a):
        return (budget is None or sum(a) <= budget) and packable(
            [c for c, taken in zip(costs.tolist(), a, strict=True) if taken], room.tolist()
        )

    feasible = check(actions, truth, g)
    actions._patterns = None  # the assignment model of the same set
    check(actions, truth, g)
    for a in feasible:
        rows = actions.explain(a)
        assert [row["arm"] for row in rows] == np.flatnonzero(a).tolist()
        for i in range(workers):
            assert sum(row["cost"] for row in rows if row["worker"] == f"w{i}") <= room[i] + 1e-9


def test_capacity_packs_exactly_where_greedy_fails():
    actions = Capacity([5, 5, 4, 4, 3, 3, 3, 3], [10, 10, 10])
    assert actions.most == 8 and actions.contains(np.ones(8, int))
    assert len(actions.explain(np.ones(8, int))) == 8


@few
@given(st.integers(0, 10**6))
def test_schedule(seed):
    g = np.random.default_rng(seed)
    size, workers, slots = int(g.integers(1, 6)), int(g.integers(1, 4)), int(g.integers(1, 4))
    arms, duty = g.random((size, slots)) < 0.6, g.random((workers, slots)) < 0.6
    visits, same_slot = int(g.integers(1, 4)), bool(g.random() < 0.5)
    budget = None if g.random() < 0.5 else int(g.integers(1, size + 1))
    try:
        actions = Schedule(arms, duty, visits, budget, same_slot=same_slot)
    except InfeasibleActionSet:
        rows = arms.tolist()
        assert not any(schedulable([row], duty.tolist(), visits, same_slot) for row in rows)
        return

    def truth(a):
        return sum(a) <= (budget or size) and schedulable(
            [row for row, taken in zip(arms.tolist(), a, strict=True) if taken],
            duty.tolist(),
            visits,
            same_slot,
        )

    for a in check(actions, truth, g):
        rows = actions.explain(a)
        cells = [(row["worker"], row["slot"]) for row in rows]
        assert len(set(cells)) == len(cells) == visits * a.sum()
        assert all(duty[b, s] for b, s in cells) and all(
            arms[row["arm"], row["slot"]] for row in rows
        )
        places = {(row["arm"], row["slot"]) for row in rows}
        assert same_slot or len(places) == len(rows)


@few
@given(st.integers(0, 10**6))
def test_path(seed):
    g = np.random.default_rng(seed)
    size = int(g.integers(2, 8))
    graph = nx.Graph()
    graph.add_nodes_from("abcdefgh"[:size])
    labels = list(graph)
    for k in range(1, size):
        graph.add_edge(labels[k], labels[int(g.integers(k))])
    for _ in range(int(g.integers(0, 5))):
        graph.add_edge(*(labels[k] for k in g.choice(size, 2, replace=False)))
    source, moves, budget = (
        str(g.choice(labels)),
        int(g.integers(0, 10)),
        int(g.integers(1, size + 1)),
    )
    actions = Path(graph, source, moves, budget)
    reach = walkable(graph, source, moves)

    def truth(a):
        wanted = {label for label, taken in zip(labels, a, strict=True) if taken}
        return len(wanted) <= budget and any(wanted <= seen for seen in reach)

    for a in check(actions, truth, g):
        route = actions.route(a)
        assert route[0] == route[-1] == source and len(route) - 1 <= moves
        assert all(v in graph[u] for u, v in zip(route, route[1:], strict=False))
        rows = actions.explain(a)
        assert {row["arm"] for row in rows} == {labels[k] for k in np.flatnonzero(a)}
        assert all(route[row["stop"]] == row["arm"] for row in rows)


def test_path_on_many_stops_asks_the_solver():
    actions = Path(nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 6)), 0, 18, 18)
    assert actions.contains(np.ones(18, int))  # a Hamiltonian cycle
    assert not Path(actions.graph, 0, 17, 18).contains(np.ones(18, int))
    assert len(actions.route(np.ones(18, np.int8))) == 19


def parity(block):
    import pyomo.environ as pyo

    block.pairs = pyo.Var(domain=pyo.NonNegativeIntegers, bounds=(1, 3))
    block.even = pyo.Constraint(expr=sum(block.a[j] for j in block.arms) == 2 * block.pairs)
    block.one = pyo.Constraint(expr=block.a[0] + block.a[1] == 1)
    block.never = pyo.Constraint(expr=block.a[2] <= 0)


def test_pyomo(tmp_path):
    actions = PyomoSet(parity, 6)
    g = np.random.default_rng(0)
    for a in check(actions, lambda a: sum(a) in (2, 4, 6) and a[0] + a[1] == 1 and not a[2], g):
        assert actions.explain(a)[-1] == {"variable": "pairs", "value": a.sum() / 2}
    assert actions.least == 2 and actions.most == 4 and not actions.selectable[2]
    (tmp_path / "rules.py").write_text("def build(block):\n    block.a[1].fix(1)\n")
    assert PyomoSet.from_file(f"{tmp_path / 'rules.py'}:build", 2).default().tolist() == [0, 1]
    for reference in (f"{tmp_path / 'rules.py'}:other", "nowhere.py:build", "build"):
        with pytest.raises(ConfigError):
            PyomoSet.from_file(reference, 2)


def test_pyomo_refuses_what_is_not_a_linear_set():
    import pyomo.environ as pyo

    def product_of_two(block):
        block.c = pyo.Constraint(expr=block.a[0] * block.a[1] >= 1)

    def with_objective(block):
        block.o = pyo.Objective(expr=block.a[0])

    def impossible(block):
        block.c = pyo.Constraint(expr=block.a[0] + block.a[1] >= 3)

    with pytest.raises(ConfigError, match="not linear"):
        PyomoSet(product_of_two, 2)
    with pytest.raises(ConfigError, match="objective"):
        PyomoSet(with_objective, 2)
    with pytest.raises(InfeasibleActionSet, match="admit no action"):
        PyomoSet(impossible, 2)


def test_budget():
    g = np.random.default_rng(1)
    check(Budget(5, 2), lambda a: sum(a) <= 2, g)
    check(Budget(5, 2, exactly=True), lambda a: sum(a) == 2, g)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Capacity([], [3]),
        lambda: Capacity([2], []),
        lambda: Capacity([2, float("nan")], [3]),
        lambda: Capacity([0], [3]),
        lambda: Capacity([8, 9], [7]),
        lambda: Capacity([2], [3], budget=-1),
        lambda: Capacity([2], [3], arm_names=["a", "b"]),
        lambda: Schedule([[1, 0]], [[0, 1]]),
        lambda: Schedule([[1, 0]], [[1]]),
        lambda: Schedule([[1]], [[1]], visits=0),
        lambda: Schedule([], []),
        lambda: Schedule([[0.5]], [[1]]),
        lambda: Path(nx.path_graph(3), 9, 4, 2),
        lambda: Path(nx.path_graph(3), 0, -1, 2),
        lambda: Path(nx.empty_graph(2), 0, 4, 2),
        lambda: Path(nx.Graph([(0, 1), (2, 3)]), 0, 4, 2),
        lambda: Path(nx.Graph(), 0, 4, 2),
        lambda: Path(nx.DiGraph([(0, 1)]), 0, 4, 2),
    ],
)
def test_bad_input_is_refused(build):
    with pytest.raises(InfeasibleActionSet):
        build()


@pytest.mark.parametrize("huge", [1e12, 1e300])
@few
@given(seed=st.integers(0, 10_000))
def test_a_worker_of_any_capacity_does_not_widen_the_others(huge: float, seed: int) -> None:
    """What each of the others is given fits into the own capacity."""
    rng = np.random.default_rng(seed)
    costs = rng.integers(1, 6, 5).astype(float)
    room = np.array([*rng.integers(1, 8, 2), huge])
    loads = np.zeros(3)
    for row in Capacity(costs, room).explain(np.ones(5, np.int8)):
        loads[row["worker"]] += row["cost"]
    assert loads.sum() == costs.sum()
    assert (loads <= room).all()
