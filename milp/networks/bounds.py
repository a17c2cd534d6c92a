"""Proven bounds of every neuron over a feasible action set: three methods.

Tighter bounds cost more and make the MILP smaller. All three use the set itself, not the unit box:
`ActionSet.support` bounds a linear function by the number of components that an action may select,
and the optimisation-based bounds use the set's own linear relaxation.
"""

from __future__ import annotations

import time

import numpy as np

from worldplan.milp.networks.relu import Embedding, ReluNetwork, embed, tighten
from worldplan.milp.program import Floats, Program
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.solvers import SolverSettings, open_session

METHODS = ("interval", "linear", "optimised")
Bounds = list[tuple[Floats, Floats]]
"""(lower, upper) bounds of the pre-activations of each hidden layer, each (width,)."""
_SLACK = 1e-9  # relative; bounds are widened by it, so that rounding never cuts off a true value


def neuron_bounds(
    network: ReluNetwork,
    actions: ActionSet,
    method: str = "linear",
    *,
    deadline: float = np.inf,
) -> Bounds:
    """Bounds of the pre-activations of `network` over `actions`.

    Args:
        network: whose neurons are bounded.
        actions: the feasible set.
        method: "interval" (fastest), "linear" or "optimised" (tightest).
        deadline: on `time.perf_counter`; "optimised" bounds that are not found by then stay linear.

    Raises:
        ValueError: the method is unknown.
    """
    if method == "interval":
        return interval_bounds(network, actions)
    if method == "linear":
        return linear_bounds(network, actions)
    if method == "optimised":
        return optimised_bounds(network, actions, deadline=deadline)
    raise ValueError(f"unknown bound method '{method}': choose from {METHODS}")


def interval_bounds(network: ReluNetwork, actions: ActionSet) -> Bounds:
    """Bounds by interval arithmetic; the first layer uses the cardinality of the set."""
    bounds: Bounds = [_over_set(network.weights[0], network.biases[0], actions)]
    for weight, bias in zip(network.weights[1:-1], network.biases[1:-1], strict=True):
        bounds.append(_over_box(weight, bias, *bounds[-1]))
    return bounds


def _over_set(weight: Floats, bias: Floats, actions: ActionSet) -> tuple[Floats, Floats]:
    """Bounds (rows,) of `weight @ a + bias` for the actions `a` of the set."""
    both = actions.support(np.concatenate([weight, -weight]))
    half = len(weight)
    return _widen(bias - both[half:], bias + both[:half])


def _over_box(weight: Floats, bias: Floats, lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
    """Bounds (rows,) of `weight @ relu(p) + bias` for lower <= p <= upper."""
    low, high = np.maximum(lower, 0.0), np.maximum(upper, 0.0)
    up, down = np.maximum(weight, 0.0), np.minimum(weight, 0.0)
    return _widen(up @ low + down @ high + bias, up @ high + down @ low + bias)


def _widen(lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
    return lower - _SLACK * (1 + np.abs(lower)), upper + _SLACK * (1 + np.abs(upper))


def linear_bounds(network: ReluNetwork, actions: ActionSet) -> Bounds:
    """Bounds by linear relaxation of each ReLU, substituted back to the action.

    CROWN (Zhang et al., 2018), maximised over the set instead of over a box. Never looser than
    `interval_bounds`.
    """
    bounds: Bounds = [_over_set(network.weights[0], network.biases[0], actions)]
    for depth in range(1, len(network.hidden)):
        weight, bias = network.weights[depth], network.biases[depth]
        least, greatest = _over_box(weight, bias, *bounds[-1])
        upper = _substitute(network, bounds, weight, bias, actions)
        lower = -_substitute(network, bounds, -weight, -bias, actions)
        low, high = _widen(lower, upper)
        bounds.append((np.maximum(low, least), np.minimum(high, greatest)))
    return bounds


def output_plane(network: ReluNetwork, bounds: Bounds) -> tuple[Floats, float]:
    """A linear function above the network: (weights (in,), constant).

    `network(a) <= weights @ a + constant` for every action `a` of the set that `bounds` hold for.
    """
    weights, constant = _plane(network, bounds, network.weights[-1], network.biases[-1])
    direct = 0.0 if network.skip is None else network.skip
    return weights[0] + direct, float(constant[0])


def output_bound(plane: tuple[Floats, float], actions: ActionSet) -> float:
    """Upper bound of a network over the set, from its `output_plane` (weights (in,), constant).

    It needs no solve.
    """
    weights, constant = plane
    upper = constant + float(actions.support(weights[None])[0])
    return upper + _SLACK * (1 + abs(upper))


def _substitute(
    network: ReluNetwork, bounds: Bounds, weight: Floats, bias: Floats, actions: ActionSet
) -> Floats:
    """Upper bounds (rows,) of `weight @ y + bias`, y the outputs of the last layer in `bounds`."""
    coefficient, constant = _plane(network, bounds, weight, bias)
    return constant + actions.support(coefficient)


def _plane(
    network: ReluNetwork, bounds: Bounds, weight: Floats, bias: Floats
) -> tuple[Floats, Floats]:
    """Linear functions of the action above `weight @ y + bias`, y as in `_substitute`.

    Returns:
        Coefficients (rows, in) and constants (rows,).
    """
    coefficient, constant = weight, bias.astype(float)
    for depth in range(len(bounds) - 1, -1, -1):
        lower, upper = bounds[depth]
        slope, shift, below = _relaxation(lower, upper)
        positive, negative = np.maximum(coefficient, 0.0), np.minimum(coefficient, 0.0)
        constant = constant + positive @ shift
        onto = positive * slope + negative * below
        constant = constant + onto @ network.biases[depth]
        coefficient = onto @ network.weights[depth]
    return coefficient, constant


def _relaxation(lower: Floats, upper: Floats) -> tuple[Floats, Floats, Floats]:
    """(slope, shift, below): below p <= relu(p) <= slope p + shift on [lower, upper]."""
    active, unstable = lower >= 0, (lower < 0) & (upper > 0)
    width = np.where(unstable, upper - lower, 1.0)
    slope = np.where(active, 1.0, np.where(unstable, upper / width, 0.0))
    shift = np.where(unstable, -slope * lower, 0.0)
    below = np.where(active | (unstable & (upper > -lower)), 1.0, 0.0)
    return slope, shift, below


def optimised_bounds(
    network: ReluNetwork, actions: ActionSet, *, deadline: float = np.inf
) -> Bounds:
    """Bounds by optimisation: each unstable neuron over the relaxation of set and earlier layers.

    Two linear programs per unstable neuron (HiGHS, each from the basis of the one before), so it
    pays for wide layers or long searches only.
    """
    bounds = linear_bounds(network, actions)
    for depth in range(len(network.hidden)):
        head = ReluNetwork(
            network.weights[: depth + 1] + (np.ones((1, network.hidden[depth])),),
            network.biases[: depth + 1] + (np.zeros(1),),
        )
        program = Program()
        columns = program.add_columns(actions.size, 0.0, 1.0)
        actions.add_constraints(program, columns, relaxed=True)
        block = embed(program, head, columns, relaxed=True)
        if time.perf_counter() > deadline:
            break
        bounds[depth] = _optimise_layer(program, block, bounds, depth, deadline)
    return bounds


def _optimise_layer(
    program: Program, block: Embedding, bounds: Bounds, depth: int, deadline: float
) -> tuple[Floats, Floats]:
    """Tighter (lower, upper) bounds of the neurons of layer `depth`, each (width,)."""
    session = open_session(program, SolverSettings())
    for layer, (lower, upper) in zip(block.layers, bounds, strict=False):
        tighten(session, layer, lower, upper)
    layer, (lower, upper) = block.layers[depth], (bounds[depth][0].copy(), bounds[depth][1].copy())
    basis = None
    # the pre-activation is y - t
    for neuron in np.flatnonzero((lower < 0) & (upper > 0)):
        pair = np.array([layer.y[neuron], layer.t[neuron]])
        for sign, store in ((1.0, upper), (-1.0, lower)):
            session.set_cost(pair, np.array([sign, -sign]), 0.0)
            remaining = deadline - time.perf_counter()
            solution = session.solve(basis=basis, time_limit=remaining)
            if solution.x is None:  # the bounds so far hold
                return lower, upper
            bound, basis = sign * solution.bound, session.basis()
            slack = 1e-7 * (1 + abs(bound))  # above the solver's tolerance
            store[neuron] = (
                min(upper[neuron], bound + slack) if sign > 0 else max(lower[neuron], bound - slack)
            )
        session.set_cost(pair, np.zeros(2), 0.0)
    return lower, upper
