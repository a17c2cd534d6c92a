"""Names from before the move into the package `worldplan` are refused with the new ones."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import torch
import yaml

from tests.places import ROOT
from worldplan.cli import main
from worldplan.milp.errors import ConfigError
from worldplan.opening import create_run, open_run
from worldplan.planners.modem.agent import Modem
from worldplan.planners.modem.policy import load_policy, policy_record
from worldplan.planners.modem.settings import ModemSettings
from worldplan.planners.offline.policy import ReachAwarePolicy
from worldplan.renamed import RENAMED, refuse_renamed
from worldplan.runs import list_runs
from worldplan.world_models.latent.settings import LatentSettings

PUSH = "envs.manipulation:worldplan/PlanarPush-v0"
OLD_FIT: dict[str, Any] = {
    "model": {
        "class_path": "planners.modem_training.for_task",
        "init_args": {"environment": PUSH, "dataset": "own/data-v0"},
    },
    "trainer": {"callbacks": [{"class_path": "planners.training_journal.Journal"}]},
}
OLD_STUDY: dict[str, Any] = {
    "name": "old",
    "methods": {"base": {}},
    "data": {"dataset": "a.npz", "environment": "envs.adroit:worldplan/AdroitPen-v0"},
}


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The single line that a command with an old name ends with."""
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "from an older worldplan" in line
    return line


def old_run(root: Path, config: dict[str, Any]) -> Path:
    """A run folder as an older worldplan left it."""
    return create_run(root, "old", config, seed=0).path


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
@pytest.mark.parametrize("form", ["--config {}", "--config={}", "-c {}"])
def test_a_fit_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, form: str
) -> None:
    file = tmp_path / "fit.yaml"
    file.write_text(yaml.safe_dump(OLD_FIT))
    line = refused([command, *form.format(file).split()], capsys)
    new_model = "worldplan.planners.modem.training.for_task"
    assert f"{file}: " in line
    assert f"'planners.modem_training.for_task' in model.class_path is now '{new_model}'" in line
    assert f"'{PUSH}' in model.init_args.environment is now 'worldplan.{PUSH}'" in line
    journal = "'planners.training_journal.Journal' in trainer.callbacks.0.class_path"
    assert f"leave out the callback {journal}" in line


def test_a_file_for_a_part_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(yaml.safe_dump(OLD_FIT["model"]))
    line = refused(["fit", "--model", str(file)], capsys)
    assert "is now 'worldplan.planners.modem.training.for_task'" in line


def test_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(OLD_STUDY))
    line = refused(["run", str(file)], capsys)
    assert "data.environment is now 'worldplan.envs.adroit:worldplan/AdroitPen-v0'" in line


@pytest.mark.parametrize("verb", ["run", "decide", "bound"])
def test_a_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text("checkpoint: planners.sequoia_training.for_programme\n")
    assert "in checkpoint is now" in refused(["bandits", verb, str(file)], capsys)


def test_a_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = old_run(tmp_path, OLD_FIT)
    assert str(folder / "config.yaml") in refused(["evaluate", str(folder)], capsys)


def test_the_report_of_an_old_run_opens_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = old_run(tmp_path, OLD_FIT)
    assert main(["report", str(folder)]) == 0
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "config.yaml: from an older worldplan" in line
    assert "from an older worldplan" in (folder / "report.html").read_text()


def test_an_old_run_does_not_stop_a_new_one_of_its_name(tmp_path: Path) -> None:
    old_run(tmp_path, OLD_STUDY)
    with open_run(tmp_path, "old", {"name": "old"}, 0):
        pass
    assert len(list_runs(tmp_path, "old")) == 2


def test_checkpoints(tmp_path: Path) -> None:
    space = gym.spaces.Box(-1, 1, (3,))
    agent = Modem(space, 2, ModemSettings(latent=LatentSettings(latent=8, hidden=16, members=2)))
    about = {"environment": PUSH}
    file = tmp_path / "last.ckpt"
    torch.save({"modem": policy_record(agent, space, about), "reach_aware": {"about": about}}, file)
    message = f"last.ckpt: .*in environment is now 'worldplan.{PUSH}': train again"
    with pytest.raises(ConfigError, match=message):
        load_policy(file)
    with pytest.raises(ConfigError, match=message):
        ReachAwarePolicy.load_all(file)


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        ("fit --model {}", "planners.reach_aware_training.for_dataset", "planners.offline"),
        ("fit --model.class_path={}", "planners.sequoia_training.for_programme", "bandits.sequoia"),
        ("fit --model.init_args.environment={}", PUSH, "worldplan.envs.manipulation:"),
        ("run study.yaml --data.environment {}", PUSH, "worldplan.envs.manipulation:"),
        ("data collect {} --demonstrator scripted", PUSH, "worldplan.envs.manipulation:"),
        (
            "fit --model.init_args.environment {}",
            "envs.metaworld:worldplan/MetaWorld-v0",
            "'worldplan.envs.isolated.metaworld:worldplan/MetaWorld-v0'",
        ),
        (
            "data collect {} --policy random",
            "envs.swing_up:worldplan/AcrobotSwingUp-v0",
            "'worldplan.envs.swing_up:worldplan/AcrobotSwingUp-v0'",
        ),
    ],
)
def test_words_of_the_command_line(
    capsys: pytest.CaptureFixture[str], command: str, old: str, new: str
) -> None:
    line = refused(command.format(old).split(), capsys)
    assert f"command line: from an older worldplan: '{old}' is now '" in line
    assert new in line


def test_a_callback_that_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    old = "world_models.ensemble_training.KeepEnsemble"
    line = refused(["fit", f"--trainer.callbacks+={old}"], capsys)
    assert f"command line: from an older worldplan: leave out the callback '{old}'" in line


# --- the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_new_names_exist(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=new):
        refuse_renamed({"a": [old + "Name-v0" if old.endswith("/") else old]}, "a.yaml")
    if new.endswith("/"):
        module = new.partition(":")[0]
        import_module(module)
        entries = [str(spec.entry_point) for spec in gym.registry.values()]
        assert any(entry.startswith(module) for entry in entries)
    else:
        module, _, name = new.rpartition(".")
        assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize(
    "text",
    [
        *RENAMED.values(),
        "planners.modem_training.for_task_of_mine",
        "my.planners.modem_training.for_task",
        "planners.mine.for_task",
        "envs.manipulation:mine/PlanarPush-v0",
        "worldplan/PlanarPush-v0",
    ],
)
def test_other_names_pass(text: str) -> None:
    refuse_renamed({"a": {"b": [text, 1, None]}}, "a.yaml")


@pytest.mark.parametrize("file", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda p: p.stem)
def test_our_configurations_hold_no_old_name(file: Path) -> None:
    refuse_renamed(yaml.safe_load(file.read_text(encoding="utf-8")), file)
