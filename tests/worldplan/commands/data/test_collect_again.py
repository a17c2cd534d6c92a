"""`worldplan data collect` given again: finished, longer, with other settings, fresh, interrupted,
on a full disk, twice at once.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest

from worldplan.cli import main
from worldplan.world_models.collection import collect as collection
from worldplan.world_models.collection import rollouts
from worldplan.world_models.data.drafts import DRAFTS, Place
from worldplan.world_models.data.files import load_transitions, place_of
from worldplan.world_models.data.transitions import ARRAYS

OUTPUTS = ("a.npz", "deep/a.hdf5", "own/space/a-v0")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rollouts, "PART", 12)


def collect(*options: str, steps: int = 60, output: str = "a.npz", env: str = "Hopper-v5") -> int:
    fixed = ["--policy", "random", "--steps", str(steps), "--output", output]
    return main(["data", "collect", env, *fixed, *options])


def demonstrate(*options: str, episodes: int = 2) -> int:
    fixed = ["--demonstrator", "scripted", "--episodes", str(episodes)]
    return main(["data", "collect", "planar_push", *fixed, *options])


def content(output: str) -> dict[str, Any]:
    data = load_transitions(output)
    arrays = {name: getattr(data, name) for name in ARRAYS}
    return {name: None if array is None else array.tobytes() for name, array in arrays.items()} | {
        "metadata": dict(data.metadata)
    }


def error(capsys: Capture) -> str:
    """The one line on stderr, without progress bars and notes."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("worldplan:")]
    assert len(lines) == 1, lines
    return lines[0]


def left_over() -> list[Path]:
    return [path for path in Path().rglob(".*") if path.name != ".lock"]


@pytest.mark.parametrize("output", OUTPUTS)
def test_given_again_longer_and_with_other_settings(output: str, capsys: Capture) -> None:
    assert collect(output=output) == 0
    first = content(output)
    capsys.readouterr()
    assert collect(output=output) == 0
    assert f"finished already: {output}" in capsys.readouterr().out
    assert content(output) == first
    for options, change in (
        (["--seed", "1"], "seed was 0 and is 1"),
        (["--evaluate-every", "7", "--reference", "3"], "reference was None and is 3.0"),
    ):
        assert collect(*options, output=output) == 2
        assert re.search(
            f"{re.escape(output)}: collected with other settings: {change}: choose another "
            "--output, or --fresh",
            error(capsys),
        )
    assert collect(output=output, env="Swimmer-v5") == 2
    assert "env was Hopper-v5 and is Swimmer-v5" in error(capsys)
    assert collect(output=output, steps=50) == 2
    assert "steps was 60 and is 50" in error(capsys)
    assert content(output) == first and not left_over()
    assert collect(output=output, steps=90) == 0
    assert collect(output="whole.npz", steps=90, env="Hopper-v5") == 0
    assert content(output) == content("whole.npz")


@pytest.mark.parametrize("output", OUTPUTS)
def test_fresh_renames_the_old(output: str, caplog: pytest.LogCaptureFixture) -> None:
    assert collect(output=output) == 0
    first = content(output)
    for seed in ("1", "2"):  # in the same second: the clock may stand still, or go back
        assert collect("--seed", seed, "--fresh", output=output) == 0
    renamed = re.findall(rf"{re.escape(output)}: renamed to (\S+)", caplog.text)
    assert len(set(renamed)) == 2 and content(renamed[0]) == first
    assert content(renamed[1])["metadata"]["seed"] == 1
    assert content(output)["metadata"]["seed"] == 2
    if output == OUTPUTS[-1]:
        assert set(minari.list_local_datasets()) == {output, *renamed}
    assert collect("--fresh", "--seed", "2", output=output) == 0  # the same settings too
    assert len(list(Path("runs/data").glob("Hopper-v5-random-seed2-before-*"))) == 1


def test_demonstrations_given_again(capsys: Capture) -> None:
    name = "worldplan/planar-push-scripted-v0"
    assert demonstrate() == 0 and demonstrate() == 0
    assert f"finished already: {name}" in capsys.readouterr().out
    assert demonstrate("--noise", "0.2") == 2
    assert "noise was 0.05 and is 0.2: choose another --output, or --fresh" in error(capsys)
    assert demonstrate(episodes=3) == 0
    assert demonstrate("--fresh", "--folder", "other", "--noise", "0.2") == 0
    (old,) = set(minari.list_local_datasets()) - {name}
    assert minari.load_dataset(old).total_episodes == 3


def test_what_is_there_is_not_of_a_collection(capsys: Capture) -> None:
    assert collect(output="b.npz") == 0
    assert main(["data", "convert", "b.npz", "b.npz", "a.npz"]) == 0
    assert collect() == 2
    assert "a.npz exists already, and does not record how it was collected" in error(capsys)
    Path("a.npz").write_bytes(Path("a.npz").read_bytes()[:100])
    assert collect() == 2
    assert "cut off, damaged or no dataset" in error(capsys)
    assert collect("--fresh") == 0
    assert content("a.npz") == content("b.npz") | {"metadata": content("a.npz")["metadata"]}


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may be larger than `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("size", [0, 100, 1_000, 3_000, 9_000])
def test_full_disk(output: str, size: int, capsys: Capture) -> None:
    with full_disk(size):
        assert collect(output=output) == 2
    assert "check the disk" in error(capsys) and not left_over()
    assert collect(output=output) == 0
    assert collect("--folder", "other", output="whole.npz") == 0
    assert content(output) == content("whole.npz")


def test_full_disk_for_demonstrations(capsys: Capture) -> None:
    for size in (0, 1_000, 20_000, 40_000):
        with full_disk(size):
            assert demonstrate() == 2
        assert "check the disk" in error(capsys)
        assert not left_over() and not minari.list_local_datasets()
    assert demonstrate() == 0


def stopping(record: Callable[..., Any], steps: int) -> Callable[..., Any]:
    """The function, interrupted in the call of its progress function of this number."""

    def interrupted(*arguments: Any, **_: Any) -> Any:
        left = iter(range(steps - 1))

        def progress(*_: Any) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt

        return record(*arguments[:3], progress=progress)

    return interrupted


@pytest.mark.parametrize("output", OUTPUTS)
def test_interrupted_anywhere(
    output: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    usual = collection.record_rollout
    draw = np.random.default_rng(len(output))
    for steps in draw.integers(1, 15, size=4).tolist():
        with monkeypatch.context() as patched:
            patched.setattr(collection, "record_rollout", stopping(usual, steps))
            assert collect(output=output) == 130
    with monkeypatch.context() as patched:
        patched.setattr(Place, "publish", stopping(lambda *_, progress: progress(), 1))
        capsys.readouterr()
        assert collect(output=output) == 130
    text = error(capsys)
    assert "finished parts are kept in runs/data/Hopper-v5-random-seed0: repeat the" in text
    assert not left_over()
    assert collect(output=output) == 0
    assert collect("--folder", "other", output="whole.npz") == 0
    assert content(output) == content("whole.npz")


def test_one_process_at_a_time(capsys: Capture) -> None:
    output = OUTPUTS[-1]
    with place_of(output):
        assert collect(output=output) == 2
    text = error(capsys)
    assert f"FolderInUse: {output}: another process makes it (" in text
    assert text.endswith("wait for its end, or choose another name")
    assert not left_over()


def test_drafts_of_killed_processes_are_swept() -> None:
    for drafts in (Path(DRAFTS), Path("minari", DRAFTS)):
        for name in ("a.npz", "own+space+a-v0", "other"):
            (drafts / name / "half").mkdir(parents=True)
            (drafts / name / "draft.npz").write_text("half")
    for output in OUTPUTS:
        assert collect(output=output) == 0
    assert not left_over()
