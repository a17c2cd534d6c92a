"""A swap search for good actions: it gives the exact solve its first solution, and training its argmax."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from milp.actions import Action, ActionSet
from milp.program import Floats
from milp.relu import ReluNetwork

_CHECKS = 40  # feasibility checks per round, in order of gain


def value(networks: Sequence[ReluNetwork], actions: Floats) -> Floats:
    """Least value over the networks, (...,), of actions (..., size)."""
    return np.min([network(actions) for network in networks], axis=0)


def local_search(networks: Sequence[ReluNetwork], actions: ActionSet, starts: Iterable[Action], rounds: int = 50) -> tuple[Action, float]:
    """Best action found by repeated best feasible add, drop or swap from the best of `starts` (all feasible)."""
    pool = np.stack(list(starts))
    values = value(networks, pool)
    best = int(values.argmax())
    action, current = pool[best].astype(np.int8), float(values[best])
    for _ in range(rounds):
        better = _best_move(networks, actions, action, current)
        if better is None:
            break
        action, current = better
    return action, current


def greedy_start(networks: Sequence[ReluNetwork], actions: ActionSet) -> Action:
    """Fill the action in order of each component's gain over doing nothing."""
    eye = np.eye(actions.size)
    gain = value(networks, eye) - value(networks, np.zeros((1, actions.size)))
    return actions.fill(np.argsort(-gain))


def _best_move(networks: Sequence[ReluNetwork], actions: ActionSet, action: Action, current: float) -> tuple[Action, float] | None:
    on, off = np.flatnonzero(action), np.flatnonzero((action == 0) & actions.selectable)
    drops, adds = np.append(on, -1), np.append(off, -1)  # -1: nothing dropped, nothing added
    values = np.min([_swap_values(network, action, drops, adds) for network in networks], axis=0)
    order = np.argsort(-values, axis=None)[:_CHECKS]
    for move in order:
        drop, add = np.unravel_index(move, values.shape)
        if values[drop, add] <= current + 1e-9 * (1 + abs(current)):
            return None
        candidate = action.copy()
        if drops[drop] >= 0:
            candidate[drops[drop]] = 0
        if adds[add] >= 0:
            candidate[adds[add]] = 1
        if actions.probably_contains(candidate):
            return candidate, float(values[drop, add])
    return None


def _swap_values(network: ReluNetwork, action: Action, drops: Floats, adds: Floats) -> Floats:
    """Values (drops, adds) of all neighbours: only the first layer's sums change, by a column or two."""
    weight = np.hstack([network.weights[0], np.zeros((len(network.biases[0]), 1))])
    first = network.weights[0] @ action + network.biases[0]
    moved = first - weight.T[drops][:, None] + weight.T[adds][None]
    direct: Floats | float = 0.0
    if network.skip is not None:
        skip = np.append(network.skip, 0.0)
        direct = network.skip @ action - skip[drops][:, None] + skip[adds][None]
    return network.after_first(moved, direct)
