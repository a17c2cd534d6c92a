"""`worldplan examples [FOLDER]`: what scenarios come with worldplan, or a copy of them.

The head of each YAML file says what it is for, the commands that run it, and after "Time:" how long
the last one takes.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from worldplan.arguments import command_parser, parse_options
from worldplan.milp.errors import ConfigError
from worldplan.shipped import PACKAGE
from worldplan.world_models.storage import replace_file

_FAMILIES = {
    "bandits": "Restless bandits: whom to visit today",
    "actions": "Action models from logs, and plans",
    "sequoia": "Training a bandit policy by itself",
    "ensemble": "Models of the dynamics out of data",
    "ravl": "A policy out of a dataset",
    "model_free": "A policy out of a dataset, without a model",
    "leq": "A policy out of a dataset, by lambda-returns",
    "online": "From a dataset to a simulator, costs, further training",
    "modem": "A latent world model from demonstrations",
}
_KINDS = (".yaml", ".csv", ".py", ".pddl")
_COMMAND = re.compile(r"^  +(worldplan [^\\\n]*(?:\\\n[^\\\n]*)*)", re.MULTILINE)
_UNKNOWN = "not measured"
_NAMED = 10  # files in a message


class Example(NamedTuple):
    """A scenario, study or training that comes with worldplan.

    Args:
        name: of its file, as the documentation and the commands have it.
        purpose: what it is for.
        command: that runs it.
        steps: number of commands that must run before.
        time: how long `command` takes.
    """

    name: str
    purpose: str
    command: str
    steps: int
    time: str


def main(argv: Sequence[str]) -> int:
    """Entry of the command.

    Raises:
        ConfigError: the folder is a file, or that of worldplan itself.
    """
    parser = command_parser(
        "examples", "List the scenarios that come with worldplan, or copy them."
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path | None,
        default=None,
        help="copy them to FOLDER/configs, with their data; nothing is overwritten",
    )
    folder = parse_options(parser, argv).folder
    if folder is None:
        print(listing(examples(), shutil.get_terminal_size((100, 24)).columns))
        return 0
    copied, kept = copy_examples(folder)
    print(f"{len(copied)} files copied to {folder / 'configs'}")
    if kept:
        names = ", ".join(kept[:_NAMED]) + (", ..." if len(kept) > _NAMED else "")
        print(f"already there, and left as they are: {len(kept)} ({names})", file=sys.stderr)
    print(f"now: cd {folder}, and a command of `worldplan examples`")
    return 0


def examples() -> list[Example]:
    """Everything that comes with worldplan, by family."""
    return [
        _example(name)
        for family in _FAMILIES
        for name in _files()
        if name.parts[1] == family and name.suffix == ".yaml"
    ]


def _files() -> list[Path]:
    """The shipped files, relative to the package. What commands wrote beside them is left out."""
    found = (path.relative_to(PACKAGE) for path in sorted((PACKAGE / "configs").rglob("*")))
    return [
        name
        for name in found
        if name.suffix in _KINDS
        and not any(part[0] == "." or part.endswith("-lists") for part in name.parts)
    ]


def _example(name: Path) -> Example:
    """What the head of a shipped file says."""
    lines = (PACKAGE / name).read_text(encoding="utf-8").splitlines()
    head = "\n".join(line[1:] for line in takewhile(lambda line: line.startswith("#"), lines))
    commands = [" ".join(re.sub(r"\\\n", " ", text).split()) for text in _COMMAND.findall(head)]
    own = [number for number, text in enumerate(commands) if name.as_posix() in text.split()]
    time = re.search(r"^ Time: (.+)$", head, re.MULTILINE)
    purpose = takewhile(lambda line: not line.startswith(("  ", " Time:")), head.splitlines())
    return Example(
        name.as_posix(),
        " ".join(" ".join(purpose).split()).rstrip(":"),
        commands[own[0]] if own else "",
        own[0] if own else 0,
        time[1].rstrip(".") if time else _UNKNOWN,
    )


def listing(found: Sequence[Example], width: int) -> str:
    """The examples as text: what each is for within `width` columns, commands in one line each."""
    return "\n".join(_lines(found, width))


def _lines(found: Sequence[Example], width: int) -> Iterator[str]:
    family = ""
    for example in found:
        if family != (family := example.name.split("/")[1]):
            yield f"\n{_FAMILIES[family]}\n"
        yield example.name
        yield from _wrapped(f"{example.purpose.rstrip('.')}. Time: {example.time}.", width)
        if example.command:
            yield f"    {example.command}"
        if example.steps:
            yield from _wrapped("(needs what earlier commands in the head of the file make)", width)
    yield ""
    yield "The commands find these files from every folder."
    yield "To change them: worldplan examples FOLDER"


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, four columns to the right."""
    room = max(width, 20) - 4
    return [f"    {line}" for line in textwrap.wrap(text, room, break_on_hyphens=False)]


def copy_examples(folder: Path) -> tuple[list[str], list[str]]:
    """Copy the shipped files to `folder`/configs; a file that is there stays as it is.

    Args:
        folder: made if it is missing.

    Returns:
        The names of what was copied, and of what was there, relative to `folder`.

    Raises:
        ConfigError: the folder, or a part of its path, is a file; or it is that of worldplan.
    """
    _check(folder)
    copied, kept = list[str](), list[str]()
    for name in _files():
        target = folder / name
        if target.exists() or target.is_symlink():
            kept.append(name.as_posix())
            continue
        replace_file(target, partial(shutil.copyfile, PACKAGE / name))
        copied.append(name.as_posix())
    return copied, kept


def _check(folder: Path) -> None:
    """Check that files can be copied to a folder.

    Raises:
        ConfigError: they cannot.
    """
    if folder.suffix in _KINDS and not folder.is_dir():
        raise ConfigError(f"{folder}: give a folder to copy the examples to, not a file")
    inside = [(folder / name).parent for name in _files()]
    for place in dict.fromkeys(part for path in inside for part in (path, *path.parents)):
        if place.exists() and not place.is_dir():
            raise ConfigError(f"{place}: is a file where a folder is needed: choose another folder")
    own = (PACKAGE / "configs").resolve()
    here = folder.resolve()
    inside_package = here.is_relative_to(PACKAGE.resolve()) or here.is_relative_to(own)
    if inside_package or (here / "configs").resolve() == own:
        raise ConfigError(f"{folder}: holds worldplan's own files: choose another folder")
