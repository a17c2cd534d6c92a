"""RAMP on one map: decides before each episode, and on the way, whether a plan or the policy acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from worldplan.milp.errors import ConfigError
from worldplan.planners.numeric.symbolic_env import SymbolicEnv, state_of
from worldplan.planners.ramp.agent import Agent
from worldplan.planners.ramp.episode import Episode
from worldplan.planners.ramp.map_planner import FoundPlan, MapPlanner
from worldplan.world_models.numeric.domain import (
    Goal,
    Ground,
    NumericModel,
    NumericProblem,
    State,
    is_valid,
)

LONGEST_WAIT = 64  # policy steps between two looks for a plan on an unsolved map


@dataclass
class MapRecord:
    """What happened on one map.

    Args:
        map: its number in the run.
        steps, episodes: taken; abandoned ones included.
        first_goal: steps up to and with the first time the goal was reached; None if never.
        first_by: who took the last step to it: "policy", "plan" (safe), "path" (through observed
            states) or "guess".
        best: fewest steps of an episode that reached the goal.
        best_by: as `first_by`.
        best_plan: its symbolic actions, no-ops left out.
        planned_steps: those taken by plans of any kind.
        broken_plans: safe plans that went otherwise than predicted: a declared class is wrong.
        broken_guesses: guesses that did; they are there for that.
        settled: whether it was left because no shorter plan is believed in.
        searches: statuses of all searches, counted.
        planning_seconds: learning of action models and planning.
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
        """Plain values."""
        return asdict(self)


class MapRun:
    """A budget of steps on one map.

    Args:
        agent: what acts and learns.
        env: the environment.
        goal: what to reach.
        number: of the map in the run.
        steps: budget.
        options: handed to every `env.reset`: they choose the map.
    """

    def __init__(
        self,
        agent: Agent,
        env: SymbolicEnv,
        goal: Goal,
        number: int,
        steps: int,
        options: Mapping[str, Any] | None,
    ) -> None:
        self.agent, self.env, self.goal, self.budget, self.options = (
            agent,
            env,
            goal,
            steps,
            options,
        )
        self.settings, self.join = agent.settings, agent.experience.views.calls.join
        self.record = MapRecord(number)
        env.reset(options=dict(options) if options else None)
        self._start = state_of(env)
        self.planner = MapPlanner(agent.settings, goal, env.objects)
        self._asked: tuple[int, int | None] | None = (
            None  # experience and best plan when last asked for a plan from the start, in vain
        )

    def run(self) -> MapRecord:
        """Use up the budget, or as much of it as pays."""
        while self.record.steps < self.budget and self._episode():
            pass
        self.agent.leave_map()
        self.record.searches, self.record.planning_seconds = (
            self.planner.searches,
            self.planner.seconds,
        )
        return self.record

    def begin(self) -> Episode:
        """A new episode, not counted before its first step."""
        episode = Episode(self.agent, self.env, self.goal, self.planner.graph, self.options)
        if episode.state != self._start:
            raise ConfigError(
                f"map {self.record.map}: the environment was reset to another start: give options that fix the map"
            )
        return episode

    def going_on(self, episode: Episode) -> bool:
        """Whether the episode can have another step."""
        return not episode.over and self.record.steps < self.budget

    def policy_step(self, episode: Episode, curiosity: float) -> None:
        """Let the policy act."""
        episode.policy_step(curiosity)
        self.record.steps += 1

    def follow(self, episode: Episode, plan: FoundPlan) -> FoundPlan | None:
        """One step of a plan; what is left of it, None if nothing is or if it went otherwise than
        predicted.
        """
        known = episode.planned_step(plan.calls[0], plan.source)
        self.record.steps += known
        self.record.planned_steps += known
        if not plan.states or (known and episode.state == plan.states[0]):
            return plan.rest()
        if plan.source in ("guess", "frontier"):
            self.record.broken_guesses += 1
        else:
            self.record.broken_plans += 1
        return None

    def finish(self, episode: Episode) -> None:
        """Count an episode; keep its trajectory if it is the best."""
        episode.close()
        self.record.episodes += 1
        if not episode.solved:
            return
        self.agent.goal_seen = True
        if self.record.first_goal is None:
            self.record.first_goal, self.record.first_by = self.record.steps, episode.source
        taken = len(episode.trace)
        if self.record.best is None or taken < self.record.best:
            self.record.best, self.record.best_by = taken, episode.source
            self.record.best_plan = [
                self.join(step.call) for step in episode.trace if step.before != step.after
            ]
            if self.settings.plan_data == "imitation":
                self.agent.demonstrations[self.record.map] = episode.demonstrations()

    def _episode(self) -> bool:
        """One episode. False if another one would not pay."""
        episode = self.begin()
        plan = self._plan_from_start(episode.state)
        settled = plan is None and self.record.best is not None and self.settings.optimism
        if settled and not self.settings.train_when_settled:
            self.record.settled = True
            return False
        self._act(episode, plan, 0.0 if settled else self.settings.curiosity)
        self.finish(episode)
        return True

    def _act(self, episode: Episode, plan: FoundPlan | None, curiosity: float) -> None:
        """Follow plans as long as there are any, else the policy."""
        looks, tries = _Waiting(), _Waiting()
        while self.going_on(episode):
            if plan is not None:
                version = self.agent.experience.version
                plan = self.follow(episode, plan)
                if (
                    plan is None
                    and self.going_on(episode)
                    and self.agent.experience.version != version
                ):
                    plan = self._plan_on_the_way(episode)
                if plan is None and self.record.best is not None:
                    return  # there is nothing to win any more in this episode
                continue
            self.policy_step(episode, curiosity)
            if self.record.best is None and self.going_on(episode):
                plan = looks.at(self.record.steps, lambda: self._plan_on_the_way(episode))
                if plan is None and self.settings.optimism and not episode.discovered:
                    plan = tries.at(
                        self.record.steps,
                        lambda: self.planner.frontier(self.agent.experience, episode.state),
                    )
            if plan is None and curiosity and 0 < self.settings.patience <= episode.dull:
                return

    def _plan_from_start(self, state: State) -> FoundPlan | None:
        """A shorter plan than the best, unless nothing was learned since there was none."""
        asked = (self.agent.experience.version, self.record.best)
        if asked == self._asked or (
            self.record.best is not None and self.record.best <= self.settings.shortest_possible
        ):
            return None
        plan = self.planner.plan(self.agent.experience, state, self.record.best, thorough=True)
        self._asked = asked if plan is None else None
        return plan

    def _plan_on_the_way(self, episode: Episode) -> FoundPlan | None:
        """A plan from here with which the episode would still be the best."""
        best = self.record.best
        below = None if best is None else best - len(episode.trace)
        if below is not None and below <= 1:
            return None
        return self.planner.plan(self.agent.experience, episode.state, below, thorough=False)


class _Waiting:
    """Asks again after twice as many steps whenever the answer was none."""

    def __init__(self) -> None:
        self.wait, self.next = 1, 0

    def at(self, step: int, ask: Callable[[], FoundPlan | None]) -> FoundPlan | None:
        """The answer at a step; None while it is too early."""
        if step < self.next:
            return None
        found = ask()
        self.wait = 1 if found is not None else min(2 * self.wait, LONGEST_WAIT)
        self.next = step + self.wait
        return found


class PublishedMapRun(MapRun):
    """The published schedule (arXiv 2502.13006, as in its public code).

    Args:
        true_model: plans that it does not allow are thrown away, as the published code does with a
            validator; None: no check.
    """

    def __init__(self, *arguments: Any, true_model: NumericModel | None) -> None:
        super().__init__(*arguments)
        self.true_model = true_model
        self._planned_last = False
        self._new_trajectories: list[Episode] = []

    def _episode(self) -> bool:
        episode = self.begin()
        best = self.record.best
        may_plan = (
            self.agent.goal_seen
            and not self._planned_last
            and (best is None or best > self.settings.shortest_possible)
        )
        plan = self._published_plan(episode.state) if may_plan else None
        self._planned_last = plan is not None
        while self.going_on(episode):
            if plan is not None:
                plan = self.follow(episode, plan)
            else:
                self.policy_step(episode, self.settings.curiosity)
        self.finish(episode)
        if episode.solved:
            self._new_trajectories.append(episode)
        return True

    def _published_plan(self, state: State) -> FoundPlan | None:
        """A shorter plan than the best one: the planner's or, if it has none, a shortened new
        trajectory.
        """
        found = self.planner.published_plans(
            self.agent.experience, state, [episode.trace for episode in self._new_trajectories]
        )
        self._new_trajectories.clear()
        for plan in found:
            problem = NumericProblem("map", self.planner.objects, state, self.goal)
            if self.true_model is None or is_valid(
                self.true_model, problem, [self.join(call) for call in plan.calls]
            ):
                return (
                    plan if self.record.best is None or len(plan.calls) < self.record.best else None
                )
        return None
