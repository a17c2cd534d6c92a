"""From observations to latents: state vectors, or images of several cameras together with
proprioception.
"""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from worldplan.milp.errors import ConfigError
from worldplan.world_models.latent.layers import Kind, SimNorm, linear, mlp
from worldplan.world_models.latent.settings import LatentSettings

Observation = Tensor | Mapping[str, Tensor]
IMAGE, PROPRIOCEPTION = "image", "proprioception"
SMALLEST_IMAGE = 32  # pixels; below, the first two convolutions leave nothing to see
# convolutions go on until the map is no wider than this: 64, 84 and 96 px need four, 224 px six
LAST_MAP = 4


class Encoder(nn.Module):
    """h(observation) -> latent.

    A state vector goes through one small network. Of images, every view has its own convolutions;
    what they and the network of the proprioception say is added up and goes through another small
    network, as in MoDem-V2.

    Args:
        space: of the observations: Box (S,), or Dict of "image" (views, C, size, size), uint8, and
            "proprioception" (P,).
    Raises:
        ConfigError: another space, images that are not square or below 32 px.
    """

    def __init__(
        self, space: gym.Space, settings: LatentSettings, generator: torch.Generator | None
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
            ConfigError: a key is missing, or a shape is unlike the space that the encoder was made
                for.
        """
        if self.image_shape is None:
            if not isinstance(observation, Tensor):
                raise ConfigError(
                    f"this model was made for observations of shape ({self.vector_size},), but got a dictionary: is it a pixel task?"
                )
            return self.last(self.vector(self._row(observation, "the observation")))
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
                f'this model was made for observations with the keys "{IMAGE}" and "{PROPRIOCEPTION}", but got {got}'
            )
        images = observation[IMAGE]
        if images.shape[1:] != self.image_shape:
            raise ConfigError(
                f"images are {tuple(images.shape[1:])} (views, channels, height, width), but this model was made for {self.image_shape}: "
                "set image_size, cameras and frames as in the run that made it"
            )
        parts = [self.vector(self._row(observation[PROPRIOCEPTION], PROPRIOCEPTION))]
        dtype = parts[0].dtype
        parts += [
            encode(images[:, view].to(dtype, memory_format=torch.channels_last) / 255)
            for view, encode in enumerate(self.views)
        ]
        return self.last(self.fusion(torch.stack(parts).sum(0)))

    def _row(self, vector: Tensor, name: str) -> Tensor:
        if vector.dim() != 2 or vector.shape[1] != self.vector_size:
            raise ConfigError(
                f"{name} has shape {tuple(vector.shape)}, but this model was made for (batch, {self.vector_size})"
            )
        first = self.vector[0]
        assert isinstance(first, nn.Linear)
        return vector.to(first.weight.dtype)


class ViewEncoder(nn.Sequential):
    """One camera: convolutions with kernels of 7, 5 and then 3 pixels, stride 2, ReLU after each
    (TD-MPC, MoDem-V2), and a linear map.

    Every camera has its own. They run one after the other, channels last: one grouped convolution
    per layer over all cameras took up to a quarter longer with two cameras and almost twice as long
    with four (forward and backward, one CPU thread, 64 px).

    Args:
        fan_in: channels of the images, those of stacked frames together.
        size: of the images, pixels.
        channels: of every convolution.
        outputs: numbers per image.
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
    """One camera: convolutions of 7, 5 and 3 pixels, strides 2, 2 and 1, then where in the picture
    each channel responds, and a linear map.

    Pictures in colour come in opponent colours first. Arguments as for `ViewEncoder`.
    """

    def __init__(
        self, fan_in: int, size: int, channels: int, outputs: int, generator: torch.Generator | None
    ) -> None:
        layers: list[nn.Module] = [] if fan_in % 3 else [OpponentColours()]
        for kernel, stride in ((7, 2), (5, 2)):
            layers += [_convolution(fan_in, channels, kernel, stride, generator), nn.ReLU()]
            fan_in, size = channels, (size - kernel) // stride + 1
        layers.append(
            _convolution(channels, channels, 3, 1, generator, bias=False)
        )  # what is standardised needs none
        super().__init__(
            *layers, SpatialSoftmax(channels, size - 2), linear(2 * channels, outputs, generator)
        )


class OpponentColours(nn.Module):
    """Frames (batch, 3 frames, H, W) of red, green and blue -> brightness, red against green, both
    against blue, the last two amplified.

    Most of what a camera sees is grey, so that all three colours tell nearly the same, and a
    coloured object is small in all of them.
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
        frames = images.unflatten(1, (-1, 3))
        mixed = torch.einsum("oc,nfchw->nfohw", self.mixing.to(images.dtype), frames).flatten(1, 2)
        return mixed.contiguous(memory_format=torch.channels_last)


class SpatialSoftmax(nn.Module):
    """Maps (batch, C, size, size) -> (batch, 2 C): the mean position x, y in -1..1 of every channel
    under a softmax over its standardised map.

    How sharp the softmax is, is learned for every channel. Standardised, a small place that stands
    out weighs much from the beginning.
    """

    positions: Tensor

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
    layer = nn.utils.skip_init(nn.Conv2d, fan_in, channels, kernel, stride=stride, bias=bias)
    nn.init.orthogonal_(layer.weight, gain=nn.init.calculate_gain("relu"), generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def latent_normalisation(settings: LatentSettings) -> nn.Module:
    """What the outputs of encoder and dynamics go through to become a latent."""
    if not settings.simnorm:
        return nn.Identity()
    norm = [nn.LayerNorm(settings.latent)] if settings.normed_layers else []
    return nn.Sequential(*norm, SimNorm(settings.simnorm))


def _shapes(space: gym.Space) -> tuple[tuple[int, ...] | None, int]:
    """Shape of the images, None where there are none, and length of the vector."""
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
                    f"images are {height} x {width}, {image.dtype}: use square uint8 images of at least {SMALLEST_IMAGE} pixels"
                )
            return image.shape, vector.shape[0]
    raise ConfigError(
        f'observations of {space} cannot be encoded: use a Box of shape (S,), or a Dict of "{IMAGE}" (views, C, size, size), uint8, '
        f'and "{PROPRIOCEPTION}" (P,)'
    )
