"""`worldplan actions learn | solve | validate | evaluate`: learn action models from trajectories,
plan in them, check and measure them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worldplan.arguments import PlainParser, add_run_options, check_jobs
from worldplan.parallel import ENGINES

PLANNERS = ("auto", "search", "milp", "enhsp")
_SOURCES = "trajectories: .trajectory or .csv files, or folders of them"
_DOMAIN = "a model (.json) that `actions learn` wrote, or a whole domain (.pddl)"


def main(argv: Sequence[str]) -> int:
    """Entry of the command. Returns 0, or 1 if there is no plan or the plan does not work."""
    parser = PlainParser(
        prog="worldplan actions",
        description="Models of actions: what must hold before each, and what each changes.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, parser_class=PlainParser)
    _add_learn(verbs.add_parser("learn", help="a safe model out of trajectories"))
    _add_solve(verbs.add_parser("solve", help="a plan for a problem"))
    _add_validate(
        verbs.add_parser("validate", help="whether a plan works, and what is wrong if not")
    )
    _add_evaluate(
        verbs.add_parser("evaluate", help="cross validation of learning against the true domain")
    )
    options = parser.parse_args(list(argv))
    if options.verb == "learn":
        from worldplan.commands.actions.learn import learn_command

        return learn_command(options)
    if options.verb == "evaluate":
        from worldplan.commands.actions.evaluation import evaluate_command

        check_jobs(options.jobs)
        return evaluate_command(options)
    from worldplan.commands.actions import solve as actions_solve

    return (
        actions_solve.solve_command(options)
        if options.verb == "solve"
        else actions_solve.validate_command(options)
    )


def _add_learn(parser: Any) -> None:
    parser.add_argument("trajectories", nargs="+", type=Path, help=_SOURCES)
    parser.add_argument(
        "--domain",
        type=Path,
        required=True,
        help="domain file; preconditions and effects may be missing and are not looked at",
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
        type=Path,
        help="YAML file of what is known about preconditions and effects beforehand",
    )
    parser.add_argument(
        "--budget",
        type=int,
        help="half-spaces that one region may become in a .pddl; a smaller region inside it beyond that",
    )
    _add_json(parser)


def _add_solve(parser: Any) -> None:
    parser.add_argument("model", type=Path, help=_DOMAIN)
    parser.add_argument("problem", type=Path, help="problem file (.pddl)")
    _add_planner(parser, "auto", 60.0)
    parser.add_argument("-o", "--output", type=Path, help="file for the plan")
    _add_json(parser)


def _add_validate(parser: Any) -> None:
    parser.add_argument("model", type=Path, help=_DOMAIN)
    parser.add_argument("problem", type=Path, help="problem file (.pddl)")
    parser.add_argument(
        "plan", type=Path, help="plan file: a line (action object ...) for each step"
    )
    _add_json(parser)


def _add_evaluate(parser: Any) -> None:
    parser.add_argument(
        "trajectories",
        nargs="+",
        type=Path,
        help="folders of X.trajectory with the problem X.pddl beside each, or such files",
    )
    parser.add_argument(
        "--domain",
        type=Path,
        required=True,
        help="the true domain, preconditions and effects included",
    )
    parser.add_argument("--name", default="actions", help="of the run folder")
    parser.add_argument("--folds", type=int, default=5, help="parts; each is held out once")
    parser.add_argument(
        "--counts",
        default="",
        help="numbers of trajectories to learn from; those of 1,5,10,20,40,80 that there are, if not given",
    )
    parser.add_argument(
        "--problems",
        type=int,
        default=10,
        help="held-out problems per fold to plan for and to walk from, at most; 0: all",
    )
    parser.add_argument(
        "--walk-steps", type=int, default=200, help="steps of the random walk from each of them"
    )
    parser.add_argument("--seed", type=int, default=42, help="of folds and walks")
    _add_planner(parser, "search", 30.0)
    add_run_options(parser, ENGINES)
    _add_json(parser)


def _add_planner(parser: Any, planner: str, seconds: float) -> None:
    parser.add_argument("--planner", choices=PLANNERS, default=planner)
    parser.add_argument("--time-limit", type=float, default=seconds, help="seconds for a plan")
    parser.add_argument("--memory-limit", type=int, default=4096, help="MB for a plan")


def _add_json(parser: Any) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
