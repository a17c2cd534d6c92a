"""The clone of a latent model: copied to the members, kept in files, followed slowly."""

from __future__ import annotations

import dataclasses
import io

import gymnasium as gym
import pytest
import torch
from torch import Tensor

from tests.world_models.latent.builders import (
    ACTION,
    BOTH,
    CLASSIC,
    MODERN,
    STATE,
    generator,
    images,
    made,
    perturbed,
    pixels,
    randn,
)
from worldplan.milp.errors import ConfigError
from worldplan.world_models.latent.model import Clone, LatentModel, soft_update
from worldplan.world_models.latent.settings import LatentSettings
from worldplan.world_models.latent.values import PercentileScale, decode


@BOTH
@pytest.mark.parametrize("space", [STATE, pixels()], ids=["state", "pixels"])
def test_the_clone_is_copied_to_every_member(ingredients: LatentSettings, space: gym.Space) -> None:
    model = made(ingredients, space)
    clone = perturbed(Clone(space, ACTION, ingredients, generator=generator(9)), seed=6)
    assert isinstance(clone, Clone)
    observation = (
        randn(4, 7)
        if space is STATE
        else {"image": images(4, 2, 6, 64, 64), "proprioception": randn(4, 5)}
    )
    critics = [parameter.clone() for parameter in model.critic_parameters()]
    model.load_clone(clone)
    action = clone(observation)
    torch.testing.assert_close(model.actor(model.encode(observation)), action.expand(3, -1, -1))
    torch.testing.assert_close(clone.act(clone.encode(observation)), action)
    assert all(map(torch.equal, critics, model.critic_parameters()))
    with torch.no_grad():
        model.actors.weights[0][0].zero_()
        next(model.encoder.parameters()).zero_()
    torch.testing.assert_close(clone(observation), action)  # nothing is shared
    assert model.actors.weights[0][1].any()

    latent = clone.encode(observation).detach()
    assert clone.critic_logits(latent, action).shape == (2, 4, ingredients.bins or 1)
    torch.testing.assert_close(
        clone.value(latent, action), decode(clone.critic_logits(latent, action), ingredients.bins)
    )
    clone.value(latent, action.detach()).sum().backward()
    assert all(parameter.grad is not None for parameter in clone.critic_parameters())
    assert all(parameter.grad is None for parameter in clone.actor_parameters())


@pytest.mark.parametrize(
    ("space", "ingredients", "part"),
    [
        (gym.spaces.Box(-1, 1, (8,)), CLASSIC, "encoder.vector.0.weight"),
        (STATE, dataclasses.replace(CLASSIC, hidden=17), "actors.biases.0"),
        (STATE, dataclasses.replace(CLASSIC, normed_layers=True), "actors.scales.0"),
        (STATE, dataclasses.replace(CLASSIC, simnorm=2), "simnorm"),
        (pixels(vector=7), CLASSIC, "encoder.fusion.0.bias"),
    ],
)
def test_a_clone_that_does_not_fit_changes_nothing(
    space: gym.Space, ingredients: LatentSettings, part: str
) -> None:
    model = made(CLASSIC)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ConfigError, match=f"clone does not fit this model: {part} is"):
        model.load_clone(Clone(space, ACTION, ingredients))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_clone_may_have_other_members_and_bins() -> None:
    made(CLASSIC).load_clone(
        Clone(STATE, ACTION, dataclasses.replace(CLASSIC, members=1, bins=11)).double()
    )


@BOTH
def test_files_hold_plain_tensors(ingredients: LatentSettings) -> None:
    for model in (
        LatentModel(pixels(), ACTION, ingredients),
        Clone(pixels(), ACTION, ingredients),
        PercentileScale(),
    ):
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        read = torch.load(file, weights_only=True)
        assert all(type(value) is Tensor for value in read.values())
        model.load_state_dict(read)


def test_a_slow_copy_moves_by_its_rate() -> None:
    slow, fast = made(MODERN, seed=0), made(MODERN, seed=1)
    expected = [
        0.9 * a.clone() + 0.1 * b for a, b in zip(slow.parameters(), fast.parameters(), strict=True)
    ]
    soft_update(slow, fast, 0.1)
    for moved, wanted in zip(slow.parameters(), expected, strict=True):
        torch.testing.assert_close(moved, wanted)
