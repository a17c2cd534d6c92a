"""Units of observations and rewards: scalers, what is reported, and trainings in other units."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from tests.planners.offline.builders import SMALL
from tests.planners.offline.test_reach_aware import batch_of
from tests.planners.offline.test_update_step import to
from worldplan.envs.dynamics.model import Prediction
from worldplan.envs.edge_of_reach import Plane, PlaneDynamics
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.diagnostics import critic_spread, value_statistics
from worldplan.planners.offline.options.gap_settings import DynamicsGap
from worldplan.planners.offline.policy import ReachAwarePolicy
from worldplan.planners.offline.replay import Batch, pack, unpack
from worldplan.planners.offline.scalers import ObservationScaler, reward_scale
from worldplan.planners.offline.task import OfflineTask, plane_task
from worldplan.planners.offline.training import ReachAwareModule
from worldplan.world_models.training.trainer import fit

REAL = replace(SMALL, real_share=0.25, updates=6)


class Converted(PlaneDynamics):
    """The plane in other units: observations times `scale` plus `shift`, rewards times `unit`."""

    def __init__(self, unit: float, scale: torch.Tensor, shift: torch.Tensor) -> None:
        super().__init__()
        self.unit, self.scale, self.shift = unit, scale, shift

    def step(self, observation: Any, action: Any, **kwargs: Any) -> Prediction:
        plain = super().step((observation - self.shift) / self.scale, action, **kwargs)
        following = plain.next_observation * self.scale + self.shift
        return Prediction(following, plain.reward * self.unit, following[:, 0] > following.max())


def task_of(
    unit: float = 1.0, scale: Any = (1.0, 1.0), shift: Any = (0.0, 0.0), data: bool = True
) -> OfflineTask:
    """The plane in other units, with random transitions as a dataset, or start states only."""
    dynamics = Converted(unit, torch.tensor(scale), torch.tensor(shift))
    generator = torch.Generator().manual_seed(0)
    task, state = plane_task(Plane()), Plane().starts(60, generator)
    action = torch.rand((60, 2), generator=generator) * 2 - 1
    observation = state * dynamics.scale + dynamics.shift
    made = dynamics.step(observation, action)
    nothing = torch.zeros(60)
    rows = Batch(observation, action, made.reward, made.next_observation, nothing, nothing - 1)
    packed = pack(rows) if data else None
    return replace(task, dynamics=dynamics, rows=packed, starts=observation)


def trained(task: OfflineTask, folder: Any, **changes: Any) -> ReachAwareModule:
    settings = replace(REAL if task.rows is not None else SMALL, **changes)
    module = ReachAwareModule(task, settings, seeds=2, epochs=2, check_every=2, check_episodes=1)
    fit(module, folder)
    return module


def weights(module: ReachAwareModule) -> torch.Tensor:
    return parameters_to_vector(module.agent.parameters()).detach()


@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize(
    "changes",
    [{}, {"layer_norm": True, "diversity": 0.0}, {"dynamics_gap": DynamicsGap(hidden=(8,))}],
)
def test_the_unit_of_reward_changes_no_weight(tmp_path: Any, data: bool, changes: Any) -> None:
    """A power of two changes no rounding either."""
    if "dynamics_gap" in changes and not data:
        pytest.skip("it compares with data")
    changes = {"normalise_rewards": True, **changes}
    one = trained(task_of(data=data), tmp_path / "one", **changes)
    other = trained(task_of(64.0, data=data), tmp_path / "other", **changes)
    assert torch.equal(weights(one), weights(other))
    rows = torch.randn((9, 2), generator=torch.Generator().manual_seed(0)).numpy()
    policies = (
        ReachAwarePolicy.load(tmp_path / "one", 1),
        ReachAwarePolicy.load(tmp_path / "other", 1),
    )
    for mine, its in zip(*(policy.plan_batch(rows) for policy in policies), strict=True):
        assert (mine.action == its.action).all()
        assert its.value == 64 * mine.value != 0
        assert its.detail["value_std"] == 64 * mine.detail["value_std"]


def test_a_training_without_the_setting_depends_on_the_unit(tmp_path: Any) -> None:
    one, other = (trained(task_of(unit), tmp_path / str(unit)) for unit in (1.0, 64.0))
    assert not torch.equal(weights(one), weights(other))


@pytest.mark.parametrize("data", [True, False])
def test_the_units_of_observations_change_the_policy_by_rounding_only(
    tmp_path: Any, data: bool
) -> None:
    scale, shift = (1000.0, 0.25), (-300.0, 2.0)
    one = trained(task_of(data=data), tmp_path / "one", normalise_observations=True)
    task = task_of(scale=scale, shift=shift, data=data)
    other = trained(task, tmp_path / "other", normalise_observations=True)
    torch.testing.assert_close(weights(other), weights(one), rtol=1e-3, atol=1e-4)
    rows = torch.randn((9, 2), generator=torch.Generator().manual_seed(0))
    converted = rows * torch.tensor(scale) + torch.tensor(shift)
    first = ReachAwarePolicy.load(tmp_path / "one", 1).plan_batch(rows.numpy())
    second = ReachAwarePolicy.load(tmp_path / "other", 1).plan_batch(converted.numpy())
    for mine, its in zip(first, second, strict=True):
        assert abs(mine.action - its.action).max() < 1e-3
        assert its.value == pytest.approx(mine.value, rel=1e-2)


def test_the_scale_comes_from_the_data_or_from_the_first_rollouts(tmp_path: Any) -> None:
    module = trained(task_of(8.0), tmp_path / "data", normalise_rewards=True)
    assert module.data is not None and module.agent.reward_scale is not None
    expected = unpack(module.data, 2).reward.square().mean().sqrt()
    torch.testing.assert_close(module.agent.reward_scale, expected.expand(2))
    module = trained(task_of(8.0, data=False), tmp_path / "plane", relative_diversity=True)
    kept = module.replay.rows[:, : SMALL.starts * SMALL.horizon]  # those of the first epoch
    assert module.agent.reward_scale is not None
    expected = unpack(kept, 2).reward.square().mean(-1).sqrt()
    torch.testing.assert_close(module.agent.reward_scale, expected)


@pytest.mark.parametrize("settings", [{"normalise_rewards": True}, {"relative_diversity": True}])
def test_diversity_relative_to_the_rewards(settings: Any) -> None:
    """Errors and rewards c times as great: each loss grows as the errors do, diversity too."""
    losses = []
    for unit in (1.0, 8.0):
        agent = ReachAware(
            2,
            -torch.ones(2),
            torch.ones(2),
            replace(SMALL, **settings),
            seeds=2,
            generator=torch.Generator().manual_seed(0),
        ).double()
        agent.fit_rewards(unit * torch.tensor([[1.0, 2.0], [3.0, 5.0]]))
        if settings == {"relative_diversity": True}:  # values c times as great, too
            for part in (agent.critics.network.weights[-1], agent.critics.network.biases[-1]):
                part.data *= unit
        batch = to(batch_of(), torch.float64)
        target = unit * torch.randn((2, 1, 16), generator=torch.Generator().manual_seed(1))
        loss = agent.critic_loss(batch, target.double())[0]
        losses.append(loss / (1 if settings == {"normalise_rewards": True} else unit**2))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=0)


def test_statistics_and_caps_are_in_the_units_of_the_environment() -> None:
    settings = replace(SMALL, normalise_rewards=True, target_cap=2.5)
    agent = ReachAware(2, -torch.ones(2), torch.ones(2), settings, seeds=2)
    plain = ReachAware(2, -torch.ones(2), torch.ones(2), SMALL, seeds=2)
    plain.load_state_dict({k: v for k, v in agent.state_dict().items() if k in plain.state_dict()})
    agent.fit_rewards(torch.tensor([[10.0], [20.0]]))
    units, batch = torch.tensor([10.0, 20.0]), batch_of()
    ours, theirs = value_statistics(agent, batch), value_statistics(plain, batch)
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name] * units)
    torch.testing.assert_close(
        critic_spread(agent, batch), critic_spread(plain, batch) * units[:, None]
    )
    halted = replace(batch, terminated=torch.ones(2, 16), reward=torch.full((2, 16), -9.0))
    target = agent.target(halted, torch.ones(2))
    torch.testing.assert_close(target, torch.full((2, 1, 16), -9.0))
    assert agent.target(batch, torch.ones(2)).max() == 2.5


def test_constant_columns() -> None:
    scaler = ObservationScaler(4)
    rows = torch.tensor([[1.0, 5.0, 0.0, 1e9], [3.0, 5.0, 0.0, 1e9]])
    rows[1, 3] += 64  # one step of float32: rounding
    scaler.fit(rows)
    assert scaler.scale.tolist() == pytest.approx([1.0, 5.0, 1.0, 1e9])
    assert scaler(rows)[:, :3].tolist() == [[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    assert scaler(rows).abs().max() <= 1
    assert reward_scale(torch.zeros(3)).item() == 1.0
    assert reward_scale(torch.tensor([[-2.0, torch.nan], [0.0, 0.0]])).tolist() == [2.0, 1.0]
