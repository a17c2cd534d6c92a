"""A tuning on the plane that takes a second a trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

TUNING: dict[str, Any] = {
    "name": "tiny",
    "plane": {"goal": [0.4, 0.1]},
    "settings": {
        "critics": 2,
        "diversity": 0.0,
        "hidden": [8],
        "batch": 16,
        "horizon": 4,
        "starts": 20,
        "retain": 2,
        "updates": 5,
        "real_share": 0.0,
    },
    "seeds": 2,
    "epochs": 2,
    "check_every": 1,
    "save_every": 1,
    "check_episodes": 2,
    "episodes": 3,
    "trials": 3,
    "sampler": "random",
    "search": {
        "actor_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "horizon": {"low": 1, "high": 5},
        "pessimism.penalty": ["max_aleatoric", "ensemble_std"],
        "lower_bound": [None, 1.0],
        "hidden": [[8], [4, 4]],
    },
}


def write(folder: Path, **changes: Any) -> str:
    """A file of TUNING with `changes`."""
    path = folder / "tune.yaml"
    path.write_text(yaml.safe_dump(TUNING | changes, sort_keys=False))
    return str(path)


def run_of(root: Path, name: str = "tiny") -> Path:
    """The only run folder under `root`."""
    (folder,) = (root / name).glob("[!.]*")
    return folder
