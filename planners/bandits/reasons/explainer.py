"""Reasons and what-ifs of one day's decision, from one loaded program."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, InfeasibleActionSet, SolverFailed
from worldplan.milp.sets.base import Action
from worldplan.milp.sets.limits import Limit, limits_of
from worldplan.milp.solvers import SolverSettings
from worldplan.name_lists import some
from worldplan.planners.bandits.observations import belief_of
from worldplan.planners.bandits.reasons.clock import Clock
from worldplan.planners.bandits.reasons.differences import difference
from worldplan.planners.bandits.reasons.intervals import with_intervals
from worldplan.planners.bandits.reasons.names import (
    Names,
    bounds_of,
    component_names,
    nearest,
)
from worldplan.planners.bandits.reasons.obstacles import conflict_words, with_obstacles
from worldplan.planners.bandits.reasons.problem import Problem
from worldplan.planners.bandits.reasons.results import ClientReason, LimitPrice, Reasons
from worldplan.planners.bandits.reasons.tomorrow import tomorrow
from worldplan.planners.bandits.reasons.valuation import benefits, valuation
from worldplan.planners.base import Decision
from worldplan.world_models.arms.dynamics import ArmPosterior

ROUNDING = 1e-6  # of the largest benefit: differences up to this are nothing but rounding


class Explainer:
    """Reasons and what-ifs of one day's decision.

    The planner's own objective is loaded once, with the feasible set of `instance`, and solved to
    optimality again for each question: with an arm forced in or out, or a limit raised. Values are
    those that the planner maximises (`Valuation.words` says what they are), in the reward's unit.

    ```python
    from worldplan.envs.bandits import generate
    from worldplan.planners.bandits import FluidPlanner
    from worldplan.planners.bandits.reasons import Explainer

    instance = generate("budget", 6, 2, seed=0, horizon=5)
    observation = {"state": [0, 1, 2, 3, 0, 1], "steps_left": 5}
    explainer = Explainer(FluidPlanner(instance), instance, observation, unit="visits attended")
    reasons = explainer.reasons(next_best=3)
    print(reasons.sentence())
    forced = explainer.decide(force=[reasons.not_chosen[0].name])
    ```

    Args:
        planner: one that maximises a value over the feasible set (see `Valuation`): fluid, myopic,
            whittle, sequoia, or a policy of your own that has `action_values`.
        instance: the programme; its `actions` are today's feasible set.
        observation: {"state": (arms,), "steps_left": int}, or with "belief" (arms, states).
        settings: the solver; the gap is 0 here. `time_limit` is that of one solve.
        unit: of the reward, for sentences: "visits attended".
        time_limit: seconds for the prices by which the fluid planner values states.

    Raises:
        ConfigError: the planner maximises nothing, or an argument is of another type.
        DatasetError: the state is not one of the instance.
        SolverFailed: no prices in time.
    """

    def __init__(
        self,
        planner: Any,
        instance: BanditInstance,
        observation: Mapping[str, Any],
        *,
        settings: SolverSettings | None = None,
        unit: str = "reward",
        time_limit: float | None = None,
    ) -> None:
        checks.of_type(instance, "instance", BanditInstance, remedy="a BanditInstance")
        checks.of_type(unit, "unit", str, remedy="a text")
        if settings is not None:
            checks.of_type(settings, "settings", SolverSettings)
        self.instance, self.unit = instance, unit
        self.settings = dataclasses.replace(settings or SolverSettings(), gap=0.0, quick=False)
        self._belief = belief_of(instance, observation)
        self._valuation = valuation(planner, instance, observation, time_limit)
        self.words = self._valuation.words
        self.names = component_names(instance)
        began = time.perf_counter()
        self._problem = self._valuation.problem(instance.actions, self.settings)
        self._loading = time.perf_counter() - began  # seconds
        usable = np.flatnonzero(instance.actions.selectable)
        effects = benefits(self._valuation, instance.actions.default(), usable)
        self._scale = float(np.abs(list(effects.values())).max(initial=0.0))
        self.limits: tuple[Limit, ...] = tuple(limits_of(instance.actions))

    # ---- what-ifs

    def decide(
        self,
        force: Names = (),
        forbid: Names = (),
        *,
        limit: str = "",
        by: int = 1,
        time_limit: float | None = None,
    ) -> Decision:
        """The best list with arms forced in or out, and a limit raised.

        `action` and `value` of the decision are None if the time limit came before any list.

        Args:
            force: names of arms that must be on the list (or numbers of components).
            forbid: names of arms that must not.
            limit: name of one of `limits` that is raised; "": none.
            by: units by which it is raised.
            time_limit: seconds; that of the settings unless given.

        Raises:
            ConfigError: a name is unknown or both forced and forbidden, or the limit is unknown.
            InfeasibleActionSet: no list does all of this; names what conflicts.
        """
        clock = Clock(time_limit, self.settings.time_limit)
        lower, upper = bounds_of(self.names, force, forbid)
        problem, actions = self._problem, self.instance.actions
        if limit:
            known = {each.name: each for each in self.limits}
            if limit not in known:
                raise ConfigError(f"limit '{limit}' is unknown{nearest(limit, known)}")
            units = checks.whole_number(by, "by", least=1)
            actions = known[limit].raised(units)
            problem = self._valuation.problem(actions, self.settings)
        try:
            return self._with_offset(self._solve(problem, lower, upper, clock.left()))
        except InfeasibleActionSet as error:
            words = conflict_words(actions, lower, upper, self.names, clock.left())
            raise InfeasibleActionSet(words) from error

    def _solve(self, problem: Problem, lower: Action, upper: Action, seconds: float) -> Decision:
        return problem.solve(lower, upper, max(seconds, 0.01))

    # ---- reasons

    def reasons(
        self,
        force: Names = (),
        forbid: Names = (),
        *,
        decision: Decision | None = None,
        next_best: int = 5,
        limits: bool = True,
        time_limit: float | None = None,
    ) -> Reasons:
        """Why the list is as it is.

        Args:
            force: names of arms that must be on the list.
            forbid: names of arms that must not.
            decision: of the planner; its list is kept if none is better. Without it, or if a better
                list is found, the list is the best one by the planner's values.
            next_best: for how many arms that are not chosen the cost of forcing them in is found:
                those with the largest benefits.
            limits: whether prices of limits are found.
            time_limit: seconds for everything; each solve also has that of the settings. What is
                not decided in time is None, and named in `left_out`.

        Raises:
            ConfigError: a name is unknown, or both forced and forbidden.
            InfeasibleActionSet: no list does what is forced and forbidden; names what conflicts.
            SolverFailed: no list was found in time.
        """
        checks.whole_number(next_best, "next_best", least=0)
        clock = Clock(time_limit, self.settings.time_limit)
        lower, upper = bounds_of(self.names, force, forbid)
        try:
            best = self._solve(self._problem, lower, upper, clock.left())
        except InfeasibleActionSet as error:
            actions, seconds = self.instance.actions, clock.left()
            words = conflict_words(actions, lower, upper, self.names, seconds)
            raise InfeasibleActionSet(words) from error
        best = self._kept(best, decision, lower, upper, clock)
        if best.action is None:
            raise SolverFailed(
                f"no list was found within {clock.seconds:.3g} s: raise the time limit"
            )
        chosen = np.flatnonzero(best.action)
        open_ = np.flatnonzero((best.action == 0) & self.instance.actions.selectable)
        benefit = benefits(self._valuation, best.action, np.concatenate([chosen, open_]))
        left_out: list[str] = []
        if self.instance.dynamics.effect is not None:
            left_out.append("expected states: an intervention reaches several arms")
        ranked = sorted(open_.tolist(), key=lambda j: -benefit[j])
        on_list = sorted(chosen.tolist(), key=lambda j: -benefit[j])
        # the few next best come first, then half of the time for prices; a fifth of the rest is
        # kept for the rules that make the opposite impossible
        next_ = [self._why(j, best, benefit[j], lower, upper, clock) for j in ranked[:next_best]]
        half, late_prices = clock.part(0.5), list[str]()
        prices = self._prices(best, lower, upper, half, late_prices) if limits else []
        part = clock.part(0.8)
        whys = [self._why(j, best, benefit[j], lower, upper, part) for j in on_list]
        late = [why.name for why in (*whys, *next_) if why.possible is None and not why.asked]
        if late:
            left_out.append(f"costs of {some(late)}: not decided within the time limit")
        left_out += late_prices
        next_, whys = self._obstacles(next_, whys, lower, upper, clock, left_out)
        shown = self._with_offset(best)
        next_.sort(key=lambda why: (math.inf if why.cost is None else why.cost, -why.benefit))
        return Reasons(
            self.unit,
            self.words,
            best.action,
            shown.value,
            shown.bound,
            best.status,
            tuple(whys),
            tuple(next_),
            tuple(prices),
            tuple(left_out),
            clock.seconds,
            tuple(self.names[j] for j in np.flatnonzero(lower)),
            tuple(self.names[j] for j in np.flatnonzero(upper == 0)),
        )

    def with_intervals(self, reasons: Reasons, posterior: ArmPosterior) -> Reasons:
        """The reasons with 90 % intervals of benefits under the posterior of a log.

        The worth of tomorrow's states is held. Benefits that are no differences of expected worth
        (of Whittle and SEQUOIA, or of interventions) stay without; `left_out` says so.

        Args:
            reasons: of this object.
            posterior: of the arms of the instance, in its order.

        Raises:
            ConfigError: the posterior is of another type, or has other arms or states.
        """
        return with_intervals(reasons, self.names, posterior, self._belief, self._valuation)

    def _kept(
        self,
        best: Decision,
        decision: Decision | None,
        lower: Action,
        upper: Action,
        clock: Clock,
    ) -> Decision:
        """The planner's own list, with its value here, unless `best` is better."""
        if decision is None or decision.action is None:
            return best
        action = np.asarray(decision.action, np.int8)
        if (action < lower).any() or (action > upper).any():
            return best
        own = self._solve(self._problem, action, action, clock.left())
        if own.value is None:
            return best
        if best.value is None or own.value >= best.value - self._tolerance(best.value):
            value = own.value if best.value is None else max(own.value, best.value)
            return dataclasses.replace(best, action=action, value=value)
        return best

    def _why(
        self,
        component: int,
        best: Decision,
        benefit: float,
        lower: Action,
        upper: Action,
        clock: Clock,
    ) -> ClientReason:
        """The reason of one arm; the cost of the opposite is one solve."""
        chosen = bool(best.action[component])
        asked = "forced" if lower[component] else "" if upper[component] else "forbidden"
        reason = ClientReason(
            self.names[component],
            chosen,
            asked,
            benefit=benefit,
            **tomorrow(self.instance.dynamics, self._belief, component),
        )
        if asked or clock.over():
            return reason
        low, high = lower.copy(), upper.copy()
        (high if chosen else low)[component] = 0 if chosen else 1
        try:
            answer = self._solve(self._problem, low, high, clock.left())
        except InfeasibleActionSet:
            return dataclasses.replace(reason, possible=False)
        if answer.action is None:
            return reason
        cost, cost_low, cost_high = difference(best, answer, self._tolerance(best.value))
        enters, leaves = self._changes(best.action, answer.action)
        return dataclasses.replace(
            reason,
            possible=True,
            cost=cost,
            cost_low=cost_low,
            cost_high=cost_high,
            enters=enters,
            leaves=leaves,
        )

    def _obstacles(
        self,
        next_: list[ClientReason],
        whys: list[ClientReason],
        lower: Action,
        upper: Action,
        clock: Clock,
        left_out: list[str],
    ) -> tuple[list[ClientReason], list[ClientReason]]:
        """Both lists with the rules that conflict where the opposite is not possible."""
        actions = self.instance.actions
        both, late = with_obstacles([*next_, *whys], actions, lower, upper, self.names, clock)
        if late:
            left_out.append(
                f"which rules keep {some(late)} as they are: not computed within the time limit"
            )
        return both[: len(next_)], both[len(next_) :]

    def _prices(
        self,
        best: Decision,
        lower: Action,
        upper: Action,
        clock: Clock,
        left_out: list[str],
    ) -> list[LimitPrice]:
        """The price of one unit more of each limit, one solve each."""
        if not self.limits:
            left_out.append(f"prices of limits: {type(self.instance.actions).__name__} names none")
        known: dict[object, LimitPrice] = {}
        prices = []
        for limit in self.limits:
            same = None if limit.key is None else known.get(limit.key)
            if same is None:
                price = self._price(limit, best, lower, upper, clock)
            else:
                price = dataclasses.replace(
                    same, name=limit.name, step=limit.step, amount=limit.amount
                )
            known[limit.key] = price
            prices.append(price)
        none = [price.name for price in prices if not price.possible]
        if none:
            left_out.append(f"prices of {some(none)}: no list is feasible with one unit more")
        late = [price.name for price in prices if price.possible and price.price is None]
        if late:
            left_out.append(f"prices of {some(late)}: not decided within the time limit")
        return prices

    def _price(
        self, limit: Limit, best: Decision, lower: Action, upper: Action, clock: Clock
    ) -> LimitPrice:
        unknown = LimitPrice(limit.name, limit.step, limit.amount, None)
        if clock.left() <= self._loading or best.value is None:
            return unknown
        try:
            problem = self._valuation.problem(limit.raised(1), self.settings)
            answer = self._solve(problem, lower, upper, clock.left())
        except InfeasibleActionSet:  # exactly so many visits, and no arm is left
            return dataclasses.replace(unknown, possible=False)
        if answer.action is None:
            return unknown
        loss, low, high = difference(best, answer, self._tolerance(best.value))
        if loss is None:
            return unknown
        price = 0.0 - loss
        price_low, price_high = (None if end is None else 0.0 - end for end in (high, low))
        enters, leaves = self._changes(best.action, answer.action) if price else ((), ())
        return dataclasses.replace(
            unknown,
            price=price,
            price_low=price_low,
            price_high=price_high,
            enters=enters,
            leaves=leaves,
        )

    def _tolerance(self, value: float | None) -> float:
        """Differences of values up to this are rounding, in any unit of the reward."""
        size = 0.0 if value is None else abs(value)
        return ROUNDING * self._scale + 1e-12 * size + self._problem.rounding

    def _with_offset(self, decision: Decision) -> Decision:
        """The decision with the constant that the problem leaves out."""
        numbers = (decision.value, decision.bound)
        value, bound = (None if n is None else n + self._problem.offset for n in numbers)
        return dataclasses.replace(decision, value=value, bound=bound)

    def _changes(self, before: Action, after: Action) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the arms that are only on the second list, and only on the first."""
        enters, leaves = (
            tuple(self.names[j] for j in np.flatnonzero(marked))
            for marked in (after > before, before > after)
        )
        return enters, leaves
