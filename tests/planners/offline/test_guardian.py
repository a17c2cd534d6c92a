"""The guardian of OGSRL: support of data, ends of rollouts, refusals, a policy that stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logsumexp

from tests.planners.offline.slider import SliderDynamics, beyond, random_data
from tests.planners.offline.test_costs import LEARNING
from tests.planners.offline.test_costs import SMALL as WITH_COSTS
from worldplan.envs.dynamics.model_check import check_model
from worldplan.envs.edge_of_reach import Plane
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.options.guardian import (
    GuardedDynamics,
    Guardian,
    Support,
    guarded,
    outside,
)
from worldplan.planners.offline.replay import Batch
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.task import dataset_task, plane_task
from worldplan.planners.offline.training import ReachAwareModule
from worldplan.world_models.training.trainer import fit

SMALL = replace(WITH_COSTS, costs=None, guardian=Guardian(-2.0))
WIDE = random_data()
# the episodes that stay below 0.2
DATA = WIDE.select(
    np.repeat(np.maximum.reduceat(WIDE.next_observation[:, 0], WIDE.starts) < 0.2, WIDE.lengths())
)
BARE = replace(DATA, cost=None)


def rows_of(count, sizes=(2, 1), seed=0):
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *size: torch.randn(count, *size, generator=generator)  # noqa: E731
    zeros = torch.zeros(count)
    return Batch(normal(sizes[0]), normal(sizes[1]), zeros, normal(sizes[0]), zeros, zeros - 1)


@pytest.mark.parametrize("bandwidth", [None, 0.3, 1e-3])
@pytest.mark.parametrize("sizes", [(2, 1), (9, 4)])
def test_density_and_threshold_are_those_of_the_definition(bandwidth, sizes):
    batch = rows_of(60, sizes)
    support = Support(
        batch, Guardian(-1.0, quantile=0.2, bandwidth=bandwidth), torch.Generator().manual_seed(0)
    )
    pairs = torch.cat([batch.observation, batch.action], 1).double().numpy()
    low, high = pairs.min(0), pairs.max(0)
    scaled = 2 * (pairs - low) / (high - low) - 1
    width = bandwidth or scaled.std(0).mean() * 60 ** (-1 / (sum(sizes) + 4))
    squares = ((scaled[:, None] - scaled[None]) ** 2).sum(-1)
    exponents = -squares / (2 * width**2)
    density = logsumexp(exponents, axis=1) - np.log(60)
    ours = support.log_density(torch.from_numpy(pairs).float())
    np.testing.assert_allclose(ours, density, rtol=2e-3, atol=2e-2)
    np.fill_diagonal(exponents, -np.inf)
    without_itself = logsumexp(exponents, axis=1) - np.log(59)
    threshold = float(np.quantile(without_itself, 0.2))
    assert float(support.threshold) == pytest.approx(threshold, rel=2e-3, abs=2e-2)
    far = torch.full((1, sizes[0]), 50.0), torch.zeros(1, sizes[1])
    broken = torch.full((1, sizes[0]), torch.nan), torch.zeros(1, sizes[1])
    assert support.outside(*far).tolist() == support.outside(*broken).tolist() == [True]


def test_a_share_of_new_pairs_of_the_same_kind_is_outside():
    support = Support(rows_of(4000), Guardian(-1.0), torch.Generator().manual_seed(0))
    assert len(support.centres) == 2000
    fresh = rows_of(5000, seed=1)
    share = support.outside(fresh.observation, fresh.action).float().mean()
    assert 0.03 < share < 0.08


def test_a_rollout_ends_with_its_first_step_outside():
    task = dataset_task(BARE, dynamics=SliderDynamics())
    model = guarded(task, SMALL)
    assert isinstance(model, GuardedDynamics)
    places = torch.tensor([[0.0], [-0.3], [0.99]])
    made = model.step(places, torch.zeros(3, 1))
    assert made.terminated.tolist() == [False, False, True]
    torch.testing.assert_close(made.reward, torch.tensor([0.0, -0.3, -20.0]))  # -2 / (1 - 0.9)
    check_model(model, DATA.observation, DATA.action)


def test_steps_outside_cost_in_model_rollouts_and_not_in_real_steps():
    numbers = replace(WITH_COSTS, guardian=Guardian(-2.0, cost=3.0))
    module = ReachAwareModule(dataset_task(DATA, dynamics=SliderDynamics(), cost=beyond), numbers)
    rows = torch.tensor([[[-0.3, -0.3, 0.0, -0.3, 0, 0], [0.99, 1.0, 0.0, 1.0, 0, 1]]])
    assert module.costs.add(rows)[0, :, -1].tolist() == pytest.approx([0, 30])
    assert module.costs.add_real(rows[0], {})[:, -1].tolist() == [0, 1]
    assert module.costs.add_real(rows[0], {"cost": np.array([5.0, 0.0])})[:, -1].tolist() == [5, 0]


def test_a_training_resumes_to_the_same_metrics(tmp_path):
    module = lambda epochs: ReachAwareModule(  # noqa: E731
        dataset_task(BARE, dynamics=SliderDynamics()),
        SMALL,
        seeds=2,
        epochs=epochs,
        check_every=1,
        check_episodes=1,
    )
    fit(module(3), tmp_path / "whole", save_every=1)
    fit(module(2), tmp_path / "parts", save_every=1)
    fit(module(3), tmp_path / "parts", save_every=1)
    whole, parts = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, parts, check_exact=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantile": 0.0}, r"guardian\.quantile 0"),
        ({"quantile": 1.0}, r"guardian\.quantile 1"),
        ({"cost": -1.0}, r"guardian\.cost -1"),
        ({"bandwidth": 0.0}, r"guardian\.bandwidth 0"),
        ({"centres": 1}, r"guardian\.centres 1"),
        ({"reward": float("-inf")}, r"guardian\.reward"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(Guardian(-1.0), **changes)


def test_a_guardian_needs_data_and_a_low_reward():
    plane = plane_task(Plane(), starts=10)
    numbers = ReachAwareSettings(real_share=0.0, guardian=Guardian(-1.0))
    with pytest.raises(ConfigError, match="start states only"):
        guarded(plane, numbers)
    task = dataset_task(BARE, dynamics=SliderDynamics())
    with pytest.raises(ConfigError, match=r"guardian.reward 5: is above the least reward"):
        ReachAwareModule(task, replace(SMALL, guardian=Guardian(5.0)))


@pytest.mark.slow
def test_a_policy_stays_with_the_data(tmp_path):
    """The reward grows to the right, and the data end at about 0.2: without a guardian, exact
    dynamics lead the policy to 1.
    """
    last = {}
    for guardian in (None, Guardian(-1.0)):
        module = ReachAwareModule(
            dataset_task(BARE, dynamics=SliderDynamics()),
            replace(LEARNING, costs=None, guardian=guardian),
            seeds=2,
            epochs=15,
            check_every=5,
        )
        folder = tmp_path / str(guardian is None)
        last[guardian is None] = (
            fit(module, folder) and pd.read_csv(folder / "metrics.csv").iloc[-1]
        )
    for seed in (0, 1):
        assert last[True][f"check/return/{seed}"] > 12
        assert DATA.returns().mean() + 3 < last[False][f"check/return/{seed}"] < 7  # 6: 0.2 a step


def test_the_ceiling_of_values_does_not_see_a_guardians_reward():
    """It stands for all later steps, and is no reward of one."""
    task = dataset_task(BARE, dynamics=SliderDynamics())
    dynamics = guarded(task, SMALL)
    batch = rows_of(50, (1, 1))
    columns = [name for name in Batch.__slots__ if name != "cost"]
    batch = Batch(*(getattr(batch, name).unsqueeze(0) for name in columns))
    left = outside(dynamics, batch)
    expected = dynamics.support.outside(batch.observation[0], batch.action[0])
    assert torch.equal(left[0], expected) and bool(left.any()) and not bool(left.all())
    assert not bool(outside(task.dynamics, batch).any())
