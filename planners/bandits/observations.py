"""What a bandit policy reads of an observation, checked against its instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worldplan.envs.bandits.environment import BanditInstance, Floats, Ints
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError


def state_of(instance: BanditInstance, observation: Any) -> Ints:
    """The joint state (arms,) of {"state": (arms,), "steps_left": int}.

    Raises:
        ConfigError: the observation is no mapping or has no "state".
        DatasetError: the state has another length or type, or an arm is in a state that it does
            not have.
    """
    if not isinstance(observation, Mapping) or "state" not in observation:
        raise ConfigError(
            f"observation is {checks.shown(observation)}: give a mapping with 'state' (arms,) and "
            "'steps_left'"
        )
    return checked_state(instance, observation["state"])


def checked_state(instance: BanditInstance, state: Any) -> Ints:
    """The joint state (arms,) as whole numbers.

    Raises:
        DatasetError: it has another length or type, or an arm is in a state that it does not have.
    """
    dynamics = instance.dynamics
    return checks.whole_numbers(state, "state", (dynamics.arms,), least=0, most=dynamics.states - 1)


def checked_distribution(instance: BanditInstance, start: Any) -> Floats:
    """The distribution (arms, states) of each arm's first state.

    Raises:
        DatasetError: it has another shape, or is no distribution of each arm.
    """
    dynamics = instance.dynamics
    return checks.distributions(start, "start", (dynamics.arms, dynamics.states))


def checked_steps(steps: int | None, name: str) -> int | None:
    """Steps ahead, or None.

    Raises:
        ConfigError: they are no whole number of at least 1.
    """
    return None if steps is None else checks.whole_number(steps, name, least=1)


def steps_left_of(instance: BanditInstance, observation: Mapping[str, Any]) -> int:
    """The steps to the end of the episode; the instance's horizon if the observation has none.

    Raises:
        ConfigError: they are no whole number from 1 to the horizon.
    """
    horizon = instance.horizon
    left = observation.get("steps_left", horizon)
    return checks.whole_number(left, "steps_left", least=1, most=horizon)
