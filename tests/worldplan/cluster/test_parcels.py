"""What a job writes comes back from another folder, and paths in its settings follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from worldplan.cluster.parcels import Parcel, changes, deliver, pack, unpack
from worldplan.cluster.places import moved
from worldplan.milp.errors import ConfigError


@dataclass(frozen=True)
class Job:
    folder: Path
    settings: dict[str, object]

    @property
    def files(self) -> tuple[Path, ...]:
        return self.folder / "checkpoints" / "a", self.folder / "jobs" / "a.csv"


def test_files_travel_there_and_back(tmp_path: Path) -> None:
    job = Job(tmp_path / "run", {})
    saved = job.files[0] / "old.ckpt"
    saved.parent.mkdir(parents=True)
    saved.write_bytes(b"old")
    (tmp_path / "run" / "other.csv").write_text("of another job")
    there = tmp_path / "there"
    before = pack(job)
    unpack(before, there)
    assert [file.name for file in there.rglob("*.*")] == ["old.ckpt"]
    (there / "checkpoints" / "a" / "old.ckpt").unlink()
    (there / "checkpoints" / "a" / "new.ckpt").write_bytes(b"\0new")
    (there / "jobs").mkdir()
    (there / "jobs" / "a.csv").write_text("result")
    (there / "jobs" / ".a.draft.csv").write_text("half")
    deliver(changes(before, there), job)
    assert not saved.exists()
    assert (job.files[0] / "new.ckpt").read_bytes() == b"\0new"
    assert job.files[1].read_text() == "result"
    assert not list((tmp_path / "run").rglob(".*"))


def test_the_result_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    target = "worldplan.cluster.parcels.replace_file"
    monkeypatch.setattr(target, lambda path, write: order.append(path.name))
    parcel = Parcel({"jobs/a.csv": b"", "checkpoints/a/z.ckpt": b"", "zzz": b""})
    deliver(parcel, Job(tmp_path, {}))
    assert order == ["zzz", "z.ckpt", "a.csv"]


def test_a_deleted_run_folder_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="deleted or moved"):
        deliver(Parcel({"jobs/a.csv": b""}), Job(tmp_path / "gone", {}))


def test_paths_of_carried_files_follow() -> None:
    settings = {"rules": "/home/ann/rules.py:build", "name": "/home", "seeds": [1, "x.csv"]}
    job = Job(Path("/home/ann/run"), settings)
    there = moved(job, Path("/tmp/w"), {"/home/ann/rules.py", "/home/ann/run"})
    assert there.folder == Path("/tmp/w/home/ann/run")
    assert there.settings == {**settings, "rules": "/tmp/w/home/ann/rules.py:build"}
    assert job.settings is settings and settings["rules"] == "/home/ann/rules.py:build"
