"""Neuron bounds hold for every feasible action, and tighter methods lie within looser ones."""

from itertools import product

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldplan.milp.networks.bounds import METHODS, neuron_bounds, output_bound, output_plane
from worldplan.milp.networks.relu import ReluNetwork
from worldplan.milp.sets.base import Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.schedule import Schedule


def some_set(g):
    size = int(g.integers(3, 8))
    kind = g.integers(5)
    if kind == 0:
        return Budget(size, int(g.integers(0, size + 1)))
    if kind == 1:
        return Budget(size, int(g.integers(1, size)), exactly=True)
    if kind == 2:
        return Capacity(np.append(g.integers(2, 7, size - 1), 2), g.integers(2, 8, 2))
    if kind == 3:
        return Schedule(
            np.vstack([g.random((size - 1, 3)) < 0.6, np.ones((1, 3))]), np.ones((2, 3))
        )
    graph = nx.Graph([(k, int(g.integers(k))) for k in range(1, size)])
    return Path(graph, 0, int(g.integers(2, 8)), int(g.integers(1, size + 1)))


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(st.integers(0, 10**6))
def test_bounds_hold_and_nest(seed):
    g = np.random.default_rng(seed)
    actions = some_set(g)
    feasible = np.array(
        [a for a in product((0, 1), repeat=actions.size) if actions.contains(np.array(a))]
    )
    widths = [actions.size, *g.integers(2, 6, int(g.integers(1, 4))).tolist(), 1]
    weights = tuple(
        g.normal(size=(out, into)) for into, out in zip(widths, widths[1:], strict=False)
    )
    skip = g.normal(size=actions.size) if g.random() < 0.5 else None
    network = ReluNetwork(weights, tuple(g.normal(size=out) for out in widths[1:]), skip)
    by_method = {method: neuron_bounds(network, actions, method) for method in METHODS}
    for bounds in by_method.values():
        for (lower, upper), inputs in zip(bounds, network.preactivations(feasible), strict=True):
            assert (inputs >= lower).all() and (inputs <= upper).all()
        assert output_bound(output_plane(network, bounds), actions) >= network(feasible).max()
        plane, constant = output_plane(network, bounds)
        assert (feasible @ plane + constant >= network(feasible) - 1e-9).all()
    for tighter, looser in (("linear", "interval"), ("optimised", "linear")):
        for (low, high), (wide_low, wide_high) in zip(
            by_method[tighter], by_method[looser], strict=True
        ):
            assert (low >= wide_low - 1e-6).all() and (high <= wide_high + 1e-6).all()


def test_the_cardinality_of_the_set_counts():
    network = ReluNetwork((np.ones((1, 10)), np.ones((1, 1))), (np.zeros(1), np.zeros(1)))
    ((lower, upper),) = neuron_bounds(network, Budget(10, 3), "interval")
    assert upper[0] == pytest.approx(3.0) and lower[0] == pytest.approx(0.0, abs=1e-6)
    ((lower, upper),) = neuron_bounds(network, Budget(10, 3, exactly=True), "interval")
    assert lower[0] == pytest.approx(3.0)


def test_an_unknown_method_is_refused():
    network = ReluNetwork((np.ones((1, 2)), np.ones((1, 1))), (np.zeros(1), np.zeros(1)))
    with pytest.raises(ValueError, match="unknown bound method"):
        neuron_bounds(network, Budget(2, 1), "loose")
