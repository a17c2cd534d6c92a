"""Declared noise: an observed number is off its true value by at most a bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Ground, State
from worldplan.world_models.numeric.precision import by_function, number_of


@dataclass(frozen=True)
class Noise:
    """The bound of each function: |observed - true| <= bound, for every observed number.

    Args:
        bound: of every function that `bounds` does not name.
        bounds: by name of the function; 0 for a function whose numbers are exact.

    Raises:
        ConfigError: a bound is no finite number from 0.
    """

    bound: Rational = 0
    bounds: Mapping[str, Rational] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bound", _bound(self.bound, "noise"))
        object.__setattr__(self, "bounds", by_function(self.bounds, _bound, "noise"))

    def of(self, function: str) -> Rational:
        """The bound of a function."""
        return self.bounds.get(function, self.bound)

    def changed(self, before: State, after: State) -> list[Ground]:
        """The fluents whose true values differ for certain: their observed values differ by more
        than twice the bound, or only one of them is defined.
        """
        return [
            fluent
            for fluent in before.values.keys() | after.values.keys()
            if self.differ(fluent[0], before.values.get(fluent), after.values.get(fluent))
        ]

    def differ(self, function: str, x: Rational | None, y: Rational | None) -> bool:
        """Whether two observed values of a fluent have different true values for certain."""
        if x is None or y is None:
            return x is not y
        return abs(Fraction(x) - y) > 2 * self.of(function)


def _bound(value: Any, what: str) -> Rational:
    """A bound as an exact number.

    Raises:
        ConfigError: it is no finite number from 0.
    """
    bound = number_of(value)
    if bound is None or bound < 0:
        raise ConfigError(
            f"{what} is {checks.shown(value)}: give the largest error of an observed number, from 0"
        )
    return bound
