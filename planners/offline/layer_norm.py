"""Layer normalisation (Ba et al., 2016) of many small networks of one width, with the product of a
row vector and its Jacobian in closed form.

    n = (z - mean(z)) / sqrt(var(z) + eps),    u = gain * n + shift

over the units z of a layer, as in torch.nn.LayerNorm. In critics it bounds the values far from the
data, and so the blow-up of bootstrapped values (Ball et al., 2023; Yue et al., 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPS = 1e-5  # that of torch.nn.LayerNorm


@dataclass(frozen=True, slots=True)
class Normalised:
    """What the Jacobian needs of one forward pass.

    Args:
        rows: n, (count, batch, width).
        inverse: 1 / sqrt(var(z) + eps), (count, batch, 1).
    """

    rows: Tensor
    inverse: Tensor


class BatchedLayerNorm(nn.Module):
    """The layer normalisation of `count` networks.

    Args:
        count: number of networks.
        width: units of the layer.

    Attributes:
        gain: (count, 1, width), initially 1.
        shift: (count, 1, width), initially 0.
    """

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.gain = nn.Parameter(torch.ones(count, 1, width))
        self.shift = nn.Parameter(torch.zeros(count, 1, width))

    def forward(self, raw: Tensor) -> Tensor:
        """u for z = `raw`, both (count, batch, width)."""
        rows = functional.layer_norm(raw, (self.width,), eps=_EPS)
        return torch.addcmul(self.shift, rows, self.gain)

    def with_jacobian(self, raw: Tensor) -> tuple[Tensor, Normalised]:
        """u for z = `raw`, both (count, batch, width), and what `times_jacobian` needs."""
        centred = raw - raw.mean(-1, keepdim=True)
        inverse = (centred.square().mean(-1, keepdim=True) + _EPS).rsqrt()
        rows = centred * inverse
        return torch.addcmul(self.shift, rows, self.gain), Normalised(rows, inverse)

    def times_jacobian(self, product: Tensor, at: Normalised) -> Tensor:
        """v du/dz, (count, batch, width), for v = `product` of the same shape:

            p = v * gain,    v du/dz = (p - mean(p) - n mean(p * n)) / sqrt(var(z) + eps)

        Plain products of differentiable tensors: one backward pass differentiates it by the
        weights.

        Args:
            product: v.
            at: of `with_jacobian`.
        """
        scaled = product * self.gain
        along = (scaled * at.rows).mean(-1, keepdim=True)
        centred = scaled - scaled.mean(-1, keepdim=True)
        return torch.addcmul(centred, at.rows, along, value=-1) * at.inverse
