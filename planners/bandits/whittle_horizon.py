"""Whittle indices with a finite number of steps to go, of all arms and states at once.

With subsidy l in each step in which the arm is left alone, and n steps to go,

    Q_n(s, 0) = r_0(s) + l + d sum_s' P_0(s'|s) V_{n-1}(s')
    Q_n(s, 1) = r_1(s)     + d sum_s' P_1(s'|s) V_{n-1}(s')         V_n = max(Q_n(., 0), Q_n(., 1))

and the index of state s is the subsidy at which Q_n(s, 1) = Q_n(s, 0) (Whittle 1988, at a fixed
time of a finite horizon). The advantage of pulling is piecewise linear in the subsidy; its zero is
found by Newton's method between proven signs, for every arm and state in the same array operations.
Where both levels are equally good over an interval of subsidies, the index is the least of them: at
larger ones leaving the arm alone is optimal. With one step to go the index is the gain in the next
reward.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.bandits.environment import ArmDynamics, Floats
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.planners.bandits.units import Units

ITERATIONS = 100  # of Newton's method; a bisection needs about 50
BISECTIONS = 60
POINTS = 25  # subsidies at which indexability is tested
NEAR = 1e-6  # below a zero: how far another one shows an interval of zeros
BLOCK = 2**23  # numbers in the arrays of one block of arms


def finite_whittle_indices(dynamics: ArmDynamics, steps: int, discount: float = 1.0) -> Floats:
    """Indices (arms, states) of two-level arms with `steps` steps to go.

    Of an arm that is not indexable it is one of the subsidies at which both are equally good.

    Args:
        dynamics: of the arms.
        steps: to go, the present one included.
        discount: per step, above 0 and at most 1.

    Raises:
        ConfigError: an arm has several interventions, `steps` is below 1, or the discount is out of
            range.
    """
    units, one_step = _planned(dynamics, steps, discount)
    size = max(1, BLOCK // (4 * dynamics.states**2))
    blocks = [
        _zero(dynamics.transition[first : first + size], one_step[first : first + size], steps,
              discount)
        for first in range(0, dynamics.arms, size)
    ]  # fmt: skip
    indices: Floats = units.unit * np.concatenate(blocks)
    return indices


def whittle_table(dynamics: ArmDynamics, steps: int, discount: float = 1.0) -> Floats:
    """The indices with 0, 1, ... `steps` steps to go, (steps + 1, arms, states), zero at the end.

    Arguments and errors are those of `finite_whittle_indices`. The search for each number of steps
    begins at the indices of one step less, where few iterations are left.
    """
    units, one_step = _planned(dynamics, steps, discount)
    table = np.zeros((steps + 1, dynamics.arms, dynamics.states))
    size = max(1, BLOCK // (4 * dynamics.states**2))
    for first in range(0, dynamics.arms, size):
        part = slice(first, first + size)
        for left in range(1, steps + 1):
            start = table[left - 1, part]
            table[left, part] = _zero(
                dynamics.transition[part], one_step[part], left, discount, start
            )
    return units.unit * table


def _planned(dynamics: ArmDynamics, steps: int, discount: float) -> tuple[Units, Floats]:
    """The units, and planned rewards (arms, 2, states) of a step.

    Raises:
        ConfigError: as in `finite_whittle_indices`.
    """
    refuse_levels(dynamics)
    checks.whole_number(steps, "steps", least=1)
    checks.number(discount, "discount", above=0.0, most=1.0)
    units = Units.of([dynamics])
    return units, units.plan(dynamics).one_step()


def refuse_levels(dynamics: ArmDynamics) -> None:
    """Refuse arms that are not pulled or not.

    Raises:
        ConfigError: an arm has several interventions.
    """
    if dynamics.effect is not None or dynamics.levels != 2:
        raise ConfigError(
            "the Whittle index needs arms that are pulled or not: "
            "for several interventions per arm use another policy"
        )


def finite_indexable(
    dynamics: ArmDynamics, steps: int, discount: float, index: Floats
) -> NDArray[np.bool_]:
    """(arms,), false where pulling is seen to be optimal again at a larger subsidy.

    A test at `POINTS` subsidies around the indices (arms, states): it may overlook an arm.
    """
    units = Units.of([dynamics])
    one_step, planned = units.plan(dynamics).one_step(), index / units.unit
    low, high = planned.min(1, keepdims=True), planned.max(1, keepdims=True)
    margin = 0.25 * (high - low) + 1e-6
    share = np.linspace(0.0, 1.0, POINTS)
    subsidies = (low - margin) + share * (high - low + 2 * margin)
    gain, _ = _advantage(dynamics.transition, one_step, subsidies, steps, discount)
    left = np.maximum.accumulate(gain < -1e-7, axis=1)
    return np.asarray(~(left & (gain > 1e-7)).any(axis=(1, 2)))


def _advantage(
    transition: Floats, one_step: Floats, subsidy: Floats, steps: int, discount: float
) -> tuple[Floats, Floats]:
    """Advantage of pulling and its slope in the subsidy, each (arms, subsidies, states).

    Args:
        transition: (arms, 2, states, states).
        one_step: (arms, 2, states) expected rewards.
        subsidy: (arms, subsidies).
        steps: to go.
        discount: per step.
    """
    arms, count, states = *subsidy.shape, one_step.shape[2]
    value, slope = np.zeros((arms, count, states)), np.zeros((arms, count, states))
    # (arms, states, 2 * states): to all next states of both levels in one product
    onto = discount * transition.transpose(0, 3, 1, 2).reshape(arms, states, 2 * states)
    reward = one_step.reshape(arms, 1, 2 * states)
    gain = lift = value
    for _ in range(steps):
        worth, rise = reward + value @ onto, slope @ onto
        leave, pull = worth[..., :states] + subsidy[..., None], worth[..., states:]
        leave_rise, pull_rise = rise[..., :states] + 1.0, rise[..., states:]
        gain, lift = pull - leave, pull_rise - leave_rise
        value = np.maximum(leave, pull)
        slope = np.where(gain > 0, pull_rise, leave_rise)
    return gain, lift


def _zero(
    transition: Floats,
    one_step: Floats,
    steps: int,
    discount: float,
    start: Floats | None = None,
) -> Floats:
    """The least subsidies (arms, states) at which both levels are equally good.

    The search begins at `start` (arms, states), or at zero.
    """
    states = np.arange(one_step.shape[2])
    spread = np.ptp(one_step, axis=(1, 2))[:, None]
    # no more can be lost by a pull than by all rewards that follow
    reach = (steps * spread + 1.0) * np.ones(len(states))
    low, high = -reach, reach
    subsidy: Floats = np.zeros_like(reach) if start is None else np.clip(start, low, high)
    found = np.zeros(reach.shape, bool)
    for _ in range(ITERATIONS):
        gain, slope = _advantage(transition, one_step, subsidy, steps, discount)
        gain, slope = gain[:, states, states], slope[:, states, states]
        found |= (np.abs(gain) <= 1e-11 * (1.0 + spread)) | (high - low <= 1e-12)
        if found.all():
            break
        low, high = np.where(gain > 0, subsidy, low), np.where(gain > 0, high, subsidy)
        falls = slope < -1e-9
        newton = subsidy - gain / np.where(falls, slope, -1.0)
        inside = falls & (newton > low) & (newton < high)
        following = np.where(inside, newton, (low + high) / 2)
        subsidy = np.where(found, subsidy, following)
    return _least(transition, one_step, steps, discount, subsidy)


def _least(
    transition: Floats, one_step: Floats, steps: int, discount: float, zero: Floats
) -> Floats:
    """The lower ends (arms, states) of the intervals of zeros of the advantage around `zero`.

    Where moves are certain, both levels are often equally good over an interval.
    """
    states = np.arange(one_step.shape[2])
    spread = np.ptp(one_step, axis=(1, 2))[:, None]
    gain, _ = _advantage(transition, one_step, zero - NEAR, steps, discount)
    flat = gain[:, states, states] <= 1e-11 * (1.0 + spread)
    arms = np.flatnonzero(flat.any(1))
    if not len(arms):
        return zero
    moves, reward, flat = transition[arms], one_step[arms], flat[arms]
    high = np.where(flat, zero[arms] - NEAR, zero[arms])
    low = np.where(flat, -(steps * spread[arms] + 1.0), zero[arms])
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        gain, _ = _advantage(moves, reward, middle, steps, discount)
        pulls = gain[:, states, states] > 1e-11 * (1.0 + spread[arms])
        low, high = np.where(pulls, middle, low), np.where(pulls, high, middle)
    least = zero.copy()
    least[arms] = np.where(flat, high, zero[arms])
    return least
