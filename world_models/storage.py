"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object]) -> Path:
    """Call `write` on a temporary file beside `path`, then move it to `path`, and return `path`.

    So no reader ever sees a half-written file. The temporary name keeps the suffix of `path`:
    matplotlib and torch choose the format by it.

    Raises:
        OSError: the write failed; names `path`, whose old content is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{secrets.token_hex(6)}{path.suffix}")
    try:
        write(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        # the error of a failed write has no file name, or the temporary one: report `path`
        if error.filename not in (None, draft, str(draft)):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        draft.unlink(missing_ok=True)
    return path
