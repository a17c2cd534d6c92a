"""Local search for good actions of a network: add, drop or swap a component while it helps.

The exact solve starts from its result, and training uses it in place of the exact argmax.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.milp.networks.relu import ReluNetwork
from worldplan.milp.program import Floats, Indices
from worldplan.milp.sets.base import Action, ActionSet

_CHECKS = 40  # feasibility checks per round, in order of gain


def value(networks: Sequence[ReluNetwork], actions: NDArray[Any]) -> Floats:
    """Least value over the networks, (...,), of actions (..., size)."""
    least: Floats = np.min([network(actions) for network in networks], axis=0)
    return least


def local_search(
    networks: Sequence[ReluNetwork],
    actions: ActionSet,
    starts: Iterable[Action],
    rounds: int = 50,
    *,
    enough: float = np.inf,
    deadline: float = np.inf,
) -> tuple[Action, float]:
    """Repeat the best feasible add, drop or swap, from the best of `starts`.

    Args:
        networks: whose least value is maximised.
        actions: the feasible set.
        starts: feasible actions (size,).
        rounds: moves at most.
        enough: value at which the search stops.
        deadline: on `time.perf_counter`; the search stops there.

    Returns:
        The action (size,) and its value.
    """
    pool = np.stack(list(starts))
    values = value(networks, pool)
    best = int(values.argmax())
    action, current = pool[best].astype(np.int8), float(values[best])
    for _ in range(rounds):
        if current >= enough or time.perf_counter() > deadline:
            break
        better = _best_move(networks, actions, action, current, deadline)
        if better is None:
            break
        action, current = better
    return action, current


def greedy_start(networks: Sequence[ReluNetwork], actions: ActionSet) -> Action:
    """A feasible action (size,), filled in the order of each component's own gain."""
    gain = value(networks, np.eye(actions.size)) - value(networks, np.zeros((1, actions.size)))
    return actions.fill(np.argsort(-gain))


def _best_move(
    networks: Sequence[ReluNetwork],
    actions: ActionSet,
    action: Action,
    current: float,
    deadline: float,
) -> tuple[Action, float] | None:
    """The feasible neighbour of `action` (size,) with the greatest value above `current`."""
    on, off = np.flatnonzero(action), np.flatnonzero((action == 0) & actions.selectable)
    drops, adds = np.append(on, -1), np.append(off, -1)  # -1: nothing dropped, nothing added
    values = np.min([_swap_values(network, action, drops, adds) for network in networks], axis=0)
    if len(on) >= actions.most:
        values[-1] = -np.inf
    if len(on) <= actions.least:
        values[:, -1] = -np.inf
    better = np.flatnonzero(values > current + 1e-9 * (1 + abs(current)))
    ranked = values.ravel()[better]
    if len(better) > _CHECKS:
        kept = np.argpartition(-ranked, _CHECKS)[:_CHECKS]
        better, ranked = better[kept], ranked[kept]
    for move in better[np.argsort(-ranked, kind="stable")]:
        drop, add = np.unravel_index(move, values.shape)
        candidate = action.copy()
        if drops[drop] >= 0:
            candidate[drops[drop]] = 0
        if adds[add] >= 0:
            candidate[adds[add]] = 1
        if time.perf_counter() > deadline:
            return None
        if actions.probably_contains(candidate):
            return candidate, float(values[drop, add])
    return None


def _swap_values(network: ReluNetwork, action: Action, drops: Indices, adds: Indices) -> Floats:
    """Values (drops, adds) of all neighbours; an index of -1 drops or adds nothing.

    Only the first layer's pre-activations change, by a column or two of its weights.
    """
    weight = np.hstack([network.weights[0], np.zeros((len(network.biases[0]), 1))])
    first = network.weights[0] @ action + network.biases[0]
    moved = first - weight.T[drops][:, None] + weight.T[adds][None]
    direct: Floats | float = 0.0
    if network.skip is not None:
        skip = np.append(network.skip, 0.0)
        direct = network.skip @ action - skip[drops][:, None] + skip[adds][None]
    return network.after_first(moved, direct)
