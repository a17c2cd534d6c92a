"""`python -m benchmarks.fuzz --inputs 3000 --seed 0`: mutants of every kind of file through the
command line, as a table per reader, with all answers in a CSV file. Ctrl-C ends it early.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import sys
import tempfile
from pathlib import Path

import pandas as pd

GOOD = ("refused", "right")
VERDICTS = ["refused", "right", "wrong", "traceback", "exit 3", "hang", "killed", "not one line"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", default="", help="only kinds whose name begins so")
    parser.add_argument("--quick", action="store_true", help="leave out slow commands")
    parser.add_argument("--output", type=Path, default=Path("fuzz.csv"))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    from benchmarks.fuzz.campaign import Bench, Result
    from benchmarks.fuzz.server import import_all
    from worldplan.cli import main as worldplan

    import_all()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), worldplan, slow=not options.quick)
        for complaint in bench.check_valid():
            print(complaint)
        chosen = [kind for kind in bench.kinds if kind.name.startswith(options.kind)]
        rows = []
        with options.output.open("w", newline="") as file, contextlib.suppress(KeyboardInterrupt):
            writer = csv.writer(file)
            writer.writerow(["number", *Result._fields])
            for number in range(options.inputs):
                result = bench.mutant(chosen[number % len(chosen)], options.seed * 10**6 + number)
                writer.writerow([number, *result])
                rows.append(result)
                if result.verdict not in GOOD:
                    print(number, *result, flush=True)
    table = pd.DataFrame(rows)
    print(summary(table).to_string())
    return int(not table["verdict"].isin(GOOD).all())


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row per kind and one for all: inputs, verdicts, longest time, largest memory."""
    total = table.assign(kind="all")
    both = pd.concat([table, total])
    counts = pd.crosstab(both["kind"], both["verdict"]).reindex(columns=VERDICTS, fill_value=0)
    grouped = both.groupby("kind")
    counts.insert(0, "inputs", grouped.size())
    return counts.assign(
        seconds=grouped["seconds"].max().round(1), megabytes=grouped["megabytes"].max()
    )


if __name__ == "__main__":
    sys.exit(main())
