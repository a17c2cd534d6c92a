"""A name that does not exist among the settings of `worldplan fit`, with the nearest that does: of
trainer, journal, class path and the class's arguments.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jsonargparse import ArgumentParser

from worldplan.commands.fit_classes import class_paths, unknown_short_name
from worldplan.commands.fit_words import CONFIG, arguments_of, class_path_of, options_of
from worldplan.files import read_config
from worldplan.hints import settings_within
from worldplan.nearest import did_you_mean

_PACKAGES = ("worldplan", "lightning", "torch")  # of most class paths
_MODEL = ("class_path", "init_args", "dict_kwargs")


def unknown_name(parser: ArgumentParser, argv: Sequence[str]) -> str:
    """What is wrong with the first name that does not exist; "" where all do.

    Args:
        parser: of the subcommand.
        argv: the subcommand and its options.
    """
    flags = [
        flag.lstrip("-").rstrip("+") for action in parser._actions for flag in action.option_strings
    ]
    path = class_path_of(argv)
    if path and (problem := _unknown_class(path)):
        return problem
    for source, setting, name in class_paths(argv):
        problem = _unknown_class(name) if "." in name else unknown_short_name(setting, name)
        if problem:
            return f"{source}{problem}"
    arguments = arguments_of(path)
    for source, parts in _names(argv):
        if problem := _unknown(parts, flags, arguments):
            return f"{source}{problem}"
    return ""


def _names(argv: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(where it stands, the parts of its name) of each setting of the files and options."""
    for name, value in options_of(argv):
        if name in CONFIG:
            for path in _paths(read_config(value)):
                yield f"{value}: ", path
        elif name.startswith("--"):
            yield "", tuple(name[2:].rstrip("+").split("."))


def _paths(settings: Any) -> Iterator[tuple[str, ...]]:
    """The paths of all values of nested mappings."""
    if not isinstance(settings, Mapping) or not settings:
        yield ()
        return
    for key, value in settings.items():
        for rest in _paths(value):
            yield str(key), *rest


def _unknown(name: Sequence[str], flags: Sequence[str], arguments: Mapping[str, Any]) -> str:
    """What is wrong with a name."""
    if name[0] != "model":
        sections = list(dict.fromkeys(flag.partition(".")[0] for flag in flags))
        if name[0] not in sections:
            return _sentence(name[:1], (), sections)
        below = [flag.split(".")[1] for flag in flags if flag.startswith(f"{name[0]}.")]
        if len(name) > 1 and below and name[1] not in below:
            return _sentence(name[:2], name[:1], below)
        return ""
    if len(name) == 1 or name[1] == "class_path":
        return ""
    start = 2 if name[1] in _MODEL else 1
    if start == 2 or name[1] in arguments or not did_you_mean(name[1], _MODEL):
        return _unknown_argument(name, start, arguments) if arguments else ""
    return _sentence(name[:2], name[:1], _MODEL)


def _unknown_argument(name: Sequence[str], start: int, known: Mapping[str, Any]) -> str:
    """What is wrong with the part of a name from `start` on, which leads through dataclasses."""
    first = known
    for place in range(start, len(name)):
        if name[place] not in known:
            if name[place] in first:  # it stands in the wrong place
                return _sentence(name[: place + 1], name[:start], first)
            return _sentence(name[: place + 1], name[:place], known)
        known = settings_within(known[name[place]])
        if not known:
            return ""
    return ""


def _sentence(name: Sequence[str], before: Sequence[str], known: Iterable[str]) -> str:
    near = did_you_mean(name[-1], known, ".".join(before))
    return f"there is no setting '{'.'.join(name)}'{near}"


def _unknown_class(path: str) -> str:
    """What is wrong with a class path."""
    parts = path.split(".")
    module: Any = None
    for count, part in enumerate(parts, 1):
        try:
            module = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError as error:
            if error.name is None or not path.startswith(error.name):
                return ""  # a package that the module needs is missing
            if hasattr(module, part):
                module = getattr(module, part)
                continue
            known = _within(module) if module else _PACKAGES
            near = did_you_mean(part, known, ".".join(parts[: count - 1]))
            return f"class_path {path}: there is no '{'.'.join(parts[:count])}'{near}"
        except Exception:  # of any module
            return ""
    return ""


def _within(module: Any) -> list[str]:
    """Names of modules, classes and functions in a module, also of those not imported yet; or of
    what else a class path leads to.
    """
    folders = getattr(module, "__path__", None)
    modules = [] if folders is None else [found.name for found in pkgutil.iter_modules(folders)]
    return [*modules, *(name for name in dir(module) if not name.startswith("_"))]
