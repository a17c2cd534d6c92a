"""Files of tensors and plain values: written whole or not at all, and read before a training is
resumed.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from worldplan.milp.errors import CheckpointError, one_line
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


def load_tensors(path: str | Path) -> Any:
    """What `save_tensors`, or a trainer, wrote: tensors and plain values, on the CPU.

    torch stores a checksum with every tensor and does not compare it when it reads; here it is
    compared, so a file with one changed bit is refused.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is a folder, a device or a pipe.
        zipfile.BadZipFile: the file is cut off, or a checksum differs.
        Exception: of torch, for a file of another kind or with anything but tensors and plain
            values.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would wait for ever
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    with zipfile.ZipFile(path) as file:
        if damaged := file.testzip():
            raise zipfile.BadZipFile(f"the checksum of {damaged} differs")
    return torch.load(path, weights_only=True, map_location="cpu")


def load_weights(module: torch.nn.Module, weights: Any, path: str | Path) -> None:
    """Put the weights of a trained module, as read from `path`, into `module`.

    Raises:
        CheckpointError: they are of another module, or a number is not finite.
    """
    remedy = "train again or restore a copy"
    try:
        own = module.state_dict()
        for name, value in weights.items():
            if not isinstance(value, torch.Tensor) or (
                name in own and _kind(value) != _kind(own[name])
            ):
                raise CheckpointError(f"{path}: {name} is no tensor of the right type: {remedy}")
        _require_finite(weights, path)
        module.load_state_dict(weights)
    except CheckpointError:
        raise
    except Exception as error:  # torch raises many types for what does not fit
        reason = one_line(error, 120)
        raise CheckpointError(
            f"{path}: its weights do not fit its own sizes or settings ({reason}): {remedy}"
        ) from error


def _require_finite(weights: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Check the weights of a trained module, as read from `path`.

    Raises:
        CheckpointError: a number is not finite.
    """
    for name, value in weights.items():
        if not bool(value.isfinite().all()):
            raise CheckpointError(
                f"{path}: {name} has numbers that are not finite: train again or restore a copy"
            )


def _kind(value: torch.Tensor) -> tuple[bool, bool]:
    return value.is_floating_point(), value.is_complex()


def saved_entry(last: Path, *keys: str) -> Any:
    """The entry of the checkpoint `last` under `keys`, each inside the one before.

    Raises:
        CheckpointError: the file is damaged or lacks the entry.
    """
    try:
        entry = load_tensors(last)
        for key in keys:
            entry = entry[key]
    except OSError as error:
        raise CheckpointError(
            f"{last}: cannot be read ({error.strerror or error}): check path and permissions"
        ) from error
    except Exception as error:  # torch raises many types for a damaged file
        raise CheckpointError(
            f"{last}: cannot continue from it ({type(error).__name__}): "
            "delete it to train again from the start"
        ) from error
    return entry


def last_checkpoint(path: str | Path) -> Path:
    """`last.ckpt` or `checkpoints/last.ckpt` in a run folder; any other path as it is."""
    file = Path(path)
    if not file.is_dir():
        return file
    direct = file / "last.ckpt"
    return direct if direct.exists() else file / "checkpoints" / "last.ckpt"


@contextmanager
def reading_checkpoint(path: str | Path, kind: str, train: str) -> Iterator[None]:
    """Report what goes wrong with a checkpoint in the block under `with` in one line.

    Args:
        path: the file that the block reads.
        kind: what the file should be, such as "a checkpoint of MoDem".
        train: the command that makes one.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind.
    """
    try:
        yield
    except CheckpointError:  # it says already what is wrong
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint: train one with {train}") from error
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}): check path and permissions"
        ) from error
    except Exception as error:  # torch raises many types for a damaged file
        raise CheckpointError(
            f"{path}: not {kind} ({type(error).__name__}): train again or restore a copy"
        ) from error
