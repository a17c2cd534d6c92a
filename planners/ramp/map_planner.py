"""Plans for one map from the knowledge of all maps: safe plans, optimistic plans, and paths through
observed states.
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
from worldplan.planners.ramp.knowledge.information import Information
from worldplan.planners.ramp.knowledge.optimistic_model import optimistic_model, without_variant
from worldplan.planners.ramp.knowledge.state_graph import StateGraph, SymbolicTransition
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
class SymbolicPlan:
    """A plan from the current state.

    Args:
        calls: split actions in order.
        states: the predicted state after each action. The last one is missing if the outcome of the
            last action is unknown (source "frontier").
        source: "plan" (safe: valid if the declared hypothesis classes are right), "path" (through
            observed states), "guess" (of the optimistic model) or "frontier" (to an untried view).
    """

    calls: tuple[Ground, ...]
    states: tuple[State, ...]
    source: str

    def rest(self) -> SymbolicPlan | None:
        """The plan after its first action; None if there are no more actions."""
        if len(self.calls) <= 1:
            return None
        return SymbolicPlan(self.calls[1:], self.states[1:], self.source)


class MapPlanner:
    """Plans on one map.

    Args:
        settings: of the run.
        goal: to be reached.
        objects: types of the map's objects, by name.

    Attributes:
        graph: of the observed states of this map.
        seconds: time spent on learning models and planning.
        searches: number of searches by status.
    """

    def __init__(self, settings: RampSettings, goal: Goal, objects: Mapping[str, str]) -> None:
        self.settings, self.goal, self.objects = settings, goal, objects
        self.graph = StateGraph()
        self.seconds = 0.0
        self.searches: dict[str, int] = {}
        self._optimistic: tuple[int, NumericModel] | None = None  # with its experience's version

    def plan(
        self, experience: Experience, state: State, below: int | None, *, thorough: bool
    ) -> SymbolicPlan | None:
        """The shortest safe plan or path; if there is none, the shortest optimistic plan.

        Args:
            experience: the models are learned from it.
            state: start of the plan.
            below: only plans with fewer actions; None if the goal was never reached on this map.
            thorough: if `below` is None and there is no plan with a few representatives of the
                interchangeable objects, search with all objects.

        Returns:
            None if no plan was found.
        """
        began = time.monotonic()
        full = self._problem(state)
        reduced = with_representatives(
            experience.views.splitter.original, full, self.settings.similar
        )
        problems = [reduced]
        if thorough and below is None and reduced is not full:
            problems.append(full)
        plans = (self._plan(experience, problem, state, below) for problem in problems)
        plan = next((plan for plan in plans if plan is not None), None)
        self.seconds += time.monotonic() - began
        return plan

    def _plan(
        self, experience: Experience, problem: NumericProblem, state: State, below: int | None
    ) -> SymbolicPlan | None:
        model = experience.model()
        result = self._search(model, problem)
        calls = _if_shorter(result, below)
        # if the goal was never reached (below is None), no observed path leads to it
        if below is not None and result.status != "optimal":
            path = self.graph.shortest(
                state,
                self.goal,
                model,
                below=below if calls is None else len(calls),
                time_limit=self.settings.time_limit,
            )
            if path is not None:
                return SymbolicPlan(*path, "path")
        if calls is not None:
            return SymbolicPlan(calls, _predicted_states(model, state, calls), "plan")
        if not self.settings.optimism:
            return None
        optimistic = self._optimistic_model(experience)
        calls = _if_shorter(self._search(optimistic, problem), below)
        return None if calls is None else _optimistic_plan(optimistic, state, calls)

    def frontier(
        self, experience: Experience, state: State, information: Information | None = None
    ) -> SymbolicPlan | None:
        """The shortest optimistic plan to an untried view of an action that never succeeded; with
        `information`, to an informative try of any action. Without optimism, the way there is safe.

        Returns:
            None if there is none. The state after the last action is unknown, and missing.
        """
        began = time.monotonic()
        problem = with_representatives(
            experience.views.splitter.original, self._problem(state), self.settings.similar
        )
        model = self._optimistic_model(experience) if self.settings.optimism else experience.model()
        calls = nearest_untried(experience, model, problem, self.settings.time_limit, information)
        self.seconds += time.monotonic() - began
        if calls is None:
            return None
        states = _predicted_states(model, state, calls[:-1])
        return SymbolicPlan(tuple(map(without_variant, calls)), states, "frontier")

    def published_plans(
        self,
        experience: Experience,
        state: State,
        trajectories: Iterable[Sequence[SymbolicTransition]],
    ) -> list[SymbolicPlan]:
        """The candidates of the published method: the safe plan, then the shortest of the shortened
        trajectories; each only if there is one.
        """
        began = time.monotonic()
        model = experience.model()
        calls = self._search(model, self._problem(state)).plan
        plans = []
        if calls is not None:
            plans.append(SymbolicPlan(calls, _predicted_states(model, state, calls), "plan"))
        shortened = [self._shortened(steps, model) for steps in trajectories]
        paths = [path for path in shortened if path is not None]
        self.seconds += time.monotonic() - began
        return plans + sorted(paths, key=lambda path: len(path.calls))[:1]

    def _shortened(
        self, steps: Sequence[SymbolicTransition], model: NumericModel
    ) -> SymbolicPlan | None:
        """The shortest path through the states of a trajectory.

        The published rules drop steps that change nothing, drop cycles, and replace two steps by
        one that the model predicts. The shortest path applies them repeatedly, as far as they go.
        """
        graph = StateGraph()
        for step in steps:
            graph.add(step.before, step.call, step.after)
            graph.set_calls(step.before, self.graph.calls(step.before))
        path = graph.shortest(
            steps[0].before, self.goal, model, time_limit=self.settings.time_limit
        )
        return None if path is None else SymbolicPlan(*path, "path")

    def _optimistic_model(self, experience: Experience) -> NumericModel:
        if self._optimistic is None or self._optimistic[0] != experience.version:
            self._optimistic = (experience.version, optimistic_model(experience))
        return self._optimistic[1]

    def _problem(self, state: State) -> NumericProblem:
        return NumericProblem("map", dict(self.objects), state, self.goal)

    def _search(self, model: NumericModel, problem: NumericProblem) -> PlanResult:
        if reason := _unreachable(model, self.goal, problem.initial):
            return PlanResult(None, "unsolvable", "none", 0.0, detail={"reason": reason})
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


def _if_shorter(result: PlanResult, below: int | None) -> tuple[Ground, ...] | None:
    """The plan of a search result, if there is one with fewer than `below` actions."""
    if result.plan is None or (below is not None and len(result.plan) >= below):
        return None
    return result.plan


def _optimistic_plan(model: NumericModel, state: State, calls: tuple[Ground, ...]) -> SymbolicPlan:
    states = _predicted_states(model, state, calls)
    return SymbolicPlan(tuple(map(without_variant, calls)), states, "guess")


def _unreachable(model: NumericModel, goal: Goal, state: State) -> str:
    """Names a part of the goal that no action of the model can achieve; "" if there is none. A fast
    test without grounding, by names of predicates and functions.
    """
    actions = model.actions.values()
    adds = {atom[0] for action in actions for atom in action.adds}
    deletes = {atom[0] for action in actions for atom in action.deletes}
    effects = {fluent[0] for action in actions for fluent, _ in action.effects}
    missing: list[Lifted] = [atom for atom in goal.positive - state.atoms if atom[0] not in adds]
    missing += [atom for atom in goal.negative & state.atoms if atom[0] not in deletes]
    for comparison in goal.comparisons:
        fluents = comparison.expression.fluents
        if not comparison.holds((), state.values) and not any(
            fluent[0] in effects for fluent in fluents
        ):
            missing += fluents
    return f"no known action brings about {missing[0]}" if missing else ""


def _predicted_states(
    model: NumericModel, state: State, calls: Sequence[Ground]
) -> tuple[State, ...]:
    """The state after each action, as the model predicts."""
    states = []
    for name, *binding in calls:
        state = model.actions[name].successor(tuple(binding), state)
        states.append(state)
    return tuple(states)
