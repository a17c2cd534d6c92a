"""Settings of the sampling-based search."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields
from worldplan.nearest import did_you_mean

METHODS = ("mppi", "cem", "icem")
SCALES = ("elites", "running", "none")
PICKS = ("mean", "best", "draw")


@dataclass(frozen=True)
class ShootingSettings:
    """Method of the search and its numbers. Standard deviations are in half ranges of the action:
    1 reaches from the centre of the range to its bounds.

    Args:
        method: "mppi", "cem" or "icem".
        samples: candidates per environment in the first iteration, proposals included, kept elites
            not included.
        elites: number of best candidates that mean and standard deviation are refitted to.
        iterations: rounds of drawing and scoring per decision.
        horizon: steps of an action sequence.
        temperature: of MPPI's weights exp(score / (temperature * scale)): the lower, the more
            weight on the best elite; the higher, the more equal the weights.
        scale: divisor of the scores in MPPI's weights. "elites": range of the elites' scores;
            "running": running mean over decisions of the 5 % to 95 % range of all candidates'
            scores (for rewards so sparse that differences among elites may be noise); "none": 1.
        min_std: smallest standard deviation after refitting.
        max_std: largest one, and the initial one of a search that is not given any.
        momentum: share of the old mean in the refitted one.
        proposals: share of `samples` that the evaluator proposes itself (0 to 1).
        pick: the executed action is the first of the "mean", of the "best" elite, or of an elite
            drawn by weight ("draw"); None: "best" for iCEM, else "mean".
        finest: the candidates' noise is multiplied by factors from 1 down to `finest`, evenly
            spaced in the logarithm, so that one search is coarse and fine at once; 1: no scaling.
        noise_exponent: the noise has the power spectrum 1 / f ** noise_exponent over the steps;
            None: 2 for iCEM, else 0 (white noise).
        keep: share of the elites that are candidates again in the next iteration and in the next
            decision; None: 0.3 for iCEM, else 0.
        shrink: divisor of the number of drawn candidates after every iteration, which stays at
            least twice the number of elites; None: 1.25 for iCEM, else 1.

    Raises:
        ConfigError: a number is out of range or a name unknown.
    """

    method: Literal["mppi", "cem", "icem"] = "mppi"
    samples: int = 512
    elites: int = 64
    iterations: int = 6
    horizon: int = 5
    temperature: float = 0.2
    scale: Literal["elites", "running", "none"] = "elites"
    min_std: float = 0.05
    max_std: float = 2.0
    momentum: float = 0.0
    proposals: float = 0.0
    pick: Literal["mean", "best", "draw"] | None = None
    finest: float = 1.0
    noise_exponent: float | None = None
    keep: float | None = None
    shrink: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name, choices in (("method", METHODS), ("scale", SCALES), ("pick", (*PICKS, None))):
            if getattr(self, name) not in choices:
                names = ", ".join(map(str, choices))
                near = did_you_mean(str(getattr(self, name)), filter(None, choices))
                raise ConfigError(f"{name}: '{getattr(self, name)}' is unknown{near}: use {names}")
        for name in ("samples", "elites", "iterations", "horizon"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is too small: give at least 1")
        if self.elites > self.samples:
            raise ConfigError(
                f"elites: {self.elites} of {self.samples} samples cannot be the best: give "
                "elites <= samples"
            )
        if not self.temperature > 0:
            raise ConfigError(f"temperature: {self.temperature} must be positive")
        if not 0 < self.min_std <= self.max_std:
            raise ConfigError(
                f"min_std {self.min_std} and max_std {self.max_std}: both must be positive, the "
                "first not above the second"
            )
        for name, value in (
            ("momentum", self.momentum),
            ("proposals", self.proposals),
            ("keep", self.kept_share),
        ):
            if not 0 <= value <= 1:
                raise ConfigError(f"{name}: {value} is a share: give 0 to 1")
        self._check_noise()

    def _check_noise(self) -> None:
        """Check the numbers of the noise and of the population.

        Raises:
            ConfigError: one is out of range.
        """
        if not 0 < self.finest <= 1:
            raise ConfigError(f"finest: {self.finest} must be above 0 and at most 1")
        if not self.colour >= 0:
            raise ConfigError(f"noise_exponent: {self.noise_exponent} must not be negative")
        if not self.shrinking >= 1:
            raise ConfigError(f"shrink: {self.shrink} must be at least 1")

    @property
    def improved(self) -> bool:
        """Whether the method, and with it the defaults, are those of iCEM ("improved CEM")."""
        return self.method == "icem"

    @property
    def colour(self) -> float:
        """`noise_exponent`, or its default."""
        return (
            (2.0 if self.improved else 0.0) if self.noise_exponent is None else self.noise_exponent
        )

    @property
    def kept_share(self) -> float:
        """`keep`, or its default."""
        return (0.3 if self.improved else 0.0) if self.keep is None else self.keep

    @property
    def shrinking(self) -> float:
        """`shrink`, or its default."""
        return (1.25 if self.improved else 1.0) if self.shrink is None else self.shrink

    @property
    def picking(self) -> Literal["mean", "best", "draw"]:
        """`pick`, or its default."""
        return ("best" if self.improved else "mean") if self.pick is None else self.pick

    @property
    def proposal_count(self) -> int:
        """Number of candidates that the evaluator proposes in every iteration."""
        return round(self.samples * self.proposals)

    @property
    def kept(self) -> int:
        """Number of elites that are candidates again."""
        return math.ceil(self.elites * self.kept_share)

    def drawn(self, iteration: int) -> int:
        """Number of sequences that are drawn in iteration 0, 1, ..."""
        population = max(
            round(self.samples / self.shrinking**iteration), min(2 * self.elites, self.samples)
        )
        return max(population - self.proposal_count, 0)
