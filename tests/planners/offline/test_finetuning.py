"""From offline to online: real steps, their share of the batches, resuming, the change-over."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch

from tests.planners.offline.slider import LENGTH, STEP, SliderDynamics, random_data
from tests.planners.offline.test_costs import SMALL as WITH_COSTS
from tests.planners.offline.test_costs import beyond
from worldplan.envs.slider import Slider
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.planners.offline.actor import SquashedActor
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.options import finetuning
from worldplan.planners.offline.options.finetuning import Finetuning, OnlineData
from worldplan.planners.offline.options.task_costs import costs_for
from worldplan.planners.offline.policy import ReachAwarePolicy
from worldplan.planners.offline.replay import unpack
from worldplan.planners.offline.task import dataset_task
from worldplan.planners.offline.training import ReachAwareModule
from worldplan.world_models.training.trainer import fit

SMALL = replace(WITH_COSTS, costs=None)
DATA = random_data(costs=False)
HOW = Finetuning(steps=40, capacity=100, share=0.25)


def module_of(epochs=2, finetune=0, finetuning=HOW, numbers=SMALL, data=DATA, **options):
    task = dataset_task(data, dynamics=SliderDynamics(), **options)
    return ReachAwareModule(
        task,
        numbers,
        seeds=2,
        epochs=epochs,
        check_every=1,
        check_episodes=2,
        finetune=finetune,
        finetuning=finetuning if finetune else None,
    )


def metrics(folder):
    return pd.read_csv(folder / "metrics.csv")


@pytest.mark.parametrize("lengths", [(100, 99, 7), (7, 100, 99), (30, 30, 30)])
def test_episodes_of_different_lengths_lose_no_step(monkeypatch, lengths):
    """Seeds that have enough steps wait for the others; the buffer is no larger than their need."""
    count = len(lengths)
    online = OnlineData(module_of().task, replace(HOW, steps=100, capacity=100), 6, count)
    number = iter(range(1, 10**6))

    def episodes(_, wanting, *__):
        for step in range(max(np.array(lengths)[wanting])):
            keep = wanting & (step < np.array(lengths))
            yield torch.full((count, 6), float(next(number))), keep

    monkeypatch.setattr(online, "_episodes", lambda *arguments: episodes(None, *arguments[1:]))
    monkeypatch.setattr(finetuning, "EpisodeBatch", lambda *_, **__: None)
    rows, keep = online.collect(None, None, 0, torch.Generator().manual_seed(0))
    for seed in range(count):
        newest = rows[seed][keep[seed]][-100:, 0]
        assert int(online.buffer.filled[seed]) == 100
        assert set(online.buffer.rows[seed, :100, 0].tolist()) == set(newest.tolist())


@pytest.mark.parametrize("costs", [False, True])
@pytest.mark.parametrize("rollouts", [False, True])
def test_batches_hold_real_steps_in_their_share(tmp_path, monkeypatch, rollouts, costs):
    """Every real step is one of the environment, by an action of the policy."""
    batches, update = [], ReachAware.update

    def recorded(agent, batch, *rest):
        batches.append(batch)
        return update(agent, batch, *rest)

    monkeypatch.setattr(ReachAware, "update", recorded)
    how = replace(HOW, rollouts=rollouts, capacity=1000)
    given = (
        {"numbers": WITH_COSTS, "data": replace(DATA, cost=beyond_data()), "cost": beyond}
        if costs
        else {}
    )
    module = module_of(1, 2, how, **given)
    fit(module, tmp_path)
    real, model, online = how.parts(32, 0.5)
    assert (real, model, online) == ((16, 8, 8) if rollouts else (24, 0, 8))
    rows = module.online.buffer.rows[:, :-1]
    seen = unpack(rows[:, : int(module.online.buffer.filled.min())], 1, costs=costs)
    torch.testing.assert_close(
        seen.next_observation, (seen.observation + STEP * seen.action).clamp(-1, 1)
    )
    torch.testing.assert_close(seen.reward, seen.next_observation[..., 0])
    assert bool((seen.step == -1).all()) and not bool(seen.terminated.any())
    if costs:
        assert torch.equal(seen.cost, (seen.next_observation[..., 0] > 0.5).float())
    stored = torch.from_numpy(DATA.observation[:, 0])
    for number, batch in enumerate(batches):
        from_rollouts = (batch.step >= 0).sum(1)
        wanted = 16 if number < SMALL.updates else model
        assert from_rollouts.tolist() == [wanted, wanted]
        for seed in range(2):
            not_stored = ~torch.isin(batch.observation[seed, :, 0], stored)
            new = not_stored & (batch.step[seed] < 0)
            assert int(new.sum()) <= (0 if number < SMALL.updates else online)
            if number >= SMALL.updates:
                assert int(new.sum()) >= online - 2  # a start state may be one of the data
                assert bool(torch.isin(batch.observation[seed, new, 0], rows[seed, :, 0]).all())


def beyond_data():
    return (DATA.next_observation[:, 0] > 0.5).astype(np.float32)


def seven(observation, action, next_observation):
    return torch.full_like(observation[:, 0], 7.0)


@pytest.mark.parametrize("threshold", [0.0, -0.3, 0.1])
@pytest.mark.parametrize("kind", ["always", "costly", "late", "resumed", "never"])
def test_silent_steps_are_free_where_the_environment_reports_costs(monkeypatch, kind, threshold):
    """The function of the costs takes no part then, not even in the steps before the first report:
    those of the first epoch where it is late.
    """
    whole, epoch = Slider.step, [0]

    def step(env, action):
        following, *rest, _ = whole(env, action)
        cost = 2.5 * float(following[0] > threshold)
        silent = kind == "never" or (kind in ("late", "resumed") and not epoch[0])
        silent = silent or (kind != "always" and not cost)
        return (following, *rest, {} if silent else {"cost": cost})

    monkeypatch.setattr(Slider, "step", step)
    task = dataset_task(DATA, dynamics=SliderDynamics(), cost=seven)
    costs = costs_for(task, WITH_COSTS, task.dynamics)
    actor = SquashedActor(1, task.low, task.high, (4,), seeds=2)
    how, width = replace(HOW, capacity=1000), task.rows.shape[1] + 1
    online = OnlineData(task, how, width, 2)
    for epoch[0] in range(3):
        rows, keep = online.collect(actor, costs, epoch[0], torch.Generator().manual_seed(epoch[0]))
        last = unpack(rows[keep], 1, costs=True)
        if kind == "resumed":
            state, online = online.state(), OnlineData(task, how, width, 2)
            online.restore(state)
    seen = unpack(online.buffer.rows[:, : 3 * 2 * LENGTH], 1, costs=True)
    expected = 2.5 * (seen.next_observation[..., 0] > threshold).float()
    if kind == "never":
        expected[:] = 7.0
    elif kind in ("late", "resumed"):
        expected[:, : 2 * LENGTH] = 0.0
    assert online.buffer.filled.tolist() == [[3 * 2 * LENGTH]] * 2
    assert torch.equal(seen.cost, expected) and (expected > 0).any()
    part = expected[:, 2 * 2 * LENGTH :]
    assert last.cost.sort().values.tolist() == part.flatten().sort().values.tolist()


def test_whole_episodes_are_played_and_the_oldest_steps_replaced(tmp_path):
    module = module_of(1, 3)
    fit(module, tmp_path)
    table = metrics(tmp_path)
    assert table["online/steps"].dropna().tolist() == [2 * LENGTH] * 3  # 40 steps: two episodes
    buffer = module.online.buffer
    assert buffer.filled.tolist() == [[100], [100]]  # of 180
    batch = unpack(buffer.rows[:, :100], 1)
    follows = batch.next_observation[:, :-1, 0] == batch.observation[:, 1:, 0]
    # episodes begin at steps 90, 120 and 150; the ring begins with step 80, at place 80
    assert (~follows).sum(1).tolist() == [4, 4]
    assert not torch.equal(batch.observation[0], batch.observation[1])  # seeds act by themselves


@pytest.mark.parametrize("stops", [[1], [2], [3], [4], [1, 2, 3, 4], [2, 3]])
def test_a_training_in_parts_equals_an_unbroken_one(tmp_path, stops):
    """Cut before, at and after the change-over: the same command with another length."""
    fit(module_of(2, 3), tmp_path / "whole", save_every=1)
    for stop in stops:
        module = module_of(min(stop, 2), max(0, stop - 2))
        fit(module, tmp_path / "parts", save_every=1)
    module = module_of(2, 3)
    fit(module, tmp_path / "parts", save_every=1)
    tables = [metrics(tmp_path / name) for name in ("whole", "parts")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    states = [
        torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "parts")
    ]
    for name, weight in states[0]["state_dict"].items():
        assert torch.equal(weight, states[1]["state_dict"][name])
    assert torch.equal(*[state["progress"]["online"]["rows"] for state in states])
    again = ReachAwarePolicy.load(tmp_path / "parts", 1)
    assert np.isfinite(again.plan(np.zeros(1, np.float32)).action).all()


def test_the_change_over_is_reported(tmp_path):
    fit(module_of(2, 7), tmp_path)
    table, report = metrics(tmp_path), pd.read_csv(tmp_path / "finetune.csv")
    for seed in (0, 1):
        returns = table[f"check/return/{seed}"]
        row = report.iloc[seed]
        assert row["before"] == pytest.approx(returns[1])
        assert row["lowest"] == pytest.approx(returns[2:7].min())  # of the first five checks
        assert row["drop"] == pytest.approx(returns[2:7].min() - returns[1])
        assert row["last"] == pytest.approx(returns[8])
        assert table[f"finetune/drop/{seed}"].iloc[-1] == pytest.approx(row["drop"], abs=1e-4)
        assert table[f"finetune/gain/{seed}"].iloc[-1] == pytest.approx(
            row["last"] - row["before"], abs=1e-4
        )
        assert table[f"finetune/drop/{seed}"][:2].isna().all()


def test_another_fine_tuning_is_refused(tmp_path):
    fit(module_of(3), tmp_path / "longer", save_every=1)
    with pytest.raises(CheckpointError, match="has 3 offline epochs, but finetune begins after"):
        fit(module_of(2, 4), tmp_path / "longer")
    with pytest.raises(CheckpointError, match="set epochs to 3"):
        fit(module_of(1, 1), tmp_path / "longer")
    fit(module_of(2, 2), tmp_path / "online", save_every=1)
    before = (tmp_path / "online" / "last.ckpt").read_bytes()
    with pytest.raises(CheckpointError, match="epochs was 2, is 3"):
        fit(module_of(3, 4), tmp_path / "online")
    with pytest.raises(CheckpointError, match="epochs was 2, is 9"):
        fit(module_of(9), tmp_path / "online")
    with pytest.raises(CheckpointError, match=r"finetuning.share was 0.25, is 0.5"):
        fit(module_of(2, 4, replace(HOW, share=0.5)), tmp_path / "online")
    fit(module_of(2), tmp_path / "online")  # a shorter one has ended
    assert (tmp_path / "online" / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, r"finetuning\.steps 0"),
        ({"steps": 50, "capacity": 40}, r"finetuning\.capacity 40"),
        ({"share": 0.0}, r"finetuning\.share 0"),
        ({"share": 1.5}, r"finetuning\.share 1\.5"),
        ({"share": float("nan")}, r"finetuning\.share"),
        ({"rollouts": "no"}, r"finetuning\.rollouts"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(HOW, **changes)


def test_lengths_and_memory_are_checked():
    with pytest.raises(ConfigError, match="finetune -1"):
        module_of(2, -1)
    with pytest.raises(ConfigError, match="belongs to finetune, which is 0"):
        ReachAwareModule(
            dataset_task(DATA, dynamics=SliderDynamics()), SMALL, finetuning=Finetuning()
        )
    with pytest.raises(ConfigError, match=r"capacity \d+: takes"):
        module_of(2, 1, replace(HOW, capacity=10**11))


def test_an_environment_without_a_step_limit_is_left(tmp_path):
    name = "WorldplanTestEndlessSlider-v0"
    gym.register(name, entry_point="worldplan.envs.slider:Slider")
    environment = {"id": name, "differs_from_data": True}
    task = dataset_task(DATA, environment=environment, dynamics=SliderDynamics())
    module = ReachAwareModule(task, SMALL, seeds=2, finetune=1, finetuning=HOW)
    rows, keep = module.online.collect(
        module.agent.actor, None, 0, torch.Generator().manual_seed(0)
    )
    assert rows.shape == (2, 40, 6) and bool(keep.all())
