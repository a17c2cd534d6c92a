"""Encoders: observations -> latents. Observations are state vectors, or images of several cameras
together with proprioception.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from worldplan.milp.errors import ConfigError
from worldplan.world_models.latent.layers import Kind, SimNorm, linear, mlp
from worldplan.world_models.latent.settings import LatentSettings

Observation = Tensor | Mapping[str, Tensor]
IMAGE, PROPRIOCEPTION = "image", "proprioception"
SMALLEST_IMAGE = 32  # pixels; smaller images leave almost nothing after two convolutions
# largest width of the last map: images of 64, 84 and 96 px get four convolutions, of 224 px six
LAST_MAP = 4


class Encoder(nn.Module):
    """Observations -> latents, h in TD-MPC.

    A state vector is the input of one small network. With images, every view has its own
    convolutions; their outputs and that of the proprioception's network are added and are the input
    of another small network, as in MoDem-V2.

    Args:
        space: of the observations: Box (S,), or Dict of "image" (views, C, size, size), uint8, and
            "proprioception" (P,).
        settings: sizes and ingredients.
        generator: source of the initial weights.
    Raises:
        ConfigError: another space, images that are not square or below 32 px.
    """

    def __init__(
        self, space: gym.Space[Any], settings: LatentSettings, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.image_shape, self.vector_size = _shapes(space)
        kind: Kind = "norm_mish" if settings.normed_layers else "elu"
        width, latent = settings.encoder_hidden, settings.latent
        self.vector = mlp((self.vector_size, width, latent), (kind,), generator)
        self.views = nn.ModuleList()
        if self.image_shape is not None:
            views, channels, size, _ = self.image_shape
            make = KeypointEncoder if settings.keypoints else ViewEncoder
            self.views.extend(
                make(channels, size, settings.channels, latent, generator) for _ in range(views)
            )
            self.fusion = mlp((latent, width, latent), (kind,), generator)
        self.last = latent_normalisation(settings)

    def forward(self, observation: Observation) -> Tensor:
        """(batch, S) or {"image": (batch, views, C, H, W) in 0..255, "proprioception": (batch, P)}
        -> (batch, latent).

        Raises:
            ConfigError: a key is missing, or a shape differs from the space of the encoder.
        """
        latent: Tensor = self.last(
            self.vector(self._state(observation))
            if self.image_shape is None
            else self._fused(observation)
        )
        return latent

    def _state(self, observation: Observation) -> Tensor:
        """The observation of a state task, (batch, S), in the type of the weights.

        Raises:
            ConfigError: not a tensor of that shape.
        """
        if not isinstance(observation, Tensor):
            raise ConfigError(
                f"this model was made for observations of shape ({self.vector_size},), but got a "
                "dictionary: is it a pixel task?"
            )
        return self._row(observation, "the observation")

    def _fused(self, observation: Observation) -> Tensor:
        """Images and proprioception -> (batch, latent) before the last normalisation.

        Raises:
            ConfigError: a key is missing, or a shape is wrong.
        """
        if (
            not isinstance(observation, Mapping)
            or IMAGE not in observation
            or PROPRIOCEPTION not in observation
        ):
            got = (
                f"keys {sorted(observation)}"
                if isinstance(observation, Mapping)
                else f"a tensor of shape {tuple(observation.shape)}"
            )
            raise ConfigError(
                f'this model was made for observations with the keys "{IMAGE}" and '
                f'"{PROPRIOCEPTION}", but got {got}'
            )
        images = observation[IMAGE]
        if images.shape[1:] != self.image_shape:
            raise ConfigError(
                f"images are {tuple(images.shape[1:])} (views, channels, height, width), but this "
                f"model was made for {self.image_shape}: "
                "set image_size, cameras and frames as in the run that made it"
            )
        parts: list[Tensor] = [self.vector(self._row(observation[PROPRIOCEPTION], PROPRIOCEPTION))]
        dtype = parts[0].dtype
        parts += [
            encode(images[:, view].to(dtype, memory_format=torch.channels_last) / 255)
            for view, encode in enumerate(self.views)
        ]
        fused: Tensor = self.fusion(torch.stack(parts).sum(0))
        return fused

    def _row(self, vector: Tensor, name: str) -> Tensor:
        if vector.dim() != 2 or vector.shape[1] != self.vector_size:
            raise ConfigError(
                f"{name} has shape {tuple(vector.shape)}, but this model was made for "
                f"(batch, {self.vector_size})"
            )
        first = self.vector[0]
        assert isinstance(first, nn.Linear)
        return vector.to(first.weight.dtype)


class ViewEncoder(nn.Sequential):
    """Images of one camera (batch, C, size, size) -> (batch, outputs), by convolutions with kernels
    of 7, 5 and then 3 pixels, stride 2, each with a ReLU, and a linear map (TD-MPC, MoDem-V2).

    Every camera has an encoder of its own. They run one after the other, channels last: one grouped
    convolution per layer over all cameras took up to a quarter longer with two cameras and almost
    twice as long with four (forward and backward, one CPU thread, 64 px).

    Args:
        fan_in: channels C of the images, those of all stacked frames.
        size: height and width of the images, pixels.
        channels: of every convolution.
        outputs: numbers per image.
        generator: source of the initial weights.
    """

    def __init__(
        self, fan_in: int, size: int, channels: int, outputs: int, generator: torch.Generator | None
    ) -> None:
        layers: list[nn.Module] = []
        kernels = [7, 5]
        while size > LAST_MAP or kernels:
            kernel = kernels.pop(0) if kernels else 3
            layers += [_convolution(fan_in, channels, kernel, 2, generator), nn.ReLU()]
            fan_in, size = channels, (size - kernel) // 2 + 1
        super().__init__(*layers, nn.Flatten(), linear(channels * size * size, outputs, generator))


class KeypointEncoder(nn.Sequential):
    """Images of one camera (batch, C, size, size) -> (batch, outputs), by convolutions of 7, 5 and
    3 pixels, strides 2, 2 and 1, a spatial softmax (the mean position at which each channel
    responds) and a linear map.

    Colour images, with C divisible by 3, are turned into opponent colours first. Arguments as for
    `ViewEncoder`.
    """

    def __init__(
        self, fan_in: int, size: int, channels: int, outputs: int, generator: torch.Generator | None
    ) -> None:
        layers: list[nn.Module] = [] if fan_in % 3 else [OpponentColours()]
        for kernel, stride in ((7, 2), (5, 2)):
            layers += [_convolution(fan_in, channels, kernel, stride, generator), nn.ReLU()]
            fan_in, size = channels, (size - kernel) // stride + 1
        # no bias: the spatial softmax standardises each map, which removes it
        layers.append(_convolution(channels, channels, 3, 1, generator, bias=False))
        super().__init__(
            *layers, SpatialSoftmax(channels, size - 2), linear(2 * channels, outputs, generator)
        )


class OpponentColours(nn.Module):
    """Frames (batch, 3 frames, H, W) of red, green and blue -> the same shape with brightness, red
    minus green, and both minus blue, the last two amplified.

    Images of cameras are mostly grey: the three colours are nearly equal, and a coloured object
    differs little in each. Opponent colours separate it from the grey.

    Args:
        gain: amplification of the colour differences.
    """

    def __init__(self, gain: float = 4.0) -> None:
        super().__init__()
        self.register_buffer(
            "mixing",
            torch.tensor([[1 / 3, 1 / 3, 1 / 3], [gain, -gain, 0], [gain / 2, gain / 2, -gain]]),
            persistent=False,
        )

    mixing: Tensor

    def forward(self, images: Tensor) -> Tensor:
        frames = torch.unflatten(images, 1, (-1, 3))
        mixed = torch.einsum("oc,nfchw->nfohw", self.mixing.to(images.dtype), frames).flatten(1, 2)
        return mixed.contiguous(memory_format=torch.channels_last)


class SpatialSoftmax(nn.Module):
    """Maps (batch, C, size, size) -> (batch, 2 C): the mean position x, y in -1..1 of every channel
    under a softmax over its standardised map (Levine et al. 2016).

    Standardising the maps gives a small region of high response a large weight from the start.

    Args:
        channels: C.
        size: height and width of the maps.
        sharpness: initial factor of the standardised map in the softmax; learned for every channel.
    """

    positions: Tensor  # (size * size, 2)

    def __init__(self, channels: int, size: int, sharpness: float = 1.0) -> None:
        super().__init__()
        y, x = torch.meshgrid(
            torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij"
        )
        self.register_buffer(
            "positions", torch.stack([x.flatten(), y.flatten()], 1), persistent=False
        )
        self.sharpness = nn.Parameter(torch.full((channels, 1), sharpness))

    def forward(self, maps: Tensor) -> Tensor:
        maps = maps.flatten(2)
        standardised = nn.functional.layer_norm(maps, maps.shape[-1:])
        return (torch.softmax(standardised * self.sharpness, -1) @ self.positions).flatten(1)


def _convolution(
    fan_in: int,
    channels: int,
    kernel: int,
    stride: int,
    generator: torch.Generator | None,
    *,
    bias: bool = True,
) -> nn.Conv2d:
    # on the meta device, as its own initialisation would draw global random numbers
    layer = nn.Conv2d(fan_in, channels, kernel, stride=stride, bias=bias, device="meta")
    layer = layer.to_empty(device="cpu")
    nn.init.orthogonal_(layer.weight, gain=nn.init.calculate_gain("relu"), generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def latent_normalisation(settings: LatentSettings) -> nn.Module:
    """The last layer of encoder and dynamics: SimNorm if set, after a LayerNorm if set, or none."""
    if not settings.simnorm:
        return nn.Identity()
    norm = [nn.LayerNorm(settings.latent)] if settings.normed_layers else []
    return nn.Sequential(*norm, SimNorm(settings.simnorm))


def _shapes(space: gym.Space[Any]) -> tuple[tuple[int, ...] | None, int]:
    """Shape of the images, None if the space has none, and length of the vector.

    Raises:
        ConfigError: a space that cannot be encoded.
    """
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
        return None, space.shape[0]
    if isinstance(space, gym.spaces.Dict) and {IMAGE, PROPRIOCEPTION} <= set(space):
        image, vector = space[IMAGE], space[PROPRIOCEPTION]
        if (
            isinstance(image, gym.spaces.Box)
            and isinstance(vector, gym.spaces.Box)
            and len(image.shape) == 4
            and len(vector.shape) == 1
        ):
            height, width = image.shape[2:]
            if image.dtype != np.uint8 or height != width or height < SMALLEST_IMAGE:
                raise ConfigError(
                    f"images are {height} x {width}, {image.dtype}: use square uint8 images of at "
                    f"least {SMALLEST_IMAGE} pixels"
                )
            return image.shape, vector.shape[0]
    raise ConfigError(
        f"observations of {space} cannot be encoded: use a Box of shape (S,), or a Dict of "
        f'"{IMAGE}" (views, C, size, size), uint8, and "{PROPRIOCEPTION}" (P,)'
    )
