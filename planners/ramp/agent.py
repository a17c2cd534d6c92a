"""What RAMP carries from map to map: policy, experience, masks, the trajectories to imitate, and
its random stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from worldplan.planners.numeric.symbolic_env import SymbolicEnv
from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.planners.ramp.knowledge.masks import Masks
from worldplan.planners.ramp.knowledge.views import View
from worldplan.planners.ramp.policy import Demonstration, PolicyLearner
from worldplan.planners.ramp.settings import RampSettings
from worldplan.world_models.numeric.domain import Vocabulary
from worldplan.world_models.training.seeds import derived_seed


class Agent:
    """The learning parts.

    Args:
        env: gives the spaces.
        vocabulary: the domain without preconditions and effects.
        settings: of the run.
        seed: fixes everything that is random.
    """

    def __init__(
        self, env: SymbolicEnv, vocabulary: Vocabulary, settings: RampSettings, seed: int
    ) -> None:
        self.settings = settings
        self.experience = Experience(vocabulary, settings.declarations, settings.default)
        self.masks = Masks(settings.masks, self.experience)
        self.policy = PolicyLearner(
            env.observation_space, env.action_space, settings, derived_seed(seed, 0)
        )
        self.generator = np.random.default_rng([seed, 1])
        self.demonstrations: dict[int, list[Demonstration]] = {}
        self.goal_seen = False

    def draw(
        self, observation: np.ndarray, mask: np.ndarray, views: Sequence[View], curiosity: float
    ) -> tuple[int, float]:
        """An action and the probability with which it was drawn."""
        chances = self.policy.probabilities(observation, mask)
        if curiosity:
            chances = (1 - curiosity) * chances + curiosity * self._curious(mask, views)
        action = int(self.generator.choice(len(chances), p=chances))
        return action, float(chances[action])

    def _curious(self, mask: np.ndarray, views: Sequence[View]) -> np.ndarray:
        """The least tried views: equal chances for actions, for each action's views, and for the
        calls that look the same.
        """
        allowed = np.flatnonzero(mask).tolist()
        tries = [self.experience.tries.get(views[action], 0) for action in allowed]
        least = min(tries)
        groups: dict[str, dict[View, list[int]]] = {}
        for action, count in zip(allowed, tries, strict=True):
            if count == least:
                name = self.experience.views.calls.base(views[action].call[0])
                groups.setdefault(name, {}).setdefault(views[action], []).append(action)
        chances = np.zeros(len(views))
        for looks in groups.values():
            for actions in looks.values():
                chances[actions] = 1 / (len(groups) * len(looks) * len(actions))
        return chances

    def learn(self) -> None:
        """Update the policy."""
        self.policy.update([step for steps in self.demonstrations.values() for step in steps])

    def leave_map(self) -> None:
        """Learn from what is left over, and let go of what belongs to this map alone."""
        if len(self.policy) or self.demonstrations:
            self.learn()
        self.masks.forget()
        self.experience.views.forget()

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors; to be asked between maps."""
        demonstrations = {
            number: [
                (torch.as_tensor(one.observation), one.action, torch.as_tensor(one.mask))
                for one in steps
            ]
            for number, steps in self.demonstrations.items()
        }
        return {
            "policy": self.policy.state_dict(),
            "experience": self.experience.state_dict(),
            "demonstrations": demonstrations,
            "goal_seen": self.goal_seen,
            "generator": self.generator.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over into a fresh agent what `state_dict` gave. Raises CheckpointError."""
        self.policy.load_state_dict(state["policy"])
        self.experience.load_state_dict(state["experience"])
        self.demonstrations = {
            number: [
                Demonstration(observation.numpy(), action, mask.numpy())
                for observation, action, mask in steps
            ]
            for number, steps in state["demonstrations"].items()
        }
        self.goal_seen = state["goal_seen"]
        self.generator.bit_generator.state = state["generator"]
