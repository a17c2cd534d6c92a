"""Random shifts of images (Yarats et al. 2021, DrQ-v2)."""

from __future__ import annotations

import torch
from torch import Tensor

from worldplan.milp.errors import ConfigError


def random_shift(images: Tensor, pad: int, generator: torch.Generator | None = None) -> Tensor:
    """Shift every view of every row by its own whole number of pixels in [-pad, pad], down and
    across; borders are repeated.

    Args:
        images: (n, views, C, H, W), uint8 or floating point; the channels of a view (stacked frames
            too) move together.
        pad: largest shift in pixels; 0 returns the images themselves.
        generator: source of the shifts, on any device.
    Returns:
        A new tensor of the same shape and type.
    Raises:
        ConfigError: `images` has not five axes, or `pad` is negative.
    """
    if images.dim() != 5 or pad < 0:
        raise ConfigError(
            "random_shift takes images (n, views, C, H, W) and a pad of 0 or more, not "
            f"{tuple(images.shape)} and {pad}"
        )
    if pad == 0:
        return images
    n, views, channels, height, width = images.shape
    source = images.device if generator is None else generator.device
    shift = torch.randint(-pad, pad + 1, (2, n * views, 1), generator=generator, device=source)
    down, across = shift.to(images.device)  # (n * views, 1) each
    row = (torch.arange(height, device=images.device) + down).clamp(0, height - 1)
    column = (torch.arange(width, device=images.device) + across).clamp(0, width - 1)
    pixel = (row.unsqueeze(2) * width + column.unsqueeze(1)).view(n * views, 1, height * width)
    flat = images.reshape(n * views, channels, height * width)
    return flat.gather(2, pixel.expand(-1, channels, -1)).view(images.shape)
