"""Ring buffers of transitions on the device, one per seed, without a host synchronisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Batch:
    """Transitions of every seed: observation (seeds, batch, o), action (seeds, batch, a), the
    others (seeds, batch).

    `step` is the position in its model rollout counted from 0, or -1 for a row of the dataset;
    `terminated` is 0 or 1.
    """

    observation: Tensor
    action: Tensor
    reward: Tensor
    next_observation: Tensor
    terminated: Tensor
    step: Tensor


def pack(batch: Batch) -> Tensor:
    """All columns side by side: (..., 2 o + a + 3)."""
    scalars = torch.stack(
        [batch.reward, batch.terminated.to(batch.reward.dtype), batch.step.to(batch.reward.dtype)],
        -1,
    )
    return torch.cat([batch.observation, batch.next_observation, batch.action, scalars], -1)


def unpack(rows: Tensor, observation: int) -> Batch:
    """The inverse of `pack`."""
    action = rows.shape[-1] - 2 * observation - 3
    first, second, actions, scalars = rows.split([observation, observation, action, 3], -1)
    reward, terminated, step = scalars.unbind(-1)
    return Batch(first, actions, reward, second, terminated, step)


class RingBuffer(nn.Module):
    """The last `capacity` rows of `width` numbers for each seed; old rows are overwritten first."""

    rows: Tensor
    next: Tensor
    filled: Tensor

    def __init__(self, seeds: int, capacity: int, width: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.register_buffer(
            "rows", torch.zeros(seeds, capacity + 1, width)
        )  # the last row takes what is not to be kept
        self.register_buffer("next", torch.zeros(seeds, 1, dtype=torch.long))
        self.register_buffer("filled", torch.zeros(seeds, 1, dtype=torch.long))

    @torch.no_grad()
    def add(self, rows: Tensor, keep: Tensor) -> None:
        """Write those of `rows` (seeds, n, width) where `keep` (seeds, n) is true; n must not
        exceed the capacity.
        """
        place = (self.next + keep.long().cumsum(1) - 1) % self.capacity
        place = torch.where(keep, place, self.capacity)
        self.rows.scatter_(1, place.unsqueeze(-1).expand_as(rows), rows)
        count = keep.sum(1, keepdim=True)
        self.next.copy_((self.next + count) % self.capacity)
        self.filled.copy_((self.filled + count).clamp_max(self.capacity))

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(seeds, count, width), uniform with replacement among the rows of each seed."""
        seeds = len(self.rows)
        uniform = torch.rand(
            (seeds, count), generator=generator, device=self.rows.device, dtype=torch.float64
        )
        index = (uniform * self.filled).long().clamp_max(self.capacity - 1)
        return self.rows[torch.arange(seeds, device=index.device).unsqueeze(1), index]
