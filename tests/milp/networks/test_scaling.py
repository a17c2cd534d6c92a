"""The argmax of a network does not depend on the unit or the zero of any of its numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldplan.milp.networks.argmax import NetworkArgmax
from worldplan.milp.networks.relu import ReluNetwork
from worldplan.milp.networks.scaling import Scaling
from worldplan.milp.sets.base import ActionSet, Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.solvers import SolverSettings

FACTORS = st.sampled_from([1e-12, 1e-8, 3e-6, 1e-3, 7.0, 1e4, 1e9])


def drawn(generator: np.random.Generator) -> ReluNetwork:
    weights = (
        generator.normal(size=(5, 6)),
        generator.normal(size=(4, 5)),
        generator.normal(size=(1, 4)),
    )
    biases = tuple(generator.normal(size=len(weight)) for weight in weights)
    return ReluNetwork(weights, biases, generator.normal(size=6))


def in_other_units(
    network: ReluNetwork, factor: float, constant: float, inner: np.ndarray
) -> ReluNetwork:
    """factor * network + constant, with the hidden neurons in other units."""
    first, second, last = network.weights
    assert network.skip is not None
    return ReluNetwork(
        (first * inner[:5, None], second / inner[:5] * inner[5:, None], factor * last / inner[5:]),
        (
            network.biases[0] * inner[:5],
            network.biases[1] * inner[5:],
            factor * network.biases[2] + constant,
        ),
        factor * network.skip,
    )


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.integers(0, 10**6),
    FACTORS,
    st.sampled_from([0.0, -1e3, 1e4]),
    st.integers(1, 3),
    st.sampled_from([0.0, 1e-3, 0.2]),
    st.sampled_from(["linear", "optimised"]),
)
def test_units_and_constants_change_nothing(
    seed: int, factor: float, shift: float, members: int, gap: float, bounds: str
) -> None:
    generator = np.random.default_rng(seed)
    sets: list[ActionSet] = [
        Budget(6, 3),
        Budget(6, 2, exactly=True),
        Capacity(generator.integers(1, 4, 6), [3.0, 2.0]),
    ]
    actions = sets[seed % 3]
    everything = np.array(list(itertools.product((0, 1), repeat=6)), np.int8)
    feasible = everything[actions.contains_batch(everything)]
    networks = [drawn(generator) for _ in range(members)]
    inner = 10.0 ** generator.integers(-8, 9, 9)
    moved = [in_other_units(network, factor, factor * shift, inner) for network in networks]
    exact = np.min([network(feasible) for network in networks], axis=0)
    zero = float(min(network(actions.default()) for network in networks))
    result = NetworkArgmax(moved, actions, SolverSettings(gap=gap), bounds=bounds).maximise()
    value, bound = result.value / factor - shift, result.bound / factor - shift
    slack = 1e-9 * (1 + abs(shift))
    reached = float(np.min([network(result.action) for network in networks]))
    assert value == pytest.approx(reached, abs=slack)
    assert bound >= exact.max() - 1e-6
    missing = max(exact.max() - zero, result.effect / factor)
    assert exact.max() - reached <= gap * missing + 1e-6
    assert result.zero / factor - shift == pytest.approx(zero, abs=slack)


def test_ordinary_networks_keep_their_numbers() -> None:
    network = drawn(np.random.default_rng(0))
    scaling = Scaling.of([network])
    assert scaling.output == 1.0 and all((unit == 1).all() for unit in scaling.neurons[0])
    same = scaling.scaled([network], 0.0)[0]
    for scaled, own in zip(same.weights, network.weights, strict=True):
        np.testing.assert_array_equal(scaled, own)


def test_another_unit_builds_the_program_again() -> None:
    """One argmax, networks in turn that have units of their own."""
    generator = np.random.default_rng(3)
    network, actions = drawn(generator), Capacity([1.0, 2, 1, 3, 2, 1], [3.0, 2.0])
    used = NetworkArgmax(network, actions, SolverSettings(gap=0.0))
    for factor in (1.0, 1e-9, 1e9, 1.0):
        inner = np.full(9, factor)
        moved = in_other_units(network, factor, 0.0, inner)
        fresh = NetworkArgmax(moved, actions, SolverSettings(gap=0.0)).maximise()
        result = used.maximise(moved)
        assert result.action.tolist() == fresh.action.tolist()
        assert result.value / factor == pytest.approx(used.maximise(network).value)
