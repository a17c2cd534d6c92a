"""`worldplan actions learn | solve | validate | evaluate`: learn action models from trajectories,
plan in them, check plans, score models.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from worldplan.arguments import add_run_options, check_jobs, command_parser, parse_options
from worldplan.milp.errors import ConfigError
from worldplan.parallel import ENGINES

_SOURCES = (
    "trajectories: .trajectory files (or any file of that form), .csv or .tsv tables, or folders "
    "of them; a problem X.pddl beside X declares its objects, otherwise their types are inferred"
)
_DOMAIN = "a model (.json) written by `actions learn`, or a complete domain (.pddl)"


def learn(argv: Sequence[str]) -> int:
    """Entry of `worldplan actions learn`. Returns 0."""
    parser = command_parser("actions learn", "Learn a safe model from trajectories.")
    _add_learn(parser)
    options = parse_options(parser, argv)
    from worldplan.commands.actions.learn import learn_command

    return learn_command(options)


def solve(argv: Sequence[str]) -> int:
    """Entry of `worldplan actions solve`. Returns 0 with a plan, 1 without."""
    parser = command_parser("actions solve", "Plan for a problem.")
    _add_solve(parser)
    options = parse_options(parser, argv)
    _check_planner(options.planner)
    from worldplan.commands.actions.solve import solve_command

    return solve_command(options)


def validate(argv: Sequence[str]) -> int:
    """Entry of `worldplan actions validate`. Returns 0 for a valid plan, 1 for another."""
    parser = command_parser("actions validate", "Check a plan, and say what is wrong with it.")
    _add_validate(parser)
    options = parse_options(parser, argv)
    from worldplan.commands.actions.solve import validate_command

    return validate_command(options)


def evaluate(argv: Sequence[str]) -> int:
    """Entry of `worldplan actions evaluate`. Returns 0."""
    parser = command_parser("actions evaluate", "Cross-validate learning against the true domain.")
    _add_evaluate(parser)
    options = parse_options(parser, argv)
    check_jobs(options.jobs)
    _check_planner(options.planner)
    from worldplan.commands.actions.evaluation import evaluate_command

    return evaluate_command(options)


def _add_learn(parser: ArgumentParser) -> None:
    parser.add_argument("trajectories", nargs="+", type=Path, help=_SOURCES)
    parser.add_argument(
        "--domain",
        type=Path,
        required=True,
        help="domain file; its preconditions and effects, if any, are ignored",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="MODEL.json: the exact model; MODEL.pddl: the model as a domain",
    )
    parser.add_argument(
        "--declare",
        type=Path | None,
        default=None,
        help="YAML file with what is known about preconditions, effects and numbers",
    )
    _add_decimals(parser)
    parser.add_argument(
        "--noise",
        type=float | None,
        default=None,
        help="largest error of a logged number; the model and its plans then hold for every value "
        "within it",
    )
    parser.add_argument(
        "--budget",
        type=int | None,
        default=None,
        help="half-spaces that one region may have in a .pddl; a region with more is replaced by a "
        "smaller one inside it",
    )
    _add_json(parser)


def _add_solve(parser: ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help=_DOMAIN)
    parser.add_argument("problem", type=Path, help="problem file (.pddl)")
    _add_planner(parser, "auto", 60.0)
    parser.add_argument(
        "--engines",
        type=str | None,
        default=None,
        help="planners of others for auto, as in lpg,enhsp-sat-hadd; if not given, all that are "
        "installed; none: the search alone",
    )
    parser.add_argument(
        "--at-once",
        type=int,
        default=1,
        help="how many planners of auto run at a time, the search included",
    )
    parser.add_argument("-o", "--output", type=Path | None, default=None, help="file for the plan")
    _add_json(parser)


def _add_validate(parser: ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help=_DOMAIN)
    parser.add_argument("problem", type=Path, help="problem file (.pddl)")
    parser.add_argument(
        "plan", type=Path, help="plan file: a line (action object ...) for each step"
    )
    _add_json(parser)


def _add_evaluate(parser: ArgumentParser) -> None:
    parser.add_argument(
        "trajectories",
        nargs="+",
        type=Path,
        help="trajectory files, or folders of them; a problem X.pddl beside X is planned for, "
        "otherwise from the first state to what the last one changed",
    )
    parser.add_argument(
        "--domain",
        type=Path,
        required=True,
        help="the true domain, preconditions and effects included",
    )
    _add_decimals(parser)
    parser.add_argument("--name", type=str, default="actions", help="name of the run folder")
    parser.add_argument(
        "--folds", type=int, default=5, help="parts of the data; each is held out once"
    )
    parser.add_argument(
        "--counts",
        type=str,
        default="",
        help="numbers of trajectories to learn from; if not given, those of 1,5,10,20,40,80 that "
        "the data allow",
    )
    parser.add_argument(
        "--problems",
        type=int,
        default=10,
        help="held-out problems per fold, to plan for and to start random walks from; 0: all",
    )
    parser.add_argument(
        "--walk-steps",
        type=int,
        default=200,
        help="steps of the random walk from each of these problems",
    )
    parser.add_argument("--seed", type=int, default=42, help="seed of folds and walks")
    _add_planner(parser, "search", 30.0)
    add_run_options(parser, ENGINES)
    _add_json(parser)


def _add_planner(parser: ArgumentParser, planner: str, seconds: float) -> None:
    parser.add_argument(
        "--planner",
        type=str,
        default=planner,
        help="auto (search and the installed planners of others in turns, then a tenth of the time "
        "for the problem's :metric), search, astar (best metric, with proof), milp (fewest "
        "actions or best metric, with proof, for few ground actions), enhsp, one engine alone "
        "(enhsp-sat-hmrphj, lpg, enhsp-sat-hadd, enhsp-sat-aibr, nextflap, tamer, or up:NAME of "
        "unified-planning), or your own as module:function",
    )
    parser.add_argument("--time-limit", type=float, default=seconds, help="seconds for a plan")
    parser.add_argument("--memory-limit", type=int, default=4096, help="MB for a plan")


def _add_decimals(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--decimals",
        type=int | None,
        default=None,
        help="decimals that the logged numbers really have; what floating point added is rounded "
        "away when they are read",
    )


def _add_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _check_planner(planner: str) -> None:
    """Check a planner's name; an address is resolved when the planner is first used.

    Raises:
        ConfigError: neither a name in PLANNERS nor of the form up:NAME or module:attribute.
    """
    from worldplan.nearest import did_you_mean
    from worldplan.planners.numeric.engines.catalogue import engine_of
    from worldplan.planners.numeric.planning import PLANNERS

    if planner.startswith("up:"):
        engine_of(planner)
    elif ":" not in planner and planner not in PLANNERS:
        raise ConfigError(
            f"--planner: invalid choice: '{planner}' (choose from {', '.join(PLANNERS)}, or give "
            f"your own as module:function){did_you_mean(planner, PLANNERS)}"
        )
