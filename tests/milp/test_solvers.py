"""Both solvers behind one interface: status, limits, errors, and re-solving with new numbers."""

import sys

import numpy as np
import pytest
from scipy.optimize import linprog

from worldplan.milp.errors import ConfigError, InfeasibleActionSet, SolverFailed, SolverUnavailable
from worldplan.milp.program import Program
from worldplan.milp.solvers import Solution, SolverSettings, open_session, relative_gap


@pytest.fixture(params=["highs", "gurobi"])
def name(request):
    if request.param == "gurobi":
        pytest.importorskip("gurobipy")
    return request.param


def knapsack(g, size, rows=2, *, integer=True):
    program = Program()
    x = program.add_columns(size, 0.0, 1.0, integer=integer, cost=g.random(size) + 0.5)
    weights = g.random((rows, size))
    added = program.add_rows((x, weights), upper=weights.sum(1) / 3)
    return program, x, added, weights


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "cplex"}, "solver 'cplex' is unknown"),
        ({"time_limit": 0}, "time_limit is 0 s"),
        ({"time_limit": -1}, "time_limit"),
        ({"time_limit": float("nan")}, "time_limit"),
        ({"gap": 1.0}, "gap is 1"),
        ({"gap": -0.1}, "gap"),
        ({"gap": float("nan")}, "gap"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        SolverSettings(**wrong)


def test_relative_gap():
    assert relative_gap(10.0, 11.0) == pytest.approx(0.1)
    assert relative_gap(-10.0, -9.0) == pytest.approx(0.1)
    assert relative_gap(1.0, 0.5) == 0.0
    assert relative_gap(0.0, 1.0) == np.inf
    assert relative_gap(-np.inf, np.inf) == np.inf
    assert Solution("within_gap", 10.0, 11.0, None, None, 0.0).gap == pytest.approx(0.1)


def test_statuses(name):
    program, *_ = knapsack(np.random.default_rng(0), 40, 5)
    exact = open_session(program, SolverSettings(name, gap=0.0)).solve()
    assert exact.status == "optimal" and exact.value == pytest.approx(exact.bound)
    assert np.allclose(exact.x, np.rint(exact.x), atol=1e-6) and exact.row_dual is None
    rough = open_session(program, SolverSettings(name, gap=0.3)).solve()
    assert rough.status in ("within_gap", "optimal") and rough.gap <= 0.3
    assert rough.value <= exact.value + 1e-6 <= rough.bound + 2e-6


def test_a_start_is_never_lost_to_the_time_limit(name):
    g = np.random.default_rng(1)
    program, x, _, weights = knapsack(g, 150, 40)
    best = open_session(program, SolverSettings(name, gap=0.05, time_limit=5)).solve()
    limited = open_session(program, SolverSettings(name, gap=0.0, time_limit=0.15)).solve(best.x)
    assert limited.status == "time_limit"
    assert limited.x is not None and limited.value >= best.value - 1e-6
    assert (
        limited.bound >= limited.value
        and (weights @ limited.x[x] <= weights.sum(1) / 3 + 1e-6).all()
    )


def test_infeasible(name):
    program = Program()
    x = program.add_columns(2, 0.0, 1.0, integer=True)
    program.add_rows((x, np.ones((1, 2))), lower=3.0)
    with pytest.raises(InfeasibleActionSet, match="relax a capacity"):
        open_session(program, SolverSettings(name)).solve()


def test_unbounded_is_a_failure_not_an_answer(name):
    program = Program()
    x = program.add_columns(2, cost=1.0)
    program.add_rows((x, np.array([[1.0, -1.0]])), upper=1.0)
    with pytest.raises((SolverFailed, InfeasibleActionSet)):
        open_session(program, SolverSettings(name)).solve()


def test_missing_gurobi_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "gurobipy", None)
    program, *_ = knapsack(np.random.default_rng(0), 3)
    with pytest.raises(
        SolverUnavailable, match=r"pip install 'worldplan\[gurobi\]'.*solver.name=highs"
    ):
        open_session(program, SolverSettings("gurobi"))


def test_too_large_for_the_licence_names_the_remedy():
    pytest.importorskip("gurobipy")
    program, *_ = knapsack(np.random.default_rng(0), 2500)
    session = open_session(program, SolverSettings("gurobi", time_limit=5))
    try:
        session.solve()
    except SolverUnavailable as error:
        assert "2500 variables" in str(error) and "solver.name=highs" in str(error)  # noqa: PT017
    else:
        pytest.skip("a full Gurobi licence is installed")


def test_linear_programs_are_solved_again_after_every_kind_of_change(name):
    g = np.random.default_rng(2)
    size, rows = 12, 5
    program, x, added, weights = knapsack(g, size, rows, integer=False)
    session = open_session(program, SolverSettings(name))
    cost, upper, column_upper = session.matrices.cost.copy(), weights.sum(1) / 3, np.ones(size)
    for step in range(16):
        change = step % 4
        if change == 0:
            upper = weights.sum(1) * g.uniform(0.1, 0.9, rows)
            session.set_row_bounds(added.index, -np.inf, upper)
        elif change == 1:
            weights = g.random((rows, size))
            session.set_values(added.slots, weights.ravel())
        elif change == 2:
            cost = g.normal(size=size)
            session.set_cost(x, cost)
        else:
            column_upper = g.random(size)
            session.set_column_bounds(x, 0.0, column_upper)
        truth = linprog(-cost, weights, upper, bounds=np.stack([np.zeros(size), column_upper], 1))
        solution = session.solve()
        assert solution.status == "optimal"
        assert solution.value == pytest.approx(-truth.fun, abs=1e-7)
        assert solution.bound == pytest.approx(-truth.fun, abs=1e-7)
        # strong duality: rows' prices and the columns' reduced costs explain the value
        reduced = cost - solution.row_dual @ weights
        assert solution.row_dual @ upper + np.maximum(reduced, 0) @ column_upper == pytest.approx(
            solution.value, abs=1e-6
        )


def test_integer_programs_are_solved_again_after_every_kind_of_change(name):
    g = np.random.default_rng(3)
    program, x, added, weights = knapsack(g, 8, 2)
    session = open_session(program, SolverSettings(name, gap=0.0))
    everything = np.array(np.meshgrid(*[[0, 1]] * 8)).reshape(8, -1).T
    for _ in range(5):
        weights, cost = g.normal(size=weights.shape), g.normal(size=8)
        upper = g.uniform(0, 2, 2)
        session.set_values(added.slots, weights.ravel())
        session.set_cost(x, cost, 3.0)
        session.set_row_bounds(added.index, -np.inf, upper)
        allowed = everything[(everything @ weights.T <= upper + 1e-9).all(1)]
        assert session.solve().value == pytest.approx((allowed @ cost).max() + 3.0)


def test_two_sided_rows_and_equalities(name):
    program = Program(offset=1.0)
    x = program.add_columns(3, 0.0, 4.0, integer=True, cost=[1.0, 2.0, -1.0])
    ranged = program.add_rows((x, np.array([[1.0, 1.0, 1.0]])), lower=2.0, upper=5.0)
    equal = program.add_rows((x, np.array([[1.0, -1.0, 0.0]])), lower=1.0, upper=1.0)
    session = open_session(program, SolverSettings(name, gap=0.0))
    assert session.solve().value == pytest.approx(1 + 3 + 4)
    session.set_row_bounds(ranged.index, 7.0, 8.0)
    assert session.solve().value == pytest.approx(1 + 4 + 6)
    session.set_row_bounds(equal.index, -1.0, -1.0)
    assert session.solve().value == pytest.approx(1 + 3 + 8)


def test_a_quick_session_finds_the_same():
    program, *_ = knapsack(np.random.default_rng(4), 30, 4)
    values = [
        open_session(program, SolverSettings(gap=0.0, quick=quick)).solve().value
        for quick in (False, True)
    ]
    assert values[0] == pytest.approx(values[1])


def test_a_variable_twice_in_a_row_is_refused():
    program = Program()
    x = program.add_columns(2)
    program.add_rows((x, np.ones((1, 2))), (x[:1], np.ones((1, 1))), upper=1.0)
    with pytest.raises(ValueError, match="appears twice"):
        program.matrices()
