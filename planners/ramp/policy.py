"""The policy of RAMP: MaskablePPO of sb3-contrib, fed by a loop of our own, and imitation of the
best known trajectories.

The clipped ratio of PPO is only right for steps that were drawn from a known distribution, so each
step comes with the probability with which it really was drawn. Planned steps were not drawn: they
are imitated instead, by cross-entropy under their masks (self-imitation, Oh et al. 2018, filtered
down to the one best trajectory of each map).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer
from stable_baselines3.common.logger import Logger

from worldplan.milp.errors import CheckpointError, Diverged
from worldplan.planners.ramp.settings import RampSettings
from worldplan.world_models.training.seeds import derived_seed

IMITATION_BATCH = 256


class Demonstration(NamedTuple):
    """One step to imitate."""

    observation: np.ndarray
    action: int
    mask: np.ndarray


@dataclass
class _Step:
    """One step of the policy; `after` is what was observed next, where it was cut off there and not
    ended by the environment.
    """

    observation: np.ndarray
    action: int
    mask: np.ndarray
    log_probability: float
    reward: float
    first: bool
    after: np.ndarray | None = None


class _Spaces(gym.Env):
    """An environment of which only the spaces are looked at."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Discrete) -> None:
        self.observation_space, self.action_space = observation_space, action_space


class PolicyLearner:
    """Acts, collects its own steps, and learns from them and from demonstrations.

    Args:
        observation_space, action_space: of the environment; vectors in, numbered actions out.
        settings: of the run.
        seed: fixes the first weights and the order of minibatches.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Discrete,
        settings: RampSettings,
        seed: int,
    ) -> None:
        self.settings, self.seed, self.updates = settings, seed, 0
        self._steps: list[_Step] = []
        self._open = False
        with _borrowed_globals(derived_seed(seed, 0)):
            self.ppo = MaskablePPO(
                "MlpPolicy",
                _Spaces(observation_space, action_space),
                learning_rate=settings.learning_rate,
                n_steps=settings.rollout,
                batch_size=settings.rollout,
                n_epochs=settings.epochs,
                gamma=settings.gamma,
                gae_lambda=settings.gae_lambda,
                clip_range=settings.clip_range,
                ent_coef=settings.ent_coef,
                vf_coef=settings.vf_coef,
                max_grad_norm=settings.max_grad_norm,
                policy_kwargs={"net_arch": list(settings.net)},
                device="cpu",
            )
        self.ppo.set_logger(Logger(folder=None, output_formats=[]))
        self.ppo.policy.set_training_mode(False)

    def __len__(self) -> int:
        return len(self._steps)

    def probabilities(self, observation: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Of every action (actions,), float64; 0 where masked."""
        logits = self._logits(torch.as_tensor(observation[None]))[0].double().numpy()
        logits = np.where(mask, logits, -np.inf)
        weights = np.exp(logits - logits.max())
        return weights / weights.sum()

    def record(
        self,
        observation: np.ndarray,
        action: int,
        mask: np.ndarray,
        probability: float,
        reward: float,
    ) -> None:
        """A step that was drawn with this probability."""
        self._steps.append(
            _Step(observation, action, mask, math.log(probability), reward, not self._open)
        )
        self._open = True

    def end(self, after: np.ndarray | None) -> None:
        """The policy's steps are broken off here.

        Args:
            after: None if the environment terminated; else the next observation, whose value stands
                for the rewards to come.
        """
        if self._open:
            self._steps[-1].after = after
            self._open = False

    def update(self, demonstrations: Sequence[Demonstration]) -> None:
        """Learn from the steps since the last update (PPO), then imitate. Raises Diverged."""
        self.updates += 1
        with _borrowed_globals(derived_seed(self.seed, self.updates)):
            if len(self._steps) > 1:  # advantages of a single step cannot be normalised
                self.ppo.rollout_buffer = self._buffer()
                self.ppo.train()
            self._steps, self._open = [], False
            self._imitate(demonstrations)
        if not all(torch.isfinite(parameter).all() for parameter in self.ppo.policy.parameters()):
            raise Diverged(
                f"the policy's weights are not finite after update {self.updates}: lower learning_rate"
            )
        self.ppo.policy.set_training_mode(False)

    def _logits(self, observations: torch.Tensor) -> torch.Tensor:
        policy = self.ppo.policy
        with torch.no_grad():
            features = policy.extract_features(observations.float(), policy.pi_features_extractor)
            assert isinstance(
                features, torch.Tensor
            )  # not shared: one extractor for the actor alone
            return policy.action_net(policy.mlp_extractor.forward_actor(features))

    @torch.no_grad()
    def _values(self, observations: Sequence[np.ndarray]) -> torch.Tensor:
        return self.ppo.policy.predict_values(
            torch.as_tensor(np.stack(observations)).float()
        ).flatten()

    def _buffer(self) -> MaskableRolloutBuffer:
        """The collected steps, the value of what follows added where they were cut off."""
        steps, ppo = self._steps, self.ppo
        buffer = MaskableRolloutBuffer(
            len(steps),
            ppo.observation_space,
            ppo.action_space,
            ppo.device,
            gae_lambda=ppo.gae_lambda,
            gamma=ppo.gamma,
            n_envs=1,
        )
        values = self._values([step.observation for step in steps])
        for step, value in zip(steps, values, strict=True):
            more = 0.0 if step.after is None else ppo.gamma * float(self._values([step.after])[0])
            buffer.add(
                step.observation[None],
                np.array([[step.action]]),
                np.array([step.reward + more]),
                np.array([step.first]),
                value[None],
                torch.tensor([step.log_probability]),
                action_masks=step.mask[None],
            )
        buffer.compute_returns_and_advantage(last_values=torch.zeros(1), dones=np.array([True]))
        return buffer

    def _imitate(self, demonstrations: Sequence[Demonstration]) -> None:
        if not demonstrations or not self.settings.imitation_weight:
            return
        policy = self.ppo.policy
        policy.set_training_mode(True)
        observations = torch.as_tensor(
            np.stack([one.observation for one in demonstrations])
        ).float()
        actions = torch.tensor([one.action for one in demonstrations])
        masks = np.stack([one.mask for one in demonstrations])
        for _ in range(self.settings.imitation_epochs):
            for rows in torch.randperm(len(actions)).split(IMITATION_BATCH):
                _, log_probability, _ = policy.evaluate_actions(
                    observations[rows], actions[rows], action_masks=masks[rows.numpy()]
                )
                policy.optimizer.zero_grad()
                (-self.settings.imitation_weight * log_probability.mean()).backward()
                torch.nn.utils.clip_grad_norm_(policy.parameters(), self.settings.max_grad_norm)
                policy.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers only. Steps that wait for an update are not part of it: update first."""
        policy = self.ppo.policy
        return {
            "policy": policy.state_dict(),
            "optimizer": policy.optimizer.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave. Raises CheckpointError: it is of a policy of another
        size.
        """
        try:
            self.ppo.policy.load_state_dict(state["policy"])
            self.ppo.policy.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"the saved policy is not for this environment and these settings: {error}"
            ) from error
        self.updates = state["updates"]


@contextlib.contextmanager
def _borrowed_globals(seed: int) -> Iterator[None]:
    """stable-baselines3 draws from global random streams: seed them, and put them back."""
    legacy, threads = np.random.get_state(), torch.get_num_threads()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            torch.set_num_threads(1)
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        np.random.set_state(legacy)  # noqa: NPY002
        torch.set_num_threads(threads)
