"""Returns that a policy is compared with, stored beside it: those of its dataset's episodes, and
those of score 0 and score 100.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worldplan.milp import checks
from worldplan.milp.errors import CheckpointError
from worldplan.planners.offline.task import OfflineTask
from worldplan.world_models.training.checkpoints import last_checkpoint, saved_entry

RECORDS = ("reach_aware", "model_free")  # in checkpoints of policies learned from data


@dataclass(frozen=True)
class References:
    """Returns to compare a policy with.

    Args:
        returns: undiscounted, of the dataset's episodes, (episodes,) float64.
        steps: rows of the dataset.
        score: returns of score 0 and score 100, where known.
    """

    returns: Tensor
    steps: int
    score: tuple[float, float] | None


def reference_record(task: OfflineTask) -> dict[str, Any] | None:
    """The references of a task in tensors and plain values; None without a dataset."""
    returns = task.episode_returns()
    if returns is None or task.rows is None:
        return None
    score = None if task.reference is None else [float(value) for value in task.reference]
    return {"returns": returns, "steps": len(task.rows), "score": score}


def recorded_discount(record: Mapping[str, Any]) -> float | None:
    """gamma of the training that a policy's record comes from; None where it has none, and in a
    record of an older worldplan.

    Raises:
        ConfigError: it is no discount.
    """
    value = record.get("discount")
    return None if value is None else checks.number(value, "discount", above=0, below=1)


def saved_references(path: str | Path) -> References | None:
    """The references in a checkpoint, or in the last checkpoint of a run folder; None for a task
    without a dataset, and for a checkpoint of an older worldplan.

    Raises:
        CheckpointError: the checkpoint is damaged.
    """
    file = last_checkpoint(path)
    content = saved_entry(file)
    key = next((key for key in RECORDS if key in content), None)
    record = None if key is None else content[key].get("references")
    if record is None:
        return None
    if not _is_valid(record):
        raise CheckpointError(f"{file}: its reference returns are damaged: train again")
    score = record["score"]
    return References(record["returns"], record["steps"], score and (score[0], score[1]))


def _is_valid(record: Any) -> bool:
    if not isinstance(record, Mapping) or {"returns", "steps", "score"} - record.keys():
        return False
    returns, steps, score = record["returns"], record["steps"], record["score"]
    if not isinstance(returns, Tensor) or returns.dtype != torch.float64 or returns.ndim != 1:
        return False
    if (
        type(steps) is not int
        or not 0 < len(returns) <= steps
        or not bool(returns.isfinite().all())
    ):
        return False
    if score is None:
        return True
    is_pair = isinstance(score, list) and [type(value) for value in score] == [float, float]
    return is_pair and all(map(math.isfinite, score)) and score[0] < score[1]
