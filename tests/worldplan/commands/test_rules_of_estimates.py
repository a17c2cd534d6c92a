"""Values in held-out models end episodes by the rule of the whole environment, not of its id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from worldplan.cli import main
from worldplan.commands.tuning.scores import check_inputs
from worldplan.commands.tuning.tuning import parse_tuning, tuning_parser
from worldplan.world_models.ensemble import GaussianEnsemble

IQL = "worldplan.planners.offline.model_free.iql.for_dataset"
SIZES = {"hidden": [4], "updates": 2, "batch": 8}
CHANGES: list[tuple[list[str], str]] = [
    ([], ""),
    (["--wrappers", "[{name: RescaleAction, kwargs: {min_action: -2, max_action: 2}}]"], ""),
    (["--env-kwargs.reset_noise_scale", "0.01"], ""),
    (["--env-kwargs.terminate_when_unhealthy", "false"], "terminate_when_unhealthy"),
    (["--env-kwargs.healthy_z_range", "[0.5, 9.0]"], "healthy_z_range"),
    (["--env-kwargs.exclude_current_positions_from_observation=false"], "exclude_current"),
    (["--wrappers", "[{name: DelayObservation, kwargs: {delay: 2}}]"], "DelayObservation"),
    (["--wrappers", "[TimeAwareObservation]"], "TimeAwareObservation"),
]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def collect(options: list[str], output: str = "a.npz") -> None:
    words = ["--policy", "random", "--steps", "60", "--max-episode-steps", "20", "--output", output]
    assert main(["data", "collect", "Hopper-v5", *words, *options]) == 0


def ensemble_of(part: str, **trained_on: Any) -> None:
    """An ensemble of random weights, that predicts small changes."""
    size = 12 if part in ("exclude_current", "TimeAwareObservation") else 11
    generator = torch.Generator().manual_seed(0)
    ensemble = GaussianEnsemble(size, 3, members=2, elites=1, hidden=(4,), generator=generator)
    ensemble.trained_on = trained_on
    ensemble.save(Path("e.ckpt"))


@pytest.mark.parametrize(("options", "part"), CHANGES)
def test_a_tuning_has_the_rule_or_is_refused(
    options: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    collect(options)
    ensemble_of(part)
    study = {
        "data": {"dataset": "a.npz"},
        "methods": {"iql": {"algorithm": "iql", **SIZES}},
        "search": {"expectile": [0.6, 0.7]},
        "seeds": 1,
        "epochs": 1,
        "check_every": 1,
        "trials": 1,
        "check_episodes": 1,
        "episodes": 1,
        "score": "model",
        "score_ensemble": "e.ckpt",
    }
    Path("tune.yaml").write_text(yaml.safe_dump(study))
    if not part:
        check_inputs(parse_tuning(tuning_parser(), ["tune.yaml"])[0])
        return
    assert main(["tune", "tune.yaml", "--jobs", "1"]) == 2
    refusal = capsys.readouterr().err.splitlines()[-1]
    assert part in refusal and "set data.termination to 'never'" in refusal


@pytest.mark.parametrize(
    ("options", "part"), [CHANGES[4], *(pytest.param(*x, marks=pytest.mark.slow) for x in CHANGES)]
)
def test_an_estimate_has_the_rule_or_is_refused(
    options: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    collect(options)
    ensemble_of(part)
    arguments = {"dataset": "a.npz", "settings": SIZES, "epochs": 1, "check_episodes": 1}
    model = {"class_path": IQL, "init_args": arguments}
    Path("fit.yaml").write_text(yaml.safe_dump({"model": model}))
    assert main(["fit", "--config", "fit.yaml", "--trainer.default_root_dir", "run"]) == 0
    words = ["evaluate", "run", "--episodes", "2", "--estimate", "model", "--ensemble", "e.ckpt"]
    assert main(words) == (2 if part else 0)
    refusal = capsys.readouterr().err.splitlines()[-1] if part else ""
    assert part in refusal and ("use --estimate fqe" in refusal) == bool(part)
    if not part:
        assert pd.read_csv("run/estimates.csv")["estimate"].notna().all()
        ensemble_of(part, environment="Walker2d-v5")
        assert main(words) == 2
        assert "e.ckpt: trained in another environment" in capsys.readouterr().err
