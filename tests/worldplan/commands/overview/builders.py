"""Run folders of every kind, as their commands leave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

SETTINGS: dict[str, dict[str, Any]] = {
    "bandits": {"programme": {}, "policies": ["fluid"]},
    "tuning": {"search": {}, "trials": 2},
    "study": {"methods": {"ravl": {}}, "epochs": 2},
    "action models": {"files": [], "domain": "d.pddl", "folds": 2},
    "model report": {"ensemble": "e.ckpt", "source": "d.npz", "report": "model"},
    "MoDem": {"model": {"class_path": "worldplan.planners.modem.training.for_task"}},
    "bandit policy": {
        "model": {"class_path": "worldplan.planners.bandits.sequoia.training.for_programme"}
    },
    "policy from data": {
        "model": {"class_path": "worldplan.planners.offline.training.for_dataset"}
    },
    "ensemble": {"model": {"class_path": "worldplan.world_models.ensemble.training.for_dataset"}},
    "training": {"model": {"class_path": "my.Module"}},
}
TRAININGS = ("MoDem", "bandit policy", "policy from data", "ensemble", "training")


def make_run(
    folder: Path,
    kind: str,
    *,
    summary: list[dict[str, Any]] | None = None,
    finished: bool = True,
    **tables: list[dict[str, Any]],
) -> Path:
    """Write a run folder.

    Args:
        folder: to make.
        kind: one of SETTINGS.
        summary: rows of summary.csv; None: no such file.
        finished: whether the run has ended.
        tables: rows of further tables, by name.
    """
    (folder / "plots").mkdir(parents=True)
    config = SETTINGS[kind] | ({"trainer": {}} if kind in TRAININGS else {})
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "versions.json").write_text(json.dumps({"worldplan": "0"}))
    (folder / "seed").write_text("0\n")
    if summary is not None:
        tables["summary"] = summary
    for name, rows in tables.items():
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    if finished:
        (folder / ("done" if kind in TRAININGS else "report.html")).write_text("1\n")
    return folder


def policy(name: str, mean: float, **more: Any) -> dict[str, Any]:
    """A row of a summary."""
    return {"policy": name, "mean": mean, "low": mean - 0.5, "high": mean + 0.5, **more}
