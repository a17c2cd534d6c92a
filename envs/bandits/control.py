"""Episodes with control variates: corrections of the rewards that take out chance.

Let V_n(s) = sum_j values[n, j, s_j] be any guess of the return with n steps to go. What an episode
gains by chance in a step, compared with the guess, has the mean zero under every policy:

    E[ V_n(s') - sum_s'' P(s'' | s, a) V_n(s'') ] = 0

So it may be subtracted from the return. The closer the guess is to the policy's own value, the less
variance is left; a wrong guess costs precision only. (Henderson and Glynn 2002, "Approximating
martingales for variance reduction in Markov process simulation".)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.bandits.environment import BanditInstance, BanditVectorEnv, Floats, Ints
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError


class ControlledVectorEnv(BanditVectorEnv):
    """`BanditVectorEnv` that also records how its expected rewards may be corrected.

    Args:
        instance: the problem.
        values: (horizon + 1, arms, states) guess of each arm's return by steps to go, or
            (1, arms, states), the same whatever is to go; the mean over the arms' next states is
            taken with the instance's own transition probabilities.
        num_envs: number of episodes.
        first_episode: added to the episodes' numbers, for runs that are split.

    Attributes:
        corrections: (num_envs, horizon), to be added to the rewards of the steps; zero for steps
            that have not been made.

    Raises:
        ConfigError: an argument of another type, shape or range.
    """

    def __init__(
        self,
        instance: BanditInstance,
        values: Floats,
        num_envs: int = 1,
        *,
        first_episode: int = 0,
    ) -> None:
        super().__init__(instance, num_envs, first_episode=first_episode)
        shape = (instance.horizon + 1, instance.dynamics.arms, instance.dynamics.states)
        names = ("horizon + 1", "arms", "states")
        given = checks.array(values, "values", names, error=ConfigError)
        if given.shape not in (shape, (1, *shape[1:])):
            raise ConfigError(f"values have the shape {given.shape}: give {shape}")
        self._values = np.broadcast_to(given, shape)
        self.corrections = np.zeros((num_envs, instance.horizon))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Ints], dict[str, Any]]:
        """As `BanditVectorEnv.reset`.

        Raises:
            ConfigError: as there.
        """
        observation, info = super().reset(seed=seed, options=options)
        self.corrections[self._left == self.instance.horizon] = 0.0
        return observation, info

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[dict[str, Ints], Floats, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """As `BanditVectorEnv.step`; the rewards are not corrected.

        Raises:
            WorldplanError: as there.
        """
        before, step = self._state, self.instance.horizon - self._left
        result = super().step(actions)
        model, arms, rows = self.instance.dynamics, self._arms, np.arange(self.num_envs)
        guess = self._values[self._left]  # (num_envs, arms, states)
        moves = model.transition[arms, model.level(np.asarray(actions)), before]
        mean, drawn = (moves * guess).sum((1, 2)), guess[rows[:, None], arms, self._state].sum(1)
        self.corrections[rows, step] = self.instance.discount * (mean - drawn)
        return result
