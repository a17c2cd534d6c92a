"""The learning state that RAMP carries from map to map: policy, experience, masks, demonstrations
and random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldplan.planners.numeric.symbolic_env import SymbolicEnv
from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.planners.ramp.knowledge.information import Information
from worldplan.planners.ramp.knowledge.masks import Masks
from worldplan.planners.ramp.knowledge.views import View
from worldplan.planners.ramp.policy import DemonstratedStep, PolicyLearner
from worldplan.planners.ramp.settings import RampSettings
from worldplan.world_models.numeric.domain import Vocabulary
from worldplan.world_models.training.seeds import derived_seed


class Agent:
    """The learning parts of RAMP.

    Args:
        env: gives the spaces.
        vocabulary: the domain without preconditions and effects.
        settings: of the run.
        seed: of all random numbers.

    Attributes:
        demonstrations: the steps of the best trajectory of each map, by number of the map.
        goal_seen: whether the goal was reached on any map.
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
        self.demonstrations: dict[int, list[DemonstratedStep]] = {}
        self.goal_seen = False
        self._information: Information | None = None

    @property
    def information(self) -> Information:
        """What tries would tell, for the current experience."""
        if self._information is None or self._information.version != self.experience.version:
            self._information = Information(self.experience)
        return self._information

    def sample(
        self,
        observation: np.ndarray,
        mask: NDArray[np.bool_],
        views: Sequence[View],
        curiosity: float,
    ) -> tuple[int, float]:
        """Sample an action from the mixture of policy and exploration.

        Args:
            observation: (size,).
            mask: actions that may be drawn, bool (actions,).
            views: of every action; used if `curiosity` is not 0.
            curiosity: weight of the exploring distribution, 0 to 1.

        Returns:
            The action, and its probability in the mixture.
        """
        probabilities = self.policy.probabilities(observation, mask)
        if curiosity:
            explored = self._exploring_distribution(mask, views)
            probabilities = (1 - curiosity) * probabilities + curiosity * explored
        action = int(self.generator.choice(len(probabilities), p=probabilities))
        return action, float(probabilities[action])

    def _exploring_distribution(
        self, mask: NDArray[np.bool_], views: Sequence[View]
    ) -> NDArray[np.float64]:
        """Probabilities (actions,) over the most informative actions, or those with the least tried
        views, as the settings say; the latter where nothing is informative. Uniform over original
        actions, then over the views of each, then over the gym actions of a view.
        """
        allowed = np.flatnonzero(mask).tolist()
        if self.settings.explorer == "informative":
            bits = [self.information.bits(views[action]) for action in allowed]
            if (most := max(bits)) > 0:
                best = [a for a, value in zip(allowed, bits, strict=True) if value == most]
                return self._spread(best, views)
        tries = [self.experience.tries.get(views[action], 0) for action in allowed]
        least = min(tries)
        rare = [action for action, count in zip(allowed, tries, strict=True) if count == least]
        return self._spread(rare, views)

    def _spread(self, chosen: Sequence[int], views: Sequence[View]) -> NDArray[np.float64]:
        """Probabilities (actions,) over the chosen gym actions, as in `_exploring_distribution`."""
        groups: dict[str, dict[View, list[int]]] = {}  # original action -> view -> gym actions
        for action in chosen:
            name = self.experience.views.splitter.base(views[action].call[0])
            groups.setdefault(name, {}).setdefault(views[action], []).append(action)
        probabilities = np.zeros(len(views))
        for actions_of_view in groups.values():
            for actions in actions_of_view.values():
                probabilities[actions] = 1 / (len(groups) * len(actions_of_view) * len(actions))
        return probabilities

    def learn(self) -> None:
        """Update the policy from its recorded steps and all demonstrations.

        Raises:
            Diverged: the policy's weights are not finite.
        """
        self.policy.update([step for steps in self.demonstrations.values() for step in steps])

    def finish_map(self) -> None:
        """Make the last policy update of a map and clear what is kept per map.

        Raises:
            Diverged: the policy's weights are not finite.
        """
        if len(self.policy) or self.demonstrations:
            self.learn()
        self.masks.clear()
        self.experience.views.clear_cache()

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors, for `load_state_dict`. Complete between two maps only."""
        demonstrations = {
            number: [
                (torch.as_tensor(step.observation), step.action, torch.as_tensor(step.mask))
                for step in steps
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
        """Restore the result of `state_dict` into a new agent.

        Raises:
            CheckpointError: the policy has other sizes.
        """
        self.policy.load_state_dict(state["policy"])
        self.experience.load_state_dict(state["experience"])
        self.demonstrations = {
            number: [
                DemonstratedStep(observation.numpy(), action, mask.numpy())
                for observation, action, mask in steps
            ]
            for number, steps in state["demonstrations"].items()
        }
        self.goal_seen = state["goal_seen"]
        self.generator.bit_generator.state = state["generator"]
