"""Writing a dataset that does not fit on the disk: one line, nothing left, and the name stays free.

A limit of the size of files stands for the full disk: writes fail at the same places.
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.world_models.data.builders import data as data_command
from tests.world_models.data.builders import make, same
from worldplan.milp.errors import WorldplanError
from worldplan.world_models.data.files import load_transitions, save_npz


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("target", ["a.npz", "a.hdf5", "own/full/x-v0"])
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(share=st.floats(0, 0.99))
def test_a_dataset_that_does_not_fit(target: str, share: float, tmp_path: Path) -> None:
    source = tmp_path / "source" / "source.npz"
    if not source.exists():
        save_npz(make([20] * 20), source)
        data_command(["convert", str(source), "minari:own/full/x-v1"])
        data_command(["convert", str(source), "whole.hdf5"])
    whole = {
        "a.npz": source,
        "a.hdf5": tmp_path / "whole.hdf5",
        "own/full/x-v0": tmp_path / "minari/own/full/x-v1/data/main_data.hdf5",
    }[target]
    before = sorted(tmp_path.rglob("*"))
    with files_of_at_most(int(share * whole.stat().st_size)):
        code = pytest.raises(
            (WorldplanError, OSError), data_command, ["convert", str(source), target]
        )
    assert "File too large" in str(code.value) and target in str(code.value)
    assert sorted(tmp_path.rglob("*")) == before
    # HDF5 would crash the process here, had it seen the error
    assert data_command(["convert", str(source), target]) == 0
    same(load_transitions(target), load_transitions(source))
    place = tmp_path / ("minari/" * ("/" in target) + target)
    shutil.rmtree(place) if place.is_dir() else place.unlink()
