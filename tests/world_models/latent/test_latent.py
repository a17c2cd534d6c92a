"""The latent world model: batched members against separate networks, initial weights, errors."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from tests.world_models.latent.builders import (
    ACTION,
    BOTH,
    CLASSIC,
    MODERN,
    STATE,
    generator,
    images,
    made,
    pixels,
    randn,
)
from worldplan.envs.dynamics.model import DynamicsModel
from worldplan.milp.errors import ConfigError
from worldplan.world_models.latent.augmentation import random_shift
from worldplan.world_models.latent.layers import Kind, MemberMLP, mlp
from worldplan.world_models.latent.model import Clone, LatentModel
from worldplan.world_models.latent.settings import LatentSettings
from worldplan.world_models.latent.values import PercentileScale, decode, regression_loss

# --- members in one batch against separate networks -----------------------------------------------


def separate(whole: MemberMLP, member: int, kinds: tuple[Kind, Kind]) -> nn.Sequential:
    """Member number `member` as an ordinary network."""
    sizes = [weight.shape[1] for weight in whole.weights] + [whole.weights[-1].shape[2]]
    network = mlp(sizes, kinds, None).double()
    linears = [layer for layer in network if isinstance(layer, nn.Linear)]
    norms = [layer for layer in network if isinstance(layer, nn.LayerNorm)]
    assert len(norms) == len(whole.scales)
    with torch.no_grad():
        for layer, weight, bias in zip(linears, whole.weights, whole.biases, strict=True):
            layer.weight.copy_(weight[member].T)
            layer.bias.copy_(bias[member, 0])
        for norm, scale, shift in zip(norms, whole.scales, whole.shifts, strict=True):
            norm.weight.copy_(scale[member, 0])
            norm.bias.copy_(shift[member, 0])
    return network


@BOTH
@pytest.mark.parametrize("shared", [True, False], ids=["shared rows", "own rows"])
def test_members_in_one_batch_are_separate_networks(
    ingredients: LatentSettings, shared: bool
) -> None:
    """Values and gradients; rows that all members share, and rows of their own."""
    model, members = made(ingredients), ingredients.members
    latent = randn(9, 6) if shared else randn(members, 9, 6)
    action = torch.tanh(randn(9, ACTION, seed=2) if shared else randn(members, 9, ACTION, seed=2))
    policy, logits, value = (
        model.actor(latent),
        model.critic_logits(latent, action),
        model.value(latent, action),
    )
    assert (
        policy.shape == (members, 9, ACTION)
        and logits.shape == (members, 2, 9, ingredients.bins or 1)
        and value.shape == (members, 2, 9)
    )
    (policy.square().sum() + value.square().sum()).backward()

    hidden: tuple[Kind, Kind] = (
        ("norm_mish", "norm_mish") if ingredients.normed_layers else ("elu", "elu")
    )
    of_critics: tuple[Kind, Kind] = hidden if ingredients.normed_layers else ("norm_tanh", "elu")
    for member in range(members):
        rows = latent if shared else latent[member]
        acts = action if shared else action[member]
        actor = separate(model.actors, member, hidden)
        expected_action = torch.tanh(actor(rows))
        torch.testing.assert_close(policy[member], expected_action)
        expected_action.square().sum().backward()
        torch.testing.assert_close(model.actors.weights[0].grad[member].T, actor[0].weight.grad)
        for which in range(2):
            critic = separate(model.critics, 2 * member + which, of_critics)
            out = critic(torch.cat([rows, acts], -1))
            torch.testing.assert_close(logits[member, which], out)
            expected_value = decode(out, ingredients.bins)
            torch.testing.assert_close(value[member, which], expected_value)
            expected_value.square().sum().backward()
            torch.testing.assert_close(
                model.critics.weights[1].grad[2 * member + which].T, critic[3].weight.grad
            )
            torch.testing.assert_close(
                model.critics.scales[0].grad[2 * member + which, 0], critic[1].weight.grad
            )


@BOTH
def test_leading_dimensions_are_free_and_a_step_equals_its_parts(
    ingredients: LatentSettings,
) -> None:
    model = made(ingredients)
    latent, action = randn(4, 3, 6), randn(4, 3, ACTION, seed=2)
    following, reward, logits = (
        model.next_latent(latent, action),
        model.reward(latent, action),
        model.reward_logits(latent, action),
    )
    assert (
        following.shape == (4, 3, 6)
        and reward.shape == (4, 3)
        and logits.shape == (4, 3, ingredients.bins or 1)
    )
    torch.testing.assert_close(model.decode(logits), reward)
    prediction = model.step(latent[2], action[2], generator=generator(0), members=True)
    torch.testing.assert_close(prediction.next_observation, following[2])
    torch.testing.assert_close(prediction.reward, reward[2])
    assert (
        not prediction.terminated.any()
        and prediction.terminated.dtype == torch.bool
        and prediction.members is None
    )
    assert isinstance(model, DynamicsModel) and (
        model.observation_size,
        model.action_size,
        model.state_size,
    ) == (6, ACTION, 0)


@BOTH
def test_an_actors_loss_through_frozen_critics(ingredients: LatentSettings) -> None:
    """The actors' gradient is the same as through free critics; the critics get no gradient."""
    model = made(ingredients)
    latent = randn(5, 6)

    def gradients(frozen: bool) -> list[Tensor]:
        model.zero_grad(set_to_none=True)
        model.value(latent, model.actor(latent), frozen=frozen).amin(1).mean().neg().backward()
        return [parameter.grad.clone() for parameter in model.actor_parameters()]

    free = gradients(False)
    assert all(parameter.grad is not None for parameter in model.critic_parameters())
    held = gradients(True)
    assert all(
        parameter.grad is None
        for parameter in [*model.critic_parameters(), *model.model_parameters()]
    )
    for through_free, through_frozen in zip(free, held, strict=True):
        torch.testing.assert_close(through_free, through_frozen)
        assert through_free.abs().max() > 0


@BOTH
def test_every_parameter_is_in_exactly_one_list(ingredients: LatentSettings) -> None:
    for model in (LatentModel(pixels(), ACTION, ingredients), Clone(pixels(), ACTION, ingredients)):
        lists = [model.actor_parameters(), model.critic_parameters()] + (
            [model.model_parameters()] if isinstance(model, LatentModel) else []
        )
        listed = [id(parameter) for each in lists for parameter in each]
        assert sorted(listed) == sorted(map(id, model.parameters()))


# --- initial weights ------------------------------------------------------------------------------


@BOTH
def test_weights_start_orthogonal_and_rewards_and_values_at_zero(
    ingredients: LatentSettings,
) -> None:
    before = torch.random.get_rng_state()
    model = LatentModel(pixels(), ACTION, ingredients, generator=generator(3))
    assert torch.equal(torch.random.get_rng_state(), before), "the global random numbers were used"

    def is_orthogonal(weight: Tensor, gain: float = 1.0) -> bool:
        weight = weight.flatten(1).detach()
        short = weight if weight.shape[0] <= weight.shape[1] else weight.T
        return torch.allclose(short @ short.T, gain**2 * torch.eye(len(short)), atol=1e-5)

    zero = [model.reward_network[-1].weight, *model.critics.weights[-1]]
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and module.weight is not zero[0]:
            assert is_orthogonal(module.weight, 2**0.5 if isinstance(module, nn.Conv2d) else 1.0)
            assert not module.bias.any()
    batched = [*model.actors.weights, *model.critics.weights[:-1]]
    assert all(is_orthogonal(member) for weight in batched for member in weight)
    assert all(not torch.allclose(weight[0], weight[1]) for weight in batched), (
        "members start alike"
    )
    assert not any(weight.any() for weight in zero)
    latent, action = torch.randn(4, 6), torch.randn(4, ACTION)
    assert torch.allclose(model.reward(latent, action), torch.zeros(4), atol=1e-5)
    assert torch.allclose(model.value(latent, action), torch.zeros(3, 2, 4), atol=1e-5)

    again, other = (
        LatentModel(pixels(), ACTION, ingredients, generator=generator(seed)).state_dict()
        for seed in (3, 4)
    )
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())
    assert not torch.equal(model.state_dict()["actors.weights.0"], other["actors.weights.0"])


def test_the_two_presets() -> None:
    classic, modern = LatentSettings.classic(), LatentSettings.modern()
    assert dataclasses.astuple(classic) == (50, 512, 256, 32, False, 5, 0, False, 0)
    assert (modern.simnorm, modern.normed_layers, modern.bins) == (8, True, 101)
    names = [
        type(layer).__name__
        for layer in LatentModel(STATE, ACTION, modern).dynamics.modules()
        if not list(layer.children())
    ]
    assert names == [
        "Linear",
        "LayerNorm",
        "Mish",
        "Linear",
        "LayerNorm",
        "Mish",
        "Linear",
        "LayerNorm",
        "SimNorm",
    ]
    names = [
        type(layer).__name__
        for layer in LatentModel(STATE, ACTION, classic).dynamics.modules()
        if not list(layer.children())
    ]
    assert names == ["Linear", "ELU", "Linear", "ELU", "Linear", "Identity"]


# --- compilation ----------------------------------------------------------------------------------


def test_no_graph_breaks() -> None:
    """torch.compile traces encoding, planning and losses as one graph (no compiler is needed)."""
    model = LatentModel(pixels(size=32), ACTION, MODERN, generator=generator(0))
    scale, action, vector, image = (
        PercentileScale(),
        torch.randn(4, ACTION),
        torch.randn(4, 5),
        images(4, 2, 6, 32, 32),
    )

    def losses() -> Tensor:
        latent = model.encode({"image": random_shift(image, 2), "proprioception": vector})
        prediction = model.step(latent, action)
        value = model.value(
            prediction.next_observation, model.actor(prediction.next_observation), frozen=True
        )
        scale.update(value.detach())
        return regression_loss(
            model.critic_logits(latent, action), prediction.reward + scale(value), MODERN.bins
        )

    torch.manual_seed(0)
    expected = losses()
    scale.load_state_dict(PercentileScale().state_dict())
    torch.manual_seed(0)
    torch.testing.assert_close(torch.compile(losses, backend="eager", fullgraph=True)(), expected)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent": 0}, "latent: 0 is not a size"),
        ({"hidden": -1}, "hidden: -1"),
        ({"members": 0}, "members: 0"),
        ({"simnorm": 8}, "simnorm: 8 does not divide the latent: 50"),
        ({"simnorm": 1}, "simnorm: 1"),
        ({"simnorm": -2}, "simnorm: -2"),
        ({"bins": 1}, "bins: 1"),
        ({"bins": -3}, "bins: -3"),
    ],
)
def test_settings_that_make_no_model(change: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LatentSettings(**change)  # type: ignore[arg-type]


def test_other_wrong_sizes() -> None:
    model = LatentModel(STATE, ACTION, CLASSIC)
    with pytest.raises(ConfigError, match=r"sizes \(6, 3\), but this model was made for \(6, 2\)"):
        model.step(torch.zeros(4, 6), torch.zeros(4, 3))
    with pytest.raises(ConfigError, match=r"sizes \(5, 2\)"):
        model.next_latent(torch.zeros(4, 5), torch.zeros(4, 2))
