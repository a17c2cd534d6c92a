"""What a RAMP run ends in: a planner that acts by safe plans where there are any, by guesses if
allowed, and by the policy elsewhere.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from worldplan.planners.base import Decision, Planner
from worldplan.planners.numeric.symbolic_env import SymbolicEnv, state_of
from worldplan.planners.ramp.map_planner import FoundPlan, MapPlanner
from worldplan.planners.ramp.ramp import Ramp
from worldplan.world_models.numeric.domain import Goal, State, Vocabulary

LONGEST_WAIT = 64  # decisions of the policy between two searches in vain


class RampPlanner(Planner):
    """Decides for one environment, whose symbolic view it reads; it learns nothing more.

    `detail` of a decision has `source` ("plan", "guess" or "policy") and, with a plan, `plan`: the
    symbolic actions from here on.

    Args:
        ramp: a finished run; its environment is the one to decide for.
        guesses: whether plans of bold guesses may be tried where there is no safe one. Where a
            guess changes nothing the policy takes over.
    """

    def __init__(self, ramp: Ramp, *, guesses: bool = True) -> None:
        self.env, self.goal, self.agent = ramp.env, ramp.goal, ramp.agent
        self.settings = replace(ramp.settings, optimism=guesses, schedule="eager")
        self.reset()

    @classmethod
    def load(
        cls,
        folder: str | Path,
        env: SymbolicEnv,
        vocabulary: Vocabulary,
        goal: Goal,
        *,
        guesses: bool = True,
    ) -> RampPlanner:
        """From the folder of a run. Raises CheckpointError."""
        return cls(Ramp.load(folder, env, vocabulary, goal), guesses=guesses)

    def reset(self, *, seed: int | None = None) -> None:
        """Forget all plans."""
        self._planner: MapPlanner | None = None
        self._plans: dict[State, FoundPlan] = {}
        self._wrong: set[State] = set()  # where a guess changed nothing
        self._guessed: State | None = None  # where the last decision was a guess
        self._wait, self._until = 1, 0

    def plan(self, observation: Any) -> Decision:
        """One decision, for the environment's present state."""
        began = time.perf_counter()
        state = state_of(self.env)
        if state == self._guessed:
            self._wrong.add(state)
        found = self._plan_from(state) if state not in self._wrong else None
        self._guessed = state if found is not None and found.source == "guess" else None
        if found is None:
            return Decision(
                self._policy(observation, state),
                None,
                None,
                "heuristic",
                time.perf_counter() - began,
                {"source": "policy"},
            )
        calls = tuple(map(self.agent.experience.views.calls.join, found.calls))
        detail = {"source": found.source, "plan": calls}
        return Decision(
            self.env.action_of(calls[0]),
            None,
            None,
            "heuristic",
            time.perf_counter() - began,
            detail,
        )

    def _plan_from(self, state: State) -> FoundPlan | None:
        """A plan made before that leads through this state, or a new one."""
        objects = self.env.objects
        if self._planner is None or dict(self._planner.objects) != dict(objects):
            self.reset()
            self._planner = MapPlanner(self.settings, self.goal, objects)
        self._until -= 1
        if state not in self._plans and self._until <= 0:
            plan = self._planner.plan(self.agent.experience, state, None, thorough=True)
            self._wait = 1 if plan is not None else min(2 * self._wait, LONGEST_WAIT)
            self._until = self._wait
            following = state
            while plan is not None and following not in self._wrong:
                self._plans[following] = plan
                following, plan = plan.states[0], plan.rest()
        return self._plans.get(state)

    def _policy(self, observation: Any, state: State) -> int:
        """The policy's likeliest action that is not known to fail."""
        views = self.agent.experience.views
        calls = [
            views.calls.split(self.env.call(action))
            for action in range(int(self.env.action_space.n))
        ]
        looks = [views.view(call, state) for call in calls]
        mask = self.agent.masks.mask(state, looks, len(calls))
        return int(np.argmax(self.agent.policy.probabilities(np.asarray(observation), mask)))
