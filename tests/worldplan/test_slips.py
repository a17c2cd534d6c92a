"""Slips as people make them: exit code 2, one line on stderr, a remedy, nothing written.

Those that need the nearest name are in test_help.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worldplan.commands.overview.builders import make_run, policy
from tests.worldplan.refusals import refused

CLINIC = "configs/bandits/clinic.yaml"
TODAY = "configs/bandits/example_log/today.csv"
FILES = {
    "type.yaml": "programme: {domain: capacity, arms: many}",
    "list.yaml": "programme: [1]",
    "zero.yaml": "programme: {domain: capacity}\nepisodes: 0",
    "seeds.yaml": "programme: {domain: capacity}\nseeds: one",
    "slash.yaml": "name: a/b\nprogramme: {domain: capacity}",
    "bad.yaml": "a: b: c",
    "empty.yaml": "",
    "short.csv": "arm,state\nAmina,0\n",
    "semicolon.csv": "client;state\nAmina;0\n",
    "text.csv": "arm,state\nAmina,well\n",
}
SLIPS = [
    # commands and options
    ("decide {clinic}", "did you mean 'bandits decide'?"),
    ("fit {clinic}", "worldplan fit --config"),
    ("fit", "worldplan fit --config FILE.yaml"),
    ("fit --config {clinic}", "this command reads a training: worldplan bandits run"),
    ("fit -c={clinic}", "this command reads a training: worldplan bandits run"),
    ("fit --model worldplan.__version__.x", "there is no 'worldplan.__version__.x'"),
    ("fit --config configs/sequoia/capacity.yaml --trainer.max_epoch 3", "trainer.max_epoch"),
    ("run", "worldplan run FILE.yaml"),
    ("tune", "worldplan tune FILE.yaml"),
    ("--bandits", "worldplan --help"),
    ("bandits", "worldplan bandits --help"),
    ("doctor now", "worldplan doctor --help"),
    ("runs --sort size", "date"),
    ("bandits run {clinic} --jobs -1", "0 for one per core"),
    ("bandits run {clinic} --seeds 0..x", "a range such as 0..4"),
    ("bandits decide {clinic} --state", "expected one argument"),
    ("bandits decide {clinic}", "give a CSV with the columns arm, state"),
    # types of settings
    ("bandits bound type.yaml", "programme.arms"),
    ("bandits bound list.yaml", "'name: value' lines"),
    ("bandits run zero.yaml", "at least 1"),
    ("bandits run seeds.yaml", "a range such as 0..4"),
    ("bandits run slash.yaml", "use letters, digits"),
    # files that are not what they should be
    ("bandits run bad.yaml", "line 1, column 5"),
    ("bandits run empty.yaml", "holds nothing"),
    ("bandits run picture.yaml", "save it in UTF-8"),
    ("bandits run folder", "give a file"),
    ("bandits run none.yaml", "check the path"),
    ("bandits decide {clinic} --state short.csv", "arm 'Bruno' has no row: add"),
    (
        "bandits decide {clinic} --state semicolon.csv",
        "separated by ';': save the file with commas",
    ),
    ("bandits decide {clinic} --state text.csv", "text.csv, line 2"),
    ("bandits decide {clinic} --state none.csv", "check the path"),
    ("bandits decide {clinic} --state folder", "give a file"),
    # run folders
    ("report folder", "give a folder like runs/<name>/<time>"),
    ("evaluate none", "give a folder like runs/<name>/<time>"),
    ("report run --output folder", "folder"),
    ("report run --output run/summary.csv", "choose another name"),
    ("report", "worldplan report --help"),
    ("runs none", "give the folder of run folders"),
    ("compare run", "worldplan report run"),
    ("compare run run", "give different run folders"),
    ("examples short.csv", "give a folder to copy the examples to"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the slips name."""
    place = tmp_path_factory.mktemp("slips")
    for name, text in FILES.items():
        (place / name).write_text(text, encoding="utf-8")
    (place / "picture.yaml").write_bytes(b"\x89PNG\r\n")
    (place / "folder").mkdir()
    make_run(place / "run", "bandits", summary=[policy("fluid", 1.0)])
    return place


@pytest.mark.parametrize(("words", "remedy"), SLIPS)
def test_a_slip_is_one_line_with_a_remedy(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    remedy: str,
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    assert remedy in refused(words.format(clinic=CLINIC).split(), capsys)
    assert [path for path in sorted(folder.rglob("*")) if path.name != ".lock"] == [
        path for path in before if path.name != ".lock"
    ], "nothing is written"
