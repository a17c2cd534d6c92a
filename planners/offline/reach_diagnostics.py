"""What a training should tell about the edge of reach."""

from __future__ import annotations

import torch
from torch import Tensor

from worldplan.envs.edge_of_reach import Plane
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.replay import Batch


@torch.no_grad()
def reach_figures(agent: ReachAware, batch: Batch, plane: Plane | None) -> dict[str, Tensor]:
    """Figures per seed on a batch of model transitions.

    Always: mean Q, and the spread of the critics at the next states of last rollout steps against
    earlier ones. On the plane: the oracle's Q on the same rows, and the spread (median) at next
    states beyond the edge of reach and within.
    """
    settings = agent.settings
    found = {"q": agent.critics(batch.observation, batch.action).mean((1, 2))}
    spread = next_spread(agent, batch)
    last = batch.step == settings.horizon - 1
    found["spread_last_step"], found["spread_earlier"] = (
        _masked_median(spread, last),
        _masked_median(spread, ~last),
    )
    if plane is not None:
        found["oracle_q"] = plane.oracle_q(batch.observation, batch.action, settings.discount).mean(
            -1
        )
        edge = plane.is_edge(batch.next_observation, settings.horizon)
        found["spread_edge"], found["spread_within"] = (
            _masked_median(spread, edge),
            _masked_median(spread, ~edge),
        )
        found["edge_rows"] = edge.float().mean(-1)
    return found


@torch.no_grad()
def next_spread(agent: ReachAware, batch: Batch) -> Tensor:
    """Standard deviation over the critics at the next state and the policy's action there, (seeds,
    batch).
    """
    return agent.critics(
        batch.next_observation, agent.actor.mean_action(batch.next_observation)
    ).std(1, correction=0)


def _masked_median(values: Tensor, mask: Tensor) -> Tensor:
    """Median of the chosen entries per seed; NaN where there is none."""
    return torch.where(mask, values, torch.nan).nanmedian(-1).values
