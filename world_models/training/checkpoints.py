"""Files of tensors and plain values: written whole or not at all, and read before a training is
resumed.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from worldplan.milp.errors import CheckpointError
from worldplan.world_models.storage import replace_file


def save_tensors(content: Any, path: str | Path) -> None:
    """Write `content` with `torch.save`, in one move.

    Raises:
        OSError: the disk is full or the folder is read-only; names `path` (torch itself reports a
            full disk as an "enforce fail" without a name).
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    replace_file(Path(path), lambda draft: draft.write_bytes(buffer.getbuffer()))


def saved_entry(last: Path, *keys: str) -> Any:
    """The entry of the checkpoint `last` under `keys`, each inside the one before.

    Raises:
        CheckpointError: the file is damaged or lacks the entry.
    """
    try:
        entry = torch.load(last, weights_only=True, map_location="cpu")
        for key in keys:
            entry = entry[key]
    except Exception as error:  # torch raises many types for a damaged file
        raise CheckpointError(
            f"{last}: cannot continue from it ({type(error).__name__}): "
            "delete it to train again from the start"
        ) from error
    return entry
