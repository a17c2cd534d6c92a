"""Greedy decisions on a Q-network, as the iterative DQN baseline of SEQUOIA makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from worldplan.envs.bandits.environment import BanditInstance
from worldplan.planners.bandits.baselines import IterativeQPolicy
from worldplan.planners.bandits.observations import state_of, steps_left_of
from worldplan.planners.bandits.sequoia.network import QNetwork


def greedy_planner(instance: BanditInstance, network: QNetwork) -> IterativeQPolicy:
    """Greedy decisions on the values of a network, component by component."""

    def value(observation: Any, actions: np.ndarray) -> np.ndarray:
        state = torch.as_tensor(state_of(instance, observation)[None].copy())
        left = torch.as_tensor([steps_left_of(instance, observation)])
        candidates = torch.as_tensor(np.asarray(actions, dtype=np.float32))[None]
        with torch.no_grad():
            planned = np.asarray(network(state, left, candidates)[0].numpy(), dtype=float)
        return network.unit * planned + network.offset(left.numpy())

    return IterativeQPolicy(instance, value)
