"""A policy of a model-free method as a planner, restored from a checkpoint."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.dynamics.arrays import tensor
from worldplan.envs.episodes import with_batch_axis
from worldplan.milp import checks
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.planners.base import Decision, Planner
from worldplan.planners.offline.model_free.learner import Learner
from worldplan.planners.offline.model_free.networks import NormalisedMLP
from worldplan.planners.offline.model_free.rows import LoggedRows, from_unit
from worldplan.planners.offline.references import recorded_discount, reference_record
from worldplan.planners.offline.task import OfflineTask
from worldplan.world_models.training.checkpoints import (
    last_checkpoint,
    load_tensors,
    load_weights,
    reading_checkpoint,
)

KIND = "a checkpoint of a model-free method"
COMMAND = "'worldplan fit --config configs/model_free/...'"


class ModelFreePolicy(Planner):
    """Decides for the mean action of one actor.

    Args:
        network: of the actor, of a single seed.
        scale: mean and spread of the observations, each (observation,).
        box: least and greatest actions, each (action,).
        about: of the task it was trained for, see `OfflineTask`.
        seeds: how many policies its checkpoint holds.
        discount: gamma of its training; None: the method has none, or it is not recorded.
    """

    def __init__(
        self,
        network: NormalisedMLP,
        scale: tuple[Tensor, Tensor],
        box: tuple[Tensor, Tensor],
        about: dict[str, Any],
        seeds: int = 1,
        discount: float | None = None,
    ) -> None:
        self.network, self.scale, self.box = network, scale, box
        self.about, self.seeds, self.discount = about, seeds, discount

    @classmethod
    def load(cls, path: str | Path, seed_index: int = 0) -> ModelFreePolicy:
        """A policy from a run folder or a checkpoint.

        Args:
            path: the folder or file.
            seed_index: which of the seeds trained side by side, from 0.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, or of another method.
            ConfigError: it holds no such seed.
        """
        return cls._loaded(path, _read(path), seed_index)

    @classmethod
    def load_all(cls, path: str | Path) -> list[ModelFreePolicy]:
        """The policies of all seeds of a run folder or a checkpoint.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, or of another method.
        """
        record = _read(path)
        return [cls._loaded(path, record, index) for index in range(record["seeds"])]

    @classmethod
    def _loaded(cls, path: str | Path, record: dict[str, Any], seed_index: int) -> ModelFreePolicy:
        """The policy of one seed out of a record read from `path`.

        Raises:
            CheckpointError: the record is damaged.
            ConfigError: it holds no such seed.
        """
        _require_seed(record, seed_index)
        with reading_checkpoint(last_checkpoint(path), KIND, COMMAND):
            return cls.from_record(record, seed_index, last_checkpoint(path))

    @classmethod
    def from_record(
        cls, record: dict[str, Any], seed_index: int = 0, source: str | Path = "policy record"
    ) -> ModelFreePolicy:
        """The policy of one seed out of the result of `policy_record`.

        Args:
            record: the result.
            seed_index: which of the seeds, from 0.
            source: of the record, the beginning of the messages.

        Raises:
            CheckpointError: weights do not fit, or are not finite.
            ConfigError: the record holds no such seed.
        """
        _require_seed(record, seed_index)
        network = NormalisedMLP(1, record["sizes"], layer_norm=record["layer_norm"])
        weights = {name: value[seed_index, None] for name, value in record["actor"].items()}
        load_weights(network, weights, source)
        scale, box = (record["mean"], record["spread"]), (record["low"], record["high"])
        for (first, second), size in ((scale, record["sizes"][0]), (box, record["sizes"][-1])):
            if first.shape != (size,) or second.shape != (size,) or not first.isfinite().all():
                raise CheckpointError(f"{source}: its sizes do not fit each other: train again")
        about, discount = dict(record["about"]), recorded_discount(record)
        return cls(network.eval(), scale, box, about, record["seeds"], discount)

    def plan(self, observation: Any) -> Decision:
        """Decide for one observation (observation,).

        Raises:
            ConfigError: the observation has another size than in training, or is not finite.
        """
        return self.plan_batch(with_batch_axis(observation))[0]

    @torch.no_grad()
    def plan_batch(self, observations: Any) -> list[Decision]:
        """Decide for each row of `observations` (batch, observation).

        Raises:
            ConfigError: the observations have another size than in training, or are not finite.
        """
        began = time.perf_counter()
        rows = tensor(observations, "observations", dtype=np.float32)
        size = self.network.sizes[0]
        if rows.ndim != 2 or rows.shape[-1] != size:
            raise ConfigError(
                f"observations have the shape {tuple(rows.shape)}, this policy was trained on "
                f"{size} numbers: give (batch, {size})"
            )
        if not bool(rows.isfinite().all()):
            raise ConfigError("observations are not all finite: look at the environment")
        actions = self.mean_action(rows).numpy()
        seconds = (time.perf_counter() - began) / len(rows)
        return [Decision(action, None, None, "heuristic", seconds) for action in actions]

    def mean_action(self, observations: Tensor) -> Tensor:
        """Actions (batch, action) at observations (batch, observation), in the environment's
        units.
        """
        mean, spread = self.scale
        unit = torch.tanh(self.network(((observations - mean) / spread).unsqueeze(0)))[0]
        return from_unit(unit, *self.box)


def _require_seed(record: dict[str, Any], seed_index: int) -> None:
    """Check that a record holds a policy.

    Raises:
        ConfigError: it does not.
    """
    checks.whole_number(seed_index, "seed_index")
    if not 0 <= seed_index < record["seeds"]:
        raise ConfigError(
            f"seed {seed_index}: this checkpoint holds {record['seeds']} policies, counted from 0"
        )


def policy_record(
    learner: Learner, task: OfflineTask, rows: LoggedRows, seeds: int, discount: float | None
) -> dict[str, Any]:
    """All that `ModelFreePolicy.from_record` needs, in tensors and plain values."""
    network = learner.actor.network
    return {
        "sizes": list(network.sizes),
        "layer_norm": len(network.scales) > 0,
        "seeds": seeds,
        "low": task.low.float().clone(),
        "high": task.high.float().clone(),
        "mean": rows.mean.clone(),
        "spread": rows.spread.clone(),
        "about": task.about,
        "discount": discount,
        "references": reference_record(task),
        "actor": {
            name: value.detach().cpu().clone() for name, value in network.state_dict().items()
        },
    }


def _read(path: str | Path) -> dict[str, Any]:
    """The policy record in a checkpoint, or in the last checkpoint of a run folder.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another method.
    """
    file = last_checkpoint(path)
    with reading_checkpoint(file, KIND, COMMAND):
        record = dict(load_tensors(file)["model_free"])
        checks.whole_number(record["seeds"], "seeds", least=1, most=10**6)
        checks.whole_numbers(record["sizes"], "sizes", ("layers",), least=1)
        ranges = (record["high"] - record["low"], record["spread"])
        if not all(bool((width > 0).all()) for width in ranges):
            raise CheckpointError(
                f"{file}: its actions or observations have no range: train again or restore a copy"
            )
    return record
