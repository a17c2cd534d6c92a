"""Episodes simulated side by side during Q-learning, and the replay that they fill."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.bandits.environment import BanditInstance, draw
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.planners.bandits.sequoia.targets import expected_reward


def draw_states(
    instance: BanditInstance, settings: SequoiaSettings, rng: np.random.Generator, count: int
) -> tuple[Tensor, Tensor]:
    """Joint states (count, arms) and steps to go (count,).

    With the coverage "all": half uniform over all joint states, half with a common distribution
    over the states of all arms, so that crowds occur too. With "start": the start distribution.
    """
    model = instance.dynamics
    left = torch.as_tensor(rng.integers(1, instance.horizon + 1, count))
    if settings.coverage == "start":
        return torch.as_tensor(instance.draw_start(rng, count)), left
    state = rng.integers(model.states, size=(count, model.arms))
    common = rng.dirichlet(np.full(model.states, 0.5), count // 2)
    state[: len(common)] = draw(common[:, None], rng.random((len(common), model.arms)))
    if model.own_states is not None:  # spread what lies beyond over the arm's own states
        state %= model.own_states
    return torch.as_tensor(state), left


class Simulation:
    """Simulated episodes and their replay.

    Args:
        instance: arms, feasible actions and horizon.
        settings: of the learning.

    Attributes:
        stores: the replay's columns by name, and under "_state" and "_left" where the episodes
            stand; empty before the first step.
        written: transitions so far, also those that were overwritten.
    """

    def __init__(self, instance: BanditInstance, settings: SequoiaSettings) -> None:
        self._instance, self._settings = instance, settings
        self.stores: dict[str, Tensor] = {}
        self.written = 0

    def sample(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """A batch of transitions: "state" and "next" (batch, arms), "left" and "reward" (batch,),
        "action" (batch, components).
        """
        size = min(self.written, self._settings.replay)
        chosen = torch.as_tensor(rng.integers(size, size=self._settings.batch))
        return {name: store[chosen] for name, store in self.stores.items() if name[0] != "_"}

    def step(
        self,
        argmax: Callable[[Tensor, Tensor], Tensor],
        pool: Tensor,
        update: int,
        rng: np.random.Generator,
    ) -> None:
        """One step of all episodes, into the replay.

        Args:
            argmax: best actions (b, components) for states (b, arms) and steps to go (b,).
            pool: (n, components) feasible actions, of which the random ones are drawn.
            update: gradient steps of Q-learning so far: exploration falls with them.
            rng: of exploration and moves.
        """
        s, model = self._settings, self._instance.dynamics
        if not self.stores:
            self._make_stores(rng)
        state, left = self.stores["_state"], self.stores["_left"]
        action = argmax(state, left)
        first, last = s.explore
        share = last + (first - last) * np.exp(-3.0 * update / max(s.updates, 1))
        explore = torch.as_tensor(rng.random(len(state)) < share)
        action[explore] = pool[rng.integers(len(pool), size=int(explore.sum()))]
        reward = expected_reward(self._instance, state, left, action[:, None])[:, 0]
        after = torch.as_tensor(model.sample_next(state.numpy(), action.numpy(), rng))
        place = (self.written + torch.arange(len(state))) % s.replay
        for name, value in {
            "state": state,
            "left": left,
            "action": action,
            "reward": reward,
            "next": after,
        }.items():
            self.stores[name][place] = value
        self.written += len(state)
        self._begin_new(after, left - 1, rng)

    def _begin_new(self, state: Tensor, left: Tensor, rng: np.random.Generator) -> None:
        """Replace the episodes that are over; half of the new ones start anywhere, at any time."""
        fresh, steps = draw_states(self._instance, self._settings, rng, len(state))
        starts = torch.as_tensor(self._instance.draw_start(rng, len(state)))
        over = left <= 0
        wide = torch.as_tensor(rng.random(len(state)) < 0.5)
        fresh = torch.where(wide[:, None], fresh, starts)
        steps = torch.where(wide, steps, torch.full_like(steps, self._instance.horizon))
        self.stores["_state"] = torch.where(over[:, None], fresh, state)
        self.stores["_left"] = torch.where(over, steps, left)

    def _make_stores(self, rng: np.random.Generator) -> None:
        s, model = self._settings, self._instance.dynamics
        state, left = draw_states(self._instance, s, rng, s.episodes)
        joint = (s.replay, model.arms)
        self.stores = {
            "state": torch.zeros(joint, dtype=torch.int64),
            "next": torch.zeros(joint, dtype=torch.int64),
            "left": torch.zeros(s.replay, dtype=torch.int64),
            "_state": state,
            "_left": left,
            "action": torch.zeros(s.replay, model.components),
            "reward": torch.zeros(s.replay),
        }
