"""Command lines and settings that fail in one line, and options that several commands share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from worldplan.milp.errors import ConfigError, WorldplanError

_LONGEST = 400  # characters of a message


class PlainParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}: see {self.prog} --help")


def file_first(argv: Sequence[str]) -> tuple[list[str], Path]:
    """Arguments for jsonargparse when the first may be a settings file, and that file (Path() when
    there is none).
    """
    from worldplan.runs import read_config

    if not argv or argv[0].startswith("-"):
        return list(argv), Path()
    file = Path(argv[0])
    read_config(file)  # one clear line for a missing or malformed file
    return ["--config", *argv], file


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Turn what is wrong with settings into one line that names where they stand."""
    from jsonargparse import ArgumentError

    try:
        yield
    except (ArgumentError, ValueError, ConfigError) as error:
        text = shorten(str(own_error(error) or error))
        raise ConfigError(f"{source}: {text}" if source and source not in text else text) from error


def own_error(error: BaseException) -> WorldplanError | None:
    """What a class of ours said about its settings, out of what jsonargparse wrapped around it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, WorldplanError):
        cause = cause.__cause__ or cause.__context__
    return cause


def shorten(text: str) -> str:
    """jsonargparse explains over several lines: keep what a person needs."""
    lines = [line for line in text.splitlines() if line.strip()]
    line = " ".join(line.strip(" -") for line in lines)
    if len(line) >= _LONGEST and len(lines) > 1:
        line = _innermost(lines)
    return line if len(line) < _LONGEST else line[:_LONGEST] + " ..."


def _innermost(lines: Sequence[str]) -> str:
    """Of nested explanations the most indented line says what is wrong; the keys in the lines
    around it say where.
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
        return f"{'.'.join([*keys, unknown[1] or unknown[2]])}: there is no such setting: check the spelling and where it stands"
    return f"{'.'.join(keys)}: {problem}"


def add_run_options(parser: Any, engines: Sequence[str]) -> None:
    """--jobs, --engine, --runs and --fresh of the commands that make a run folder."""
    parser.add_argument("--jobs", type=int, default=0, help="parallel processes; 0: one per core")
    parser.add_argument(
        "--engine", choices=engines, default="local", help="where jobs run; ray uses RAY_ADDRESS"
    )
    parser.add_argument("--runs", default="runs", help="folder of run folders")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="start a new run even if an unfinished one can be continued",
    )


def check_jobs(jobs: int) -> None:
    """Raise ConfigError for a negative number of processes."""
    if jobs < 0:
        raise ConfigError(
            f"--jobs {jobs}: give the number of parallel processes, or 0 for one per core"
        )
