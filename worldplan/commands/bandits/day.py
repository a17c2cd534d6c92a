"""`worldplan bandits day`: the day's routine of a programme.

Yesterday's outcomes in, today's lists out; what was decided is kept in a database.
"""

from __future__ import annotations

import datetime as dt
import getpass
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table

from worldplan.commands.bandits.jobs import make_planner
from worldplan.commands.bandits.scenario import (
    Scenario,
    database_file,
    make_scenario,
    parse_scenario,
    scenario_parser,
)
from worldplan.commands.bandits.why import names_in
from worldplan.files import input_files, refuse_input_as_output
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.today import parse_date
from worldplan.name_lists import some
from worldplan.output.console import plain_console
from worldplan.planners.bandits.policies import POLICIES, check_policies
from worldplan.routine.ahead import MOST_DAYS, ForeseenDay, foresee, next_dates
from worldplan.routine.database import Database
from worldplan.routine.day import Day, changed_inputs, decide_day
from worldplan.routine.history import checksum
from worldplan.routine.lists import (
    VARIABLES,
    cell_text,
    further_variables,
    heading,
    worker_lists,
    write_ahead,
    write_lists,
)
from worldplan.routine.model import clients_on
from worldplan.routine.outcomes import read_outcomes
from worldplan.routine.request import DEFAULT_POLICY, Names, Outcome, Request, Setup

_FURTHEST = 366  # days from a date to the last one that is foreseen


def main(argv: Sequence[str]) -> int:
    """Entry of the command; returns its exit code.

    Raises:
        ConfigError: a setting is missing, unknown or out of range.
        DatasetError: a file is missing or malformed, or contradicts what was entered before.
        FolderInUse: another process decides for this programme.
    """
    parser = scenario_parser(
        "bandits day", "Enter yesterday's outcomes, decide for today, write a list per worker."
    )
    _add_options(parser)
    settings, base = parse_scenario(parser, argv)
    scenario = make_scenario(parser, settings, base)
    setup = make_setup(scenario, base)
    outcomes, source = _outcomes(setup, settings.outcomes)
    request = _request(settings, outcomes, source)
    own = setup.lists_folder(request.date)
    if settings.output is not None and not settings.output.strip():
        raise ConfigError("--output is blank: give a folder for the lists")
    folder = Path(settings.output) if settings.output else own
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--output {folder}: is a file: give a folder for the lists")
    inputs = [base.parent / name for name in setup.inputs()] + [base, setup.database]
    for name in ("all.csv", VARIABLES, "list.html", "ahead.csv", "ahead.html"):
        refuse_input_as_output(folder / name, settings.outcomes, *inputs)
    dates = _dates(settings.days, request.date)
    database = Database(setup.database, setup.name)
    with database.deciding():
        day = decide_day(database, setup, request)
        write_lists(day, folder, scenario.name, own=folder == own)
        _print(day, folder, setup)
        if dates:
            foreseen = foresee(database, setup, day, dates)
            write_ahead(day, foreseen, folder, scenario.name)
            _print_ahead(foreseen, dates)
    return 0


def _add_options(parser: ArgumentParser) -> None:
    """Add the options of one day."""
    parser.add_argument("--date", help="of the day, such as 2026-11-28; today unless given")
    parser.add_argument(
        "--outcomes",
        help="CSV arm, state, and if wanted date, visited: the state of every client after the "
        "visits of the last decided day; on the first day, the state today",
    )
    parser.add_argument(
        "--policy",
        help=f"{', '.join(POLICIES)}, or your own as module:Class; {DEFAULT_POLICY} unless given",
    )
    lists = {
        "absent": "clients who are away today: no visit, and no outcome needed",
        "leave": "clients who leave the programme today",
        "force": "clients who must be visited today",
        "forbid": "clients who must not be visited today",
        "waive": "own rules that do not hold today, as messages call them: once_in_7_days[Ann]",
    }
    for name, text in lists.items():
        parser.add_argument(f"--{name}", default="", help=f"NAME,...: {text}")
    parser.add_argument(
        "--visits", type=int, help="most visits today; constraint.budget unless given"
    )
    parser.add_argument(
        "--moves", type=int, help="most moves of a route today; constraint.moves unless given"
    )
    parser.add_argument(
        "--hours",
        default="",
        help="NAME=HOURS,...: of workers today, in place of those of the files",
    )
    flags = {
        "join": "let clients in the outcomes join who are not in the programme",
        "assume": "decide with the probabilities of the states of clients without an outcome",
        "correct": "replace outcomes that were entered before",
        "redo": "decide the last day again; the earlier list stays in the audit trail",
    }
    for name, text in flags.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument(
        "--steps_left", type=int, help="days to plan for; the programme's horizon unless given"
    )
    parser.add_argument(
        "--days",
        default="",
        help="the next days to list as well, as foreseen: how many, or their dates DATE,DATE,...",
    )
    parser.add_argument("--by", help="who decides, for the audit trail; your login unless given")
    parser.add_argument("--output", help="folder of the lists; DATABASE-lists/DATE unless given")


def make_setup(scenario: Scenario, base: Path) -> Setup:
    """The programme of a scenario file and its database.

    Raises:
        ConfigError: there is no scenario file, or it generates its programme.
    """
    if not base.name:
        raise ConfigError("give the scenario file of a programme first, such as clinic.yaml")
    if scenario.programme.domain:
        raise ConfigError(
            f"{base}: programme.domain generates arms: a day's routine needs a programme of your "
            "own, with rewards and a log or transitions"
        )
    seed = scenario.seed_list()[0]
    return Setup(
        scenario.name,
        scenario.programme,
        base,
        database_file(scenario, base),
        lambda policy, built: make_planner(policy, built, scenario, seed, None),
        scenario.programme.seed + seed,
        lambda: input_files(scenario.to_dict(), base.parent, Path()),
        tuple(name for name in scenario.policies if name and ":" in name),
    )


def _outcomes(setup: Setup, file: str | None) -> tuple[tuple[Outcome, ...], dict[str, str]]:
    """The outcomes in a file, and its SHA-256.

    Raises:
        ConfigError: the programme has no rewards.
    """
    if file is None:
        return (), {}
    reward, names = setup.rewards()
    return read_outcomes(file, reward.shape[1], names), {file: checksum(file)}


def _request(settings: Namespace, outcomes: tuple[Outcome, ...], source: dict[str, str]) -> Request:
    """What the options ask for.

    Raises:
        ConfigError: the date is none, or the policy is unknown.
    """
    if settings.policy is not None:
        check_policies([settings.policy], "--policy")
    given = settings.date is not None  # "" is none, and not today
    date = parse_date(settings.date, "--date") if given else dt.date.today()
    named = {
        name: tuple(names_in(settings[name], f"--{name}"))
        for name in ("leave", "absent", "force", "forbid", "waive")
    }
    return Request(
        date,
        outcomes,
        settings.policy,
        (lambda names: True) if settings.join else _ask,
        named["leave"],
        named["absent"],
        named["force"],
        named["forbid"],
        assume=settings.assume,
        correct=settings.correct,
        redo=settings.redo,
        steps_left=settings.steps_left,
        waived=named["waive"],
        visits=settings.visits,
        moves=settings.moves,
        hours=_hours(settings.hours),
        by=settings.by or _login(),
        source=source,
    )


def _hours(text: str) -> dict[str, float]:
    """The hours that `--hours` gives to workers.

    Raises:
        ConfigError: a part of it is no name with a number, or a worker has two.
    """
    hours: dict[str, float] = {}
    for part in names_in(text, "--hours"):
        name, _, amount = part.rpartition("=")
        try:
            number = float(amount)
        except ValueError:
            number = -1.0
        if not name.strip() or not 0 <= number < float("inf"):
            raise ConfigError(f"--hours {part}: write NAME=HOURS, such as Amara=6")
        if name.strip() in hours:
            raise ConfigError(f"--hours: {name.strip()} is given twice: keep one")
        hours[name.strip()] = number
    return hours


def _ask(names: Names) -> bool:
    """Ask on a terminal whether newcomers join; without a terminal they do not."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        question = f"not in the programme: {some(names)}. Let them join? [y/N] "
        return input(question).strip() in ("y", "Y")
    except EOFError:
        return False


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a user's name
        return "unknown"


def _dates(text: str, date: dt.date) -> tuple[dt.date, ...]:
    """The days after `date` that `--days` asks for.

    Raises:
        ConfigError: it is neither a number in range nor dates in order after `date`.
    """
    words = names_in(text, "--days") if text else []
    if len(words) == 1 and words[0].lstrip("-").isdecimal():
        return next_dates(date, int(words[0]), "--days")
    dates = tuple(parse_date(word, "--days") for word in words)
    for before, after in pairwise((date, *dates)):
        if after <= before:
            raise ConfigError(f"--days: {after} is not after {before}: give later dates, in order")
    if len(dates) > MOST_DAYS or (dates and (dates[-1] - date).days > _FURTHEST):
        raise ConfigError(f"--days: give up to {MOST_DAYS} dates within {_FURTHEST} days")
    return dates


def _print(day: Day, folder: Path, setup: Setup) -> None:
    console = plain_console()
    _print_lists(console, day.plan, str(day.date))
    if not day.clients:
        console.print(f"{day.date}: no visits")
    console.print(", ".join(_words(day)), soft_wrap=True)
    console.print(f"lists: {folder}", soft_wrap=True)
    if changed := changed_inputs(day, setup):
        text = f"changed since the day was decided: {', '.join(changed)} (--redo decides it again)"
        console.print(text, soft_wrap=True)


def _print_lists(console: Console, plan: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print a table for each worker, and the variables that own rules add."""
    for entry in worker_lists(plan):
        table = Table(title=f"{title}  {entry.worker}".strip())
        for column in entry.columns:
            table.add_column(heading(column))
        for row in entry.rows:
            table.add_row(*row)
        console.print(table)
    if own := further_variables(plan):
        text = ", ".join(f"{name} = {value}" for name, value in own.items())
        console.print(text, soft_wrap=True, markup=False)


def _print_ahead(foreseen: Sequence[ForeseenDay], dates: Sequence[dt.date]) -> None:
    """Print the days that were foreseen."""
    console = plain_console()
    for entry in foreseen:
        _print_lists(console, entry.plan, f"{entry.date}, provisional")
        if entry.problem:
            text = f"{entry.date}: the rules cannot be met: {entry.problem}"
            console.print(text, soft_wrap=True)
        elif not clients_on(entry.plan):
            console.print(f"{entry.date}: {'nobody works' if entry.closed else 'no visits'}")
        if entry.early:
            text = f"{entry.date}: {', '.join(entry.early)}: visited for the rules of a later day"
            console.print(text, soft_wrap=True)
    if len(foreseen) < len(dates) and not (foreseen and foreseen[-1].problem):
        console.print(f"{dates[len(foreseen)]}: after the end of the programme (--steps_left)")


def _words(day: Day) -> list[str]:
    """State of the decision, and what it was made with."""
    words = [] if day.new else ["decided before"]
    words += [f"policy {day.settings['policy']}", f"status {day.status}"]
    if day.value is not None:
        words.append(f"value {day.value:.8g}")
    if day.value is not None and day.bound is not None:
        words.append(f"at most {max(0.0, day.bound - day.value):.3g} more is possible")
    model: dict[str, Any] = day.made_with["model"]
    return words + [f"{name} {cell_text(value)}" for name, value in model.items() if value]
