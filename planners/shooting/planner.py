"""Planning by shooting: at every step, search for the best action sequence in a dynamics model and
execute its first action.

```python
import gymnasium as gym
from worldplan.planners.shooting import ShootingPlanner, ShootingSettings

env = gym.make("InvertedPendulum-v5")
planner = ShootingPlanner.for_env(env, ShootingSettings(horizon=20))
observation, _ = env.reset(seed=0)
action = planner.act(observation)
```

`ShootingPlanner(model, env.action_space)` plans in any model,
`worldplan.envs.dynamics.model.DynamicsModel`: a learned ensemble, a latent model (with `encode`),
or a simulator. A simulator is stepped from its own state, not from the observation: `for_env` makes
the true dynamics of a MuJoCo task and reads that state from the running environment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.vector import SyncVectorEnv, VectorEnv
from numpy.typing import NDArray
from torch import Tensor

from worldplan.envs.dynamics.arrays import tensor
from worldplan.envs.dynamics.model import DynamicsModel
from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.envs.episodes import with_batch_axis
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.planners.base import Decision, Planner
from worldplan.planners.shooting.requirements import bounded, device_of, require_plain
from worldplan.planners.shooting.rollouts import Policy, Reward, RollOuts, Value
from worldplan.planners.shooting.search import Plan, search_plan
from worldplan.planners.shooting.settings import ShootingSettings
from worldplan.world_models.ensemble.uncertainty import Penalty


class ShootingPlanner(Planner):
    """MPPI, CEM or iCEM over a dynamics model, for one environment or many at once.

    A search starts from the previous plan, shifted by a step. `restart` discards the previous plan
    of environments whose episode begins, `reset` that of all.

    Args:
        model: predicts batches of steps.
        action_space: of one environment; a Box with finite bounds.
        settings: method, samples, horizon, ...; MPPI by default.
        policy: proposes `settings.proposals` of the candidates.
        terminal_value: value of the last observation of a roll-out.
        reward: replaces the model's reward.
        penalty: of a step's uncertainty in an ensemble, subtracted from a candidate's score; see
            `worldplan.world_models.ensemble.uncertainty`.
        penalty_weight: factor of the penalty.
        particles: roll-outs per candidate, for random models.
        discount: per step.
        encode: batched observations -> observations of the model (envs, observation); by default
            arrays are flattened.
        read_state: () -> current states of the simulator (envs, state), for `plan` calls without
            `state`.
        noise: standard deviation of the noise on the executed action, as a share of the plan's own
            standard deviation in the first step; 0 for evaluation.
        seed: of all random numbers.
        device: of the candidates; the model is moved there.

    Raises:
        ConfigError: a space, a size or a setting does not fit.
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
        read_state: Callable[[], NDArray[Any]] | None = None,
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
                f"proposals: {self.settings.proposals} of the candidates are to come from a "
                "policy: pass policy, or set it to 0"
            )
        checks.number(noise, "noise", least=0)
        checks.whole_number(seed, "seed", least=0, most=2**63 - 1)
        if settings is not None:
            checks.of_type(settings, "settings", ShootingSettings)
        self._space = bounded(action_space, model.action_size)
        self._encode, self._read_state, self._noise, self._seed = encode, read_state, noise, seed
        functions = {
            "policy": policy,
            "terminal_value": terminal_value,
            "reward": reward,
            "encode": encode,
            "read_state": read_state,
        }
        for name, function in functions.items():
            if function is not None and not callable(function):
                raise ConfigError(f"{name} is {checks.shown(function)}: give a function, or None")
        self.device = device_of(device)
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
        """A planner in the true dynamics of `env`, from the environment's current state.

        The environment itself is only read: the dynamics step a copy of it, made with the same
        arguments.

        Args:
            env: a MuJoCo task from gymnasium.make, or a SyncVectorEnv of them.
            settings: of the search; MPPI by default.
            threads: that step the copies; None: one per core.
            kwargs: further arguments of the constructor.

        Raises:
            ConfigError: `env` is no MuJoCo task, its environments are not all the same task, or a
                wrapper changes its actions, or its rewards while no `reward` is given.
        """
        wrapped = list(env.envs) if isinstance(env, SyncVectorEnv) else [env]
        simulations: list[Any] = [getattr(each, "unwrapped", None) for each in wrapped]
        spec = getattr(wrapped[0], "spec", None)
        if spec is None or not all(isinstance(each, MujocoEnv) for each in simulations):
            raise ConfigError(
                f"{env}: true dynamics are only known for MuJoCo tasks from gymnasium.make, alone "
                "or in a SyncVectorEnv: pass a model of your own to ShootingPlanner"
            )
        for each in wrapped:
            require_plain(each, spec, own_reward=kwargs.get("reward") is not None)
        options = {name: value for name, value in spec.kwargs.items() if name != "render_mode"}
        model = MujocoDynamics(spec.id, threads=threads, **options)

        def read() -> NDArray[np.float64]:
            rows = [np.concatenate((each.data.qpos, each.data.qvel)) for each in simulations]
            return np.stack(rows)

        return cls(model, wrapped[0].action_space, settings, read_state=read, **kwargs)

    def reset(self, *, seed: int | None = None) -> None:
        """Discard all plans and seed the random numbers; None: with the constructor's seed.

        Raises:
            ConfigError: the seed is no whole number from 0 to 2^63 - 1.
        """
        if seed is not None:
            checks.whole_number(seed, "seed", least=0, most=2**63 - 1)
        self._generator = torch.Generator(self.device).manual_seed(
            self._seed if seed is None else int(seed)
        )
        self._last: Plan | None = None

    def restart(self, begun: NDArray[np.bool_]) -> None:
        """Discard the plans of the environments whose episode begins, `begun` (envs,) bool."""
        if self._last is None:
            return
        fresh = torch.as_tensor(np.array(begun, bool), device=self.device)
        if bool(fresh.all()) or len(fresh) != len(self._last.mean):
            self._last = None
            return
        kept = self._last.restarted(fresh, (self._low + self._high) / 2)
        # not a number: the search measures the scale again
        self._last = replace(kept, scale=kept.scale.masked_fill(fresh, torch.nan))

    def plan(self, observation: Any, *, state: NDArray[Any] | None = None) -> Decision:
        """Decide for one environment.

        Args:
            observation: without a batch axis.
            state: (state,), of the simulator, if the model has one.

        Raises:
            ConfigError: observation or state do not fit the model.
            Diverged: no candidate has a finite score.
        """
        states = None if state is None else np.asarray(state)[None]
        return self.plan_batch(with_batch_axis(observation), states=states)[0]

    def plan_batch(
        self, observations: Any, *, states: NDArray[Any] | None = None
    ) -> list[Decision]:
        """Decide for all environments in one search.

        Args:
            observations: (envs, ...), or, with `encode`, whatever it takes.
            states: (envs, state), of the simulator, if the model has one.

        Returns:
            Decisions whose value is that of the plan; `detail` has mean, std, elites, scores and
            weights as in `Plan`, without the first axis.

        Raises:
            ConfigError: observations or states do not fit the model.
            Diverged: for some environment no candidate has a finite score.
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
        """Search from observations (envs, observation), and states (envs, state) of a simulator."""
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
        return search_plan(
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
        """(envs, horizon, action): the centre of the action range in every step."""
        return ((self._low + self._high) / 2).expand(envs, self.settings.horizon, -1)

    def _observe(self, observations: Any) -> Tensor:
        """The model's observations (envs, observation).

        Raises:
            ConfigError: they cannot be encoded, or have the wrong size.
        """
        if self._encode is not None:
            start = self._encode(observations)
        elif isinstance(observations, Mapping):
            raise ConfigError(
                "observations are a mapping, and the model steps arrays: pass encode, a function "
                "from the mapping to the model's observation"
            )
        else:
            start = tensor(observations, "observations", dtype=np.float32)
            start = start.flatten(1) if start.ndim > 1 else start
        if start.ndim != 2 or start.shape[1] != self.model.observation_size or not len(start):
            raise ConfigError(
                f"observations have shape {tuple(start.shape)}, the model expects "
                f"(envs, {self.model.observation_size}), of one environment at least"
            )
        return start.to(self.device, torch.float32)

    def _states(self, states: NDArray[Any] | None, envs: int) -> Tensor | None:
        """The simulator's states (envs, state); None for a model that has none.

        Raises:
            ConfigError: they are not given and cannot be read, or have the wrong shape.
        """
        if not self.model.state_size:
            return None
        if states is None and self._read_state is not None:
            states = self._read_state()
        if states is None:
            raise ConfigError(
                "this model is stepped from the simulator's state, which the observation does not "
                "hold: pass state= to plan() or states= to plan_batch(), or make the planner with "
                "ShootingPlanner.for_env(env)"
            )
        rows = tensor(states, "states", dtype=np.float64)
        if rows.shape != (envs, self.model.state_size):
            raise ConfigError(
                f"states have shape {tuple(rows.shape)}, expected "
                f"({envs}, {self.model.state_size}): one for each observation"
            )
        return rows.to(self.device)

    def _decisions(self, action: Tensor, plan: Plan, began: float) -> list[Decision]:
        actions = (
            action.cpu().numpy().astype(self._space.dtype).reshape(-1, *(self._space.shape or ()))
        )
        # rounding to the dtype of the space may leave its bounds
        actions = np.clip(actions, self._space.low, self._space.high)
        arrays = {
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
                {name: value[i] for name, value in arrays.items()},
            )
            for i in range(len(values))
        ]
