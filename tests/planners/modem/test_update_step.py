"""Weights and moments after updates of MoDem's agent with the shipped optimisers, against plain
ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.planners.modem.builders import LATENT, PIXELS, SETTINGS, SPACE, agent_of
from tests.planners.modem.plain_update import plain_clone_update, plain_update
from tests.planners.modem.test_modem import episodes_of, replay_of
from tests.updates import assert_same_state, plain_optimizer, state_of
from worldplan.planners.modem.agent import Modem
from worldplan.planners.modem.replay import EpisodeReplay, Segment
from worldplan.planners.modem.settings import HandoverSettings, ModemSettings
from worldplan.world_models.data.episodes import columns_of, observation_of

LATENTS: list[dict[str, Any]] = [
    {},
    {"hidden": 8, "encoder_hidden": 8},  # all weights square
    {"simnorm": 4, "normed_layers": True, "bins": 21},
    {"bins": 5, "members": 1},
    {"keypoints": True, "members": 2},
]
CHANGES: list[dict[str, Any]] = [
    {},
    {"imitation": 0.0, "percentile_scale": False},
    {"handover": HandoverSettings(clone_samples=4), "target_every": 1},
    {"handover": HandoverSettings(clone_samples=4), "target_rate": 1.0, "shift": 0},
    {"clip": 0.01, "encoder_rate": 0.3},
    {"clip": 1e6, "temporal": 1.0},
]


def double(value: Any) -> Any:
    """Tensors, and those of an observation, in double precision; images are not changed."""
    columns = {
        name: column.double() if column.is_floating_point() else column
        for name, column in columns_of(value).items()
    }
    return observation_of(columns)


def double_segment(segment: Segment) -> Segment:
    parts = {"observation": double(segment.observation)}
    for name in ("action", "reward", "terminated", "weight"):
        parts[name] = getattr(segment, name).double()
    return replace(segment, **parts)


def states_after(
    numbers: ModemSettings, space: gym.Space, source: EpisodeReplay, updates: int, seed: int
) -> None:
    """Clone twice, pretrain once, update, and compare the agent with a plainly updated copy."""
    agent = agent_of(numbers, space).double()
    plain = copy.deepcopy(agent)
    optimizers = agent.optimizers()
    others = [plain_optimizer(optimizer, agent, plain) for optimizer in optimizers]
    generator = torch.Generator().manual_seed(seed)

    def both(ours: Callable[..., Any], theirs: Callable[..., Any], number: int) -> None:
        ours(agent, optimizers, torch.Generator().manual_seed(number))
        theirs(plain, others, torch.Generator().manual_seed(number))

    if not agent.frozen:
        observation, action = source.draw_successful(8, generator)
        rows = double(observation), action.double()
        for number in range(2):
            both(
                lambda a, o, g: a.clone_update(*rows, o[0], g),
                lambda a, o, g: plain_clone_update(a, *rows, o[0], g),
                number,
            )
    for number in range(updates):
        segment = double_segment(source.draw(6, generator))
        observation, action = source.draw_successful(8, generator)
        given: dict[str, Any] = {"pretraining": number == 1}
        if numbers.imitation:
            given["demonstrated"] = double(observation), action.double()
        both(
            lambda a, o, g: a.update(segment, o, g, **given),  # noqa: B023
            lambda a, o, g: plain_update(a, segment, o, g, **given),  # noqa: B023
            number,
        )
    assert_same_state(state_of(agent, optimizers), state_of(plain, others), rtol=1e-6, atol=1e-9)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([SPACE, PIXELS]),
    st.sampled_from(LATENTS),
    st.sampled_from(CHANGES),
    st.integers(1, 4),
    st.integers(0, 10**6),
)
def test_updates_equal_plain_ones(
    space: gym.Space, latent: dict[str, Any], changes: dict[str, Any], updates: int, seed: int
) -> None:
    numbers = replace(SETTINGS, latent=replace(LATENT, **latent), **changes)
    states_after(numbers, space, replay_of(space), updates, seed)


@pytest.mark.parametrize("samples", [1, 4])
def test_updates_from_latents_equal_plain_ones(samples: int) -> None:
    """With a frozen encoder the replay holds latents."""
    numbers = replace(SETTINGS, encoder_rate=0.0, handover=HandoverSettings(clone_samples=samples))
    encoder: Modem = agent_of(numbers)
    source = EpisodeReplay(SPACE, 2, 200, 3)
    source.encode_with(encoder.model.encode, numbers.latent.latent)
    for episode in episodes_of(SPACE):
        source.add(episode)
    states_after(numbers, SPACE, source, 3, 0)
