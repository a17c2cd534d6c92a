"""RAMP on one map: decides before and during each episode whether a plan or the policy acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from worldplan.milp.errors import ConfigError
from worldplan.planners.numeric.checked_symbolic import CheckedSymbolicEnv
from worldplan.planners.numeric.symbolic_env import state_of
from worldplan.planners.ramp.agent import Agent
from worldplan.planners.ramp.backoff import Backoff
from worldplan.planners.ramp.episode import EpisodeRun
from worldplan.planners.ramp.map_planner import MapPlanner, SymbolicPlan
from worldplan.world_models.numeric.domain import (
    Goal,
    Ground,
    NumericModel,
    NumericProblem,
    State,
)
from worldplan.world_models.numeric.execution import is_valid


@dataclass
class MapRecord:
    """The results of one map.

    Args:
        map: number of the map in the run.
        steps: number of steps.
        episodes: number of episodes, abandoned ones included.
        first_goal: number of steps up to and including the first that reached the goal; None if
            none did.
        first_by: chooser of that step: "policy", "plan" (safe), "path" (through observed states) or
            "guess" (of the optimistic model).
        best: fewest steps of an episode that reached the goal; None if none did.
        best_by: chooser of its last step, as in `first_by`.
        best_plan: its symbolic actions, without those that changed nothing.
        planned_steps: number of steps chosen by plans of any kind.
        broken_plans: number of safe plans with a wrong prediction: a declared class is wrong.
        broken_guesses: number of optimistic plans with a wrong prediction, which is their purpose.
        settled: whether the map was left before the end of its budget, because neither the safe nor
            the optimistic model has a shorter plan, or `RampSettings.shortest_possible` is reached.
        searches: number of searches by status.
        planning_seconds: time spent on learning action models and planning.
    """

    map: int
    steps: int = 0
    episodes: int = 0
    first_goal: int | None = None
    first_by: str = ""
    best: int | None = None
    best_by: str = ""
    best_plan: list[Ground] = field(default_factory=list)
    planned_steps: int = 0
    broken_plans: int = 0
    broken_guesses: int = 0
    settled: bool = False
    searches: dict[str, int] = field(default_factory=dict)
    planning_seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return asdict(self)


class MapRun:
    """The run on one map, with a budget of steps.

    Args:
        agent: acts and learns.
        env: the environment.
        goal: to be reached; None: the environment's own.
        number: of the map in the run.
        steps: budget.
        options: of every `env.reset`; they choose the map.
    """

    def __init__(
        self,
        agent: Agent,
        env: CheckedSymbolicEnv,
        goal: Goal | None,
        number: int,
        steps: int,
        options: Mapping[str, Any] | None,
    ) -> None:
        self.agent, self.env = agent, env
        self.budget, self.options = steps, options
        self.settings, self.join = agent.settings, agent.experience.views.splitter.join
        self.record = MapRecord(number)
        env.reset(options=dict(options) if options else None)
        self._start = state_of(env)
        self.goal = env.goal(goal)
        self.planner = MapPlanner(agent.settings, self.goal, env.objects)
        # version of the experience and length of the best plan at the last unsuccessful search from
        # the start state
        self._unsuccessful: tuple[int, int | None] | None = None

    def run(self) -> MapRecord:
        """Play episodes until the budget is used up or the map is settled.

        Raises:
            ConfigError: a reset did not return to the start state.
            DatasetError: a step changed something that is not over its action's objects.
            Diverged: the policy's weights are not finite.
        """
        while self.record.steps < self.budget and self._episode():
            pass
        self.agent.finish_map()
        self.record.searches = self.planner.searches
        self.record.planning_seconds = self.planner.seconds
        return self.record

    def begin_episode(self) -> EpisodeRun:
        """Start an episode. It is not counted before `finish_episode`.

        Raises:
            ConfigError: the reset did not return to the start state.
        """
        episode = EpisodeRun(self.agent, self.env, self.goal, self.planner.graph, self.options)
        if episode.state != self._start:
            raise ConfigError(
                f"map {self.record.map}: the environment was reset to another start: "
                "give options that fix the map"
            )
        return episode

    def can_step(self, episode: EpisodeRun) -> bool:
        """Whether the episode is not over and the budget not used up."""
        return not episode.over and self.record.steps < self.budget

    def policy_step(self, episode: EpisodeRun, curiosity: float) -> None:
        """Take a step drawn from the policy, mixed with curious exploration of this weight."""
        episode.policy_step(curiosity)
        self.record.steps += 1

    def planned_step(self, episode: EpisodeRun, plan: SymbolicPlan) -> SymbolicPlan | None:
        """Take the first step of a plan.

        Returns:
            The rest of the plan; None if there is no rest, or a prediction was wrong.
        """
        executed = episode.planned_step(plan.calls[0], plan.source)
        self.record.steps += executed
        self.record.planned_steps += executed
        if not plan.states or (executed and episode.state == plan.states[0]):
            return plan.rest()
        if plan.source in ("guess", "frontier"):
            self.record.broken_guesses += 1
        else:
            self.record.broken_plans += 1
        return None

    def finish_episode(self, episode: EpisodeRun) -> None:
        """Record an episode, and its trajectory if it is the best of the map."""
        episode.close()
        self.record.episodes += 1
        if not episode.solved:
            return
        self.agent.goal_seen = True
        if self.record.first_goal is None:
            self.record.first_goal, self.record.first_by = self.record.steps, episode.source
        length = len(episode.trace)
        if self.record.best is None or length < self.record.best:
            self.record.best, self.record.best_by = length, episode.source
            self.record.best_plan = [
                self.join(step.call) for step in episode.trace if step.before != step.after
            ]
            if self.settings.plan_data == "imitation":
                self.agent.demonstrations[self.record.map] = episode.demonstrations()

    def _episode(self) -> bool:
        """Play one episode. Returns False, without playing, if the map is settled."""
        episode = self.begin_episode()
        plan = self._plan_from_start(episode.state)
        settled = plan is None and self.record.best is not None and self.settings.optimism
        if settled and not self.settings.train_when_settled:
            self.record.settled = True
            return False
        self._play(episode, plan, 0.0 if settled else self.settings.curiosity)
        self.finish_episode(episode)
        return True

    def _play(self, episode: EpisodeRun, plan: SymbolicPlan | None, curiosity: float) -> None:
        """Take steps until the episode ends or is abandoned: planned ones while there is a plan,
        else the policy's.
        """
        to_goal, to_frontier = Backoff(), Backoff()
        while self.can_step(episode):
            if plan is not None:
                plan = self._planned_step_or_replan(episode, plan)
                if plan is None and self.record.best is not None:
                    return  # this episode can no longer be the best
                continue
            self.policy_step(episode, curiosity)
            if self.record.best is None and self.can_step(episode):
                steps = self.record.steps
                plan = to_goal.at(steps, lambda: self._plan_on_the_way(episode))
                if plan is None and self.settings.plans_exploration and not episode.tried_unknown:
                    plan = to_frontier.at(steps, lambda: self._frontier(episode))
            if plan is None and curiosity and 0 < self.settings.patience <= episode.stale_steps:
                return

    def _planned_step_or_replan(
        self, episode: EpisodeRun, plan: SymbolicPlan
    ) -> SymbolicPlan | None:
        """Take the first step of a plan. Returns the rest of it; if there is none, a new plan, but
        only if the step gave new experience.
        """
        version = self.agent.experience.version
        rest = self.planned_step(episode, plan)
        if rest is None and self.can_step(episode) and self.agent.experience.version != version:
            return self._plan_on_the_way(episode)
        return rest

    def _frontier(self, episode: EpisodeRun) -> SymbolicPlan | None:
        informative = self.settings.explorer == "informative"
        information = self.agent.information if informative else None
        return self.planner.frontier(self.agent.experience, episode.state, information)

    def _plan_from_start(self, state: State) -> SymbolicPlan | None:
        """A plan shorter than the best. Does not search if nothing changed since the last
        unsuccessful search.
        """
        version_and_best = (self.agent.experience.version, self.record.best)
        if version_and_best == self._unsuccessful or (
            self.record.best is not None and self.record.best <= self.settings.shortest_possible
        ):
            return None
        plan = self.planner.plan(self.agent.experience, state, self.record.best, thorough=True)
        self._unsuccessful = version_and_best if plan is None else None
        return plan

    def _plan_on_the_way(self, episode: EpisodeRun) -> SymbolicPlan | None:
        """A plan from the current state with which the episode would still be the best."""
        best = self.record.best
        below = None if best is None else best - len(episode.trace)
        if below is not None and below <= 1:
            return None
        return self.planner.plan(self.agent.experience, episode.state, below, thorough=False)


class PublishedMapRun(MapRun):
    """The schedule of the publication (arXiv 2502.13006) and its public code: episodes of a plan
    and of the policy alternate, once the goal was reached on any map.

    Args:
        arguments: of `MapRun`.
        true_model: plans that are not valid in this model are dropped, as the published code does
            with a validator; None: no validation.
    """

    def __init__(self, *arguments: Any, true_model: NumericModel | None) -> None:
        super().__init__(*arguments)
        self.true_model = true_model
        self._planned_last = False
        self._new_trajectories: list[EpisodeRun] = []

    def _episode(self) -> bool:
        episode = self.begin_episode()
        best = self.record.best
        may_plan = (
            self.agent.goal_seen
            and not self._planned_last
            and (best is None or best > self.settings.shortest_possible)
        )
        plan = self._published_plan(episode.state) if may_plan else None
        self._planned_last = plan is not None
        while self.can_step(episode):
            if plan is not None:
                plan = self.planned_step(episode, plan)
            else:
                self.policy_step(episode, self.settings.curiosity)
        self.finish_episode(episode)
        if episode.solved:
            self._new_trajectories.append(episode)
        return True

    def _published_plan(self, state: State) -> SymbolicPlan | None:
        """The first valid candidate, if it is shorter than the best plan: the safe plan, else the
        shortest shortened trajectory since the last call.
        """
        candidates = self.planner.published_plans(
            self.agent.experience, state, [episode.trace for episode in self._new_trajectories]
        )
        self._new_trajectories.clear()
        problem = NumericProblem("map", self.planner.objects, state, self.goal)
        for plan in candidates:
            calls = [self.join(call) for call in plan.calls]
            if self.true_model is None or is_valid(self.true_model, problem, calls):
                is_best = self.record.best is None or len(plan.calls) < self.record.best
                return plan if is_best else None
        return None
