"""The planner that a RAMP run results in."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from worldplan.planners.base import Decision, Planner
from worldplan.planners.numeric.symbolic_env import SymbolicEnv, state_of
from worldplan.planners.ramp.backoff import Backoff
from worldplan.planners.ramp.map_planner import MapPlanner, SymbolicPlan
from worldplan.planners.ramp.offered import offered, split_calls
from worldplan.planners.ramp.ramp import Ramp
from worldplan.world_models.numeric.domain import Goal, State, Vocabulary


class RampPlanner(Planner):
    """Decides in the environment of a RAMP run, without learning further.

    Each decision is the first of these that exists: the next action of a safe plan to the goal, the
    next action of an optimistic plan, the policy's most probable action that is not known to fail.
    Plans are cached until the map changes. After an unsuccessful search the policy decides for a
    growing number of steps before the next search. In a state where an optimistic plan's action
    changed nothing, the policy decides until `reset`.

    ```python
    import numpy as np
    from worldplan.envs.crafting import CraftingEnv, generate
    from worldplan.planners import evaluate
    from worldplan.planners.numeric import crafting_task
    from worldplan.planners.ramp import Ramp, RampPlanner

    env = CraftingEnv("wooden_sword", size=6)
    ramp = Ramp(env, *crafting_task(env))
    maps = generate("wooden_sword", 6, 2, np.random.default_rng(0))
    ramp.run([{"map": instance} for instance in maps], steps=800, folder="runs/ramp")
    evaluate(RampPlanner(ramp), env, episodes=10, seed=0).summary("success")
    ```

    `detail` of a decision has `source` ("plan", "guess" for an optimistic plan, or "policy") and,
    except for the policy, `plan`: the remaining symbolic actions, the decided one first.

    The symbolic state is read from the environment of the run, so the observations must come from
    that environment (it may be wrapped), and a vectorised one cannot be used.

    Args:
        ramp: the run, finished or not.
        optimism: whether optimistic plans are used where there is no safe plan.
    """

    def __init__(self, ramp: Ramp, *, optimism: bool = True) -> None:
        self.env, self.goal, self.agent = ramp.checked, ramp.goal, ramp.agent
        self.settings = replace(ramp.settings, optimism=optimism, schedule="eager")
        self.reset()

    @classmethod
    def load(
        cls,
        folder: str | Path,
        env: SymbolicEnv,
        vocabulary: Vocabulary,
        goal: Goal | str | None = None,
        *,
        optimism: bool = True,
    ) -> RampPlanner:
        """The planner of a saved run.

        Args:
            folder: written by `Ramp.save`.
            env: as in `Ramp`; the one to decide in.
            vocabulary: as in `Ramp`.
            goal: as in `Ramp`.
            optimism: as in the class.

        Raises:
            CheckpointError: the files are missing, damaged or of another environment.
            ConfigError: `env` has no symbolic view.
        """
        return cls(Ramp.load(folder, env, vocabulary, goal), optimism=optimism)

    def reset(self, *, seed: int | None = None) -> None:
        """Drop all plans. The planner draws no random numbers, so `seed` has no effect."""
        self._planner: MapPlanner | None = None
        self._plans: dict[State, SymbolicPlan] = {}
        self._refuted: set[State] = set()  # where an optimistic plan's action changed nothing
        self._optimistic_state: State | None = None  # of the last decision, if it was optimistic
        self._backoff, self._lookups = Backoff(), 0

    def restart(self, begun: np.ndarray) -> None:
        """Plans stay valid in the next episode of the map. Only the last decision is dropped: a new
        episode in the same state does not mean that its action changed nothing.

        Args:
            begun: (1,) bool, whether an episode begins.
        """
        if np.any(begun):
            self._optimistic_state = None

    def plan(self, observation: Any) -> Decision:
        """Decide in the environment's current state. The status is always "heuristic".

        Args:
            observation: (size,) array of the environment, which the policy uses.
        """
        began = time.perf_counter()
        state = state_of(self.env)
        if state == self._optimistic_state:
            self._refuted.add(state)
        plan = self._plan_from(state) if state not in self._refuted else None
        self._optimistic_state = state if plan is not None and plan.source == "guess" else None
        detail: dict[str, Any]
        if plan is None:
            action, detail = self._policy_action(observation, state), {"source": "policy"}
        else:
            calls = tuple(map(self.agent.experience.views.splitter.join, plan.calls))
            action, detail = self.env.action_of(calls[0]), {"source": plan.source, "plan": calls}
        return Decision(action, None, None, "heuristic", time.perf_counter() - began, detail)

    def _plan_from(self, state: State) -> SymbolicPlan | None:
        """A cached plan through this state, or the result of a new search."""
        objects, goal = self.env.objects, self.env.goal(self.goal)
        if (
            self._planner is None
            or dict(self._planner.objects) != dict(objects)
            or self._planner.goal != goal
        ):
            self.reset()
            self._planner = MapPlanner(self.settings, goal, objects)
        planner = self._planner
        self._lookups += 1
        if state not in self._plans:
            plan = self._backoff.at(
                self._lookups,
                lambda: planner.plan(self.agent.experience, state, None, thorough=True),
            )
            following = state
            while plan is not None and following not in self._refuted:
                self._plans[following] = plan
                following, plan = plan.states[0], plan.rest()
        return self._plans.get(state)

    def _policy_action(self, observation: Any, state: State) -> int:
        """The policy's most probable action that is not known to fail."""
        views = self.agent.experience.views
        actions = offered(split_calls(self.env, views), views, state)
        mask = actions.allowed(self.agent.masks.mask(state, actions.views, len(actions.calls)))
        return int(np.argmax(self.agent.policy.probabilities(np.asarray(observation), mask)))
