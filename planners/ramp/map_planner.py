"""Plans for one map out of what was learned on all of them: safe ones, bold guesses, and paths
through observed states.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worldplan.planners.numeric.search.search import search_plan
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.planners.numeric.task.symmetry import with_representatives
from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.planners.ramp.knowledge.exploration import nearest_untried
from worldplan.planners.ramp.knowledge.optimistic_model import certain, optimistic_model
from worldplan.planners.ramp.knowledge.state_graph import StateGraph, Step
from worldplan.planners.ramp.settings import RampSettings
from worldplan.world_models.numeric.domain import (
    Goal,
    Ground,
    Lifted,
    NumericModel,
    NumericProblem,
    State,
)


@dataclass(frozen=True)
class FoundPlan:
    """A plan for the present state.

    Args:
        calls: its actions.
        states: the states that should follow, one per action; one less if the last action is a try.
        source: "plan" (safe: it can be carried out if the declared classes are right), "path"
            (through observed states), "guess" or "frontier" (on the way to a try).
    """

    calls: tuple[Ground, ...]
    states: tuple[State, ...]
    source: str

    def rest(self) -> FoundPlan | None:
        """The plan after its first action; None if that was all."""
        return (
            FoundPlan(self.calls[1:], self.states[1:], self.source) if len(self.calls) > 1 else None
        )


class MapPlanner:
    """Plans on one map.

    Args:
        settings: of the run.
        goal: what to reach.
        objects: of the map.
    """

    def __init__(self, settings: RampSettings, goal: Goal, objects: Mapping[str, str]) -> None:
        self.settings, self.goal, self.objects = settings, goal, objects
        self.graph = StateGraph()
        self.seconds = 0.0
        self.searches: dict[str, int] = {}  # statuses, counted
        self._guess: tuple[int, NumericModel] | None = None

    def plan(
        self, experience: Experience, state: State, below: int | None, *, thorough: bool
    ) -> FoundPlan | None:
        """The shortest plan found that has fewer than `below` actions: a safe one, or else a guess.

        Args:
            experience: what is known.
            state: where to start.
            below: None if the goal was never reached on this map.
            thorough: look among all objects of the map if a few of each kind give no plan at all.
        """
        began = time.monotonic()
        whole = self._problem(state)
        part = with_representatives(experience.views.calls.original, whole, self.settings.similar)
        problems = [part, whole] if thorough and below is None and part is not whole else [part]
        found = next(
            (
                plan
                for problem in problems
                if (plan := self._plan(experience, problem, state, below)) is not None
            ),
            None,
        )
        self.seconds += time.monotonic() - began
        return found

    def _plan(
        self, experience: Experience, problem: NumericProblem, state: State, below: int | None
    ) -> FoundPlan | None:
        model = experience.model()
        result = self._search(model, problem)
        calls = _if_fewer(result, below)
        if (
            below is not None and result.status != "optimal"
        ):  # where the goal was never reached no path leads to it
            shorter = below if calls is None else len(calls)
            path = self.graph.shortest(
                state, self.goal, model, below=shorter, time_limit=self.settings.time_limit
            )
            if path is not None:
                return FoundPlan(*path, "path")
        if calls is not None:
            return FoundPlan(calls, _states(model, state, calls), "plan")
        if not self.settings.optimism:
            return None
        guess = self._guess_of(experience)
        calls = _if_fewer(self._search(guess, problem), below)
        return (
            None
            if calls is None
            else FoundPlan(tuple(map(certain, calls)), _states(guess, state, calls), "guess")
        )

    def frontier(self, experience: Experience, state: State) -> FoundPlan | None:
        """The nearest untried view of an action that never succeeded, by the guess; the last of its
        states is missing, as anything may follow.
        """
        began = time.monotonic()
        problem = with_representatives(
            experience.views.calls.original, self._problem(state), self.settings.similar
        )
        guess = self._guess_of(experience)
        way = nearest_untried(experience, guess, problem, self.settings.time_limit)
        self.seconds += time.monotonic() - began
        return (
            None
            if way is None
            else FoundPlan(tuple(map(certain, way)), _states(guess, state, way[:-1]), "frontier")
        )

    def published_plans(
        self, experience: Experience, state: State, trajectories: Iterable[Sequence[Step]]
    ) -> list[FoundPlan]:
        """The planner's plan, if there is one, then the shortest of the shortened trajectories, if
        there is one.
        """
        began = time.monotonic()
        model = experience.model()
        calls = self._search(model, self._problem(state)).plan
        found = [] if calls is None else [FoundPlan(calls, _states(model, state, calls), "plan")]
        short = [
            path for steps in trajectories if (path := self._shortened(steps, model)) is not None
        ]
        self.seconds += time.monotonic() - began
        return found + sorted(short, key=lambda path: len(path.calls))[:1]

    def _shortened(self, steps: Sequence[Step], model: NumericModel) -> FoundPlan | None:
        """The shortest path through a trajectory's own states: the published rules (leave out
        no-ops and circles, take two steps by one that the model knows) and all that follow from
        them.
        """
        graph = StateGraph()
        for step in steps:
            graph.add(step.before, step.call, step.after)
            graph.offer(step.before, self.graph.offered(step.before))
        path = graph.shortest(
            steps[0].before, self.goal, model, time_limit=self.settings.time_limit
        )
        return None if path is None else FoundPlan(*path, "path")

    def _guess_of(self, experience: Experience) -> NumericModel:
        if self._guess is None or self._guess[0] != experience.version:
            self._guess = (experience.version, optimistic_model(experience))
        return self._guess[1]

    def _problem(self, state: State) -> NumericProblem:
        return NumericProblem("map", dict(self.objects), state, self.goal)

    def _search(self, model: NumericModel, problem: NumericProblem) -> PlanResult:
        if missing := _out_of_reach(model, self.goal, problem.initial):
            return PlanResult(None, "unsolvable", "none", 0.0, detail={"reason": missing})
        settings = self.settings
        result = search_plan(
            model,
            problem,
            method=settings.method,
            time_limit=settings.time_limit,
            memory_limit_mb=settings.memory_limit_mb,
        )
        self.searches[result.status] = self.searches.get(result.status, 0) + 1
        return result


def _if_fewer(result: PlanResult, below: int | None) -> tuple[Ground, ...] | None:
    return (
        result.plan
        if result.plan is not None and (below is None or len(result.plan) < below)
        else None
    )


def _out_of_reach(model: NumericModel, goal: Goal, state: State) -> str:
    """A part of the goal that no known action brings about, seen without grounding; "" if there is
    none.
    """
    actions = model.actions.values()
    adds = {atom[0] for action in actions for atom in action.adds}
    deletes = {atom[0] for action in actions for atom in action.deletes}
    effects = {fluent[0] for action in actions for fluent, _ in action.effects}
    lacking: list[Lifted] = [atom for atom in goal.positive - state.atoms if atom[0] not in adds]
    lacking += [atom for atom in goal.negative & state.atoms if atom[0] not in deletes]
    for comparison in goal.comparisons:
        fluents = [fluent for fluent, _ in comparison.expression.terms]
        if not comparison.holds((), state.values) and not any(
            fluent[0] in effects for fluent in fluents
        ):
            lacking += fluents
    return f"no known action brings about {lacking[0]}" if lacking else ""


def _states(model: NumericModel, state: State, calls: Sequence[Ground]) -> tuple[State, ...]:
    states = []
    for name, *binding in calls:
        state = model.actions[name].successor(tuple(binding), state)
        states.append(state)
    return tuple(states)
