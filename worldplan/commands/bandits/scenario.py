"""A bandit scenario: the programme, the policies to compare, the seeds.

Read from a YAML file; any setting can be replaced on the command line as `--a.b value`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from worldplan.arguments import (
    add_settings,
    command_parser,
    instantiate,
    naming,
    parse_mapping,
    parse_settings,
)
from worldplan.files import plain
from worldplan.lists import items
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.limits import LARGEST_SEED
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bounds import BOUNDS
from worldplan.planners.bandits.policies import DEFAULT_POLICIES, POLICIES, check_policies
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.settings_files import file_first
from worldplan.shipped import PACKAGE
from worldplan.world_models.arms.programme import Programme

MOST_SEEDS = 10_000
MOST_DRAWS = 10_000


@dataclass(frozen=True)
class Scenario:
    """Everything a run depends on.

    Args:
        name: of the run folder.
        programme: arms, dynamics and constraints.
        policies: which to compare, by name, or as module:Class for one of your own (see
            `worldplan.planners.bandits.policies`).
        seeds: "0..4", "0,3", a number, or a list: each seed draws its own generated instance,
            training and random numbers.
        episodes: per policy and seed; episode i has the same start and the same random numbers
            under every policy.
        draws: of the posterior of a log, in which `bandits run` plays every policy as well: what it
            earns if the dynamics are others than it was made from, and what knowing them would be
            worth; 0: none.
        solver: of decisions and bounds.
        sequoia: learning of the "sequoia" policy.
        fluid_window: steps of the fluid planner's integral window.
        samples: actions that "sampling" draws per decision.
        delta: probability with which the true dynamics may lie outside the confidence set of
            "ucwhittle".
        checkpoint: a trained SEQUOIA checkpoint to use instead of training.
        bound: on every policy: "auto" (the tightest for the feasible set), "fluid", "hull" or
            "joint"; see `worldplan.planners.bandits.bounds`.
        database: file of the days of `bandits day`, looked up beside the scenario; its name with
            the suffix .db unless given.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """

    name: str = "scenario"
    programme: Programme = field(default_factory=Programme)
    policies: list[str | None] = field(default_factory=lambda: list(DEFAULT_POLICIES))
    seeds: str | int | list[int] = "0"
    episodes: int = 50
    draws: int = 0
    solver: SolverSettings = field(
        default_factory=lambda: SolverSettings(gap=1e-3, time_limit=30.0)
    )
    sequoia: SequoiaSettings = field(default_factory=SequoiaSettings)
    fluid_window: int = 4
    samples: int = 100
    delta: float = 1e-3
    checkpoint: str | None = None
    bound: str = "auto"
    database: str | None = None

    def __post_init__(self) -> None:
        # an unquoted null in YAML is None: the null policy is meant
        object.__setattr__(
            self, "policies", ["null" if policy is None else policy for policy in self.policies]
        )
        check_policies(self.policy_list())
        if self.episodes < 1 or self.fluid_window < 1 or self.samples < 1:
            raise ConfigError("episodes, fluid_window and samples must be at least 1")
        checks.whole_number(self.draws, "draws", least=0, most=MOST_DRAWS)
        checks.number(self.delta, "delta", above=0.0, below=1.0)
        checks.choice(self.bound, "bound", BOUNDS)
        if not re.fullmatch(r"[\w-][\w.-]*", self.name):
            raise ConfigError(
                f"name '{self.name}': use letters, digits, '-', '_' and '.' only, not first a '.': "
                "it becomes a folder"
            )
        self.seed_list()

    def policy_list(self) -> list[str]:
        """The policies' names."""
        return [policy for policy in self.policies if policy is not None]

    def seed_list(self) -> list[int]:
        """The seeds as numbers.

        Raises:
            ConfigError: there are none, or too many, or one is negative, repeated or too large.
        """
        if isinstance(self.seeds, list):
            seeds = self.seeds
        else:
            seeds = [seed for part in items(str(self.seeds)) for seed in self._seed_range(part)]
        if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
            raise ConfigError(f"seeds '{self.seeds}': give at least one, none negative, none twice")
        if max(seeds) > LARGEST_SEED:
            raise ConfigError(f"seeds '{self.seeds}': give at most {LARGEST_SEED}")
        return seeds

    def _seed_range(self, text: str) -> range:
        """The seeds of "3" or "0..4".

        Raises:
            ConfigError: the text is neither, or means too many.
        """
        match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", text)
        if match is None:
            raise ConfigError(
                f"seeds '{self.seeds}': write a number, a range such as 0..4, or a list such as 0,3"
            )
        if max(len(match[1]), len(match[2] or "")) > 10:
            raise ConfigError(f"seeds '{str(self.seeds)[:40]}': give at most {LARGEST_SEED}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last - first >= MOST_SEEDS:
            raise ConfigError(f"seeds '{self.seeds}': give at most {MOST_SEEDS} seeds")
        return range(first, last + 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain mapping, for the run folder; the database, which no run depends on, is left out."""
        settings: dict[str, Any] = plain(asdict(self))
        del settings["database"]
        return settings


def database_file(scenario: Scenario, base: Path) -> Path:
    """The database of a scenario's days.

    Args:
        scenario: of the programme.
        base: the scenario's file; the database lies beside it, or in the current folder if the file
            comes with worldplan.

    Raises:
        ConfigError: the database would lie in the folder of worldplan itself, or has no name.
    """
    own = PACKAGE.resolve()
    shipped = base.is_relative_to(PACKAGE) or base.parent.resolve().is_relative_to(own)
    path = (Path() if shipped else base.parent) / (scenario.database or f"{base.stem}.db")
    if not path.name or path.name == "..":
        raise ConfigError(f"--database {path}: is a folder: give a file, such as clinic.db")
    if Path(os.path.abspath(path)).is_relative_to(PACKAGE) or (
        path.parent.is_dir() and path.parent.resolve().is_relative_to(own)
    ):
        raise ConfigError(
            f"{path}: the database would lie in the folder of worldplan itself: copy the scenario "
            "(worldplan examples FOLDER), or give another file with --database"
        )
    return path


def scenario_parser(command: str, description: str) -> ArgumentParser:
    """The parser of a command on scenarios: the file first, then `--a.b value` to override it.

    Args:
        command: the words after `worldplan`, such as "bandits run".
        description: what the command does, for --help.
    """
    parser = command_parser(
        command,
        f"{description} Policies: {', '.join(POLICIES)}, or your own as module:Class.",
    )
    add_settings(parser, Scenario, "scenario")
    return parser


def parse_scenario(parser: ArgumentParser, argv: Sequence[str]) -> tuple[Namespace, Path]:
    """Parsed settings, and the scenario's file (Path() if there is none).

    Raises:
        ConfigError: in one line that names the file.
    """
    arguments, base = file_first(parser, _shorthands(list(argv)), "scenario")
    with naming(base.name and str(base)):
        return parse_settings(parser, arguments, Scenario), base


def make_scenario(
    parser: ArgumentParser, settings: Namespace, source: Path = Path(".")
) -> Scenario:
    """The scenario of settings that were parsed from the file `source`.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    with naming(source.name and str(source)):
        return instantiate(parser, settings, Scenario)


def scenario_from_dict(config: Mapping[str, Any], source: Path) -> Scenario:
    """The scenario whose `Scenario.to_dict` was written to the file `source`.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    parser = scenario_parser("bandits", "")
    with naming(source.name and str(source)):
        settings = parse_mapping(
            parser, {k: v for k, v in config.items() if k in Scenario.__dataclass_fields__}
        )
    return make_scenario(parser, settings, source)


def _shorthands(argv: list[str]) -> list[str]:
    """Allow `--solver gurobi` for `--solver.name gurobi`, and `--policies a,b` for `[a,b]`."""
    words = []
    for number, word in enumerate(argv):
        before = argv[number - 1] if number else ""
        if word == "--solver" or word.startswith("--solver="):
            word = word.replace("--solver", "--solver.name", 1)
        if before == "--policies" and not word.startswith("["):
            word = f"[{word}]"
        if word.startswith("--policies=") and "[" not in word:
            word = f"--policies=[{word.partition('=')[2]}]"
        words.append(word)
    return words
