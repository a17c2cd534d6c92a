"""Training MoDem from end to end on a small sparse task: order of the phases, checks, handovers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch

from tests.planners.modem.builders import ID, STEPS, TRAINING, demonstrations, module_of, task_of
from worldplan.envs.environments import make_environments
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.planners.episodes import figures_of, play
from worldplan.planners.modem.experience import Experience
from worldplan.planners.modem.planner import UniformPlanner
from worldplan.planners.modem.policy import load_policy, settings_of
from worldplan.planners.modem.settings import (
    HandoverSettings,
    LinearSchedule,
    PlanningSettings,
)
from worldplan.planners.modem.task import ModemTask, spaces_of
from worldplan.planners.modem.training import ModemModule
from worldplan.world_models.data.episodes import Episode
from worldplan.world_models.training.trainer import fit


def test_the_phases_come_in_order(whole: Path) -> None:
    table = pd.read_csv(whole.parent / "metrics.csv")
    assert table["step"].tolist() == [0, 48, 96, 144, 192, 240]
    assert table["train/clone"].notna().tolist() == [True] + [False] * 5
    assert table["train/consistency"].isna().tolist() == [True] + [False] * 5
    assert (
        table["train/actor_value"].notna().tolist() == [False, False] + [True] * 4
    )  # actors are not trained in the pre-training
    planned = table["train/planned"]
    assert planned[1] == 0
    assert planned.iloc[-1] > 0.3
    assert (table["violations"].diff().dropna() >= 0).all()
    checked = table["check/planner_success"].notna()
    assert checked.iloc[-1]  # the last epoch is always checked
    assert len(list((whole.parent / "episodes").glob("*.npz"))) == 20


def test_the_policy_is_restored(whole: Path) -> None:
    """From a checkpoint and from its folder, as planner and as clone; the clone solves the task."""
    planner, about = load_policy(whole)
    from_folder, _ = load_policy(whole.parent)
    observation = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    for first, second in zip(
        planner.plan_batch(observation), from_folder.plan_batch(observation), strict=True
    ):
        np.testing.assert_array_equal(first.action, second.action)
    assert about["environment"] == ID
    assert planner.agent.settings == TRAINING
    environments = make_environments(ID, 20, scale_actions=True)
    clone = play(load_policy(whole, share=0.0)[0], environments, 5)
    random = play(UniformPlanner(2), environments, 5)
    environments.close()
    assert (
        np.mean([played.episode.success for played in clone])
        >= 0.6
        > 0.3
        >= np.mean([played.episode.success for played in random])
    )


def test_without_demonstrations_it_begins_at_random(tmp_path: Path) -> None:
    settings = replace(TRAINING, clone_updates=0, encoder_rate=1.0, steps=96)
    path = fit(module_of(settings, count=0, check_every=2), tmp_path, save_every=1)
    table = pd.read_csv(path.parent / "metrics.csv")
    assert table["step"].tolist() == [0, 48, 96]
    assert "check/clone_success" not in table
    assert table["train/planned"].tolist()[1:] == [0.0, 1.0]


def test_cloning_alone_ends_after_cloning(tmp_path: Path) -> None:
    path = fit(module_of(replace(TRAINING, steps=0), check_every=1), tmp_path, save_every=1)
    table = pd.read_csv(path.parent / "metrics.csv")
    assert len(table) == 1
    assert table["check/clone_success"].notna().all()


def test_the_clone_and_the_end_are_always_checked(tmp_path: Path) -> None:
    path = fit(module_of(replace(TRAINING, steps=144), check_every=100), tmp_path, save_every=1)
    table = pd.read_csv(path.parent / "metrics.csv")
    assert table["check/clone_success"].notna().tolist() == [True, False, False, False]
    assert table["check/planner_success"].notna().tolist() == [False, False, False, True]


def test_handover_by_success_follows_the_planner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The share grows after checks in which the planner is as good as the clone was, and falls
    after worse ones; it stays 0 if the planner never succeeds.
    """
    shares: dict[str, list[float]] = {"good": [], "bad": []}
    for name, successes in (("good", [0.5, 0.5, 1.0, 0.2]), ("bad", [0.0, 0.0, 0.0, 0.0])):
        module = module_of(replace(TRAINING, handover=HandoverSettings(kind="success", stride=0.4)))
        module.handover.clone_success = 0.5 if name == "good" else 0.0
        module.counts["step"] = 48
        monkeypatch.setattr(ModemModule, "_log", lambda self, figures: None)
        for success in successes:
            monkeypatch.setattr(
                "worldplan.planners.modem.training.figures_of",
                lambda played, success=success: {"success": success},
            )
            module.validation_step(0, 0)
            shares[name].append(round(module.handover.share_by_success, 3))
    assert shares == {"good": [0.4, 0.8, 1.0, 0.6], "bad": [0.0] * 4}


def test_an_own_episode_too_short_for_a_segment_is_not_learned_from() -> None:
    task = task_of()
    experience = Experience(task, TRAINING, *spaces_of(task))
    episode = demonstrations(1)[0]
    experience.add(Episode(episode.observation[:2], episode.action[:1], episode.reward[:1]))  # type: ignore[index]
    assert experience.own.filled == 0
    random = torch.Generator()
    for share in (0.0, 0.5):
        with pytest.raises(ConfigError, match=f"shorter than a segment, {TRAINING.segment} steps"):
            experience.segments(share, random)
    assert experience.segments(1.0, random)[1] == TRAINING.batch
    experience.add(episode)
    assert experience.own.filled == STEPS + 1
    assert experience.segments(0.5, random)[0].reward.shape[1] == TRAINING.batch


@pytest.mark.parametrize("kind", ["success", "uncertainty"])
def test_the_measured_handovers_run(kind: str, tmp_path: Path) -> None:
    settings = replace(
        TRAINING, handover=HandoverSettings(kind=kind, segment=3, stride=0.5, limit=0.5), steps=144
    )
    path = fit(module_of(settings, check_every=1), tmp_path, save_every=1)
    planned = pd.read_csv(path.parent / "metrics.csv")["train/planned"].tolist()[2:]
    assert all(0 <= share <= 1 for share in planned)
    if kind == "success":
        assert max(planned) > 0


def test_settings_survive_as_plain_values() -> None:
    from dataclasses import asdict

    assert settings_of(asdict(TRAINING)) == TRAINING


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no demonstrations"):
        module_of(count=0)
    with pytest.raises(ConfigError, match="Nowhere"):
        make_environments("worldplan_tests/Nowhere-v0", 1, scale_actions=True)
    with pytest.raises(ConfigError, match="actions:? Discrete"):
        make_environments("CartPole-v1", 1, scale_actions=True)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_policy(tmp_path / "last.ckpt")
    (tmp_path / "last.ckpt").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="not a checkpoint of MoDem"):
        load_policy(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": -1},
        {"clone_batch": 0},
        {"seed_updates": -1},
        {"updates_per_step": -0.5},
        {"learning_rate": float("nan")},
        {"target_rate": 5.0},
        {"demonstration_share": LinearSchedule(1.5, 0.5)},
        lambda: {"planning": PlanningSettings(correlation=1.5)},
        lambda: {"planning": PlanningSettings(noise=-0.1)},
        lambda: {"handover": HandoverSettings(begin=5, end=1)},
        {"handover": HandoverSettings(kind="uncertainty"), "percentile_scale": False},
        {"capacity": 0},
        {"discount": 1.0},
        {"clone_updates": 0},
        lambda: {"handover": HandoverSettings(kind="never")},
    ],
)
def test_numbers_out_of_range_are_refused(change: Any) -> None:
    names = ("correlation", "noise", "kind", "end", *(() if callable(change) else change))
    with pytest.raises(ConfigError, match="|".join(names)):
        replace(TRAINING, **(change() if callable(change) else change))


def test_safety_that_is_not_measured_is_nan() -> None:
    environments = make_environments("worldplan_tests/Unmeasured-v0", 2, scale_actions=True)
    figures = figures_of(play(UniformPlanner(2), environments, 0))
    assert all(np.isnan(figures[name]) for name in ("violations", "saturations", "largest_force"))


def test_running_counts_that_are_not_measured_are_nan(tmp_path: Path) -> None:
    task = ModemTask("worldplan_tests/Unmeasured-v0", {}, demonstrations(), {})
    fit(ModemModule(task, replace(TRAINING, steps=100), check_episodes=2), tmp_path)
    table = pd.read_csv(tmp_path / "metrics.csv")
    assert table["step"].max() >= 100
    assert table[["violations", "saturations"]].iloc[-1].isna().all()


def test_validation_alone_plays_the_planner_too(whole: Path) -> None:
    """`trainer.validate` does not restore the epoch."""
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=whole.parent,
    )
    (figures,) = trainer.validate(module_of(), ckpt_path=whole, verbose=False, weights_only=True)
    assert {"check/planner_success", "check/behaviour_success"} <= set(figures)


def test_safety_is_counted() -> None:
    """With a planner that leaves the square, every later step is a violation."""

    class Straight(UniformPlanner):
        def plan_batch(self, observations: Any) -> Any:
            decisions = super().plan_batch(observations)
            return [
                replace(decision, action=np.array([-1, -1], np.float32)) for decision in decisions
            ]

    environments = make_environments(ID, 3, scale_actions=True)
    played = play(Straight(2), environments, 0)
    for record in played:
        observation = record.episode.observation
        assert isinstance(observation, np.ndarray)
        outside = np.abs(observation[1:, :2]).max(1) > 1
        assert record.violations == outside.sum() > 0
        assert record.largest_force == pytest.approx(
            100 * np.abs(observation[1:, :2]).max(), rel=1e-5
        )
        assert len(record.episode) == STEPS
