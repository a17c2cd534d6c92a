"""`worldplan report RUN ...`: one self-contained HTML file for one or several runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from worldplan.arguments import command_parser, parse_options
from worldplan.commands.overview.outputs import refuse_a_runs_file
from worldplan.output.report import write_report
from worldplan.runs import REPORT, Run
from worldplan.world_models.folders import exclusive


def main(argv: Sequence[str]) -> int:
    """Entry of the command.

    Raises:
        ConfigError: a folder is not a run folder, or --output is a file of a run or no file.
        IsADirectoryError: --output is a folder.
        FolderInUse: the report would be written into a run that goes on.
    """
    parser = command_parser("report", "Write one self-contained HTML file.")
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument(
        "--output",
        type=Path | None,
        default=None,
        help="the file to write; report.html in the run folder when not given",
    )
    options = parse_options(parser, argv)
    runs = [Run.open(path) for path in options.runs]
    own = len(runs) == 1 and _is_report_of(options.output, runs[0])
    if not own:
        if options.output is not None:
            refuse_a_runs_file(options.output, [run.path for run in runs])
        print(write_report(options.runs, options.output, _say))
        return 0
    run = runs[0]
    with exclusive(run.path, remedy="write the report elsewhere with --output FILE"):
        print(write_report([run.path], say=_say))
    return 0


def _is_report_of(output: Path | None, run: Run) -> bool:
    """Whether a page goes to the run's own report."""
    return output is None or output.resolve() == (run.path / REPORT).resolve()


def _say(line: str) -> None:
    """What is missing in a run goes to the page and, here, to stderr."""
    print(line, file=sys.stderr)
