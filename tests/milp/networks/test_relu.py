"""The network in double precision, and its rows and columns: exact for every action."""

from itertools import product

import numpy as np
import pytest
import torch

from worldplan.milp.errors import ConfigError
from worldplan.milp.networks.argmax import NetworkArgmax
from worldplan.milp.networks.bounds import METHODS, neuron_bounds
from worldplan.milp.networks.relu import ReluNetwork, embed, tighten
from worldplan.milp.program import Program
from worldplan.milp.sets.base import Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.solvers import SolverSettings, open_session


def some_network(g, widths, *, skip=False):
    weights = tuple(
        g.normal(size=(out, into)) for into, out in zip(widths, widths[1:], strict=False)
    )
    return ReluNetwork(
        weights,
        tuple(g.normal(size=out) for out in widths[1:]),
        g.normal(size=widths[0]) if skip else None,
    )


def test_a_torch_sequential_keeps_its_values():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(6, 5),
        torch.nn.ReLU(),
        torch.nn.Linear(5, 3),
        torch.nn.ReLU(),
        torch.nn.Linear(3, 1),
    ).double()
    network = ReluNetwork.from_sequential(module)
    x = torch.rand(4, 7, 6, dtype=torch.float64)
    assert np.allclose(network(x.numpy()), module(x)[..., 0].detach().numpy())
    assert network.hidden == (5, 3)
    first = network.preactivations(x.numpy())[0]
    assert np.allclose(network.after_first(first, 0.0), network(x.numpy()))


@pytest.mark.parametrize(
    "layers",
    [
        [torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1)],
        [torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)],
        [torch.nn.ReLU()],
    ],
)
def test_other_layers_are_refused(layers):
    with pytest.raises(ConfigError, match="only Linear and ReLU"):
        ReluNetwork.from_sequential(torch.nn.Sequential(*layers))


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([], "has no layers: the last layer must be Linear"),
        ([torch.nn.Linear(2, 2), torch.nn.ReLU()], "ends with ReLU: the last layer must be Linear"),
        ([torch.nn.Linear(2, 2)], "has 2 outputs: give one output"),
        ([torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3)], "has 3 outputs"),
        ([torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(3, 1)], r"weights\[1\]"),
    ],
)
def test_another_end_is_refused(layers, says):
    with pytest.raises(ConfigError, match=says):
        ReluNetwork.from_sequential(torch.nn.Sequential(*layers))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("widths", [(6, 1), (6, 4, 1), (6, 4, 3, 1)])
def test_any_depth_with_and_without_bias_has_its_optimum(widths, bias):
    torch.manual_seed(1)
    layers = []
    for into, out in zip(widths, widths[1:], strict=False):
        layers += [torch.nn.Linear(into, out, bias=bias), torch.nn.ReLU()]
    module = torch.nn.Sequential(*layers[:-1])
    everything = np.array(list(product((0, 1), repeat=6)), np.int8)
    expected = module(torch.as_tensor(everything, dtype=torch.float32))[:, 0].detach().numpy()
    network = ReluNetwork.from_sequential(module)
    np.testing.assert_allclose(network(everything), expected, atol=1e-6)
    for actions in (Budget(6, 3), Capacity([1.0, 2, 1, 3, 2, 1], [3.0, 2.0])):
        feasible = everything[actions.contains_batch(everything)]
        best = NetworkArgmax([network, network], actions, SolverSettings(gap=0.0)).maximise()
        assert best.value == pytest.approx(network(feasible).max(), abs=1e-9)
        assert NetworkArgmax(network, actions).maximise().bound >= best.value - 1e-9


def test_a_diverged_network_is_refused():
    with pytest.raises(ConfigError, match="layer 1 of the network holds NaN"):
        ReluNetwork((np.ones((2, 2)), np.array([[np.nan, 1.0]])), (np.zeros(2), np.zeros(1)))


def test_the_skip_adds_a_linear_path():
    g = np.random.default_rng(0)
    network = some_network(g, (4, 3, 1), skip=True)
    bare = ReluNetwork(network.weights, network.biases)
    actions = g.integers(0, 2, (9, 4))
    assert np.allclose(network(actions) - bare(actions), actions @ network.skip)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("widths", [(5, 4, 1), (5, 4, 3, 1), (4, 3, 4, 2, 1)])
def test_every_action_has_its_value_and_its_point(widths, method):
    g = np.random.default_rng(1)
    size = widths[0]
    actions = Budget(size, size - 1)
    network = some_network(g, widths)
    program = Program(offset=float(network.biases[-1][0]))
    a = program.add_columns(size, 0.0, 1.0, integer=True)
    block = embed(program, network, a)
    session = open_session(program, SolverSettings(gap=0.0))
    for layer, (lower, upper) in zip(
        block.layers, neuron_bounds(network, actions, method), strict=True
    ):
        tighten(session, layer, lower, upper)
    session.set_cost(*block.output)
    assert sorted(np.concatenate([a, block.columns])) == list(range(program.columns))
    m = session.matrices
    for action in product((0, 1), repeat=size):
        if not actions.contains(action):
            continue
        session.set_column_bounds(a, np.array(action), np.array(action))
        assert session.solve().value == pytest.approx(float(network(np.array(action))), abs=1e-6)
        x = np.zeros(program.columns)
        x[a] = action
        block.point(network, np.array(action), x)
        activity = np.array(
            [m.value[i:j] @ x[m.column[i:j]] for i, j in zip(m.starts, m.starts[1:], strict=False)]
        )
        assert (activity >= m.row_lower - 1e-8).all() and (activity <= m.row_upper + 1e-8).all()
        assert (x >= m.lower - 1e-8).all() and (x <= m.upper + 1e-8).all()


def test_neurons_that_a_maximiser_pushes_down_need_no_binary():
    network = ReluNetwork(
        (np.ones((3, 2)), np.array([[1.0, -1.0, 0.0]])), (np.zeros(3), np.zeros(1))
    )
    program = Program()
    block = embed(program, network, program.add_columns(2, 0.0, 1.0, integer=True))
    assert block.layers[0].switched.tolist() == [0] and len(block.layers[0].z) == 1
