"""MoDem from the command line: the shipped settings, the record of a run, refusals, Ctrl-C,
evaluation with and without pictures.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from benchmarks.modem.study import method_settings
from tests.places import CONFIGS
from worldplan.cli import main
from worldplan.commands.evaluation import modem as modem_evaluation
from worldplan.commands.evaluation.modem import DEMONSTRATIONS
from worldplan.commands.studies.references import RANDOM
from worldplan.planners.modem.training import ModemModule
from worldplan.world_models.latent.settings import LatentSettings

MODEM = CONFIGS / "modem"
OWN_TASKS = sorted(path for path in MODEM.glob("*.yaml") if not path.stem.startswith("metaworld"))
RECORD = ("config.yaml", "seed", "versions.json")
TINY = {
    "latent": {"latent": 8, "hidden": 32, "encoder_hidden": 32, "members": 2},
    "planning": {
        "search": {
            "samples": 16,
            "elites": 4,
            "iterations": 1,
            "horizon": 2,
            "min_std": 0.1,
            "proposals": 1.0,
            "pick": "mean",
        }
    },
    "clone_updates": 20,
    "seed_steps": 100,
    "seed_updates": 10,
    "updates_per_step": 0.05,
    "steps": 300,
    "environments": 2,
    "handover": {"begin": 0, "end": 600},
}


REFERENCES = [RANDOM, DEMONSTRATIONS]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with two demonstrations and fit.yaml, the shipped settings made tiny; every command
    runs there.
    """
    folder = tmp_path_factory.mktemp("work")
    config = yaml.safe_load((MODEM / "planar_push.yaml").read_text())
    config["model"]["init_args"] |= {"settings": TINY, "check_every": 9, "check_episodes": 2}
    config["trainer"] |= {"accelerator": "cpu", "enable_progress_bar": False}
    config["journal"] = {"every": 1}
    (folder / "fit.yaml").write_text(yaml.safe_dump(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder / "minari"))
        patch.setenv("COLUMNS", "150")
        patch.chdir(folder)
        assert (
            main(
                ["data", "collect", "planar_push", "--demonstrator", "scripted", "--episodes", "2"]
            )
            == 0
        )
        yield folder


@pytest.fixture(scope="module")
def run(work: Path) -> Path:
    assert main(["fit", "--config", "fit.yaml", "--trainer.default_root_dir", "chosen"]) == 0
    return work / "chosen"


def record(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in RECORD}


@pytest.mark.parametrize("path", OWN_TASKS, ids=lambda path: path.stem)
def test_shipped_settings_are_valid(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--config", str(path), "--print_config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["trainer"]["default_root_dir"] == f"runs/modem/{path.stem}"
    task = config["model"]["init_args"]["environment"]
    name = path.stem.removesuffix("_pixels").replace("_", "")
    assert task.lower() == f"worldplan.envs.manipulation:worldplan/{name}-v0"
    assert (
        config["model"]["init_args"]["dataset"]
        == f"worldplan/{path.stem.replace('_', '-')}-scripted-v0"
    )


def test_there_are_settings_for_all_tasks() -> None:
    assert {path.stem.removesuffix("_pixels") for path in OWN_TASKS} == {
        "bin_pick",
        "incline_push",
        "planar_push",
        "upright_pivot",
    }


def parsed(*names: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The arguments of the module that the files of these names make together."""
    words = [word for name in names for word in ("--config", str(MODEM / f"{name}.yaml"))]
    assert main(["fit", *words, "--print_config"]) == 0
    return dict(yaml.safe_load(capsys.readouterr().out)["model"]["init_args"])


@pytest.mark.parametrize(("name", "method"), [("v1", "v1"), ("no_demonstrations", "no_demos")])
def test_baselines_are_those_of_the_study(
    name: str, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = parsed("bin_pick", f"methods/{name}", capsys=capsys)
    assert found["settings"] == asdict(method_settings(method, 30_000))
    assert found["dataset"] == (
        None if name == "no_demonstrations" else "worldplan/bin-pick-scripted-v0"
    )


def test_the_shipped_settings_are_those_of_the_study(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed("bin_pick", capsys=capsys)["settings"] == asdict(method_settings("v2", 30_000))


def test_ingredients_of_papers(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the presets, but for what is their size."""
    published, modern = (
        parsed("bin_pick", f"methods/{name}", capsys=capsys)["settings"]
        for name in ("published", "modern")
    )
    assert published["latent"] == asdict(LatentSettings.classic())
    presets = asdict(LatentSettings.modern())
    assert all(
        modern["latent"][name] == presets[name] for name in ("simnorm", "normed_layers", "bins")
    )


def test_settings_for_metaworld(capsys: pytest.CaptureFixture[str]) -> None:
    found = parsed("metaworld_push", capsys=capsys)
    assert found["settings"] == asdict(method_settings("v2", 20_000))
    assert (found["options"], found["dataset"]) == (
        {"task": "push-v3"},
        "worldplan/metaworld-push-v3-scripted-v0",
    )


def test_one_option_moves_the_whole_run(run: Path, work: Path) -> None:
    assert not (work / "runs" / "modem").exists()
    assert {"metrics.csv", "last.ckpt", "episodes", *RECORD} <= {
        entry.name for entry in run.iterdir()
    }
    assert pd.read_csv(run / "metrics.csv")["step"].iloc[-1] == 300


@pytest.mark.parametrize("continued", [False, True])
def test_a_refused_training_leaves_the_record_as_it_was(
    run: Path, continued: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    before = record(run)
    words = [
        "fit",
        "--config",
        "fit.yaml",
        "--trainer.default_root_dir",
        "chosen",
        "--model.init_args.settings.discount",
        "0.9",
    ]
    assert main([*words, *(["--ckpt_path", "chosen/last.ckpt"] if continued else [])]) == 2
    assert "discount was 0.95, is 0.9" in capsys.readouterr().err
    assert main([*words, "--ckpt_path", "absent/last.ckpt"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("worldplan: CheckpointError: --ckpt_path absent/last.ckpt: no such")
    assert record(run) == before


@pytest.mark.parametrize("saved", [False, True])
def test_ctrl_c_tells_how_to_continue(
    work: Path, saved: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = ModemModule.training_step

    def step(self: ModemModule, *arguments: Any) -> None:
        if self.current_epoch == saved:
            raise KeyboardInterrupt
        whole(self, *arguments)

    monkeypatch.setattr(ModemModule, "training_step", step)
    before = signal.getsignal(signal.SIGINT)
    try:
        assert (
            main(["fit", "--config", "fit.yaml", "--trainer.default_root_dir", f"stopped{saved:d}"])
            == 130
        )
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning leaves it without effect
    last = capsys.readouterr().err.splitlines()[-1]
    if saved:
        kept = "stopped1/last.ckpt is kept, the same command continues from it"
        assert last == f"worldplan: interrupted: {kept}"
    else:
        assert (
            last
            == "worldplan: interrupted before anything was saved: the same command begins again"
        )


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (
            "settings.check_episodes=2",
            "there is no setting 'model.init_args.settings.check_episodes' (did you mean "
            "'model.init_args.check_episodes'?)",
        ),
        (
            "settings.handover.finish=2",
            "there is no setting 'model.init_args.settings.handover.finish': see",
        ),
        (
            "check_episodez=2",
            "there is no setting 'model.init_args.check_episodez' (did you mean "
            "'model.init_args.check_episodes'?)",
        ),
        ("settings.steps=many", "model.settings.steps: Expected a <class 'int'>. Got value: many"),
    ],
)
def test_a_wrong_setting_is_named_first(
    work: Path, option: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", "fit.yaml", f"--model.init_args.{option}"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"worldplan: ConfigError: {words}")


def test_a_dataset_of_another_task_is_refused(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--model.init_args.environment=worldplan.envs.manipulation:worldplan/InclinePush-v0"
    assert main(["fit", "--config", "fit.yaml", words]) == 2
    assert (
        "it is of worldplan/PlanarPush-v0, but the task is worldplan/InclinePush-v0"
        in capsys.readouterr().err
    )


# --- evaluation -----------------------------------------------------------------------------------


def changed(
    run: Path,
    name: str,
    change: Callable[[dict[str, Any]], None],
    settings: dict[str, Any] | None = None,
) -> Path:
    """A copy of the run with another checkpoint, and with other settings of the task."""
    copy = run.parent / name
    copy.mkdir(exist_ok=True)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["model"]["init_args"] |= settings or {}
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    state = torch.load(run / "last.ckpt", weights_only=True)
    change(state)
    torch.save(state, copy / "last.ckpt")
    return copy


def test_evaluation_of_planner_behaviour_and_clone(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run), "--episodes", "2"]) == 0
    assert (
        "the planner's share of the acting is 0.50" in capsys.readouterr().out
    )  # 300 of 600 steps
    table = pd.read_csv(run / "evaluation.csv").set_index("policy")
    assert list(table.index) == ["planner", "behaviour", "clone", *REFERENCES]
    assert table.loc[REFERENCES[1], "mean"] == 1 and table.loc[REFERENCES[1], "episodes"] > 0
    assert table.loc[REFERENCES[0], "mean"] <= 1 and table.loc[REFERENCES[0], "episodes"] == 2


def test_a_behaviour_that_is_the_planner_is_not_played_twice(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def later(state: dict[str, Any]) -> None:
        state["progress"]["counts"]["step"] = 600

    copy = changed(run, "later", later)
    assert main(["evaluate", str(copy), "--episodes", "1"]) == 0
    assert (
        "the planner's share of the acting is 1.00, which is the planner alone"
        in capsys.readouterr().out
    )
    assert pd.read_csv(copy / "evaluation.csv")["policy"].tolist() == [
        "planner",
        "clone",
        *REFERENCES,
    ]
    assert main(["evaluate", str(copy), "--episodes", "1", "--policies", "behaviour"]) == 0
    assert pd.read_csv(copy / "evaluation.csv")["policy"].tolist() == ["behaviour", *REFERENCES]


def test_a_run_without_a_clone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def alone(state: dict[str, Any]) -> None:
        state["modem"]["settings"] |= {"clone_updates": 0, "encoder_rate": 1.0}

    copy = changed(run, "alone", alone)
    assert main(["evaluate", str(copy), "--policies", "clone"]) == 2
    reason = "(trained with clone_updates 0, it has no clone): choose from planner"
    assert f"clone is not in this run {reason}" in capsys.readouterr().err
    assert main(["evaluate", str(copy), "--episodes", "1"]) == 0
    assert pd.read_csv(copy / "evaluation.csv")["policy"].tolist() == ["planner", *REFERENCES]


def test_no_pictures_are_told_before_anything_is_played(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disable")
    monkeypatch.setattr(modem_evaluation, "play", None)
    assert main(["evaluate", str(run), "--video"]) == 2
    assert "RenderingUnavailable: MUJOCO_GL=disable forbids rendering" in capsys.readouterr().err


class Plain(gym.Env):
    """One step in which actions up to 4 are asked for; no forces, no rate of pictures."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": None}  # noqa: RUF012
    observation_space = gym.spaces.Box(-np.inf, np.inf, (38,), np.float32)
    action_space = gym.spaces.Box(-4, 4, (5,), np.float32)
    asked: list[float] = []  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, broken: bool = False) -> None:
        self.render_mode, self.broken = render_mode, broken

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.full(38, 0.5, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.asked.append(float(np.abs(action).max()))
        self.steps += 1
        return np.full(38, 0.5, np.float32), 0.0, False, True, {"is_success": True}

    def render(self) -> np.ndarray:
        if self.broken and self.steps:
            raise OSError(28, "No space left on device")
        return np.zeros((16, 16, 3), np.uint8)


gym.register("worldplan_tests/Plain-v0", entry_point=Plain)


PLAIN = "worldplan_tests/Plain-v0"


def in_environment(name: str, options: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        state["modem"]["about"] |= {"environment": name, "options": options}

    return change


def on_plain(run: Path, name: str, **options: Any) -> Path:
    """A copy of the run that was trained in `Plain`, as settings and checkpoint say."""
    task = {"environment": PLAIN, "options": options}
    return changed(run, name, in_environment(PLAIN, options), task)


def test_environments_without_forces_and_frame_rate_and_with_other_limits(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = on_plain(run, "plain")
    Plain.asked.clear()
    assert main(["evaluate", str(copy), "--episodes", "1", "--policies", "planner", "--video"]) == 0
    shown = capsys.readouterr().out
    played, _, filmed = Plain.asked  # the second is of the random policy
    assert filmed == pytest.approx(
        played, abs=1.5
    )  # the same scale; the planner's random stream differs
    assert filmed > 1.01
    assert "succeeds in episode 1" in shown
    row = next(line for line in shown.splitlines() if line.startswith("│ planner"))
    assert [cell.strip() for cell in row.split("│")[-4:-1]] == ["-", "-", "-"]
    table = pd.read_csv(copy / "evaluation.csv")
    assert table[["violations", "saturations", "largest_force"]].isna().all(axis=None)
    assert table["mean"].tolist() == [1.0, 1.0, 1.0]


def test_a_film_that_fails_does_not_lose_the_evaluation(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = on_plain(run, "broken", broken=True)
    assert main(["evaluate", str(copy), "--episodes", "1", "--video"]) == 2
    assert "episode" in capsys.readouterr().err
    assert len(pd.read_csv(copy / "evaluation.csv")) == 3 + len(REFERENCES)
    assert not list((copy / "plots").glob("*"))


# --- a file must not choose which code is run ---

OWN = """
import gymnasium as gym
from pathlib import Path

Path("imported").touch()
gym.register("Own-v0", entry_point="%s:Own")


def adapter(task, **options):
    Path("called").touch()
    return gym.make("Pendulum-v1")
"""


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hostile_one:Own-v0", {}),
        ("hostile_one:adapter/task", {}),
        ("os:system/touch called", {}),
        ("MetaWorld/push-v3", {"python": "./interpreter"}),
        ("GymV26Environment-v0", {"env_id": "x", "make_kwargs": {}}),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_a_checkpoint_chooses_no_code(
    named: bool,
    name: str,
    options: dict[str, Any],
    run: Path,
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither where the settings name no environment, nor where they name another one."""
    (work / "hostile_one.py").write_text(OWN % "hostile_one")
    (work / "interpreter").write_text("#!/bin/sh\ntouch called")
    (work / "interpreter").chmod(0o755)
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.setattr(modem_evaluation, "play", None)
    settings = {} if named else {"environment": None}
    copy = changed(run, "hostile", in_environment(name, options), settings)
    assert main(["evaluate", str(copy), "--episodes", "1"]) == 2
    refusal = "the environment of config.yaml is not" if named else "a file must not choose"
    assert refusal in capsys.readouterr().err
    assert not (work / "imported").exists() and not (work / "called").exists()


def test_a_module_that_the_settings_name_is_imported(
    run: Path, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = OWN.replace("%s:Own", "tests.worldplan.commands.evaluation.test_modem_command:Plain")
    (work / "own_one.py").write_text(text.replace("Own-v0", "OwnOne-v0"))
    monkeypatch.syspath_prepend(str(work))
    name = "own_one:OwnOne-v0"
    copy = changed(run, "named", in_environment(name, {}), {"environment": name, "options": None})
    assert main(["evaluate", str(copy), "--episodes", "1", "--policies", "planner"]) == 0
    assert pd.read_csv(copy / "evaluation.csv")["mean"][0] == 1.0


@pytest.mark.parametrize(
    ("options", "difference"),
    [({"broken": True}, "broken: True in the checkpoint, False in config.yaml"), ({}, "")],
)
def test_settings_of_another_task_than_the_checkpoint_are_named(
    options: dict[str, Any], difference: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = {"environment": PLAIN, "options": {"broken": False}}
    copy = changed(run, "other", in_environment(PLAIN, options), task)
    code = main(["evaluate", str(copy), "--episodes", "1", "--policies", "planner"])
    assert code == (2 if difference else 0) and difference in capsys.readouterr().err
