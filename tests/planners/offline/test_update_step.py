"""Weights and moments after updates of reach-aware value learning with the shipped optimisers
against plain ones.
"""

import copy
import shutil
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planners.offline.builders import SMALL as BUILT
from tests.planners.offline.builders import module_of
from tests.planners.offline.plain_update import plain_update
from tests.updates import PLAIN, assert_same_state, state_of
from worldplan.envs.dynamics.model import Members, Prediction
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.mobile import MobilePenalty
from worldplan.planners.offline.replay import Batch, pack, unpack
from worldplan.world_models.training.trainer import fit

SMALL = replace(BUILT, actor_rate=1e-3, critic_rate=2e-3, temperature_rate=3e-3)
VARIANTS: list[dict[str, Any]] = [
    {},
    {"lower_bound": 1.5},
    {"targets": "independent"},
    {"targets": "independent", "lower_bound": 4.0},
    {"last_step": "reward_only"},
    {"last_step": "hold"},
    {"last_step": "pessimistic", "last_step_pessimism": 2.0},
    {"target_cap": 0.5},
    {"mobile": 1.5},
    {"temperature_rate": 0.0},
    {"target_entropy": 0.3, "target_rate": 1.0},
    {"normalise_observations": True},
    {"normalise_rewards": True, "target_cap": 0.5},
    {"normalise_rewards": True, "normalise_observations": True, "mobile": 1.5},
    {"normalise_rewards": True, "relative_diversity": True, "lower_bound": 1.5},
    {"relative_diversity": True, "targets": "independent"},
]


@dataclass
class Disagreeing:
    """Two members that move by the action's mean, 0.7 apart."""

    observation_size: int
    action_size: int
    state_size: int = 0

    def step(self, observation, action, **kwargs):
        following = torch.cat([observation + action.mean(-1, keepdim=True), action[:, :1]], 1)
        mean = torch.stack([following, following + 0.7])
        return Prediction(
            following[:, :-1],
            following[:, -1],
            torch.zeros(len(action), dtype=torch.bool),
            members=Members(mean, torch.full_like(mean, 0.01)),
        )


def agent_of(sizes, hidden, seeds, seed, **changes):
    """An agent in float64 whose last layers are not near zero."""
    observation, action = sizes
    generator = torch.Generator().manual_seed(seed)
    agent = ReachAware(
        observation,
        -torch.ones(action),
        torch.ones(action),
        replace(SMALL, hidden=hidden, **changes),
        seeds=seeds,
        generator=generator,
    ).double()
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    agent.fit_observations(3 + 2 * torch.randn((20, observation), generator=generator))
    agent.fit_rewards(4 * torch.randn((seeds, 9), generator=generator))
    return agent


def batch_of(sizes, seeds, seed, rows=7):
    """Columns as views of packed rows, as the training draws them."""
    observation, action = sizes
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *size: torch.randn(  # noqa: E731
        (seeds, rows, *size), generator=generator, dtype=torch.float64
    )
    step = torch.arange(rows).remainder(SMALL.horizon + 1).sub(1).double().expand(seeds, rows)
    batch = Batch(
        normal(observation),
        torch.tanh(normal(action)),
        normal(),
        normal(observation),
        (normal() > 1).double(),
        step,
    )
    return unpack(pack(batch), observation)


def plain_optimizers(agent):
    """Adam with the rates of the settings, one parameter after the other."""
    numbers = agent.settings
    return [
        torch.optim.Adam(agent.actor.parameters(), numbers.actor_rate, **PLAIN),
        torch.optim.Adam(agent.critics.parameters(), numbers.critic_rate, **PLAIN),
        torch.optim.Adam([agent.log_temperature], numbers.temperature_rate, **PLAIN),
    ]


DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    ),
]


def states_after(agent, batches, *, noise=0):
    """The state of the agent after `batches`, and that of a plainly updated copy."""
    plain, optimizers = copy.deepcopy(agent), agent.optimizers()
    others = plain_optimizers(plain)
    sizes = agent.critics.network.sizes[0] - agent.actor.action_size, agent.actor.action_size
    for which in (agent, plain):
        if agent.settings.mobile:
            generator = torch.Generator().manual_seed(noise)
            which.penalty = MobilePenalty(which, Disagreeing(*sizes), generator)
    seeded = lambda number: torch.Generator(agent.critics.network.weights[0].device).manual_seed(  # noqa: E731
        noise + number
    )
    for number, batch in enumerate(batches):
        agent.update(batch, optimizers, seeded(number))
        plain_update(plain, batch, others, seeded(number))
    return state_of(agent, optimizers), state_of(plain, others)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
    st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)
    | st.sampled_from([(5, 5), (5, 5, 5), (2, 5, 5, 3), (17, 17), (31, 7, 31)]),
    st.integers(1, 3),
    st.sampled_from([2, 3, 4, 10]),
    st.sampled_from([0.0, 1e-6, 1.0]),
    st.booleans(),
    st.sampled_from(VARIANTS),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_updates_equal_plain_ones(
    sizes, hidden, seeds, critics, eta, layer_norm, variant, updates, transposed, seed
):
    numbers = {"critics": critics, "diversity": eta, "layer_norm": layer_norm and min(hidden) > 2}
    agent = agent_of(sizes, hidden, seeds, seed, **numbers, **variant)
    if transposed:  # the same weights in another memory order
        for weight in agent.critics.network.weights:
            weight.data = weight.mT.contiguous().mT
    batches = [batch_of(sizes, seeds, seed + number) for number in range(updates)]
    assert_same_state(*states_after(agent, batches, noise=seed))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("eta", [0.0, 1e-6, 1.0])
@pytest.mark.parametrize("hidden", [(7,), (8, 8), (9, 5, 9)])
def test_one_update_of_every_shape(hidden, eta, layer_norm, device):
    """One and several numbers of action, critics and seeds; also where all sizes are equal, so that
    a transposed gradient would fit.
    """
    for sizes, critics, seeds in [((3, 1), 2, 1), ((5, 3), 3, 3), ((5, 3), 10, 1), ((4, 4), 8, 2)]:
        numbers = {"critics": critics, "diversity": eta, "layer_norm": layer_norm}
        agent = agent_of(sizes, hidden, seeds, 0, **numbers).to(device)
        batch = to(batch_of(sizes, seeds, 1, rows=8), device)
        assert_same_state(*states_after(agent, [batch]))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("hidden", "critics", "changes"),
    [
        ((8, 8), 3, {"diversity": 0.0}),
        ((8, 8), 3, {"diversity": 1.0}),
        ((9, 5, 9), 2, {"diversity": 1.0, "layer_norm": True}),
        ((7,), 10, {"diversity": 1e-6, "normalise_rewards": True, "normalise_observations": True}),
    ],
)
def test_compiled_updates_equal_plain_ones(hidden, critics, changes, device):
    agents = []
    for compile in (False, True):
        made = agent_of((3, 2), hidden, 2, 0, critics=critics, compile=compile, **changes)
        agents.append(made.to(device))
    batches = [to(batch_of((3, 2), 2, number), device) for number in range(3)]
    _, expected = states_after(agents[0], batches)
    actual, _ = states_after(agents[1], batches)
    assert_same_state(actual, expected)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("hidden", [(6,), (6, 6), (6, 4, 6)])
def test_a_negligible_diversity_trains_like_none(hidden, layer_norm):
    """Though the gradients of the critics come from another computation."""
    weights = []
    for eta in (0.0, 1e-6):
        agent = agent_of((3, 2), hidden, 2, 0, diversity=eta, layer_norm=layer_norm)
        optimizers = agent.optimizers()
        for number in range(60):
            agent.update(
                batch_of((3, 2), 2, number), optimizers, torch.Generator().manual_seed(number)
            )
        weights.append(torch.nn.utils.parameters_to_vector(agent.parameters()).detach())
    assert (weights[0] - weights[1]).abs().max() < 1e-4
    assert (weights[0] - weights[1]).abs().max() > 0  # the term was there


@pytest.mark.parametrize("hidden", [(8,), (8, 8), (6, 6, 6)])
def test_a_training_makes_plain_updates(hidden, tmp_path, monkeypatch):
    """The whole of `fit`: every update of it again, in double precision."""
    module = module_of(epochs=2, hidden=hidden, updates=5, critic_rate=0.02, starts=5)
    update, seen = ReachAware.update, []

    def recorded(agent, batch, optimizers, generator):
        if not seen:
            seen.append(copy.deepcopy(agent).double())
        seen.append((double(batch), generator.get_state()))
        return update(agent, batch, optimizers, generator)

    monkeypatch.setattr(ReachAware, "update", recorded)
    fit(module, tmp_path)
    plain, *updates = seen
    assert len(updates) == 10
    optimizers, generator = plain_optimizers(plain), torch.Generator()
    for batch, state in updates:
        generator.set_state(state)
        plain_update(plain, batch, optimizers, generator)
    trained = copy.deepcopy(module.agent).double()
    assert_same_state(state_of(trained, []), state_of(plain, []), rtol=1e-3, atol=1e-4)


def double(batch):
    return to(batch, torch.float64)


def to(batch, kind):
    """A batch on a device, or in another precision."""
    columns = (getattr(batch, name) for name in Batch.__dataclass_fields__)
    return Batch(*(column if column is None else column.to(kind) for column in columns))
