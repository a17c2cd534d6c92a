"""Numeric problems that each planner solves under equal limits, with length, seconds and memory.

The problems come from a folder with one sub-folder per domain: `domain.pddl` and
`instances/*.pddl`. The 400 problems of the numeric track of the International Planning Competition
2023 lie in this form in github.com/ipc2023-numeric/ipc2023-dataset, which names no licence:

    git clone https://github.com/ipc2023-numeric/ipc2023-dataset problems
    python -m benchmarks.numeric.coverage run --problems problems --rows coverage.csv \\
        --planners auto,search,milp,enhsp-sat-hmrphj,enhsp-sat-hadd,lpg,tamer --instances 1,5
    python -m benchmarks.numeric.coverage report --rows coverage.csv

Each run is a process of its own (`worldplan.planners.numeric.solve`), with the same wall-clock
limit for reading, grounding and search, and is killed 30 s after it. Every plan counts only when it
is executed exactly in the model; a problem that the exact models cannot represent is handed to
engines as files and checked by unified-planning. A row is written as soon as it is measured: the
same command resumes. Engines need `pip install 'worldplan[engines]'`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

COLUMNS = (
    *("domain", "instance", "planner", "repeat", "status", "length", "seconds", "cpu_seconds"),
    *("memory_mb", "by", "load", "reason"),
)


def solve_one(domain: Path, problem: Path, planner: str, limit: float, memory_mb: int) -> None:
    """Plan, and print the outcome as one line of JSON."""
    from worldplan.milp.errors import DatasetError, WorldplanError, one_line
    from worldplan.planners.numeric.planning import solve
    from worldplan.planners.numeric.portfolio import engines_files
    from worldplan.world_models.pddl.reading import read_model, read_problem

    started = time.perf_counter()
    limits = {"time_limit": limit, "memory_limit_mb": memory_mb}
    try:
        try:
            model = read_model(domain)
            task = read_problem(problem, model.vocabulary)
            limits["time_limit"] = max(0.1, limit - (time.perf_counter() - started))
            result = solve(model, task, planner, **limits)
        except DatasetError:
            if planner in ("search", "milp"):
                raise
            engines = None if planner == "auto" else [planner]
            result = engines_files(domain, problem, engines=engines, **limits)
        reasons = [
            str(entry["reason"]) for entry in result.detail.get("tried", ()) if entry.get("reason")
        ]
        out = {
            "status": result.status,
            "length": None if result.plan is None else len(result.plan),
            "by": result.planner,
            "reason": "" if result.plan is not None else "; ".join(reasons),
        }
    except WorldplanError as error:
        out = {"status": "refused", "length": None, "by": planner, "reason": one_line(error)}
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    out["cpu_seconds"] = round(sum(part.ru_utime + part.ru_stime for part in usage), 2)
    out["memory_mb"] = round(max(part.ru_maxrss for part in usage) / 1024)
    out["seconds"] = round(time.perf_counter() - started, 2)
    print(json.dumps(out))


def run(options: argparse.Namespace) -> None:
    """Measure what is missing in the rows, planner by planner within a problem."""
    rows = read_rows(options.rows)
    done = {(row["domain"], row["instance"], row["planner"], row["repeat"]) for row in rows}
    end = time.monotonic() + options.stop_after
    for repeat in range(options.repeats):
        for domain, instance in chosen(options):
            for planner in options.planners.split(","):
                key = (domain, instance, planner, str(repeat))
                if key in done or time.monotonic() > end:
                    continue
                row = dict(zip(COLUMNS, key, strict=False)) | measured(options, *key[:3])
                append(options.rows, row)
                print(*(row.get(column) for column in COLUMNS[:7]), flush=True)


def measured(
    options: argparse.Namespace, domain: str, instance: str, planner: str
) -> dict[str, object]:
    """The outcome of one run in a process of its own."""
    folder = options.problems / domain
    problem = folder / "instances" / f"{instance}.pddl"
    command = [sys.executable, "-m", "benchmarks.numeric.coverage", "one"]
    command += [str(folder / "domain.pddl"), str(problem), planner]
    command += [str(options.limit), str(options.memory)]
    load = round(os.getloadavg()[0], 1)
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            out, errors = child.communicate(timeout=options.limit + 30)
        except subprocess.TimeoutExpired:
            child.kill()
            out, errors = child.communicate()
    lines = out.decode(errors="replace").splitlines()
    if child.returncode == 0 and lines:
        return json.loads(lines[-1]) | {"load": load}
    last = errors.decode(errors="replace").strip().splitlines()[-1:] or [""]
    status = "time_limit" if child.returncode == -9 else "crashed"
    seconds = round(time.perf_counter() - started, 2)
    return {"status": status, "seconds": seconds, "reason": last[0][:200], "load": load}


def chosen(options: argparse.Namespace) -> list[tuple[str, str]]:
    """(domain, instance) of the problems, in a fixed order; all domains of one instance first."""
    domains = sorted(path.parent.name for path in options.problems.glob("*/domain.pddl"))
    numbers = options.instances.split(",")
    pairs = []
    for number in numbers:
        for domain in domains:
            for path in (options.problems / domain / "instances").glob("*.pddl"):
                if re.search(rf"(?<!\d)0*{number}\.pddl$", path.name):
                    pairs.append((domain, path.stem))
    return pairs


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows so far."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def append(path: Path, row: dict[str, object]) -> None:
    """Add a row; the header comes first."""
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def report(options: argparse.Namespace) -> None:
    """Print tables: solved per planner, per domain, and lengths on what both solve."""
    rows = read_rows(options.rows)
    solved: dict[str, dict[tuple[str, str, str], int]] = defaultdict(dict)
    tried: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    effort: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        key = (row["domain"], row["instance"], row["repeat"])
        tried[row["planner"]].add(key)
        effort[row["planner"]].append(row)
        if row["length"]:
            solved[row["planner"]][key] = int(row["length"])
    common = set.intersection(*tried.values())
    planners = sorted(tried, key=lambda name: -len(common & solved[name].keys()))
    print(f"{len(common)} problems that every planner tried.\n")
    print("| planner | solved | median seconds of the solved | largest MB | length / auto's |")
    print("|---|---|---|---|---|")
    for name in planners:
        mine = {key: length for key, length in solved[name].items() if key in common}
        seconds = sorted(
            float(row["seconds"])
            for row in effort[name]
            if (row["domain"], row["instance"], row["repeat"]) in mine
        )
        memory = max((int(row["memory_mb"] or 0) for row in effort[name]), default=0)
        shared = mine.keys() & solved["auto"].keys()
        ratio = sum(mine[key] / max(1, solved["auto"][key]) for key in shared) / max(1, len(shared))
        middle = f"{seconds[len(seconds) // 2]:.1f}" if seconds else "-"
        print(f"| `{name}` | {len(mine)} | {middle} | {memory} | {ratio:.2f} on {len(shared)} |")
    domains = sorted({domain for domain, _, _ in common})
    print(f"\n| domain (problems) | {' | '.join(f'`{name}`' for name in planners)} |")
    print(f"|---|{'---|' * len(planners)}")
    for domain in domains:
        keys = {key for key in common if key[0] == domain}
        counts = [str(len(keys & solved[name].keys())) for name in planners]
        print(f"| {domain} ({len(keys)}) | {' | '.join(counts)} |")


def main() -> None:
    """Command line: `run`, `report`, or `one` problem."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--problems", type=Path, required=True)
    running.add_argument("--planners", required=True)
    running.add_argument("--instances", default="1,5")
    running.add_argument("--limit", type=float, default=30.0, help="wall-clock seconds")
    running.add_argument("--memory", type=int, default=4096, help="MB")
    running.add_argument("--repeats", type=int, default=1)
    running.add_argument("--stop-after", type=float, default=1e9, help="seconds of the whole run")
    reporting = commands.add_parser("report")
    for sub in (running, reporting):
        sub.add_argument("--rows", type=Path, required=True)
    one = commands.add_parser("one")
    for name in ("domain", "problem", "planner", "limit", "memory"):
        one.add_argument(name)
    options = parser.parse_args()
    if options.command == "one":
        solve_one(
            Path(options.domain),
            Path(options.problem),
            options.planner,
            float(options.limit),
            int(options.memory),
        )
    else:
        {"run": run, "report": report}[options.command](options)


if __name__ == "__main__":
    main()
