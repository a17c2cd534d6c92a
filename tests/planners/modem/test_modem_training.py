"""Training MoDem from end to end on a small sparse task: order of the phases, resuming,
checkpoints, errors.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch

from tests.places import ROOT
from worldplan.envs.environments import make_environments
from worldplan.milp.errors import CheckpointError, ConfigError, DatasetError, Diverged
from worldplan.planners.episodes import figures_of, play
from worldplan.planners.modem.experience import Experience
from worldplan.planners.modem.planner import UniformPlanner
from worldplan.planners.modem.policy import load_policy, settings_of
from worldplan.planners.modem.settings import (
    HandoverSettings,
    LinearSchedule,
    ModemSettings,
    PlanningSettings,
)
from worldplan.planners.modem.task import ModemTask, spaces_of
from worldplan.planners.modem.training import ModemModule
from worldplan.planners.shooting.settings import ShootingSettings
from worldplan.world_models.data.episodes import Episode, columns_of, observation_of
from worldplan.world_models.latent.settings import LatentSettings
from worldplan.world_models.training.journal import Journal
from worldplan.world_models.training.trainer import fit

GOAL = np.array([0.6, -0.4], np.float32)
STEPS = 12


class Reach(gym.Env):
    """A point moves by at most 0.2 a step; the reward is 1 near the goal. Outside the unit square
    contacts are violations.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = gym.spaces.Box(-2, 2, (4,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-0.8, 0, 2).astype(np.float32)
        self.elapsed = self.solved = 0
        return self._observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.place = np.clip(self.place + 0.2 * np.clip(action, -1, 1), -2, 2).astype(np.float32)
        near = float(np.abs(self.place - GOAL).max()) < 0.15
        self.elapsed += 1
        self.solved += near
        return self._observe(), float(near), False, self.elapsed == STEPS, self._info()

    def render(self) -> np.ndarray:
        picture = np.zeros((32, 32, 3), np.uint8)
        row, column = ((self.place + 2) * 7.9).astype(int)
        picture[row, column] = 255
        return picture

    def _observe(self) -> np.ndarray:
        return np.concatenate([self.place, GOAL - self.place]).astype(np.float32)

    def _info(self) -> dict[str, Any]:
        outside = float(np.abs(self.place).max())
        return {
            "is_success": self.solved >= 2,
            "contact_force": 100 * outside,
            "contact_violation": outside > 1,
            "saturation": False,
        }


class ReachInPictures(gym.ObservationWrapper):
    """`Reach` with an image beside the state vector."""

    def __init__(self) -> None:
        super().__init__(Reach(render_mode="rgb_array"))
        picture = gym.spaces.Box(0, 255, (1, 3, 32, 32), np.uint8)
        self.observation_space = gym.spaces.Dict(
            {"image": picture, "proprioception": self.env.observation_space}
        )

    def observation(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        return {"image": self.env.render().transpose(2, 0, 1)[None], "proprioception": observation}


class Unmeasured(Reach):
    """`Reach` without measured forces."""

    def _info(self) -> dict[str, Any]:
        return {"is_success": self.solved >= 2}


gym.register("worldplan_tests/Reach-v0", entry_point=Reach)
gym.register("worldplan_tests/Unmeasured-v0", entry_point=Unmeasured)
gym.register("worldplan_tests/ReachInPictures-v0", entry_point=ReachInPictures)
ID, PICTURES = "worldplan_tests/Reach-v0", "worldplan_tests/ReachInPictures-v0"


def demonstrations(count: int = 3, environment: str = ID) -> list[Episode]:
    env, episodes = gym.make(environment), []
    for seed in range(count):
        observation, _ = env.reset(seed=seed)
        observations, actions, rewards = [observation], [], []
        for _ in range(STEPS):
            action = np.clip(
                5 * columns_of(observation).get("proprioception", observation)[2:], -1, 1
            ).astype(np.float32)
            observation, reward, *_ = env.step(action)
            observations.append(observation)
            actions.append(action)
            rewards.append(reward)
        rows = [columns_of(observation) for observation in observations]
        stacked = observation_of({name: np.array([row[name] for row in rows]) for name in rows[0]})
        episodes.append(Episode(stacked, np.array(actions), np.array(rewards), success=True))
    return episodes


SETTINGS = ModemSettings(
    latent=LatentSettings(latent=8, hidden=32, encoder_hidden=32, members=2),
    planning=PlanningSettings(
        search=ShootingSettings(
            samples=16, elites=4, iterations=1, horizon=2, min_std=0.1, proposals=1.0, pick="draw"
        )
    ),
    handover=HandoverSettings(end=192, segment=3),
    demonstration_share=LinearSchedule(0.75, 0.25, 0, 200),
    segment=2,
    batch=16,
    clone_updates=150,
    clone_batch=32,
    clone_rate=2e-3,
    learning_rate=2e-3,
    seed_steps=48,
    seed_updates=20,
    updates_per_step=0.5,
    steps=240,
    environments=4,
    capacity=400,
)


def task_of(count: int = 3, environment: str = ID) -> ModemTask:
    episodes = demonstrations(count, environment) if count else []
    return ModemTask(
        environment, {}, episodes, {"environment": environment, "options": {}, "episodes": count}
    )


def module_of(
    settings: ModemSettings = SETTINGS, seed: int = 0, count: int = 3, check_every: int = 2
) -> ModemModule:
    return ModemModule(
        task_of(count), settings, seed=seed, check_every=check_every, check_episodes=4
    )


def same_weights(first: Path, second: Path) -> bool:
    left, right = (
        torch.load(file, weights_only=True)["modem"]["weights"] for file in (first, second)
    )
    return set(left) == set(right) and all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run."""
    return fit(module_of(check_every=2), tmp_path_factory.mktemp("whole"), save_every=1)


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
    assert planner.agent.settings == SETTINGS
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


def test_an_interrupted_run_ends_like_an_unbroken_one(whole: Path, tmp_path: Path) -> None:
    """Killed with SIGKILL in the middle, then resumed: the same weights and the same table."""
    script = (
        "import sys; from pathlib import Path; import torch; torch.set_num_threads(1)\n"
        "import tests.planners.modem.test_modem_training as t\n"
        "class Killed(t.ModemModule):\n"
        "    def on_train_epoch_end(self):\n"
        "        super().on_train_epoch_end()\n"
        "        if self.current_epoch == 3:\n"
        "            import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
        "module = Killed(t.task_of(), t.SETTINGS, seed=0, check_every=2, check_episodes=4)\n"
        "t.fit(module, Path(sys.argv[1]), save_every=1)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert killed.returncode == -9, killed.stderr
    assert len(pd.read_csv(tmp_path / "metrics.csv")) == 3
    resumed = fit(module_of(check_every=2), tmp_path, save_every=1)
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "metrics.csv"), pd.read_csv(whole.parent / "metrics.csv")
    )
    assert same_weights(resumed, whole)


def test_finished_work_is_not_repeated(whole: Path) -> None:
    before = whole.stat().st_mtime_ns
    assert fit(module_of(check_every=2), whole.parent, save_every=1) == whole
    assert whole.stat().st_mtime_ns == before
    with pytest.raises(CheckpointError, match="another task, other settings or another seed"):
        fit(module_of(seed=1), whole.parent)


def test_a_lost_episode_is_named(whole: Path, tmp_path: Path) -> None:
    fit(module_of(check_every=2), tmp_path, save_every=1)
    (tmp_path / "done").unlink()
    (tmp_path / "episodes" / "000003.npz").unlink()
    with pytest.raises(DatasetError, match="000003.npz"):
        fit(module_of(), tmp_path)


def test_without_demonstrations_it_begins_at_random(tmp_path: Path) -> None:
    settings = replace(SETTINGS, clone_updates=0, encoder_rate=1.0, steps=96)
    path = fit(module_of(settings, count=0, check_every=2), tmp_path, save_every=1)
    table = pd.read_csv(path.parent / "metrics.csv")
    assert table["step"].tolist() == [0, 48, 96]
    assert "check/clone_success" not in table
    assert table["train/planned"].tolist()[1:] == [0.0, 1.0]


def test_cloning_alone_ends_after_cloning(tmp_path: Path) -> None:
    path = fit(module_of(replace(SETTINGS, steps=0), check_every=1), tmp_path, save_every=1)
    table = pd.read_csv(path.parent / "metrics.csv")
    assert len(table) == 1
    assert table["check/clone_success"].notna().all()


@pytest.mark.parametrize("steps", [0, 96])
def test_a_finished_run_that_is_resumed_does_not_change(steps: int, tmp_path: Path) -> None:
    """After a kill between the last checkpoint and the end, or with `fit --ckpt_path` on a finished
    run.
    """
    path = fit(module_of(replace(SETTINGS, steps=steps)), tmp_path, save_every=1)
    (tmp_path / "done").unlink()
    state, table = path.read_bytes(), (tmp_path / "metrics.csv").read_text()
    fit(module_of(replace(SETTINGS, steps=steps)), tmp_path, save_every=1)
    assert path.read_bytes() == state
    assert (tmp_path / "metrics.csv").read_text() == table


def test_the_clone_and_the_end_are_always_checked(tmp_path: Path) -> None:
    path = fit(module_of(replace(SETTINGS, steps=144), check_every=100), tmp_path, save_every=1)
    table = pd.read_csv(path.parent / "metrics.csv")
    assert table["check/clone_success"].notna().tolist() == [True, False, False, False]
    assert table["check/planner_success"].notna().tolist() == [False, False, False, True]


def test_other_demonstrations_are_another_training(whole: Path) -> None:
    other = ModemTask(
        ID, {}, demonstrations(3)[::-1], {"environment": ID, "options": {}, "episodes": 3}
    )
    with pytest.raises(CheckpointError, match="another task"):
        fit(ModemModule(other, SETTINGS, check_episodes=4), whole.parent)


def test_handover_by_success_follows_the_planner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The share grows after checks in which the planner is as good as the clone was, and falls
    after worse ones; it stays 0 if the planner never succeeds.
    """
    shares: dict[str, list[float]] = {"good": [], "bad": []}
    for name, successes in (("good", [0.5, 0.5, 1.0, 0.2]), ("bad", [0.0, 0.0, 0.0, 0.0])):
        module = module_of(replace(SETTINGS, handover=HandoverSettings(kind="success", stride=0.4)))
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
    experience = Experience(task, SETTINGS, *spaces_of(task))
    episode = demonstrations(1)[0]
    experience.add(Episode(episode.observation[:2], episode.action[:1], episode.reward[:1]))  # type: ignore[index]
    assert experience.own.filled == 0
    experience.add(episode)
    assert experience.own.filled == STEPS + 1


@pytest.mark.parametrize(
    ("environment", "encoder_rate", "epoch"), [(ID, 0.5, 3), (PICTURES, 0.0, 3), (PICTURES, 0.0, 1)]
)
def test_encoded_observations_are_the_same_after_resuming(
    environment: str, encoder_rate: float, epoch: int, tmp_path: Path
) -> None:
    """The same weights, unbroken and stopped in the middle: with an encoder that is trained after
    cloning, and with shifted copies of images.

    The clone keeps its own encoder.
    """
    settings, task = (
        replace(SETTINGS, steps=192, encoder_rate=encoder_rate, clone_updates=30),
        task_of(3, environment),
    )
    whole = fit(ModemModule(task, settings, check_episodes=4), tmp_path / "whole", save_every=1)

    class Stopped(ModemModule):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == epoch:
                raise KeyboardInterrupt
            super().on_train_epoch_start()

    with pytest.raises(KeyboardInterrupt):
        fit(Stopped(task, settings, check_episodes=4), tmp_path / "broken", save_every=1)
    resumed = fit(ModemModule(task, settings, check_episodes=4), tmp_path / "broken", save_every=1)
    assert same_weights(whole, resumed)
    agent = load_policy(whole)[0].agent
    clone, model = agent.clone.encoder.state_dict(), agent.model.encoder.state_dict()
    assert all(torch.equal(clone[name], model[name]) for name in clone) == (encoder_rate == 0)


@pytest.mark.parametrize("kind", ["success", "uncertainty"])
def test_the_measured_handovers_run(kind: str, tmp_path: Path) -> None:
    settings = replace(
        SETTINGS, handover=HandoverSettings(kind=kind, segment=3, stride=0.5, limit=0.5), steps=144
    )
    path = fit(module_of(settings, check_every=1), tmp_path, save_every=1)
    planned = pd.read_csv(path.parent / "metrics.csv")["train/planned"].tolist()[2:]
    assert all(0 <= share <= 1 for share in planned)
    if kind == "success":
        assert max(planned) > 0


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    """The last good checkpoint and table are kept."""
    module = module_of()
    update = module.agent.update

    def broken(*arguments: Any, **options: Any) -> Any:
        figures, priority = update(*arguments, **options)
        return (
            (figures | {"loss": figures["loss"] * float("nan")}, priority)
            if module.current_epoch == 3
            else (figures, priority)
        )

    module.agent.update = broken  # type: ignore[method-assign]
    with pytest.raises(Diverged, match=r"loss is not a finite number in epoch 3.*last\.ckpt"):
        fit(module, tmp_path, save_every=1)
    assert len(pd.read_csv(tmp_path / "metrics.csv")) == 3
    load_policy(tmp_path)


@pytest.mark.parametrize("setting", ["clone_rate", "learning_rate"])
def test_weights_that_are_no_numbers_stop_the_run_before_they_are_used(
    setting: str, tmp_path: Path
) -> None:
    """No episode is played with them and nothing is saved, even in an epoch with a check."""
    with pytest.raises(
        Diverged, match=r"is not a finite number in epoch \d.*(last\.ckpt|no checkpoint yet)"
    ):
        fit(module_of(replace(SETTINGS, **{setting: 1e30}), check_every=1), tmp_path, save_every=1)  # type: ignore[arg-type]
    if (tmp_path / "last.ckpt").exists():
        planner, _ = load_policy(tmp_path)
        assert all(bool(value.isfinite().all()) for value in planner.agent.parameters())


def test_a_full_disk_leaves_the_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of the file system is raised; afterwards the run can be resumed."""
    import worldplan.planners.modem.training as training

    real, calls = training.save_episode, []

    def full(episode: Episode, file: Path) -> None:
        calls.append(file)
        if len(calls) > 10:
            raise OSError(28, "No space left on device", str(file))
        real(episode, file)

    monkeypatch.setattr(training, "save_episode", full)
    with pytest.raises(OSError, match="No space left"):
        fit(module_of(check_every=9), tmp_path, save_every=1)
    monkeypatch.setattr(training, "save_episode", real)
    fit(module_of(check_every=9), tmp_path, save_every=1)
    assert pd.read_csv(tmp_path / "metrics.csv")["step"].iloc[-1] == SETTINGS.steps


def test_settings_survive_as_plain_values() -> None:
    from dataclasses import asdict

    assert settings_of(asdict(SETTINGS)) == SETTINGS


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no demonstrations"):
        module_of(count=0)
    with pytest.raises(ConfigError, match="Nowhere"):
        make_environments("worldplan_tests/Nowhere-v0", 1, scale_actions=True)
    with pytest.raises(ConfigError, match="actions Discrete"):
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
        {"planning": PlanningSettings(correlation=1.5)},
        {"planning": PlanningSettings(noise=-0.1)},
        {"handover": HandoverSettings(begin=5, end=1)},
        {"handover": HandoverSettings(kind="uncertainty"), "percentile_scale": False},
        {"capacity": 0},
        {"discount": 1.0},
        {"clone_updates": 0},
        {"handover": HandoverSettings(kind="never")},
    ],
)
def test_numbers_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="|".join([*change, "correlation", "noise", "kind"])):
        replace(SETTINGS, **change)


def test_safety_that_is_not_measured_is_nan() -> None:
    environments = make_environments("worldplan_tests/Unmeasured-v0", 2, scale_actions=True)
    figures = figures_of(play(UniformPlanner(2), environments, 0))
    assert all(np.isnan(figures[name]) for name in ("violations", "saturations", "largest_force"))


def test_running_counts_that_are_not_measured_are_nan(tmp_path: Path) -> None:
    task = ModemTask("worldplan_tests/Unmeasured-v0", {}, demonstrations(), {})
    fit(ModemModule(task, replace(SETTINGS, steps=100), check_episodes=2), tmp_path)
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


@pytest.mark.parametrize(("journal", "named"), [(False, "Journal"), (True, "default_root_dir")])
def test_resuming_without_the_episodes_reports_where_they_are(
    whole: Path, tmp_path: Path, journal: bool, named: str
) -> None:
    callbacks: list[L.Callback] = [Journal(tmp_path)] if journal else []
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=callbacks,
        max_epochs=-1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=journal,
        default_root_dir=tmp_path,
    )
    with pytest.raises(ConfigError, match=named):
        trainer.fit(module_of(), ckpt_path=whole, weights_only=True)


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
