"""Jobs in worker processes."""

import warnings

import pytest

from worldplan.parallel import execute


def warn(job: int) -> int:
    warnings.warn(f"the values\nof job {job} are overestimated", stacklevel=1)
    return job


def test_a_warning_in_a_worker_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert sorted(execute(warn, [1, 2], processes=2)) == [1, 2]
    lines = sorted(capfd.readouterr().err.splitlines())
    assert lines == [
        f"worldplan: UserWarning: the values of job {job} are overestimated" for job in (1, 2)
    ]
