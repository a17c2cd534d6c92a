"""What every upper bound on the return of a bandit policy is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from worldplan.envs.bandits.environment import BanditInstance, Floats, Ints
from worldplan.milp.errors import ConfigError
from worldplan.planners.bandits.observations import checked_state, one_hot


def refuse_endless(instance: BanditInstance, what: str, remedy: str) -> None:
    """Refuse a programme without an end.

    Args:
        instance: the programme.
        what: that needs an end, such as "the hull bound".
        remedy: what to do instead.

    Raises:
        ConfigError: the programme is endless.
    """
    if instance.endless:
        raise ConfigError(f"programme.endless: {what} needs a programme with an end: {remedy}")


def gained(bound: float, floor: float) -> float:
    """What a bound is above the default action's return; not less than the value's rounding.

    Args:
        bound: on the return of every policy.
        floor: return of the default action at every step.
    """
    return max(bound - floor, 1e-9 * abs(bound), 1e-300)


class Bound(ABC):
    """Upper bound on the expected return of every policy of `instance`.

    Attributes:
        limited: a search behind a value so far ended before its gap, by the time limit or the
            solver's rounding. Such values are bounds, but larger than they need be.
        slack: of searches from the start distribution ("hull", "joint"): how much a longer search
            could lower the bound, at most, as a share of its gain over the set's default action.
    """

    instance: BanditInstance
    limited: bool = False
    slack: float = 0.0

    def from_state(self, state: Ints, steps_left: int | None = None) -> float:
        """Bound on the return from the joint state (arms,), as `from_distribution`.

        Raises:
            DatasetError: `state` is no state of each arm.
            WorldplanError: as in `from_distribution`.
        """
        known = checked_state(self.instance, state)
        return self.from_distribution(one_hot(known, self.instance.dynamics.states), steps_left)

    @abstractmethod
    def from_distribution(self, start: Floats, steps_left: int | None = None) -> float:
        """Bound on the expected return from first states with the distribution (arms, states), over
        at most `steps_left` steps.

        Raises:
            ConfigError: `steps_left` is no whole number of at least 1.
            DatasetError: `start` is no distribution for each arm.
            SolverFailed: the solver ran out of time before it had a bound.
        """
