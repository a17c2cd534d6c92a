"""Policies learned from data, of whatever method, out of a run folder or a checkpoint."""

from __future__ import annotations

from pathlib import Path

from worldplan.planners.offline.model_free.policy import ModelFreePolicy
from worldplan.planners.offline.policy import ReachAwarePolicy
from worldplan.world_models.training.checkpoints import (
    last_checkpoint,
    load_tensors,
    reading_checkpoint,
)

OfflinePolicy = ReachAwarePolicy | ModelFreePolicy


def load_policies(path: str | Path) -> list[OfflinePolicy]:
    """The policies of all seeds of a run folder or a checkpoint.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or holds no policy.
    """
    file = last_checkpoint(path)
    with reading_checkpoint(file, "a checkpoint of a policy", "'worldplan fit'"):
        content = load_tensors(file)  # once: the replay buffer of a training may be in it
        is_model_free = ModelFreePolicy.KEY in content
    if is_model_free:
        return [*ModelFreePolicy.load_all(path, content)]
    return [*ReachAwarePolicy.load_all(path, content)]
