"""One episode of RAMP. Every step updates the action model; only steps that the policy chose train
the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldplan.milp.errors import ConfigError, InfeasibleAction
from worldplan.planners.numeric.checked_symbolic import CheckedSymbolicEnv
from worldplan.planners.numeric.symbolic_env import state_of
from worldplan.planners.ramp.agent import Agent
from worldplan.planners.ramp.knowledge.state_graph import StateGraph
from worldplan.planners.ramp.offered import offered, split_calls
from worldplan.planners.ramp.policy import DemonstratedStep
from worldplan.world_models.numeric.domain import Goal, Ground, State


class EpisodeStep(NamedTuple):
    """One executed step.

    Args:
        observation: before the step (size,).
        action: gym action.
        mask: actions that could be drawn, bool (actions,).
        before: symbolic state before the step.
        call: the split action (`ActionSplitter`).
        after: symbolic state after the step.
    """

    observation: np.ndarray
    action: int
    mask: NDArray[np.bool_]
    before: State
    call: Ground
    after: State


class EpisodeRun:
    """An episode in progress. The constructor resets the environment.

    Args:
        agent: acts and learns.
        env: the environment.
        goal: a terminated episode is solved if it holds.
        graph: gets every observed transition of the map.
        options: of `env.reset`; they choose the map.

    Attributes:
        trace: the executed steps.
        stale_steps: number of steps since the last new view.
        tried_unknown: whether the last step was a new view of an action that had never succeeded.
        source: chooser of the last step: "policy", or the source of a plan.
        calls: split action of every gym action in the current state.
        views: of these; empty if the settings do not use views.
        mask: actions that may be drawn in the current state, bool (actions,).

    Raises:
        ConfigError: the goal already holds, or the environment returns something wrong.
    """

    def __init__(
        self,
        agent: Agent,
        env: CheckedSymbolicEnv,
        goal: Goal,
        graph: StateGraph,
        options: Mapping[str, Any] | None,
    ) -> None:
        self.agent, self.env, self.goal, self.graph = agent, env, goal, graph
        self.observation, _ = env.reset(options=dict(options) if options else None)
        self.state = state_of(env)
        self.trace: list[EpisodeStep] = []
        self.terminated = self.truncated = False
        self.stale_steps = 0
        self.tried_unknown = False
        self.source = ""
        if goal.holds(self.state):
            raise ConfigError(
                f"{env.name}: reset returned a state in which the goal already holds: give another "
                "start, or RAMP another goal"
            )
        self._update_actions()

    @property
    def over(self) -> bool:
        """Whether the environment terminated or truncated the episode."""
        return self.terminated or self.truncated

    @property
    def solved(self) -> bool:
        """Whether the episode terminated in the goal."""
        return self.terminated and self.goal.holds(self.state)

    def policy_step(self, curiosity: float) -> None:
        """Take a step drawn from the policy, mixed with curious exploration of this weight.

        Raises:
            Diverged: a policy update after the step gave weights that are not finite.
        """
        self.source = "policy"
        observation, mask = self.observation, self.mask
        action, probability = self.agent.sample(observation, mask, self.views, curiosity)
        reward = self._step(action)
        self._record_for_policy(observation, action, mask, probability, reward)

    def planned_step(self, call: Ground, source: str) -> bool:
        """Take a step of a plan.

        Args:
            call: the split action.
            source: of the plan.

        Returns:
            False if the environment has no gym action for `call` in this state; that is recorded as
            a failure of the action.

        Raises:
            Diverged: a policy update after the step gave weights that are not finite.
        """
        self.source = source
        try:
            action = self.env.action_of(self.agent.experience.views.splitter.join(call))
        except InfeasibleAction:
            self.agent.experience.add_failure(call, self.state)
            return False
        observation, mask = self.observation, self.mask
        if self.agent.settings.plan_data == "on_policy":
            mask = mask | (np.arange(len(mask)) == action)
            probability = float(self.agent.policy.probabilities(observation, mask)[action])
            reward = self._step(action)
            self._record_for_policy(observation, action, mask, probability, reward)
        else:
            self.agent.policy.end(observation)
            self._step(action)
        return True

    def close(self) -> None:
        """End the policy's sequence of steps: the episode has no further ones."""
        self.agent.policy.end(None if self.terminated else self.observation)

    def demonstrations(self) -> list[DemonstratedStep]:
        """The steps to imitate: the trace without steps that changed nothing and without cycles."""
        kept: list[EpisodeStep] = []
        position_of = {self.trace[0].before: 0}  # number of kept steps before each visited state
        for step in self.trace:
            if step.after in position_of:
                del kept[position_of[step.after] :]
                position_of = {each.before: position for position, each in enumerate(kept)}
                position_of[step.after] = len(kept)
            else:
                kept.append(step)
                position_of[step.after] = len(kept)
        return [DemonstratedStep(step.observation, step.action, step.mask) for step in kept]

    def _step(self, action: int) -> float:
        """Execute a gym action and learn from it. Returns the reward.

        Raises:
            ConfigError: the environment goes on after the goal, or contradicts itself.
        """
        before, call = self.state, self.calls[action]
        observation, mask = self.observation, self.mask
        self._check_call(action)
        self.observation, reward, self.terminated, self.truncated, info = self.env.step(action)
        self.state = state_of(self.env)
        applied = self._applied(action, before, info)
        if self.goal.holds(self.state) and not self.terminated:
            raise ConfigError(
                f"{self.env.name}: the goal holds after step({action}), and the episode goes on: "
                "let step return terminated, or give RAMP another goal"
            )
        experience = self.agent.experience
        unknown = experience.views.splitter.base(call[0]) not in experience.succeeded
        is_new = experience.add(call, before, self.state, applied)
        self.stale_steps = 0 if is_new else self.stale_steps + 1
        self.tried_unknown = is_new and unknown
        if self.state == before:
            self.agent.masks.record_failure(before, action)
        self.graph.add(before, call, self.state)
        self.trace.append(EpisodeStep(observation, action, mask, before, call, self.state))
        self._update_actions()
        return float(reward)

    def _check_call(self, action: int) -> None:
        """Check that an action number still stands for the call that it stood for when this state
        was first seen.

        Raises:
            ConfigError: it does not.
        """
        now = self.agent.experience.views.splitter.split(self.env.call(action))
        if now != self.calls[action]:
            raise ConfigError(
                f"{self.env.name}: call({action}) was ({' '.join(self.calls[action])}) and is now "
                f"({' '.join(now)}) in the same state: let it depend on the state alone"
            )

    def _applied(self, action: int, before: State, info: Mapping[str, Any]) -> bool:
        """Whether the action was applicable: the environment's `info["applied"]`, or whether the
        state changed.

        Raises:
            ConfigError: it was not, and the state changed.
        """
        changed = self.state != before
        told = info.get("applied")
        if told is None:
            return changed
        if changed and not told:
            raise ConfigError(
                f"{self.env.name}: step({action}) changed the state, and info['applied'] is "
                f"{told}: leave the state as it is where an action is not applicable"
            )
        return bool(told)

    def _record_for_policy(
        self,
        observation: np.ndarray,
        action: int,
        mask: NDArray[np.bool_],
        probability: float,
        reward: float,
    ) -> None:
        """Give a step to the policy, which is updated when its rollout is full."""
        policy = self.agent.policy
        policy.record(observation, action, mask, probability, reward)
        if self.over:
            self.close()
        if len(policy) >= self.agent.settings.rollout:
            policy.end(self.observation)
            self.agent.learn()

    def _update_actions(self) -> None:
        """Set calls, views and mask of the current state."""
        settings, views = self.agent.settings, self.agent.experience.views
        self.calls = self.graph.calls(self.state)
        if not self.calls:
            self.calls = split_calls(self.env, views)
            self.graph.set_calls(self.state, self.calls)
        uses_views = settings.curiosity or settings.plans_exploration or settings.masks == "model"
        actions = offered(self.calls, views, self.state, bool(uses_views))
        self.views = actions.views
        self.agent.experience.offer(actions.present_views)
        self.mask = actions.allowed(self.agent.masks.mask(self.state, self.views, len(self.calls)))
