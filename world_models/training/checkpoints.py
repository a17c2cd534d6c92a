"""Files of tensors and plain values: written whole or not at all, and looked into before a training
is continued.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from worldplan.milp.errors import CheckpointError
from worldplan.world_models.storage import replace_file


def save_tensors(content: Any, path: str | Path) -> None:
    """`torch.save` in one move. Raises OSError that names `path` where the disk is full; torch
    itself calls that an "enforce fail".
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    replace_file(Path(path), lambda draft: draft.write_bytes(buffer.getbuffer()))


def saved_entry(last: Path, *keys: str) -> Any:
    """What the checkpoint `last` holds under `keys`, one inside the other. Raises CheckpointError
    when it is damaged or lacks them.
    """
    try:
        found = torch.load(last, weights_only=True, map_location="cpu")
        for key in keys:
            found = found[key]
    except Exception as error:  # torch raises many types for a damaged file
        raise CheckpointError(
            f"{last}: cannot continue from it ({type(error).__name__}): delete it to train again from the start"
        ) from error
    return found
