"""`worldplan report RUN ...`: one self-contained HTML file for one or several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worldplan.arguments import command_parser, parse_options
from worldplan.files import refuse_input_as_output
from worldplan.output.report import write_report
from worldplan.runs import Run
from worldplan.world_models.folders import exclusive


def main(argv: Sequence[str]) -> int:
    """Entry of the command.

    Raises:
        ConfigError: a folder is not a run folder, or --output is a file of a run or no file.
        IsADirectoryError: --output is a folder.
        DatasetError: the summary table of a run is damaged.
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
    if options.output is not None:
        files = [file for run in options.runs if run.is_dir() for file in run.rglob("*")]
        refuse_input_as_output(options.output, *(file for file in files if file.suffix != ".html"))
    if len(options.runs) > 1 or options.output is not None:
        print(write_report(options.runs, options.output))
        return 0
    run = Run.open(options.runs[0])
    with exclusive(run.path, remedy="write the report elsewhere with --output FILE"):
        print(write_report([run.path]))
    return 0
