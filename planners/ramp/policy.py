"""The policy of RAMP: MaskablePPO (sb3-contrib) on its own steps, and imitation of the best known
trajectories.

The clipped ratio of PPO needs the probability with which a step was drawn, so each step is recorded
with that of its true sampling distribution. Planned steps are not drawn from a distribution. They
are imitated instead, by masked cross-entropy (self-imitation, Oh et al. 2018, restricted to the
best trajectory of each map).
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
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer
from stable_baselines3.common.logger import Logger

from worldplan.milp.errors import CheckpointError, Diverged
from worldplan.planners.ramp.settings import RampSettings
from worldplan.world_models.training.seeds import derived_seed

IMITATION_BATCH = 256  # steps per gradient step of imitation


class DemonstratedStep(NamedTuple):
    """One step to imitate.

    Args:
        observation: (size,).
        action: gym action.
        mask: actions that could be drawn, bool (actions,).
    """

    observation: np.ndarray
    action: int
    mask: NDArray[np.bool_]


@dataclass
class _RecordedStep:
    """One step of the policy.

    Args:
        observation: (size,).
        action: gym action.
        mask: actions that could be drawn, bool (actions,).
        log_probability: natural logarithm of the probability with which the action was drawn.
        reward: of the step.
        first: whether a sequence of policy steps begins here.
        after: if the sequence ends here and the environment did not terminate, the next observation
            (size,); else None.
    """

    observation: np.ndarray
    action: int
    mask: NDArray[np.bool_]
    log_probability: float
    reward: float
    first: bool
    after: np.ndarray | None = None


def ppo_settings(settings: RampSettings, rollout: int) -> dict[str, Any]:
    """The keyword arguments of `MaskablePPO` for settings of RAMP.

    Args:
        settings: of the run.
        rollout: steps between two updates, all of them one batch.
    """
    return {
        "learning_rate": settings.learning_rate,
        "n_steps": rollout,
        "batch_size": rollout,
        "n_epochs": settings.epochs,
        "gamma": settings.gamma,
        "gae_lambda": settings.gae_lambda,
        "clip_range": settings.clip_range,
        "ent_coef": settings.ent_coef,
        "vf_coef": settings.vf_coef,
        "max_grad_norm": settings.max_grad_norm,
    }


class _Spaces(gym.Env[np.ndarray, np.int64]):
    """Gives MaskablePPO the spaces; it is never reset or stepped."""

    def __init__(self, observation_space: spaces.Box, action_space: spaces.Discrete) -> None:
        self.observation_space, self.action_space = observation_space, action_space


class PolicyLearner:
    """A policy that records its own steps, and learns from them and from demonstrations.

    Args:
        observation_space: of the environment, one axis.
        action_space: of the environment.
        settings: of the run.
        seed: of the initial weights and the order of minibatches.

    Attributes:
        updates: number of updates so far.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Discrete,
        settings: RampSettings,
        seed: int,
    ) -> None:
        self.settings, self.seed, self.updates = settings, seed, 0
        self._steps: list[_RecordedStep] = []
        self._open = False  # whether the last recorded step's sequence can be continued
        with _seeded_globals(derived_seed(seed, 0)):
            self.ppo = MaskablePPO(
                "MlpPolicy",
                _Spaces(observation_space, action_space),
                **ppo_settings(settings, settings.rollout),
                policy_kwargs={"net_arch": list(settings.net)},
                device="cpu",
            )
        self.ppo.set_logger(Logger(folder=None, output_formats=[]))
        self.ppo.policy.set_training_mode(False)

    def __len__(self) -> int:
        """Number of recorded steps since the last update."""
        return len(self._steps)

    def probabilities(
        self, observation: np.ndarray, mask: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """The policy's distribution: float64 (actions,), 0 where masked.

        Args:
            observation: (size,).
            mask: actions that may be drawn, bool (actions,).
        """
        logits = self._logits(torch.as_tensor(observation[None]))[0].double().numpy()
        logits = np.where(mask, logits, -np.inf)
        weights = np.exp(logits - logits.max())
        probabilities: NDArray[np.float64] = weights / weights.sum()
        return probabilities

    def record(
        self,
        observation: np.ndarray,
        action: int,
        mask: NDArray[np.bool_],
        probability: float,
        reward: float,
    ) -> None:
        """Record a step of the policy for the next update.

        Args:
            observation: (size,).
            action: gym action.
            mask: actions that could be drawn, bool (actions,).
            probability: with which the action was drawn.
            reward: of the step.
        """
        self._steps.append(
            _RecordedStep(observation, action, mask, math.log(probability), reward, not self._open)
        )
        self._open = True

    def end(self, after: np.ndarray | None) -> None:
        """End the current sequence of policy steps, if there is one.

        Args:
            after: None if the environment terminated; else the next observation (size,), whose
                value estimates the further rewards.
        """
        if self._open:
            self._steps[-1].after = after
            self._open = False

    def update(self, demonstrations: Sequence[DemonstratedStep]) -> None:
        """One PPO update from the steps since the last update, then imitation.

        Args:
            demonstrations: the steps to imitate.

        Raises:
            Diverged: the policy's weights are not finite.
        """
        self.updates += 1
        seed = derived_seed(self.seed, self.updates)
        with _seeded_globals(seed):
            if len(self._steps) > 1:  # advantages of a single step cannot be normalised
                self.ppo.rollout_buffer = self._buffer()
                self.ppo.train()
            self._steps, self._open = [], False
            self._imitate(demonstrations, torch.Generator().manual_seed(seed))
        if not all(torch.isfinite(parameter).all() for parameter in self.ppo.policy.parameters()):
            raise Diverged(
                f"the policy's weights are not finite after update {self.updates}: "
                "lower learning_rate"
            )
        self.ppo.policy.set_training_mode(False)

    @torch.no_grad()
    def _logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Unmasked logits (batch, actions) for observations (batch, size)."""
        policy = self.ppo.policy
        features = policy.extract_features(observations.float(), policy.pi_features_extractor)
        # a pair for actor and critic is only returned by policies with two extractors
        assert isinstance(features, torch.Tensor)
        logits: torch.Tensor = policy.action_net(policy.mlp_extractor.forward_actor(features))
        return logits

    @torch.no_grad()
    def _values(self, observations: Sequence[np.ndarray]) -> torch.Tensor:
        """Estimated values (batch,) of observations (size,)."""
        return self.ppo.policy.predict_values(
            torch.as_tensor(np.stack(observations)).float()
        ).flatten()

    def _buffer(self) -> MaskableRolloutBuffer:
        """The recorded steps with their advantages.

        The buffer treats every sequence as terminated. Where a sequence was cut off, the discounted
        value of the next observation is added to its last reward:
            reward + gamma V(after).
        """
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
            further = (
                0.0 if step.after is None else ppo.gamma * float(self._values([step.after])[0])
            )
            buffer.add(
                step.observation[None],
                np.array([[step.action]]),
                np.array([step.reward + further]),
                np.array([step.first]),
                value[None],
                torch.tensor([step.log_probability]),
                action_masks=step.mask[None],
            )
        buffer.compute_returns_and_advantage(last_values=torch.zeros(1), dones=np.array([True]))
        return buffer

    def _imitate(
        self, demonstrations: Sequence[DemonstratedStep], generator: torch.Generator
    ) -> None:
        """Minimise imitation_weight * mean(-log p(action | observation, mask))."""
        if not demonstrations or not self.settings.imitation_weight:
            return
        policy = self.ppo.policy
        policy.set_training_mode(True)
        observations = torch.as_tensor(np.stack([step.observation for step in demonstrations]))
        observations = observations.float()
        actions = torch.tensor([step.action for step in demonstrations])
        masks = np.stack([step.mask for step in demonstrations])
        for _ in range(self.settings.imitation_epochs):
            order = torch.randperm(len(actions), generator=generator)
            for rows in torch.split(order, IMITATION_BATCH):
                _, log_probability, _ = policy.evaluate_actions(
                    observations[rows], actions[rows], action_masks=masks[rows.numpy()]
                )
                policy.optimizer.zero_grad()
                loss = -self.settings.imitation_weight * log_probability.mean()
                loss.backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
                torch.nn.utils.clip_grad_norm_(policy.parameters(), self.settings.max_grad_norm)
                policy.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers, for `load_state_dict`. Steps recorded since the last update are not
        included.
        """
        policy = self.ppo.policy
        return {
            "policy": policy.state_dict(),
            "optimizer": policy.optimizer.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`.

        Raises:
            CheckpointError: it is of a policy of other sizes.
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
def _seeded_globals(seed: int) -> Iterator[None]:
    """Seed the global random generators of torch and numpy, and restore their state afterwards.

    stable-baselines3 forces this: its networks are initialised from torch's global generator and
    its rollout buffer shuffles with numpy's; neither takes a generator. One thread makes the
    results independent of the number of cores.
    """
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
