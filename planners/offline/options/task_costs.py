"""The costs of a task: of the dataset's rows, of model transitions, and of the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from torch import Tensor, nn

from worldplan.envs.dynamics.model import DynamicsModel
from worldplan.milp.errors import ConfigError
from worldplan.planners.base import Planner, evaluate
from worldplan.planners.offline.options.cost_model import CostFunction, fit_costs
from worldplan.planners.offline.options.costs import CostCritics
from worldplan.planners.offline.options.guardian import outside
from worldplan.planners.offline.replay import unpack, with_costs
from worldplan.planners.offline.settings import ReachAwareSettings

if TYPE_CHECKING:
    from worldplan.planners.offline.task import OfflineTask


class TaskCosts:
    """The costs of a task with a budget.

    Args:
        task: with costs.
        settings: with a budget.
        dynamics: of model transitions; where its guardian ends a rollout, the cost is that of
            staying outside for ever.

    Raises:
        DatasetError: the costs are to be learned from the dataset, which has none above 0.
    """

    def __init__(
        self, task: OfflineTask, settings: ReachAwareSettings, dynamics: DynamicsModel
    ) -> None:
        assert task.rows is not None and task.last is not None and task.costs is not None
        self.task, self.settings, self.dynamics = task, settings, dynamics
        self.function: CostFunction
        if task.cost_function is not None:
            self.function = task.cost_function
        else:
            rows = replace(unpack(task.rows, task.observation_size), cost=task.costs)
            self.function = fit_costs(rows, torch.Generator().manual_seed(0))

    def critics(self, seeds: int, generator: torch.Generator) -> CostCritics:
        """The option of the agent that keeps the budget.

        Args:
            seeds: trainings side by side.
            generator: of the initial weights.
        """
        task, settings = self.task, self.settings
        assert task.last is not None
        begins = torch.cat([task.last.new_ones(1), task.last[:-1]])
        critics = CostCritics(
            settings, task.starts[begins], len(task.low), seeds=seeds, generator=generator
        )
        critics.fit_observations(task.starts)
        return critics

    @property
    def data(self) -> Tensor:
        """Packed rows of the dataset with their costs, (n, width + 1)."""
        assert self.task.rows is not None and self.task.costs is not None
        return with_costs(self.task.rows, self.task.costs)

    def to(self, device: torch.device | str) -> None:
        """Move a learned model of the costs."""
        if isinstance(self.function, nn.Module):
            self.function.to(device)

    @torch.no_grad()
    def add(self, rows: Tensor) -> Tensor:
        """Packed model transitions (seeds, n, width) with their costs, (seeds, n, width + 1)."""
        batch = unpack(rows, self.task.observation_size)
        columns = (batch.observation, batch.action, batch.next_observation)
        cost = self.function(*(column.flatten(0, 1) for column in columns)).view(rows.shape[:2])
        if (guardian := self.settings.guardian) is not None:
            for_ever = guardian.cost / (1 - self.settings.discount)
            cost = torch.where(outside(self.dynamics, batch), for_ever, cost)
        return with_costs(rows, cost)

    @torch.no_grad()
    def add_real(self, rows: Tensor, info: Mapping[str, Any]) -> Tensor:
        """Packed steps of the environment (envs, width) with their costs, (envs, width + 1): those
        that it reports (`info["cost"]`), else those of the function.

        Raises:
            ConfigError: see `reported_costs`.
        """
        if (cost := reported_costs(info, len(rows))) is not None:
            return with_costs(rows, torch.from_numpy(cost.astype(np.float32)).to(rows))
        step = unpack(rows, self.task.observation_size)
        return with_costs(rows, self.function(step.observation, step.action, step.next_observation))

    def meter(self, environment: VectorEnv) -> CostMeter:
        """The environment, with a meter of its costs."""
        return CostMeter(environment, self.task.cost_function, self.settings.discount)


def costs_for(
    task: OfflineTask, settings: ReachAwareSettings, dynamics: DynamicsModel
) -> TaskCosts | None:
    """The costs of a task, None where there are none, or they are ignored; see `TaskCosts`.

    Raises:
        ConfigError: the task has costs and the settings no budget, or the other way round.
        DatasetError: the costs are to be learned from a dataset that has none above 0.
    """
    if settings.costs is None:
        if task.costs is None:
            return None
        raise ConfigError(
            "the dataset has a cost column (or a cost function is given), but there is no budget: "
            "set settings.costs.budget (.inf ignores the costs)"
        )
    if not settings.costs.binds:
        return None
    if task.costs is None:
        raise ConfigError(
            f"costs.budget is {settings.costs.budget:g}, but the dataset has no cost column: give "
            "cost: module:function, take a dataset with costs, or leave settings.costs out"
        )
    return TaskCosts(task, settings, dynamics)


def returns_of(
    policies: Sequence[Planner],
    environment: VectorEnv,
    episodes: int,
    seed: int,
    costs: TaskCosts | None,
) -> dict[str, Tensor]:
    """Means over the same episodes of each policy, each (policies,): "return", and where they are
    known "cost" (undiscounted, of an episode) and "discounted_cost".

    Args:
        policies: play one after the other.
        environment: as many environments as episodes.
        episodes: of each policy.
        seed: of the episodes.
        costs: of the task, or None.
    """
    meter = None if costs is None else costs.meter(environment)
    means: dict[str, list[float]] = {"return": [], "cost": [], "discounted_cost": []}
    for policy in policies:
        result = evaluate(policy, meter or environment, episodes, seed)
        means["return"].append(float(result.episodes["return"].mean()))
        if meter is not None:
            means["cost"].append(float(meter.cost.mean()))
            means["discounted_cost"].append(float(meter.discounted.mean()))
    known = ["return", *(("cost", "discounted_cost") if meter is not None and meter.known else ())]
    return {name: torch.tensor(means[name]) for name in known}


def reported_costs(info: Mapping[str, Any], count: int) -> NDArray[np.float64] | None:
    """The costs (count,) of a step of several environments, 0 for those that report none; None
    where all are silent.

    Args:
        info: of the vector environment.
        count: of environments.

    Raises:
        ConfigError: one reports no number of at least 0.
    """
    if "cost" not in info:
        return None
    try:
        cost = np.asarray(info["cost"], np.float64)
    except (TypeError, ValueError):
        cost = np.full(1, np.nan)
    if cost.shape != (count,) or not bool(((cost >= 0) & np.isfinite(cost)).all()):
        raise ConfigError(
            f"the environment reports info['cost'] {info['cost']!r:.60}: let it report one finite "
            "number of at least 0 in a step"
        )
    return cost


class CostMeter(gym.vector.VectorWrapper):
    """Adds up the costs of one episode of each environment: those that it reports (`info["cost"]`),
    else those of a function. An environment that reports some reports them all: where it is silent,
    a step costs nothing.

    Args:
        env: environments that do not reset themselves.
        function: of the costs, or None.
        discount: gamma.

    Attributes:
        known: whether the sums mean anything: there is a function, or a cost was reported.
    """

    def __init__(self, env: VectorEnv, function: CostFunction | None, discount: float) -> None:
        super().__init__(env)
        self._function, self._discount = function, discount
        self.known, self._reports = function is not None, False
        self._begin(None)

    @property
    def cost(self) -> NDArray[np.float64]:
        """(envs,), undiscounted sums of the present or last episodes."""
        sums: NDArray[np.float64] = self._sums[int(self._reports), 0]
        return sums

    @property
    def discounted(self) -> NDArray[np.float64]:
        """(envs,), discounted sums."""
        sums: NDArray[np.float64] = self._sums[int(self._reports), 1]
        return sums

    def _begin(self, observation: Any) -> None:
        self._observation, self._factor = observation, 1.0
        self._running = np.ones(self.env.num_envs, bool)
        # by the function, and by the reports, which count as soon as there is one
        self._sums = np.zeros((2, 2, self.env.num_envs))

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin new episodes of all environments; the reset of some (`reset_mask`) leaves the sums
        as they are.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        if options is None or "reset_mask" not in options:
            self._begin(np.array(observation))
        return observation, info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take a step and add its costs.

        Raises:
            ConfigError: see `reported_costs`.
        """
        result = self.env.step(actions)
        costs = np.where(self._running, self._costs(actions, result[0], result[4]), 0.0)
        self._sums[:, 0] += costs
        self._sums[:, 1] += self._factor * costs
        self._factor *= self._discount
        self._running = self._running & ~(np.asarray(result[2]) | np.asarray(result[3]))
        self._observation = np.array(result[0])
        return result

    def _costs(self, actions: Any, following: Any, info: Mapping[str, Any]) -> NDArray[np.float64]:
        """The costs of a step by the function and by the environment, (2, envs)."""
        costs = np.zeros((2, self.env.num_envs))
        if (reported := reported_costs(info, self.env.num_envs)) is not None:
            self.known = self._reports = True
            costs[:] = reported
        elif self._function is not None and not self._reports:
            observation, action, next_observation = (
                torch.from_numpy(np.asarray(part, np.float32))
                for part in (self._observation, actions, following)
            )
            costs[0] = self._function(observation, action, next_observation).double().numpy()
        return costs
