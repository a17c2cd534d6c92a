"""Networks in ordinary numbers: the solvers' tolerances are absolute.

With weights of 1e-8 a constraint is met by anything, with weights of 1e9 by nothing. ReLU is
positively homogeneous, relu(c x) = c relu(x) for c > 0, so every neuron may have a unit of its own:
row i of a layer is divided by c_i, and column i of the next layer multiplied by it. The output is
measured in a unit, too, and from the value of the set's default action.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldplan.milp.networks.relu import ReluNetwork
from worldplan.milp.program import Floats

_ORDINARY = (2.0**-10, 2.0**14)  # numbers that keep their unit
_KEPT = (2.0**-14, 2.0**18)  # numbers for which units of earlier networks are kept


@dataclass(frozen=True)
class Scaling:
    """Units for networks of one shape.

    Args:
        neurons: of each network, one (width,) array per hidden layer; powers of two.
        output: of the values of all networks, a power of two.
    """

    neurons: tuple[tuple[Floats, ...], ...]
    output: float

    @classmethod
    def of(cls, networks: Sequence[ReluNetwork]) -> Scaling:
        """Units in which the pre-activations and the values are of ordinary size."""
        sizes = [_sizes(network) for network in networks]
        largest = max(float(size[-1][0]) for size in sizes)
        return cls(
            tuple(tuple(_units(size) for size in layers[:-1]) for layers in sizes),
            float(_units(np.array([largest]))[0]),
        )

    def fits(self, networks: Sequence[ReluNetwork]) -> bool:
        """Whether the numbers of these networks are of ordinary size in these units."""
        sizes = [_sizes(network) for network in networks]
        if len(sizes) != len(self.neurons) or any(
            [len(size) for size in layers[:-1]] != [len(unit) for unit in units]
            for layers, units in zip(sizes, self.neurons, strict=True)
        ):
            return False
        largest = np.array([max(float(layers[-1][0]) for layers in sizes)])
        pairs = [(largest, np.array([self.output]))]
        for layers, units in zip(sizes, self.neurons, strict=True):
            pairs += list(zip(layers[:-1], units, strict=True))
        return all(
            bool(((size == 0) | ((size >= _KEPT[0] * unit) & (size <= _KEPT[1] * unit))).all())
            for size, unit in pairs
        )

    def scaled(self, networks: Sequence[ReluNetwork], zero: float) -> list[ReluNetwork]:
        """Networks with values (q(a) - zero) / output, all neurons in their units."""
        return [
            self._scaled(network, units, zero)
            for network, units in zip(networks, self.neurons, strict=True)
        ]

    def _scaled(self, network: ReluNetwork, units: tuple[Floats, ...], zero: float) -> ReluNetwork:
        out = np.array([self.output])
        into = [None, *units]
        weights = [
            _times(weight, previous) if previous is not None else weight
            for weight, previous in zip(network.weights, into, strict=True)
        ]
        weights = [
            weight if (unit == 1).all() else weight / unit[:, None]
            for weight, unit in zip(weights, [*units, out], strict=True)
        ]
        shifted = [*network.biases[:-1], network.biases[-1] - zero]
        biases = [bias / unit for bias, unit in zip(shifted, [*units, out], strict=True)]
        skip = None if network.skip is None else network.skip / self.output
        return ReluNetwork(tuple(weights), tuple(biases), skip)


def _times(weight: Floats, unit: Floats) -> Floats:
    return weight if (unit == 1).all() else weight * unit


def _sizes(network: ReluNetwork) -> list[Floats]:
    """Upper bounds of |pre-activation| for each layer, (width,), without the last bias."""
    inputs, sizes = np.ones(network.weights[0].shape[1]), []
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        sizes.append(np.abs(weight) @ inputs + np.abs(bias))
        inputs = sizes[-1]
    last = np.abs(network.weights[-1]) @ inputs
    direct = 0.0 if network.skip is None else np.abs(network.skip).sum()
    return [*sizes, last + direct]


def _units(sizes: Floats) -> Floats:
    """A power of two near each size that is out of the ordinary range, else 1."""
    ordinary = (sizes == 0) | ((sizes >= _ORDINARY[0]) & (sizes <= _ORDINARY[1]))
    return np.where(ordinary, 1.0, 2.0 ** np.floor(np.log2(np.where(ordinary, 1.0, sizes))))
