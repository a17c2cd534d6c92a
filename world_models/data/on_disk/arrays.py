"""Arrays in .npz and HDF5 files that are stored without compression, mapped into memory."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from worldplan.milp.errors import DatasetError
from worldplan.milp.memory import gigabytes, memory_limit

_REMEDY = (
    "store it without compression (worldplan data convert SOURCE NEW.npz --uncompressed on a "
    "machine with more memory, np.savez, or HDF5 without chunks), or split the dataset"
)


def npz_arrays(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays (n, ...) of a .npz file that are among `names`, read where they are used.

    Raises:
        DatasetError: one is compressed, or has another type than float32 (states: float64).
    """
    arrays = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name not in names:
                continue
            if info.compress_type != zipfile.ZIP_STORED:
                raise DatasetError(_too_large(f"array {name} is compressed"))
            file.seek(info.header_offset + 26)  # the lengths of name and extra field
            lengths = np.frombuffer(file.read(4), dtype="<u2")
            file.seek(int(lengths.sum()), 1)
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version[0] == 1 else npy.read_array_header_2_0
            shape, fortran, dtype = read(file)
            if fortran and len(shape) > 1:
                raise DatasetError(_too_large(f"array {name} is stored by columns"))
            arrays[name] = _mapped(path, name, file.tell(), shape, dtype)
    return arrays


def hdf5_array(path: Path, name: str, column: Any) -> np.ndarray:
    """A dataset (n, ...) of an open HDF5 file, read where it is used.

    Args:
        path: of the file.
        name: of the dataset, for messages.
        column: the h5py dataset.

    Raises:
        DatasetError: it is compressed or in chunks, or has another type than float32 (states:
            float64).
    """
    offset = column.id.get_offset()
    if column.chunks is not None or offset is None:
        raise DatasetError(_too_large(f"{name} is compressed or stored in chunks"))
    return _mapped(path, name, offset, column.shape, column.dtype)


def _mapped(
    path: Path, name: str, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray:
    """The array of this shape and type at a place of the file.

    Raises:
        DatasetError: it has another type than float32 (states: float64).
    """
    needed = np.dtype(np.float64 if name in ("state", "qpos", "qvel") else np.float32)
    if dtype != needed:
        raise DatasetError(_too_large(f"{name} is {dtype}, and only {needed} is read from disk"))
    return np.memmap(path, dtype, "r", offset, shape)


def _too_large(reason: str) -> str:
    limit = gigabytes(memory_limit())
    return f"it does not fit into memory ({limit}), and {reason}: {_REMEDY}"
