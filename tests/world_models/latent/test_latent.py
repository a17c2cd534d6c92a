"""The latent world model: batched members against separate networks, encoders, initial weights,
copies, errors.
"""

from __future__ import annotations

import dataclasses
import io

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from worldplan.envs.dynamics.model import DynamicsModel
from worldplan.milp.errors import ConfigError
from worldplan.world_models.latent.augmentation import random_shift
from worldplan.world_models.latent.encoders import OpponentColours, SpatialSoftmax
from worldplan.world_models.latent.layers import Kind, MemberMLP, SimNorm, mlp
from worldplan.world_models.latent.model import Clone, LatentModel, soft_update
from worldplan.world_models.latent.settings import LatentSettings
from worldplan.world_models.latent.values import PercentileScale, decode, regression_loss

CLASSIC = LatentSettings(latent=6, hidden=16, encoder_hidden=12, channels=4, members=3)
MODERN = LatentSettings(
    latent=6,
    hidden=16,
    encoder_hidden=12,
    channels=4,
    members=3,
    simnorm=3,
    normed_layers=True,
    bins=21,
)
BOTH = pytest.mark.parametrize("ingredients", [CLASSIC, MODERN], ids=["classic", "modern"])
STATE = gym.spaces.Box(-np.inf, np.inf, (7,), np.float32)
ACTION = 2


def pixels(views: int = 2, channels: int = 6, size: int = 64, vector: int = 5) -> gym.spaces.Dict:
    image = gym.spaces.Box(0, 255, (views, channels, size, size), np.uint8)
    return gym.spaces.Dict(image=image, proprioception=gym.spaces.Box(-1, 1, (vector,), np.float32))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator(seed))


def perturbed(model: nn.Module, seed: int = 5) -> nn.Module:
    """The model in double precision with noise on all weights, also on those that start at 0."""
    model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(
                0.3 * torch.randn(parameter.shape, generator=generator(seed), dtype=torch.float64)
            )
    return model


def made(ingredients: LatentSettings, space: gym.Space = STATE, seed: int = 0) -> LatentModel:
    model = perturbed(LatentModel(space, ACTION, ingredients, generator=generator(seed)))
    assert isinstance(model, LatentModel)
    return model


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


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


# --- encoders -------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(("size", "convolutions"), [(32, 3), (64, 4), (84, 4), (224, 6)])
def test_images_of_all_sizes(ingredients: LatentSettings, size: int, convolutions: int) -> None:
    model = LatentModel(pixels(size=size), ACTION, ingredients, generator=generator(0))
    latent = model.encode(
        {
            "image": images(3, 2, 6, size, size),
            "proprioception": torch.randn(3, 5),
            "more": torch.zeros(0),
        }
    )
    assert latent.shape == (3, 6) and latent.isfinite().all()
    assert (
        sum(isinstance(layer, nn.Conv2d) for layer in model.encoder.modules()) == 2 * convolutions
    )


def test_the_encoder_is_the_sum_of_its_views_and_proprioception() -> None:
    """As in the formula of MoDem-V2; uint8 and floating-point images in 0..255 give the same."""
    model = made(CLASSIC, pixels())
    encoder, image, vector = model.encoder, images(3, 2, 6, 64, 64), randn(3, 5)
    total = encoder.vector(vector)
    for view in range(2):
        hidden = image[:, view].double() / 255
        for layer in encoder.views[view]:
            hidden = layer(hidden.contiguous())
        total = total + hidden
    first, elu, last = encoder.fusion
    expected = nn.functional.linear(
        elu(nn.functional.linear(total, first.weight, first.bias)), last.weight, last.bias
    )
    torch.testing.assert_close(model.encode({"image": image, "proprioception": vector}), expected)
    torch.testing.assert_close(
        model.encode({"image": image.double(), "proprioception": vector.float()}),
        expected,
        rtol=1e-5,
        atol=1e-5,
    )
    assert image.equal(images(3, 2, 6, 64, 64)), "the images were changed"


@pytest.mark.parametrize("space", [STATE, pixels()], ids=["state", "pixels"])
def test_simplicial_latents_sum_to_one_in_groups(space: gym.Space) -> None:
    model = made(MODERN, space)
    observation = (
        randn(4, 7)
        if space is STATE
        else {"image": images(4, 2, 6, 64, 64), "proprioception": randn(4, 5)}
    )
    latent = model.encode(observation)
    for each in (latent, model.next_latent(latent, randn(4, ACTION))):
        assert (each >= 0).all()
        torch.testing.assert_close(
            each.view(4, 2, 3).sum(-1), torch.ones(4, 2, dtype=torch.float64)
        )
    values = randn(2, 5, 6)
    torch.testing.assert_close(SimNorm(2)(values)[1, 3, 2:4], torch.softmax(values[1, 3, 2:4], 0))


def test_cloning_learns_from_both_cameras_and_proprioception() -> None:
    """The demonstrator's action depends on all three: the bright spots of two cameras, and a
    number.
    """
    space = pixels(channels=3, size=32, vector=1)
    clone = Clone(
        space,
        3,
        LatentSettings(latent=16, hidden=32, encoder_hidden=32, channels=8),
        generator=generator(0),
    )
    place = torch.randint(4, 24, (64, 2), generator=generator(1))
    image = torch.zeros(64, 2, 3, 32, 32, dtype=torch.uint8)
    for row, (left, right) in enumerate(place.tolist()):
        image[row, 0, :, 12:20, left : left + 8] = 255
        image[row, 1, :, right : right + 8, 12:20] = 255
    vector = torch.rand(64, 1, generator=generator(2)) * 2 - 1
    action = torch.cat([(place - 13.5) / 15, 0.8 * vector], 1)
    optimizer = torch.optim.Adam(clone.actor_parameters(), lr=3e-3)
    for _ in range(50):
        optimizer.zero_grad()
        loss = (clone({"image": image, "proprioception": vector}) - action).square().mean(0)
        loss.sum().backward()
        optimizer.step()
    assert (loss < 0.05 * action.var(0)).all(), loss


# --- the clone ------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (gym.spaces.Discrete(3), "cannot be encoded"),
        (gym.spaces.Box(0, 255, (3, 64, 64), np.uint8), "cannot be encoded"),
        (gym.spaces.Dict(image=pixels()["image"]), "cannot be encoded"),
        (
            gym.spaces.Dict(
                image=gym.spaces.Box(0, 255, (6, 64, 64), np.uint8), proprioception=STATE
            ),
            "cannot be encoded",
        ),
        (pixels(size=16), "16 x 16"),
        (
            gym.spaces.Dict(
                image=gym.spaces.Box(0, 255, (2, 3, 64, 48), np.uint8), proprioception=STATE
            ),
            "64 x 48",
        ),
        (
            gym.spaces.Dict(
                image=gym.spaces.Box(0, 1, (2, 3, 64, 64), np.float32), proprioception=STATE
            ),
            "float32",
        ),
    ],
)
def test_spaces_that_cannot_be_encoded(space: gym.Space, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LatentModel(space, ACTION, CLASSIC)


@pytest.mark.parametrize(
    ("space", "observation", "message"),
    [
        (
            STATE,
            torch.zeros(3, 8),
            r"the observation has shape \(3, 8\), but this model was made for \(batch, 7\)",
        ),
        (STATE, torch.zeros(7), r"shape \(7,\)"),
        (STATE, {"image": torch.zeros(1)}, "got a dictionary"),
        (pixels(), torch.zeros(3, 7), r"got a tensor of shape \(3, 7\)"),
        (pixels(), {"proprioception": torch.zeros(3, 5)}, r"got keys \['proprioception'\]"),
        (pixels(), {"image": images(3, 2, 6, 64, 64)}, r"got keys \['image'\]"),
        (
            pixels(),
            {"image": images(3, 2, 6, 84, 84), "proprioception": torch.zeros(3, 5)},
            r"images are \(2, 6, 84, 84\) .* set image_size",
        ),
        (
            pixels(),
            {"image": images(3, 1, 6, 64, 64), "proprioception": torch.zeros(3, 5)},
            r"images are \(1, 6, 64, 64\)",
        ),
        (
            pixels(),
            {"image": images(3, 2, 6, 64, 64), "proprioception": torch.zeros(3, 6)},
            r"proprioception has shape \(3, 6\)",
        ),
    ],
)
def test_observations_unlike_the_space(
    space: gym.Space, observation: Tensor | dict[str, Tensor], message: str
) -> None:
    for model in (LatentModel(space, ACTION, CLASSIC), Clone(space, ACTION, CLASSIC)):
        with pytest.raises(ConfigError, match=message):
            model.encode(observation)


def test_other_wrong_sizes() -> None:
    model = LatentModel(STATE, ACTION, CLASSIC)
    with pytest.raises(ConfigError, match=r"sizes \(6, 3\), but this model was made for \(6, 2\)"):
        model.step(torch.zeros(4, 6), torch.zeros(4, 3))
    with pytest.raises(ConfigError, match=r"sizes \(5, 2\)"):
        model.next_latent(torch.zeros(4, 5), torch.zeros(4, 2))


def test_keypoints_follow_what_moves() -> None:
    """The keypoint of a channel that responds to a bright spot is the spot's position, and moves
    with it.
    """
    softmax = SpatialSoftmax(channels=1, size=11, sharpness=30.0)
    maps = torch.zeros(2, 1, 11, 11)
    maps[0, 0, 2, 7] = maps[1, 0, 8, 7] = 1.0  # row is y, column x
    keypoints = softmax(maps).detach()
    expected = torch.tensor([[0.4, -0.6], [0.4, 0.6]])
    torch.testing.assert_close(keypoints, expected, atol=1e-4, rtol=0)


def test_colours_stand_out_from_grey() -> None:
    """Grey has brightness only; the two frames stay in their own channels."""
    frames = torch.full((1, 6, 4, 4), 0.5)
    frames[0, 3:, 1, 2] = torch.tensor([0.9, 0.2, 0.1])
    seen = OpponentColours()(frames)
    torch.testing.assert_close(
        seen[0, :3], torch.tensor([0.5, 0.0, 0.0]).view(3, 1, 1).expand(3, 4, 4)
    )
    torch.testing.assert_close(seen[0, 3:, 1, 2], torch.tensor([0.4, 2.8, 1.8]))


def test_a_keypoint_encoder_sees_and_learns() -> None:
    """Its latents depend on the images of every view, all its weights get gradients, and the
    initial weights do not depend on global random numbers.
    """
    space = gym.spaces.Dict(
        {
            "image": gym.spaces.Box(0, 255, (2, 3, 64, 64), np.uint8),
            "proprioception": gym.spaces.Box(-1, 1, (4,)),
        }
    )
    settings = LatentSettings(latent=8, hidden=16, encoder_hidden=16, channels=4, keypoints=True)
    model, again = (
        LatentModel(space, 2, settings, generator=torch.Generator().manual_seed(0))
        for _ in range(2)
    )
    assert all(
        torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items()
    )
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (3, 2, 3, 64, 64), dtype=torch.uint8, generator=generator)
    observation = {"image": image, "proprioception": torch.zeros(3, 4)}
    latent = model.encode(observation)
    latent.square().sum().backward()
    assert all(
        weight.grad is not None and bool(weight.grad.abs().sum() > 0)
        for name, weight in model.encoder.named_parameters()
        if "views" in name
    )
    for view in range(2):
        other = image.clone()
        other[:, view] = other[:, view].roll(9, -1)
        assert not torch.allclose(model.encode({**observation, "image": other}), latent)
