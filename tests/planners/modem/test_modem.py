"""MoDem's agent: cloning, updates, the fused planning call against a slow one, and who acts."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from worldplan.milp.errors import ConfigError
from worldplan.planners.modem.agent import Modem, noisy
from worldplan.planners.modem.planner import LatentRollout, ModemPlanner
from worldplan.planners.modem.replay import EpisodeReplay
from worldplan.planners.modem.settings import (
    HandoverSettings,
    LinearSchedule,
    ModemSettings,
    PlanningSettings,
)
from worldplan.planners.shooting.search import search_plan
from worldplan.planners.shooting.settings import ShootingSettings
from worldplan.world_models.data.episodes import Episode
from worldplan.world_models.latent.settings import LatentSettings

SPACE = gym.spaces.Box(-np.inf, np.inf, (5,), np.float32)
PIXELS = gym.spaces.Dict(
    {
        "image": gym.spaces.Box(0, 255, (2, 3, 64, 64), np.uint8),
        "proprioception": gym.spaces.Box(-np.inf, np.inf, (3,), np.float32),
    }
)
LATENT = LatentSettings(latent=8, hidden=16, encoder_hidden=16, channels=4, members=3)
SEARCH = ShootingSettings(
    samples=12,
    elites=4,
    iterations=1,
    horizon=3,
    temperature=0.5,
    min_std=0.1,
    proposals=1.0,
    pick="draw",
)
SETTINGS = ModemSettings(
    latent=LATENT,
    planning=PlanningSettings(search=SEARCH),
    segment=3,
    batch=16,
    encoder_rate=1.0,
    target_every=2,
)


def agent_of(
    settings: ModemSettings = SETTINGS, space: gym.Space = SPACE, *, random_heads: bool = True
) -> Modem:
    """An agent whose reward and critics are random, not 0 as in a new agent."""
    agent = Modem(space, 2, settings, generator=torch.Generator().manual_seed(0))
    if random_heads:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in [*agent.model.parameters(), *agent.clone.parameters()]:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        agent.target.load_state_dict(agent.model.state_dict())
    return agent


def episodes_of(space: gym.Space, steps: int = 20) -> list[Episode]:
    """A success and a failure."""
    random, episodes = np.random.default_rng(0), []
    for success in (True, False):
        observation: Any
        if isinstance(space, gym.spaces.Dict):
            image = random.integers(0, 256, (steps + 1, 2, 3, 64, 64), dtype=np.uint8)
            observation = {
                "image": image,
                "proprioception": random.normal(size=(steps + 1, 3)).astype(np.float32),
            }
        else:
            observation = random.normal(size=(steps + 1, 5)).astype(np.float32)
        vector = observation["proprioception"] if isinstance(observation, dict) else observation
        action = np.tanh(vector[:-1, :2])  # a function of the observation, so that it can be cloned
        episodes.append(
            Episode(
                observation, action, (np.arange(steps) > 12).astype(np.float32), success=success
            )
        )
    return episodes


def replay_of(space: gym.Space = SPACE) -> EpisodeReplay:
    replay = EpisodeReplay(space, 2, 200, 3)
    for episode in episodes_of(space):
        replay.add(episode)
    return replay


def weights_of(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(before: dict[str, Tensor], module: torch.nn.Module) -> bool:
    return any(not torch.equal(before[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize("space", [SPACE, PIXELS])
def test_the_clone_learns_its_demonstrations_and_hands_them_on(space: gym.Space) -> None:
    """The loss falls, and every actor then starts as a copy of the clone."""
    agent, replay, generator = (
        agent_of(replace(SETTINGS, clone_rate=3e-3), space),
        replay_of(space),
        torch.Generator().manual_seed(0),
    )
    optimizer = agent.optimizers()[0]
    losses = [
        float(agent.clone_update(*replay.draw_successful(32, generator), optimizer, generator))
        for _ in range(60)
    ]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    agent.start_from_clone()
    observation, _ = replay.draw_successful(4, generator)
    latent = agent.model.encode(observation)
    torch.testing.assert_close(latent, agent.clone.encode(observation))
    for member in agent.model.actor(latent):
        torch.testing.assert_close(member, agent.clone(observation))


@pytest.mark.parametrize("space", [SPACE, PIXELS])
@pytest.mark.parametrize(
    "latent", [LATENT, replace(LATENT, simnorm=4, normed_layers=True, bins=21)]
)
def test_an_update_moves_what_it_should(space: gym.Space, latent: LatentSettings) -> None:
    agent, replay, generator = (
        agent_of(replace(SETTINGS, latent=latent), space),
        replay_of(space),
        torch.Generator().manual_seed(0),
    )
    optimizers = agent.optimizers()
    model, clone, target = (
        weights_of(agent.model),
        weights_of(agent.clone),
        weights_of(agent.target),
    )
    figures, priority = agent.update(
        replay.draw(16, generator), optimizers, generator, pretraining=True
    )
    assert priority.shape == (16,)
    assert (priority >= 0).all()
    assert all(torch.isfinite(value) for value in figures.values())
    encoder = {name for name in model if name.startswith(("encoder.", "actors."))}
    now = agent.model.state_dict()
    assert all(torch.equal(model[name], now[name]) for name in encoder)
    assert all(
        not torch.equal(model[name], now[name])
        for name in model
        if name.startswith(("dynamics.", "reward_network.")) and "weight" in name
    )
    assert not changed(target, agent.target)  # every second update
    agent.update(replay.draw(16, generator), optimizers, generator)
    now = agent.model.state_dict()
    assert not all(
        torch.equal(model[name], now[name]) for name in encoder if name.startswith("encoder.")
    )
    assert not all(
        torch.equal(model[name], now[name]) for name in encoder if name.startswith("actors.")
    )
    assert changed(target, agent.target)
    assert not changed(clone, agent.clone)


def test_the_actors_imitate_demonstrated_actions() -> None:
    """With critics that are 0 everywhere, imitation alone changes actors and encoder; without
    examples, the actors do not change.
    """
    settings = replace(SETTINGS, imitation=10.0, learning_rate=3e-3)
    agent, replay, generator = (
        agent_of(settings, random_heads=False),
        replay_of(),
        torch.Generator().manual_seed(0),
    )
    optimizers, latents = agent.optimizers(), torch.zeros(4, 16, 8)
    before = weights_of(agent.model)
    agent._update_actors(latents, None, optimizers[2], generator)
    assert not changed(before, agent.model)
    observation, action = replay.draw_successful(64, generator)
    example = (agent.model.encode(observation).detach(), action)
    distances = [
        float(agent._update_actors(latents, example, optimizers[2], generator)["imitation"])
        for _ in range(150)
    ]
    assert distances[-1] < 0.5 * distances[0]
    for rate in (1.0, 0.1):
        agent = agent_of(
            replace(settings, encoder_rate=rate, consistency=0.0, reward=0.0, value=0.0)
        )
        encoder = weights_of(agent.model.encoder)
        agent.update(
            replay.draw(16, generator),
            agent.optimizers(),
            generator,
            demonstrated=(observation, action),
        )
        assert changed(encoder, agent.model.encoder)


@pytest.mark.parametrize("space", [SPACE, PIXELS])
def test_a_frozen_encoder_learns_the_same_from_latents(space: gym.Space) -> None:
    """With frozen encoders, an update from stored latents equals that from observations; encoders
    do not change.
    """
    settings = replace(SETTINGS, shift=0, imitation=0.0, handover=HandoverSettings(clone_samples=4))
    encoding = agent_of(settings, space)
    frozen = agent_of(replace(settings, encoder_rate=0.0), space)
    for agent in (encoding, frozen):
        agent.start_from_clone()
    replay, stored = replay_of(space), EpisodeReplay(space, 2, 200, 3)
    first, second = episodes_of(space)
    stored.add(first)
    # encodes the episode already there and the later one
    stored.encode_with(frozen.model.encode, frozen.settings.latent.latent)
    stored.add(second)
    encoder = weights_of(frozen.model.encoder)
    results = []
    for agent, source in ((encoding, replay), (frozen, stored)):
        generator = torch.Generator().manual_seed(5)
        figures, priority = agent.update(
            source.draw(16, generator), agent.optimizers(), generator, pretraining=True
        )
        results.append((figures, priority))
    torch.testing.assert_close(results[0], results[1])
    generator = torch.Generator().manual_seed(6)
    frozen.update(
        stored.draw(16, generator),
        frozen.optimizers(),
        generator,
        demonstrated=stored.draw_successful(8, generator),
    )
    assert not changed(encoder, frozen.model.encoder)


def test_learning_rates_fall_and_the_encoder_has_its_own() -> None:
    """Cloning ends at rate 0, learning at `last_rate`; the encoder's is a fixed share of it."""
    settings = replace(
        SETTINGS, clone_rate=4e-3, learning_rate=2e-3, last_rate=1e-3, encoder_rate=0.1
    )
    agent = agent_of(settings)
    optimizers = agent.optimizers()
    encoder = set(optimizers[1].param_groups[0]["params"])
    assert encoder == set(agent.model.encoder.parameters())
    for cloned, learned, expected in (
        (0.0, 0.0, [4e-3, 2e-4, 2e-3, 2e-3]),
        (0.75, 0.0, [1e-3, 2e-4, 2e-3, 2e-3]),
        (0.0, 1.0, [4e-3, 1e-4, 1e-3, 1e-3]),
    ):
        agent.set_rates(optimizers, cloned, learned)
        rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
        assert rates == pytest.approx(expected)


@torch.no_grad()
def _value(agent: Modem, observation: Tensor, action: Tensor) -> tuple[float, float, float]:
    latent, clone_latent = agent.model.encode(observation), agent.clone.encode(observation)
    values = (
        agent.model.value(latent, action),
        agent.model.reward(latent, action),
        agent.clone.value(clone_latent, action),
    )
    return tuple(float(value.mean()) for value in values)  # type: ignore[return-value]


def test_values_come_near_the_truth_on_a_known_chain() -> None:
    """With reward 1 in every step, the value of every state is 1 / (1 - gamma), for clone and
    members.
    """
    settings = replace(
        SETTINGS,
        discount=0.5,
        learning_rate=3e-3,
        target_rate=0.1,
        target_every=1,
        handover=HandoverSettings(clone_samples=4),
    )
    agent, generator = agent_of(settings), torch.Generator().manual_seed(0)
    replay, random = EpisodeReplay(SPACE, 2, 200, 3), np.random.default_rng(0)
    replay.add(
        Episode(
            random.normal(size=(41, 5)).astype(np.float32),
            random.uniform(-1, 1, (40, 2)),
            np.ones(40),
        )
    )
    optimizers = agent.optimizers()
    for _ in range(400):
        segment = replay.draw(32, generator)
        agent.update(segment, optimizers, generator)
    value, reward, clone_value = _value(agent, segment.observation[0], segment.action[0])
    assert value == pytest.approx(2.0, abs=0.25)
    assert reward == pytest.approx(1.0, abs=0.1)
    assert clone_value == pytest.approx(2.0, abs=0.25)


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


def test_noise_is_cut_and_lets_gradients_through() -> None:
    action = torch.full((1000, 1), 0.95, requires_grad=True)
    moved = noisy(action, 0.1, torch.Generator().manual_seed(0))
    assert float(moved.detach().max()) < 1
    assert float((moved.detach() - 0.95).min()) >= -0.3 - 1e-6
    moved.sum().backward()
    assert action.grad is not None
    assert (action.grad == 1).all()


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


def test_a_schedule_is_a_straight_line() -> None:
    schedule = LinearSchedule(0.75, 0.25, 100, 300)
    assert [schedule(step) for step in (0, 100, 200, 300, 1000)] == [0.75, 0.75, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    "wrong",
    [
        {"segment": 0},
        {"discount": 1.0},
        {"handover": HandoverSettings(kind="never")},
        {"planning": PlanningSettings(terminal="mine")},
        {"batch": -1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(SETTINGS, **wrong)


def test_the_slow_copy_is_a_copy() -> None:
    """Changing the model leaves its target alone."""
    agent = agent_of()
    before = copy.deepcopy(weights_of(agent.target))
    with torch.no_grad():
        next(iter(agent.model.parameters())).add_(1.0)
    assert not changed(before, agent.target)


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
