"""Whittle indices of all arms at once, and the policy that pulls by index."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats, Ints
from worldplan.milp.errors import ConfigError
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.level_maximiser import EXACT, LevelMaximiser
from worldplan.planners.base import Decision, Planner


@dataclass(frozen=True)
class WhittleIndices:
    """`index` (arms, states): the subsidy for leaving the arm alone at which pulling stops being
    worth it.

    `indexable` (arms,): whether states only ever leave the set worth pulling as the subsidy grows.
    For an arm that is not indexable `index` holds the largest subsidy below which pulling was still
    optimal, a heuristic.
    """

    index: Floats
    indexable: NDArray[np.bool_]


@dataclass
class _Paths:
    """Where every arm stands on its way from "pull always" to "pull never"."""

    active: NDArray[np.bool_]  # (arms, states)
    subsidy: Floats  # (arms,)
    index: Floats  # (arms, states)
    indexable: NDArray[np.bool_]  # (arms,)


def whittle_indices(dynamics: ArmDynamics, discount: float = 0.99) -> WhittleIndices:
    """Exact discounted Whittle indices (Whittle 1988) of two-level arms, with a test of
    indexability, all arms in parallel.

    An arm earns the expected reward of its next state, plus the subsidy whenever it is left alone.
    For a fixed policy the advantage of pulling is linear in the subsidy, so the optimal policy of
    each arm is followed along the subsidy line from one break point to the next (parametric policy
    iteration; one batch of linear systems per break point, as in the testing algorithm of Gast,
    Gaujal and Khun 2023, "Testing indexability and computing Whittle and Gittins index in subcubic
    time"). The arm is indexable if no state ever turns back from "leave" to "pull" at a larger
    subsidy than the one at which it turned to "leave". The test is numerical: overlaps narrower
    than 1e-9 / (1 - discount) of the arm's range of rewards are taken for ties.

    Raises ConfigError for arms with several interventions, or a discount outside (0, 1).
    """
    if dynamics.effect is not None or dynamics.levels != 2:
        raise ConfigError(
            "the Whittle index needs arms that are pulled or not: for several interventions per arm use another policy"
        )
    if not 0 < discount < 1:
        raise ConfigError(
            f"whittle discount is {discount:g}: give a number between 0 and 1, such as 0.99"
        )
    arms, states = dynamics.arms, dynamics.states
    one_step = dynamics.one_step()
    slack = (1e-9 * np.ptp(one_step, axis=(1, 2)) + 1e-13 * np.abs(one_step).max((1, 2))) / (
        1 - discount
    )
    one_step = one_step - one_step.mean(
        (1, 2), keepdims=True
    )  # a constant changes nothing but the rounding
    paths = _Paths(
        np.ones((arms, states), bool),
        np.full(arms, -np.inf),
        np.full((arms, states), np.inf),
        np.ones(arms, bool),
    )
    going = np.arange(arms)
    for _ in range(20 + 10 * states):
        if not len(going):
            break
        moves = _advantage(
            dynamics.transition[going], one_step[going], paths.active[going], discount
        )
        going = _advance(paths, going, *moves, slack[going])
    paths.indexable[going] = False  # break points without end
    index = np.where(np.isfinite(paths.index), paths.index, paths.subsidy[:, None])
    return WhittleIndices(index, paths.indexable)


def _advantage(
    transition: Floats, one_step: Floats, active: NDArray[np.bool_], discount: float
) -> tuple[Floats, Floats]:
    """Advantage of one pull over none, then following `active`: (base, slope), each (arms, states),
    linear in the subsidy.
    """
    leave, pull = transition[:, 0], transition[:, 1]
    followed = np.where(active[..., None], pull, leave)
    earned = np.stack([np.where(active, one_step[:, 1], one_step[:, 0]), ~active], axis=-1)
    value = np.linalg.solve(np.eye(active.shape[1]) - discount * followed, earned)
    later = discount * (pull - leave) @ value
    return one_step[:, 1] - one_step[:, 0] + later[..., 0], later[..., 1] - 1.0


def _advance(paths: _Paths, going: Ints, base: Floats, slope: Floats, slack: Floats) -> Ints:
    """Move each arm in `going` to its next break point, flipping one state; returns the arms that
    are not finished.
    """
    active, here = paths.active[going], paths.subsidy[going]
    turns = np.where(active, slope < -1e-10, slope > 1e-10)
    crossing = np.where(turns, -base / np.where(turns, slope, 1.0), np.inf)
    crossing = np.maximum(
        crossing, here[:, None]
    )  # rounding only: the present policy is optimal at `here`
    state = crossing.argmin(1)
    row = np.arange(len(going))
    there = crossing[row, state]
    live = np.isfinite(there)
    row, arm, state, there = row[live], going[live], state[live], there[live]
    leaves = active[row, state]
    since = np.where(leaves, np.inf, paths.index[arm, state])
    paths.indexable[arm[there > since + slack[row]]] = False
    paths.active[arm, state] = ~leaves
    paths.index[arm, state] = np.where(leaves, there, np.inf)
    paths.subsidy[arm] = there
    return arm


class WhittlePolicy(Planner):
    """Maximises the sum of the pulled arms' Whittle indices over the action set (arms with a
    negative index rest).

    Args:
        dynamics: replaces the instance's; for an ensemble the members' indices are averaged.

    `notes` says which arms are not indexable (a warning is given once, here). Raises ConfigError
    for several interventions per arm.
    """

    def __init__(
        self,
        instance: BanditInstance,
        *,
        dynamics: ArmDynamics | Sequence[ArmDynamics] | None = None,
        discount: float = 0.99,
        settings: SolverSettings = EXACT,
    ) -> None:
        if instance.dynamics.effect is not None:
            raise ConfigError(
                "the Whittle index is not defined for several interventions per arm: use the myopic or iterative policy"
            )
        given = instance.dynamics if dynamics is None else dynamics
        members = [
            whittle_indices(member, discount)
            for member in ([given] if isinstance(given, ArmDynamics) else given)
        ]
        self.indices = WhittleIndices(
            np.mean([m.index for m in members], axis=0),
            np.all([m.indexable for m in members], axis=0),
        )
        self._maximiser = LevelMaximiser(instance, settings)
        self._arms = np.arange(instance.dynamics.arms)
        self.notes: list[str] = []
        odd = np.flatnonzero(~self.indices.indexable)
        if len(odd):
            names = ", ".join(instance.label(int(arm)) for arm in odd[:5]) + (
                ", ..." if len(odd) > 5 else ""
            )
            self.notes.append(
                f"{len(odd)} of {len(self._arms)} arms are not indexable ({names}): their index is a heuristic"
            )
            warnings.warn(self.notes[0], stacklevel=2)

    def plan(self, observation: Any) -> Decision:
        values = np.zeros((len(self._arms), 2))
        values[:, 1] = self.indices.index[self._arms, observation["state"]]
        return dataclasses.replace(self._maximiser.maximise(values), value=None, bound=None)
