"""What a file of arrays declares, checked before anything is read: a damaged or hostile header may
declare more than the file holds, or than fits into memory.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from numpy.lib import format as npy

from worldplan.milp.errors import DatasetError
from worldplan.milp.memory import gigabytes, memory_limit
from worldplan.milp.user_files import unique_keys

_COPIES = 3  # of an array while a dataset is read and checked
_COMPRESSION = 2000  # more than deflate and gzip reach


def check_npz(path: Path, names: Collection[str]) -> int:
    """Check the headers of the arrays `names` of a .npz file; returns their bytes.

    Raises:
        DatasetError: an array is there twice, or declares another size than it has.
    """
    sizes: dict[str, int] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name not in names:
                continue
            if name in sizes:
                raise DatasetError(f"array {name} is there twice: write the file again")
            with archive.open(info) as stream:
                version = npy.read_magic(stream)
                read = npy.read_array_header_1_0 if version[0] == 1 else npy.read_array_header_2_0
                shape, _, dtype = read(stream)
                sizes[name] = math.prod(shape) * dtype.itemsize
                stored = info.file_size - stream.tell()
            if sizes[name] != stored and not dtype.hasobject or min(shape, default=0) < 0:
                raise DatasetError(
                    f"array {name} declares the shape {shape} of {dtype} ({sizes[name]} bytes), "
                    f"but the file holds {stored} bytes of it: fetch or make it again"
                )
    return sum(sizes.values())


def check_hdf5(file: Any, names: Collection[str]) -> int:
    """Check what the datasets `names` of an open HDF5 file declare; returns their bytes.

    Raises:
        DatasetError: one is a group, lies in other files, was never written, or declares more than
            the file can hold.
    """
    import h5py

    total = 0
    for name in names:
        if name not in file:
            continue
        column = file[name]
        if not isinstance(column, h5py.Dataset):
            raise DatasetError(f"{name} is a group: an array of numbers must stand there")
        if column.is_virtual or column.external:
            raise DatasetError(
                f"{name} lies in other files, which may be missing: copy it into this one"
            )
        size, stored = column.nbytes, column.id.get_storage_size()
        if size > _COMPRESSION * stored:
            raise DatasetError(
                f"{name} declares the shape {column.shape} ({gigabytes(size)}), but the file holds "
                f"{stored} bytes of it: it was cut off while it was written"
            )
        total += size
    return total


def fits_memory(size: int) -> bool:
    """Whether arrays of `size` bytes can be read and checked in the memory of this process."""
    return _COPIES * size <= memory_limit()


def require_memory(size: int, purpose: str) -> None:
    """Check that arrays of `size` bytes fit into memory.

    Args:
        size: of all arrays.
        purpose: what needs them there, and what else to do, for the message.

    Raises:
        DatasetError: they do not.
    """
    if not fits_memory(size):
        raise DatasetError(
            f"its arrays take {gigabytes(_COPIES * size)} of memory, and this process has "
            f"{gigabytes(memory_limit())}: {purpose}"
        )


def parsed_metadata(text: str | bytes) -> dict[str, Any]:
    """The metadata in a JSON text.

    Raises:
        DatasetError: it is no JSON object.
    """
    try:
        metadata = json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"its metadata are no JSON ({error}): write the file again") from error
    if not isinstance(metadata, dict):
        raise DatasetError("its metadata are no JSON object: write the file again")
    return metadata
