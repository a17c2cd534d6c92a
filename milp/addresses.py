"""Objects of a user's own modules, by address; their errors become one line that names the place.

An address is "module:attribute", such as "my_package.lazy:LazyPolicy".
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worldplan.milp.errors import ConfigError, WorldplanError

_PASSED_OVER = ("worldplan", "importlib", "contextlib", "gymnasium")  # packages of no user


def import_address(address: str, kind: str) -> Any:
    """The object at an address.

    Args:
        address: "module:attribute".
        kind: what the object is, for messages ("policy").

    Raises:
        ConfigError: the module is missing or cannot be executed, or has no such attribute.
    """
    module_name, _, attribute = address.partition(":")
    with own_errors(f"{kind} '{address}'", "mend it, or give another address"):
        try:
            return getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            is_missing = isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(
                f"{error.name}."
            )
            hint = " (PYTHONPATH=. adds the current folder)" if is_missing else user_place(error)
            raise ConfigError(
                f"{kind} '{address}': {error}{hint}: give module:attribute of something importable"
            ) from error


@contextmanager
def own_errors(subject: str, remedy: str) -> Iterator[None]:
    """Raise whatever a user's code raises in the block under `with` as one line.

    The traceback stays in the error's `__cause__`.

    Args:
        subject: what the code belongs to, such as "policy 'my_package.lazy:LazyPolicy'".
        remedy: what to do about it.

    Raises:
        ConfigError: the code raised an exception or ended the program; names file and line.
        WorldplanError: the code raised one of these, which is left as it is.
    """
    try:
        yield
    except WorldplanError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{subject}: {type(error).__name__}: {error}{user_place(error)}: {remedy}"
        ) from error


def user_place(error: BaseException) -> str:
    """The innermost line of the user's code that raised `error`, as " (file.py, line 3)"; "" if
    none.

    The user's code begins where the traceback leaves worldplan and what it calls. Frames of
    other folders, such as those of a library that the user's code calls, are passed over.
    """
    frames = [
        (Path(frame.f_code.co_filename), line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in _PASSED_OVER
    ]
    if not frames:
        return ""
    folder = frames[0][0].parent
    file, line = [place for place in frames if place[0].is_relative_to(folder)][-1]
    return f" ({file}, line {line})"
