"""Which word of a command line is the settings file, and whether the file is for the command."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from worldplan.milp.errors import ConfigError

FILE_KINDS = {
    "tuning": ({"search", "trials"}, "tune"),
    "study": ({"methods", "plane"}, "run"),
    "scenario": ({"programme", "policies"}, "bandits run"),
    "training": ({"model", "trainer"}, "fit --config"),
}
"""Settings files: top-level keys of which each has at least one, and its command."""

_TABLES = (".csv", ".tsv", ".xlsx", ".npz", ".hdf5")
_OTHERS = {
    ".pddl": "a domain or problem in PDDL: worldplan actions solve DOMAIN.pddl PROBLEM.pddl",
    ".trajectory": "a log of actions: worldplan actions learn",
    ".ckpt": "a checkpoint: 'worldplan evaluate' takes the folder that it is in",
}
"""Files that hold no settings, by their suffix, and what reads them."""


def file_first(parser: ArgumentParser, argv: Sequence[str], kind: str) -> tuple[list[str], Path]:
    """Put --config and the settings file first; options may stand before the file and after it.

    Args:
        parser: of the command, with `add_settings`.
        argv: such as ["study.yaml", "--seeds", "3"] or ["--seeds", "3", "study.yaml"].
        kind: of the file that the command reads, one of `FILE_KINDS`.

    Returns:
        The arguments for jsonargparse, and the file; Path() where there is none.

    Raises:
        ConfigError: the file is missing or malformed, is for another command, or holds names of an
            older worldplan; or there are several.
    """
    from worldplan.files import read_config  # pandas takes half a second to import

    if not argv and kind in ("study", "tuning"):  # a scenario has a default for every setting
        raise ConfigError(
            f"give the {kind} file: worldplan {FILE_KINDS[kind][1]} FILE.yaml "
            "(`worldplan examples` lists those that come with worldplan)"
        )
    words, options = _plain_words(parser, argv)
    if not words:
        return options, Path()
    named = next((word for word in options if word.partition("=")[0] == "--config"), "")
    if len(words) > 1 or named:
        other = words[1] if len(words) > 1 else named
        raise ConfigError(
            f"{words[0]} and {other}: give one {kind} file, and the value of an option behind its "
            "name"
        )
    file = Path(words[0])
    if file.suffix.lower() in _TABLES:
        raise ConfigError(
            f"{file}: a table: give the {kind} file (.yaml), which names its tables, first"
        )
    if file.suffix.lower() in _OTHERS and file.is_file():
        raise ConfigError(f"{file}: {_OTHERS[file.suffix.lower()]}; this command reads a {kind}")
    refuse_other_kind(file, read_config(file), kind)  # or the file is missing or malformed
    return ["--config", words[0], *options], file


def _plain_words(parser: ArgumentParser, argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of a command line that are neither an option nor the value of one, and the rest.

    An option that does not exist is taken to have a value: its error names it.

    Args:
        parser: of the command.
        argv: the words after it.
    """
    flags = {
        flag for action in parser._actions if action.nargs == 0 for flag in action.option_strings
    }
    words, options, is_value = [], [], False
    for word in argv:
        if is_value or word.startswith("-"):
            options.append(word)
            is_value = not is_value and "=" not in word and word not in flags
        else:
            words.append(word)
    return words, options


def refuse_other_kind(file: Path, settings: Mapping[str, Any], kind: str) -> None:
    """Refuse a settings file for another command.

    Args:
        file: where the settings stand.
        settings: its top level.
        kind: that the command reads, one of `FILE_KINDS`.

    Raises:
        ConfigError: names the command for the file.
    """
    taken = (kind, "study") if kind == "tuning" else (kind,)  # a study can be tuned
    _refuse_other(file, settings, taken, f"a {kind}")


def refuse_settings(argv: Sequence[str]) -> None:
    """Refuse a settings file among the arguments of a command that reads none.

    Args:
        argv: the words after the command; the value of an option passes.

    Raises:
        ConfigError: names the command for the file.
    """
    from worldplan.files import read_config  # pandas takes half a second to import

    for before, word in zip(["", *argv], argv, strict=False):
        file = Path(word)
        if before.startswith("-") or file.suffix not in (".yaml", ".yml") or not file.is_file():
            continue
        _refuse_other(file, read_config(file), (), "no settings")


def _refuse_other(
    file: Path, settings: Mapping[str, Any], taken: Collection[str], reads: str
) -> None:
    """Refuse a settings file of a kind that a command does not take.

    Args:
        file: where the settings stand.
        settings: its top level.
        taken: the kinds that it takes.
        reads: what it reads, for the message.

    Raises:
        ConfigError: names the command for the file.
    """
    for kind, (keys, command) in FILE_KINDS.items():
        if told := keys & settings.keys():
            if kind not in taken:
                raise ConfigError(
                    f"{file}: a {kind} (it has '{min(told)}'), and this command reads {reads}: "
                    f"worldplan {command} {file}"
                )
            return
