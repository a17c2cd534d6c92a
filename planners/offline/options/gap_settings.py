"""Settings of H2O's dynamics-gap weights."""

from __future__ import annotations

from dataclasses import dataclass

from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields


@dataclass(frozen=True)
class DynamicsGap:
    """Weights of simulated transitions by how real their dynamics look (H2O, Niu et al., 2022). The
    defaults are those of the published code, but for the unit of the noise.

    Args:
        weight: of the term that lowers Q at simulated state-action pairs with a large gap.
        hidden: widths of the hidden layers of the discriminators.
        rate: learning rate of the discriminators.
        noise: standard deviation of the noise on their inputs while they learn, and of that on the
            next states at which the gap is averaged: for states in units of the standard deviation
            of the data's one-step changes, for actions in units of their own.

    Raises:
        ConfigError: a number is out of its range.
    """

    weight: float = 0.01
    hidden: tuple[int, ...] = (256, 256)
    rate: float = 3e-4
    noise: float = 0.1

    def __post_init__(self) -> None:
        check_fields(self, "dynamics_gap.")
        for name in ("weight", "noise"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    f"dynamics_gap.{name} {getattr(self, name)}: must not be negative"
                )
        if not self.rate > 0 or not self.hidden or min(self.hidden) < 1:
            raise ConfigError(
                f"dynamics_gap.rate {self.rate}, dynamics_gap.hidden {self.hidden}: give a rate "
                "above 0, and at least one layer of at least one unit"
            )
