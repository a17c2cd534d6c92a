"""One episode of RAMP: every step, whoever chose it, is learned from; only the policy's own steps
train the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from worldplan.milp.errors import InfeasibleAction
from worldplan.planners.numeric.symbolic_env import SymbolicEnv, state_of
from worldplan.planners.ramp.agent import Agent
from worldplan.planners.ramp.knowledge.state_graph import StateGraph
from worldplan.planners.ramp.policy import Demonstration
from worldplan.world_models.numeric.domain import Goal, Ground, State


class Step(NamedTuple):
    """One step that was taken; its call is split (`ConstantCalls`)."""

    observation: np.ndarray
    action: int
    mask: np.ndarray
    before: State
    call: Ground
    after: State


class Episode:
    """An episode in progress.

    Args:
        agent: what acts and learns.
        env: where.
        goal: what ends it well.
        graph: takes in what is seen of this map.
        options: handed to `env.reset`: they choose the map.
    """

    def __init__(
        self,
        agent: Agent,
        env: SymbolicEnv,
        goal: Goal,
        graph: StateGraph,
        options: Mapping[str, Any] | None,
    ) -> None:
        self.agent, self.env, self.goal, self.graph = agent, env, goal, graph
        self.observation, _ = env.reset(options=dict(options) if options else None)
        self.state = state_of(env)
        self.trace: list[Step] = []
        self.terminated = self.truncated = False
        self.dull = 0  # steps since the last new view
        self.discovered = (
            False  # whether the last step was a new try of an action that never succeeded before
        )
        self.source = ""  # of the last step
        self._look()

    @property
    def over(self) -> bool:
        """Whether the environment has ended it."""
        return self.terminated or self.truncated

    @property
    def solved(self) -> bool:
        """Whether the goal is reached."""
        return self.terminated and self.goal.holds(self.state)

    def policy_step(self, curiosity: float) -> None:
        """A step drawn from the policy, mixed with curiosity."""
        self.source = "policy"
        observation, mask = self.observation, self.mask
        action, chance = self.agent.draw(observation, mask, self.views, curiosity)
        reward = self._take(action)
        self._record(observation, action, mask, chance, reward)

    def planned_step(self, call: Ground, source: str) -> bool:
        """A step of a plan. False if the environment does not know the action here; that counts as
        its failure.
        """
        self.source = source
        try:
            action = self.env.action_of(self.agent.experience.views.calls.join(call))
        except InfeasibleAction:
            self.agent.experience.add_failure(call, self.state)
            return False
        observation, mask = self.observation, self.mask
        if self.agent.settings.plan_data == "on_policy":
            mask = mask | (np.arange(len(mask)) == action)
            chance = float(self.agent.policy.probabilities(observation, mask)[action])
            self._record(observation, action, mask, chance, self._take(action))
        else:
            self.agent.policy.end(observation)
            self._take(action)
        return True

    def close(self) -> None:
        """Say that it goes no further."""
        self.agent.policy.end(None if self.terminated else self.observation)

    def demonstrations(self) -> list[Demonstration]:
        """Its steps to imitate: without those that changed nothing and without going round in
        circles.
        """
        kept: list[Step] = []
        visited = {self.trace[0].before: 0}
        for step in self.trace:
            if step.after in visited:
                del kept[visited[step.after] :]
                visited = {one.before: place for place, one in enumerate(kept)} | {
                    step.after: len(kept)
                }
            else:
                kept.append(step)
                visited[step.after] = len(kept)
        return [Demonstration(step.observation, step.action, step.mask) for step in kept]

    def _take(self, action: int) -> float:
        before, call = self.state, self.calls[action]
        observation, mask = self.observation, self.mask
        self.observation, reward, self.terminated, self.truncated, _ = self.env.step(action)
        self.state = state_of(self.env)
        experience = self.agent.experience
        unknown = experience.views.calls.base(call[0]) not in experience.succeeded
        new = experience.add(call, before, self.state)
        self.dull, self.discovered = 0 if new else self.dull + 1, new and unknown
        if self.state == before:
            self.agent.masks.failed(before, action)
        self.graph.add(before, call, self.state)
        self.trace.append(Step(observation, action, mask, before, call, self.state))
        self._look()
        return float(reward)

    def _record(
        self, observation: np.ndarray, action: int, mask: np.ndarray, chance: float, reward: float
    ) -> None:
        policy = self.agent.policy
        policy.record(observation, action, mask, chance, reward)
        if self.over:
            self.close()
        if len(policy) >= self.agent.settings.rollout:
            policy.end(self.observation)
            self.agent.learn()

    def _look(self) -> None:
        """The actions of the present state."""
        settings, split = self.agent.settings, self.agent.experience.views.calls.split
        self.calls = self.graph.offered(self.state)
        if not self.calls:
            self.calls = [
                split(self.env.call(action)) for action in range(int(self.env.action_space.n))
            ]
            self.graph.offer(self.state, self.calls)
        wanted = settings.curiosity or settings.optimism or settings.masks == "model"
        self.views = (
            [self.agent.experience.views.view(call, self.state) for call in self.calls]
            if wanted
            else []
        )
        self.agent.experience.offer(self.views)
        self.mask = self.agent.masks.mask(self.state, self.views, len(self.calls))
