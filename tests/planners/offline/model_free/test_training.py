"""Trainings of the model-free methods: resuming, restored policies, what the rows become."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.planners.offline.model_free.builders import METHODS, module_of, pendulum_data
from worldplan.envs.edge_of_reach import Plane
from worldplan.milp.errors import CheckpointError, ConfigError, Diverged
from worldplan.planners.offline import recorded, saved_policies
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.model_free.behaviour_cloning import BehaviourCloningSettings
from worldplan.planners.offline.model_free.iql import IQLSettings
from worldplan.planners.offline.model_free.policy import ModelFreePolicy
from worldplan.planners.offline.model_free.rows import logged_rows, unpack_rows
from worldplan.planners.offline.model_free.td3_bc import TD3BCSettings
from worldplan.planners.offline.model_free.training import ModelFreeModule
from worldplan.planners.offline.policy import ReachAwarePolicy
from worldplan.planners.offline.saved_policies import load_policies
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.task import model_free_task, plane_task
from worldplan.planners.offline.training import ReachAwareModule
from worldplan.world_models.training.checkpoints import load_tensors
from worldplan.world_models.training.trainer import fit

NAMES = [type(settings).__name__ for settings in METHODS]


@pytest.mark.parametrize("settings", METHODS, ids=NAMES)
def test_interrupted_training_continues_bit_for_bit(settings, tmp_path):
    """An odd number of updates per epoch: delayed updates and decayed rates depend on it."""
    fit(module_of(settings), tmp_path / "whole", save_every=1)
    fit(module_of(settings, epochs=1), tmp_path / "parts", save_every=1)
    (tmp_path / "parts" / "done").unlink()
    fit(module_of(settings), tmp_path / "parts", save_every=1)
    whole, parts = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, parts, check_exact=True)
    first, second = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "parts")
    )
    for name, weights in first["state_dict"].items():
        assert torch.equal(weights, second["state_dict"][name]), name


def test_a_checkpoint_is_read_once(tmp_path, monkeypatch):
    path, reads = fit(module_of(METHODS[0], epochs=1), tmp_path), []

    def counted(file):
        reads.append(file)
        return load_tensors(file)

    for module in (saved_policies, recorded):
        monkeypatch.setattr(module, "load_tensors", counted)
    assert len(load_policies(path)) == 2 and len(reads) == 1
    assert ModelFreePolicy.load(path, 1).seeds == 2 and len(reads) == 2


@pytest.mark.parametrize("settings", METHODS, ids=NAMES)
def test_restored_policies_decide_like_the_trained_actors(settings, tmp_path):
    module = module_of(settings, epochs=1)
    path = fit(module, tmp_path)
    policies = load_policies(tmp_path)
    assert len(policies) == 2 and all(type(policy) is ModelFreePolicy for policy in policies)
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    scaled = (torch.from_numpy(observations) - module.prepared.mean) / module.prepared.spread
    with torch.no_grad():
        expected = 2 * module.learner.actor(scaled.expand(2, -1, -1)).numpy()
    for index, policy in enumerate(policies):
        planned = np.stack([decision.action for decision in policy.plan_batch(observations)])
        np.testing.assert_allclose(planned, expected[index], atol=1e-6)
        assert planned.dtype == np.float32 and (np.abs(planned) <= 2).all()
        np.testing.assert_array_equal(module.policy(index).act(observations[0]), planned[0])
    with pytest.raises(ConfigError, match="holds 2 policies"):
        ModelFreePolicy.load(path, 2)
    with pytest.raises(ConfigError, match="trained on 3"):
        policies[0].plan(np.zeros(4))
    with pytest.raises(ConfigError, match="not all finite"):
        policies[0].plan(np.full(3, np.nan))
    with pytest.raises(CheckpointError, match="not a checkpoint of reach-aware"):
        ReachAwarePolicy.load(path)


def test_other_settings_data_or_methods_make_another_training(tmp_path):
    settings = METHODS[2]
    fit(module_of(settings, epochs=1), tmp_path)
    for other in (
        module_of(replace(settings, expectile=0.8), epochs=2),
        module_of(settings, epochs=2, data=pendulum_data(seed=1)),
        module_of(settings, epochs=2, seed=1),
        module_of(METHODS[0], epochs=2),
    ):
        with pytest.raises(CheckpointError, match="other settings"):
            fit(other, tmp_path)


def test_rows_are_normalised_scaled_and_joined_with_their_next_actions():
    data = pendulum_data(episodes=3, steps=5)
    task = model_free_task(data)
    rows = logged_rows(task, IQLSettings(return_range=1000.0))
    batch = unpack_rows(rows.table[None], 3, 1)
    mean, spread = data.observation.mean(0), data.observation.std(0) + 1e-3
    np.testing.assert_allclose(batch.observation[0], (data.observation - mean) / spread, atol=1e-5)
    expected = (data.next_observation - mean) / spread
    np.testing.assert_allclose(batch.next_observation[0], expected, atol=1e-5)
    np.testing.assert_allclose(batch.action[0], data.action / 2, atol=1e-6)
    for row in range(15):
        follows = data.action[row + 1] / 2 if row % 5 < 4 else [0.0]
        np.testing.assert_allclose(batch.next_action[0, row], follows, atol=1e-6)
    returns = data.reward.reshape(3, 5).sum(1)
    np.testing.assert_allclose(task.episode_returns(), returns, rtol=1e-6)
    np.testing.assert_allclose(
        batch.reward[0], data.reward * 1000 / (returns.max() - returns.min()), rtol=1e-5
    )
    assert (batch.terminated == 0).all()
    plain = logged_rows(task, BehaviourCloningSettings(normalise=False))
    np.testing.assert_array_equal(plain.table[:, :3], data.observation)


def test_rows_that_a_method_does_not_use_are_left_out():
    data = pendulum_data(episodes=4, steps=5)
    task = model_free_task(data)
    best = data.returns().argsort()[-2:]
    rows = logged_rows(task, BehaviourCloningSettings(normalise=False, best_share=0.5))
    np.testing.assert_array_equal(rows.table[:, :3], data.observation[np.isin(data.episode, best)])
    one = logged_rows(task, BehaviourCloningSettings(best_share=1e-9))
    assert len(one.table) == 5
    assert len(logged_rows(task, TD3BCSettings(critic_penalty=0.1)).table) == 16
    assert len(logged_rows(task, TD3BCSettings()).table) == 20
    terminating = replace(task, rows=task.rows.clone())
    terminating.rows[:, -2] = task.last.float()
    assert len(logged_rows(terminating, TD3BCSettings(critic_penalty=0.1)).table) == 20


def test_tasks_and_settings_must_fit():
    with pytest.raises(ConfigError, match="no rows of whole episodes"):
        ModelFreeModule(plane_task(Plane()), METHODS[0])
    with pytest.raises(ConfigError, match="same return"):
        module_of(IQLSettings(return_range=1.0), data=pendulum_data(episodes=1))
    with pytest.raises(ConfigError, match="every episode has one step"):
        module_of(TD3BCSettings(critic_penalty=1.0), data=pendulum_data(steps=1))
    with pytest.raises(ConfigError, match="settings"):
        module_of(ReachAwareSettings())
    small = ReachAwareSettings(horizon=1, starts=2, updates=1, hidden=(4,), diversity=0.0)
    module = ReachAwareModule(model_free_task(pendulum_data()), small)
    assert isinstance(module.agent, ReachAware)
    with pytest.raises(ConfigError, match="no dynamics model"):
        module.task.dynamics.step(torch.zeros(1, 3), torch.zeros(1, 1))


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (BehaviourCloningSettings, {"best_share": 0.0}),
        (BehaviourCloningSettings, {"hidden": ()}),
        (BehaviourCloningSettings, {"initial_values": "zero"}),
        (TD3BCSettings, {"actor_value": "mean"}),
        (TD3BCSettings, {"alpha": 0.0, "actor_penalty": 0.0}),
        (TD3BCSettings, {"actor_penalty": -1.0}),
        (TD3BCSettings, {"actor_every": 0}),
        (TD3BCSettings, {"discount": 1.0}),
        (IQLSettings, {"expectile": 1.0}),
        (IQLSettings, {"quantile": 1.5}),
        (IQLSettings, {"huber": 0.0}),
        (IQLSettings, {"temperature": -1.0}),
        (IQLSettings, {"actor_decay": 0}),
        (IQLSettings, {"critics": 0}),
    ],
)
def test_a_setting_out_of_range_is_named(kind, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        kind(**wrong)


def test_every_update_has_its_number_and_rows_of_the_dataset(tmp_path, monkeypatch):
    module = module_of(METHODS[1], epochs=3)
    table = {tuple(row) for row in module.rows.numpy().round(5).tolist()}
    update, numbers, drawn = type(module.learner).update, [], []

    def recorded(learner, batch, optimizers, number, generator):
        numbers.append(number)
        parts = (
            *(batch.observation, batch.next_observation, batch.action, batch.next_action),
            *(batch.reward.unsqueeze(-1), batch.terminated.unsqueeze(-1)),
        )
        drawn.append(torch.cat(parts, -1))
        return update(learner, batch, optimizers, number, generator)

    monkeypatch.setattr(type(module.learner), "update", recorded)
    fit(module, tmp_path)
    assert numbers == list(range(1, 3 * 7 + 1))
    rows = torch.stack(drawn).numpy().round(5)
    assert rows.shape[:3] == (21, 2, 16)
    assert {tuple(row) for row in rows.reshape(-1, rows.shape[-1]).tolist()} == table
    assert not np.array_equal(rows[:, 0], rows[:, 1]), "every seed draws its own"
    assert len({row.tobytes() for row in rows}) == 21, "every update draws anew"


def test_divergence_names_seed_and_last_good_checkpoint(tmp_path):
    settings = METHODS[1]
    fit(module_of(settings, epochs=1, check_every=5), tmp_path)
    (tmp_path / "done").unlink()
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    saved["state_dict"]["learner.critics.network.weights.0"][2:] = torch.nan  # of the second seed
    torch.save(saved, tmp_path / "last.ckpt")
    with pytest.raises(Diverged, match=r"seed 1 of 2.*last good checkpoint is .*last\.ckpt"):
        fit(module_of(settings, epochs=2, check_every=5), tmp_path)


@pytest.mark.parametrize("settings", METHODS, ids=NAMES)
def test_costs_without_effect_are_said(settings):
    data = pendulum_data()
    costly = replace(data, cost=np.ones(len(data), np.float32))
    with pytest.warns(UserWarning, match=rf"costs have no effect on {type(settings).__name__}"):
        ModelFreeModule(model_free_task(costly), settings)
