"""Bounds from the linear relaxation of networks over a set, against all feasible actions."""

import numpy as np
import pytest

from tests.milp.networks.test_argmax import (
    KINDS,
    SHAPES,
    feasible_actions,
    other_state,
    some_network,
    some_set,
)
from worldplan.milp.networks.argmax import NetworkArgmax
from worldplan.milp.networks.bounds import neuron_bounds
from worldplan.milp.networks.local_search import value
from worldplan.milp.networks.network_program import NetworkProgram
from worldplan.milp.sets.base import Budget
from worldplan.milp.solvers import SolverSettings


@pytest.mark.parametrize("kind", KINDS)
def test_planes_are_above_all_actions_and_reduced_costs_bound_each_component(kind):
    g = np.random.default_rng([3, KINDS.index(kind)])
    for trial in range(25):
        actions = some_set(kind, g)
        feasible = feasible_actions(actions)
        hidden = SHAPES[trial % len(SHAPES)]
        networks = [
            some_network(g, actions.size, hidden, skip=bool(g.random() < 0.5))
            for _ in range(1 + trial % 3)
        ]
        program = NetworkProgram(networks, actions, SolverSettings(), relaxed=True)
        for _ in range(2):
            bounds = [neuron_bounds(network, actions) for network in networks]
            program.load(networks, bounds)
            solution = program.session.solve()
            true = value(networks, feasible)
            size = 1 + np.abs(true).max()
            assert solution.bound >= true.max() - 1e-7 * size
            assert solution.row_dual is not None
            own = program.plane(solution.row_dual)
            assert own is not None
            weights, constant = own
            assert (feasible @ weights + constant >= true - 1e-9 * size).all()
            share = solution.x[program.action]
            assert share @ weights + constant == pytest.approx(solution.bound, abs=1e-6 * size)
            drawn = program.plane(g.normal(size=len(solution.row_dual)))  # any dual values will do
            if drawn is not None:
                assert (feasible @ drawn[0] + drawn[1] >= true - 1e-9 * size * 100).all()
            reduced = program.reduced_costs(solution.row_dual)
            for component in range(actions.size):
                for level, lost in ((1, -reduced[component]), (0, reduced[component])):
                    rest = true[feasible[:, component] == level]
                    if len(rest):
                        assert rest.max() <= solution.bound - max(lost, 0.0) + 1e-6 * size
            networks = [other_state(g, network, skip=True) for network in networks]


def test_each_call_has_its_own_gap(monkeypatch):
    monkeypatch.setattr(NetworkArgmax, "_tighter", lambda *_: iter(()))  # all by the program
    g = np.random.default_rng(0)
    actions = Budget(12, 5)
    networks = [some_network(g, 12, (8, 8), skip=False) for _ in range(6)]
    solver = NetworkArgmax(networks[0], actions, SolverSettings(gap=0.05))
    feasible = feasible_actions(actions)
    for network in networks:
        solver.maximise(network)  # with the gap of the settings
        exact = solver.maximise(network, absolute_gap=0.0)
        assert exact.value == pytest.approx(value([network], feasible).max(), abs=1e-6)
        assert exact.status == "optimal"
