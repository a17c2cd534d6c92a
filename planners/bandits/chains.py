"""Markov chains of single arms under a fixed policy: recurrent classes and values.

Discounted values are v = r + d P v. Without a discount the gain g and the relative values h satisfy
h + g = r + P h, with h zero in a reference state; they are unique if the chain has one recurrent
class (Puterman 1994, section 8.2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.bandits.environment import Floats

LEAST = 1e-12  # a probability below it counts as zero for recurrent classes


def reachable(possible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(..., states, states): whether state t is reached from s by moves that are `possible`."""
    states = possible.shape[-1]
    reach = possible | np.eye(states, dtype=bool)
    for _ in range(max(1, int(np.ceil(np.log2(states))))):
        reach = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0
    return np.asarray(reach)


def has_one_class(chain: Floats) -> NDArray[np.bool_]:
    """(...,): whether a chain (..., states, states) has a single recurrent class.

    It has if and only if some state is reached from every state.
    """
    return np.asarray(reachable(chain > LEAST).all(-2).any(-1))


def values_of(chain: Floats, reward: Floats, discount: float) -> Floats:
    """Values (..., states, n) of rewards (..., states, n) in a chain (..., states, states).

    Args:
        chain: transition probabilities; with one recurrent class if `discount` is 1.
        reward: expected ones of a step, in n columns.
        discount: per step. With 1, relative values, zero in state 0.
    """
    states = chain.shape[-1]
    system = np.eye(states) - discount * chain
    if discount < 1:
        return np.asarray(np.linalg.solve(system, reward))
    system[..., 0] = 1.0  # in place of the relative value of state 0, which is zero: the gain
    solved = np.linalg.solve(system, reward)
    solved[..., 0, :] = 0.0
    return np.asarray(solved)


def endless_values(chain: Floats, reward: Floats, discount: float) -> Floats:
    """What rewards (..., states) are worth without an end, by first state (..., states).

    Discounted values or, with the discount 1, averages of a step: P* r, with P* the limit of the
    averages of the powers of `chain`, whatever its recurrent classes are.

    Args:
        chain: (..., states, states) transition probabilities.
        reward: expected ones of a step.
        discount: per step.
    """
    if discount < 1:
        return np.asarray(values_of(chain, reward[..., None], discount)[..., 0])
    return np.asarray((limit(chain) @ reward[..., None])[..., 0])


def limit(chain: Floats) -> Floats:
    """P* (..., states, states): long-run shares of the steps in each state, by first state.

    Of a chain (..., states, states). With the lazy chain Q = (P + 1) / 2, which has the same shares
    and no period, P* is the limit of Q^n; squaring 50 times makes n 1e15.
    """
    power = (chain + np.eye(chain.shape[-1])) / 2
    for _ in range(50):
        power = power @ power
        power = power / power.sum(-1, keepdims=True)
    return np.asarray(power)
