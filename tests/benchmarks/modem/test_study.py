"""The methods of the study: their settings, demonstrations and jobs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.modem.runs import Job, train_and_evaluate
from benchmarks.modem.study import TASKS, Demonstrations, jobs_of, method_settings, task_of
from worldplan.milp.errors import CheckpointError

ONE = Demonstrations(1, 0.05, 10_000)


@pytest.mark.parametrize(
    ("method", "count"), [("v2", 1), ("v1", 1), ("no_cloning", 1), ("no_demos", 0)]
)
def test_methods_with_demonstrations(method: str, count: int) -> None:
    assert len(task_of(Job("baselines", "PlanarPush", method, 0), {}, ONE).demonstrations) == count


def test_every_job_appears_once() -> None:
    jobs = jobs_of(["main", "baselines", "ablation"], list(TASKS), 3)
    places = [(job.task, job.method, job.seed) for job in jobs]
    assert len(set(places)) == len(places) == 12 + 8 + 2 + 8


def test_a_finished_run_is_read_unless_its_settings_were_others(tmp_path: Path) -> None:
    job, settings = Job("main", "PlanarPush", "v2", 0), method_settings("v2", 10_000)
    job.folder(tmp_path).mkdir(parents=True)
    (job.folder(tmp_path) / "row.json").write_text(
        json.dumps({"settings": repr(settings), "figures": {"planner_success": 0.5}})
    )

    def make() -> None:
        raise AssertionError("a finished run must not be trained")

    assert train_and_evaluate(job, make, settings, tmp_path) == {"planner_success": 0.5}  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="other settings"):
        train_and_evaluate(job, make, replace(settings, steps=5000), tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("on", ["che", "ch", "ce", "he", "c", "h", "e", "none"])
def test_ablation_switches_what_its_name_says(on: str) -> None:
    settings = method_settings("v2" if on == "che" else on, 30_000)
    assert (settings.planning.search.iterations == 1) == ("c" in on and on != "none")
    assert (settings.latent.members > 1) == ("e" in on and on != "none")
    assert (settings.handover.end == 15_000) == ("h" in on)
    assert settings.imitation > 0


def test_baselines_neither_imitate_nor_draw_correlated_noise() -> None:
    for method in ("v1", "no_demos", "no_cloning"):
        settings = method_settings(method, 30_000)
        assert (settings.imitation, settings.planning.correlation, settings.latent.members) == (
            0,
            0,
            1,
        )
