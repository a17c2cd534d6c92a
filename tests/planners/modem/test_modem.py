"""MoDem's agent: cloning, updates, settings."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.planners.modem.builders import LATENT, PIXELS, SETTINGS, SPACE, agent_of
from worldplan.milp.errors import ConfigError
from worldplan.planners.modem.agent import Modem, noisy
from worldplan.planners.modem.replay import EpisodeReplay
from worldplan.planners.modem.settings import (
    HandoverSettings,
    LinearSchedule,
    PlanningSettings,
)
from worldplan.world_models.data.episodes import Episode
from worldplan.world_models.latent.settings import LatentSettings


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


def test_noise_is_cut_and_lets_gradients_through() -> None:
    action = torch.full((1000, 1), 0.95, requires_grad=True)
    moved = noisy(action, 0.1, torch.Generator().manual_seed(0))
    assert float(moved.detach().max()) < 1
    assert float((moved.detach() - 0.95).min()) >= -0.3 - 1e-6
    moved.sum().backward()
    assert action.grad is not None
    assert (action.grad == 1).all()


def test_a_schedule_is_a_straight_line() -> None:
    schedule = LinearSchedule(0.75, 0.25, 100, 300)
    assert [schedule(step) for step in (0, 100, 200, 300, 1000)] == [0.75, 0.75, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: replace(SETTINGS, segment=0),
        lambda: replace(SETTINGS, discount=1.0),
        lambda: HandoverSettings(kind="never"),
        lambda: PlanningSettings(terminal="mine"),
        lambda: replace(SETTINGS, batch=-1),
    ],
)
def test_wrong_settings_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ConfigError):
        wrong()


def test_the_slow_copy_is_a_copy() -> None:
    """Changing the model leaves its target alone."""
    agent = agent_of()
    before = copy.deepcopy(weights_of(agent.target))
    with torch.no_grad():
        next(iter(agent.model.parameters())).add_(1.0)
    assert not changed(before, agent.target)
