"""Reach-aware value learning: targets and rollouts against direct computations, wrong settings."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.planners.offline.builders import SMALL
from worldplan.envs.dynamics.model import Members, Prediction
from worldplan.envs.edge_of_reach import Plane, PlaneDynamics
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.mobile import MobilePenalty
from worldplan.planners.offline.oracle_patch import OraclePatch
from worldplan.planners.offline.replay import Batch, unpack
from worldplan.planners.offline.rollouts import Pessimism, roll_out


def agent_of(settings=SMALL, seeds=2, seed=0):
    return ReachAware(
        2,
        -torch.ones(2),
        torch.ones(2),
        settings,
        seeds=seeds,
        generator=torch.Generator().manual_seed(seed),
    )


def batch_of(seeds=2, rows=16, horizon=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *size: torch.randn((seeds, rows, *size), generator=generator)  # noqa: E731
    step = torch.arange(rows).remainder(horizon + 1).sub(1).float().expand(seeds, rows)
    return Batch(
        3 * normal(2), torch.tanh(normal(2)), normal(), 3 * normal(2), (normal() > 1).float(), step
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lower_bound": 2.0},
        {"last_step": "reward_only"},
        {"last_step": "hold"},
        {"last_step": "pessimistic", "last_step_pessimism": 3.0},
        {"target_cap": 0.1},
        {"targets": "independent"},
        {"targets": "independent", "last_step": "pessimistic"},
    ],
)
def test_targets_row_by_row(changes):
    """Every setting of the target against plain arithmetic on single rows."""
    settings = replace(SMALL, **changes)
    agent, batch, temperature = agent_of(settings), batch_of(), torch.tensor([0.3, 0.7])
    actual = agent.target(batch, temperature, torch.Generator().manual_seed(5))
    agent.requires_grad_(False)
    action, density = agent.actor.sample(batch.next_observation, torch.Generator().manual_seed(5))
    values = agent.target_critics(batch.next_observation, action)
    for s in range(2):
        for b in range(16):
            of_all = values[s, :, b].tolist()
            mean, std = float(np.mean(of_all)), float(np.std(of_all))
            value = (
                min(of_all) if settings.lower_bound is None else mean - settings.lower_bound * std
            )
            column = of_all if settings.targets == "independent" else [value]
            last = int(batch.step[s, b]) == settings.horizon - 1
            reward, alive = float(batch.reward[s, b]), 1 - float(batch.terminated[s, b])
            if last and settings.last_step == "hold":
                column = [min(v, reward / (1 - settings.discount)) for v in column]
            if last and settings.last_step == "pessimistic":
                column = [min(v, mean - settings.last_step_pessimism * std) for v in column]
            soft = [v - float(temperature[s]) * float(density[s, b]) for v in column]
            if last and settings.last_step == "reward_only":
                soft = [0.0 for _ in soft]
            expected = [reward + settings.discount * alive * v for v in soft]
            if settings.target_cap is not None:
                expected = [min(v, settings.target_cap) for v in expected]
            np.testing.assert_allclose(actual[s, :, b].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_actor_gradient_equals_plain_backward_and_leaves_critics_alone():
    """The gradients left by `update`, against a plain backward pass through all parameters."""
    agent, batch = agent_of(), batch_of()
    plain = copy.deepcopy(agent)
    temperature = plain.log_temperature.detach().exp()
    generator = torch.Generator().manual_seed(1)
    loss, _ = plain.actor_loss(batch, temperature, generator)
    loss.sum().backward()
    agent.update(
        batch,
        [torch.optim.SGD(part, 0.0) for part in _parts(agent)],
        torch.Generator().manual_seed(1),
    )
    for mine, other in zip(agent.actor.parameters(), plain.actor.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)
    plain.zero_grad()
    target = plain.target(batch, temperature, generator)
    plain.critic_loss(batch, target)[0].sum().backward()
    for mine, other in zip(agent.critics.parameters(), plain.critics.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def _parts(agent):
    return list(agent.actor.parameters()), list(agent.critics.parameters()), [agent.log_temperature]


def test_seeds_side_by_side_equal_one_alone():
    """The updates of the second seed do not depend on the batches of the first."""
    settings, batches = SMALL, [batch_of(seed=i) for i in range(3)]
    results = []
    for other in (False, True):
        agent = agent_of(settings)
        optimizers = agent.optimizers()
        for number, batch in enumerate(batches):
            if other:
                batch = Batch(
                    *(
                        torch.cat([getattr(batch, name)[:1] * 2, getattr(batch, name)[1:]])
                        for name in Batch.__dataclass_fields__
                        if name != "cost"
                    )
                )
            agent.update(batch, optimizers, torch.Generator().manual_seed(number))
        results.append(agent.actor.network.weights[0].detach().clone())
    assert not torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])


def test_targets_follow_slowly_and_losses_fall():
    agent, batch, generator = agent_of(), batch_of(), torch.Generator().manual_seed(0)
    optimizers, before = agent.optimizers(), agent.target_critics.network.weights[0].clone()
    first = agent.update(batch, optimizers, generator)["critic_loss"]
    expected = before.lerp(agent.critics.network.weights[0].detach(), SMALL.target_rate)
    torch.testing.assert_close(agent.target_critics.network.weights[0], expected)
    for _ in range(300):
        last = agent.update(batch, optimizers, generator)["critic_loss"]
    assert (last < first).all()


def test_rollouts_follow_the_dynamics_and_stop_where_they_end():
    class Wall(PlaneDynamics):
        def step(self, observation, action, **kwargs):
            prediction = super().step(observation, action, **kwargs)
            return Prediction(
                prediction.next_observation,
                prediction.reward,
                prediction.next_observation[:, 0] > 0.05,
            )

    actor = agent_of().actor
    start = Plane().starts(60, torch.Generator().manual_seed(0)).view(2, 30, 2)
    rows, keep = roll_out(
        Wall(), actor, start, None, 4, Pessimism(), torch.Generator().manual_seed(1)
    )
    batch = unpack(rows, 2)
    torch.testing.assert_close(
        batch.next_observation, Plane().move(batch.observation, batch.action)
    )
    alive = torch.ones(2, 30, dtype=torch.bool)
    for step in range(4):
        part = slice(30 * step, 30 * (step + 1))
        assert (batch.step[:, part] == step).all() and torch.equal(keep[:, part], alive)
        alive &= batch.terminated[:, part] == 0
    assert 0 < int(keep.sum()) < keep.numel()


def test_rollouts_drop_what_is_not_finite():
    class Broken(PlaneDynamics):
        def step(self, observation, action, **kwargs):
            prediction = super().step(observation, action, **kwargs)
            prediction.next_observation[0] = torch.nan
            return prediction

    rows, keep = roll_out(
        Broken(),
        agent_of(seeds=1).actor,
        torch.zeros(1, 5, 2),
        None,
        3,
        Pessimism(),
        torch.Generator().manual_seed(0),
    )
    assert not keep[0, [0, 5, 10]].any() and rows[keep].isfinite().all() and int(keep.sum()) == 12


def test_penalties_on_rewards_and_halting():
    mean = torch.zeros(2, 3, 3)
    mean[1, 1] = 4.0
    members = Members(mean, torch.full((2, 3, 3), 0.25))
    prediction = Prediction(
        torch.zeros(3, 2), torch.ones(3), torch.zeros(3, dtype=torch.bool), members=members
    )
    reward, _ = Pessimism("max_aleatoric", 2.0).apply(prediction)
    torch.testing.assert_close(reward, 1 - 2.0 * torch.full((3,), 0.25 * 3**0.5))
    reward, ended = Pessimism(halt_above=1.0, halt_reward=-9.0).apply(prediction)
    assert ended.tolist() == [False, True, False] and reward.tolist() == [1.0, -9.0, 1.0]
    exact = Prediction(torch.zeros(3, 2), torch.ones(3), torch.zeros(3, dtype=torch.bool))
    assert Pessimism("ensemble_std", 5.0).apply(exact)[0].tolist() == [1.0, 1.0, 1.0], (
        "exact dynamics have no penalty"
    )
    with pytest.raises(ConfigError, match="choose none"):
        Pessimism("nonsense")


def test_mobile_penalty_is_the_spread_of_member_values():
    class Two(PlaneDynamics):
        def step(self, observation, action, *, members=False, **kwargs):
            prediction = super().step(observation, action)
            mean = torch.stack(
                [
                    torch.cat([prediction.next_observation + d, prediction.reward[:, None]], 1)
                    for d in (0.0, 1.5)
                ]
            )
            return Prediction(
                prediction.next_observation,
                prediction.reward,
                prediction.terminated,
                members=Members(mean, torch.zeros_like(mean)),
            )

    agent, batch = agent_of(replace(SMALL, mobile=2.0)), batch_of()
    with (
        torch.no_grad()
    ):  # values that differ, and a deterministic policy, so that only the members do
        for weight in agent.target_critics.network.weights:
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)))
        agent.actor.network.biases[-1][..., 2:] = -50.0
    actual = MobilePenalty(agent, Two(), torch.Generator().manual_seed(0))(batch)
    following = Plane().move(batch.observation, batch.action)
    value = [
        agent.target_critics(following + d, agent.actor.mean_action(following + d)).amin(1)
        for d in (0.0, 1.5)
    ]
    expected = 2.0 * torch.stack(value).std(0, correction=1) * (batch.step >= 0)
    assert expected.max() > 1
    torch.testing.assert_close(
        actual, expected, rtol=0.02, atol=0.05
    )  # the policy keeps a standard deviation of exp(-5)


def test_patches_change_only_their_rows():
    plane, batch = Plane(start=2.0, step=1.0), batch_of(rows=200)
    batch = replace(batch, next_observation=batch.next_observation * 4)
    edge = plane.is_edge(batch.next_observation, 4)
    assert 0 < int(edge.sum()) < edge.numel()
    values, action = torch.full((2, 1, 200), -7.0), torch.zeros(2, 200, 2)
    oracle = OraclePatch(plane, 4, 0.99, "oracle")
    patched = oracle(batch, action, values)[:, 0]
    assert torch.equal(patched != -7.0, edge)
    torch.testing.assert_close(
        patched[edge], plane.oracle_q(batch.next_observation, action, 0.99)[edge]
    )
    random = OraclePatch(plane, 4, 0.99, "random", torch.Generator().manual_seed(0))
    changed = random(batch, action, values)[:, 0] != -7.0
    assert torch.equal(changed.sum(-1), edge.sum(-1)) and not (changed & edge).any()
    assert torch.equal(torch.as_tensor(oracle.edge), edge.sum(-1)) and oracle.seen == 200


# --- training -------------------------------------------------------------------------------------


def test_simulator_rows_that_ended_are_not_stepped():
    """Only unfinished rows are simulated; the rollout is the same as with all of them."""

    class Simulator(PlaneDynamics):
        state_size = 2
        rows = 0

        def step(self, observation, action, *, state=None, **kwargs):
            assert torch.equal(state.float(), observation)
            self.rows += len(observation)
            prediction = super().step(observation, action)
            return Prediction(
                prediction.next_observation,
                prediction.reward,
                prediction.next_observation[:, 0] > 0.05,
                prediction.next_observation.double(),
            )

    actor, simulator = agent_of().actor, Simulator()
    start = Plane().starts(60, torch.Generator().manual_seed(0)).view(2, 30, 2)
    rows, keep = roll_out(
        simulator, actor, start, start.double(), 4, Pessimism(), torch.Generator().manual_seed(1)
    )
    assert simulator.rows == int(keep.sum()) < keep.numel()
    batch = unpack(rows, 2)
    moved = Plane().move(batch.observation, batch.action)
    torch.testing.assert_close(batch.next_observation[keep], moved[keep])
    torch.testing.assert_close(batch.reward[keep], Plane().reward(moved)[keep])


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"critics": 1}, "at least 2 critics"),
        ({"temperature": 0.0}, "temperature"),
        ({"hidden": ()}, "hidden"),
        ({"layer_norm": True, "hidden": (8, 2)}, "at least 3 units"),
        ({"actor_rate": -1.0}, "actor_rate"),
        ({"real_share": 0.001}, "no row at all"),
        ({"last_step": "x"}, "last_step"),
        ({"targets": "x"}, "targets"),
        ({"batch": 0}, "batch"),
        ({"real_share": 1.5}, "real_share"),
        ({"discount": 1.0}, "discount"),
        ({"mobile": -1.0}, "mobile"),
    ],
)
def test_wrong_settings(wrong, match):
    with pytest.raises(ConfigError, match=match):
        replace(SMALL, **wrong)
