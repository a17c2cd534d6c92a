"""A small fuzz campaign: mutants of every kind of file end in one line or in a consistent answer.

Thousands of inputs: `python -m benchmarks.fuzz --inputs 3000`.
"""

from __future__ import annotations

import sys

import psutil
import pytest

from worldplan.cli import main

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks the process of the tests")
INPUTS, SEED = 120, 1
MEGABYTES = 1000  # beyond what the process of the tests holds, which a forked child shares


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory):
    from benchmarks.fuzz.campaign import Bench
    from benchmarks.fuzz.server import import_all

    import_all()
    return Bench(tmp_path_factory.mktemp("fuzz"), main, slow=False)


@pytest.mark.parametrize("part", range(4))
def test_mutants_end_in_one_line(bench, part: int) -> None:
    kinds = bench.kinds
    most = MEGABYTES + psutil.Process().memory_info().rss / 2**20
    for number in range(part, INPUTS, 4):
        result = bench.mutant(kinds[number % len(kinds)], 1000 * SEED + number)
        assert result.verdict in ("refused", "right"), result
        assert result.megabytes < most, result


@pytest.mark.slow
def test_valid_files_are_accepted_in_every_spelling(bench) -> None:
    assert list(bench.check_valid()) == []
