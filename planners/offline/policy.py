"""A policy of reach-aware value learning as a planner, restored from a checkpoint."""

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
from worldplan.planners.offline.actor import SquashedActor
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.critics import Critics
from worldplan.planners.offline.references import recorded_discount, reference_record
from worldplan.planners.offline.task import OfflineTask
from worldplan.renamed import refuse_renamed
from worldplan.world_models.training.checkpoints import (
    last_checkpoint,
    load_tensors,
    load_weights,
    reading_checkpoint,
)

_KIND = "a checkpoint of reach-aware value learning"
_ADDED = ("layer_norm", "normalise_observations", "normalise_rewards")  # absent before: False
_COMMAND = "'worldplan fit --config configs/ravl/...'"


class ReachAwarePolicy(Planner):
    """Decides for the mean action of one actor; the value is the least of the critics' values.

    Args:
        actor: of a single seed.
        critics: of the same seed.
        about: of the task it was trained for, see `OfflineTask`.
        seeds: how many policies its checkpoint holds.
        discount: gamma of its training; None: it is not recorded.
    """

    def __init__(
        self,
        actor: SquashedActor,
        critics: Critics,
        about: dict[str, Any],
        seeds: int = 1,
        discount: float | None = None,
    ) -> None:
        self.actor, self.critics, self.about = actor, critics, about
        self.seeds, self.discount = seeds, discount

    @classmethod
    def load(cls, path: str | Path, seed_index: int = 0) -> ReachAwarePolicy:
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
    def load_all(cls, path: str | Path) -> list[ReachAwarePolicy]:
        """The policies of all seeds of a run folder or a checkpoint.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, or of another method.
        """
        record = _read(path)
        return [cls._loaded(path, record, index) for index in range(record["seeds"])]

    @classmethod
    def _loaded(cls, path: str | Path, record: dict[str, Any], seed_index: int) -> ReachAwarePolicy:
        """The policy of one seed out of a record read from `path`.

        Raises:
            CheckpointError: the record is damaged.
            ConfigError: it holds no such seed.
        """
        _require_seed(record, seed_index)
        with reading_checkpoint(last_checkpoint(path), _KIND, _COMMAND):
            return cls.from_record(record, seed_index, last_checkpoint(path))

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
        _require_seed(record, seed_index)
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
        rows = tensor(observations, "observations", dtype=np.float32).unsqueeze(0)
        size = self.actor.network.sizes[0]
        if rows.ndim != 3 or rows.shape[-1] != size:
            raise ConfigError(
                f"observations have {rows.shape[-1]} numbers and the shape {tuple(rows.shape[1:])},"
                f" this policy was trained on {size}: give (batch, {size})"
            )
        if not bool(rows.isfinite().all()):
            raise ConfigError("observations are not all finite: look at the environment")
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


def _read(path: str | Path) -> dict[str, Any]:
    """The policy record in a checkpoint, or in the last checkpoint of a run folder.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another method.
    """
    file = last_checkpoint(path)
    with reading_checkpoint(file, _KIND, _COMMAND):
        record = dict(load_tensors(file)["reach_aware"])
    refuse_renamed(record.get("about"), file, "train again")
    with reading_checkpoint(file, _KIND, _COMMAND):
        for name in ("observation", "critics", "seeds"):
            checks.whole_number(record[name], name, least=1, most=10**6)
        if not bool((record["low"] < record["high"]).all()):
            raise CheckpointError(
                f"{file}: its actions have no range: train again or restore a copy"
            )
    return record
