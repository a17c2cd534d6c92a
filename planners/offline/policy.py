"""A policy of reach-aware value learning as a planner, restored from a checkpoint."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from worldplan.milp import checks
from worldplan.milp.errors import CheckpointError
from worldplan.planners.base import Decision
from worldplan.planners.offline.actor import SquashedActor
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.critics import Critics
from worldplan.planners.offline.recorded import RecordedPolicy, observed, require_seed
from worldplan.planners.offline.references import recorded_discount, reference_record
from worldplan.planners.offline.task import OfflineTask
from worldplan.world_models.training.checkpoints import (
    load_weights,
)

_ADDED = ("layer_norm", "normalise_observations", "normalise_rewards")  # absent before: False


class ReachAwarePolicy(RecordedPolicy):
    """Decides for the mean action of one actor; the value is the least of the critics' values.

    Args:
        actor: of a single seed.
        critics: of the same seed.
        about: of the task it was trained for, see `OfflineTask`.
        seeds: how many policies its checkpoint holds.
        discount: gamma of its training; None: it is not recorded.
    """

    KEY: ClassVar[str] = "reach_aware"
    KIND: ClassVar[str] = "a checkpoint of reach-aware value learning"
    COMMAND: ClassVar[str] = "'worldplan fit --config configs/ravl/...'"

    def __init__(
        self,
        actor: SquashedActor,
        critics: Critics,
        about: dict[str, Any],
        seeds: int = 1,
        discount: float | None = None,
    ) -> None:
        super().__init__(about, seeds, discount)
        self.actor, self.critics = actor, critics

    @classmethod
    def from_record(
        cls, record: dict[str, Any], seed_index: int = 0, source: str | Path = "policy record"
    ) -> ReachAwarePolicy:
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
        size, hidden = record["observation"], record["hidden"]
        layer_norm, observations, rewards = (
            checks.truth(record.get(name, False), name) for name in _ADDED
        )
        actor = SquashedActor(
            size, record["low"], record["high"], hidden, normalise_observations=observations
        )
        critics = Critics(
            size,
            len(record["low"]),
            record["critics"],
            hidden,
            layer_norm=layer_norm,
            normalise_observations=observations,
            scale_values=rewards,
        )
        load_weights(actor, _one_seed(record["actor"], seed_index, 1), source)
        critic = _one_seed(record["critic"], seed_index, record["critics"])
        load_weights(critics, critic, source)
        _require_scales(actor, critics, source)
        discount = recorded_discount(record)
        return cls(actor.eval(), critics.eval(), dict(record["about"]), record["seeds"], discount)

    @classmethod
    def check_record(cls, record: dict[str, Any], source: Path) -> None:
        """Check the sizes and ranges in a record.

        Args:
            record: read from a checkpoint.
            source: the checkpoint.

        Raises:
            CheckpointError: the actions have no range.
            ConfigError: a size is none.
        """
        for name in ("observation", "critics"):
            checks.whole_number(record[name], name, least=1, most=10**6)
        if not bool((record["low"] < record["high"]).all()):
            raise CheckpointError(
                f"{source}: its actions have no range: train again or restore a copy"
            )

    @torch.no_grad()
    def plan_batch(self, observations: Any) -> list[Decision]:
        """Decide for each row of `observations` (batch, observation).

        Raises:
            ConfigError: the observations have another size than in training, or are not finite.
        """
        began = time.perf_counter()
        rows = observed(observations, self.actor.network.sizes[0]).unsqueeze(0)
        action = self.actor.mean_action(rows)
        value = self.critics(rows, action)[0]
        lowest, spread = value.amin(0).tolist(), value.std(0, correction=0).tolist()
        seconds = (time.perf_counter() - began) / rows.shape[1]
        actions = action[0].numpy()
        return [
            Decision(actions[i], lowest[i], None, "heuristic", seconds, {"value_std": spread[i]})
            for i in range(len(actions))
        ]


def _require_scales(actor: SquashedActor, critics: Critics, source: str | Path) -> None:
    """Check the units of observations and rewards.

    Raises:
        CheckpointError: one is not above 0.
    """
    scales = [part.scaler.scale for part in (actor, critics) if part.scaler is not None]
    for scale in (*scales, *([] if critics.value_scale is None else [critics.value_scale])):
        if not bool((scale > 0).all()):
            raise CheckpointError(
                f"{source}: a scale of observations or rewards is not above 0: train again or "
                "restore a copy"
            )


def policy_record(agent: ReachAware, task: OfflineTask) -> dict[str, Any]:
    """All that `ReachAwarePolicy.from_record` needs, in tensors and plain values."""
    settings = agent.settings
    return {
        "observation": task.observation_size,
        "hidden": list(settings.hidden),
        "critics": settings.critics,
        **{name: getattr(settings, name) for name in _ADDED},
        "seeds": agent.seeds,
        "low": agent.actor.low.cpu().clone(),
        "high": agent.actor.high.cpu().clone(),
        "about": task.about,
        "discount": settings.discount,
        "references": reference_record(task),
        "actor": _copy(agent.actor.state_dict()),
        "critic": _copy(agent.critics.state_dict()),
    }


def _copy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in weights.items()}


def _one_seed(weights: dict[str, Tensor], seed_index: int, per_seed: int) -> dict[str, Tensor]:
    """The weights of one seed, out of those of batched networks with `per_seed` networks each."""
    first = seed_index * per_seed
    chosen = dict(weights)
    for name, value in weights.items():
        if name.startswith(("network.", "norms.")):
            chosen[name] = value[first : first + per_seed]
        elif name == "value_scale":
            chosen[name] = value[seed_index : seed_index + 1]
    return chosen
