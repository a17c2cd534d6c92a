"""The MILP's action against brute force, HiGHS against Gurobi, and both against OMLT and
gurobi-machinelearning.
"""

from collections import Counter
from itertools import product
from unittest.mock import patch

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

import worldplan.milp.networks.argmax
from worldplan.milp.errors import ConfigError, InfeasibleActionSet, SolverFailed
from worldplan.milp.networks.argmax import NetworkArgmax
from worldplan.milp.networks.bounds import METHODS
from worldplan.milp.networks.local_search import value
from worldplan.milp.networks.relu import ReluNetwork
from worldplan.milp.program import Program
from worldplan.milp.sets.base import Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.custom import PyomoSet
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.schedule import Schedule
from worldplan.milp.solvers import SolverSettings

KINDS = ("budget", "interventions", "path", "schedule", "capacity", "pyomo")
EXACT = {name: SolverSettings(name, gap=0.0) for name in ("highs", "gurobi")}
SHAPES = ((5,), (6, 4), (4, 6), (4, 3, 4))


def some_set(kind, g):
    """A small random set; the draw is repeated until it is not empty."""
    while True:
        try:
            return draw_set(kind, g, int(g.integers(3, 9)))
        except InfeasibleActionSet:
            continue


def draw_set(kind, g, size):
    if kind == "budget":
        return Budget(size, int(g.integers(1, size + 1)))
    if kind == "interventions":
        return Budget(size, int(g.integers(1, size)), exactly=True)
    if kind == "path":
        graph = nx.Graph([(k, int(g.integers(k))) for k in range(1, size)])
        graph.add_edges_from(
            g.choice(size, 2, replace=False).tolist() for _ in range(int(g.integers(0, 5)))
        )
        return Path(
            graph, int(g.integers(size)), int(g.integers(2, 10)), int(g.integers(1, size + 1))
        )
    if kind == "schedule":
        slots = int(g.integers(1, 4))
        return Schedule(
            g.random((size, slots)) < 0.6,
            g.random((int(g.integers(1, 5)), slots)) < 0.6,
            int(g.integers(1, 3)),
        )
    if kind == "capacity":
        costs = g.integers(2, 7, size)
        return Capacity(
            costs + g.random(size).round(2) if g.random() < 0.3 else costs,
            g.integers(2, 8, int(g.integers(1, 4))),
        )
    picked = g.integers(-2, 3, (2, size)).tolist()

    def build(block):
        import pyomo.environ as pyo

        block.extra = pyo.Var(domain=pyo.NonNegativeIntegers, bounds=(0, 2))
        for row, weights in enumerate(picked):
            if any(weights):
                term = sum(w * block.a[j] for j, w in enumerate(weights))
                block.add_component(
                    f"row{row}", pyo.Constraint(expr=term - block.extra * (1 - row) <= 1)
                )
        block.some = pyo.Constraint(expr=sum(block.a[j] for j in block.arms) >= 1)

    return PyomoSet(build, size)


def feasible_actions(actions):
    return np.array(
        [a for a in product((0, 1), repeat=actions.size) if actions.contains(np.array(a))], np.int8
    )


def some_network(g, size, hidden, *, skip):
    """In an interventions set the first layer may come through an effect matrix; here any matrix
    stands for it.
    """
    widths = [size, *hidden, 1]
    weights = tuple(
        g.normal(size=(out, into)) * (g.random((out, into)) < 0.9)
        for into, out in zip(widths, widths[1:], strict=False)
    )
    return ReluNetwork(
        weights,
        tuple(g.normal(size=out) for out in widths[1:]),
        g.normal(size=size) if skip else None,
    )


def other_state(g, network, *, skip):
    """What a new state changes: first layer, biases, skip."""
    weights = (g.normal(size=network.weights[0].shape), *network.weights[1:])
    return ReluNetwork(
        weights,
        tuple(g.normal(size=len(b)) for b in network.biases),
        g.normal(size=network.weights[0].shape[1]) if skip else None,
    )


def no_search(networks, actions, starts, **_):
    """The first start, as it is: the solver must find the optimum itself."""
    first = actions.default()
    return first, float(value(networks, first[None])[0])


def check_case(case, networks, actions, feasible, solver):
    best = float(value(networks, feasible).max())
    result = solver.maximise(networks)
    tolerance = 1e-6 * max(1.0, abs(best))
    assert actions.contains(result.action), case
    assert result.value == pytest.approx(float(value(networks, result.action[None])[0]), abs=1e-12)
    assert result.value == pytest.approx(best, abs=tolerance), case
    assert best - tolerance <= result.bound <= best + 10 * tolerance, case
    assert result.status in ("optimal", "within_gap"), case
    assert result.status == "optimal" or result.bound - best < tolerance, case


def test_every_set_against_brute_force_on_both_solvers():
    pytest.importorskip("gurobipy")
    count = Counter()

    def check_kind(kind):
        @settings(
            max_examples=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(st.integers(0, 10**6))
        def check(seed):
            g = np.random.default_rng([seed, KINDS.index(kind)])
            actions = some_set(kind, g)
            feasible = feasible_actions(actions)
            hidden, members = SHAPES[g.integers(len(SHAPES))], int(g.integers(1, 4))
            if g.random() < 0.5:
                members = 1
            skips = g.random(3) < 0.5
            first = [
                some_network(g, actions.size, hidden, skip=bool(skips[0])) for _ in range(members)
            ]
            states = [
                first,
                *(
                    [other_state(g, network, skip=bool(skip)) for network in first]
                    for skip in skips[1:]
                ),
            ]
            method = METHODS[g.integers(len(METHODS))]
            search = worldplan.milp.networks.argmax.local_search if g.random() < 0.3 else no_search
            # without the cheaper bounds, the mixed-integer program keeps all components
            tighter = NetworkArgmax._tighter if g.random() < 0.5 else lambda *_: iter(())
            with (
                patch.object(worldplan.milp.networks.argmax, "local_search", search),
                patch.object(NetworkArgmax, "_tighter", tighter),
            ):
                for name in EXACT:
                    solver = NetworkArgmax(first, actions, EXACT[name], bounds=method)
                    for step, networks in enumerate(states):
                        check_case(
                            (kind, seed, method, name, step), networks, actions, feasible, solver
                        )
                        count[kind] += name == "highs"

        check()

    for kind in KINDS:
        check_kind(kind)
    assert sum(count.values()) - count["pyomo"] >= 300, count


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_chain_of_proofs_within_the_gap(kind):
    """With the search and the relaxation in place, and gaps that they may reach on their own."""
    g = np.random.default_rng(1)
    for trial in range(12):
        actions = some_set(kind, g)
        feasible = feasible_actions(actions)
        networks = [
            some_network(g, actions.size, (6, 5), skip=bool(trial % 2))
            for _ in range(1 + trial % 3)
        ]
        gap = (0.0, 0.01, 0.2)[trial % 3]
        solver = NetworkArgmax(networks, actions, SolverSettings(gap=gap))
        for _ in range(3):
            best = float(value(networks, feasible).max())
            result = solver.maximise(networks, start=feasible[g.integers(len(feasible))])
            assert result.value <= best + 1e-9 and best <= result.bound + 1e-6 * max(1, abs(best))
            assert result.gap <= gap + 1e-6 or abs(result.bound - result.value) < 1e-6
            assert actions.contains(result.action)
            networks = [other_state(g, network, skip=bool(trial % 2)) for network in networks]


def rows_of(actions):
    """The set's own rows as matrices."""
    program = Program()
    columns = program.add_columns(actions.size, 0.0, 1.0, integer=True)
    actions.add_constraints(program, columns)
    m = program.matrices()
    return m, sparse.csr_matrix(
        (m.value, m.column, m.starts), shape=(len(m.row_lower), len(m.cost))
    )


def by_omlt(network, actions):
    import pyomo.environ as pyo
    from omlt import OmltBlock
    from omlt.neuralnet import NetworkDefinition, ReluBigMFormulation
    from omlt.neuralnet.layer import DenseLayer, InputLayer

    size = actions.size
    definition = NetworkDefinition(scaled_input_bounds=dict.fromkeys(range(size), (0, 1)))
    before = InputLayer([size])
    definition.add_layer(before)
    for depth, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        kind = "linear" if depth == len(network.weights) - 1 else "relu"
        layer = DenseLayer(
            [weight.shape[1]], [weight.shape[0]], activation=kind, weights=weight.T, biases=bias
        )
        definition.add_layer(layer)
        definition.add_edge(before, layer)
        before = layer
    m, matrix = rows_of(actions)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(len(m.cost)))
    for k, variable in model.x.items():
        variable.domain = pyo.Integers if m.integer[k] else pyo.Reals
        variable.setlb(None if np.isinf(m.lower[k]) else float(m.lower[k]))
        variable.setub(None if np.isinf(m.upper[k]) else float(m.upper[k]))
    model.rows = pyo.ConstraintList()
    for row, (lower, upper) in enumerate(zip(m.row_lower, m.row_upper, strict=True)):
        part = matrix[row].tocoo()
        expression = sum(
            float(v) * model.x[int(k)] for k, v in zip(part.col, part.data, strict=True)
        )
        if np.isfinite(lower):
            model.rows.add(expression >= float(lower))
        if np.isfinite(upper):
            model.rows.add(expression <= float(upper))
    model.q = OmltBlock()
    model.q.build_formulation(ReluBigMFormulation(definition))
    model.link = pyo.Constraint(range(size), rule=lambda m, j: m.q.inputs[j] == m.x[j])
    direct = (
        0
        if network.skip is None
        else sum(float(w) * model.x[j] for j, w in enumerate(network.skip))
    )
    model.objective = pyo.Objective(expr=model.q.outputs[0] + direct, sense=pyo.maximize)
    solver = pyo.SolverFactory("appsi_highs")
    solver.config.mip_gap = 0.0
    solver.solve(model)
    return pyo.value(model.objective)


def by_gurobi_ml(network, actions):
    import gurobipy
    import torch
    from gurobi_ml import add_predictor_constr

    layers = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
        linear.weight.data, linear.bias.data = torch.as_tensor(weight), torch.as_tensor(bias)
        layers += [linear, torch.nn.ReLU()]
    m, matrix = rows_of(actions)
    with (
        gurobipy.Env(params={"OutputFlag": 0}) as environment,
        gurobipy.Model(env=environment) as model,
    ):
        model.Params.MIPGap, model.Params.Threads = 0.0, 1
        x = model.addMVar(len(m.cost), lb=m.lower, ub=m.upper, vtype=np.where(m.integer, "I", "C"))
        low, high = np.isfinite(m.row_lower), np.isfinite(m.row_upper)
        model.addConstr(matrix[low] @ x >= m.row_lower[low])
        model.addConstr(matrix[high] @ x <= m.row_upper[high])
        output = model.addMVar((1, 1), lb=-gurobipy.GRB.INFINITY)
        add_predictor_constr(
            model, torch.nn.Sequential(*layers[:-1]), x[: actions.size].reshape((1, -1)), output
        )
        model.setObjective(output[0, 0], gurobipy.GRB.MAXIMIZE)
        model.optimize()
        return model.ObjVal


@pytest.mark.parametrize("kind", KINDS)
def test_omlt_agrees(kind):
    pytest.importorskip("omlt")
    g = np.random.default_rng(2)
    for trial in range(6):
        actions = some_set(kind, g)
        network = some_network(g, actions.size, SHAPES[trial % 4], skip=bool(trial % 2))
        assert NetworkArgmax(network, actions, EXACT["highs"]).maximise().value == pytest.approx(
            by_omlt(network, actions), abs=1e-4
        )


@pytest.mark.parametrize("kind", KINDS)
def test_gurobi_machinelearning_agrees(kind):
    pytest.importorskip("gurobi_ml")
    g = np.random.default_rng(3)
    for trial in range(6):
        actions = some_set(kind, g)
        network = some_network(g, actions.size, SHAPES[trial % 4], skip=False)
        assert NetworkArgmax(network, actions, EXACT["highs"]).maximise().value == pytest.approx(
            by_gurobi_ml(network, actions), abs=1e-4
        )


def test_new_hidden_weights_shapes_and_ensembles_rebuild_the_model():
    g = np.random.default_rng(4)
    actions = Budget(7, 3)
    feasible = feasible_actions(actions)
    solver = NetworkArgmax(some_network(g, 7, (5, 4), skip=True), actions, EXACT["highs"])
    for members, hidden in ((1, (5, 4)), (1, (5, 4)), (3, (5, 4)), (2, (6,)), (1, (4, 4, 3))):
        networks = [some_network(g, 7, hidden, skip=bool(g.random() < 0.5)) for _ in range(members)]
        check_case((members, hidden), networks, actions, feasible, solver)


@pytest.mark.parametrize("name", ["highs", "gurobi"])
def test_time_limit_returns_the_best_action_and_its_proven_gap(name):
    if name == "gurobi":
        pytest.importorskip("gurobipy")
    g = np.random.default_rng(5)
    actions = Budget(60, 15)
    network = some_network(g, 60, (48, 48), skip=True)
    starts = [actions.sample(g) for _ in range(200)]
    start = max(starts, key=lambda a: float(network(a)))
    result = NetworkArgmax(
        network, actions, SolverSettings(name, gap=0.0, time_limit=0.2)
    ).maximise(start=start)
    assert result.status == "time_limit" and actions.contains(result.action)
    assert result.value == pytest.approx(float(network(result.action)))
    assert result.value >= float(network(start))
    assert np.isfinite(result.bound) and result.gap > 0
    assert result.bound >= max(float(network(a)) for a in starts)


def test_an_infeasible_start_is_ignored():
    g = np.random.default_rng(6)
    network = some_network(g, 6, (5, 4), skip=False)
    solver = NetworkArgmax(network, Budget(6, 2), EXACT["highs"])
    assert solver.maximise(start=np.ones(6, np.int8)).value == pytest.approx(
        solver.maximise().value
    )


def test_an_action_that_contradicts_the_proven_bound_is_reported():
    g = np.random.default_rng(7)
    solver = NetworkArgmax(some_network(g, 6, (5, 4), skip=False), Budget(6, 2), EXACT["highs"])
    too_low = patch.object(
        worldplan.milp.networks.argmax, "output_plane", lambda *_: (np.zeros(6), -1e3)
    )
    with too_low, pytest.raises(SolverFailed, match="exceeds the proven bound -99"):
        solver.maximise()


def test_a_network_of_another_size_is_refused():
    with pytest.raises(ConfigError, match="takes 5 action components, the action set has 6"):
        NetworkArgmax(some_network(np.random.default_rng(0), 5, (4,), skip=False), Budget(6, 2))
