"""Encoders of images and state vectors."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
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
from worldplan.milp.errors import ConfigError
from worldplan.world_models.latent.encoders import OpponentColours, SpatialSoftmax
from worldplan.world_models.latent.layers import SimNorm
from worldplan.world_models.latent.model import Clone, LatentModel
from worldplan.world_models.latent.settings import LatentSettings

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


# --- errors ---------------------------------------------------------------------------------------


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
