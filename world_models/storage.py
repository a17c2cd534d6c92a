"""Files that are written whole or not at all, and the errors of reading a damaged file."""

from __future__ import annotations

import errno
import lzma
import os
import secrets
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from worldplan.milp.errors import ConfigError, one_line

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
    text = one_line(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"({error.strerror or text}): check path and permissions"
    return f"it is {damaged} ({text}): fetch or make it again"


def require_replaceable(path: Path) -> None:
    """Check that writing `path` makes a file or replaces a regular one: for root, renaming a file
    to /dev/null would replace the device of the whole machine.

    Raises:
        ConfigError: the path is a device, a pipe or a socket, or a link to one.
        IsADirectoryError: it is a folder.
    """
    try:
        mode = os.stat(path).st_mode
        special = not stat.S_ISREG(mode)
    except ValueError as error:  # a NUL byte
        raise ConfigError(f"{str(path)!r}: cannot be a file's name ({error})") from error
    except OSError:  # missing, or the write reports it
        mode, special = 0, False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # /dev/stdout is a link to /proc/self/fd/1, which may be a regular file
    linked = path.is_symlink() and os.readlink(path).startswith(("/dev/", "/proc/"))
    if special or linked or path.parent.resolve().is_relative_to("/proc"):
        raise ConfigError(f"{path}: is a device, pipe or socket: give the name of a file to write")


def replace_file(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file whole or not at all: an interruption or a full disk leaves the old file.

    Args:
        path: the file to write; missing folders are made.
        write: fills the temporary file beside `path` that it is called with. Its name ends in the
            suffix of `path`, which matplotlib and numpy look at.

    Returns:
        `path`.

    Raises:
        ConfigError: `path` is a device, a pipe or a socket.
        OSError: the file cannot be written (the error names `path`), or `write` raised it for
            another file.
    """
    require_replaceable(path)
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
