"""Exact next values in a few targets, where an oracle has them: a test of whether the states at the
edge of reach are what goes wrong (Sims et al., 2024).
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldplan.envs.edge_of_reach import Plane
from worldplan.planners.offline.replay import Batch

PATCHES = ("none", "oracle", "random")


class OraclePatch:
    """Replaces the critics' next values by the oracle's in some rows: a `NextValue` of
    `worldplan.planners.offline.agent`.

    Args:
        plane: the oracle.
        horizon: k, steps of a model rollout.
        discount: gamma.
        patch: the rows that take the oracle's value: "none"; "oracle", those whose next state lies
            at the edge of reach; "random", as many rows of each batch away from the edge.
        generator: of the random rows.

    Attributes:
        changed: targets patched so far, (seeds,), on the device.
        edge: targets so far whose next state lies at the edge of reach, (seeds,), on the device.
        seen: targets so far, of each seed.
    """

    def __init__(
        self,
        plane: Plane,
        horizon: int,
        discount: float,
        patch: str,
        generator: torch.Generator | None = None,
    ) -> None:
        self.plane, self.horizon, self.discount = plane, horizon, discount
        self.patch, self.generator = patch, generator
        self.reset_counts()

    def reset_counts(self) -> None:
        """Set `changed`, `edge` and `seen` to zero."""
        self.changed: Tensor | float = 0.0
        self.edge: Tensor | float = 0.0
        self.seen = 0

    def __call__(self, batch: Batch, action: Tensor, value: Tensor) -> Tensor:
        """Next values after the patch.

        Args:
            batch: transitions.
            action: (seeds, batch, action) the policy's actions in the next states.
            value: (seeds, 1 or critics, batch) the critics' values of those actions.
        """
        edge = self.plane.is_edge(batch.next_observation, self.horizon)
        self.edge = self.edge + edge.sum(-1)
        self.seen += edge.shape[-1]
        if self.patch == "none":
            return value
        patched = edge
        if self.patch == "random":  # the rows of lowest rank; uniform + 1 puts edge rows last
            uniform = torch.rand(edge.shape, generator=self.generator, device=edge.device)
            rank = (uniform + edge).argsort(-1).argsort(-1)
            patched = rank < edge.sum(-1, keepdim=True)
        self.changed = self.changed + patched.sum(-1)
        oracle_value = self.plane.oracle_q(batch.next_observation, action, self.discount)
        return torch.where(patched.unsqueeze(1), oracle_value.unsqueeze(1), value)
