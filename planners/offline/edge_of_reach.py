"""Putting the right value into a few targets: shows whether the states at the edge of reach are
what goes wrong.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldplan.envs.edge_of_reach import Plane
from worldplan.planners.offline.replay import Batch

PATCHES = ("none", "oracle", "random")


class OraclePatch:
    """Replaces next values by the oracle's: at the edge of reach ("oracle"), or at as many other
    rows ("random").

    `changed` and `edge` count patched targets and next states at the edge of reach, `seen` all
    targets: per seed, on the device.
    """

    def __init__(
        self,
        plane: Plane,
        horizon: int,
        discount: float,
        kind: str,
        generator: torch.Generator | None = None,
    ) -> None:
        self.plane, self.horizon, self.discount, self.kind, self.generator = (
            plane,
            horizon,
            discount,
            kind,
            generator,
        )
        self.forget()

    def forget(self) -> None:
        """Count from zero."""
        self.changed: Tensor | float = 0.0
        self.edge: Tensor | float = 0.0
        self.seen = 0

    def __call__(self, batch: Batch, action: Tensor, value: Tensor) -> Tensor:
        """The next values (seeds, 1 or critics, batch) to be used."""
        edge = self.plane.is_edge(batch.next_observation, self.horizon)
        self.edge = self.edge + edge.sum(-1)
        self.seen += edge.shape[-1]
        if self.kind == "none":
            return value
        chosen = edge
        if self.kind == "random":  # the same number of rows of each batch, anywhere but at the edge
            luck = torch.rand(edge.shape, generator=self.generator, device=edge.device) + edge
            order = luck.argsort(-1).argsort(-1)
            chosen = order < edge.sum(-1, keepdim=True)
        self.changed = self.changed + chosen.sum(-1)
        return torch.where(
            chosen.unsqueeze(1),
            self.plane.oracle_q(batch.next_observation, action, self.discount).unsqueeze(1),
            value,
        )
