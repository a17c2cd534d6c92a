"""The fluid planner for very many arms of few classes: the best list at the optimal prices."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import BanditInstance, Floats
from worldplan.milp.session import missing_share
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.classes.prices import ClassBound, ClassPrices
from worldplan.planners.bandits.level_maximiser import LevelMaximiser
from worldplan.planners.bandits.models import Dynamics, mean_dynamics, models_of
from worldplan.planners.bandits.observations import belief_of, steps_left_of
from worldplan.planners.base import Decision, Planner

SEARCH_SHARE = 0.7  # of the time limit: prices; the rest is for the list


class ClassPlanner(Planner):
    """Visits the arms that are worth most at the optimal prices of the steps that remain.

    An arm's worth is Q_j(s_j, 1) - Q_j(s_j, 0), where later pulls pay the prices of `ClassBound`.
    The list with the largest sum is found over the feasible set itself. `Decision.bound` bounds the
    return of every policy, and `Decision.value` the return of every policy that begins with the
    action.

    Args:
        instance: as in `ClassBound`.
        dynamics: another model than the instance's, or an ensemble, whose mean is planned for.
        settings: the solver, and the time limit of a decision.
        gap: relative gap at which the search for prices stops.
        later: as in `ClassBound`.

    Raises:
        ConfigError: as in `ClassBound`.
    """

    value_words = "gained over no visit today, by the prices of the days that remain"

    def __init__(
        self,
        instance: BanditInstance,
        dynamics: Dynamics = None,
        settings: SolverSettings | None = None,
        *,
        gap: float = 1e-4,
        later: ActionSet | None = None,
    ) -> None:
        started = time.perf_counter()
        models = models_of(instance, dynamics)
        self.instance, self._settings = instance, settings or SolverSettings(gap=1e-4)
        self._bound = ClassBound(
            instance,
            self._settings,
            gap=gap,
            dynamics=mean_dynamics(models) if len(models) > 1 else models[0],
            later=later,
        )
        self._maximiser = LevelMaximiser(instance, self._settings)
        self._last: tuple[tuple[bytes, int], ClassPrices] | None = None
        self._spent = time.perf_counter() - started  # counts as the first decision's

    def plan(self, observation: Any) -> Decision:
        """Decide for {"state": (arms,), "steps_left": int}, or with "belief" (arms, states).

        With a belief, the bound holds for every policy that does not see today's open states.

        Raises:
            WorldplanError: the observation is not one of the instance.
        """
        started = time.perf_counter()
        limit, self._spent = self._settings.time_limit - self._spent, 0.0
        belief = belief_of(self.instance, observation)
        prices = self._prices(belief, observation, SEARCH_SHARE * limit)
        worth = self._worth(prices, belief)
        remaining = limit - (time.perf_counter() - started)
        best = self._maximiser.maximise(_levels(worth), max(remaining, 0.01))
        value, bound = (prices.rest + float(total or 0.0) for total in (best.value, best.bound))
        limited = prices.limited or best.status == "time_limit"
        search = missing_share(prices.lower, prices.bound, prices.zero)
        return Decision(
            best.action,
            value,
            bound,
            "time_limit" if limited else "heuristic",
            time.perf_counter() - started,
            {"gap": search},
            gap=missing_share(value, bound, prices.zero),
        )

    def action_values(self, observation: Any, *, time_limit: float | None = None) -> Floats:
        """Zero for no pull, and what a pull is worth before today's price, (arms, 2).

        Args:
            observation: as in `plan`.
            time_limit: seconds; that of the settings unless given.
        """
        belief = belief_of(self.instance, observation)
        limit = self._settings.time_limit if time_limit is None else time_limit
        return _levels(self._worth(self._prices(belief, observation, limit), belief))

    def _prices(self, belief: Floats, observation: Any, limit: float) -> ClassPrices:
        """The prices of an observation; those of the last one are kept, for its reasons."""
        left = steps_left_of(self.instance, observation)
        key = (belief.tobytes(), left)
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        prices = self._bound.solve(belief, left, time_limit=limit)
        self._last = None if prices.limited else (key, prices)
        return prices

    @staticmethod
    def _worth(prices: ClassPrices, belief: Floats) -> Floats:
        """What a pull today is worth before today's price, (arms,)."""
        worth: Floats = (prices.gain * belief).sum(-1) + prices.prices[0]
        return worth


def _levels(worth: Floats) -> Floats:
    return np.stack([np.zeros_like(worth), worth], axis=1)
