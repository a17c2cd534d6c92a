"""Arms that are seen on visits only, as arms whose state is always known (collapsing bandits).

What is known of an arm is the state s in which it was last seen and the number u of steps since.
The distribution of its state is then

    b(s, u) = start_s P_0^u

with P_0 the transition matrix without a visit. These "belief states" (s, u) form a chain themselves
(Mate, Killian, Xu, Perrault and Tambe 2020, "Collapsing bandits and their application to public
health intervention"): without a visit (s, u) becomes (s, u + 1), and a visit collapses it:

* "visits": the state t in which the arm is found is seen, with probability b(s, u)_t, and
  start_t = row t of P_1, the distribution after the visit;
* "outcomes": the state t after the visit is seen, with probability (b(s, u) P_1)_t, and start_t is
  certain of t.

A further chain begins at today's belief of each arm, whatever it is. Rewards are expected ones, so
that the chain of belief states is the arm's whole problem: no value is lost. Expected rewards of
joint policies are equal, and planners and bounds need no change.

A chain is cut at the age u from which on, to the horizon, no distribution differs from b(s, u) by
more than `tolerance` in total variation; older belief states count as (s, u). With eps_j the
largest such difference of arm j, r_j the range of its rewards in a step and n steps to go, an
optimal value changes by at most

    sum_j eps_j r_j n (n + 1) / 2,

since the difference of the rewards in a step is at most eps_j r_j, and that of the values of what
is seen on a visit at most eps_j times the range (n - 1) r_j of the steps that follow. With a
discount d below 1 it is at most sum_j eps_j r_j / (1 - d)^2, for any number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from worldplan.envs.bandits.environment import (
    ArmDynamics,
    BanditInstance,
    BanditVectorEnv,
    Floats,
    Ints,
)
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError

SEEN = ("always", "visits", "outcomes")
MOST_PROBABILITIES = 20_000_000  # of the transition matrices of all arms
LONGEST = 2000  # steps since an arm was seen that are followed


@dataclass(frozen=True)
class SeenArms:
    """The belief states of arms that are seen on visits only.

    Belief state number `chain * ages + u` was last seen in state `chain`, u steps ago; chain number
    `states` began with the belief of today.

    Args:
        dynamics: of the arms: (arms, 2, belief states, belief states).
        belief: (arms, belief states, states) distribution of the state in each belief state.
        ages: numbers of steps since an arm was seen that are told apart.
        kind: what a visit shows, "visits" or "outcomes".
        error: an optimal value over the horizon differs by at most this from that of all ages.
    """

    dynamics: ArmDynamics
    belief: Floats
    ages: int
    kind: str
    error: float

    @property
    def states(self) -> int:
        """Number of states of an arm."""
        return int(self.belief.shape[-1])

    @property
    def today(self) -> int:
        """The belief state of every arm today."""
        return int(self.belief.shape[-1]) * self.ages

    def most_likely(self, state: Ints) -> Ints:
        """The most likely state in each belief state, (..., arms) of numbers."""
        likely: Ints = self.belief.argmax(-1)[np.arange(len(self.belief)), state]
        return likely

    def older(self, state: Ints) -> Ints:
        """The belief states one step later, without a visit."""
        after: Ints = np.where(state % self.ages < self.ages - 1, state + 1, state)
        return after

    def words(self, state: int) -> str:
        """A belief state in words: "state 2, 3 steps ago"."""
        chain, age = divmod(state, self.ages)
        since = f"{age}{' or more' if age == self.ages - 1 and self.error else ''} steps ago"
        return f"today's belief, {since}" if chain == self.states else f"state {chain}, {since}"


def seen_on_visits(
    dynamics: ArmDynamics,
    belief: Floats,
    steps: int,
    kind: str = "visits",
    *,
    tolerance: float = 1e-4,
    ages: int | None = None,
    discount: float = 1.0,
) -> SeenArms:
    """The arms as arms whose belief state is known.

    Args:
        dynamics: of the arms: two levels.
        belief: (arms, states) of today.
        steps: that are planned, the horizon.
        kind: what a visit shows: "visits", the state before it; "outcomes", the state after it.
        tolerance: in total variation, where the chains are cut; 0: nowhere.
        ages: cut here instead, so that several models have equal belief states.
        discount: per step, for `SeenArms.error`.

    Raises:
        ConfigError: an argument is of another kind, the arms have several interventions, or there
            would be too many belief states.
    """
    checks.choice(kind, "seen", SEEN[1:])
    steps = checks.whole_number(steps, "steps", least=1)
    tolerance = checks.number(tolerance, "programme.seen_tolerance", least=0.0, most=1.0)
    if dynamics.effect is not None or dynamics.levels != 2:
        raise ConfigError(
            f"programme.seen {kind}: needs arms that are visited or not; interventions that reach "
            "several arms have no visit of an arm: leave programme.seen out"
        )
    rows = checks.distributions(belief, "belief", (dynamics.arms, dynamics.states))
    chains = _chains(dynamics, rows, steps, kind, tolerance, ages)
    count = chains.shape[2]
    _refuse_size(dynamics, count, kind)
    cut = _differences(dynamics, chains, steps)
    flat = chains.reshape(dynamics.arms, -1, dynamics.states)
    expanded = _expanded(dynamics, flat, count, kind)
    weight = steps * (steps + 1) / 2
    if discount < 1:
        weight = min(weight, 1 / (1 - discount) ** 2)
    error = float((cut * _ranges(dynamics)).sum() * weight)
    return SeenArms(expanded, flat, count, kind, error)


def ages_of(
    models: Sequence[ArmDynamics], belief: Floats, steps: int, kind: str, tolerance: float
) -> int:
    """Ages that suffice for several models of the arms; arguments as in `seen_on_visits`."""
    chains = (_chains(model, belief, steps, kind, tolerance, None) for model in models)
    return max(int(chain.shape[2]) for chain in chains)


def _chains(
    dynamics: ArmDynamics,
    belief: Floats,
    steps: int,
    kind: str,
    tolerance: float,
    ages: int | None,
) -> Floats:
    """Distributions (arms, states + 1, ages, states) by last state and age, today's chain last."""
    states = dynamics.states
    start = dynamics.transition[:, 1] if kind == "visits" else np.eye(states)
    start = np.broadcast_to(start, (dynamics.arms, states, states))
    rows = [np.concatenate([start, belief[:, None]], axis=1)]
    leave = dynamics.transition[:, 0]
    longest = min(steps, LONGEST) if ages is None else ages - 1
    for age in range(longest):
        rows.append(rows[-1] @ leave)
        change = 0.5 * np.abs(rows[-1] - rows[-2]).sum(-1).max()
        if ages is None and change * (steps - age) <= 1e-3 * tolerance:
            break  # changes never grow: nothing more happens to the horizon
        if len(rows) * rows[0].size > MOST_PROBABILITIES:
            _refuse_size(dynamics, len(rows), kind)
    if ages is None:
        last = len(rows) - 1
        spread = np.zeros(rows[0].shape[:2])
        low, high = rows[last].copy(), rows[last].copy()
        while last:  # the first age from which on all are within the tolerance
            low, high = np.minimum(low, rows[last - 1]), np.maximum(high, rows[last - 1])
            # half the sum of the ranges is at least every total variation
            spread = 0.5 * (high - low).sum(-1)
            if spread.max() > tolerance:
                break
            last -= 1
        rows = rows[: last + 1]
    return np.stack(rows, axis=2)


def _differences(dynamics: ArmDynamics, chains: Floats, steps: int) -> Floats:
    """(arms,) largest total variation between the last age's distribution and a later one."""
    last = chains[:, :, -1]
    row, largest, change = last, np.zeros(last.shape[:2]), np.zeros(last.shape[:2])
    later = steps + 1 - chains.shape[2]
    for _ in range(min(later, LONGEST)):
        after = row @ dynamics.transition[:, 0]
        change = 0.5 * np.abs(after - row).sum(-1)
        row = after
        largest = np.maximum(largest, 0.5 * np.abs(row - last).sum(-1))
    # a step's change never grows: the rest of the steps add at most so much
    rest = np.minimum(max(later - LONGEST, 0) * change, 1.0)
    found: Floats = np.minimum(largest + rest, 1.0).max(-1)
    return found


def _ranges(dynamics: ArmDynamics) -> Floats:
    """(arms,) ranges of the rewards of a step."""
    extra = _rewards_of_actions(dynamics)
    ranges: Floats = np.ptp(dynamics.reward, axis=-1) + np.ptp(extra, axis=(1, 2))
    return ranges


def _rewards_of_actions(dynamics: ArmDynamics) -> Floats:
    """Expected `action_reward` of a step, (arms, levels, states)."""
    later = np.einsum("jkst,jt->jks", dynamics.transition, dynamics.reward)
    extra: Floats = dynamics.one_step() - later
    return extra


def _refuse_size(dynamics: ArmDynamics, ages: int, kind: str) -> None:
    """Refuse chains that do not fit into the memory.

    Raises:
        ConfigError: names the sizes.
    """
    belief_states = (dynamics.states + 1) * ages
    entries = 2 * dynamics.arms * belief_states**2
    if entries > MOST_PROBABILITIES:
        raise ConfigError(
            f"programme.seen {kind}: {dynamics.arms} arms with {dynamics.states} states and {ages} "
            f"steps since they were seen make {entries:.3g} probabilities, at most "
            f"{MOST_PROBABILITIES} are taken: give a shorter programme.horizon, a larger "
            "programme.seen_tolerance, or programme.seen always"
        )


def _expanded(dynamics: ArmDynamics, belief: Floats, ages: int, kind: str) -> ArmDynamics:
    """Dynamics of the belief states; `belief` (arms, belief states, states)."""
    arms, count, states = belief.shape
    seen = belief if kind == "visits" else belief @ dynamics.transition[:, 1]
    transition = np.zeros((arms, 2, count, count))
    number = np.arange(count)
    transition[:, 0, number, np.where(number % ages < ages - 1, number + 1, number)] = 1.0
    transition[:, 1, :, np.arange(states) * ages] = np.moveaxis(seen, -1, 0)
    reward = np.einsum("jns,js->jn", belief, dynamics.reward)
    extra = None
    if dynamics.action_reward is not None:
        extra = np.einsum("jns,jks->jkn", belief, _rewards_of_actions(dynamics))[..., None]
    return ArmDynamics(transition, reward, action_reward=extra)


class SeenOnVisitsEnv(BanditVectorEnv):
    """Episodes of arms whose states are hidden until they are visited.

    Observations: {"state": (num_envs, arms) belief states, "steps_left": (num_envs,)}. The states
    move, and earn, as in `BanditVectorEnv` of the same instance and with the same random numbers.

    Args:
        instance: the problem with its hidden states.
        seen: its belief states; today's belief is `instance.initial`.
        num_envs, reward, first_episode: as in `BanditVectorEnv`.

    Raises:
        ConfigError: an argument of another type, or belief states of other arms.
    """

    def __init__(
        self,
        instance: BanditInstance,
        seen: SeenArms,
        num_envs: int = 1,
        *,
        reward: str = "expected",
        first_episode: int = 0,
    ) -> None:
        super().__init__(instance, num_envs, reward=reward, first_episode=first_episode)
        checks.of_type(seen, "seen", SeenArms, remedy="the result of seen_on_visits")
        if not np.allclose(seen.belief[:, seen.today], instance.initial):
            raise ConfigError(
                "seen: its belief of today is not the instance's distribution of first states: "
                "make it by seen_on_visits(instance.dynamics, instance.initial, instance.horizon)"
            )
        self.seen = seen
        arms = instance.dynamics.arms
        self.single_observation_space = gym.spaces.Dict(
            {
                "state": gym.spaces.MultiDiscrete(np.full(arms, seen.dynamics.states)),
                "steps_left": gym.spaces.Discrete(instance.horizon + 1),
            }
        )
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._known = np.full((num_envs, arms), seen.today, np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Ints], dict[str, Any]]:
        """As `BanditVectorEnv.reset`."""
        super().reset(seed=seed, options=options)
        begun = self._left == self.instance.horizon
        self._known = np.where(begun[:, None], self.seen.today, self._known)
        return self._observe(), {}

    def _observe(self) -> dict[str, Ints]:
        return {"state": self._known.copy(), "steps_left": self._left.copy()}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[dict[str, Ints], Floats, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """As `BanditVectorEnv.step`."""
        before = self._state
        _, reward, terminated, truncated, info = super().step(actions)
        shown = before if self.seen.kind == "visits" else self._state
        visited = np.asarray(actions) > 0
        self._known = np.where(visited, shown * self.seen.ages, self.seen.older(self._known))
        return self._observe(), reward, terminated, truncated, info


def of_belief_states(instance: BanditInstance, seen: SeenArms) -> BanditInstance:
    """The instance whose arms are belief states, all of them those of today at the start."""
    initial = np.zeros((instance.dynamics.arms, seen.dynamics.states))
    initial[:, seen.today] = 1.0
    return replace(instance, dynamics=seen.dynamics, initial=initial)
