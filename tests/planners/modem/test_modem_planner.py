"""MoDem's planner: the fused planning call against a slow one, exploration, and who acts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.planners.modem.builders import PIXELS, SEARCH, SETTINGS, SPACE, agent_of
from worldplan.planners.modem.agent import Modem
from worldplan.planners.modem.planner import LatentRollout, ModemPlanner
from worldplan.planners.modem.settings import (
    HandoverSettings,
)
from worldplan.planners.shooting.search import search_plan


def slow_score(
    agent: Modem, latent: Tensor, actions: Tensor, horizon: int, terminal: str
) -> Tensor:
    """Score of one candidate of one environment, critic by critic, without noise on the last
    action.
    """
    settings, model, discount = agent.settings.planning, agent.model, agent.settings.discount
    reward = torch.zeros(())
    for step in range(horizon):
        reward = reward + discount**step * model.reward(latent, actions[step : step + 1])[0]
        latent = model.next_latent(latent, actions[step : step + 1])
    members = model.settings.members
    action = model.actor(latent)
    returns = []
    for member in range(members):
        others = {
            "own": [member],
            "other": [(member - 1) % members],
            "max_other": [i for i in range(members) if i != member],
        }[terminal]
        for critic in range(2):
            best = max(
                float(model.value(latent, action[other].expand(members, 1, 2))[member, critic, 0])
                for other in others
            )
            returns.append(float(reward) + discount**horizon * best)
    stacked = torch.tensor(returns)
    return stacked.mean() - settings.pessimism * stacked.std(correction=0)


@pytest.mark.parametrize("terminal", ["own", "other", "max_other"])
@torch.no_grad()
def test_the_fused_rollout_equals_a_slow_one(terminal: str) -> None:
    """For given sequences and the actors' roll-outs, in every environment."""
    agent = agent_of()
    planning = replace(SETTINGS.planning, terminal=terminal, noise=0.0)
    agent.settings = replace(SETTINGS, planning=planning)
    latent = agent.model.encode(torch.randn(2, 5, generator=torch.Generator().manual_seed(3)))
    given = torch.rand(2, 4, 3, 2, generator=torch.Generator().manual_seed(4)) * 2 - 1
    rollout = LatentRollout(
        agent.model, latent, 6, 3, 0.95, planning, torch.Generator().manual_seed(0)
    )
    actions, scores = rollout(given)
    assert actions.shape == (2, 10, 3, 2)
    torch.testing.assert_close(actions[:, :4], given)
    for env in range(2):
        for candidate in range(10):
            expected = slow_score(
                agent, latent[env : env + 1], actions[env, candidate], 3, terminal
            )
            torch.testing.assert_close(scores[env, candidate], expected, rtol=1e-4, atol=1e-5)
        for member in range(3):  # two roll-outs of each actor
            first = agent.model.actor(latent[env : env + 1])[member, 0]
            torch.testing.assert_close(actions[env, 4 + 2 * member, 0], first)
    later, later_scores = rollout(given[:, :1])  # the proposals of the first call are kept
    torch.testing.assert_close(
        (later, later_scores),
        (
            torch.cat([given[:, :1], actions[:, 4:]], 1),
            torch.cat([scores[:, :1], scores[:, 4:]], 1),
        ),
    )


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("space", [SPACE, PIXELS])
def test_decisions_are_valid_and_repeat_with_the_seed(space: gym.Space, centred: bool) -> None:
    planning = (
        SETTINGS.planning
        if centred
        else replace(SETTINGS.planning, search=replace(SEARCH, proposals=0.25, iterations=3))
    )
    agent = agent_of(replace(SETTINGS, planning=planning), space)
    observation = (
        np.stack([space.sample()] * 3)
        if isinstance(space, gym.spaces.Box)
        else {k: np.stack([v] * 3) for k, v in space.sample().items()}
    )
    planner = ModemPlanner(agent, explore=True)
    runs = []
    for _ in range(2):
        planner.reset(seed=5)
        runs.append(
            [
                np.stack([decision.action for decision in planner.plan_batch(observation)])
                for _ in range(4)
            ]
        )
    np.testing.assert_array_equal(np.array(runs[0]), np.array(runs[1]))
    assert np.array(runs[0]).shape == (4, 3, 2)
    assert np.abs(np.array(runs[0])).max() <= 1
    single = planner.plan(
        {key: value[0] for key, value in observation.items()}
        if isinstance(observation, dict)
        else observation[0]
    )
    assert single.action.shape == (2,)
    assert single.value is not None


@pytest.mark.parametrize(("share", "correlation"), [(0.0, 0.0), (0.0, 0.8), (1.0, 0.8)])
def test_exploration_noise_has_its_size_and_its_memory(share: float, correlation: float) -> None:
    """For clone and planner; the mean action of a fixed observation is the same in every step."""
    planning = replace(
        SETTINGS.planning,
        correlation=correlation,
        noise=1e-6,
        search=replace(SEARCH, pick="mean", min_std=0.1),
    )
    agent = agent_of(
        replace(SETTINGS, planning=replace(planning, noise=0.1) if share == 0 else planning)
    )
    planner, observation = (
        ModemPlanner(agent, share=share, explore=True),
        np.zeros((200, 5), np.float32),
    )
    actions = np.array(
        [[decision.action for decision in planner.plan_batch(observation)] for _ in range(40)]
    )[..., 0]  # (steps, environments)
    noise = actions - actions.mean()
    assert noise.std() == pytest.approx(0.1, rel=0.05)
    assert (noise[1:] * noise[:-1]).mean() / noise.var() == pytest.approx(correlation, abs=0.05)


def test_centred_candidates_stay_near_the_actors() -> None:
    """With exploration centring, every action is an actor's plus noise clamped at 3 deviations; a
    Gaussian search is not limited to that.
    """
    agent = agent_of()
    observation = np.zeros((40, 5), np.float32)
    actors = (
        agent.model.actor(agent.model.encode(torch.as_tensor(observation)))[:, 0].detach().numpy()
    )
    chosen = np.stack([decision.action for decision in ModemPlanner(agent).plan_batch(observation)])
    near = np.abs(chosen[:, None] - actors[None]).max(-1).min(1)
    assert near.max() <= 0.3 + 1e-6
    free = replace(
        SETTINGS, planning=replace(SETTINGS.planning, search=replace(SEARCH, proposals=0.0))
    )
    agent.settings = free
    chosen = np.stack([decision.action for decision in ModemPlanner(agent).plan_batch(observation)])
    assert np.abs(chosen[:, None] - actors[None]).max(-1).min(1).max() > 0.5


def test_the_handover_switches_whole_segments() -> None:
    settings = replace(SETTINGS, handover=HandoverSettings(segment=5))
    agent = agent_of(settings)
    planner = ModemPlanner(agent, share=0.4)
    planner.reset(seed=1)
    observation = np.zeros((30, 5), np.float32)
    planned = np.array(
        [
            [decision.detail["planned"] for decision in planner.plan_batch(observation)]
            for _ in range(40)
        ]
    )
    segments = planned.reshape(8, 5, 30)
    assert (segments == segments[:, :1]).all()
    assert planned.mean() == pytest.approx(0.4, abs=0.1)
    clone = agent.clone(torch.zeros(1, 5)).detach().numpy()[0]
    actions = np.stack(
        [decision.action for decision in ModemPlanner(agent, share=0.0).plan_batch(observation)]
    )
    np.testing.assert_allclose(actions, np.broadcast_to(clone, actions.shape), atol=1e-6)


def test_uncertainty_decides_who_acts() -> None:
    """With a large limit the planner acts everywhere, with limit 0 nowhere; nowhere either if the
    range of values is still 0.
    """
    observation = np.random.default_rng(0).normal(size=(10, 5)).astype(np.float32)
    for limit, value_range, expected in ((1e9, 1.0, True), (0.0, 1.0, False), (1e9, 0.0, False)):
        agent = agent_of(
            replace(SETTINGS, handover=HandoverSettings(kind="uncertainty", limit=limit))
        )
        agent.scale.update(torch.linspace(0, value_range, 50))
        planned = [
            decision.detail["planned"]
            for decision in ModemPlanner(agent, share=None).plan_batch(observation)
        ]
        assert planned == [expected] * 10


def test_the_clone_picks_by_its_critic() -> None:
    """Of the clone's noisy actions, that with the highest value by the clone's critics is taken."""
    agent = agent_of(replace(SETTINGS, handover=HandoverSettings(clone_samples=200)))
    observation = np.zeros((6, 5), np.float32)
    latent = agent.clone.encode(torch.as_tensor(observation))
    chosen = torch.as_tensor(
        np.stack(
            [decision.action for decision in ModemPlanner(agent, share=0.0).plan_batch(observation)]
        )
    )
    plain = agent.clone.act(latent)
    assert (
        agent.clone.value(latent, chosen).amin(0) > agent.clone.value(latent, plain).amin(0)
    ).all()


def test_a_plan_is_dropped_where_the_clone_acted() -> None:
    """Otherwise the search would start from a plan that was not carried out."""
    settings = replace(
        SETTINGS,
        planning=replace(SETTINGS.planning, search=replace(SEARCH, proposals=0.25, max_std=0.2)),
    )
    agent = agent_of(settings)
    observation = np.zeros((2, 5), np.float32)
    planner = ModemPlanner(agent, share=1.0)
    planner.plan_batch(observation)
    assert planner.plan_before is not None
    planner.plan_before.mean.fill_(0.9)
    planner.planned_before = torch.tensor([True, False])
    warm_starts: list[Tensor] = []

    def spy(evaluate: Any, settings: Any, mean: Tensor, *rest: Any, **options: Any) -> Any:
        warm_starts.append(mean.clone())
        return search_plan(evaluate, settings, mean, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worldplan.planners.modem.planner.search_plan", spy)
        planner.plan_batch(observation)
        planner.restart(np.array([True, True]))
        planner.plan_batch(observation)
    assert bool((warm_starts[0][0] == 0.9).all())
    assert bool((warm_starts[0][1] == 0).all())
    assert bool((warm_starts[1] == 0).all())


def test_the_clone_takes_its_mean_action_if_its_critics_are_zero() -> None:
    agent = agent_of(
        replace(SETTINGS, handover=HandoverSettings(clone_samples=8)), random_heads=False
    )
    observation = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    actions = np.stack(
        [decision.action for decision in ModemPlanner(agent, share=0.0).plan_batch(observation)]
    )
    np.testing.assert_allclose(
        actions, agent.clone(torch.as_tensor(observation)).detach().numpy(), atol=1e-6
    )
