"""The long commands at sizes at which each takes seconds."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
_CONFIGS = ROOT / "configs"


@dataclass(frozen=True)
class Case:
    """A command.

    Args:
        name: for the table.
        words: of the command, after `worldplan`.
        before: commands that make its input.
        files: the input: name -> text, or YAML settings.
        prepare: writes further input files into the folder.
    """

    name: str
    words: str
    before: tuple[str, ...] = ()
    files: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Path], None] = lambda folder: None

    def write_files(self, folder: Path) -> None:
        """Write the input files into a folder."""
        for name, content in self.files.items():
            text = content if isinstance(content, str) else yaml.safe_dump(content)
            (folder / name).write_text(text, encoding="utf-8")
        self.prepare(folder)


def _fit(config: str, arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """A shipped configuration of `worldplan fit` with changed arguments of its model."""
    settings: dict[str, Any] = yaml.safe_load((_CONFIGS / config).read_text(encoding="utf-8"))
    settings["model"]["init_args"] |= arguments
    settings["trainer"] = {
        "default_root_dir": folder,
        "accelerator": "cpu",
        "enable_progress_bar": False,
    }
    return settings


_SEQUOIA = {
    "hidden": [6, 6],
    "pretrain_steps": 20,
    "updates": 40,
    "solves": 2,
    "episodes": 4,
    "batch": 8,
    "pool": 20,
    "replay": 50,
    "check_every": 10,
    "check_episodes": 2,
}
_BANDITS = {
    "name": "small",
    "programme": {"domain": "capacity", "arms": 6, "budget": 2, "horizon": 5},
    "policies": ["random", "fluid", "sequoia"],
    "seeds": "0..1",
    "episodes": 4,
    "sequoia": _SEQUOIA,
}
_STUDY = {
    "name": "tiny",
    "plane": {"goal": [0.4, 0.1]},
    "settings": {
        "critics": 2,
        "diversity": 0.0,
        "hidden": [16, 16],
        "batch": 16,
        "horizon": 4,
        "starts": 20,
        "retain": 2,
        "updates": 10,
        "real_share": 0.0,
    },
    "seeds": 2,
    "side_by_side": 2,
    "epochs": 4,
    "check_every": 1,
    "save_every": 1,
    "check_episodes": 2,
    "episodes": 4,
    "methods": {"base": {}, "patched": {"patch": "oracle"}},
}
_TUNING = {key: value for key, value in _STUDY.items() if key != "methods"} | {
    "trials": 3,
    "search": {"actor_rate": {"low": 0.0001, "high": 0.01, "log": True}, "horizon": [2, 4]},
}
_MODEM = {
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
_ENSEMBLE = {
    "members": 3,
    "elites": 2,
    "hidden": [16, 16],
    "weight_decay": [0.0, 0.0, 0.0],
    "batch": 64,
    "epochs": 8,
}
_RAVL = {"critics": 2, "hidden": [16, 16], "horizon": 3, "starts": 20, "updates": 10}
_DATA = "data collect InvertedDoublePendulum-v5 --policy random --steps 1000 --output data.npz"
_FIT_ENSEMBLE = _fit(
    "ensemble/inverted-double-pendulum.yaml",
    {"data": "data.npz", "settings": _ENSEMBLE},
    "runs/ensemble",
)


def _write_trajectories(folder: Path) -> None:
    """The episodes of the example of `worldplan actions` as trajectories with their problems."""
    from tests.worldplan.commands.actions.builders import TRUE
    from tests.worldplan.commands.actions.test_evaluate import make_data

    (folder / "true.pddl").write_text(TRUE, encoding="utf-8")
    (folder / "configs").symlink_to(_CONFIGS)
    before = Path.cwd()
    os.chdir(folder)
    try:
        make_data(Path("logs"))
    finally:
        os.chdir(before)
    (folder / "configs").unlink()


CASES = (
    Case("bandits run", "bandits run small.yaml --jobs 2", files={"small.yaml": _BANDITS}),
    Case("tune", "tune tune.yaml --jobs 1", files={"tune.yaml": _TUNING}),
    Case("run (study)", "run study.yaml --jobs 2", files={"study.yaml": _STUDY}),
    Case(
        "fit SEQUOIA",
        "fit --config fit.yaml",
        files={
            "fit.yaml": _fit(
                "sequoia/capacity.yaml",
                {"programme": _BANDITS["programme"], "settings": _SEQUOIA},
                "runs/sequoia",
            )
        },
    ),
    Case("fit ensemble", "fit --config fit.yaml", (_DATA,), {"fit.yaml": _FIT_ENSEMBLE}),
    Case(
        "fit RAVL",
        "fit --config ravl.yaml",
        (_DATA, "fit --config fit.yaml"),
        {
            "fit.yaml": _FIT_ENSEMBLE,
            "ravl.yaml": _fit(
                "ravl/inverted-double-pendulum.yaml",
                {
                    "dataset": "data.npz",
                    "ensemble": "runs/ensemble/ensemble.ckpt",
                    "epochs": 6,
                    "check_every": 2,
                    "settings": _RAVL,
                },
                "runs/ravl",
            ),
        },
    ),
    Case(
        "fit MoDem",
        "fit --config fit.yaml",
        ("data collect planar_push --demonstrator scripted --episodes 2",),
        {
            "fit.yaml": _fit(
                "modem/planar_push.yaml",
                {"settings": _MODEM, "check_every": 3, "check_episodes": 2},
                "runs/modem",
            )
            | {"journal": {"every": 1}}
        },
    ),
    Case(
        "data collect (expert)",
        "data collect Hopper-v5 --policy expert --steps 300 --train-steps 200 --evaluate-every 40 "
        "--hidden 8,8",
    ),
    Case(
        "data collect (demonstrator)",
        "data collect bin_pick --demonstrator scripted --episodes 8 --noise 0.1",
    ),
    Case(
        "actions evaluate",
        "actions evaluate logs --domain true.pddl --folds 2 --counts 1,2 "
        "--problems 1 --walk-steps 30 --jobs 2 --time-limit 5 --name vans",
        prepare=_write_trajectories,
    ),
    Case(
        "evaluate",
        "evaluate RUN --episodes 4",
        ("bandits run small.yaml --jobs 2",),
        {"small.yaml": _BANDITS},
    ),
)
