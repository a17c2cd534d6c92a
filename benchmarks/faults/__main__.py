"""`python -m benchmarks.faults`: every fault on every long command, as a table.

The trials are written to runs/faults/trials.jsonl as they end. The same call continues, as long as
the code is the same and committed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.faults.cases import CASES, ROOT, Case
from benchmarks.faults.trials import FAULTS, Failed, Reference, Trial, can_mount, reference

RESULTS = Path(__file__).with_name("results")
_FEWER = 4  # all faults but SIGKILL and SIGINT get a quarter of the trials


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trials; returns 1 if any of them shows a fault of the command, else 0."""
    options = _parser().parse_args(argv)
    # a shell starts what runs in the background with SIGINT ignored, which commands would inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = [
        case
        for case in CASES
        if not options.commands or any(word in case.name for word in options.commands.split(","))
    ]
    if not chosen:
        print(f"--commands: choose from {', '.join(case.name for case in CASES)}", file=sys.stderr)  # noqa: T201
        return 2
    named = [name for name in FAULTS if options.faults in name]
    if not named:
        print(f"--faults: choose from {', '.join(FAULTS)}", file=sys.stderr)  # noqa: T201
        return 2
    options.trials_file.parent.mkdir(parents=True, exist_ok=True)
    code = _code()
    rows = _old_rows(options.trials_file, code, options.seed)
    compared: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as scratch,
        options.trials_file.open("a", encoding="utf-8") as file,
        Progress(console=Console(stderr=True)) as bar,
    ):
        mounts = can_mount(Path(scratch) / "mount")
        faults = [name for name in named if mounts or "tmpfs" not in name]
        for case in chosen:
            folder = Path(scratch) / case.name.replace(" ", "-")
            waiting = [
                (fault, number)
                for fault in faults
                for number in range(_count(fault, options.trials))
                if (case.name, fault, number) not in rows
            ]
            task = bar.add_task(case.name, total=len(waiting))
            if not waiting:
                continue
            try:
                usual = reference(case, folder)
            except Failed as error:
                bar.console.print(f"{case.name}: {error}")
                rows[case.name, "none", 0] = Trial(case.name, "none", 0, note=str(error)).row()
                continue
            compared.append(_compared(case, usual))
            with ThreadPoolExecutor(options.jobs) as pool:
                jobs = [
                    pool.submit(_trial, case, usual, folder, fault, number, options.seed)
                    for fault, number in waiting
                ]
                for job in jobs:
                    row = job.result().row()
                    rows[row["command"], row["fault"], row["number"]] = row
                    line = {"code": code, "seed": options.seed} | row
                    file.write(json.dumps(line) + "\n")
                    file.flush()
                    bar.advance(task)
            shutil.rmtree(folder)
    return _report(pd.DataFrame(list(rows.values())), compared, options.results)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--trials", type=int, default=20, help="of SIGKILL and of SIGINT a command")
    parser.add_argument("--commands", default="", help="parts of their names, with commas")
    parser.add_argument("--faults", default="", help="part of the names of the faults")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--jobs", type=int, default=2, help="trials at once")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the table")
    parser.add_argument("--trials-file", type=Path, default=ROOT / "runs/faults/trials.jsonl")
    return parser


def _count(fault: str, trials: int) -> int:
    return trials if fault in ("SIGKILL", "SIGINT") else max(1, trials // _FEWER)


def _trial(case: Case, usual: Reference, folder: Path, fault: str, number: int, seed: int) -> Trial:
    """One trial in a copy of the template."""
    place = [list(FAULTS).index(fault), number, CASES.index(case)]
    copy = folder / f"trial-{place[0]}-{number}"
    shutil.copytree(usual.template, copy)
    try:
        draw = np.random.default_rng([seed, *place])
        return FAULTS[fault](Trial(case.name, fault, number), usual, copy, draw)
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _code() -> str:
    """The commit of this code; empty if files differ from it, as their trials are not continued."""
    git = ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "diff", "--quiet", "HEAD"], check=False).returncode:
        return ""
    return subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def _old_rows(file: Path, code: str, seed: int) -> dict[tuple[str, str, int], dict[str, Any]]:
    """The trials of this code and seed that are done already."""
    rows = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() and code else ():
        try:
            row = json.loads(line)
        except ValueError:  # cut off by a kill
            continue
        if (row.pop("code"), row.pop("seed")) == (code, seed):
            rows[row["command"], row["fault"], row["number"]] = row
    return rows


def _compared(case: Case, usual: Reference) -> dict[str, Any]:
    """What is compared, for the report."""
    files = {name.partition(":")[0] for name in [*usual.runs, *usual.rest]}
    return {
        "command": case.name,
        "seconds": round(usual.seconds, 1),
        "files": len(files),
        "parts": len(usual.runs) + len(usual.rest),
        "not_compared": usual.not_compared,
    }


def _report(trials: pd.DataFrame, compared: Sequence[dict[str, Any]], folder: Path) -> int:
    """Print and write the table; returns the exit code."""
    table = summarise(trials)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "faults.csv", index=False)
    shown = Table(*table.columns, title="faults")
    for row in table.itertuples(index=False):
        shown.add_row(*map(str, row))
    console = Console()
    console.width = max(console.width, 130)
    console.print(shown)
    lines = ["# Faults", "", __doc__ or "", markdown(table), "", "## Compared", ""]
    lines += [
        f"- {entry['command']} ({entry['seconds']} s): {entry['parts']} parts of {entry['files']} "
        f"files; not compared, as two undisturbed runs differ: {entry['not_compared'] or 'nothing'}"
        for entry in compared
    ]
    bad = trials[trials["note"].str.strip() != ""]
    lines += ["", "## Notes", ""]
    lines += [f"- {row.command}, {row.fault}, {row.number}: {row.note}" for row in bad.itertuples()]
    (folder / "faults.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for row in bad.itertuples():
        Console().print(f"{row.command}, {row.fault}, {row.number}:{row.note}", soft_wrap=True)
    failures = table[["lost", "left over", "wrong codes", "tracebacks"]].to_numpy().sum()
    return int(failures > 0 or not (table["trials"] == table["equal"]).all())


def summarise(trials: pd.DataFrame) -> pd.DataFrame:
    """A row for each command and fault, from a row for each trial."""
    trials = trials.assign(left=trials["left_over"].map(bool))
    groups = trials.groupby(["command", "fault"], sort=False)
    table = groups.agg(
        trials=("number", "size"),
        struck=("struck", "sum"),
        finished=("finished", "sum"),
        equal=("equal", "sum"),
        lost=("lost", "sum"),
        left=("left", "sum"),
        wrong=("wrong_code", "sum"),
        tracebacks=("traceback", "sum"),
    )
    names = {"left": "left over", "wrong": "wrong codes"}
    return table.reset_index().rename(columns=names)


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown."""
    rows = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
