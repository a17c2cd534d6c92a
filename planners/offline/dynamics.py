"""The dynamics model that rollouts of a dataset's task happen in: a learned ensemble, the true
simulator, a mixture of both, or a model of the user's own.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worldplan.envs.dynamics.action_wrappers import ACTION_WRAPPERS
from worldplan.envs.dynamics.mixed import MixedDynamics
from worldplan.envs.dynamics.model import DynamicsModel, Prediction
from worldplan.envs.dynamics.model_check import check_model
from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.envs.dynamics.registry import make_dynamics
from worldplan.envs.dynamics.termination import Termination, termination_for, termination_of
from worldplan.envs.registered import differences
from worldplan.envs.spec import EnvironmentSpec, parse_spec
from worldplan.envs.wrappers import WITHOUT_EFFECT
from worldplan.milp import checks
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.planners.offline.simulator_check import check_simulator
from worldplan.planners.offline.task_environment import TaskEnvironment
from worldplan.world_models.data.environment import recorded_environment
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.learned_dynamics import LearnedDynamics
from worldplan.world_models.ensemble.model import load_ensemble
from worldplan.world_models.ensemble.termination import fit_termination
from worldplan.world_models.training.origin import origin


class NoDynamics:
    """In the place of the model of a task that has none: it refuses every step.

    Args:
        observation_size: length of an observation.
        action_size: length of an action.
    """

    state_size = 0

    def __init__(self, observation_size: int, action_size: int) -> None:
        self.observation_size, self.action_size = observation_size, action_size

    def step(self, observation: Tensor, action: Tensor, **_: Any) -> Prediction:
        """Predict nothing for observations (batch, observation) and actions (batch, action).

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "this task has no dynamics model, and rollouts need one: make it with dataset_task, "
            "which takes an ensemble, true_share 1 or a model of your own (dynamics)"
        )

    def to(self, device: torch.device | str) -> None:
        """Nothing to move."""


@dataclass(frozen=True)
class DynamicsChoice:
    """Which dynamics model rollouts happen in; the arguments are those of
    `worldplan.planners.offline.task.dataset_task`.

    Raises:
        ConfigError: the arguments contradict each other, or a needed one is missing.
    """

    ensemble: str | Path | None = None
    true_share: float = 0.0
    termination: str | Termination | None = None
    threads: int | None = None
    dynamics: str | DynamicsModel | None = None
    dynamics_options: Mapping[str, Any] = field(default_factory=dict)
    simulator: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.true_share <= 1:
            raise ConfigError(
                f"true_share {self.true_share}: must be between 0 (learned dynamics) and 1 (true "
                "dynamics)"
            )
        if self.simulator is not None:
            self._check_simulator()
        elif self.dynamics is None:
            if self.dynamics_options:
                raise ConfigError("dynamics_options: belong to a model, so set dynamics too")
            if self.true_share < 1 and self.ensemble is None:
                raise ConfigError(
                    "rollouts need a learned model: set ensemble to a checkpoint of 'worldplan fit "
                    "--config configs/ensemble/...', or true_share to 1, or dynamics to a model of "
                    "your own"
                )
        elif self.ensemble is not None or self.true_share > 0 or self.termination is not None:
            raise ConfigError(
                "dynamics: a model of your own replaces the ensemble and the true dynamics, and "
                "ends rollouts itself: leave out ensemble, true_share and termination"
            )

    def make(self, environments: TaskEnvironment, data: Transitions) -> DynamicsModel:
        """The model, for the environments of a task and its dataset.

        Raises:
            CheckpointError: the ensemble's checkpoint is missing, damaged, or of another task.
            ConfigError: the model cannot be made, does not fit task and data, or is a simulator
                that does not reproduce the data.
            DatasetError: the data come from other physics than the simulator's, or have too few
                terminations to learn the rule.
        """
        if self.dynamics is not None:
            return self._own(environments, data)
        simulator = self._simulator(environments, data) if self.true_share > 0 else None
        if simulator is not None and self.true_share == 1:
            return simulator
        terminate = self._termination(environments.data, data)
        ensemble = load_ensemble(
            str(self.ensemble),
            observation_size=data.observation.shape[1],
            action_size=data.action.shape[1],
        )
        require_ensemble(ensemble.trained_on, str(self.ensemble), data, environments.source)
        learned = LearnedDynamics(ensemble, terminate)
        if simulator is None:
            return learned
        return MixedDynamics(learned, simulator, self.true_share, terminate)

    def _own(self, environments: TaskEnvironment, data: Transitions) -> DynamicsModel:
        """The user's own model.

        Raises:
            ConfigError: the model cannot be made, has other sizes than the data, needs states that
                they lack, or is a simulator that does not reproduce them.
        """
        options = dict(self.dynamics_options)
        if self.dynamics == "true":
            spec = environments.simulated()
            _refuse_wrappers(environments)
            options = {**spec.kwargs, "wrappers": spec.wrappers, **options}
        rows: dict[str, Any] = {"observation": data.observation, "action": data.action}
        if isinstance(self.dynamics, str):
            model = make_dynamics(
                self.dynamics,
                environment=environments.evaluation.id,
                observation_size=data.observation.shape[1],
                action_size=data.action.shape[1],
                data=rows | {"state": data.state},
                **options,
            )
        else:
            assert self.dynamics is not None
            model = checks.of_type(self.dynamics, "dynamics", DynamicsModel)
        sizes = (model.observation_size, model.action_size)
        task_sizes = (data.observation.shape[1], data.action.shape[1])
        if sizes != task_sizes:
            raise ConfigError(
                f"dynamics {self._name()}: its (observation, action) sizes are {sizes}, those of "
                f"the dataset are {task_sizes}: use the model of this task"
            )
        if isinstance(model, MujocoDynamics):
            data.require_physics(model.env_id)
        width = 0 if data.state is None else data.state.shape[1]
        if model.state_size not in (0, width):
            raise ConfigError(
                f"dynamics {self._name()}: needs simulator states of size {model.state_size}, the "
                f"dataset has {width or 'none'}: use a model with state_size 0, or other data"
            )
        if isinstance(model, MujocoDynamics):
            _refuse_wrappers(environments)
            check_simulator(model, data, environments.source)
        elif not isinstance(self.dynamics, str):
            check_model(model, **rows, state=data.state if model.state_size else None)
        return model

    def _simulator(self, environments: TaskEnvironment, data: Transitions) -> MujocoDynamics:
        """The true dynamics of the environment that the data were made in.

        Raises:
            ConfigError: the data lack simulator states or are not reproduced, or their environment
                has wrappers.
        """
        spec = environments.simulated()
        data.require_physics(spec.id)
        if data.state is None:
            raise ConfigError(
                "the dataset holds no simulator states (qpos, qvel): collect one with 'worldplan "
                "data collect', or set true_share to 0"
            )
        _refuse_wrappers(environments)
        model = MujocoDynamics(spec.id, threads=self.threads, wrappers=spec.wrappers, **spec.kwargs)
        check_simulator(model, data, environments.source)
        return model

    def _termination(self, spec: EnvironmentSpec, data: Transitions) -> Termination:
        """The function that tells which rows terminate.

        Raises:
            ConfigError: there is none of this name, or the one that goes with the environment's
                name does not hold for its arguments and wrappers.
            DatasetError: too few rows terminate to learn it.
        """
        if callable(self.termination):
            return self.termination
        if self.termination == "learned":
            return fit_termination(data, generator=torch.Generator().manual_seed(0))
        if self.termination is None:
            return termination_of(spec)
        return termination_for(self.termination)

    def _name(self) -> str:
        """Of the user's own model."""
        name = self.dynamics
        return name if isinstance(name, str) else type(name).__qualname__

    def _check_simulator(self) -> None:
        """Check that nothing else is chosen beside a simulator.

        Raises:
            ConfigError: something is.
        """
        chosen = {
            "ensemble": self.ensemble is not None,
            "true_share": self.true_share > 0,
            "termination": self.termination is not None,
            "dynamics": self.dynamics is not None,
            "dynamics_options": bool(self.dynamics_options),
        }
        if any(chosen.values()):
            names = ", ".join(name for name, is_chosen in chosen.items() if is_chosen)
            raise ConfigError(
                f"simulator: rollouts happen in it alone, and it ends them: leave out {names}"
            )

    def checksum(self) -> int:
        """A number that differs between choices that give other trainings; the ensemble's file is
        not part of it.
        """
        if self.simulator is not None:
            parts = origin(simulator=self.simulator)
        elif self.dynamics is None:
            parts = origin(share=self.true_share, termination=self.termination)
        else:
            parts = origin(dynamics=self.dynamics, options=self.dynamics_options)
        return zlib.crc32(repr(sorted(parts.items())).encode())


def require_ensemble(
    trained_on: Mapping[str, Any], ensemble: str, data: Transitions, source: str
) -> None:
    """Check that an ensemble was trained in the environment of the data; the step limit, which is
    no part of the dynamics, may differ. What one of them does not record is not compared.

    Args:
        trained_on: what the ensemble records of its data.
        ensemble: its file, for messages.
        data: the dataset.
        source: of the data, for messages.

    Raises:
        CheckpointError: it was trained in another environment.
    """
    one = trained_on.get("spec") or trained_on.get("environment")
    two = data.environment
    if not one or two is None:
        return
    spec = parse_spec(one, f"{ensemble}: trained_on", error=CheckpointError)
    if "spec" not in trained_on or recorded_environment(data.metadata) is None:
        spec, two = EnvironmentSpec(spec.id), EnvironmentSpec(two.id)
    same_limit = replace(two, max_episode_steps=spec.max_episode_steps)
    changes = differences(spec, same_limit, "the ensemble's training", f"in {source}")
    if changes:
        raise CheckpointError(
            f"{ensemble}: trained in another environment ({'; '.join(changes)}): train an ensemble "
            "on these data, or on others of their environment"
        )


def _refuse_wrappers(environments: TaskEnvironment) -> None:
    """Check that an environment is a simulator and nothing around it but a step limit and wrappers
    of the action alone.

    Raises:
        ConfigError: it has another wrapper.
    """
    names = [wrapper.name for wrapper in environments.data.wrappers]
    others = [name for name in names if name not in (*WITHOUT_EFFECT, *ACTION_WRAPPERS)]
    if others:
        raise ConfigError(
            f"{environments.source}: the true dynamics step the simulator of "
            f"{environments.data.id} without its wrappers ({', '.join(others)}): set true_share to "
            f"0, or collect data without them; {' and '.join(ACTION_WRAPPERS)} may stay"
        )
