"""The progress bar of trainings: what is trained, how much is done, no counters of Lightning."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from tests.world_models.training.test_trainer import Descent, config
from worldplan.cli import main
from worldplan.world_models.training import fit
from worldplan.world_models.training.bar import spoken


class Terminal(io.TextIOWrapper):
    """A terminal's stderr."""

    def isatty(self) -> bool:
        return True


class Kept(io.BytesIO):
    """Can be read after the streams of the command were closed."""

    def close(self) -> None:
        pass


def terminal(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What is written to a terminal. No fixture: pytest sets stderr anew before the test."""
    buffer = Kept()
    monkeypatch.setattr("sys.stderr", Terminal(buffer, encoding="utf-8", write_through=True))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    return buffer


def lines(buffer: io.BytesIO) -> list[str]:
    if not sys.stderr.closed:
        sys.stderr.flush()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", buffer.getvalue().decode())
    return [line.strip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


@pytest.mark.parametrize("options", [[], ["--trainer.max_epochs=2"]])
def test_the_bar_of_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    file = config(tmp_path, trainer={"enable_progress_bar": True})
    buffer = terminal(monkeypatch)
    assert main(["fit", "--config", file, *options]) == 0
    total, shown = 2 if options else 3, lines(buffer)
    assert shown[0].startswith("training Descent")
    assert f"{total} of {total} epochs" in shown[-1] and "left:" in shown[-1]
    assert max(map(len, shown)) <= 100
    text = "\n".join(shown)
    for word in ("Epoch", "it/s", "v_num", "max_epochs", "litlogger", "Tip"):
        assert word not in text


def test_the_bar_of_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = terminal(monkeypatch)
    fit(Descent(3), tmp_path / "run", progress=True)
    assert "3 of 3 epochs" in lines(buffer)[-1]


def test_no_bar_in_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fit(Descent(3), tmp_path / "run", progress=True)
    assert capfd.readouterr() == ("", "")


def test_a_bar_of_ones_own_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bar = {"class_path": "lightning.pytorch.callbacks.TQDMProgressBar"}
    file = config(tmp_path, trainer={"enable_progress_bar": True, "callbacks": [bar]})
    buffer = terminal(monkeypatch)
    assert main(["fit", "--config", file]) == 0
    assert not any("training Descent" in line for line in lines(buffer))


def test_names_of_classes_in_words() -> None:
    class ReachAwareModule(Descent):
        pass

    class LEQModule(Descent):
        pass

    assert spoken(ReachAwareModule(1)) == "Reach Aware" and spoken(LEQModule(1)) == "LEQ"
