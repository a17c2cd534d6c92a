"""Learns with AMLGym's algorithms, and measures any learned domain with AMLGym's metrics.

AMLGym runs in an interpreter of its own, since its pins exclude worldplan's environment:

    python -m venv peer && peer/bin/pip install -r benchmarks/numeric/amlgym-requirements.txt
    peer/bin/python -P benchmarks/numeric/amlgym_peer.py data
    peer/bin/python -P .../amlgym_peer.py learn FOLDER STOP ALGORITHM DOMAIN...
    peer/bin/python -P .../amlgym_peer.py judge FOLDER STOP PROBLEMS SECONDS DOMAIN...

FOLDER/DOMAIN.pddl is the learned domain, STOP the seconds after which work on a domain ends. Each
prints lines of JSON; `judge` one a metric, so that what is finished at a time limit counts.
(-P: the file amlgym.py beside this one is no part of the package amlgym.)
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import amlgym.benchmarks as suite

DATA = Path(suite.__file__).parent


def learn(folder: Path, algorithm: str, domain: str) -> None:
    """Learn from the suite's ten trajectories; prints the CPU seconds, files included."""
    from amlgym.algorithms import get_algorithm
    from amlgym.util.util import empty_domain

    paths = suite.get_trajectories_path(domain)
    empty = folder / f"{domain}-empty.pddl"  # as the suite's authors give it to learners
    empty_domain(suite.get_domain_path(domain), str(empty))
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        text = get_algorithm(algorithm).learn(str(empty), paths)
    seconds = time.process_time() - start
    (folder / f"{domain}.pddl").write_text(text)
    _print(domain, {"learning_seconds": seconds})


def judge(folder: Path, problems: int, seconds: int, domain: str) -> None:
    """The syntactic metrics and problem solving, by Fast Downward, of a learned domain."""
    from amlgym import metrics

    learned, reference = str(folder / f"{domain}.pddl"), suite.get_domain_path(domain)
    for name in ("syntactic_precision", "syntactic_recall"):
        _show(domain, name, getattr(metrics, name)(learned, reference))
    paths = suite.get_problems_path(domain, kind="solving")[:problems]
    solving = metrics.problem_solving(
        learned, reference, paths, timeout=seconds, show_progress=False
    )
    _show(domain, "solving", solving)


def each(domains: list[str], stop: int, work: Callable[[str], None]) -> None:
    """Do the work for each domain, for at most `stop` seconds; prints a note where it fails."""

    def late(*_: object) -> None:
        raise TimeoutError(f"stopped after {stop} s")

    signal.signal(signal.SIGALRM, late)
    for domain in domains:
        signal.alarm(stop)
        try:
            work(domain)
        except Exception as error:  # an algorithm or a metric may fail on a domain in any way
            _print(domain, {"note": f"{type(error).__name__}: {error}"[:200]})
        finally:
            signal.alarm(0)


def _print(domain: str, row: dict[str, Any]) -> None:
    print(json.dumps({"domain": domain} | row), flush=True)


def _show(domain: str, metric: str, values: dict[str, Any]) -> None:
    _print(domain, {f"{metric}:{key}": float(value) for key, value in values.items()})


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    command, *arguments = sys.argv[1:]
    if command == "data":
        print(json.dumps({"data": str(DATA)}))
    else:
        folder, stop = Path(arguments[0]).resolve(), int(arguments[1])
        os.chdir(tempfile.mkdtemp())  # the suite writes into the working folder
        if command == "learn":
            each(arguments[3:], stop, partial(learn, folder, arguments[2]))
        else:
            limits = int(arguments[2]), int(arguments[3])
            each(arguments[4:], stop, partial(judge, folder, *limits))
