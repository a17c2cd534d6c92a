"""Declared input precision: the numbers of a log are multiples of a step, and what floating point
added to them is rounded away when they are read. All arithmetic afterwards stays exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Ground, State
from worldplan.world_models.numeric.trajectories import Trajectory

MOST_DECIMALS = 30
FLOAT_ERROR = Fraction(1, 10**12)  # relative size of sums of rounding errors of floating point


@dataclass(frozen=True)
class Precision:
    """The step that the true values of each function are multiples of.

    Args:
        step: of every function that `steps` does not name; None: such values stay as they are.
        steps: by name of the function; a step may be a text such as "1/3".

    Raises:
        ConfigError: a step is no number above 0.
    """

    step: Rational | None = None
    steps: Mapping[str, Rational] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.step is not None:
            object.__setattr__(self, "step", _positive(self.step, "precision"))
        object.__setattr__(self, "steps", by_function(self.steps, _positive, "precision"))

    @staticmethod
    def decimals(number: int, steps: Mapping[str, Rational] | None = None) -> Precision:
        """Multiples of 10^-number, for all functions that `steps` does not name.

        Raises:
            ConfigError: `number` is no whole number from 0 to 30.
        """
        is_whole = isinstance(number, int) and not isinstance(number, bool)
        if not is_whole or not 0 <= number <= MOST_DECIMALS:
            raise ConfigError(
                f"decimals {number}: give a whole number from 0 to {MOST_DECIMALS}, the decimals "
                "that the numbers of the log really have"
            )
        return Precision(Fraction(1, 10**number), steps or {})

    def step_of(self, function: str) -> Rational | None:
        """The step of a function; None if its values are not rounded."""
        return self.steps.get(function, self.step)


@dataclass(frozen=True)
class Rounding:
    """What rounding did to the numbers that were read.

    Args:
        numbers: how many numbers were read.
        changed: how many of them rounding changed.
        largest: the largest change.
        fluent: the ground fluent of this change; () without one.
    """

    numbers: int = 0
    changed: int = 0
    largest: Rational = 0
    fluent: Ground = ()

    def __add__(self, other: Rounding) -> Rounding:
        """The counts of both."""
        worse = other if other.largest > self.largest else self
        numbers, changed = self.numbers + other.numbers, self.changed + other.changed
        return Rounding(numbers, changed, worse.largest, worse.fluent)

    def text(self) -> str:
        """In one sentence."""
        if not self.changed:
            return f"none of {self.numbers} numbers was changed by rounding"
        return (
            f"{self.changed} of {self.numbers} numbers changed by rounding, by at most "
            f"{float(self.largest):.3g} ({' '.join(self.fluent)})"
        )


def by_function(
    values: Any, checked: Callable[[Any, str], Rational], what: str
) -> dict[str, Rational]:
    """The numbers of a setting per function, by the function's name in lower case.

    Args:
        values: the setting as it was given.
        checked: the exact number of a value; its second argument is what errors name.
        what: the setting's name, for messages.

    Raises:
        ConfigError: it is no mapping, a number is wrong, or two names differ in capitals only.
    """
    numbers: dict[str, Rational] = {}
    for name, value in checks.of_type(values, what, Mapping).items():
        function = str(name).lower()
        if function in numbers:
            raise ConfigError(
                f"{what}: '{name}' is given twice; capitals do not tell functions apart: keep one"
            )
        numbers[function] = checked(value, f"{what} of '{name}'")
    return numbers


def number_of(value: Any) -> Rational | None:
    """A value of a setting as an exact number; None if it is no finite number."""
    try:
        return None if isinstance(value, bool) else exact(value)
    except (ValueError, TypeError, ZeroDivisionError, OverflowError):
        return None


def check_functions(names: Mapping[str, Any], functions: Mapping[str, Any], what: str) -> None:
    """Check that a setting per function names functions of the domain only.

    Args:
        names: the setting.
        functions: the functions that the domain declares.
        what: the setting's name, for the message.

    Raises:
        ConfigError: it names something else.
    """
    for name in names:
        if name not in functions:
            near = did_you_mean(name, functions)
            raise ConfigError(
                f"{what}: '{name}' is not a function of the domain{near}: it has "
                f"{', '.join(functions) or 'none'}"
            )


def rounded_state(state: State, precision: Precision) -> tuple[State, Rounding]:
    """A state with every value at the nearest multiple of its step, and what that changed."""
    values: dict[Ground, Rational] = {}
    worst: Ground = ()
    changed, largest = 0, Fraction(0)
    for fluent, value in state.values.items():
        step = precision.step_of(fluent[0])
        nearest = value if step is None else rounded(value, step)
        values[fluent] = nearest
        if nearest != value:
            changed += 1
            if (change := abs(Fraction(nearest) - value)) > largest:
                largest, worst = change, fluent
    rounding = Rounding(len(values), changed, exact(largest), worst)
    return (replace(state, values=values) if changed else state), rounding


def rounded_trajectory(trajectory: Trajectory, precision: Precision) -> tuple[Trajectory, Rounding]:
    """A trajectory with every value at the nearest multiple of its step, and what that changed."""
    total, states = Rounding(), []
    for state in trajectory.states:
        near, rounding = rounded_state(state, precision)
        states.append(near)
        total += rounding
    return (replace(trajectory, states=tuple(states)) if total.changed else trajectory), total


def rounded(value: Rational, step: Rational) -> Rational:
    """The nearest multiple of a step; of two equally near ones the even multiple."""
    return exact(round(Fraction(value) / step) * Fraction(step))


def rounding_hint(unexplained: Sequence[Ground], before: State, after: State) -> str:
    """A hint at the declared precision where all these changes are as small as rounding errors."""
    changes = []
    for fluent in unexplained:
        x, y = before.values.get(fluent), after.values.get(fluent)
        if x is None or y is None:
            return ""
        changes.append(abs(Fraction(y) - x))
        if changes[-1] > FLOAT_ERROR * max(abs(Fraction(x)), abs(Fraction(y))):
            return ""
    return (
        f" (it changes by {float(max(changes)):.1e} only, a rounding error: declare the precision "
        "of the numbers, --decimals N)"
    )


def _positive(value: Any, what: str) -> Rational:
    """A step as an exact number.

    Raises:
        ConfigError: it is no finite number above 0.
    """
    step = number_of(value)
    if step is None or step <= 0:
        raise ConfigError(
            f"{what} is {checks.shown(value)}: give a number above 0 such as 0.01 or '1/3'"
        )
    return step
