"""Tasks of offline model-based value learning: data, a dynamics model, and an evaluation
environment.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from worldplan.envs.dynamics.mixed import MixedDynamics
from worldplan.envs.dynamics.model import DynamicsModel
from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.envs.dynamics.termination import Termination, termination_for
from worldplan.envs.edge_of_reach import Plane, PlaneDynamics, PlaneVectorEnv
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.offline.replay import Batch, pack
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.model import LearnedDynamics, load_ensemble
from worldplan.world_models.ensemble.termination import fit_termination


@dataclass(frozen=True)
class OfflineTask:
    """A task ready for training.

    Args:
        dynamics: what rollouts happen in.
        rows: (n, width) dataset, packed as in `worldplan.planners.offline.replay`, with step -1;
            None where there are only start states.
        starts: (n, observation) states that rollouts begin in.
        states: (n, state_size) simulator states of the same rows, or None.
        low, high: (action,) bounds of actions.
        environment: makes a vector environment of so many copies, for evaluation.
        reference: returns of score 0 and score 100, where known.
        limit: steps after which the environment cuts an episode, where known.
        about: what a checkpoint should tell about the task.
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

    def value_ceiling(self, discount: float) -> float | None:
        """What a policy of score 100 is worth when its mean reward goes on for ever: a Q far above
        this cannot be attained.
        """
        if self.reference is None or self.limit is None:
            return None
        return self.reference[1] / self.limit / (1 - discount)

    @property
    def observation_size(self) -> int:
        """Numbers in an observation."""
        return self.starts.shape[-1]


def plane_task(plane: Plane, *, starts: int = 10_000, seed: int = 0) -> OfflineTask:
    """The two-dimensional illustration: exact dynamics, start states as the only data."""
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


def make_environment(name: str, count: int) -> VectorEnv:
    """`count` copies of a registered gymnasium environment ("module:Name-v0" imports the module
    first), which do not reset themselves.
    """
    try:
        return gym.make_vec(
            name,
            num_envs=count,
            vectorization_mode="sync",
            vector_kwargs={"autoreset_mode": AutoresetMode.DISABLED},
        )
    except (gym.error.Error, ModuleNotFoundError) as error:
        raise ConfigError(
            f"environment '{name}': {error}: give a registered gymnasium id, or module:Id-v0 for your own"
        ) from error


def dataset_task(
    dataset: str | Path | Transitions,
    *,
    environment: str | None = None,
    ensemble: str | Path | None = None,
    true_share: float = 0.0,
    termination: str | Termination | None = None,
    threads: int | None = None,
) -> OfflineTask:
    """A task out of a dataset.

    Args:
        dataset: a Minari id, a .hdf5 or .npz file, or transitions.
        environment: gymnasium id to be judged in; the dataset's own when not given.
        ensemble: checkpoint of a trained ensemble; needed unless true_share is 1.
        true_share: 0 rolls out in the learned ensemble, 1 in the true simulator (MuJoCo tasks),
            between mixes their predictions.
        termination: name of a termination function, "module:function", a function, or "learned" to
            train a classifier on the dataset; by the environment's name when not given.
        threads: of the simulator.
    """
    data = dataset if isinstance(dataset, Transitions) else load_transitions(dataset)
    name = environment or data.metadata.get("env_id")
    if not name:
        raise ConfigError(
            f"{dataset}: does not say which environment it comes from: set environment"
        )
    if not 0 <= true_share <= 1:
        raise ConfigError(
            f"true_share {true_share}: must be between 0 (learned dynamics) and 1 (true dynamics)"
        )
    probe = make_environment(name, 1)
    seen, space, spec = probe.single_observation_space, probe.single_action_space, probe.spec
    probe.close()
    if not isinstance(space, spaces.Box) or space.shape is None or len(space.shape) != 1:
        raise ConfigError(
            f"{name}: its actions are {space}: only continuous action vectors can be learned here"
        )
    if space.shape[0] != data.action.shape[1]:
        raise ConfigError(
            f"{name} takes actions of size {space.shape[0]}, the dataset has {data.action.shape[1]}: they do not belong together"
        )
    if not isinstance(seen, spaces.Box) or seen.shape != data.observation.shape[1:]:
        raise ConfigError(
            f"{name} shows {seen}, the dataset has observations of size {data.observation.shape[1]}: they do not belong together"
        )
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise ConfigError(
            f"{name}: its actions have no bounds: wrap it in gymnasium.wrappers.RescaleAction or give its action space finite ones"
        )
    dynamics = _dynamics(name, data, ensemble, true_share, termination, threads)
    states = None if dynamics.state_size == 0 else torch.from_numpy(data.state)
    return OfflineTask(
        dynamics=dynamics,
        rows=_rows(data),
        starts=torch.from_numpy(data.observation),
        states=states,
        low=torch.from_numpy(np.asarray(space.low)),
        high=torch.from_numpy(np.asarray(space.high)),
        environment=lambda count: make_environment(name, count),
        reference=_references(data),
        limit=None if spec is None else spec.max_episode_steps,
        about={
            "environment": name,
            "made_from": _fingerprint(data, ensemble, true_share, termination),
        },
    )


def _rows(data: Transitions) -> Tensor:
    columns = [
        torch.from_numpy(np.asarray(value, np.float32)) for value in (data.reward, data.terminated)
    ]
    observation, action, following = (
        torch.from_numpy(value) for value in (data.observation, data.action, data.next_observation)
    )
    return pack(
        Batch(
            observation, action, columns[0], following, columns[1], torch.full_like(columns[0], -1)
        )
    )


def _fingerprint(
    data: Transitions,
    ensemble: str | Path | None,
    true_share: float,
    termination: str | Termination | None,
) -> str:
    """A short text that differs whenever the training would."""
    rule = (
        termination
        if isinstance(termination, str) or termination is None
        else getattr(termination, "__qualname__", type(termination).__name__)
    )
    total = zlib.crc32(repr((true_share, rule)).encode())
    for column in (
        data.observation,
        data.action,
        data.reward,
        data.next_observation,
        data.terminated,
    ):
        total = zlib.crc32(np.ascontiguousarray(column).data, total)
    if ensemble is not None and Path(ensemble).is_file():
        total = zlib.crc32(Path(ensemble).read_bytes(), total)
    return f"{total:08x}"


def _references(data: Transitions) -> tuple[float, float] | None:
    try:
        return data.references()
    except DatasetError:  # plain returns are reported
        return None


def _dynamics(
    name: str,
    data: Transitions,
    ensemble: str | Path | None,
    true_share: float,
    termination: str | Termination | None,
    threads: int | None,
) -> DynamicsModel:
    if true_share < 1 and ensemble is None:
        raise ConfigError(
            "rollouts need a learned model: set ensemble to a checkpoint of 'worldplan fit --config configs/ensemble/...', or true_share to 1"
        )
    true = _simulator(name, data, threads) if true_share > 0 else None
    if true is not None and true_share == 1:
        return true
    ends = _termination(name, data, termination)
    sizes = {"observation_size": data.observation.shape[1], "action_size": data.action.shape[1]}
    learned = LearnedDynamics(load_ensemble(str(ensemble), **sizes), ends)
    return learned if true is None else MixedDynamics(learned, true, true_share, ends)


def _simulator(name: str, data: Transitions, threads: int | None) -> MujocoDynamics:
    data.require_physics(name)
    if data.state is None:
        raise ConfigError(
            "the dataset holds no simulator states (qpos, qvel): collect one with 'worldplan data collect', or set true_share to 0"
        )
    return MujocoDynamics(name, threads=threads)


def _termination(
    name: str, data: Transitions, termination: str | Termination | None
) -> Termination:
    if callable(termination):
        return termination
    return (
        fit_termination(data, generator=torch.Generator().manual_seed(0))
        if termination == "learned"
        else termination_for(termination or name.rpartition(":")[2])
    )
