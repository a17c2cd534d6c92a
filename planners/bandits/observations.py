"""What a bandit policy reads of an observation, checked against its instance.

An observation has "state" (arms,), today's states, or "belief" (arms, states), a distribution of
today's state of each arm, independent over arms. A known state is the belief that has one 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import (
    BanditInstance,
    Floats,
    Ints,
    refuse_missing_states,
)
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, DatasetError

BELIEF_POLICIES = (
    "fluid, myopic, iterative_myopic, sampling, whittle, or sequoia trained with sequoia.network: "
    "shared"
)


def state_of(instance: BanditInstance, observation: Any) -> Ints:
    """The joint state (arms,) of {"state": (arms,), "steps_left": int}, or of a certain belief.

    Raises:
        ConfigError: the observation is no mapping, has no "state", or has a belief that leaves an
            arm's state open.
        DatasetError: the state has another length or type, or an arm is in a state that it does
            not have.
    """
    if isinstance(observation, Mapping) and "belief" in observation:
        belief = belief_of(instance, observation)
        open_ = np.flatnonzero(belief.max(-1) < 1 - checks.SUM_TOLERANCE)
        if len(open_):
            raise ConfigError(
                f"arm '{instance.label(int(open_[0]))}' has a belief and no known state: this "
                f"policy needs today's state of every arm: choose {BELIEF_POLICIES}"
            )
        return np.asarray(belief.argmax(-1))
    if not isinstance(observation, Mapping) or "state" not in observation:
        raise ConfigError(
            f"observation is {checks.shown(observation)}: give a mapping with 'state' (arms,) and "
            "'steps_left'"
        )
    return checked_state(instance, observation["state"])


def belief_of(instance: BanditInstance, observation: Any) -> Floats:
    """The distribution (arms, states) of today's states; rows with one 1 for known states.

    Args:
        instance: the programme.
        observation: {"belief": (arms, states)} or {"state": (arms,)}; with both, each belief must
            be certain of the state.

    Raises:
        ConfigError: as in `state_of`.
        DatasetError: the belief is no distribution of each arm, or state and belief disagree.
    """
    if not isinstance(observation, Mapping) or "belief" not in observation:
        return one_hot(state_of(instance, observation), instance.dynamics.states)
    shape = (instance.dynamics.arms, instance.dynamics.states)
    belief = checks.distributions(observation["belief"], "belief", shape)
    refuse_missing_states(instance, belief > 0, "belief")
    if "state" in observation:
        state = checked_state(instance, observation["state"])
        share = belief[np.arange(len(state)), state]
        apart = np.flatnonzero(share < 1 - checks.SUM_TOLERANCE)
        if len(apart):
            arm = int(apart[0])
            raise DatasetError(
                f"arm '{instance.label(arm)}': state {state[arm]} and a belief that gives it "
                f"{share[arm]:.3g} disagree: leave 'state' or 'belief' out"
            )
    return np.asarray(belief / belief.sum(-1, keepdims=True))


def checked_state(instance: BanditInstance, state: Any) -> Ints:
    """The joint state (arms,) as whole numbers.

    Raises:
        DatasetError: it has another length or type, or an arm is in a state that it does not have.
    """
    dynamics = instance.dynamics
    given = checks.whole_numbers(
        state, "state", (dynamics.arms,), least=0, most=dynamics.states - 1
    )
    if dynamics.own_states is not None:
        refuse_missing_states(instance, one_hot(given, dynamics.states) > 0, "state")
    return given


def checked_distribution(instance: BanditInstance, start: Any) -> Floats:
    """The distribution (arms, states) of each arm's first state.

    Raises:
        DatasetError: it has another shape, or is no distribution of each arm.
    """
    dynamics = instance.dynamics
    given = checks.distributions(start, "start", (dynamics.arms, dynamics.states))
    refuse_missing_states(instance, given > 0, "start")
    return given


def checked_steps(steps: int | None, name: str) -> int | None:
    """Steps ahead, or None.

    Raises:
        ConfigError: they are no whole number of at least 1.
    """
    return None if steps is None else checks.whole_number(steps, name, least=1)


def steps_left_of(instance: BanditInstance, observation: Mapping[str, Any]) -> int:
    """The steps to the end of the episode; the instance's horizon if the observation has none.

    Without an end they are not read: the horizon.

    Raises:
        ConfigError: they are no whole number from 1 to the horizon.
    """
    horizon = instance.horizon
    if instance.endless:
        return horizon
    left = observation.get("steps_left", horizon)
    return checks.whole_number(left, "steps_left", least=1, most=horizon)


def one_hot(state: Ints, states: int) -> Floats:
    """States (arms,) as distributions (arms, states)."""
    rows: Floats = np.eye(states)[np.asarray(state)]
    return rows
