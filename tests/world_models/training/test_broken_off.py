"""A training that is killed, interrupted or meets a full disk at any write resumes to the result of
an unbroken one by the same command.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worldplan.commands.test_fit import assert_equal_trainings
from worldplan.cli import main

DESCENT = "tests.world_models.training.test_trainer.Descent"
SHUFFLED = "tests.worldplan.commands.test_fit.Shuffled"
EPOCHS = 3
WRITES = 3 + 2 * EPOCHS + 2  # record, metrics and state of each epoch, plot and end; Shuffled


def command(model: str, folder: Path, *more: str) -> list[str]:
    words = ["--trainer.enable_progress_bar=false", f"--trainer.max_epochs={EPOCHS}"]
    return ["fit", "--model", model, "--trainer.default_root_dir", str(folder), *words, *more]


def at_write(number: int, after: bool, act: Callable[[], object]) -> Callable[..., None]:
    """`os.replace` that acts before or after its call of this number, and only then."""
    whole, calls = os.replace, list[Any]()

    def replace(source: Any, target: Any) -> None:
        calls.append(target)
        due = len(calls) == number
        if due and not after:
            act()
        whole(source, target)
        if due and after:
            act()

    return replace


def killed(words: list[str], number: int, after: bool) -> bool:
    """Run `worldplan` in a process that is killed at a write; whether there was such a write."""

    def run() -> None:
        torch.set_num_threads(1)  # threads do not survive a fork
        kill = at_write(number, after, lambda: os.kill(os.getpid(), signal.SIGKILL))
        os.replace = kill  # type: ignore[assignment]
        os._exit(main(words))

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


@pytest.fixture(scope="module", params=[DESCENT, SHUFFLED], ids=["kit", "plain"])
def unbroken(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert main(command(request.param, folder)) == 0
    return request.param, folder


def places(first: tuple[int, ...]) -> list[Any]:
    """Numbers of writes; but for the first ones, slow."""
    numbers = range(1, WRITES + 1)
    return [
        pytest.param(number, marks=() if number in first else pytest.mark.slow)
        for number in numbers
    ]


@pytest.mark.parametrize("number", places((5, 9)))
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_a_write(
    unbroken: tuple[str, Path], tmp_path: Path, number: int, after: bool
) -> None:
    model, whole = unbroken
    words = command(model, tmp_path / "run")
    assert killed(words, number, after)
    assert main(words) == 0
    assert_equal_trainings(whole, tmp_path / "run")
    assert {path.name for path in whole.iterdir()} == {
        path.name for path in (tmp_path / "run").iterdir()
    }


@pytest.mark.parametrize("number", places((2, 7, 11)))
def test_interrupted_at_a_write(
    unbroken: tuple[str, Path],
    tmp_path: Path,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, whole = unbroken
    words = command(model, tmp_path / "run")
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "replace", at_write(number, False, lambda: os.kill(os.getpid(), signal.SIGINT))
        )
        assert main(words) == 130
    assert signal.getsignal(signal.SIGINT) is handler
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "the same command" in lines[0]
    assert ("is kept" in lines[0]) == (tmp_path / "run" / "last.ckpt").exists()
    assert main(words) == 0
    assert_equal_trainings(whole, tmp_path / "run")


def test_ctrl_c_of_a_fresh_training_says_to_leave_fresh_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(DESCENT, tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt = at_write(9, False, lambda: os.kill(os.getpid(), signal.SIGINT))
        patch.setattr(os, "replace", interrupt)
        assert main([*words, "--fresh"]) == 130
    assert "the same command without --fresh continues" in capsys.readouterr().err


@pytest.mark.parametrize("number", places((1, 6, 10)))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_no_more(
    unbroken: tuple[str, Path],
    tmp_path: Path,
    number: int,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise OSError(code, os.strerror(code))

    model, whole = unbroken
    words = command(model, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", at_write(number, False, fail))
        assert main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and os.strerror(code) in lines[0] and str(tmp_path) in lines[0]
    assert main(words) == 0
    assert_equal_trainings(whole, tmp_path / "run")
