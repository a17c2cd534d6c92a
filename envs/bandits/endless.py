"""Steps that are played of a programme without an end, and what the others count for.

Discounted, the steps after the T played ones are counted as those of a known policy with the values
V_j, so that the return sum_t d^t r_t + d^T sum_j V_j(s_Tj) is that of a policy, too: the played one
for T steps, and the known one afterwards.

The average of T steps depends on the first and the last state. With relative values H_j of the
states,

    (sum_t r_t + sum_j H_j(s_Tj) - sum_j H_j(s_0j)) / T

has the same limit as T grows. If g + H(s) >= r(s, a) + sum_t P(t | s, a) H(t) for all s and a, its
expectation is at most g for every policy and every T.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.bandits.control import ControlledVectorEnv
from worldplan.envs.bandits.environment import BanditInstance, Floats, Ints
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError


class EndlessVectorEnv(ControlledVectorEnv):
    """`ControlledVectorEnv` of the first `horizon` steps of a programme without an end.

    Args:
        instance: without an end.
        values: (arms, states) guess of what states are worth, as in `ControlledVectorEnv`; of an
            average, the relative values H.
        tail: (arms, states) values of the known policy; of no meaning for averages.
        num_envs: number of episodes.
        first_episode: added to the episodes' numbers, for runs that are split.

    Attributes:
        carried: (num_envs,) what is added to the discounted sum of the rewards, or to their sum if
            the average counts; zero in episodes that go on.

    Raises:
        ConfigError: the programme has an end, or an argument of another type, shape or range.
    """

    def __init__(
        self,
        instance: BanditInstance,
        values: Floats,
        tail: Floats,
        num_envs: int = 1,
        *,
        first_episode: int = 0,
    ) -> None:
        checks.of_type(instance, "instance", BanditInstance, remedy="a BanditInstance")
        if not instance.endless:
            raise ConfigError("EndlessVectorEnv needs a programme without an end: endless=True")
        super().__init__(instance, np.asarray(values)[None], num_envs, first_episode=first_episode)
        self._end = checks.array(tail, "tail", ("arms", "states"), error=ConfigError)
        shape = self._values.shape[1:]
        if self._end.shape != shape:
            raise ConfigError(f"tail has the shape {self._end.shape}: give {shape}")
        self._first = self._state
        self.carried = np.zeros(num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Ints], dict[str, Any]]:
        """As `BanditVectorEnv.reset`.

        Raises:
            ConfigError: as there.
        """
        observation, info = super().reset(seed=seed, options=options)
        begun = self._left == self.instance.horizon
        self._first = np.where(begun[:, None], self._state, self._first)
        self.carried[begun] = 0.0
        return observation, info

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[dict[str, Ints], Floats, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """As `BanditVectorEnv.step`.

        Raises:
            WorldplanError: as there.
        """
        result = super().step(actions)
        over, instance, arms = self._left == 0, self.instance, self._arms
        if instance.averaged:
            relative = self._values[0]
            change = relative[arms, self._state] - relative[arms, self._first]
            self.carried = np.where(over, change.sum(-1), 0.0)
        else:
            end = instance.discount**instance.horizon * self._end[arms, self._state].sum(-1)
            self.carried = np.where(over, end, 0.0)
        return result
