"""Weights after updates of the model-free methods against plain, independent ones."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planners.offline.model_free.plain_methods import (
    PlainBC,
    PlainIQL,
    PlainTD3BC,
    weights_of,
)
from worldplan.planners.offline.model_free.behaviour_cloning import BehaviourCloningSettings
from worldplan.planners.offline.model_free.iql import IQLSettings
from worldplan.planners.offline.model_free.learner import LoggedBatch
from worldplan.planners.offline.model_free.td3_bc import TD3BCSettings

RATES: dict[str, Any] = {"actor_rate": 3e-3}
METHODS: list[tuple[Any, Any, dict[str, Any]]] = [
    (PlainBC, BehaviourCloningSettings, {}),
    (PlainBC, BehaviourCloningSettings, {"initial_values": "small"}),
    (PlainTD3BC, TD3BCSettings, {}),
    (PlainTD3BC, TD3BCSettings, {"alpha": 0.5, "critics": 3, "target_rate": 1.0, "noise": 0.5}),
    (PlainTD3BC, TD3BCSettings, {"actor_every": 1, "noise_clip": 0.1, "actor_penalty": 0.3}),
    (
        PlainTD3BC,
        TD3BCSettings,
        {
            "alpha": 1.0,
            "actor_penalty": 0.4,
            "critic_penalty": 0.7,
            "actor_value": "least",
            "layer_norm": True,
            "actor_layer_norm": True,
            "initial_values": "small",
        },
    ),
    (PlainTD3BC, TD3BCSettings, {"layer_norm": True, "critics": 1}),
    (PlainIQL, IQLSettings, {}),
    (PlainIQL, IQLSettings, {"expectile": 0.95, "critics": 4, "temperature": 50.0}),
    (PlainIQL, IQLSettings, {"quantile": 0.25, "critics": 5, "huber": 0.3, "actor_decay": 5}),
    (PlainIQL, IQLSettings, {"deterministic": True, "huber": 2.0, "actor_decay": None}),
    (PlainIQL, IQLSettings, {"quantile": 0.0, "initial_values": "small", "value_rate": 0.01}),
]


def batch_of(sizes, seeds, seed, rows=6):
    observation, action = sizes
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *size: torch.randn(  # noqa: E731
        (seeds, rows, *size), generator=generator, dtype=torch.float64
    )
    return LoggedBatch(
        normal(observation),
        torch.tanh(normal(action)),
        normal(),
        normal(observation),
        (normal() > 1).double(),
        torch.tanh(normal(action)),
    )


def of_seed(batch, index):
    return LoggedBatch(*(getattr(batch, name)[index] for name in LoggedBatch.__slots__))


def learner_of(kind, sizes, hidden, seeds, seed, changes):
    """A learner in float64 whose last layers are not near zero."""
    generator = torch.Generator().manual_seed(seed)
    chosen = kind(hidden=hidden, **RATES, **changes)
    learner = chosen.learner(*sizes, seeds=seeds, generator=generator).double()
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return learner


def assert_same_weights(learner, plain):
    """The weights of every network of every seed."""
    for seed, twin in enumerate(plain):
        for name, networks in twin.networks().items():
            ours = dict(learner.named_modules())[name]
            for index, network in enumerate(networks):
                place = seed * len(networks) + index
                for mine, other in zip(ours.parameters(), weights_of(network), strict=True):
                    torch.testing.assert_close(
                        mine[place].view_as(other), other, rtol=1e-6, atol=1e-8
                    )
        if getattr(twin, "log_std", None):
            torch.testing.assert_close(learner.actor.log_std[seed], twin.log_std[0])


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
    st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple) | st.just((5, 5, 5)),
    st.integers(1, 3),
    st.sampled_from(METHODS),
    st.integers(1, 4),
    st.integers(0, 10**6),
)
def test_updates_equal_plain_ones(sizes, hidden, seeds, method, updates, seed):
    plain_kind, kind, changes = method
    learner = learner_of(kind, sizes, hidden, seeds, seed, changes)
    plain = [plain_kind(learner, index) for index in range(seeds)]
    optimizers = learner.optimizers()
    for number in range(1, updates + 1):
        batch = batch_of(sizes, seeds, seed + number)
        generator = torch.Generator().manual_seed(number)
        noise = torch.randn(
            batch.action.shape, generator=generator.clone_state(), dtype=torch.float64
        )
        learner.update(batch, optimizers, number, generator)
        for index, twin in enumerate(plain):
            twin.update(of_seed(batch, index), number, noise[index])
    assert_same_weights(learner, plain)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method[1].__name__)
def test_a_wrong_update_is_found(method):
    """The comparison can fail: another learning rate in one of the two."""
    plain_kind, kind, changes = method
    learner = learner_of(kind, (2, 1), (4,), 1, 0, changes)
    twin = plain_kind(copy.deepcopy(learner), 0)
    optimizers, batch = learner.optimizers(), batch_of((2, 1), 1, 0)
    for optimizer in optimizers:
        optimizer.param_groups[0]["lr"] *= 1.01
    if kind is IQLSettings:  # sets the rate of the actor itself
        object.__setattr__(learner.settings, "actor_rate", 4e-3)
    for number in (1, 2):
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn((1, 6, 1), generator=generator.clone_state(), dtype=torch.float64)
        learner.update(batch, optimizers, number, generator)
        twin.update(of_seed(batch, 0), number, noise[0])
    with pytest.raises(AssertionError):
        assert_same_weights(learner, [twin])
