"""Small latent models, spaces and random inputs that the tests use."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from worldplan.world_models.latent.model import LatentModel
from worldplan.world_models.latent.settings import LatentSettings

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
