"""Slow argmaxes of the training, greedy or by MILP, remembered per state as in the publication."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.networks.argmax import NetworkArgmax
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.sequoia.action_pool import greedy_best
from worldplan.planners.bandits.sequoia.network import QNetwork
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings

STEPS = 250  # gradient steps for which an argmax is remembered


class RememberedArgmax:
    """Best actions by state and steps to go, of a network that changes.

    Args:
        instance: the feasible actions.
        settings: argmax is "greedy" or "milp".
        solver: of the MILPs.
    """

    def __init__(
        self, instance: BanditInstance, settings: SequoiaSettings, solver: SolverSettings
    ) -> None:
        self._actions, self._settings, self._solver = instance.actions, settings, solver
        self._memo: dict[bytes, np.ndarray] = {}

    def best(self, network: QNetwork, state: Tensor, left: Tensor, step: int) -> Tensor:
        """Actions (b, components) for states (b, arms) and steps to go (b,) at a gradient step."""
        if step % STEPS == 0:
            self._memo.clear()
        keys = [row.tobytes() for row in torch.cat([state, left[:, None]], 1).numpy()]
        new = sorted(
            {key: place for place, key in enumerate(keys) if key not in self._memo}.values()
        )
        if new:
            find = self._greedy if self._settings.argmax == "greedy" else self._exact
            for place, action in zip(new, find(network, state[new], left[new]), strict=True):
                self._memo[keys[place]] = action
        return torch.as_tensor(np.stack([self._memo[key] for key in keys]), dtype=torch.float32)

    def saved(self) -> list[tuple[Tensor, Tensor]]:
        """Pairs of (arms + 1,), joint state and steps to go, and the action (components,)."""
        return [
            (torch.as_tensor(np.frombuffer(key, np.int64).copy()), torch.as_tensor(action))
            for key, action in self._memo.items()
        ]

    def restore(self, saved: list[tuple[Tensor, Tensor]]) -> None:
        """Take over the pairs that `saved` returned: (arms + 1,) and (components,) each."""
        self._memo = {key.numpy().tobytes(): action.numpy() for key, action in saved}

    def _greedy(self, network: QNetwork, state: Tensor, left: Tensor) -> list[np.ndarray]:
        return list(greedy_best(network, self._actions, state, left).numpy())

    def _exact(self, network: QNetwork, state: Tensor, left: Tensor) -> list[np.ndarray]:
        networks = network.action_networks(state.numpy(), left.numpy())
        solver = NetworkArgmax(networks[0], self._actions, self._solver)
        return [solver.maximise(network).action for network in networks]
