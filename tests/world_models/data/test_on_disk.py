"""Datasets that stay on disk: read, described and trained on like those in memory."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import worldplan.world_models.data.declared as declared
from tests.places import ROOT
from tests.world_models.data.builders import data as data_command
from tests.world_models.data.builders import make, same
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.offline.task import dataset_task
from worldplan.world_models.data.files import load_transitions, save_npz, save_transitions
from worldplan.world_models.data.on_disk.rows import is_on_disk
from worldplan.world_models.data.transitions import Transitions, concatenate
from worldplan.world_models.ensemble.training import EnsembleModule, EnsembleSettings
from worldplan.world_models.training.trainer import fit

SMALL = EnsembleSettings(2, 1, (16, 16), 1e-2, (0.0,) * 3, batch=32, epochs=3)


def plain_hdf5(data: Transitions, path: Path) -> None:
    """A file as others write it: contiguous, without metadata."""
    with h5py.File(path, "w") as file:
        file["observations"], file["actions"] = data.observation, data.action
        file["rewards"], file["next_observations"] = data.reward, data.next_observation
        file["terminals"], file["timeouts"] = data.terminated, data.truncated


@pytest.fixture
def tiny_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "memory_limit", lambda: 1000)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=2, max_size=6).filter(lambda x: sum(x) > 40),
    seed=st.integers(0, 9),
    states=st.booleans(),
    name=st.text("abcxyz", min_size=1, max_size=9),
)
def test_the_same_data_as_in_memory(
    lengths: list[int], seed: int, states: bool, name: str, tmp_path: Path, tiny_memory: None
) -> None:
    data = make(lengths, seed=seed, states=states, env_id=name)
    for path in (tmp_path / f"{name}.npz", tmp_path / f"{name}.hdf5"):
        if path.suffix == ".npz":
            save_npz(data, path, compress=False)
        else:
            plain_hdf5(data, path)
        back = load_transitions(path)
        assert all(map(is_on_disk, (back.observation, back.action, back.next_observation)))
        assert path.suffix == ".hdf5" or not states or is_on_disk(back.state)
        same(back, make(lengths, seed=seed, states=states and path.suffix == ".npz"))
        for one, other in zip(
            vars(back.statistics()).values(), vars(data.statistics()).values(), strict=True
        ):
            for left, right in zip(numbers(one), numbers(other), strict=True):
                np.testing.assert_array_equal(left, right)
        assert is_on_disk(concatenate([back]).observation)
        path.unlink()


def numbers(value: Any) -> list[Any]:
    return (
        list(vars(value).values()) if hasattr(value, "mean") and hasattr(value, "low") else [value]
    )


def test_large_data_are_written_uncompressed(tmp_path: Path, tiny_memory: None) -> None:
    data = make([40, 50])
    save_transitions(data, "a.npz")
    back = load_transitions("a.npz")
    same(back, data)
    assert is_on_disk(back.state)
    assert data_command(["convert", "a.npz", "b.npz"]) == 0
    same(load_transitions("b.npz"), data)
    assert data_command(["describe", "b.npz"]) == 0
    for target in ("c.hdf5", "own/c-v0"):
        with pytest.raises(DatasetError, match="write it as .npz, which is written part by part"):
            data_command(["convert", "a.npz", target])


def test_what_cannot_stay_on_disk_is_refused(tmp_path: Path, tiny_memory: None) -> None:
    data = make([40, 50])
    save_npz(data, "compressed.npz")
    columns = {name: getattr(data, name) for name in data.__dataclass_fields__}
    del columns["metadata"], columns["cost"]
    np.savez("double.npz", **columns | {"observation": data.observation.astype(np.float64)})
    np.savez("columns.npz", **columns | {"action": np.asfortranarray(data.action)})
    plain_hdf5(data, Path("chunks.hdf5"))
    plain_hdf5(data, Path("missing.hdf5"))
    with h5py.File("chunks.hdf5", "a") as file:
        del file["actions"]
        file.create_dataset("actions", data=data.action, chunks=(10, 2))
    with h5py.File("missing.hdf5", "a") as file:
        del file["next_observations"]
        file["terminals"][:] = False
        file["timeouts"][:] = data.last
    for name, message in {
        "compressed.npz": "array observation is compressed.*--uncompressed",
        "double.npz": "observation is float64, and only float32 is read from disk",
        "columns.npz": "action is stored by columns",
        "chunks.hdf5": "actions is compressed or stored in chunks",
        "missing.hdf5": "has no next_observations and does not fit into memory",
    }.items():
        with pytest.raises(DatasetError, match=f"{name}: .*{message}"):
            load_transitions(name)
    save_npz(make([40], env_id="Pendulum-v1"), "large.npz", compress=False)
    with pytest.raises(DatasetError, match="does not fit into memory, in which policies are"):
        dataset_task("large.npz", true_share=1.0)


def test_uncompressed_is_for_npz(tmp_path: Path) -> None:
    save_npz(make([40]), "a.npz")
    assert data_command(["convert", "a.npz", "b.npz", "--uncompressed"]) == 0
    assert Path("b.npz").stat().st_size > Path("a.npz").stat().st_size
    with pytest.raises(ConfigError, match="--uncompressed goes with a .npz file"):
        data_command(["convert", "a.npz", "b.hdf5", "--uncompressed"])


def test_an_ensemble_is_trained_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows and statistics are those in memory; it is resumed, and learns as well."""
    data = make([60] * 20)
    save_npz(data, "a.npz", compress=False)
    inside = EnsembleModule(load_transitions("a.npz"), SMALL, 3)
    monkeypatch.setattr(declared, "memory_limit", lambda: 1000)
    module = EnsembleModule(load_transitions("a.npz"), SMALL, 3)
    assert module.made_with() == inside.made_with() and not hasattr(module, "train_inputs")
    for name in ("input_mean", "input_scale", "target_mean", "target_scale"):
        torch.testing.assert_close(getattr(module.ensemble, name), getattr(inside.ensemble, name))
    torch.testing.assert_close(module.held_inputs, inside.held_inputs)
    places = torch.arange(len(inside.train_inputs)).view(2, -1)
    for now, then in zip(module._training_rows(places), inside._training_rows(places), strict=True):
        torch.testing.assert_close(now, then)
    drawn = module._bootstrap(torch.arange(960))
    assert drawn.shape == (2, 960) and int(drawn.min()) >= 0 and int(drawn.max()) < 960
    assert all(0.58 < len(row.unique()) / 960 < 0.68 for row in drawn), "1 - 1/e of the rows"
    assert (drawn[0] != drawn[1]).float().mean() > 0.99
    assert fit(module, tmp_path / "run").is_file()
    again = EnsembleModule(load_transitions("a.npz"), SMALL, 3)
    assert fit(again, tmp_path / "run").is_file()


CHILD = """
import resource, sys, numpy as np
limit = int(sys.argv[1])
from worldplan.cli import main
from worldplan.world_models.ensemble.training import EnsembleModule, EnsembleSettings
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.on_disk.rows import is_on_disk
from worldplan.world_models.training.trainer import fit
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
assert main(["data", "describe", "large.npz"]) == 0
data = load_transitions("large.npz")
assert is_on_disk(data.observation)
settings = EnsembleSettings(2, 1, (16, 16), 1e-3, (0.0,) * 3, batch=16384, epochs=1)
fit(EnsembleModule(data, settings, 0), __import__("pathlib").Path("run"))
lines = open("/proc/self/status").read().splitlines()
print(*(line for line in lines if line.startswith(("VmData", "RssAnon", "VmHWM"))))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA bounds the memory here")
def test_a_file_larger_than_the_memory_of_the_process(tmp_path: Path) -> None:
    """1.5 GB of data are described and trained on in a process that may have 1 GB."""
    count, length = 7_000_000, 1000
    shape = {"observation": (count, 24), "next_observation": (count, 24), "action": (count, 2)}
    rng = np.random.default_rng(0)
    block = rng.normal(size=(length + 1, 24)).astype(np.float32)
    arrays: dict[str, Any] = {
        "observation": np.broadcast_to(block[:-1], (count // length, length, 24)),
        "next_observation": np.broadcast_to(block[1:], (count // length, length, 24)),
        "action": np.broadcast_to(block[:-1, :2], (count // length, length, 2)),
    }
    last = np.arange(count) % length == length - 1
    with np.errstate(all="ignore"):
        np.savez(
            "large.npz",
            **{name: array.reshape(shape[name]) for name, array in arrays.items()},
            reward=np.zeros(count, np.float32),
            terminated=np.zeros(count, bool),
            truncated=last,
            episode=np.arange(count) // length,
        )
    size, limit = Path("large.npz").stat().st_size, 1_000_000_000
    assert size > 1.3 * limit
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(limit)],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    kept = {name: int(size) for name, size in re.findall(r"(\w+):\s+(\d+) kB", child.stdout)}
    assert kept["RssAnon"] * 1024 < limit, kept  # the rest of its memory are pages of the file
