"""What the checkpoint of an ensemble holds beside sizes and weights: the variance scale of a
recalibrated ensemble, and the record of the training.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from worldplan.milp.errors import CheckpointError

if TYPE_CHECKING:
    from worldplan.world_models.ensemble.model import GaussianEnsemble


def restore_records(ensemble: GaussianEnsemble, saved: dict[str, Any], path: str | Path) -> None:
    """Take over the variance scale and the record of the training, where a checkpoint has them.

    Raises:
        CheckpointError: they are damaged.
    """
    scale, record = saved.get("variance_scale"), saved.get("trained_on", {})
    if scale is not None:
        shape = ensemble.variance_scale.shape
        if (
            not isinstance(scale, Tensor)
            or scale.shape != shape
            or not bool((scale.isfinite() & (scale > 0)).all())
        ):
            raise CheckpointError(
                f"{path}: its variance_scale is no {shape[0]} positive numbers: recalibrate again "
                "or restore a copy"
            )
        ensemble.variance_scale.copy_(scale)
    if not isinstance(record, dict):
        raise CheckpointError(f"{path}: its trained_on is damaged: restore a copy")
    ensemble.trained_on = dict(record)
