"""The checks of SEQUOIA's training: whole episodes, and which network is kept."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.bandits.environment import BanditInstance, Floats
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.sequoia.greedy import greedy_planner
from worldplan.planners.bandits.sequoia.network import QNetwork
from worldplan.planners.bandits.sequoia.planner import SequoiaPlanner
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.planners.bandits.sequoia.starts import exceeds, steady_returns
from worldplan.planners.bandits.sequoia.targets import FluidTargets
from worldplan.planners.bandits.units import Units, annuity
from worldplan.planners.base import Planner
from worldplan.world_models.training.module import ResumableModule

_CHECK_SEED = 900_001  # episodes of the periodic checks; apart from every evaluation seed


class CheckedModule(ResumableModule):
    """Plays the same episodes in every check, and keeps the network that earned most.

    A subclass learns, and defines `total`, `settings`, `network` and the programme in planned
    rewards.

    Attributes:
        best_reward: per step, of the best check so far.
        best: the weights that had it.
    """

    instance: BanditInstance
    settings: SequoiaSettings
    solver: SolverSettings
    network: QNetwork
    _units: Units

    def __init__(self) -> None:
        super().__init__()
        self.best_reward = -math.inf
        self.best: dict[str, Tensor] = {}
        self._best_returns: Tensor | None = None  # of the episodes of its check
        self._fluid: FluidTargets | None = None

    @property
    def total(self) -> int:
        """Gradient steps of the whole training.

        Raises:
            TypeError: the subclass does not define it.
        """
        raise TypeError(f"{type(self).__name__} must define total")

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Play whole episodes with the decisions a user would get; "val/reward" is the mean reward
        per step.
        """
        returns = self._check()
        reward = self._per_step(returns)
        self.log("val/reward", reward, prog_bar=True, batch_size=1)
        if self.trainer.state.fn != "fit":  # a check alone does not know the step
            return
        # Lightning counts the steps that the last epoch leaves out
        self.log("step", float(min(self.global_step, self.total)), batch_size=1)
        if self._is_better(returns):
            self._keep(returns)

    def _check(self) -> Tensor:
        """Returns (episodes,) in planned rewards, with control variates; the episodes are the same
        in every check.
        """
        episodes, planner = self.settings.check_episodes, self.planner()
        values = self._control()
        return torch.as_tensor(
            steady_returns(planner, self.instance, values, episodes, _CHECK_SEED)
        )

    def _control(self) -> Floats:
        """Values of the control variates; zeros where no fluid program was solved."""
        if self._fluid is not None:
            return self._fluid.values
        model = self.instance.dynamics
        return np.zeros((self.instance.horizon + 1, model.arms, model.states))

    def _per_step(self, returns: Tensor) -> float:
        horizon = self.instance.horizon
        total = self._units.total(float(returns.mean()), horizon)
        return total / annuity(horizon, self.instance.discount)

    def _is_better(self, returns: Tensor) -> bool:
        """Whether the network beats the best one so far.

        With the start "best", the mean difference over the episodes must be positive by a t test:
        what cannot be told from the start is not kept.
        """
        if self.settings.pretrain != "best" or self._best_returns is None:
            return self._per_step(returns) > self.best_reward
        return exceeds((returns - self._best_returns).numpy())

    def _keep(self, returns: Tensor) -> None:
        """Take the network as it stands for the best one."""
        self._best_returns, self.best_reward = returns, self._per_step(returns)
        self.best = {name: value.clone() for name, value in self.network.state_dict().items()}

    def planner(self) -> Planner:
        """The planner of the network as it stands: exact, or greedy for the greedy baseline."""
        network = copy.deepcopy(self.network).eval()
        return (
            greedy_planner(self.instance, network)
            if self.settings.argmax == "greedy"
            else SequoiaPlanner(self.instance, network, self.solver)
        )
