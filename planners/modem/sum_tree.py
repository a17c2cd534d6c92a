"""Draws indices in proportion to their priorities in logarithmic time, in batches, on any device
(Schaul et al., 2016).
"""

from __future__ import annotations

import torch
from torch import Tensor


class SumTree:
    """`capacity` priorities as the leaves of a binary tree in which every node holds the sum of
    those below it.
    """

    def __init__(self, capacity: int, device: torch.device | str = "cpu") -> None:
        self.capacity = capacity
        self.depth = max(capacity - 1, 1).bit_length()
        self.size = 1 << self.depth
        self.nodes = torch.zeros(
            2 * self.size, dtype=torch.float64, device=device
        )  # children of node i: 2 i and 2 i + 1; the root is 1

    @property
    def total(self) -> Tensor:
        """Sum of all priorities, ()."""
        return self.nodes[1]

    @property
    def priorities(self) -> Tensor:
        """(capacity,), a view."""
        return self.nodes[self.size : self.size + self.capacity]

    def set(self, index: Tensor, priority: Tensor) -> None:
        """Give the entries `index` (n,) new priorities (n,), at least 0."""
        node = index + self.size
        self.nodes[node] = priority.to(self.nodes.dtype)
        for _ in range(self.depth):
            node = node >> 1
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1]

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count,) indices, each with probability priority / total; only defined when the total is
        above 0.

        The draws are stratified: one from each of `count` equal parts of the total.
        """
        uniform = torch.rand(
            count, generator=generator, device=self.nodes.device, dtype=torch.float64
        )
        mass = (torch.arange(count, device=self.nodes.device) + uniform) / count * self.total
        node = torch.ones(count, dtype=torch.long, device=self.nodes.device)
        for _ in range(self.depth):
            left = self.nodes[2 * node]
            right = (mass >= left) & (
                self.nodes[2 * node + 1] > 0
            )  # rounding must not lead into an empty branch
            mass = torch.where(right, mass - left, mass)
            node = 2 * node + right.long()
        return node - self.size
