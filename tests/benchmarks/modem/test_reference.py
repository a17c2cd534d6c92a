"""The loop-per-member reference of the benchmarks gives the same results as the fused code:
candidates and scores, losses and new weights.
"""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

from benchmarks.modem.reference import (
    LoopLearner,
    LoopPlanner,
    Networks,
    PlanningNoise,
    UpdateNoise,
)
from tests.planners.modem.builders import LATENT, PIXELS, SEARCH, SPACE
from worldplan.planners.modem.agent import Modem
from worldplan.planners.modem.planner import LatentRollout, ModemPlanner
from worldplan.planners.modem.replay import EpisodeReplay, Segment
from worldplan.planners.modem.settings import HandoverSettings, ModemSettings, PlanningSettings
from worldplan.world_models.data.episodes import Episode

PLAIN_SEARCH = replace(SEARCH, temperature=2.0, scale="none", pick="best")
SETTINGS = ModemSettings(
    latent=LATENT,
    planning=PlanningSettings(search=PLAIN_SEARCH, terminal="max_other"),
    handover=HandoverSettings(clone_samples=4),
    segment=3,
    batch=24,
    encoder_rate=1.0,
    imitation=0.0,
    percentile_scale=False,
    shift=0,
)


def agent_of(settings: ModemSettings = SETTINGS, space: gym.Space = SPACE) -> Modem:
    """An agent with noise on all weights, also on those that start at 0 or 1, and with slow copies
    that differ from the weights.
    """
    agent = Modem(space, 2, settings, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in (agent.model, agent.clone, agent.target):
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    agent.clone_target.load_state_dict(agent.clone.state_dict())
    return agent


def segment_of(space: gym.Space) -> Segment:
    """Segments of unequal weights, some of which end in a terminal state."""
    random, generator = np.random.default_rng(2), torch.Generator().manual_seed(2)
    replay = EpisodeReplay(space, 2, 200, 3)
    for terminated in (True, False):
        observation: np.ndarray | dict[str, np.ndarray] = random.normal(size=(13, 5)).astype(
            np.float32
        )
        if isinstance(space, gym.spaces.Dict):
            image = random.integers(0, 256, (13, 2, 3, 64, 64), dtype=np.uint8)
            observation = {
                "image": image,
                "proprioception": random.normal(size=(13, 3)).astype(np.float32),
            }
        replay.add(
            Episode(
                observation,
                random.uniform(-1, 1, (12, 2)),
                random.normal(size=12),
                terminated=terminated,
            )
        )
    replay.prioritise(replay.draw(64, generator).index, torch.rand(64, generator=generator))
    segment = replay.draw(24, generator)
    assert segment.terminated.any() and len(segment.weight.unique()) > 3
    return segment


@pytest.mark.parametrize("members", [1, 3])
@torch.no_grad()
def test_same_candidates_scores_and_decision(members: int) -> None:
    agent = agent_of(replace(SETTINGS, latent=replace(SETTINGS.latent, members=members)))
    planner = LoopPlanner(agent)
    for seed in range(3):
        observation = torch.randn(1, 5, generator=torch.Generator().manual_seed(10 + seed))
        noise = PlanningNoise.draw(agent, torch.Generator().manual_seed(seed))
        action, candidates, scores = planner.decide(observation, noise)
        fused = LatentRollout(
            agent.model,
            agent.model.encode(observation),
            12,
            3,
            agent.settings.discount,
            agent.settings.planning,
            torch.Generator().manual_seed(seed),
        )
        actions, expected = fused(torch.zeros(1, 0, 3, 2))
        torch.testing.assert_close(candidates, actions[0])
        torch.testing.assert_close(scores, expected[0])
        assert float(scores.std()) > 1e-3  # there is something to compare
        ours = ModemPlanner(agent)
        ours.reset(seed=seed)
        ours.generator = torch.Generator().manual_seed(seed)
        # the planner acts, without a draw: all random numbers are the plan's
        ours.planned, ours.step = torch.ones(1, dtype=torch.bool), 1
        torch.testing.assert_close(
            torch.from_numpy(ours.plan_batch(observation.numpy())[0].action), action
        )


@pytest.mark.parametrize("space", [SPACE, PIXELS])
def test_same_losses_priorities_and_weights(space: gym.Space) -> None:
    """Over two updates, so that the slow copies have changed too."""
    agent, segment = agent_of(space=space), segment_of(space)
    learner, optimizers = LoopLearner(agent), agent.optimizers()
    for seed in range(2):
        noise = UpdateNoise.draw(agent, segment, torch.Generator().manual_seed(seed))
        figures, priority = learner.update(segment, noise, torch.Generator())
        expected, expected_priority = agent.update(
            segment, optimizers, torch.Generator().manual_seed(seed)
        )
        for name in ("consistency", "reward", "value", "loss"):
            assert figures[name] == pytest.approx(float(expected[name]), rel=1e-4)
            assert figures[name] > 1e-3
        torch.testing.assert_close(priority, expected_priority, rtol=1e-4, atol=1e-5)
    for copies, source in (
        (learner.online, agent.model),
        (learner.slow, agent.target),
        (learner.clone, agent.clone),
        (learner.slow_clone, agent.clone_target),
    ):
        for (name, value), expected_value in zip(
            copies.named_parameters(), Networks(source).parameters(), strict=True
        ):
            torch.testing.assert_close(
                value,
                expected_value,
                rtol=1e-3,
                atol=2e-5,
                msg=lambda text, name=name: f"{name}: {text}",
            )
