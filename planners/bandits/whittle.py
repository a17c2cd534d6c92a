"""Whittle indices of all arms at once, and the policy that maximises their sum."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.bandits.ends import own_steps
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats, Ints
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.chains import has_one_class, values_of
from worldplan.planners.bandits.level_maximiser import EXACT, LevelMaximiser
from worldplan.planners.bandits.models import Dynamics, models_of
from worldplan.planners.bandits.observations import belief_of, steps_left_of
from worldplan.planners.bandits.units import Units
from worldplan.planners.bandits.whittle_horizon import (
    finite_indexable,
    finite_whittle_indices,
    refuse_levels,
)
from worldplan.planners.base import Decision, Planner


@dataclass(frozen=True)
class WhittleIndices:
    """Whittle indices, and whether they exist.

    Args:
        index: (arms, states), the subsidy for leaving the arm alone at which pulling stops being
            optimal. If the arm is not indexable, the largest subsidy below which pulling was still
            optimal, a heuristic.
        indexable: (arms,), whether the set of states in which pulling is optimal only shrinks as
            the subsidy grows.
    """

    index: Floats
    indexable: NDArray[np.bool_]


@dataclass
class _Paths:
    """The optimal policy of every arm, followed from "pull always" to "pull never".

    Args:
        active: (arms, states), whether the policy pulls at the present subsidy.
        subsidy: (arms,), the present subsidy.
        index: (arms, states), the subsidy at which the state left the active set.
        indexable: (arms,), no state has come back so far.
    """

    active: NDArray[np.bool_]
    subsidy: Floats
    index: Floats
    indexable: NDArray[np.bool_]


def whittle_indices(dynamics: ArmDynamics, discount: float = 0.99) -> WhittleIndices:
    """Exact Whittle indices (Whittle 1988) of two-level arms without an end, and indexability.

    An arm earns the expected reward of its next state, plus the subsidy in each step in which it is
    left alone. For a fixed policy the advantage of pulling is linear in the subsidy. So each arm's
    optimal policy is followed along the subsidy from one break point to the next: parametric policy
    iteration with one batch of linear systems per break point, as in the testing algorithm of Gast,
    Gaujal and Khun 2023, "Testing indexability and computing Whittle and Gittins index in subcubic
    time". With the discount 1 the long-run average counts: the values of a policy are then its
    relative values h and its gain g, with h = r - g + P h, which exist if the policy has one
    recurrent class.

    An arm is indexable if no state returns from "leave" to "pull" at a larger subsidy than the one
    at which it turned to "leave". The test is numerical: overlaps narrower than
    1e-9 / (1 - discount) of the arm's range of rewards (1e-7 of it for averages) count as ties.

    Args:
        dynamics: of the arms.
        discount: per step, above 0; 1 for the average reward. Indices (states,) of the average are
            NaN for an arm with a policy on this path that has several recurrent classes.

    Raises:
        ConfigError: an arm has several interventions, or the discount is outside (0, 1].
    """
    refuse_levels(dynamics)
    if not 0 < checks.number(discount, "whittle discount") <= 1:
        raise ConfigError(
            f"whittle discount is {discount:g}: give a number above 0, such as 0.99, or 1 for the "
            "average reward"
        )
    arms, states = dynamics.arms, dynamics.states
    units = Units.of([dynamics])
    one_step = units.plan(dynamics).one_step()
    # the rounding of the rewards themselves counts, too
    rounding = 1e-13 * np.abs(dynamics.one_step()).max((1, 2)) / units.unit
    slack = (1e-9 * np.ptp(one_step, axis=(1, 2)) + rounding) / max(1 - discount, 0.01)
    one_step = one_step - one_step.mean((1, 2), keepdims=True)
    paths = _Paths(
        np.ones((arms, states), bool),
        np.full(arms, -np.inf),
        np.full((arms, states), np.inf),
        np.ones(arms, bool),
    )
    unfinished, defined = np.arange(arms), np.ones(arms, bool)
    for _ in range(20 + 10 * states):
        if discount == 1:
            followed = _followed(dynamics.transition[unfinished], paths.active[unfinished])
            single = has_one_class(followed)
            defined[unfinished[~single]] = False
            unfinished = unfinished[single]
        if not len(unfinished):
            break
        base, slope = _advantage(
            dynamics.transition[unfinished],
            one_step[unfinished],
            paths.active[unfinished],
            discount,
        )
        unfinished = _advance(paths, unfinished, base, slope, slack[unfinished])
    paths.indexable[unfinished] = False  # break points without end
    index = np.where(np.isfinite(paths.index), paths.index, paths.subsidy[:, None])
    index[~defined] = np.nan
    return WhittleIndices(units.unit * index, paths.indexable & defined)


def _followed(transition: Floats, active: NDArray[np.bool_]) -> Floats:
    """Transition matrices (arms, states, states) of the policies `active` (arms, states)."""
    followed: Floats = np.where(active[..., None], transition[:, 1], transition[:, 0])
    return followed


def _advantage(
    transition: Floats, one_step: Floats, active: NDArray[np.bool_], discount: float
) -> tuple[Floats, Floats]:
    """Advantage of a pull over none if `active` is followed later: base + slope * subsidy.

    Returns:
        base and slope, each (arms, states).
    """
    leave, pull = transition[:, 0], transition[:, 1]
    earned = np.stack([np.where(active, one_step[:, 1], one_step[:, 0]), ~active], axis=-1)
    value = values_of(_followed(transition, active), earned, discount)
    later = discount * (pull - leave) @ value
    return one_step[:, 1] - one_step[:, 0] + later[..., 0], later[..., 1] - 1.0


def _advance(paths: _Paths, arms: Ints, base: Floats, slope: Floats, slack: Floats) -> Ints:
    """Move each of `arms` (n,) to its next break point, where one state changes sides.

    Returns:
        Those of the arms that had one more break point.
    """
    active, present = paths.active[arms], paths.subsidy[arms]
    turns = np.where(active, slope < -1e-10, slope > 1e-10)
    crossing = np.where(turns, -base / np.where(turns, slope, 1.0), np.inf)
    # rounding only: the policy is optimal at the present subsidy
    crossing = np.maximum(crossing, present[:, None])
    state = crossing.argmin(1)
    row = np.arange(len(arms))
    subsidy = crossing[row, state]
    finite = np.isfinite(subsidy)
    row, state, subsidy = row[finite], state[finite], subsidy[finite]
    moved: Ints = arms[finite]
    leaves = active[row, state]
    left_at = np.where(leaves, np.inf, paths.index[moved, state])
    paths.indexable[moved[subsidy > left_at + slack[row]]] = False
    paths.active[moved, state] = ~leaves
    paths.index[moved, state] = np.where(leaves, subsidy, np.inf)
    paths.subsidy[moved] = subsidy
    return moved


class WhittlePolicy(Planner):
    """Maximises the sum of the pulled arms' Whittle indices over the action set.

    Arms with a negative index are left alone where the set allows it. The indices are those of the
    steps that are left (`whittle_horizon`), with the discount of the programme; with `discount`,
    those of an endless programme. `notes` names arms that are not indexable; the constructor also
    warns of them.

    Args:
        instance: the programme.
        dynamics: another model than the instance's, or an ensemble, whose indices are averaged.
        discount: of the indices of an endless programme, per step; None: the steps left count.
        settings: the solver.

    Raises:
        ConfigError: several interventions per arm, a discount outside (0, 1), or a discount for
            arms with ends of their own.
    """

    def __init__(
        self,
        instance: BanditInstance,
        *,
        dynamics: Dynamics = None,
        discount: float | None = None,
        settings: SolverSettings = EXACT,
    ) -> None:
        started = time.perf_counter()
        self._models = models_of(instance, dynamics)
        if instance.dynamics.effect is not None:
            raise ConfigError(
                "the Whittle index is not defined for several interventions per arm: "
                "use the myopic or iterative policy"
            )
        if discount is None and instance.endless:
            discount = instance.discount
        self.instance, self._endless = instance, discount is not None
        self._by_steps: dict[int, Floats] = {}
        if discount is not None and instance.ends is not None:
            raise ConfigError(
                "the Whittle index of an endless programme needs arms without ends of their own: "
                "leave discount out"
            )
        if discount is not None:
            members = [whittle_indices(model, discount) for model in self._models]
            self._refuse_undefined(members)
        else:
            members = [self._with_steps(model) for model in self._models]
        self.indices = WhittleIndices(
            np.mean([m.index for m in members], axis=0),
            np.all([m.indexable for m in members], axis=0),
        )
        self._maximiser = LevelMaximiser(instance, settings)
        self._arms = np.arange(instance.dynamics.arms)
        self.notes: list[str] = []
        without = np.flatnonzero(~self.indices.indexable)
        if len(without):
            names = ", ".join(instance.label(int(arm)) for arm in without[:5])
            more = ", ..." if len(without) > 5 else ""
            self.notes.append(
                f"{len(without)} of {len(self._arms)} arms are not indexable ({names}{more}): "
                "their index is a heuristic"
            )
            warnings.warn(self.notes[0], stacklevel=2)
        self._spent = time.perf_counter() - started  # counts as the first decision's

    def _refuse_undefined(self, members: Sequence[WhittleIndices]) -> None:
        """Refuse arms without an index of the average reward.

        Raises:
            ConfigError: names the first such arm.
        """
        missing = np.flatnonzero([np.isnan(m.index).any(1) for m in members])
        if len(missing):
            arm = int(missing[0]) % len(members[0].index)
            raise ConfigError(
                f"arm '{self.instance.label(arm)}' can stay in one part of its states or in "
                "another for ever, so that its long-run average has no Whittle index: discount "
                "(programme.discount 0.99), or choose myopic"
            )

    def _with_steps(self, model: ArmDynamics) -> WhittleIndices:
        """The indices of a whole episode."""
        steps, discount = self.instance.horizon, self.instance.discount
        index = self._of_steps(model, steps)
        indexable = np.ones(model.arms, bool)
        for own, arms in self._by_own_steps(model, steps):
            part = model if len(arms) == model.arms else model.select(arms)
            indexable[arms] = finite_indexable(part, own, discount, index[arms])
        return WhittleIndices(index, indexable)

    def _of_steps(self, model: ArmDynamics, left: int) -> Floats:
        """Indices (arms, states) with `left` steps to go; zero for arms that have ended.

        An arm that ends before the horizon has the indices of its own steps.
        """
        index = np.zeros((model.arms, model.states))
        for own, arms in self._by_own_steps(model, left):
            part = model if len(arms) == model.arms else model.select(arms)
            index[arms] = finite_whittle_indices(part, own, self.instance.discount)
        return index

    def _by_own_steps(self, model: ArmDynamics, left: int) -> Iterator[tuple[int, Ints]]:
        """The arms that have the same number of steps left, and the number."""
        own = own_steps(self.instance.late, left, model.arms)
        for steps in np.unique(own[own > 0]).tolist():
            yield steps, np.flatnonzero(own == steps)

    def plan(self, observation: Any) -> Decision:
        started = time.perf_counter()
        values = self.weights(observation)
        spent, self._spent = self._spent + time.perf_counter() - started, 0.0
        limit = self._maximiser.time_limit - spent
        decision = self._maximiser.maximise(values, time_limit=limit)
        seconds = time.perf_counter() - started
        return dataclasses.replace(decision, value=None, bound=None, seconds=seconds)

    def weights(self, observation: Any) -> Floats:
        """What `plan` maximises the sum of, (arms, 2)."""
        return self.action_values(observation)

    def action_values(self, observation: Any) -> Floats:
        """Zero for leaving an arm alone and the Whittle index for pulling it, (arms, 2).

        Where a belief leaves the state open: the mean of the indices under it, a heuristic.
        """
        values, belief = np.zeros((len(self._arms), 2)), belief_of(self.instance, observation)
        index = self._index(steps_left_of(self.instance, observation))
        values[:, 1] = (np.where(belief > 0, index, 0.0) * belief).sum(-1)
        return values

    def _index(self, left: int) -> Floats:
        """The indices (arms, states) with `left` steps to go."""
        if self._endless or left == self.instance.horizon:
            return self.indices.index
        if left not in self._by_steps:
            members = [self._of_steps(model, left) for model in self._models]
            self._by_steps[left] = np.mean(members, axis=0)
        return self._by_steps[left]
