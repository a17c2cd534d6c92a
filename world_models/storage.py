"""Files that are written whole or not at all, and the errors of reading a damaged file."""

from __future__ import annotations

import lzma
import os
import secrets
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

# what numpy, h5py, zipfile and json raise for a file that is cut off, damaged or of another kind
READ_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,  # also of recursion and of unknown compression
    IndexError,
    ArithmeticError,
    AttributeError,
    SyntaxError,
    MemoryError,
    struct.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)


def describe_read_error(error: BaseException, damaged: str = "cut off or damaged") -> str:
    """What is wrong with a file that raised one of `READ_ERRORS`, for messages: a missing
    permission and a full table of files are no damage.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    text = text if len(text) <= 200 else f"{text[:200]} ..."
    if isinstance(error, OSError) and error.errno is not None:
        return f"({error.strerror or text}): check path and permissions"
    return f"it is {damaged} ({text}): fetch or make it again"


def replace_file(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file whole or not at all: an interruption or a full disk leaves the old file.

    Args:
        path: the file to write; missing folders are made.
        write: fills the temporary file beside `path` that it is called with. Its name ends in the
            suffix of `path`, which matplotlib and numpy look at.

    Returns:
        `path`.

    Raises:
        OSError: the file cannot be written (the error names `path`), or `write` raised it for
            another file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{secrets.token_hex(6)}{path.suffix}")
    try:
        write(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        # the error of a failed write has no file name, or that of the temporary file: report `path`
        if error.filename not in (None, draft, str(draft)):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        draft.unlink(missing_ok=True)
    return path
