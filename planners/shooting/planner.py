"""Planning by shooting: at every step, search for the best action sequence in a dynamics model and
take its first action.

    planner = ShootingPlanner(model, env.action_space, ShootingSettings(horizon=20))
    action = planner.act(observation)

works with every `worldplan.envs.dynamics.model.DynamicsModel`: a learned ensemble, a latent model
(`encode`), a simulator. A simulator goes on from its own state rather than from the observation;
`ShootingPlanner.for_env(env)` builds the true dynamics of a MuJoCo task and reads that state from
the running environment. The search itself is in `worldplan.planners.shooting.search`, the roll-outs
in `worldplan.planners.shooting.rollouts`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.vector import SyncVectorEnv, VectorEnv
from torch import Tensor

from worldplan.envs.dynamics.model import DynamicsModel
from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.envs.episodes import with_batch_axis
from worldplan.milp.errors import ConfigError
from worldplan.planners.base import Decision, Planner
from worldplan.planners.shooting.rollouts import Policy, Reward, RollOuts, Value
from worldplan.planners.shooting.search import Candidates, Plan, ShootingSettings, search
from worldplan.world_models.ensemble.uncertainty import Penalty

__all__ = [
    "Candidates",
    "Plan",
    "Policy",
    "Reward",
    "RollOuts",
    "ShootingPlanner",
    "ShootingSettings",
    "Value",
    "search",
]


class ShootingPlanner(Planner):
    """MPPI, CEM or iCEM over a dynamics model, for one environment or many at once.

    Args:
        model: steps batches of states.
        action_space: of one environment; a Box with finite bounds.
        settings: method, samples, horizon, ...; MPPI by default.
        policy: proposes candidates, as many as `settings.proposals` says.
        terminal_value: what lies beyond the horizon.
        reward: replaces the model's reward.
        penalty, penalty_weight: on what an ensemble is unsure of, taken off a candidate's score;
            see `worldplan.world_models.ensemble.uncertainty`.
        particles: roll-outs per candidate, for random models.
        discount: per step.
        encode: batched observations -> (envs, observation of the model); by default arrays are
            flattened.
        read_state: the simulator's states (envs, state) right now, for `plan` calls that do not
            give them.
        noise: added to the first action, as a share of the plan's own spread there; 0 for
            evaluation.
        seed: of all draws.
        device: where the candidates are; a model is moved there.

    The search begins at the last plan, one step on. `restart` forgets it where an episode begins,
    `reset` everywhere. Raises ConfigError for a space or a size that does not fit, Diverged where
    no candidate can be scored.
    """

    def __init__(
        self,
        model: DynamicsModel,
        action_space: gym.Space[Any],
        settings: ShootingSettings | None = None,
        *,
        policy: Policy | None = None,
        terminal_value: Value | None = None,
        reward: Reward | None = None,
        penalty: Penalty | None = None,
        penalty_weight: float = 1.0,
        particles: int = 1,
        discount: float = 0.99,
        encode: Callable[[Any], Tensor] | None = None,
        read_state: Callable[[], np.ndarray] | None = None,
        noise: float = 0.0,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.model, self.settings = model, settings or ShootingSettings()
        self._rollouts = RollOuts(
            model, discount, policy, terminal_value, reward, penalty, penalty_weight, particles
        )
        if self.settings.proposal_count and policy is None:
            raise ConfigError(
                f"proposals: {self.settings.proposals} of the candidates are to come from a policy: pass policy, or set it to 0"
            )
        if noise < 0:
            raise ConfigError(f"noise: {noise} must not be negative")
        self._space = _bounded(action_space, model.action_size)
        self._encode, self._read_state, self._noise, self._seed = encode, read_state, noise, seed
        self.device = torch.device(device)
        model.to(self.device)
        self._low = torch.as_tensor(
            self._space.low, dtype=torch.float32, device=self.device
        ).flatten()
        self._high = torch.as_tensor(
            self._space.high, dtype=torch.float32, device=self.device
        ).flatten()
        self.reset(seed=seed)

    @classmethod
    def for_env(
        cls,
        env: gym.Env[Any, Any] | VectorEnv,
        settings: ShootingSettings | None = None,
        *,
        threads: int | None = None,
        **kwargs: Any,
    ) -> ShootingPlanner:
        """Plans in the true dynamics of `env`, a MuJoCo task from gymnasium.make or a SyncVectorEnv
        of them, from its state right now.

        The environment itself is only read: the dynamics are a copy of it, made with the same
        arguments and stepped by `threads` threads.
        """
        live = list(env.envs) if isinstance(env, SyncVectorEnv) else [env]
        bare: list[Any] = [one.unwrapped for one in live]
        spec = live[0].spec
        if spec is None or not all(isinstance(one, MujocoEnv) for one in bare):
            raise ConfigError(
                f"{env}: true dynamics are only known for MuJoCo tasks from gymnasium.make, alone or in a SyncVectorEnv: "
                "pass a model of your own to ShootingPlanner"
            )
        if live[0].action_space != bare[0].action_space:
            raise ConfigError(
                f"{spec.id}: a wrapper changes its actions, so they mean something else to the simulator: plan without that wrapper"
            )
        made_with = {name: value for name, value in spec.kwargs.items() if name != "render_mode"}
        model = MujocoDynamics(spec.id, threads=threads, **made_with)

        def read() -> np.ndarray:
            return np.stack([np.concatenate((one.data.qpos, one.data.qvel)) for one in bare])

        return cls(model, live[0].action_space, settings, read_state=read, **kwargs)

    def reset(self, *, seed: int | None = None) -> None:
        """Forget all plans; the draws begin again from `seed`, or from that of the constructor."""
        self._generator = torch.Generator(self.device).manual_seed(
            self._seed if seed is None else seed
        )
        self._last: Plan | None = None

    def restart(self, begun: np.ndarray) -> None:
        """Forget the plans of the environments whose episode begins, `begun` (envs,) bool."""
        if self._last is not None:
            fresh = torch.as_tensor(begun, dtype=torch.bool, device=self.device)
            self._last = self._last.restarted(fresh, (self._low + self._high) / 2)

    def plan(self, observation: Any, *, state: np.ndarray | None = None) -> Decision:
        """One decision; `state` (state,) is the simulator's, for a model that has one."""
        states = None if state is None else np.asarray(state)[None]
        return self.plan_batch(with_batch_axis(observation), states=states)[0]

    def plan_batch(self, observations: Any, *, states: np.ndarray | None = None) -> list[Decision]:
        """Decisions for all environments out of one search; `states` (envs, state) are the
        simulator's.
        """
        began = time.perf_counter()
        start = self._observe(observations)
        plan = self._search(start, self._states(states, len(start)))
        action = plan.first_action(self.settings.picking, self._generator)
        if self._noise:
            noise = torch.randn(action.shape, generator=self._generator, device=self.device)
            action = (action + self._noise * plan.std[:, 0] * noise).clamp(self._low, self._high)
        self._last = plan.shifted()
        return self._decisions(action, plan, began)

    def _search(self, start: Tensor, state: Tensor | None) -> Plan:
        settings = self.settings
        evaluate = self._rollouts.candidates(
            start, state, settings.proposal_count, self._low, self._high, self._generator
        )
        last = self._last if self._last is not None and len(self._last.mean) == len(start) else None
        mean, elites, scale = (
            (self._centre(len(start)), None, None)
            if last is None
            else (last.mean, last.elites, last.scale)
        )
        return search(
            evaluate,
            settings,
            mean,
            None,
            self._low,
            self._high,
            self._generator,
            elites=elites,
            scale=scale,
        )

    def _centre(self, envs: int) -> Tensor:
        return ((self._low + self._high) / 2).expand(envs, self.settings.horizon, -1)

    def _observe(self, observations: Any) -> Tensor:
        if self._encode is not None:
            start = self._encode(observations)
        elif isinstance(observations, Mapping):
            raise ConfigError(
                "observations are a mapping, and the model steps arrays: pass encode, a function from the mapping to the model's observation"
            )
        else:
            start = torch.as_tensor(np.asarray(observations)).flatten(1)
        if start.ndim != 2 or start.shape[1] != self.model.observation_size:
            raise ConfigError(
                f"observations have shape {tuple(start.shape)}, the model expects (envs, {self.model.observation_size})"
            )
        return start.to(self.device, torch.float32)

    def _states(self, states: np.ndarray | None, envs: int) -> Tensor | None:
        if not self.model.state_size:
            return None
        if states is None and self._read_state is not None:
            states = self._read_state()
        if states is None:
            raise ConfigError(
                "this model goes on from the simulator's state, which the observation does not hold: pass state= to plan() or states= to "
                "plan_batch(), or make the planner with ShootingPlanner.for_env(env)"
            )
        if np.shape(states) != (envs, self.model.state_size):
            raise ConfigError(
                f"states have shape {np.shape(states)}, expected ({envs}, {self.model.state_size}): one for each observation"
            )
        return torch.as_tensor(states, dtype=torch.float64, device=self.device)

    def _decisions(self, action: Tensor, plan: Plan, began: float) -> list[Decision]:
        actions = (
            action.cpu().numpy().astype(self._space.dtype).reshape(-1, *(self._space.shape or ()))
        )
        actions = np.clip(actions, self._space.low, self._space.high)  # rounding may leave the box
        told = {
            name: getattr(plan, name).cpu().numpy()
            for name in ("mean", "std", "elites", "scores", "weights")
        }
        values = plan.value.tolist()
        seconds = (time.perf_counter() - began) / len(values)
        return [
            Decision(
                actions[i],
                values[i],
                None,
                "heuristic",
                seconds,
                {name: value[i] for name, value in told.items()},
            )
            for i in range(len(values))
        ]


def _bounded(space: gym.Space[Any], size: int) -> spaces.Box:
    if (
        not isinstance(space, spaces.Box)
        or not np.issubdtype(space.dtype, np.floating)
        or not space.is_bounded("both")
    ):
        raise ConfigError(
            f"shooting draws actions between bounds: the action space must be a bounded Box of real numbers, not {space}"
        )
    if int(np.prod(space.shape)) != size:
        raise ConfigError(
            f"the action space {space} has {int(np.prod(space.shape))} numbers, the model's actions have {size}"
        )
    return space
