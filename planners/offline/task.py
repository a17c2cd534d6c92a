"""Tasks of offline model-based value learning: data, a dynamics model, and an evaluation
environment.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from worldplan.envs.dynamics.model import DynamicsModel
from worldplan.envs.dynamics.termination import Termination
from worldplan.envs.edge_of_reach import Plane, PlaneDynamics, PlaneVectorEnv
from worldplan.envs.environments import make_environments
from worldplan.envs.registered import differences
from worldplan.envs.spec import EnvironmentSpec, parse_spec
from worldplan.milp.errors import DatasetError
from worldplan.planners.offline.dynamics import DynamicsChoice, NoDynamics
from worldplan.planners.offline.options.cost_model import CostFunction, cost_function, costs_of
from worldplan.planners.offline.options.simulator import make_simulator
from worldplan.planners.offline.replay import Batch, pack, unpack
from worldplan.planners.offline.task_environment import TaskEnvironment, task_environment
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.on_disk.rows import require_in_memory
from worldplan.world_models.data.precision import single_precision
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.training.origin import origin


@dataclass(frozen=True)
class OfflineTask:
    """A task ready for training.

    Args:
        dynamics: the model that rollouts happen in.
        rows: dataset, (n, 2 observation + action + 3), packed as in
            `worldplan.planners.offline.replay`, with step -1; None where there are only start
            states.
        starts: states in which rollouts begin, (n, observation).
        states: simulator states of the same rows, (n, state_size), or None.
        low: least actions, (action,).
        high: greatest actions, (action,).
        environment: makes a vector environment of a given number of copies, for evaluation.
        reference: returns of score 0 and score 100, where known.
        limit: steps after which the environment truncates an episode, where known.
        about: description of the task in checkpoints; two tasks that train differently have
            different ones.
        last: (n,) bool, whether a row of the dataset ends its episode; None without a dataset.
        costs: (n,), those of the dataset's rows; None in a task without costs.
        cost_function: (observation, action, next_observation) -> costs, where it is known.
    """

    dynamics: DynamicsModel
    rows: Tensor | None
    starts: Tensor
    states: Tensor | None
    low: Tensor
    high: Tensor
    environment: Callable[[int], VectorEnv]
    reference: tuple[float, float] | None = None
    limit: int | None = None
    about: dict[str, Any] = field(default_factory=dict)
    last: Tensor | None = None
    costs: Tensor | None = None
    cost_function: CostFunction | None = None

    def value_ceiling(self, discount: float) -> float | None:
        """Value of receiving the mean reward of a policy of score 100 forever; None where unknown.
        A Q far above this cannot be attained.
        """
        if self.reference is None or self.limit is None:
            return None
        return self.reference[1] / self.limit / (1 - discount)

    @property
    def identity(self) -> dict[str, Any]:
        """`about` as a resumed training compares it: without the specification of an environment
        that is made as it is registered, which older trainings do not have.
        """
        spec = self.about.get("spec")
        if spec is None or differences(parse_spec(spec), EnvironmentSpec(spec["id"])):
            return self.about
        return {name: value for name, value in self.about.items() if name != "spec"}

    @property
    def observation_size(self) -> int:
        """Length of an observation vector."""
        return self.starts.shape[-1]

    def episode_returns(self) -> Tensor | None:
        """Undiscounted returns of the dataset's episodes, (episodes,) float64; None without a
        dataset.
        """
        if self.rows is None or self.last is None:
            return None
        reward = unpack(self.rows, self.observation_size).reward.double()
        episode = self.last.long().cumsum(0) - self.last.long()
        returns = reward.new_zeros(int(episode[-1]) + 1)
        return returns.index_add_(0, episode, reward)


def plane_task(plane: Plane, *, starts: int = 10_000, seed: int = 0) -> OfflineTask:
    """The two-dimensional illustration: exact dynamics, start states as the only data.

    Args:
        plane: the environment.
        starts: number of start states.
        seed: of the start states.
    """
    return OfflineTask(
        dynamics=PlaneDynamics(plane),
        rows=None,
        starts=plane.starts(starts, torch.Generator().manual_seed(seed)),
        states=None,
        low=-torch.ones(2),
        high=torch.ones(2),
        environment=lambda count: PlaneVectorEnv(count, plane),
        about={"environment": "edge_of_reach", "plane": vars(plane)},
    )


def dataset_task(
    dataset: str | Path | Transitions,
    *,
    environment: Any = None,
    ensemble: str | Path | None = None,
    true_share: float = 0.0,
    termination: str | Termination | None = None,
    threads: int | None = None,
    dynamics: str | DynamicsModel | None = None,
    dynamics_options: Mapping[str, Any] | None = None,
    cost: str | CostFunction | None = None,
    simulator: Mapping[str, Any] | None = None,
) -> OfflineTask:
    """The task of a dataset.

    Args:
        dataset: a Minari id, a .hdf5 or .npz file, or transitions.
        environment: of the evaluation: an id or a mapping (`worldplan.envs.spec`); None takes the
            dataset's own. It must not differ from that, unless the mapping says
            `differs_from_data: true`.
        ensemble: checkpoint of a trained ensemble; needed unless `true_share` is 1 or `dynamics` is
            given.
        true_share: 0 rolls out in the learned ensemble, 1 in the true simulator (MuJoCo tasks),
            between mixes their predictions.
        termination: name of a termination function, "module:function", a function, or "learned" to
            train a classifier on the dataset; None chooses by the environment's name.
        threads: of the true simulator; None takes all cores.
        dynamics: a dynamics model of your own instead of all these: a name registered in
            `worldplan.envs.dynamics.DYNAMICS`, "module:attribute", or the model itself. It ends
            rollouts itself, so `termination` is not used.
        dynamics_options: keyword arguments of the named model.
        cost: of a transition, "module:function" or a function (observation, action,
            next_observation) -> costs; None: the dataset's own, from which a model is learned for
            rollouts.
        simulator: an imperfect simulator instead of ensemble and dynamics, {"id": gymnasium id,
            "kwargs": its keyword arguments}: a MuJoCo task, or the classic Pendulum.

    Raises:
        CheckpointError: the ensemble's checkpoint is missing, damaged, or of another task.
        ConfigError: dataset, environment and dynamics do not fit each other.
        DatasetError: the dataset is missing or damaged, or comes from other physics than the
            simulator's.
    """
    data, source = _read(dataset)
    choice = DynamicsChoice(
        ensemble, true_share, termination, threads, dynamics, dynamics_options or {}, simulator
    )
    return _task(data, task_environment(data, environment, source), choice, cost)


def model_free_task(dataset: str | Path | Transitions, *, environment: Any = None) -> OfflineTask:
    """The task of a dataset without a dynamics model, for methods that learn from its rows alone.

    Args:
        dataset: a Minari id, a .hdf5 or .npz file, or transitions.
        environment: see `dataset_task`.

    Raises:
        ConfigError: dataset and environment do not fit each other.
        DatasetError: the dataset is missing or damaged.
    """
    data, source = _read(dataset)
    return _task(data, task_environment(data, environment, source), None)


def _read(dataset: str | Path | Transitions) -> tuple[Transitions, str]:
    """The transitions of a dataset, and its name for messages."""
    source = "the transitions" if isinstance(dataset, Transitions) else str(dataset)
    data = dataset if isinstance(dataset, Transitions) else load_transitions(dataset)
    require_in_memory(data, "policies are trained")
    return single_precision(data, "policies are trained"), source


def _task(
    data: Transitions,
    environments: TaskEnvironment,
    choice: DynamicsChoice | None,
    cost: str | CostFunction | None = None,
) -> OfflineTask:
    """The task of a dataset in its environments, without a dynamics model where `choice` is
    None.
    """
    spec = environments.evaluation
    function = None if cost is None else cost_function(cost, data)
    model: DynamicsModel
    if choice is None:
        model = NoDynamics(data.observation.shape[1], data.action.shape[1])
    elif choice.simulator is not None:
        model = make_simulator(choice.simulator, data, environments.actions, choice.threads)
    else:
        model = choice.make(environments, data)
    return OfflineTask(
        dynamics=model,
        rows=_rows(data),
        starts=torch.from_numpy(data.observation),
        states=None if model.state_size == 0 else torch.from_numpy(data.state),
        low=torch.from_numpy(environments.actions.low.copy()),
        high=torch.from_numpy(environments.actions.high.copy()),
        environment=lambda count: make_environments(spec, count),
        reference=_references(data),
        limit=environments.limit,
        about={
            "environment": environments.recorded.id,
            "spec": environments.recorded.to_json(),
            "made_from": _fingerprint(data, choice, function),
        },
        last=torch.from_numpy(data.last),
        costs=_costs(data, function),
        cost_function=function,
    )


def _rows(data: Transitions) -> Tensor:
    """The dataset packed as in `worldplan.planners.offline.replay`, with step -1."""
    reward, terminated = (
        torch.from_numpy(np.asarray(column, np.float32))
        for column in (data.reward, data.terminated)
    )
    observation, action, next_observation = (
        torch.from_numpy(column)
        for column in (data.observation, data.action, data.next_observation)
    )
    step = torch.full_like(reward, -1)
    return pack(Batch(observation, action, reward, next_observation, terminated, step))


def _costs(data: Transitions, function: CostFunction | None) -> Tensor | None:
    """The costs (n,) of the dataset's rows: its own, else those of the function."""
    if data.cost is not None:
        return torch.from_numpy(data.cost)
    return None if function is None else costs_of(function, data, "cost")


def _fingerprint(
    data: Transitions, choice: DynamicsChoice | None, function: CostFunction | None
) -> str:
    """A short text that differs between tasks that train differently."""
    checksum = 0 if choice is None else choice.checksum()
    for column in (
        data.observation,
        data.action,
        data.reward,
        data.next_observation,
        data.terminated,
        *([] if data.cost is None else [data.cost]),
    ):
        checksum = zlib.crc32(np.ascontiguousarray(column).data, checksum)
    if choice is not None and choice.ensemble is not None and Path(choice.ensemble).is_file():
        checksum = zlib.crc32(Path(choice.ensemble).read_bytes(), checksum)
    if function is not None:
        checksum = zlib.crc32(repr(origin(cost=function)).encode(), checksum)
    return f"{checksum:08x}"


def _references(data: Transitions) -> tuple[float, float] | None:
    try:
        return data.references()
    except DatasetError:  # no scores then, only returns
        return None
