"""Datasets that are damaged or hostile: one line that names the file, exit code 2."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.worldplan.hostile_builders import COLUMNS, refused


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000, 4)}"


def test_a_header_of_146_tebibytes(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("x.npz", **COLUMNS)
    with zipfile.ZipFile("x.npz") as old, zipfile.ZipFile("y.npz", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "reward.npy":
                header = HEADER.ljust(117) + "\n"
                data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
            new.writestr(name, data)
    assert "declares the shape" in refused(["data", "describe", "y.npz"], capsys, "y.npz")


@pytest.mark.parametrize(
    "metadata",
    [
        {"env_id": 3},
        {"ref_min_score": "x", "ref_max_score": 3},
        {"ref_min_score": [1], "ref_max_score": {}},
        {"ref_max_score": float("nan")},
        {"ref_min_score": 1e400},
        {"qpos_size": "a"},
        {"qpos_size": -1},
        {"action_low": [None]},
        [1],
        "x",
        None,
    ],
)
@pytest.mark.parametrize("suffix", ["npz", "hdf5"])
def test_metadata_of_mixed_types(
    metadata: object, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps(metadata)
    if suffix == "npz":
        np.savez("x.npz", metadata=np.array(text), **COLUMNS)
    else:
        write_hdf5({}, text)
    refused(["data", "describe", f"x.{suffix}"], capsys, f"x.{suffix}")


def write_hdf5(changes: dict[str, object], metadata: str = "{}") -> None:
    """x.hdf5, whose columns `changes` replaces."""
    columns: dict[str, object] = {
        "observations": COLUMNS["observation"],
        "actions": COLUMNS["action"],
        "rewards": COLUMNS["reward"],
        "next_observations": COLUMNS["next_observation"],
        "terminals": COLUMNS["terminated"],
        "timeouts": COLUMNS["truncated"],
        "metadata/worldplan": metadata,
        **changes,
    }
    with h5py.File("x.hdf5", "w") as file:
        for name, column in columns.items():
            kind = column if isinstance(column, str) else ""
            if kind == "group":
                file.create_group(name)
            elif kind == "huge":
                file.create_dataset(name, (10**13, 2), "f4", chunks=(1000, 2))
            elif kind == "virtual":
                file.create_virtual_dataset(name, h5py.VirtualLayout((2, 1), "f4"))
            else:
                file[name] = column


@pytest.mark.parametrize(
    "column",
    [
        "group",
        "huge",
        "virtual",
        h5py.SoftLink("/nowhere"),
        h5py.ExternalLink("nowhere.h5", "/x"),
        h5py.Empty("f4"),
        np.array([[b"1"], [b"2"]]),
        np.array([[1j], [2j]]),
        np.array([[np.nan], [0]]),
        np.zeros(()),
        np.zeros((3, 1)),
        np.zeros((2, 0)),
        np.zeros((2, 1, 1)),
    ],
    ids=str,
)
def test_columns_of_hdf5(column: object, capsys: pytest.CaptureFixture[str]) -> None:
    write_hdf5({"actions": column})
    refused(["data", "describe", "x.hdf5"], capsys, "x.hdf5")


@pytest.mark.parametrize("value", [2, -1, 0.5, np.nan])
def test_truth_values_are_zero_or_one(value: float, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("x.npz", **{**COLUMNS, "terminated": np.array([0, value])})
    refused(["data", "describe", "x.npz"], capsys, "row 1, column terminated")
