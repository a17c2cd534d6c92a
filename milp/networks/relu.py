"""A ReLU network of the action, in double precision, and how it becomes rows and columns of a MILP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.milp.errors import ConfigError
from worldplan.milp.program import Floats, Indices, Program, Rows


@dataclass(frozen=True)
class ReluNetwork:
    """q(a) = w_L relu(... relu(W_1 a + b_1) ...) + b_L + skip @ a, a scalar function of a binary
    action.

    Args:
        weights: one (out, in) matrix per layer; the last has one row.
        biases: one (out,) vector per layer.
        skip: (in,) weights of a direct linear path from the action to the output, or None.
    """

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    skip: Floats | None = None

    def __post_init__(self) -> None:
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ConfigError(
                    f"layer {index} of the network holds NaN or infinite weights: the training diverged, use an earlier checkpoint"
                )

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return tuple(len(bias) for bias in self.biases[:-1])

    def preactivations(self, actions: NDArray[Any]) -> list[Floats]:
        """Inputs of every hidden layer's ReLU, each (..., width)."""
        found, x = [], np.asarray(actions, dtype=float)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            found.append(x @ weight.T + bias)
            x = np.maximum(found[-1], 0.0)
        return found

    def __call__(self, actions: NDArray[Any]) -> Floats:
        """Values (...,) of actions (..., in)."""
        return self.after_first(
            np.asarray(actions, dtype=float) @ self.weights[0].T + self.biases[0],
            self.direct(actions),
        )

    def direct(self, actions: NDArray[Any]) -> Floats | float:
        """The linear path's share of the value."""
        return 0.0 if self.skip is None else np.asarray(actions, dtype=float) @ self.skip

    def after_first(self, first: Floats, direct: Floats | float) -> Floats:
        """Value from the first layer's pre-activation, which a search can update one component at a
        time.
        """
        x = first
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            x = np.maximum(x, 0.0) @ weight.T + bias
        return x[..., 0] + direct

    @staticmethod
    def from_sequential(module: Any) -> ReluNetwork:
        """From a torch `Sequential` of alternating Linear and ReLU layers. Raises ConfigError for
        anything else.
        """
        weights, biases = [], []
        for index, layer in enumerate(module):
            kind = type(layer).__name__
            if kind != ("ReLU" if index % 2 else "Linear"):
                raise ConfigError(
                    f"layer {index} is {kind}: only Linear and ReLU in turn can be embedded exactly"
                )
            if kind == "Linear":
                weights.append(layer.weight.detach().cpu().numpy().astype(float))
                biases.append(layer.bias.detach().cpu().numpy().astype(float))
        return ReluNetwork(tuple(weights), tuple(biases))


@dataclass
class EmbeddedLayer:
    """Columns and rows of one hidden layer: y - t = W x + b with y <= U z, t <= -L (1 - z).

    `switched` lists the neurons that have a binary z; the others need none, because the objective
    only ever pushes their output down (see `embed`).
    """

    y: Indices
    t: Indices
    z: Indices
    switched: Indices
    dense: Rows
    above: Rows
    below: Rows


@dataclass
class Embedding:
    """A network inside a program."""

    layers: list[EmbeddedLayer]
    output: tuple[Indices, Floats]

    @property
    def columns(self) -> Indices:
        """All columns of the block."""
        return np.concatenate(
            [np.concatenate([layer.y, layer.t, layer.z]) for layer in self.layers]
        )

    def point(self, network: ReluNetwork, action: NDArray[Any], x: Floats) -> None:
        """Write the values that `action` gives the block's columns into `x`."""
        for layer, pre in zip(self.layers, network.preactivations(action), strict=True):
            x[layer.y], x[layer.t] = np.maximum(pre, 0.0), np.maximum(-pre, 0.0)
            x[layer.z] = pre[layer.switched] > 0


def embed(
    program: Program, network: ReluNetwork, action: Indices, *, relaxed: bool = False
) -> Embedding:
    """Add the hidden layers of `network` to `program`; numbers that depend on bounds are set by
    `tighten`.

    Exact for maximisation: a neuron of the last hidden layer whose output weight is not positive
    gets no binary, since y >= max(0, pre-activation) is all that a maximiser can use of it.
    """
    layers: list[EmbeddedLayer] = []
    inputs = action
    for depth, (weight, bias) in enumerate(
        zip(network.weights[:-1], network.biases[:-1], strict=True)
    ):
        width = len(bias)
        y, t = program.add_columns(width), program.add_columns(width)
        last = depth == len(network.hidden) - 1
        switched = np.flatnonzero(network.weights[-1][0] > 0) if last else np.arange(width)
        z = program.add_columns(len(switched), 0.0, 1.0, integer=not relaxed)
        eye = np.eye(width)
        dense = program.add_rows(
            (inputs, -weight), _diagonal(y, eye), _diagonal(t, -eye), lower=bias, upper=bias
        )
        ones = np.ones(len(switched))
        above = program.add_rows(*_pairs(y[switched], z, ones), upper=0.0) if len(z) else _no_rows()
        below = program.add_rows(*_pairs(t[switched], z, ones), upper=1.0) if len(z) else _no_rows()
        layers.append(EmbeddedLayer(y, t, z, switched, dense, above, below))
        inputs = y
    return Embedding(layers, (inputs, network.weights[-1][0]))


def _diagonal(columns: Indices, matrix: Floats) -> tuple[Indices, Any]:
    from scipy import sparse

    return columns, sparse.csr_array(matrix)


def _pairs(first: Indices, second: Indices, ones: Floats) -> list[tuple[Indices, Any]]:
    """Rows first_k + c_k * second_k; the c_k are the second half of the block's slots."""
    return [_diagonal(first, np.diag(ones)), _diagonal(second, np.diag(ones))]


def _no_rows() -> Rows:
    return Rows(np.zeros(0, np.int64), np.zeros(0, np.int64))


def tighten(session: Any, layer: EmbeddedLayer, lower: Floats, upper: Floats) -> None:
    """Set the big-M numbers of a layer from proven pre-activation bounds; stable neurons are fixed,
    so presolve drops them.
    """
    session.set_column_bounds(layer.y, 0.0, np.maximum(upper, 0.0))
    session.set_column_bounds(layer.t, 0.0, np.maximum(-lower, 0.0))
    low, high = lower[layer.switched], upper[layer.switched]
    if not len(layer.z):
        return
    session.set_column_bounds(layer.z, np.where(low >= 0, 1.0, 0.0), np.where(high <= 0, 0.0, 1.0))
    half = len(layer.z)
    session.set_values(layer.above.slots[half:], -np.maximum(high, 0.0))
    session.set_values(layer.below.slots[half:], np.maximum(-low, 0.0))
    session.set_row_bounds(layer.below.index, -np.inf, np.maximum(-low, 0.0))


def check_same_shape(networks: Sequence[ReluNetwork], size: int) -> None:
    """Every network must take the action set's vector."""
    for network in networks:
        if network.weights[0].shape[1] != size:
            taken = network.weights[0].shape[1]
            raise ConfigError(
                f"the network takes {taken} action components, the action set has {size}: use the checkpoint trained for it"
            )
