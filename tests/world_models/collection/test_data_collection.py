"""Collected data against the simulator that made them, and collections that were killed."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from worldplan.milp.errors import CheckpointError, ConfigError, DatasetError
from worldplan.world_models.collection import sac as sac_training
from worldplan.world_models.collection.collect import collect_transitions
from worldplan.world_models.collection.recording import Recorder
from worldplan.world_models.collection.rollouts import uniform_policy
from worldplan.world_models.collection.settings import (
    CollectionSettings,
    action_limits,
    flat_environment,
    mean_return,
)

RANDOM = CollectionSettings("InvertedDoublePendulum-v5", "random", steps=80, evaluation_episodes=2)
AGENT = CollectionSettings(
    "InvertedPendulum-v5",
    "medium-replay",
    hidden=(8,),
    train_steps=90,
    stop_return=-1e9,
    evaluate_every=30,
    evaluation_episodes=2,
)


def never(settings: CollectionSettings) -> CollectionSettings:
    """The same training to its very end."""
    return replace(settings, policy="expert", stop_return=None)


@pytest.mark.parametrize("env_id", ["InvertedDoublePendulum-v5", "Hopper-v5"])
def test_every_row_is_a_step_of_the_simulator(env_id: str, tmp_path: Path) -> None:
    data = collect_transitions(replace(RANDOM, env_id=env_id), tmp_path)
    assert (
        len(data) == 80 and data.state is not None and data.terminated.sum() > 2
    )  # ends included: their s' is the true one
    env: Any = gym.make(env_id).unwrapped
    env.reset()
    size = data.metadata["qpos_size"]
    for row in range(len(data)):
        env.set_state(data.state[row, :size], data.state[row, size:])
        following, reward, terminated, _, _ = env.step(data.action[row])
        np.testing.assert_allclose(following, data.next_observation[row], atol=1e-4)
        assert (
            reward == pytest.approx(data.reward[row], abs=1e-4)
            and terminated == data.terminated[row]
        )
    assert data.truncated.tolist() == [False] * 79 + [not data.terminated[-1]]
    assert data.require_physics(env_id) == ()


def test_environment_without_simulator(tmp_path: Path) -> None:
    data = collect_transitions(replace(RANDOM, env_id="Pendulum-v1", steps=210), tmp_path)
    assert data.state is None and "mujoco_version" not in data.metadata
    assert (
        np.flatnonzero(data.truncated).tolist() == [199, 209] and not data.terminated.any()
    )  # a time limit is no termination
    assert (data.metadata["settings"]["steps"], data.metadata["settings"]["seed"]) == (210, 0)
    assert (
        data.metadata["ref_min_source"] == "uniform policy, 10 episodes"
        and "ref_max_score" not in data.metadata
    )
    low, high = -2.0, 2.0
    assert low <= data.action.min() < -1.8 and 1.8 < data.action.max() <= high


def test_seed_decides_the_data(tmp_path: Path) -> None:
    data, again = (
        collect_transitions(RANDOM, tmp_path / "a"),
        collect_transitions(RANDOM, tmp_path / "b"),
    )
    np.testing.assert_array_equal(data.observation, again.observation)
    assert not np.array_equal(
        data.observation, collect_transitions(replace(RANDOM, seed=1), tmp_path / "c").observation
    )


def test_mean_return_is_that_of_a_plain_loop() -> None:
    def act(observations: np.ndarray) -> np.ndarray:
        return (3 * observations[:, 1:2] + observations[:, :1]).astype(np.float32)

    total = 0.0
    for seed in (7, 8, 9):
        env = gym.make("InvertedPendulum-v5")
        observation, _ = env.reset(seed=seed)
        over = False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(act(observation[None])[0])
            total, over = total + float(reward), terminated or truncated
    assert mean_return("InvertedPendulum-v5", act, 3, 7) == pytest.approx(total / 3)


# --- agents ---------------------------------------------------------------------------------------


def test_medium_replay_is_all_the_agent_saw(tmp_path: Path) -> None:
    before = (random.getstate()[1], np.random.get_state()[1].tolist(), torch.get_rng_state())  # noqa: NPY002
    data = collect_transitions(AGENT, tmp_path)
    assert (
        len(data) == 30 and data.metadata["trained_steps"] == 30
    )  # any evaluation reaches this mark
    assert data.metadata["ref_max_score"] == data.metadata["evaluations"][0][1]
    after = (random.getstate()[1], np.random.get_state()[1].tolist(), torch.get_rng_state())  # noqa: NPY002
    assert before[:2] == after[:2] and torch.equal(before[2], after[2])
    medium = collect_transitions(
        replace(AGENT, policy="medium", steps=40), tmp_path
    )  # the same agent, not trained again
    assert len(medium) == 40 and medium.metadata["evaluations"] == data.metadata["evaluations"]


def test_recording_and_replay_buffer_agree(tmp_path: Path) -> None:
    settings = never(AGENT)
    with sac_training.train(settings, tmp_path, lambda *about: None) as trained:
        buffer = trained.model.replay_buffer
        columns = trained.recording.read(trained.parts)
        with sac_training.train(
            settings, tmp_path, lambda *about: None
        ) as loaded:  # nothing left to train
            rebuilt = loaded.model.replay_buffer
            assert (
                loaded.steps == trained.steps == 90
                and loaded.model._n_updates == trained.model._n_updates == 60
            )
            for ours, theirs in zip(
                trained.model.policy.parameters(), loaded.model.policy.parameters(), strict=True
            ):
                assert torch.equal(ours, theirs)
            assert torch.equal(trained.model.log_ent_coef, loaded.model.log_ent_coef)
            moments = [
                model.critic.optimizer.state_dict()["state"][0]["exp_avg"]
                for model in (trained.model, loaded.model)
            ]
            assert torch.equal(*moments)
    assert len(columns["reward"]) == 90 and buffer is not None and rebuilt is not None
    for name in ("observations", "next_observations", "actions", "rewards"):
        np.testing.assert_allclose(
            getattr(buffer, name)[:90], getattr(rebuilt, name)[:90], atol=1e-6
        )
    np.testing.assert_array_equal(
        buffer.dones[:89] * (1 - buffer.timeouts[:89]),
        rebuilt.dones[:89] * (1 - rebuilt.timeouts[:89]),
    )
    assert (rebuilt.pos, rebuilt.full) == (buffer.pos, buffer.full)


def test_mark_that_is_not_reached(tmp_path: Path) -> None:
    settings = replace(AGENT, stop_return=1e9, train_steps=30)
    with pytest.raises(
        ConfigError,
        match=r"after 30 steps the best mean return is .* below the stop return 1e\+09: "
        r"resume with more --train-steps",
    ):
        collect_transitions(settings, tmp_path)
    with pytest.raises(ConfigError, match="after 60 steps"):  # more steps continue it
        collect_transitions(replace(settings, train_steps=60), tmp_path)
    with pytest.raises(
        ConfigError,
        match=r"begun with other settings: hidden was \[8\] and is \[16\]; "
        r"stop_return was 1000000000.0 and is 5.0; train_steps was 60 and is 30: choose another "
        "--folder, or --fresh",
    ):
        collect_transitions(replace(settings, hidden=(16,), stop_return=5.0), tmp_path)


def test_damaged_work_folder(tmp_path: Path) -> None:
    collect_transitions(AGENT, tmp_path)
    agent, part, note = (
        tmp_path / "training" / "agent.pt",
        tmp_path / "training" / "part-00000.npz",
        tmp_path / "settings.json",
    )
    content = agent.read_bytes()
    agent.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="agent.pt: cannot be read"):
        collect_transitions(AGENT, tmp_path)
    agent.write_bytes(content)
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(
        DatasetError, match="part-00000.npz: this part of a collection cannot be read"
    ):
        collect_transitions(AGENT, tmp_path)
    note.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="settings.json: cannot be read"):
        collect_transitions(AGENT, tmp_path)


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy": "best"}, "unknown policy 'best': choose from random, medium"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"hidden": ()}, "hidden needs positive layer widths"),
        ({"seed": -1}, "seed -1: give 0 or more"),
        ({"reference": np.nan}, "reference is nan: give a finite number"),
        (
            {"env_id": "Reacher-v5", "policy": "medium"},
            "no usual medium return is known for Reacher-v5: give one with --stop-return",
        ),
    ],
)
def test_wrong_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(RANDOM, **changes)


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("CartPole-v1", r"CartPole-v1: actions are Discrete\(2\), but only flat boxes"),
        ("Nowhere-v0", "environment 'Nowhere-v0' cannot be made"),
    ],
)
def test_wrong_environments(env_id: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        flat_environment(env_id)


def test_recorder_keeps_copies() -> None:
    env = Recorder(flat_environment("Pendulum-v1"))
    env.reset(seed=0)
    action = np.array([0.5], dtype=np.float32)
    following = env.step(action)[0]
    action[:], following[:] = 9, 9
    columns = env.take()
    assert (
        columns["action"][0, 0] == 0.5 and columns["next_observation"].max() < 9 and len(env) == 0
    )


def test_uniform_actions_fill_the_box() -> None:
    low, high = action_limits(flat_environment("Pendulum-v1"))
    actions = uniform_policy(replace(RANDOM, env_id="Pendulum-v1"), 0)(np.zeros((4000, 3)))
    counts, _ = np.histogram(actions, bins=8, range=(float(low[0]), float(high[0])))
    assert counts.sum() == 4000 and np.abs(counts - 500).max() < 110  # 5 standard deviations
