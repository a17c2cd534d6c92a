"""A policy of a model-free method as a planner, restored from a checkpoint."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from worldplan.milp import checks
from worldplan.milp.errors import CheckpointError
from worldplan.planners.base import Decision
from worldplan.planners.offline.model_free.learner import Learner
from worldplan.planners.offline.model_free.networks import NormalisedMLP
from worldplan.planners.offline.model_free.rows import LoggedRows, from_unit
from worldplan.planners.offline.recorded import RecordedPolicy, observed, require_seed
from worldplan.planners.offline.references import recorded_discount, reference_record
from worldplan.planners.offline.symlog import symlog
from worldplan.planners.offline.task import OfflineTask
from worldplan.world_models.training.checkpoints import (
    load_weights,
)


class ModelFreePolicy(RecordedPolicy):
    """Decides for the mean action of one actor.

    Args:
        network: of the actor, of a single seed.
        scale: mean and spread of the observations, each (observation,).
        box: least and greatest actions, each (action,).
        about: of the task it was trained for, see `OfflineTask`.
        seeds: how many policies its checkpoint holds.
        discount: gamma of its training; None: the method has none, or it is not recorded.
        sees_symlog: whether the network sees the `symlog` of the scaled observations.
    """

    KEY: ClassVar[str] = "model_free"
    KIND: ClassVar[str] = "a checkpoint of a model-free method"
    COMMAND: ClassVar[str] = "'worldplan fit --config configs/model_free/...'"

    def __init__(
        self,
        network: NormalisedMLP,
        scale: tuple[Tensor, Tensor],
        box: tuple[Tensor, Tensor],
        about: dict[str, Any],
        seeds: int = 1,
        discount: float | None = None,
        *,
        sees_symlog: bool = False,
    ) -> None:
        super().__init__(about, seeds, discount)
        self.network, self.scale, self.box = network, scale, box
        self.sees_symlog = sees_symlog

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
        require_seed(record, seed_index)
        network = NormalisedMLP(1, record["sizes"], layer_norm=record["layer_norm"])
        weights = {name: value[seed_index, None] for name, value in record["actor"].items()}
        load_weights(network, weights, source)
        scale, box = (record["mean"], record["spread"]), (record["low"], record["high"])
        for (first, second), size in ((scale, record["sizes"][0]), (box, record["sizes"][-1])):
            if first.shape != (size,) or second.shape != (size,) or not first.isfinite().all():
                raise CheckpointError(f"{source}: its sizes do not fit each other: train again")
        about, discount = dict(record["about"]), recorded_discount(record)
        seen = checks.truth(record.get("symlog", False), "symlog")
        return cls(network.eval(), scale, box, about, record["seeds"], discount, sees_symlog=seen)

    @classmethod
    def check_record(cls, record: dict[str, Any], source: Path) -> None:
        """Check the sizes and ranges in a record.

        Args:
            record: read from a checkpoint.
            source: the checkpoint.

        Raises:
            CheckpointError: a range is empty.
            ConfigError: a size is none.
        """
        checks.whole_numbers(record["sizes"], "sizes", ("layers",), least=1)
        ranges = (record["high"] - record["low"], record["spread"])
        if not all(bool((width > 0).all()) for width in ranges):
            raise CheckpointError(
                f"{source}: its actions or observations have no range: train again or restore a "
                "copy"
            )

    @torch.no_grad()
    def plan_batch(self, observations: Any) -> list[Decision]:
        """Decide for each row of `observations` (batch, observation).

        Raises:
            ConfigError: the observations have another size than in training, or are not finite.
        """
        began = time.perf_counter()
        rows = observed(observations, self.network.sizes[0])
        actions = self.mean_action(rows).numpy()
        seconds = (time.perf_counter() - began) / len(rows)
        return [Decision(action, None, None, "heuristic", seconds) for action in actions]

    def mean_action(self, observations: Tensor) -> Tensor:
        """Actions (batch, action) at observations (batch, observation), in the environment's
        units.
        """
        mean, spread = self.scale
        seen = (observations - mean) / spread
        seen = symlog(seen) if self.sees_symlog else seen
        unit = torch.tanh(self.network(seen.unsqueeze(0)))[0]
        return from_unit(unit, *self.box)


def policy_record(
    learner: Learner, task: OfflineTask, rows: LoggedRows, seeds: int, discount: float | None
) -> dict[str, Any]:
    """All that `ModelFreePolicy.from_record` needs, in tensors and plain values."""
    network = learner.actor.network
    return {
        "sizes": list(network.sizes),
        "layer_norm": len(network.scales) > 0,
        "symlog": learner.actor.sees_symlog,
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
