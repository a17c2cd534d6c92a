"""Batched, approximate argmax for training: a pool of feasible actions, ranked linearly, then by the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from envs.bandits import BanditInstance
from milp.actions import Action, ActionSet
from planners.bandit_rules import greedy_action
from planners.q_network import QNetwork

_SHORTLIST = 48


class ActionPool:
    """Feasible actions to choose from: random maximal ones and, when weights are given, ones filled by weight."""

    def __init__(self, actions: ActionSet, size: int, rng: np.random.Generator, weights: Callable[[], np.ndarray] | None = None) -> None:
        drawn: list[Action] = [actions.default()]
        for number in range(size):
            if weights is not None and number % 2:
                drawn.append(actions.fill(np.argsort(-weights())))
            else:
                drawn.append(actions.sample(rng))
        self.actions = torch.as_tensor(np.unique(np.stack(drawn), axis=0), dtype=torch.float32)

    @torch.no_grad()
    def shortlist(self, network: QNetwork, state: Tensor, left: Tensor, count: int = _SHORTLIST, noise: float = 0.0) -> Tensor:
        """The most promising actions of the pool per state, (b, count, components), by their components' own gains.

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
def greedy_best(network: QNetwork, instance: BanditInstance, state: Tensor, left: Tensor) -> Tensor:
    """Component-by-component greedy actions, (b, components)."""
    found = []
    for networks in network.action_networks(state.numpy(), left.numpy()):
        found.append(greedy_action(networks, instance.actions)[0])
    return torch.as_tensor(np.stack(found), dtype=torch.float32)
