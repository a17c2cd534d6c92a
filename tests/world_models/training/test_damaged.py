"""A checkpoint with one changed bit is refused, or is the same checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from worldplan.milp.errors import CheckpointError
from worldplan.world_models.training.checkpoints import (
    load_tensors,
    reading_checkpoint,
    save_tensors,
)

BITS = 500


def test_a_changed_bit_never_changes_a_number(tmp_path: Path) -> None:
    """What is not under a checksum (dates and attributes in the zip directory) holds no numbers."""
    path, rng = tmp_path / "weights.ckpt", np.random.default_rng(0)
    weights = torch.arange(2000.0).reshape(20, 100)
    save_tensors({"net": {"weight": weights}, "step": 7}, path)
    whole = path.read_bytes()
    refused = 0
    for place, bit in zip(
        rng.integers(len(whole), size=BITS), rng.integers(8, size=BITS), strict=True
    ):
        changed = bytearray(whole)
        changed[place] ^= 1 << bit
        path.write_bytes(changed)
        try:
            with reading_checkpoint(path, "a checkpoint", "'worldplan fit'"):
                content = load_tensors(path)
        except CheckpointError:
            refused += 1
            continue
        assert torch.equal(content["net"]["weight"], weights)
        assert content["step"] == 7
    assert refused > 0.8 * BITS  # the rest: dates and attributes in the headers


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "weights.ckpt"
    folder.mkdir()
    with (
        pytest.raises(CheckpointError, match="cannot be read .*permissions"),
        reading_checkpoint(folder, "a checkpoint", "'worldplan fit'"),
    ):
        load_tensors(folder)
