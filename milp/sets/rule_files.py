"""The function of rules that "rules.py:build" names."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path

from worldplan.milp.errors import ConfigError


def load_build(reference: str) -> Callable[..., None]:
    """The function that "rules.py:build" names.

    Raises:
        ConfigError: the file or the function is missing, or the file fails.
    """
    path, _, name = reference.rpartition(":")
    if not path or not Path(path).is_file():
        raise ConfigError(f"'{reference}' names no file: write path/to/rules.py:build")
    return _load_function(path, name)


def sees_today(build: Callable[..., None]) -> bool:
    """Whether a function of rules takes a block and a day, or only a block.

    Raises:
        ConfigError: it takes neither.
    """
    for arguments in ((None, None), (None,)):
        try:
            inspect.signature(build).bind(*arguments)
        except (TypeError, ValueError):
            continue
        return len(arguments) == 2
    raise ConfigError("the function of the rules takes other arguments: write build(block, today)")


def _load_function(path: str, name: str) -> Callable[..., None]:
    """The function `name` of the Python file `path`.

    Raises:
        ConfigError: the file cannot be executed or has no such function.
    """
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"'{path}' is not a Python file: write path/to/rules.py:build")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{path} cannot be loaded ({type(error).__name__}: {error})") from error
    function: Callable[..., None] | None = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"{path} has no function '{name}': define {name}(block)")
    return function
