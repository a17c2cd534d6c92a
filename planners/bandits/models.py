"""The models of the arms that a planner sees: the instance's own, another one, or an ensemble."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError

Dynamics = ArmDynamics | Sequence[ArmDynamics] | None


def models_of(instance: BanditInstance, dynamics: Dynamics) -> list[ArmDynamics]:
    """The members of an ensemble, or the one model; the instance's own if `dynamics` is None.

    Arms that never count (`BanditInstance.ends`) have no rewards in them.

    Raises:
        ConfigError: there is no instance or no member, or a member has other arms, states, levels,
            `effect` or `strengths` than the others or the instance.
    """
    checks.of_type(instance, "instance", BanditInstance, remedy="a BanditInstance")
    members = _members(instance, dynamics)
    if instance.ends is None:
        return members
    return [member.without_rewards(instance.ends == 0) for member in members]


def _members(instance: BanditInstance, dynamics: Dynamics) -> list[ArmDynamics]:
    """As `models_of`, with the rewards of all arms.

    Raises:
        ConfigError: as there.
    """
    if dynamics is None:
        return [instance.dynamics]
    if not isinstance(dynamics, ArmDynamics | Sequence):
        raise ConfigError(
            f"dynamics is {checks.shown(dynamics)}: give an ArmDynamics, or a list of them"
        )
    members = [dynamics] if isinstance(dynamics, ArmDynamics) else list(dynamics)
    if not members:
        raise ConfigError("the ensemble of dynamics is empty: give at least one member")
    own = instance.dynamics
    for number, member in enumerate(members):
        checks.of_type(member, f"dynamics[{number}]", ArmDynamics, remedy="an ArmDynamics")
        same = all(
            np.array_equal(getattr(member, part), getattr(members[0], part))
            for part in ("effect", "strengths")
        )
        if (
            (member.arms, member.states, member.components)
            != (own.arms, own.states, own.components)
            or member.levels != members[0].levels
            or not np.array_equal(member.state_counts, own.state_counts)
            or not same
        ):
            raise ConfigError(
                "the given dynamics differ in arms, states, actions or effects: "
                "give members that fit the instance"
            )
    return members


def mean_dynamics(models: Sequence[ArmDynamics]) -> ArmDynamics:
    """Mean transition probabilities and rewards of several models of the same arms."""
    first = models[0]
    return ArmDynamics(
        np.mean([model.transition for model in models], axis=0),
        np.mean([model.reward for model in models], axis=0),
        first.effect,
        first.strengths,
        _mean_action_reward(models),
        first.own_states,
    )


def level_values(
    models: Sequence[ArmDynamics], start: Floats, later: Floats, discount: float
) -> Floats:
    """Mean value (arms, levels) over the models of a level now and `later` (arms, states) after it.

    Args:
        models: one, or an ensemble.
        start: (arms, states) distribution of the present states.
        later: value of the next states.
        discount: per step.
    """
    after = [np.einsum("jkst,jt->jks", model.transition, later) for model in models]
    values: Floats = np.mean([model.one_step() for model in models], axis=0)
    values = values + discount * np.mean(after, axis=0)
    value: Floats = np.einsum("jks,js->jk", values, start)
    return value


def _mean_action_reward(models: Sequence[ArmDynamics]) -> Floats | None:
    """The mean of the members' rewards of actions; None if they have none."""
    extra = [model.action_reward for model in models]
    given = [each for each in extra if each is not None]
    if not given:
        return None
    total: Floats = np.sum(np.broadcast_arrays(*given), axis=0)
    return total / len(models)
