"""`worldplan compare RUN RUN ...`: one table and one plot of several runs of a kind."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.table import Table

from worldplan.arguments import command_parser, parse_options
from worldplan.commands.overview.curves import curves_of, plot_curves
from worldplan.commands.overview.figures import COLUMNS, Figure, rows_of
from worldplan.commands.overview.found import FoundRun, open_found
from worldplan.commands.overview.kinds import FINISHED
from worldplan.commands.overview.outputs import refuse_a_runs_file
from worldplan.files import write_csv
from worldplan.milp.errors import ConfigError
from worldplan.output.console import plain_console
from worldplan.output.report import write_report
from worldplan.output.summary import percent_text, share_text

_KINDS = (".csv", ".svg", ".png", ".html")


def main(argv: Sequence[str]) -> int:
    """Entry of the command.

    Raises:
        ConfigError: fewer than two runs, runs of different kinds, none with results, or an output
            of another kind.
        DatasetError: a table of a run is damaged.
    """
    parser = command_parser("compare", "One table and one plot of several runs of a kind.")
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument(
        "--output",
        nargs="+",
        type=Path,
        default=[],
        help="files to write: the table as .csv, the curves as .svg or .png, a page as .html",
    )
    options = parse_options(parser, argv)
    runs = _opened(options.runs)
    _check_outputs(options.output, runs)
    table = comparison(runs)
    _print(table, runs)
    for each in runs:
        if each.state != FINISHED:
            print(f"{each.run.path}: {each.state}: what it has so far", file=sys.stderr)
    _write(options.output, table, runs)
    return 0


def _opened(paths: Sequence[Path]) -> list[FoundRun]:
    """The runs.

    Raises:
        ConfigError: fewer than two, one given twice, or of different kinds.
        DatasetError: a table of a run is damaged.
    """
    places = [path.resolve() for path in paths]
    twice = [str(path) for number, path in enumerate(paths) if places[number] in places[:number]]
    if twice:
        raise ConfigError(f"{twice[0]}: given twice: give different run folders")
    if len(paths) < 2:
        raise ConfigError(
            "compare needs two runs or more: `worldplan runs` lists them; for one run, "
            f"worldplan report {paths[0]}"
        )
    runs = [open_found(path) for path in paths]
    kinds = {each.kind.name: each.run.path for each in runs}
    if len(kinds) > 1:
        named = ", ".join(f"{path} is of kind '{name}'" for name, path in kinds.items())
        raise ConfigError(f"different kinds of runs ({named}): compare runs of one kind")
    return runs


def _check_outputs(outputs: Sequence[Path], runs: Sequence[FoundRun]) -> None:
    """Check that every output can be written, and is no file of a run.

    Raises:
        ConfigError: its ending is another one, or it is a file of a run.
    """
    for output in outputs:
        if output.suffix.lower() not in _KINDS:
            raise ConfigError(f"--output {output}: the name ends in none of {', '.join(_KINDS)}")
        refuse_a_runs_file(output, [each.run.path for each in runs])


def comparison(runs: Sequence[FoundRun]) -> pd.DataFrame:
    """The rows of all runs: columns run, policy, mean, low, high, bound_share, share_low,
    share_high, score.

    Args:
        runs: of one kind.

    Raises:
        ConfigError: no run has results.
        DatasetError: a table of a run is damaged.
    """
    parts = []
    for each, title in zip(runs, titles(runs), strict=True):
        rows = rows_of(each.run, each.kind)
        if rows is not None:
            parts.append(rows[[*COLUMNS]].assign(run=title))
    if not parts:
        raise ConfigError("none of these runs has results yet: repeat the commands that made them")
    return pd.concat(parts, ignore_index=True)[["run", *COLUMNS]]


def titles(runs: Sequence[FoundRun]) -> list[str]:
    """<name>/<time> of each run, or its path where two have the same."""
    names = [each.run.name for each in runs]
    if len(set(names)) == len(names):
        return names
    return [str(each.run.path) for each in runs]


def _print(table: pd.DataFrame, runs: Sequence[FoundRun]) -> None:
    """A row per policy and a column per run."""
    kind, console = runs[0].kind, plain_console()
    present = list(dict.fromkeys(table["run"]))
    cells: dict[str, dict[str, str]] = {}
    for row in table.to_dict("records"):
        figure = Figure("", row["mean"], row["low"], row["high"], kind.percent)
        texts = [str(figure).strip()]
        if share := share_text(row):
            texts.append(f"{share} of the bound")
        if score := percent_text(row["score"] / 100).removesuffix(" %"):
            texts.append(f"score {score}")
        cells.setdefault(str(row["policy"]), {})[row["run"]] = "\n".join(texts)
    title = f"{kind.value}, with the 95 % interval"
    printed = Table(title=title)
    printed.add_column("policy")
    for run in present:
        printed.add_column(run, justify="right")
    for policy, of_runs in cells.items():
        printed.add_row(policy, *(of_runs.get(run, "-") for run in present))
    console.print(printed)


def _write(outputs: Sequence[Path], table: pd.DataFrame, runs: Sequence[FoundRun]) -> None:
    """Write the outputs, and print their names.

    Raises:
        ConfigError: curves are wanted, and no run has any.
        DatasetError: a table of a run is damaged.
    """
    for output in outputs:
        ending = output.suffix.lower()
        if ending == ".csv":
            write_csv(output, table)
        elif ending == ".html":
            write_report([each.run.path for each in runs], output)
        else:
            curves = [
                curve
                for each, title in zip(runs, titles(runs), strict=True)
                for curve in curves_of(each.run, title, each.kind)
            ]
            if not curves:
                raise ConfigError(
                    f"--output {output}: these runs measured nothing on the way, so there are no "
                    "curves: write the table as .csv"
                )
            plot_curves(curves, runs[0].kind.value, output)
        print(output)
