"""The help of a command: its own options and the names of its settings. --help-all lists all.

A parser needs the modules that its settings are for, which take seconds to import. So the texts are
kept in help_texts.json, which worldplan.help_texts writes anew after a change of an option.
"""

from __future__ import annotations

import json
import re
from argparse import SUPPRESS, Action, HelpFormatter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

ALL = "--help-all"
FILE = Path(__file__).with_name("help_texts.json")
Rows = list[tuple[str, str]]

_NO_DEFAULT = (None, False, SUPPRESS, "")
_WORDS = {"-h", "--help"}
_ARGUMENT = re.compile(r"^    (\w+(?:, \w+)*): (.+(?:\n      .*)*)", re.MULTILINE)


@dataclass(frozen=True)
class ShortHelp:
    """The help of a command.

    Args:
        usage: after "usage: ".
        description: what the command does.
        arguments: positional ones, each a name and a text.
        options: flags, with the name of the value, and a text.
        settings: those of the file, likewise.
    """

    usage: str
    description: str
    arguments: Rows
    options: Rows
    settings: Rows

    def __str__(self) -> str:
        """As wide as the terminal."""
        formatter = HelpFormatter("", max_help_position=26)
        formatter.add_text(f"usage: {self.usage}")
        formatter.add_text(self.description)
        for title, rows in (
            ("arguments", self.arguments),
            ("options", self.options),
            ("settings" if self.arguments else "settings of the file", self.settings),
        ):
            formatter.start_section(title)
            for flags, text in rows:
                action = Action([], flags, metavar=flags, help=text.replace("%", "%%"))
                formatter.add_argument(action)
            formatter.end_section()
        if self.settings:
            formatter.add_text(f"{ALL} lists every setting with its type and default.")
        return formatter.format_help().rstrip()


class HelpShown(SystemExit):
    """Prints a help, and ends the command."""

    def __init__(self, text: ShortHelp) -> None:
        super().__init__(0)
        self.text = text
        print(text)  # noqa: T201 - a command line prints


def wants_help(argv: Sequence[str]) -> bool:
    """Whether the words of a command ask for its help."""
    return bool(_WORDS & set(argv))


def stored_help(command: str) -> ShortHelp | None:
    """The help of a command from the file, or None.

    Args:
        command: the words after `worldplan`.
    """
    texts = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return ShortHelp(**texts[command]) if command in texts else None


def show_help(parser: ArgumentParser, argv: Sequence[str], settings: type | None = None) -> None:
    """Print the help that `argv` asks for, if it does.

    Args:
        parser: of the command.
        argv: the words after it.
        settings: the dataclass whose fields are settings; None: the command has options alone.

    Raises:
        HelpShown: it was printed.
        SystemExit: that of all settings was printed.
    """
    if ALL in argv:
        parser.print_help()
        raise SystemExit(0)
    if wants_help(argv):
        raise HelpShown(short_help(parser, settings))


def short_help(parser: ArgumentParser, settings: type | None) -> ShortHelp:
    """Options with their texts, and the settings; those inside of others are counted.

    Args:
        parser: of the command.
        settings: the dataclass whose fields are settings, or None.
    """
    shown = [action for action in parser._actions if action.help != SUPPRESS]
    names = [field.name for field in fields(settings)] if settings else []
    own = [action for action in shown if action.dest.partition(".")[0] not in names]
    arguments = [action for action in own if not action.option_strings]
    return ShortHelp(
        usage=f"{parser.prog} {_usage(arguments, bool(names))}",
        description=parser.description or "",
        arguments=[(_value(action), action.help or "") for action in arguments],
        options=[_option(action) for action in own if action.option_strings],
        settings=[_setting(name, shown, settings) for name in names],
    )


def _usage(arguments: Sequence[Action], with_settings: bool) -> str:
    if with_settings and not arguments:
        return "FILE.yaml [options] [--SETTING VALUE ...]"
    words = (
        _value(action) + (" ..." if action.nargs in ("+", "*") else "") for action in arguments
    )
    return " ".join([*words, "[options]", *(["[--SETTING VALUE ...]"] if with_settings else [])])


def _value(action: Action) -> str:
    """How the value of an action is called."""
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    metavar = action.metavar or action.dest.rpartition(".")[2].upper()
    return metavar if isinstance(metavar, str) else " ".join(metavar)


def _option(action: Action) -> tuple[str, str]:
    if action.dest == "print_config":
        return "--print_config", "print all settings as YAML"
    flags = ", ".join(flag for flag in action.option_strings if not flag.endswith("+"))
    value = "" if action.nargs == 0 else f" {_value(action)}"
    text = (action.help or "").replace("%(default)s", str(action.default))
    if value and "default" not in text and action.default not in _NO_DEFAULT:
        text = f"{text} (default: {action.default})"
    return flags + value, text


def _setting(name: str, shown: Sequence[Action], settings: type | None) -> tuple[str, str]:
    inner = [action for action in shown if action.dest.startswith(f"{name}.")]
    if inner and settings is not None:
        text = described(settings).get(name, name).rstrip(".")
        return f"--{name}.NAME", f"{text} ({len(inner)} settings)"
    (action,) = (action for action in shown if action.dest == name)
    return f"--{name} {_value(action)}", action.help or ""


# --- every setting has a text ---------------------------------------------------------------------


def described(settings: type) -> dict[str, str]:
    """What the docstring of a dataclass says of each field. A line may describe several.

    Args:
        settings: with a section Args.
    """
    _, _, arguments = cleandoc(settings.__doc__ or "").partition("\nArgs:\n")
    return {
        name: " ".join(text.split())
        for names, text in _ARGUMENT.findall(arguments.partition("\n\n")[0])
        for name in names.split(", ")
    }


def describe_all(parser: ArgumentParser, settings: type) -> None:
    """Give every setting without a help text that of its dataclass.

    Args:
        parser: with the settings.
        settings: their dataclass.
    """
    texts = dict(_described_within(settings, ""))
    for action in parser._actions:
        if action.help is None and action.dest in texts:
            action.help = texts[action.dest]


def _described_within(settings: type, prefix: str) -> Iterator[tuple[str, str]]:
    """Dotted name and text of every setting."""
    for name, text in described(settings).items():
        yield f"{prefix}{name}", text
    hints = get_type_hints(settings)
    for field in fields(settings):
        for kind in (hints[field.name], *get_args(hints[field.name])):
            if _is_settings(kind):
                yield from _described_within(kind, f"{prefix}{field.name}.")


def _is_settings(kind: Any) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)
