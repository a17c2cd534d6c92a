"""Batched, approximate argmax for training: a pool of feasible actions, ranked linearly, then by
the network.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from worldplan.milp.sets.base import Action, ActionSet
from worldplan.planners.bandits.sequoia.network import QNetwork

_SHORTLIST = 48


class ActionPool:
    """Feasible actions to choose from: random maximal ones and, when weights are given, ones filled
    by weight.
    """

    def __init__(
        self,
        actions: ActionSet,
        size: int,
        rng: np.random.Generator,
        weights: Callable[[], np.ndarray] | None = None,
    ) -> None:
        drawn: list[Action] = [actions.default()]
        for number in range(size):
            if weights is not None and number % 2:
                drawn.append(actions.fill(np.argsort(-weights())))
            else:
                drawn.append(actions.sample(rng))
        self.actions = torch.as_tensor(np.unique(np.stack(drawn), axis=0), dtype=torch.float32)

    @torch.no_grad()
    def shortlist(
        self,
        network: QNetwork,
        state: Tensor,
        left: Tensor,
        count: int = _SHORTLIST,
        noise: float = 0.0,
    ) -> Tensor:
        """The most promising actions of the pool per state, (b, count, components), by their
        components' own gains.

        `noise` perturbs the ranking by that many standard deviations, to see a wider choice.
        """
        size = self.actions.shape[1]
        ask = torch.cat([torch.zeros(1, size), torch.eye(size)]).expand(len(state), -1, -1)
        values = network(state, left, ask)
        score = (values[:, 1:] - values[:, :1]) @ self.actions.T
        if noise:
            score = score + noise * score.std(1, keepdim=True) * torch.rand(score.shape)
        return self.actions[score.topk(min(count, len(self.actions)), dim=1).indices]

    @torch.no_grad()
    def best(self, network: QNetwork, state: Tensor, left: Tensor) -> Tensor:
        """The best action found per state, (b, components)."""
        candidates = self.shortlist(network, state, left)
        return pick(candidates, network(state, left, candidates).argmax(1))


def pick(candidates: Tensor, index: Tensor) -> Tensor:
    """candidates[i, index[i]] for each i."""
    return candidates[torch.arange(len(candidates)), index]


@torch.no_grad()
def greedy_best(network: QNetwork, actions: ActionSet, state: Tensor, left: Tensor) -> Tensor:
    """Greedy actions, (b, components): per state, add the component that helps most while the
    action stays feasible.
    """
    weight, bias, skip, _ = network.given(state, left)
    chosen = torch.zeros(len(state), actions.size)
    open_ = torch.as_tensor(actions.selectable).repeat(len(state), 1)
    count = torch.zeros(len(state), dtype=torch.int64)
    value = network.tail(bias)[:, 0]
    while open_.any():
        first = (chosen[:, None] @ weight.transpose(1, 2))[:, 0] + bias
        after = (
            network.tail(first[:, None] + weight.transpose(1, 2))[..., 0]
            + (chosen * skip).sum(1, keepdim=True)
            + skip
        )
        best, component = after.masked_fill(~open_, -torch.inf).max(1)
        open_ &= (((best > value) | (count < actions.least)) & (count < actions.most))[:, None]
        for row in torch.nonzero(open_.any(1))[:, 0].tolist():
            candidate = chosen[row].numpy().astype(np.int8)
            candidate[component[row]] = 1
            open_[row, component[row]] = False
            if int(count[row]) + 1 < actions.least or actions.probably_contains(candidate):
                chosen[row, component[row]] = 1.0
                count[row] += 1
                value[row] = best[row]
    return chosen
