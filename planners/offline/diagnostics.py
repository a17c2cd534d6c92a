"""Values and disagreement of the critics on a batch of model transitions."""

from __future__ import annotations

import torch
from torch import Tensor

from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.replay import Batch


@torch.no_grad()
def value_statistics(agent: ReachAware, batch: Batch) -> dict[str, Tensor]:
    """Statistics per seed, each (seeds,): the mean Q ("q"), and the median `critic_spread` at the
    next states of last rollout steps ("spread_last_step") and of earlier steps ("spread_earlier").
    """
    spread = critic_spread(agent, batch)
    is_last = batch.step == agent.settings.horizon - 1
    return {
        "q": agent.critics(batch.observation, batch.action).mean((1, 2)),
        "spread_last_step": masked_median(spread, is_last),
        "spread_earlier": masked_median(spread, ~is_last),
    }


@torch.no_grad()
def critic_spread(agent: ReachAware, batch: Batch) -> Tensor:
    """Standard deviation over the critics at the next states and the policy's mean actions there,
    (seeds, batch).
    """
    action = agent.actor.mean_action(batch.next_observation)
    spread: Tensor = agent.critics(batch.next_observation, action).std(1, correction=0)
    return spread


def masked_median(values: Tensor, mask: Tensor) -> Tensor:
    """Median per seed of those `values` (seeds, batch) where `mask` (seeds, batch) is true,
    (seeds,); NaN for a seed without such an entry.
    """
    median: Tensor = torch.where(mask, values, torch.nan).nanmedian(-1).values
    return median
