"""A trained ensemble as a dynamics model in which rollouts happen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldplan.envs.dynamics.model import Prediction
from worldplan.envs.dynamics.termination import Termination
from worldplan.world_models.ensemble.model import GaussianEnsemble


class LearnedDynamics:
    """An ensemble as a `DynamicsModel`: in every step each row follows a random elite.

    Predictions that are not finite are passed on as they are.

    Args:
        ensemble: trained; see `load_ensemble`.
        terminate: rule that terminates episodes; see
            `worldplan.envs.dynamics.termination.termination_for`, or a learned classifier.
    """

    state_size = 0

    def __init__(self, ensemble: GaussianEnsemble, terminate: Termination) -> None:
        self.ensemble, self.terminate = ensemble, terminate
        self.observation_size, self.action_size = ensemble.observation_size, ensemble.action_size

    def to(self, device: torch.device | str) -> None:
        """Move ensemble and learned termination rule to `device`."""
        self.ensemble.to(device)
        if isinstance(self.terminate, nn.Module):
            self.terminate.to(device)

    @torch.no_grad()
    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> Prediction:
        """A random step of a batch.

        Args:
            observation: (batch, observation).
            action: (batch, action).
            state: unused, there is none.
            generator: of the draw.
            members: also return the predictions of all elites; the draw is the same, but every
                elite is evaluated on every row.

        Raises:
            ConfigError: observations or actions have other sizes than in training.
        """
        sample, elites = self.ensemble.sample_elite(
            observation, action, generator=generator, members=members
        )
        next_observation, reward = sample[:, :-1], sample[:, -1]
        terminated = self.terminate(observation, action, next_observation)
        return Prediction(next_observation, reward, terminated, members=elites)
