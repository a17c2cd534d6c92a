"""Options of a command line that lead into a mapping without fixed keys, such as
`data.environment.kwargs.g` of a study.

jsonargparse takes all of such an option below the mapping for one key, keeps its value as a text,
and drops what the mapping held before. Here these options become one option with the whole mapping,
`data.environment={id: Pendulum-v1, kwargs: {g: 2}}`, with the values that they have in a file.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from typing import Any, get_args, get_origin

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, get_loader

from worldplan.hints import members, settings_within
from worldplan.milp.errors import ConfigError
from worldplan.strict_yaml import RefusedYAML, strict_load

_PRINTING = "--print_config"


@dataclass(frozen=True)
class _Entry:
    """One option: the mapping that it leads into, the keys there, and the text of the value."""

    mapping: str
    keys: tuple[str, ...]
    text: str
    word: str


def with_whole_mappings(
    parser: ArgumentParser,
    argv: Sequence[str],
    hints: Mapping[str, Any],
    within: Sequence[str] = (),
) -> list[str]:
    """The words of a command line, in which one option with the whole mapping stands for all that
    lead into it.

    Args:
        parser: of the command.
        argv: the words.
        hints: type hint of each option by the first part of its name, or such a mapping for the
            next part; those of dataclasses are followed.
        within: keys of the settings in the parsed ones, such as the subcommand.

    Raises:
        ConfigError: such an option lacks its value, leads into something that is no mapping, or has
            a value that is ambiguous or malformed.
    """
    rest, entries = _taken(argv, hints)
    if not entries:
        return rest
    values = _values(parser, rest, within)
    for mapping in dict.fromkeys(entry.mapping for entry in entries):
        chosen = [entry for entry in entries if entry.mapping == mapping]
        first, *others = mapping.split(".")
        whole = _base(_found(values, [first.replace("-", "_"), *others]), chosen[0])
        for entry in chosen:
            _set(whole, entry)
        text = yaml.safe_dump(whole, default_flow_style=True, width=2**31, sort_keys=False)
        rest.append(f"--{mapping}={text.strip()}")
    return rest


def _values(parser: ArgumentParser, argv: Sequence[str], within: Sequence[str]) -> Any:
    """The parsed settings; None where the words are wrong, which is reported when all is parsed."""
    if any(word.startswith(_PRINTING) for word in argv):  # without required settings
        text = io.StringIO()
        with suppress(ArgumentError, ValueError, SystemExit), redirect_stdout(text):
            parser.parse_args(list(argv))
        return get_loader("yaml")(text.getvalue())
    with suppress(ArgumentError, ValueError):
        return _found(parser.parse_args(list(argv)), within)
    return None


def _taken(argv: Sequence[str], hints: Mapping[str, Any]) -> tuple[list[str], list[_Entry]]:
    """The words without the options that lead into mappings, and these options. A later option for
    the whole mapping replaces those before it.

    Raises:
        ConfigError: one lacks its value.
    """
    rest: list[str] = []
    entries: list[_Entry] = []
    words = iter(argv)
    for word in words:
        name, equals, text = word.partition("=")
        place = _place(name, hints)
        if place is None:
            entries = [entry for entry in entries if name != f"--{entry.mapping}"]
            rest.append(word)
            continue
        value = text if equals else next(words, "--")
        if not equals and value.startswith("--"):
            raise ConfigError(f"{name}: its value is missing: write {name} VALUE")
        entries.append(_Entry(*place, value, name))
    return rest, entries


def _place(name: str, hints: Mapping[str, Any]) -> tuple[str, tuple[str, ...]] | None:
    """The mapping that an option leads into, and the keys there; None where it leads into none."""
    if not name.startswith("--") or name.endswith("+"):
        return None
    keys = name[2:].split(".")
    for count, written in enumerate(keys, 1):
        key = written.replace("-", "_") if count == 1 else written
        if key not in hints:
            return None
        if isinstance(hints[key], Mapping):
            hints = hints[key]
            continue
        if any(map(_is_free, members(hints[key]))):
            below = tuple(keys[count:])
            return (".".join(keys[:count]), below) if below and all(below) else None
        hints = settings_within(hints[key])
    return None


def _is_free(hint: Any) -> bool:
    """Whether a type is a mapping whose values, or whose values' values, may be anything."""
    origin, arguments = get_origin(hint), get_args(hint)
    if not isinstance(origin, type) or not issubclass(origin, Mapping) or len(arguments) != 2:
        return False
    return arguments[1] is Any or _is_free(arguments[1])


def _found(values: Any, path: Sequence[str]) -> Any:
    """The value at a path; None where there is none."""
    for key in path:
        if not isinstance(values, Namespace | Mapping) or key not in values:
            return None
        values = values[key]
    return values


def _base(value: Any, entry: _Entry) -> dict[str, Any]:
    """What the mapping holds without the options: a text stands for the id of an environment.

    Raises:
        ConfigError: it is no mapping.
    """
    if value is None:
        return {}
    if isinstance(value, str):
        return {"id": value}
    if isinstance(value, Namespace):
        value = value.as_dict()
    if isinstance(value, Mapping):
        return copy.deepcopy(dict(value))
    raise ConfigError(f"{entry.word}: {entry.mapping} is {value!r:.60}, no mapping: leave it out")


def _set(mapping: dict[str, Any], entry: _Entry) -> None:
    """Set the value of an option in a mapping, whose keys may hold dots themselves.

    Raises:
        ConfigError: there is another value than a mapping on the way, or the value is malformed.
    """
    keys = list(entry.keys)
    while True:
        counts = range(len(keys), 0, -1)
        count = next((count for count in counts if ".".join(keys[:count]) in mapping), 1)
        key, keys = ".".join(keys[:count]), keys[count:]
        if not keys:
            mapping[key] = _typed(entry)
            return
        inner = mapping.setdefault(key, {})
        if inner is None:
            inner = mapping[key] = {}
        if not isinstance(inner, dict):
            raise ConfigError(
                f"{entry.word}: {key} is {inner!r:.60}, no mapping: leave {'.'.join(keys)} out of "
                "the option, or give the whole mapping"
            )
        mapping = inner


def _typed(entry: _Entry) -> Any:
    """The value of a text as a settings file reads it; an empty one, or one that is no YAML, is
    itself.

    Raises:
        ConfigError: it is ambiguous, or a list or mapping that does not end.
    """
    if not entry.text.strip():
        return entry.text
    try:
        strict_load(entry.text)
        return get_loader("yaml")(entry.text)
    except RefusedYAML as error:
        raise ConfigError(f"{entry.word} {entry.text:.60}: {error.problem}") from error
    except yaml.YAMLError as error:
        if entry.text.lstrip().startswith(("[", "{")):
            raise ConfigError(
                f"{entry.word} {entry.text:.60}: not valid YAML: close its brackets and quotes, "
                "or quote the text"
            ) from error
        return entry.text
