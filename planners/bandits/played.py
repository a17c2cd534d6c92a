"""Returns of a policy in played episodes, of programmes with and without an end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldplan.envs.bandits.control import ControlledVectorEnv
from worldplan.envs.bandits.endless import EndlessVectorEnv
from worldplan.envs.bandits.environment import BanditInstance, Floats
from worldplan.planners.bandits.online.play import play_online
from worldplan.planners.bandits.units import default_tables
from worldplan.planners.base import Evaluation, Planner, evaluate


@dataclass(frozen=True)
class Played:
    """Episodes of a policy.

    Args:
        evaluation: table of episodes and rewards of the steps.
        returns: (episodes,) discounted returns. Without an end they include what the steps after
            the played ones count for (`worldplan.envs.bandits.endless`), or are averages of a step.
        steady: (episodes,) the same with control variates, which take out chance.
    """

    evaluation: Evaluation
    returns: Floats
    steady: Floats


def play_policy(
    planner: Planner,
    instance: BanditInstance,
    episodes: int,
    seed: int,
    values: Floats | None,
    *,
    learns: bool = False,
) -> Played:
    """Play episodes of a policy: side by side, or in sequence if it learns from them.

    Args:
        planner: of the policy.
        instance: that is played.
        episodes: how many.
        seed: of planner and episodes.
        values: (horizon + 1, arms, states) of `control_values`, for control variates; None: there
            are none, and averages without an end are not corrected for first and last states.
        learns: whether the policy learns from episode to episode; then there are no control
            variates.
    """
    make = _maker(instance, values)
    if learns:
        envs = [make(1, number) for number in range(episodes)]
        result = play_online(planner, instance, episodes, seed, envs=envs)
        corrections = np.zeros((episodes, instance.horizon))
    else:
        envs = [make(episodes, 0)]
        result = evaluate(planner, envs[0], episodes, seed)
        corrections = envs[0].corrections
    weights = instance.discount ** np.arange(instance.horizon)
    carried = [env.carried if isinstance(env, EndlessVectorEnv) else 0.0 for env in envs]
    added = np.concatenate(np.broadcast_arrays(*carried)) if instance.endless else 0.0
    share = 1.0 / instance.horizon if instance.averaged else 1.0
    returns = share * (result.step_reward @ weights + added)
    steady = returns + share * (corrections @ weights)
    return Played(result, returns, steady)


def _maker(
    instance: BanditInstance, values: Floats | None
) -> Callable[[int, int], ControlledVectorEnv]:
    """Makes environments from their number of episodes and the number of the first."""
    if values is None:
        values = np.zeros((1, instance.dynamics.arms, instance.dynamics.states))
    given = values
    if not instance.endless:
        return lambda count, first: ControlledVectorEnv(instance, given, count, first_episode=first)
    tail = np.zeros(given.shape[1:]) if instance.averaged else default_tables(instance)
    return lambda count, first: EndlessVectorEnv(
        instance, given[0], tail, count, first_episode=first
    )
