"""Every misspelt option, setting, choice and class gets the nearest name, in every command."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.worldplan.refusals import refused
from worldplan.cli import COMMANDS
from worldplan.nearest import closest_of
from worldplan.shipped import PACKAGE
from worldplan.short_help import stored_help

TRAINING = "configs/sequoia/capacity.yaml"
STUDY = "configs/ravl/edge_of_reach.yaml"
MODULE = "worldplan.planners.bandits.sequoia.training"
ENSEMBLE = "worldplan.world_models.ensemble"
FIRST = {
    "run": [STUDY],
    "tune": ["configs/ravl/tune_plane.yaml"],
    **dict.fromkeys(("fit", "validate", "test"), ["--config", TRAINING]),
}
COMMAND_LINES = [
    ("bandits run {clinic} --engine rya", "'ray'"),
    ("bandits run {clinic} --solver higs", "'highs'"),
    ("data collect Pendulum-v1 --polcy random", "'policy'"),
    ("data collect Pendulum-v1 --policy randm", "'random'"),
    ("evaluate r --checkpoint bst", "'best'"),
    ("runs --sort knid", "'kind'"),
    ("run {study} --methods bse", "'base'"),
    ("tune configs/ravl/tune_plane.yaml --pruner mdian", "'median'"),
    ("fit --confg x.yaml", "'config'"),
    ("fit --config {training} --frsh", "'fresh'"),
    ("fit --config {training} --trainer.max_epoch 3", "'trainer.max_epochs'"),
    ("fit --config {training} --trainr.max_epochs 3", "'trainer'"),
    ("fit --config {training} --journal.evry 3", "'journal.every'"),
    ("fit --config {training} --model.init_args.sede 3", "'model.init_args.seed'"),
    ("fit --config {training} --model.programe.arms 3", "'model.programme'"),
    ("validate --config {training} --model.sede 3", "'model.seed'"),
    (f"fit --config {{training}} --model {MODULE}.SequoiaModul", f"'{MODULE}.SequoiaModule'"),
    (f"fit --model {ENSEMBLE}.EnsembleModul", f"'{ENSEMBLE}.EnsembleModule'"),  # of the face
]


@pytest.mark.parametrize(("words", "near"), COMMAND_LINES)
def test_a_misspelt_word_gets_the_nearest(
    words: str,
    near: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    line = words.format(clinic="configs/bandits/clinic.yaml", study=STUDY, training=TRAINING)
    assert f"(did you mean {near}?)" in refused(line.split(), capsys)


def _rename(old: str, new: str) -> Any:
    def change(settings: dict[str, Any]) -> None:
        *path, last = old.split(".")
        for key in path:
            settings = settings[key]
        settings[new] = settings.pop(last)

    return change


def _class(new: str) -> Any:
    return lambda settings: settings["model"].update(class_path=new)


@pytest.mark.parametrize(
    ("change", "near"),
    [
        (_rename("model", "modle"), "'model'"),
        (_rename("trainer", "trainr"), "'trainer'"),
        (_rename("seed_everything", "seed_everythin"), "'seed_everything'"),
        (_rename("model.class_path", "clas_path"), "'model.class_path'"),
        (_rename("model.init_args", "init_arg"), "'model.init_args'"),
        (_rename("model.init_args.programme", "program"), "'model.init_args.programme'"),
        (_rename("model.init_args.programme.arms", "amrs"), "'model.init_args.programme.arms'"),
        (_class("worldpln.planners"), "'worldplan'"),
        (_class("worldplan.planers.bandits"), "'worldplan.planners'"),
        (_class(f"{MODULE}.for_programm"), f"'{MODULE}.for_programme'"),
    ],
)
def test_a_misspelt_name_in_the_file_of_a_training_gets_the_nearest(
    change: Any,
    near: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = yaml.safe_load((PACKAGE / TRAINING).read_text())
    change(settings)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(settings))
    assert f"did you mean {near}?" in refused(["fit", "--config", f"{tmp_path}/own.yaml"], capsys)


def _misspelt(name: str, draw: random.Random) -> str:
    """The name with one letter left out, doubled or exchanged with the next."""
    place = draw.randrange(1, len(name) - 1)
    return draw.choice(
        [
            name[:place] + name[place + 1 :],
            name[:place] + name[place] + name[place:],
            name[:place] + name[place + 1] + name[place] + name[place + 2 :],
        ]
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_drawn_misspellings_of_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    draw, texts = random.Random(command), stored_help(command)
    assert texts is not None
    flags = [flag for names, _ in texts.options for flag in re.findall(r"--([\w-]+)", names)]
    known = [name for name in flags if name not in ("help", "help-all", "print_config")]
    for name in draw.sample(known, min(3, len(known))):
        wrong = _misspelt(name, draw) if len(name) > 3 else f"{name}x"
        if wrong in flags or closest_of(wrong, flags) != name:
            continue
        words = [*command.split(), *FIRST.get(command, ()), f"--{wrong}=1"]
        text = refused([*words, *("x" for _ in texts.arguments)], capsys)
        assert f"did you mean '{name}'?" in text, (words, text)
