"""What a job writes comes back from another folder, and paths in its settings follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from worldplan.cluster.luggage import folder_variables
from worldplan.cluster.mailbox import Mailbox
from worldplan.cluster.parcels import Parcel, Snapshots, changes, deliver, merged, pack, unpack
from worldplan.cluster.places import moved
from worldplan.files import files_and_data
from worldplan.milp.errors import ConfigError
from worldplan.world_models.data.files import files_of


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


def test_snapshots_have_what_changed_since_the_last_one(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("0")
    snapshots = Snapshots(tmp_path)
    assert snapshots.next() is None
    (tmp_path / "a").write_text("1")
    (tmp_path / ".draft").write_text("half")
    assert snapshots.next() == Parcel({"a": b"1"})
    (tmp_path / "b").write_text("2")
    (tmp_path / "a").unlink()
    assert snapshots.next() == Parcel({"b": b"2"}, ("a",))
    assert snapshots.next() is None and snapshots.names == {"a", "b"}


def test_parcels_in_a_mailbox_are_joined() -> None:
    mailbox = Mailbox()
    mailbox.begin(7)
    mailbox.save(7, Parcel({"a": b"1", "b": b"1"}))
    mailbox.save(7, Parcel({"b": b"2"}, ("a",)))
    mailbox.save(7, Parcel({"c": b"3"}))
    assert mailbox.take() == ([7], {7: Parcel({"b": b"2", "c": b"3"}, ("a",))})
    assert mailbox.take() == ([], {})
    assert merged(Parcel({}, ("a",)), Parcel({"a": b"1"})) == Parcel({"a": b"1"})


def test_a_repeated_job_gets_what_it_handed_over(tmp_path: Path) -> None:
    """Also files that its job does not name, such as the folder of a new trial; those that it has
    deleted since are deleted.
    """
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "0003").write_text("state")
    job = Job(tmp_path, {})
    before = pack(job, ["trials/0003", "trials/gone"])
    assert before == Parcel({"trials/0003": b"state"})
    there = tmp_path / "there"
    there.mkdir()
    assert changes(before, there, ["more"]).gone == ("trials/0003", "more")


def test_a_file_that_is_again_as_at_first_is_sent_again(tmp_path: Path) -> None:
    before, flag = Parcel({"flag": b"1"}), tmp_path / "flag"
    unpack(before, tmp_path)
    snapshots = Snapshots(tmp_path)
    flag.unlink()
    assert snapshots.next() == Parcel({}, ("flag",))
    flag.write_text("1")
    assert changes(before, tmp_path, snapshots.names) == before


def test_a_minari_dataset_travels_with_the_variable_that_names_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the files of its namespace do; without such files, the variable of the machine counts."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    files = ("own/namespace_metadata.json", "own/a-v0/data/main_data.hdf5", "own/b-v0/data/x")
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    carried = files_of("minari:own/a-v0")
    assert sorted(carried) == [tmp_path / files[1], tmp_path / files[0]]
    assert files_of("own/a-v0") == carried and files_of("a.npz") == [Path("a.npz")]
    named = tmp_path / files[2]
    settings = {"method": {"weights": str(named)}}
    assert list(files_and_data(settings, None, "own/a-v0")) == [named, *carried]
    assert folder_variables(carried) == {"MINARI_DATASETS_PATH": str(tmp_path)}
    assert folder_variables([tmp_path.parent / "a.npz"]) == {}
