"""Parsers of command lines and settings whose errors are one line, and options that several
commands share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter, Namespace

from worldplan.free_options import with_whole_mappings
from worldplan.lists import with_lists
from worldplan.milp.errors import ConfigError, WorldplanError
from worldplan.milp.limits import refuse_absurd
from worldplan.nearest import did_you_mean, nearest_setting
from worldplan.short_help import describe_all, show_help
from worldplan.wrong_types import in_words

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")

_LONGEST = 400  # characters of a message
_UNKNOWN = (
    re.compile(r"^Group '([^']+)' does not accept option '([^']+)'"),
    re.compile(r"^Option '([^']+)' is not accepted"),
    re.compile(r"^unrecognized arguments: --([^=\s]+)"),
)
_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from ([^)]*)\)")
_TYPE = re.compile(r"<class\s+'(\w+)'>")  # how Python writes a type, in jsonargparse's texts


class _PlainHelp(DefaultHelpFormatter):
    """Help that shows types as Path, not as <class 'Path'>."""

    def format_help(self) -> str:
        return _TYPE.sub(r"\1", super().format_help())


def command_parser(command: str, description: str) -> ArgumentParser:
    """A parser of the options of `worldplan COMMAND`, to be used with `parse_options` or `naming`.

    Args:
        command: the words after `worldplan`, such as "data collect".
        description: what the command does, for --help.
    """
    return ArgumentParser(
        prog=f"worldplan {command}",
        description=description,
        formatter_class=_PlainHelp,
        exit_on_error=False,
        allow_abbrev=False,
    )


def parse_options(
    parser: ArgumentParser, argv: Sequence[str], mappings: Mapping[str, Any] | None = None
) -> Namespace:
    """The options in `argv`, of a parser from `command_parser`.

    Args:
        parser: of the command.
        argv: the words after it.
        mappings: type hint of each option that may lead into a mapping (`env-kwargs.g`).

    Raises:
        ConfigError: an option is unknown, missing or of the wrong type; names the command's --help.
        SystemExit: help was asked for and printed.
    """
    show_help(parser, argv)
    try:
        return _parsed(parser, with_whole_mappings(parser, argv, mappings or {}))
    except ArgumentError as error:
        raise ConfigError(f"{shorten(str(error))}: see {parser.prog} --help") from error


def _parsed(parser: ArgumentParser, words: Sequence[str]) -> Namespace:
    """The values of the words; errors as in `parse_mapping`."""
    with _nearest(parser, words):
        return parser.parse_args(words)


def parse_mapping(parser: ArgumentParser, values: Mapping[str, Any]) -> Namespace:
    """The values of a mapping of settings.

    Raises:
        ArgumentError: a name or a choice is unknown, and the message has the nearest; or another
            error.
    """
    with _nearest(parser):
        parsed: Namespace = parser.parse_object(dict(values))
    return parsed


@contextmanager
def _nearest(parser: ArgumentParser, words: Sequence[str] = ()) -> Iterator[None]:
    """Name the nearest where an error in the block under `with` is about a name or a choice that
    does not exist.

    Raises:
        ArgumentError: the error.
    """
    try:
        yield
    except ArgumentError as error:
        text = "" if own_error(error) else _nearer(str(error), parser, words)
        if not text:
            raise
        raise ArgumentError(None, text) from error


def _nearer(text: str, parser: ArgumentParser, words: Sequence[str]) -> str:
    """The message with the nearest name; "" where it is about something else."""
    flags = [flag for action in parser._actions for flag in action.option_strings]
    known = [flag.lstrip("-") for flag in flags if not flag.endswith("+")]
    name = _unknown_name(text)
    if name and f"--{name}" in text:
        name = f"--{name}"
    if name := name or _unknown_word(words, flags):
        return unknown_setting(name, known)
    return nearest_choice(text)


def _unknown_word(words: Sequence[str], flags: Sequence[str]) -> str:
    """The first option that does not exist, or "": its spelling may be why an argument is missing.
    Dotted names may lead into a mapping.
    """
    names = [word.partition("=")[0] for word in words if word.startswith("--") and word != "--"]
    return next((name for name in names if "." not in name and name not in flags), "")


def nearest_choice(text: str) -> str:
    """A message of argparse about a choice, with the nearest of the choices; "" for another one."""
    match = _CHOICE.search(text)
    if match is None or "did you mean" in text:
        return ""
    choices = re.findall(r"'([^']*)'", match[2])
    return f"{text[: match.end(1) + 1]}{did_you_mean(match[1], choices)}{text[match.end(1) + 1 :]}"


def unknown_setting(name: str, known: Iterable[str]) -> str:
    """The sentence about a setting or option that does not exist.

    Args:
        name: as it was written, dotted.
        known: names of those that exist.
    """
    return f"there is no setting or option '{name}'{nearest_setting(name.lstrip('-'), known)}"


def _unknown_name(text: str) -> str:
    """The setting or option that a message of jsonargparse says does not exist, or ""."""
    for pattern in _UNKNOWN:
        if found := pattern.search(text):
            return ".".join(found.groups())
    return ""


def add_settings(parser: ArgumentParser, settings: type, kind: str) -> None:
    """Add --config, which `settings_files.file_first` puts before the file, and an option for each
    setting.

    Args:
        parser: from `command_parser`.
        settings: the dataclass.
        kind: of the file, such as "study".
    """
    parser.add_argument(
        "--config",
        action="config",
        help=f"{kind} file (may stand without --config, before or after the options)",
    )
    parser.add_class_arguments(settings)
    describe_all(parser, settings)


def parse_settings(parser: ArgumentParser, argv: Sequence[str], settings: type) -> Namespace:
    """The values in `argv`, of a parser with `add_settings`.

    Args:
        parser: of the command.
        argv: the words after it, from `settings_files.file_first`.
        settings: the dataclass of `add_settings`.

    Raises:
        ArgumentError: an option is unknown, missing or of the wrong type.
        ConfigError: see `with_whole_mappings`.
    """
    show_help(parser, argv, settings)
    hints = get_type_hints(settings)
    return _parsed(parser, with_whole_mappings(parser, with_lists(argv, hints), hints))


def instantiate(parser: ArgumentParser, values: Namespace, settings: type[Settings]) -> Settings:
    """The dataclass `settings` of parsed values; other options among them are ignored.

    Raises:
        ConfigError: a setting is refused by its class.
    """
    refuse_null(values, settings)
    made = parser.instantiate(values)
    complete = settings(**{field.name: made[field.name] for field in fields(settings)})
    refuse_absurd(complete)
    return complete


def refuse_null(values: Mapping[str, Any] | Namespace, settings: type, key: str = "") -> None:
    """Check that no setting is None whose type does not allow it, and that settings which hold
    others are mappings: jsonargparse takes every null, and in nested settings more.

    Args:
        values: parsed values of the settings; others among them are ignored.
        settings: the dataclass.
        key: of the settings inside others, for messages.

    Raises:
        ConfigError: names the setting.
    """
    hints = get_type_hints(settings)
    for field in fields(settings):
        value, hint, name = values.get(field.name, 0), hints[field.name], f"{key}{field.name}"
        allowed = (hint, *get_args(hint))
        if value is None and not {Any, type(None)} & set(allowed):
            expected = getattr(hint, "__name__", str(hint))
            raise ConfigError(f"{name} is null: give {expected}, or leave the setting out")
        for kind in allowed:
            if not isinstance(kind, type) or not is_dataclass(kind) or field.name not in values:
                continue
            if isinstance(value, Namespace | Mapping):
                refuse_null(value, kind, f"{name}.")
            elif value is not None and not isinstance(value, kind):
                raise ConfigError(f"{name} is {value!r:.60}: give settings as 'name: value' lines")


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Raise the errors of settings, in the block under `with`, as one line that begins with
    `source`, the file of the settings.

    Raises:
        ConfigError: a setting is unknown, of the wrong type, or refused by its class.
    """
    try:
        yield
    except (ArgumentError, ValueError, OverflowError, ConfigError) as error:
        text = shorten(str(own_error(error) or error))
        if isinstance(error, OverflowError):
            text = f"a number among the settings is too large ({text}): make it smaller"
        raise ConfigError(f"{source}: {text}" if source and source not in text else text) from error


def own_error(error: BaseException) -> WorldplanError | None:
    """The WorldplanError inside a jsonargparse exception, or None."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, WorldplanError):
        cause = cause.__cause__ or cause.__context__
    return cause


def shorten(text: str) -> str:
    """The lines of a jsonargparse message as one line of at most 400 characters. Of a longer
    message, the line that names the wrong setting.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    line = in_words(_TYPE.sub(r"\1", " ".join(line.strip(" -") for line in lines)))
    if len(line) >= _LONGEST and len(lines) > 1:
        line = _innermost(lines)
    return line if len(line) < _LONGEST else line[:_LONGEST] + " ..."


def _innermost(lines: Sequence[str]) -> str:
    """The most indented line of nested explanations, which says what is wrong, after the keys in
    the lines around it, which say where.
    """
    depths = [len(line) - len(line.lstrip(" -")) for line in lines]
    number = depths.index(max(depths))
    problem, level, keys = lines[number].strip(" -"), depths[number], list[str]()
    for line, depth in zip(reversed(lines[:number]), reversed(depths[:number]), strict=True):
        if depth < level:
            level, keys = depth, re.findall(r'Parser key "([^"]+)"', line) + keys
    unknown = re.search(
        r"Option '([^']+)' is not accepted|unrecognized arguments: --([^=\s]+)", problem
    )
    if unknown:
        setting = ".".join([*keys, unknown[1] or unknown[2]])
        return f"{setting}: there is no such setting: check the spelling and where it stands"
    return f"{'.'.join(keys)}: {problem}"


def add_run_options(parser: ArgumentParser, engines: Sequence[str]) -> None:
    """Add --jobs, --engine, --runs and --fresh, the options of commands that make a run folder."""
    parser.add_argument("--jobs", type=int, default=0, help="parallel processes; 0: one per core")
    parser.add_argument(
        "--engine", choices=engines, default="local", help="where jobs run; ray uses RAY_ADDRESS"
    )
    parser.add_argument("--runs", default="runs", help="folder of run folders")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="start a new run even if an unfinished one can be resumed",
    )


def check_jobs(jobs: int) -> None:
    """Check the value of --jobs.

    Raises:
        ConfigError: it is negative.
    """
    if jobs < 0:
        raise ConfigError(
            f"--jobs {jobs}: give the number of parallel processes, or 0 for one per core"
        )
