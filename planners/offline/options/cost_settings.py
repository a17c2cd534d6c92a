"""Settings of a budget of costs."""

from __future__ import annotations

from dataclasses import dataclass

from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields


@dataclass(frozen=True)
class CostConstraint:
    """A budget of costs.

    Args:
        budget: d, upper bound on the expected discounted cost of an episode from the first
            observations of the dataset. A cost of c in every step for ever is c / (1 - discount).
            Infinite: costs are ignored.
        critics: of the costs.
        upper_bound: the pessimistic cost is mean + upper_bound * std over these critics; None takes
            their maximum.
        multiplier: lambda at the start, reward per cost.
        multiplier_rate: K_I, step of lambda's integral per update and unit of excess.
        multiplier_gain: K_P, of the excess itself in lambda; damps its swings in long trainings.

    Raises:
        ConfigError: the budget or another number is negative, or there is no critic.
    """

    budget: float
    critics: int = 2
    upper_bound: float | None = None
    multiplier: float = 0.0
    multiplier_rate: float = 1e-3
    multiplier_gain: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, "costs.", infinite=("budget",))
        if not self.budget >= 0:
            raise ConfigError(
                f"costs.budget {self.budget}: costs are 0 or more, so a budget is too: set it to 0 "
                "or more (.inf ignores the costs)"
            )
        if self.critics < 1:
            raise ConfigError(f"costs.critics {self.critics}: must be at least 1")
        for name in ("multiplier", "multiplier_rate", "multiplier_gain", "upper_bound"):
            if (value := getattr(self, name)) is not None and value < 0:
                raise ConfigError(f"costs.{name} {value}: must not be negative")

    @property
    def binds(self) -> bool:
        """Whether there is a bound at all."""
        return self.budget < float("inf")
