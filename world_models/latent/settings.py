"""Sizes and ingredients of a latent world model: each ingredient of TD-MPC, MoDem-V2 and TD-MPC2
has a setting of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields


@dataclass(frozen=True)
class LatentSettings:
    """Sizes and ingredients. The defaults are those of MoDem-V2 (Lancaster et al. 2024):
    `classic()`.

    Args:
        latent: length of a latent.
        hidden: width of the two hidden layers of dynamics, reward, actors and critics.
        encoder_hidden: width of the hidden layers of the encoder.
        channels: of every convolution of the image encoder.
        keypoints: whether the image encoder ends in a spatial softmax (Levine et al. 2016), the
            mean position at which each channel responds, instead of the last map itself. Much
            better where few demonstrations show few positions of an object.
        members: actor-critic pairs; each has one actor and two critics.
        simnorm: size of the groups of a latent over each of which a softmax is taken (TD-MPC2); 0
            for no softmax.
        normed_layers: LayerNorm and Mish after every hidden layer (TD-MPC2). If false: ELU, and
            LayerNorm + tanh after the first layer of a critic.
        bins: rewards and values are distributions over this many bins, evenly spaced between -10
            and 10 after symlog (TD-MPC2); 0 for numbers fitted by squared error.
    Raises:
        ConfigError: a size below one, groups that do not divide the latent, or a single bin.
    """

    latent: int = 50
    hidden: int = 512
    encoder_hidden: int = 256
    channels: int = 32
    keypoints: bool = False
    members: int = 5
    simnorm: int = 0
    normed_layers: bool = False
    bins: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("latent", "hidden", "encoder_hidden", "channels", "members"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not a size: use 1 or more")
        if self.simnorm < 0 or self.simnorm == 1 or (self.simnorm and self.latent % self.simnorm):
            raise ConfigError(
                f"simnorm: {self.simnorm} does not divide the latent: {self.latent} into groups of "
                "two or more numbers; 0 leaves latents as they are"
            )
        if self.bins < 0 or self.bins == 1:
            raise ConfigError(
                f"bins: {self.bins} cannot describe a distribution: use 2 or more, or 0 for "
                "squared error"
            )

    @classmethod
    def classic(cls) -> LatentSettings:
        """The sizes and ingredients of MoDem-V2 as published."""
        return cls()

    @classmethod
    def modern(cls) -> LatentSettings:
        """The sizes and ingredients of TD-MPC2's default agent (5 million weights)."""
        return cls(latent=512, simnorm=8, normed_layers=True, bins=101)
