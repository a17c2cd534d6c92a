# ruff: noqa: T201 - a command line prints
"""The command line: a table of commands, and how errors become one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import NamedTuple

from worldplan.extras import what_is_missing
from worldplan.interrupts import INTERRUPTED, TEXT, guard_interrupts, interrupts_first
from worldplan.milp.errors import ConfigError, MissingExtra, WorldplanError
from worldplan.nearest import did_you_mean
from worldplan.renamed import refuse_renamed
from worldplan.shipped import PACKAGE, shipped_files, withheld_files
from worldplan.short_help import stored_help, wants_help
from worldplan.unexpected import (
    complain,
    describe_os_error,
    discard,
    few_warnings,
    guard_streams,
    has_no_reader,
    report,
    user_code,
)


class Command(NamedTuple):
    """A command.

    Args:
        entry: "module:function"; the function takes the arguments after the command's name and
            returns the exit code. Its module is imported when the command is called.
        arguments: the main arguments, as --help shows them.
        help: what the command does, for --help.
    """

    entry: str
    arguments: str
    help: str


COMMANDS = {
    "bandits run": Command(
        "worldplan.commands.bandits.run:main",
        "SCENARIO.yaml",
        "compare policies on a restless-bandit scenario: table, plots, report",
    ),
    "bandits decide": Command(
        "worldplan.commands.bandits.decide:decide",
        "SCENARIO.yaml",
        "today's decision for a real programme",
    ),
    "bandits day": Command(
        "worldplan.commands.bandits.day:main",
        "SCENARIO.yaml",
        "a programme's daily routine: outcomes in, lists for the workers out",
    ),
    "bandits serve": Command(
        "worldplan.commands.bandits.serve:main",
        "SCENARIO.yaml",
        "a programme's lists, reasons and outcomes in a browser",
    ),
    "bandits bound": Command(
        "worldplan.commands.bandits.decide:bound",
        "SCENARIO.yaml",
        "upper bound on the reward of every policy",
    ),
    "fit": Command(
        "worldplan.commands.fit:fit",
        "--config FILE",
        "train a learned part (LightningCLI, with --print_config)",
    ),
    "validate": Command(
        "worldplan.commands.fit:validate", "--config FILE", "the validation loop of a learned part"
    ),
    "test": Command(
        "worldplan.commands.fit:test", "--config FILE", "the test loop of a learned part"
    ),
    "run": Command(
        "worldplan.commands.studies.run:main",
        "STUDY.yaml",
        "compare methods of value learning over seeds: table, plots, report",
    ),
    "tune": Command(
        "worldplan.commands.tuning.run:main",
        "STUDY.yaml",
        "search the settings of a method of value learning: table, plots, best.yaml",
    ),
    "data collect": Command(
        "worldplan.commands.data.command:collect",
        "ENV",
        "make a dataset of transitions, or of demonstrations",
    ),
    "data describe": Command(
        "worldplan.commands.data.command:describe", "DATASET", "what a dataset holds"
    ),
    "data convert": Command(
        "worldplan.commands.data.command:convert",
        "DATASET ... NEW",
        "write a dataset, or several joined, in another format",
    ),
    "data corrupt": Command(
        "worldplan.commands.data.corrupt:main",
        "DATASET NEW --kind KIND",
        "write a copy with corrupted rows, for studies of robustness",
    ),
    "actions learn": Command(
        "worldplan.commands.actions.command:learn",
        "TRAJECTORIES",
        "a safe action model from logs",
    ),
    "actions solve": Command(
        "worldplan.commands.actions.command:solve", "MODEL PROBLEM", "a plan for a problem"
    ),
    "actions validate": Command(
        "worldplan.commands.actions.command:validate",
        "MODEL PROBLEM PLAN",
        "whether a plan works, and what is wrong if not",
    ),
    "actions evaluate": Command(
        "worldplan.commands.actions.command:evaluate",
        "TRAJECTORIES",
        "cross-validation of learning against the true domain",
    ),
    "ramp": Command(
        "worldplan.commands.ramp.command:main",
        "DOMAIN PROBLEM ...",
        "act in a hidden PDDL domain: learn its actions and a policy online, and plan",
    ),
    "evaluate": Command(
        "worldplan.commands.evaluation.command:main",
        "RUN",
        "play more episodes with a finished run's policies",
    ),
    "report": Command(
        "worldplan.commands.report:main",
        "RUN ...",
        "one self-contained HTML file for one or several runs",
    ),
    "runs": Command(
        "worldplan.commands.overview.listing:main",
        "[FOLDER]",
        "run folders with kind, date, state and headline figures",
    ),
    "compare": Command(
        "worldplan.commands.overview.compare:main",
        "RUN RUN ...",
        "one table and one plot of several runs of a kind",
    ),
    "examples": Command(
        "worldplan.commands.examples:main",
        "[FOLDER]",
        "the scenarios that come with worldplan: what each is for; or a copy of them",
    ),
    "doctor": Command(
        "worldplan.doctor:main", "", "what works here: solvers, licences, GPU, optional parts"
    ),
}
_WITHOUT_SETTINGS = ("actions ", "compare", "data ", "evaluate", "report", "runs")
_HELP_WORDS = ("-h", "--help", "help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        argv: the words after `worldplan`; those of this process if None.

    Returns:
        0: done. 2: an error that the user can mend. 3: an unexpected error, whose traceback is in a
        report file. 130: interrupted. Every error is one line on stderr.
    """
    # read when numpy and torch are imported, which the module of a command does
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # the command of this process
        guard_interrupts()
    guard_streams()
    try:
        with few_warnings(), interrupts_first():
            code = run(words)
            sys.stdout.flush()
            return code
    except WorldplanError as error:
        complain(f"{type(error).__name__}: {error}")
        return 2
    except KeyboardInterrupt as stop:
        complain(str(stop) or TEXT)
        return INTERRUPTED
    except SystemExit as stop:
        return _exit_code(stop)
    except BrokenPipeError as error:
        for stream, code in ((sys.stdout, 0), (sys.stderr, 2)):
            if has_no_reader(stream):  # it has seen enough: `worldplan --help | head -1`
                discard(stream)
                return code
        return _unexpected(error, words)
    except OSError as error:  # a full disk, a folder that may not be written to
        text = describe_os_error(error)
        if text is None:
            return _unexpected(error, words)
        complain(text)
        return 2
    except Exception as error:  # the last line of defence
        return _unexpected(error, words)


def _exit_code(stop: SystemExit) -> int:
    """The exit code of a parser that ends the program, as after --help. The user's own code may
    not end it: it would look as if the command were done.
    """
    if isinstance(stop.__context__, BrokenPipeError):  # rich ends the program in this way
        discard(sys.stdout)
        return 0
    place = user_code(stop)
    if place is not None:
        complain(f"{place[0]}, line {place[1]}: ends the program ({stop.code!r}): mend this code")
        return 2
    if isinstance(stop.code, str):
        complain(stop.code)
    return stop.code if isinstance(stop.code, int) else 2


def _unexpected(error: Exception, words: Sequence[str]) -> int:
    """Print a line about an error that no command expected; returns the exit code."""
    try:
        text, code = report(error, words)
    except Exception as second:  # such as no memory for the traceback
        text, code = f"{type(error).__name__}, and no report of it ({type(second).__name__})", 3
    complain(text)
    return code


def run(argv: Sequence[str]) -> int:
    """Run a command and return its exit code; errors are raised.

    Raises:
        ConfigError: there is no such command, or no current folder; and whatever the command
            raises.
    """
    first, second = [*argv, "", ""][:2]
    if first in ("", *_HELP_WORDS):
        print(help_text())
        return 0
    if first == "--version":
        print(metadata.version("worldplan"))
        return 0
    refuse_renamed(" ".join(argv), "command line")
    if not _folder_exists():  # torch ends the process there, with no line of ours
        raise ConfigError("the current folder has been deleted: change to another one (cd)")
    argv, names = shipped_files(argv)
    for name in names:
        complain(f"{name}: not in this folder: using the file that comes with worldplan")
    for name in withheld_files(argv):
        complain(
            f"{name}: missing in your own folder {Path(name).parent}: "
            f"the file that comes with worldplan is {PACKAGE / name}"
        )
    for name, rest in ((first, argv[1:]), (f"{first} {second}", argv[2:])):
        if name in COMMANDS:
            return _call(name, rest)
    if second in _HELP_WORDS and _verbs(first):
        print(help_text(first))
        return 0
    raise ConfigError(_problem(first, second))


def _call(name: str, argv: Sequence[str]) -> int:
    """Run the command `name`.

    Raises:
        MissingExtra: it needs a module of an extra that is not installed.
        ModuleNotFoundError: another module is missing.
    """
    module, _, function = COMMANDS[name].entry.partition(":")
    if wants_help(argv) and (stored := stored_help(name)) is not None:
        print(stored)
        return 0
    if name.startswith(_WITHOUT_SETTINGS) and any(w.endswith((".yaml", ".yml")) for w in argv):
        from worldplan.settings_files import refuse_settings  # jsonargparse: a tenth of a second

        refuse_settings(argv)
    try:
        code: int = getattr(import_module(module), function)(argv)
    except ModuleNotFoundError as error:
        text = what_is_missing(error, name)
        if text is None:
            raise
        raise MissingExtra(text) from error
    return code


def _folder_exists() -> bool:
    try:
        return Path.cwd().is_dir()
    except OSError:
        return False


def _problem(first: str, second: str) -> str:
    """Why two words name no command."""
    verbs = _verbs(first)
    if not verbs:
        names = list(dict.fromkeys(name.split()[0] for name in COMMANDS))
        of_group = [name for name in COMMANDS if name.endswith(f" {first}")]  # "decide"
        near = (
            f" (did you mean '{of_group[0]}'?)"
            if len(of_group) == 1
            else did_you_mean(f"{first} {second}", COMMANDS) or did_you_mean(first, names)
        )
        return f"unknown command '{first}'{near}: choose {', '.join(names)} (worldplan --help)"
    choice = f"(choose from {', '.join(verbs)}): see worldplan {first} --help"
    if not second:
        return f"the following arguments are required: verb {choice}"
    return f"argument verb: invalid choice: '{second}'{did_you_mean(second, verbs)} {choice}"


def _verbs(group: str) -> list[str]:
    """The second words of the commands that begin with `group`."""
    return [name.split()[1] for name in COMMANDS if name.startswith(f"{group} ")]


def help_text(group: str = "") -> str:
    """The commands with a line each; with `group`, those that begin with this word."""
    rows = {
        f"{name} {command.arguments}": command.help
        for name, command in COMMANDS.items()
        if not group or name.startswith(f"{group} ")
    }
    width = max(map(len, rows))
    usage = " ".join(part for part in ("worldplan", group, "COMMAND ...") if part)
    return "\n".join(
        [
            "worldplan: learn a model of the world from data, and plan in it",
            "",
            f"usage: {usage} (each command has --help)",
            "",
            *(f"  {call:<{width}}  {help_line}" for call, help_line in rows.items()),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
