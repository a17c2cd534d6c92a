# ruff: noqa: T201 - a command line prints
"""The command line: finds the command, imports only what it needs, and turns expected errors into
one line and exit code 2.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

HELP = """worldplan: learn a model of the world from data, and plan in it

usage: worldplan COMMAND ... (each command has --help)

  bandits run SCENARIO.yaml      compare policies on a restless-bandit scenario: table, plots, report
  bandits decide SCENARIO.yaml   what to do today, for a real programme
  bandits bound SCENARIO.yaml    upper bound on every policy
  fit | validate | test          train or check a learned part (LightningCLI: --config FILE, --print_config)
  run STUDY.yaml                 compare methods of value learning over seeds: table, plots, report
  data collect ENV               make a dataset; data describe, data convert
  actions learn TRAJECTORIES     a safe action model out of logs; actions solve, actions validate, actions evaluate
  evaluate RUN                   play more episodes with a finished run's policies
  report RUN [RUN ...]           one self-contained HTML file for one or several runs
  doctor                         what works here: solvers, licences, GPU, optional parts
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # read when numpy and torch are first imported, which is below
    from worldplan.milp.errors import WorldplanError

    try:
        return _run(arguments)
    except WorldplanError as error:
        _complain(f"{type(error).__name__}: {error}")
        return 2
    except OSError as error:  # a full disk, a folder that may not be written to
        _complain(
            f"{error.filename or 'file'}: {error.strerror or error}: check the disk and the permissions"
        )
        return 2
    except KeyboardInterrupt as stop:
        _complain(
            str(stop)
            or "interrupted; finished parts are kept, run the same command again to continue"
        )
        return 130
    except SystemExit as stop:  # argument parsers leave this way
        return stop.code if isinstance(stop.code, int) else 2


def _complain(text: str) -> None:
    print(f"worldplan: {' '.join(text.split())}", file=sys.stderr)


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(version("worldplan"))
        return 0
    command, rest = arguments[0], arguments[1:]
    if command in ("fit", "validate", "test"):
        return _lightning(arguments)
    commands: dict[str, Callable[[list[str]], int]] = {
        "bandits": _bandits,
        "run": _study,
        "data": _data,
        "actions": _actions,
        "evaluate": _evaluate,
        "report": _report,
        "doctor": _doctor,
    }
    if command not in commands:
        known = "bandits, run, data, actions, fit, validate, test, evaluate, report or doctor"
        _complain(f"unknown command '{command}': choose {known} (worldplan --help)")
        return 2
    return commands[command](rest)


def _bandits(arguments: list[str]) -> int:
    verb, rest = (arguments[0] if arguments else "--help"), arguments[1:]
    if verb == "run":
        from worldplan.commands.bandits import run as bandit_run

        return bandit_run.main(rest)
    if verb in ("decide", "bound"):
        from worldplan.commands.bandits import decide as bandit_decide

        return bandit_decide.decide(rest) if verb == "decide" else bandit_decide.bound(rest)
    if arguments and verb in ("-h", "--help"):
        print(HELP)
        return 0
    _complain(
        f"bandits {verb if arguments else ''}: choose bandits run, bandits decide or bandits bound (worldplan --help)"
    )
    return 2


def _study(arguments: list[str]) -> int:
    from worldplan.commands.studies import run as study_run

    return study_run.main(arguments)


def _data(arguments: list[str]) -> int:
    from worldplan.commands.data import command as data_command

    return data_command.main(arguments)


def _actions(arguments: list[str]) -> int:
    from worldplan.commands.actions import command as actions_command

    return actions_command.main(arguments)


def _evaluate(arguments: list[str]) -> int:
    from worldplan.commands.evaluation import command as evaluation

    return evaluation.main(arguments)


def _report(arguments: list[str]) -> int:
    from pathlib import Path

    from worldplan.arguments import PlainParser
    from worldplan.output.report import write_report

    parser = PlainParser(prog="worldplan report", description="Write one self-contained HTML file.")
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--output", type=Path, default=None, help="the file to write")
    options = parser.parse_args(arguments)
    print(write_report(options.runs, options.output))
    return 0


def _doctor(arguments: list[str]) -> int:
    from worldplan.arguments import PlainParser
    from worldplan.doctor import run_doctor

    PlainParser(
        prog="worldplan doctor",
        description="Try out what is installed and say what to do about the rest.",
    ).parse_args(arguments)
    return run_doctor()


def _lightning(arguments: list[str]) -> int:
    from worldplan.commands.fit import lightning_main

    lightning_main(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
