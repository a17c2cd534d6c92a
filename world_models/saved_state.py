"""Looking into the saved state of a training before it is continued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from milp.errors import CheckpointError


def saved_entry(last: Path, *keys: str) -> Any:
    """What the checkpoint `last` holds under `keys`, one inside the other. Raises CheckpointError when it is damaged or lacks them."""
    try:
        found = torch.load(last, weights_only=True, map_location="cpu")
        for key in keys:
            found = found[key]
    except Exception as error:  # torch raises many types for a damaged file
        raise CheckpointError(f"{last}: cannot continue from it ({type(error).__name__}): delete it to train again from the start") from error
    return found
