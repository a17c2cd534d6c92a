"""Argmaxes for training: batched over a pool of feasible actions, greedy, or exact and remembered
per state as in the publication.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.networks.argmax import NetworkArgmax
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.sequoia.network import QNetwork
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings

STEPS = 250  # gradient steps for which an argmax is remembered
_SHORTLIST = 48  # actions of the pool that the network evaluates


class ActionPool:
    """A fixed pool of feasible actions; the argmax is over the pool.

    All actions are ranked by the sum of their components' gains, then the best are evaluated.

    Args:
        actions: the feasible set.
        size: actions drawn; the pool keeps distinct ones.
        rng: of the random actions.
        weights: draws random weights (components,); every second action is then filled by
            decreasing weight instead of at random.
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
        """The best ranked actions of the pool for each state, (b, count, components).

        Args:
            network: gives the gains.
            state: (b, arms).
            left: (b,) steps to go.
            count: actions per state, at most the pool.
            noise: adds uniform noise of up to that many standard deviations to the ranking.
        """
        size = self.actions.shape[1]
        # nothing, and each component alone
        singles = torch.cat([torch.zeros(1, size), torch.eye(size)]).expand(len(state), -1, -1)
        values = network(state, left, singles)
        score = (values[:, 1:] - values[:, :1]) @ self.actions.T
        if noise:
            score = score + noise * score.std(1, keepdim=True) * torch.rand(score.shape)
        return self.actions[score.topk(min(count, len(self.actions)), dim=1).indices]

    @torch.no_grad()
    def best(self, network: QNetwork, state: Tensor, left: Tensor) -> Tensor:
        """The best action of the shortlist, (b, components), for states (b, arms)."""
        candidates = self.shortlist(network, state, left)
        return pick(candidates, network(state, left, candidates).argmax(1))


def pick(candidates: Tensor, index: Tensor) -> Tensor:
    """candidates[i, index[i]] for each i, (b, components).

    Args:
        candidates: (b, m, components).
        index: (b,).
    """
    return candidates[torch.arange(len(candidates)), index]


@torch.no_grad()
def greedy_best(network: QNetwork, actions: ActionSet, state: Tensor, left: Tensor) -> Tensor:
    """Greedy actions, (b, components), for states (b, arms) and steps to go (b,).

    In each state the component that raises the value most is added, while the action stays feasible
    (below the set's `least`, even if the value falls).
    """
    weight, bias, skip, _ = network.given(state, left)
    chosen = torch.zeros(len(state), actions.size)
    open_ = torch.as_tensor(actions.selectable).repeat(len(state), 1)
    count = torch.zeros(len(state), dtype=torch.int64)
    value = network.tail(bias)[:, 0] + network.beside(state, left, chosen[:, None])[:, 0]
    while open_.any():
        first = (chosen[:, None] @ weight.transpose(1, 2))[:, 0] + bias
        after = (
            network.tail(first[:, None] + weight.transpose(1, 2))[..., 0]
            + (chosen * skip).sum(1, keepdim=True)
            + skip
            + network.beside_next(state, left, chosen)
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


def corners(rng: np.random.Generator, count: int, size: int) -> Tensor:
    """Nothing, and a single random component, (count, 2, size): they anchor the function even where
    the set does not allow them.
    """
    zero, one = (
        np.zeros((count, 1, size), np.float32),
        np.eye(size, dtype=np.float32)[rng.integers(size, size=(count, 1))],
    )
    return torch.as_tensor(np.concatenate([zero, one], axis=1))
