"""`NumericPlanner`: acts in any environment by the plans of a numeric planner."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.episodes import unbatch
from worldplan.milp.errors import ConfigError, SolverFailed
from worldplan.planners.base import Decision, Planner
from worldplan.planners.numeric.planning import PlanFunction, solve
from worldplan.planners.numeric.symbolic_env import SymbolicEnv, goal_of, problem_of
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.numeric.domain import (
    Goal,
    Ground,
    NumericModel,
    NumericProblem,
    State,
)
from worldplan.world_models.numeric.execution import run_plan
from worldplan.world_models.numeric.metrics import Metric

# state, goal, metric, (object, type) pairs
PlanKey = tuple[State, Goal, Metric | None, frozenset[tuple[str, str]]]


class NumericPlanner(Planner):
    """Acts by numeric plans: follows a plan while every observed state is exactly the predicted
    one, and replans otherwise.

    A decision's status is "optimal" (no plan of the model has fewer actions or, in a problem with a
    metric, a better value of it) or "heuristic". It is
    "time_limit" where the fallback acted because the planner ran out of time. `detail` has `plan`
    (the remaining actions), `planner`, `replanned` and, where the fallback acted, `reason`.

    Args:
        model: the actions, given or learned.
        problem_of: maps an observation to the problem whose initial state is the observed one.
        action_of: maps an observation and a ground action to the environment's action.
        planner: as in `solve`.
        fallback: decides where there is no plan. Without a fallback, `plan` raises SolverFailed
            there.
        settings: further arguments of `solve`.
    """

    def __init__(
        self,
        model: NumericModel,
        problem_of: Callable[[Any], NumericProblem],
        action_of: Callable[[Any, Ground], Any],
        planner: str | PlanFunction = "auto",
        *,
        fallback: Planner | None = None,
        **settings: Any,
    ) -> None:
        self.model, self.planner = model, planner
        self.problem_of, self.action_of = problem_of, action_of
        self.fallback, self.settings = fallback, settings
        self._reads_one_environment = False
        # for every state along a plan the rest of that plan; also the failures
        self._known: dict[PlanKey, PlanResult] = {}

    @classmethod
    def for_environment(
        cls,
        env: SymbolicEnv,
        model: NumericModel,
        goal: Goal | str,
        planner: str | PlanFunction = "auto",
        **settings: Any,
    ) -> NumericPlanner:
        """A planner for one environment, whose symbolic state it reads; wrappers are looked
        through.

        Args:
            env: the environment.
            model: the actions, given or learned.
            goal: the goal in every episode; or its text, "water c2 >= 3".
            planner: as in `solve`.
            settings: further arguments of `solve`, or `fallback`.

        Raises:
            ConfigError: the environment has no symbolic view.
            DatasetError: a text is no goal, or uses a name that is not declared.
        """
        inner: SymbolicEnv = getattr(env, "unwrapped", env)
        wanted = goal_of(goal, model.vocabulary, inner)
        numeric_planner = cls(
            model,
            lambda _: problem_of(inner, wanted),
            lambda _, call: inner.action_of(call),
            planner,
            **settings,
        )
        numeric_planner._reads_one_environment = True
        return numeric_planner

    def reset(self, *, seed: int | None = None) -> None:
        """Forget all plans; reset the fallback."""
        self._known.clear()
        if self.fallback is not None:
            self.fallback.reset(seed=seed)

    def restart(self, begun: NDArray[np.bool_]) -> None:
        """Restart the fallback in the environments whose episode begins, `begun` (envs,) bool.

        Plans are kept: they belong to states, not to environments.
        """
        if self.fallback is not None:
            self.fallback.restart(begun)

    def plan(self, observation: Any) -> Decision:
        """The next action of a plan.

        Raises:
            SolverFailed: there is no plan, and no fallback.
            ConfigError: `solve` does not know the planner or one of its settings.
        """
        started = time.perf_counter()
        problem = self.problem_of(observation)
        key = _key(problem, problem.initial)
        replanned = key not in self._known
        if replanned:
            self._remember(problem, solve(self.model, problem, self.planner, **self.settings))
        result = self._known[key]
        if not result.plan:
            return self._without_plan(observation, problem, result, started)
        action = self.action_of(observation, result.plan[0])
        status = "optimal" if result.status == "optimal" else "heuristic"
        detail = {"plan": result.plan, "planner": result.planner, "replanned": replanned}
        return Decision(action, None, None, status, time.perf_counter() - started, detail)

    def plan_batch(self, observations: Any) -> list[Decision]:
        """One decision for each entry of a batched observation.

        Raises:
            ConfigError: several observations, and the planner was made by `for_environment`.
            SolverFailed: as in `plan`.
        """
        single_observations = unbatch(observations)
        if self._reads_one_environment and len(single_observations) != 1:
            raise ConfigError(
                f"{len(single_observations)} observations for a planner of one environment: "
                "give problem_of and action_of that read observations"
            )
        return [self.plan(observation) for observation in single_observations]

    def _remember(self, problem: NumericProblem, result: PlanResult) -> None:
        """Keep the result for the initial state and, for each state along the plan, the rest of the
        plan.

        The rest of a shortest plan is a shortest plan, and of a cheapest plan a cheapest one, so
        the status stays true. Its cost is not that of the whole plan.
        """
        states = (
            [problem.initial] if result.plan is None else run_plan(self.model, problem, result.plan)
        )
        for step, state in enumerate(states):
            rest = None if result.plan is None else result.plan[step:]
            self._known[_key(problem, state)] = replace(result, plan=rest, cost=None, bound=None)

    def _without_plan(
        self, observation: Any, problem: NumericProblem, result: PlanResult, started: float
    ) -> Decision:
        """The fallback's decision, with the reason why there is no plan.

        Raises:
            SolverFailed: there is no fallback.
        """
        reason = (
            "the goal is reached already"
            if result.plan is not None
            else f"{result.status}: {result.detail.get('reason', 'no plan')}"
        )
        if self.fallback is None:
            raise SolverFailed(
                f"problem '{problem.name}': {reason}; give more time, another planner, or a "
                "fallback "
                "that acts where there is no plan"
            )
        decision = self.fallback.plan(observation)
        status = "time_limit" if result.status == "time_limit" else "heuristic"
        detail = {**decision.detail, "planner": "fallback", "reason": reason}
        return replace(
            decision, status=status, seconds=time.perf_counter() - started, detail=detail
        )


def _key(problem: NumericProblem, state: State) -> PlanKey:
    return state, problem.goal, problem.metric, frozenset(problem.objects.items())
