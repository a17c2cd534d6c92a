"""Arrays as C code takes them: contiguous, in the byte order of the machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldplan.milp.errors import ConfigError


def contiguous(values: Any, what: str, *, dtype: type[np.generic] | None = None) -> NDArray[Any]:
    """Numbers (...) as a contiguous array, whatever their layout; without a copy if they are one.

    Args:
        values: an array, a tensor on any device, or nested lists.
        what: they are, the beginning of the message.
        dtype: of the result; None: float32 and float64 stay what they are, all else becomes
            float64.

    Raises:
        ConfigError: they are no real numbers, masked, or lists of different lengths.
    """
    if isinstance(values, torch.Tensor):
        values = _array_of(values, what)
    if np.ma.is_masked(values):
        raise ConfigError(f"{what} have masked entries: fill them, or leave the rows out")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ConfigError(f"{what}: {error}: give rows of equal length") from error
    if array.dtype.kind not in "biuf":
        raise ConfigError(f"{what} are {array.dtype}: give an array of real numbers")
    kept = array.dtype.newbyteorder("=") if array.dtype.itemsize in (4, 8) else np.dtype(np.float64)
    natural = kept if array.dtype.kind == "f" else np.dtype(np.float64)
    with np.errstate(over="ignore"):
        return np.require(array, natural if dtype is None else dtype, ["C", "A"])


def _array_of(values: torch.Tensor, what: str) -> NDArray[Any]:
    """The numbers of a tensor (...) as an array.

    Raises:
        ConfigError: NumPy has no such arrays.
    """
    try:
        values = values.detach().cpu().resolve_conj().resolve_neg()
        small = values.is_floating_point() and values.element_size() < 4
        return (values.float() if small else values).numpy()
    except (TypeError, NotImplementedError, RuntimeError) as error:
        raise ConfigError(
            f"{what} are a tensor that NumPy cannot hold ({str(error).splitlines()[0]}): give a "
            "dense tensor of real numbers"
        ) from error


def tensor(values: Any, what: str, *, dtype: type[np.generic]) -> torch.Tensor:
    """Numbers (...) as a tensor on the CPU, whatever their layout.

    It may share memory with `values`, unless these cannot be written to.

    Raises:
        ConfigError: as in `contiguous`.
    """
    array = contiguous(values, what, dtype=dtype)
    return torch.from_numpy(array if array.flags.writeable else array.copy())
