"""What the checkpoint of an ensemble holds beside sizes and weights: the
recalibration, and the record of the training.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from worldplan.milp.errors import CheckpointError
from worldplan.world_models.ensemble.calibration import QUANTILES

if TYPE_CHECKING:
    from worldplan.world_models.ensemble.model import GaussianEnsemble


def restore_records(ensemble: GaussianEnsemble, saved: dict[str, Any], path: str | Path) -> None:
    """Take over the recalibration and the record of the training, where a checkpoint has them.

    Raises:
        CheckpointError: they are damaged.
    """
    quantiles, record = saved.get("recalibration"), saved.get("trained_on", {})
    if quantiles is not None:
        shape = (ensemble.observation_size + 1, QUANTILES)
        if not isinstance(quantiles, Tensor) or quantiles.shape != shape or not _rise(quantiles):
            raise CheckpointError(
                f"{path}: its recalibration is no rising row of {QUANTILES} numbers for each "
                "column: recalibrate again or restore a copy"
            )
        ensemble.recalibration = quantiles.double()
    if not isinstance(record, dict):
        raise CheckpointError(f"{path}: its trained_on is damaged: restore a copy")
    ensemble.trained_on = dict(record)


def _rise(quantiles: Tensor) -> bool:
    """Whether every row (columns, quantiles) rises strictly and is finite."""
    return bool(quantiles.isfinite().all() and (quantiles.diff(dim=1) > 0).all())
