"""The options of `worldplan ramp`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldplan.arguments import (
    check_jobs,
    command_parser,
    naming,
    parse_settings,
    refuse_null,
)
from worldplan.lists import whole_numbers
from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean
from worldplan.planners.ramp.settings import EXPLORERS, RampSettings
from worldplan.short_help import describe_all

_MOST_SEEDS = 1000
_DECLARED = {"declarations", "default"}  # settings that --declare gives


@dataclass
class _Settings:
    """The settings of the command line.

    Args:
        settings: of the method.
    """

    settings: RampSettings = field(default_factory=RampSettings)


def main(argv: Sequence[str]) -> int:
    """Run the command with the arguments `argv`; returns its exit code.

    Raises:
        WorldplanError: an argument, the domain or a problem is wrong.
    """
    parser = ramp_parser()
    explorer = _explorer(argv)
    parser.set_defaults({f"settings.{name}": v for name, v in EXPLORERS[explorer].items()})
    with naming(""):
        options = parse_settings(parser, argv, _Settings)
        refuse_null(options, _Settings)
    check_jobs(options.jobs)
    from worldplan.commands.ramp.jobs import RampRun  # these import unified-planning and torch
    from worldplan.commands.ramp.run import print_results, run_ramp

    plan = RampRun.from_files(
        options.domain,
        options.problems,
        seeds=seeds_of(options.seeds),
        steps=options.steps,
        episode_steps=options.episode_steps,
        explorer=explorer,
        declare=options.declare,
        settings=vars(options.settings),
    )
    run = run_ramp(
        plan,
        options.name,
        root=options.runs,
        jobs=options.jobs,
        fresh=options.fresh,
    )
    print_results(run, as_json=options.json)
    return 0


def ramp_parser() -> Any:
    """The parser of `worldplan ramp`."""
    parser = command_parser(
        "ramp",
        "Act in a numeric PDDL domain whose preconditions and effects are hidden: learn a safe "
        "action model and a policy online, and plan as soon as the model allows.",
    )
    parser.add_argument("domain", type=Path, help="complete domain (.pddl): the world to act in")
    parser.add_argument(
        "problems", nargs="+", type=Path, help="problem files in order, or folders of them"
    )
    parser.add_argument(
        "--seeds", default="1", help="number of seeds, such as 5, or which, such as 0..4 or 0,7"
    )
    parser.add_argument("--steps", type=int, default=2000, help="most steps on each problem")
    parser.add_argument("--episode-steps", type=int, default=500, help="most steps of an episode")
    parser.add_argument(
        "--explorer",
        choices=list(EXPLORERS),
        default="optimistic",
        help="what acts where there is no safe plan: the policy alone, plans of an optimistic "
        "model, informative actions, or the last two combined",
    )
    parser.add_argument(
        "--declare",
        type=Path | None,
        default=None,
        help="YAML file with what is known about preconditions and effects, as of actions learn",
    )
    parser.add_argument("--name", type=str, default="ramp", help="name of the run folder")
    parser.add_argument("--jobs", type=int, default=0, help="parallel processes; 0: one per core")
    parser.add_argument("--runs", default="runs", help="folder of run folders")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="start a new run even if an unfinished one can be resumed",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_class_arguments(RampSettings, "settings", skip=_DECLARED)
    describe_all(parser, _Settings)
    return parser


def seeds_of(text: str) -> tuple[int, ...]:
    """The seeds of a text: their number, or a list or range.

    Raises:
        ConfigError: it is neither, or names none, or one twice.
    """
    remedy = "give their number, such as 5, or which, such as 0..4 or 0,7"
    try:
        numbers = whole_numbers(text)
    except ValueError:
        raise ConfigError(f"--seeds {text}: {remedy}") from None
    if not any(mark in text for mark in (",", "..", "[")):
        numbers = list(range(min(numbers[0], _MOST_SEEDS + 1))) if numbers else []
    is_too_long = len(numbers) > _MOST_SEEDS
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers) or is_too_long:
        raise ConfigError(f"--seeds {text}: {remedy}")
    return tuple(numbers)


def _explorer(argv: Sequence[str]) -> str:
    """The value of --explorer among the words, which decides about defaults of settings.

    Raises:
        ConfigError: there is no such explorer.
    """
    chosen = "optimistic"
    for number, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name == "--explorer" and (equals or number + 1 < len(argv)):
            chosen = value if equals else argv[number + 1]
    if chosen not in EXPLORERS:
        raise ConfigError(
            f"--explorer: invalid choice: '{chosen}'{did_you_mean(chosen, EXPLORERS)} "
            f"(choose from {', '.join(EXPLORERS)}): see worldplan ramp --help"
        )
    return chosen
