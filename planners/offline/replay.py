"""Batches of transitions, and ring buffers of them on the device, one per seed, that never
synchronise with the host.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from worldplan.milp.errors import ConfigError
from worldplan.milp.memory import gigabytes, memory_limit


@dataclass(frozen=True, slots=True)
class Batch:
    """Transitions of every seed.

    Args:
        observation: (seeds, batch, observation).
        action: (seeds, batch, action).
        reward: (seeds, batch).
        next_observation: (seeds, batch, observation).
        terminated: (seeds, batch), 0 or 1.
        step: (seeds, batch), the position in a model rollout, from 0; -1 for a row of the dataset.
        cost: (seeds, batch), of the step; None in a task without costs.
    """

    observation: Tensor
    action: Tensor
    reward: Tensor
    next_observation: Tensor
    terminated: Tensor
    step: Tensor
    cost: Tensor | None = None


def pack(batch: Batch) -> Tensor:
    """All columns side by side: (..., 2 observation + action + 3), and one more for costs."""
    scalars = torch.stack(
        [batch.reward, batch.terminated.to(batch.reward.dtype), batch.step.to(batch.reward.dtype)],
        -1,
    )
    rows = torch.cat([batch.observation, batch.next_observation, batch.action, scalars], -1)
    return rows if batch.cost is None else with_costs(rows, batch.cost)


def with_costs(rows: Tensor, cost: Tensor) -> Tensor:
    """Packed rows (..., width) and their costs (...) side by side, (..., width + 1)."""
    return torch.cat([rows, cost.to(rows.dtype).unsqueeze(-1)], -1)


def unpack(rows: Tensor, size: int, *, costs: bool = False) -> Batch:
    """The inverse of `pack`: columns as views of `rows` (..., 2 size + action + 3), with
    observations of length `size`. With `costs`, a last column holds those.
    """
    cost = None
    if costs:
        rows, cost = rows[..., :-1], rows[..., -1]
    observation, next_observation, action, scalars = torch.tensor_split(
        rows, (size, 2 * size, rows.shape[-1] - 3), -1
    )
    reward, terminated, step = scalars.unbind(-1)
    return Batch(observation, action, reward, next_observation, terminated, step, cost)


class RingBuffer(nn.Module):
    """The newest rows of each seed.

    Args:
        seeds: number of buffers.
        capacity: rows of a buffer; when it is full, the oldest rows are overwritten.
        width: numbers in a row.

    Raises:
        ConfigError: they do not fit into memory.
    """

    rows: Tensor
    next: Tensor
    filled: Tensor

    def __init__(self, seeds: int, capacity: int, width: int) -> None:
        super().__init__()
        size = 4 * seeds * (capacity + 1) * width
        if size > memory_limit():
            raise ConfigError(
                f"a buffer of {capacity} rows for each of {seeds} seeds takes {gigabytes(size)}, "
                f"and this process has {gigabytes(memory_limit())} of memory: lower starts, "
                "horizon, retain or seeds"
            )
        self.capacity = capacity
        # one row more than the capacity: rows that are not kept are written there
        self.register_buffer("rows", torch.zeros(seeds, capacity + 1, width))
        self.register_buffer("next", torch.zeros(seeds, 1, dtype=torch.long))
        self.register_buffer("filled", torch.zeros(seeds, 1, dtype=torch.long))

    @torch.no_grad()
    def add(self, rows: Tensor, keep: Tensor) -> None:
        """Add those of `rows` (seeds, n, width) where `keep` (seeds, n) is true; n must not exceed
        the capacity.
        """
        place = (self.next + keep.long().cumsum(1) - 1) % self.capacity
        place = torch.where(keep, place, self.capacity)
        self.rows.scatter_(1, place.unsqueeze(-1).expand_as(rows), rows)
        count = keep.sum(1, keepdim=True)
        self.next.copy_((self.next + count) % self.capacity)
        self.filled.copy_((self.filled + count).clamp_max(self.capacity))

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Random rows (seeds, count, width), uniform with replacement among those of each seed."""
        seeds = len(self.rows)
        uniform = torch.rand(
            (seeds, count), generator=generator, device=self.rows.device, dtype=torch.float64
        )
        index = (uniform * self.filled).long().clamp_max(self.capacity - 1)
        return self.rows[torch.arange(seeds, device=index.device).unsqueeze(1), index]
