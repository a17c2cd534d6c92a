"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file beside `path` and then put it in its place, so that nothing
    is ever half-written.

    The temporary name keeps the suffix of `path`, which matplotlib and torch look at. An OSError
    names `path`, and leaves it as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{secrets.token_hex(6)}{path.suffix}")
    try:
        write(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(draft, path)
    except (
        OSError
    ) as error:  # a failed write knows no file, and the draft's name tells nobody anything
        if error.filename not in (None, draft, str(draft)):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        draft.unlink(missing_ok=True)
    return path
