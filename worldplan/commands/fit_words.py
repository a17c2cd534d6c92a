"""The words of `worldplan fit`, in which one option with the whole mapping stands for all that lead
into a mapping of the module's arguments, such as `--model.init_args.environment.kwargs.g 2`.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, get_type_hints

from jsonargparse import ArgumentParser

from worldplan.files import read_config
from worldplan.free_options import with_whole_mappings
from worldplan.lists import with_lists

CONFIG = ("-c", "--config")
_ARGUMENTS = "--model.init_args."


def module_words(parser: ArgumentParser, argv: Sequence[str]) -> list[str]:
    """The words of a command line, for the parser of LightningCLI.

    Args:
        parser: of the command.
        argv: the subcommand and its options.

    Raises:
        ConfigError: see `with_whole_mappings`.
    """
    hints = arguments_of(class_path_of(argv))
    words = [_with_init_args(word, hints) for word in argv]
    words = with_lists(words, {"model": {"init_args": hints}})
    return with_whole_mappings(parser, words, {"model": {"init_args": hints}}, argv[:1])


def options_of(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and value of each option, "--name=value" or "--name value". After a flag, the value is
    the next word; "" where there is none.
    """
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        name, equals, text = word.partition("=")
        if name.startswith("-"):
            yield name, text if equals else following


def class_path_of(argv: Sequence[str]) -> str:
    """The class path of the module that files and options name; the last one counts.

    "" where it stands in a file for a part of the settings, which the parser reads.
    """
    path = ""
    for name, value in options_of(argv):
        if name in CONFIG:
            model = read_config(value).get("model")
            named = model.get("class_path") if isinstance(model, Mapping) else model
            path = named if isinstance(named, str) else path
        elif name in ("--model", "--model.class_path"):
            path = value
    return "" if path.endswith((".yaml", ".yml", ".json")) else path


def arguments_of(class_path: str) -> dict[str, Any]:
    """Type hints of the arguments of a class or function that can be read; none where it cannot be
    imported, which jsonargparse reports.
    """
    try:
        named = pkgutil.resolve_name(class_path)
        make = named.__init__ if inspect.isclass(named) else named
        written, names = make.__annotations__, make.__globals__
    except Exception:  # of any module
        return {}
    hints: dict[str, Any] = {}
    for name, hint in written.items():
        with suppress(Exception):  # a name that is there for type checkers only
            hints |= get_type_hints(SimpleNamespace(__annotations__={name: hint}), names)
    return hints


def _with_init_args(word: str, hints: Mapping[str, Any]) -> str:
    """The option `--model.init_args.NAME` for its short form `--model.NAME`."""
    rest = word.removeprefix("--model.")
    is_short = rest != word and rest.partition("=")[0].partition(".")[0] in hints
    return f"{_ARGUMENTS}{rest}" if is_short else word
