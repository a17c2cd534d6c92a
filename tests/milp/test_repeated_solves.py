"""A session that has solved other numbers gives exactly what a fresh one gives."""

import dataclasses

import numpy as np
import pyomo.environ as pyo
import pytest

from worldplan.milp.errors import InfeasibleActionSet
from worldplan.milp.networks.argmax import NetworkArgmax
from worldplan.milp.networks.relu import ReluNetwork
from worldplan.milp.program import Program
from worldplan.milp.sets.base import Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.custom import PyomoSet
from worldplan.milp.sets.linear_problem import LinearProblem
from worldplan.milp.solvers import SolverSettings, open_session


@pytest.fixture(params=["highs", "gurobi"])
def solver(request):
    if request.param == "gurobi":
        pytest.importorskip("gurobipy")
    return request.param


def result(session, start=None):
    """Everything that a solve says, or that it is infeasible."""
    try:
        solution = session.solve(start)
    except InfeasibleActionSet:
        return "infeasible"
    arrays = [None if a is None else a.tolist() for a in (solution.x, solution.row_dual)]
    return solution.status, solution.value, solution.bound, *arrays


def change(session, generator, columns, rows):
    """Change a random part of the numbers: whole ones give ties, some bounds are infeasible."""
    size, kind = len(columns), generator.integers(5)
    if kind == 0:
        session.set_cost(columns, generator.integers(-1, 3, size).astype(float), float(kind))
    elif kind == 1:
        values = generator.integers(0, 3, len(rows.slots)).astype(float)
        session.set_values(rows.slots, values)
    elif kind == 2:
        session.set_row_bounds(rows.index, -np.inf, generator.integers(1, size, len(rows.index)))
    elif kind == 3:
        session.set_row_bounds(rows.index, generator.integers(0, 4, len(rows.index)), np.inf)
    else:
        session.set_column_bounds(columns, 0.0, generator.integers(0, 2, size))


@pytest.mark.parametrize("integer", [False, True])
def test_a_session_solves_like_a_fresh_one(solver, integer):
    settings, results = SolverSettings(solver, gap=0.2), []
    for seed in range(4):
        generator = np.random.default_rng(seed)
        program = Program()
        columns = program.add_columns(12, 0.0, 1.0, integer=integer, cost=generator.random(12))
        rows = program.add_rows((columns, generator.random((4, 12))), upper=2.0)
        used = open_session(program, settings)
        for _ in range(25):
            change(used, generator, columns, rows)
            start = np.zeros(12) if generator.random() < 0.3 else None
            if generator.random() < 0.2:
                used.settings = SolverSettings(solver, time_limit=1e-9)
                result(used)
                used.settings = settings
            fresh = open_session(program, settings)
            fresh.matrices = dataclasses.replace(used.matrices)
            results.append(result(used, start))
            assert results[-1] == result(fresh, start)
    assert 3 < results.count("infeasible") < 80 and len(results) == 100


def rules(block):
    block.pairs = pyo.ConstraintList()
    for arm in range(0, 8, 2):
        block.pairs.add(block.a[arm] == block.a[arm + 1])
    block.pairs.add(sum(block.a[arm] for arm in block.arms) <= 5)


def set_answers(actions, generator):
    """What a set does with random input, feasible or not, and a linear objective over it."""
    order, chosen = generator.permutation(8), generator.integers(0, 2, 8).astype(np.int8)
    return [
        actions.fill(order).tolist(),
        actions.sample(generator).tolist(),
        actions.default().tolist(),
        bool(actions.contains(chosen)),
        actions.explain(chosen),
    ]


@pytest.mark.parametrize(
    "make",
    [lambda: PyomoSet(rules, 8), lambda: Capacity([2, 3, 2, 3, 4, 2, 2, 5], [5, 6, 4])],
    ids=["custom", "capacity"],
)
def test_a_set_and_its_linear_problem_answer_like_fresh_ones(make, solver):
    used = make()
    problems = {
        relaxed: LinearProblem(used, relaxed=relaxed, settings=SolverSettings(solver, gap=0.1))
        for relaxed in (False, True)
    }
    for seed in range(15):
        generator = np.random.default_rng(seed)
        assert set_answers(used, generator) == set_answers(make(), np.random.default_rng(seed))
        weights, lower = generator.integers(-1, 3, 8), generator.integers(0, 2, 8)
        for relaxed, problem in problems.items():
            fresh = LinearProblem(make(), relaxed=relaxed, settings=SolverSettings(solver, gap=0.1))
            for bound in (0.0, lower):
                answers = []
                for each in (problem, fresh):
                    try:
                        solution = each.solve(weights, lower=bound)
                        answers.append((solution.x.tolist(), solution.value, solution.bound))
                    except InfeasibleActionSet:
                        answers.append("infeasible")
                assert answers[0] == answers[1]


def network(generator, size):
    weights = tuple(generator.normal(size=shape).round(1) for shape in ((6, size), (4, 6), (1, 4)))
    return ReluNetwork(weights, tuple(generator.normal(size=len(w)) for w in weights))


def with_other_first_layer(first, generator):
    """The network in another state: only the first layer and the biases differ."""
    weight = generator.normal(size=first.weights[0].shape).round(1)
    biases = tuple(generator.normal(size=bias.shape) for bias in first.biases)
    return ReluNetwork((weight, *first.weights[1:]), biases)


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("bounds", ["interval", "linear", "optimised"])
def test_the_argmax_of_a_network_is_that_of_a_fresh_program(solver, members, bounds):
    generator = np.random.default_rng(members)
    actions = Capacity([2, 3, 2, 3, 4, 2, 2, 5], [5, 6]) if members == 1 else Budget(8, 3)
    settings = SolverSettings(solver, gap=0.02)
    bases = [network(generator, 8) for _ in range(members)]
    used = NetworkArgmax(bases, actions, settings, bounds=bounds)
    for step in range(12):
        if step % 5 == 4:  # a training step: other layers, too
            bases = [network(generator, 8) for _ in range(members)]
        state = [with_other_first_layer(base, generator) for base in bases]
        start = actions.sample(generator) if step % 2 else None
        one = used.maximise(state, start)
        two = NetworkArgmax(state, actions, settings, bounds=bounds).maximise(start=start)
        assert one.action.tolist() == two.action.tolist()
        assert (one.value, one.bound, one.status) == (two.value, two.bound, two.status)
