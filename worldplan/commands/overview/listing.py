"""`worldplan runs [FOLDER]`: the run folders with kind, date, state and headline figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from worldplan.arguments import command_parser, parse_options
from worldplan.commands.overview.found import FoundRun, Skipped, find_runs
from worldplan.output.console import plain_console

_ORDERS = ("date", "name", "kind", "state")
_NAMED = 10  # folders that are skipped, in messages


def main(argv: Sequence[str]) -> int:
    """Entry of the command.

    Raises:
        ConfigError: the folder is missing.
    """
    parser = command_parser("runs", "List run folders with their headline figures.")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("runs"), help="of run folders (default: runs)"
    )
    parser.add_argument(
        "--sort", choices=_ORDERS, default="date", help="newest first, or by column"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parse_options(parser, argv)
    runs, skipped = find_runs(options.folder)
    runs = ordered(runs, options.sort)
    if options.json:
        print(as_json(runs, skipped))
        return 0
    if runs:
        plain_console().print(_table(runs, options.folder))
    else:
        print(f"no run folders in {options.folder}")
    for each in skipped[:_NAMED]:
        print(f"skipped: {each.path}: {each.reason}", file=sys.stderr)
    if len(skipped) > _NAMED:
        print(f"skipped: {len(skipped) - _NAMED} more (--json names all)", file=sys.stderr)
    return 0


def ordered(runs: Sequence[FoundRun], order: str) -> list[FoundRun]:
    """The runs, newest first, or by a column and then newest first.

    Args:
        runs: in any order.
        order: "date", "name", "kind" or "state".
    """
    newest = sorted(runs, key=lambda each: each.date, reverse=True)
    if order == "date":
        return newest

    def column(each: FoundRun) -> str:
        return {"name": each.run.name, "kind": each.kind.name, "state": each.state}[order]

    return sorted(newest, key=column)


def as_json(runs: Sequence[FoundRun], skipped: Sequence[Skipped]) -> str:
    """The runs, and what was skipped, as JSON."""
    content = {
        "runs": [each.to_dict() for each in runs],
        "skipped": [{"path": str(each.path), "reason": each.reason} for each in skipped],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _table(runs: Sequence[FoundRun], folder: Path) -> Table:
    """A row per run."""
    table = Table(title=f"{len(runs)} runs in {folder}", title_justify="left")
    for name in ("run", "kind", "begun", "state", "figures"):
        table.add_column(name, no_wrap=name in ("kind", "begun", "state"))
    for each in runs:
        table.add_row(*_texts(each, folder))
    return table


def _texts(each: FoundRun, folder: Path) -> tuple[str, str, str, str, str]:
    """Path below `folder`, kind, date, state and figures, a line each."""
    path = each.run.path
    shown = path.relative_to(folder) if path != folder else path
    figures = "\n".join(map(str, each.figures)) or "no results yet"
    return str(shown), each.kind.name, f"{each.date:%Y-%m-%d %H:%M}", each.state, figures
