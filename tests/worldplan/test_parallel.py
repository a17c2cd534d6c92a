"""Jobs in worker processes."""

import os
import subprocess
import sys

from tests.places import ROOT

PROGRAM = r"""
import warnings
from worldplan.parallel import execute

def warn(job):
    warnings.warn(f"the values\nof job {job} are overestimated", stacklevel=1)
    return job

assert sorted(execute(warn, [1, 2], processes=2)) == [1, 2]
"""


def test_a_warning_in_a_worker_is_one_line() -> None:
    """In a program of its own: workers that are there already write to the stderr of then."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert sorted(done.stderr.splitlines()) == [
        f"worldplan: UserWarning: the values of job {job} are overestimated" for job in (1, 2)
    ]


LEFT = r"""
from joblib.externals.loky.backend import resource_tracker
from worldplan.parallel import execute

assert sorted(execute(abs, [1, -2], processes=2)) == [1, 2]
resource_tracker.register("/loky-nothing-of-this-name", "semlock")
"""


def test_what_a_killed_process_left_is_removed_without_a_word() -> None:
    """The process that removes it ends after the program and shares its stderr."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LEFT], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
