"""Learns with AMLGym's algorithms, and measures any learned domain with AMLGym's metrics.

AMLGym runs in an interpreter of its own, since its pins exclude worldplan's environment:

    python -m venv peer && peer/bin/pip install -r benchmarks/numeric/amlgym-requirements.txt
    peer/bin/python -P benchmarks/numeric/amlgym_peer.py data
    peer/bin/python -P benchmarks/numeric/amlgym_peer.py learn ALGORITHM DOMAIN LEARNED.pddl
    peer/bin/python -P benchmarks/numeric/amlgym_peer.py judge DOMAIN LEARNED.pddl PROBLEMS SECONDS

Each prints lines of JSON; `judge` one a metric, so that what is finished at a time limit counts.
(-P: the file amlgym.py beside this one is no part of the package amlgym.)
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import amlgym.benchmarks as suite

DATA = Path(suite.__file__).parent


def learn(algorithm: str, domain: str, learned: Path) -> None:
    """Learn from the suite's ten trajectories; prints the CPU seconds, files included."""
    from amlgym.algorithms import get_algorithm

    suite_paths = suite.get_trajectories_path(domain)
    empty = _without_bodies(domain, learned.parent)
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        text = get_algorithm(algorithm).learn(str(empty), suite_paths)
    seconds = time.process_time() - start
    learned.write_text(text)
    print(json.dumps({"learning_seconds": seconds}), flush=True)


def judge(domain: str, learned: Path, problems: int, seconds: int) -> None:
    """The syntactic metrics and problem solving, by Fast Downward, of a learned domain."""
    from amlgym import metrics

    reference = suite.get_domain_path(domain)
    for name in ("syntactic_precision", "syntactic_recall"):
        _show(name, getattr(metrics, name)(str(learned), reference))
    paths = suite.get_problems_path(domain, kind="solving")[:problems]
    solving = metrics.problem_solving(
        str(learned), reference, paths, timeout=seconds, show_progress=False
    )
    _show("solving", solving)


def _without_bodies(domain: str, folder: Path) -> Path:
    """The suite's domain with the declarations only, as its authors give it to learners."""
    from amlgym.util.util import empty_domain

    path = folder / f"{domain}-empty.pddl"
    empty_domain(suite.get_domain_path(domain), str(path))
    return path


def _show(metric: str, values: dict[str, Any]) -> None:
    print(
        json.dumps({f"{metric}:{key}": float(value) for key, value in values.items()}), flush=True
    )


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    command, *arguments = sys.argv[1:]
    if command == "data":
        print(json.dumps({"data": str(DATA)}))
    elif command == "learn":
        learn(arguments[0], arguments[1], Path(arguments[2]).resolve())
    else:
        judge(arguments[0], Path(arguments[1]).resolve(), int(arguments[2]), int(arguments[3]))
