"""What all jobs of a command read: the files that its settings name, and the user's own modules."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldplan.milp.errors import ConfigError
from worldplan.shipped import PACKAGE

MINARI_FOLDER = "MINARI_DATASETS_PATH"
_NO_SOURCE = ("__pycache__", "site-packages")


@dataclass(frozen=True)
class Luggage:
    """What travels once to every process of the cluster.

    Args:
        token: names the command; its processes unpack the files once.
        folder: the current folder here.
        files: the content of each file by its absolute path here: references to Ray's store.
        modules: folders here, from which the user's own modules are imported.
        versions: of Python and packages; they must be the same there.
        variables: of the environment, that name folders here with files that travel.
    """

    token: str
    folder: str
    files: dict[str, Any]
    modules: tuple[str, ...]
    versions: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


def files_to_carry(inputs: Iterable[Path]) -> list[Path]:
    """Absolute paths of the inputs, with the Python files beside a Python file, and of the user's
    own modules that are imported here.

    Raises:
        ConfigError: an input is no file.
    """
    found: dict[Path, None] = {}
    for name in inputs:
        path = name.absolute()
        if not path.is_file():
            raise ConfigError(f"{name}: no such file: a job on another machine could not read it")
        found[path] = None
        if path.suffix == ".py":
            found |= dict.fromkeys(path.parent.glob("*.py"))
    for _, files in own_modules():
        found |= dict.fromkeys(files)
    return list(found)


def folder_variables(files: Iterable[Path]) -> dict[str, str]:
    """The variable that names Minari's folder, where one of the files is in it.

    Args:
        files: absolute paths of what travels.
    """
    usual = Path.home() / ".minari" / "datasets"
    folder = Path(os.environ.get(MINARI_FOLDER) or usual).absolute()
    has_files = any(file.is_relative_to(folder) for file in files)
    return {MINARI_FOLDER: str(folder)} if has_files else {}


def own_modules() -> Iterator[tuple[Path, list[Path]]]:
    """The folder that each imported module of the user is found in, and its Python files: all files
    of a package, or the modules beside a module.
    """
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." in name or name == "__main__" or not file or not _is_own(Path(file)):
            continue
        path = Path(file).absolute()
        if path.name == "__init__.py":
            files = (
                part
                for part in path.parent.rglob("*")
                if part.is_file() and not any(word in _NO_SOURCE for word in part.parts)
            )
            yield path.parent.parent, sorted(files)
        elif path.suffix == ".py":
            yield path.parent, sorted(path.parent.glob("*.py"))


def _is_own(file: Path) -> bool:
    """Whether a module is neither Python's, nor installed, nor worldplan's."""
    paths = sysconfig.get_paths()
    libraries = [Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    if any(word in file.parts for word in ("site-packages", "dist-packages")):
        return False
    folders = [PACKAGE, PACKAGE.resolve(), *libraries]
    return file.is_file() and not any(file.is_relative_to(folder) for folder in folders)
