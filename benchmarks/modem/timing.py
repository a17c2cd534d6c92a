"""Options and files of results of benchmarks.modem.planning_latency and
benchmarks.modem.latent_updates.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import torch

RESULTS = Path(__file__).resolve().parent / "results" / "speed"


def timing_parser(description: str, sizes: Iterable[str], name: str) -> argparse.ArgumentParser:
    """The options that both benchmarks have; `name` is the default name of the results."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--sizes", nargs="+", choices=list(sizes), default=list(sizes))
    parser.add_argument(
        "--turns", type=int, default=15, help="at the small sizes; a third of it at the others"
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--note", default="", help="goes into the Markdown file, e.g. what else was running"
    )
    parser.add_argument("--name", default=name, help="of the files of results")
    return parser


def turns_at(size: str, turns: int) -> int:
    """`turns` at small sizes, a third of it at the others."""
    return turns if size.startswith("small") else -(-turns // 3)


def write_results(
    options: argparse.Namespace,
    module: str,
    load: float,
    lines: list[str],
    tables: list[pd.DataFrame],
    sizes: dict[str, object],
) -> None:
    """Write NAME.md, the tables as text, and NAME.csv, every turn of every method.

    Args:
        options: those of `timing_parser`.
        module: file name of the benchmark.
        load: load average before it.
        lines: of the tables.
        tables: seconds (turns, methods), with a column "size" and perhaps a column "part".
        sizes: the sizes by name.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    labels = [name for name in ("part", "size") if name in tables[0]]
    every_turn = pd.concat(
        table.rename_axis("turn").reset_index().melt([*labels, "turn"], None, "method", "seconds")
        for table in tables
    )
    every_turn.to_csv(RESULTS / f"{options.name}.csv", index=False, float_format="%.6f")
    text = [
        *_heading(options.device, options.note, load),
        *lines,
        "",
        *(f"* {name}: {sizes[name]}" for name in options.sizes),
        "",
        f"See the head of benchmarks/modem/{module}.",
    ]
    (RESULTS / f"{options.name}.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def _heading(device: str, note: str, load: float) -> list[str]:
    """The heading of the results: versions, device, load, memory."""
    kept = all(name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"))
    what = torch.cuda.get_device_name() if device == "cuda" else "CPU time of one thread"
    memory = (
        "kept (MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_)"
        if kept
        else "given back as glibc does by default"
    )
    loads = f"load average {load:.1f} before and {os.getloadavg()[0]:.1f} after"
    return [
        f"torch {torch.__version__}, {what}, {os.cpu_count()} cores, {loads}. "
        f"Freed memory: {memory}. {note}".rstrip(),
        "",
    ]
