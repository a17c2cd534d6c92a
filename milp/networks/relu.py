"""A ReLU network of the action, in double precision, and its rows and columns in a MILP.

A hidden neuron y = max(0, p) with pre-activation p = W x + b in [L, U] becomes, with a binary z,

    y - t = W x + b,   0 <= y <= U z,   0 <= t <= -L (1 - z)

so that t = max(0, -p) and z = 1 where p > 0 (`embed`, `tighten`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.program import Floats, Indices, Program, Rows
from worldplan.milp.session import Session


@dataclass(frozen=True)
class ReluNetwork:
    """A scalar function of a binary action a:

        q(a) = w_L relu(... relu(W_1 a + b_1) ...) + b_L + skip @ a

    Args:
        weights: one (out, in) matrix per layer; the last has one row.
        biases: one (out,) vector per layer.
        skip: (in,) weights of a direct linear path from the action to the output, or None.

    A network of one layer is linear: it becomes the direct path beside a neuron that is always 0.

    Raises:
        ConfigError: a weight or bias is not finite, or shapes do not follow each other.
    """

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    skip: Floats | None = None

    def __post_init__(self) -> None:
        self._bring_into_shape()
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ConfigError(
                    f"layer {index} of the network holds NaN or infinite weights: the training "
                    "diverged, use an earlier checkpoint"
                )

    def _bring_into_shape(self) -> None:
        """Copy the arrays, whose shapes must follow each other.

        Raises:
            ConfigError: they are no lists of arrays, or a shape does not follow from the others.
        """
        for name in ("weights", "biases"):
            if not isinstance(getattr(self, name), tuple | list) or not getattr(self, name):
                raise ConfigError(
                    f"{name} is {checks.shown(getattr(self, name))}: give one array for each layer"
                )
        if len(self.weights) != len(self.biases):
            raise ConfigError(
                f"{len(self.weights)} weights and {len(self.biases)} biases: give one of each for "
                "each layer"
            )
        weights: list[Floats] = []
        biases: list[Floats] = []
        width: int | str = "in"
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            shape = (1 if index == len(self.weights) - 1 else "out", width)
            options: dict[str, Any] = {"finite": False, "error": ConfigError}
            weights.append(checks.array(weight, f"weights[{index}]", shape, **options))
            width = len(weights[-1])
            biases.append(checks.array(bias, f"biases[{index}]", (width,), **options))
        object.__setattr__(self, "weights", tuple(weights))
        object.__setattr__(self, "biases", tuple(biases))
        if self.skip is not None:
            size = (weights[0].shape[1],)
            object.__setattr__(
                self, "skip", checks.array(self.skip, "skip", size, error=ConfigError)
            )
        if len(weights) == 1:
            self._make_linear()

    def _make_linear(self) -> None:
        (weight,), (bias,) = self.weights, self.biases
        direct = weight[0] if self.skip is None else weight[0] + self.skip
        object.__setattr__(self, "weights", (np.zeros_like(weight), np.zeros((1, 1))))
        object.__setattr__(self, "biases", (np.zeros(1), bias))
        object.__setattr__(self, "skip", direct)

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return tuple(len(bias) for bias in self.biases[:-1])

    def preactivations(self, actions: NDArray[Any]) -> list[Floats]:
        """Inputs of every hidden layer's ReLU, each (..., width), for actions (..., in)."""
        inputs, x = [], np.asarray(actions, dtype=float)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            inputs.append(x @ weight.T + bias)
            x = np.maximum(inputs[-1], 0.0)
        return inputs

    def __call__(self, actions: NDArray[Any]) -> Floats:
        """Values (...,) of actions (..., in)."""
        return self.after_first(
            np.asarray(actions, dtype=float) @ self.weights[0].T + self.biases[0],
            self.direct(actions),
        )

    def direct(self, actions: NDArray[Any]) -> Floats | float:
        """The linear path's part of the value, (...,), for actions (..., in); 0 without one."""
        return 0.0 if self.skip is None else np.asarray(actions, dtype=float) @ self.skip

    def after_first(self, first: Floats, direct: Floats | float) -> Floats:
        """Values (...,) from the first layer's pre-activations (..., width).

        A search updates these one component at a time.

        Args:
            first: pre-activations of the first layer.
            direct: the linear path's part, (...,) or scalar.
        """
        x = first
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            x = np.maximum(x, 0.0) @ weight.T + bias
        return x[..., 0] + direct

    @staticmethod
    def from_sequential(module: Any) -> ReluNetwork:
        """The network of a torch `Sequential` of Linear and ReLU layers in turn, in float64.

        Args:
            module: begins and ends with a Linear layer, with or without bias; the last has one
                output. One Linear layer alone is a linear function.

        Raises:
            ConfigError: another layer, order or number of outputs, or a weight that is not finite.
        """
        layers = list(module) if isinstance(module, Iterable) else [module]
        weights, biases = [], []
        for index, layer in enumerate(layers):
            kind, due = type(layer).__name__, "ReLU" if index % 2 else "Linear"
            if kind != due:
                raise ConfigError(
                    f"layer {index} is {kind}, not {due}: only Linear and ReLU in turn can be "
                    "embedded exactly"
                )
            if kind == "Linear":
                weights.append(layer.weight.detach().cpu().double().numpy().copy())
                bias = np.zeros(len(weights[-1]))
                if layer.bias is not None:
                    bias = layer.bias.detach().cpu().double().numpy().copy()
                biases.append(bias)
        if len(layers) % 2 == 0:
            last = f"ends with {type(layers[-1]).__name__}" if layers else "has no layers"
            raise ConfigError(f"the network {last}: the last layer must be Linear with one output")
        if len(biases[-1]) != 1:
            raise ConfigError(
                f"the last layer has {len(biases[-1])} outputs: give one output; of a network with "
                "several, one network for each row of the last layer"
            )
        return ReluNetwork(tuple(weights), tuple(biases))


@dataclass
class EmbeddedLayer:
    """Columns and rows of one hidden layer: y - t = W x + b with y <= U z, t <= -L (1 - z).

    Args:
        y, t: (width,) columns of the positive and the negative part of the pre-activation.
        z: (switched,) columns of the binaries.
        switched: neurons that have a binary; the others need none, because the objective only
            pushes their output down (see `embed`).
        dense: the rows y - t = W x + b.
        above: the rows y <= U z.
        below: the rows t <= -L (1 - z).
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
    """A network inside a program.

    Args:
        layers: the hidden layers.
        output: columns and weights of the last layer, each (width,).
    """

    layers: list[EmbeddedLayer]
    output: tuple[Indices, Floats]

    @property
    def columns(self) -> Indices:
        """All columns of the block, (columns,)."""
        return np.concatenate(
            [np.concatenate([layer.y, layer.t, layer.z]) for layer in self.layers]
        )

    def point(self, network: ReluNetwork, action: NDArray[Any], x: Floats) -> None:
        """Write the values of the block's columns for `action` (in,) into `x` (columns,)."""
        for layer, pre in zip(self.layers, network.preactivations(action), strict=True):
            x[layer.y], x[layer.t] = np.maximum(pre, 0.0), np.maximum(-pre, 0.0)
            x[layer.z] = pre[layer.switched] > 0


def embed(
    program: Program, network: ReluNetwork, action: Indices, *, relaxed: bool = False
) -> Embedding:
    """Add the hidden layers of `network` to `program`; `tighten` then sets U and L.

    Exact for maximisation. A neuron of the last hidden layer whose output weight is not positive
    gets no binary: a maximiser makes y as small as y >= max(0, pre-activation) allows.

    Args:
        program: gets the columns and rows.
        network: its numbers may change later, the shape not.
        action: (in,) columns of the action.
        relaxed: whether z is continuous in [0, 1].
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
    return columns, sparse.csr_array(matrix)


def _pairs(first: Indices, second: Indices, ones: Floats) -> list[tuple[Indices, Any]]:
    """Rows first_k + c_k * second_k; the slots of the c_k are the second half of the slots."""
    return [_diagonal(first, np.diag(ones)), _diagonal(second, np.diag(ones))]


def _no_rows() -> Rows:
    return Rows(np.zeros(0, np.int64), np.zeros(0, np.int64))


def tighten(session: Session, layer: EmbeddedLayer, lower: Floats, upper: Floats) -> None:
    """Set U and L of a layer to proven bounds of its pre-activations, `upper` and `lower` (width,).

    The binary of a stable neuron (L >= 0 or U <= 0) is fixed, so presolve removes it.
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
    """Check that every network takes action vectors (size,).

    Raises:
        ConfigError: a network takes vectors of another length.
    """
    for network in networks:
        if network.weights[0].shape[1] != size:
            taken = network.weights[0].shape[1]
            raise ConfigError(
                f"the network takes {taken} action components, the action set has {size}: use the "
                "checkpoint trained for it"
            )


def same_after_first(new: ReluNetwork, old: ReluNetwork) -> bool:
    """Whether two networks of one shape differ in the first layer, biases and skip only."""
    if new.weights[0].shape != old.weights[0].shape or len(new.weights) != len(old.weights):
        return False
    return all(
        new_weight is old_weight or np.array_equal(new_weight, old_weight)
        for new_weight, old_weight in zip(new.weights[1:], old.weights[1:], strict=True)
    )
