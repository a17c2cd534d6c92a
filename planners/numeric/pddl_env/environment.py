"""A numeric PDDL domain with its problems as a gymnasium environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, InfeasibleAction
from worldplan.planners.numeric.pddl_env.ground_actions import GroundActions
from worldplan.planners.numeric.pddl_env.observations import (
    KINDS,
    Kind,
    VectorObserver,
    observer_of,
)
from worldplan.planners.numeric.pddl_env.problems import (
    Problems,
    ProblemSource,
    model_of,
    problem_of,
)
from worldplan.planners.numeric.pddl_env.slots import slots_for
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Goal, Ground, NumericModel, NumericProblem, State

OPTION = "problem"  # of reset


class PddlEnv(gym.Env[Any, np.int64]):
    """Act in a numeric PDDL domain, one ground action a step, until the goal of a problem holds.
    Numbers are exact. Every reset draws a problem.

    The action numbers and the size of the observations are the same for all problems (`Slots`). An
    action that is not applicable, or whose objects the problem does not have, changes nothing and
    counts as a step. Reaching the goal terminates the episode; `max_steps` truncate it.

    `info` has `action_mask` (bool (actions,), which actions are applicable now), `problem` (its
    name) and, after a step, `applied` (whether the action was applicable) and `is_success`.

    The symbolic view (`worldplan.planners.numeric.symbolic_env.SymbolicEnv`) lets RAMP and
    `NumericPlanner` act here.

    Args:
        domain: a domain file, or a `NumericModel`.
        problems: problem files, texts or `NumericProblem`s, one or several; or a function that
            draws them: it is given a numpy Generator and returns one problem or yields problems.
            Its address "module:function" will do.
        objects: least number of objects by type for which there is room, where problems to come
            have more than the first ones.
        goal_conditions: least number of numeric goal conditions for which there is room.
        observations: "vector" (one array) or "relational" (an array for each predicate and
            function); see `worldplan.planners.numeric.pddl_env.observations`.
        max_steps: steps after which an episode is truncated.
        goal_reward: for reaching the goal.
        step_reward: for every step.
        masks: whether `info` has `action_mask`, which costs time in every step.
        render_mode: "ansi" (the facts as text) or None.

    Attributes:
        model: the domain.
        slots: what the action numbers stand for.
        problem: of the current episode.

    Raises:
        ConfigError: an argument is out of range, there is no problem, or a goal already holds at
            the start.
        DatasetError: a file is missing or malformed, or a problem does not fit the domain.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4}

    def __init__(
        self,
        domain: NumericModel | str | Path,
        problems: Problems,
        *,
        objects: Mapping[str, int] | None = None,
        goal_conditions: int = 0,
        observations: Kind = "vector",
        max_steps: int = 200,
        goal_reward: float = 1.0,
        step_reward: float = -1.0,
        masks: bool = True,
        render_mode: str | None = None,
    ) -> None:
        checks.choice(observations, "observations", KINDS)
        if render_mode is not None:
            checks.choice(render_mode, "render_mode", self.metadata["render_modes"])
        self.max_steps = checks.whole_number(max_steps, "max_steps", least=1)
        self.goal_reward = checks.number(goal_reward, "goal_reward")
        self.step_reward = checks.number(step_reward, "step_reward")
        checks.whole_number(goal_conditions, "goal_conditions", least=0)
        checks.of_type({} if objects is None else objects, "objects", Mapping, remedy="a mapping")
        self.masks, self.render_mode = checks.truth(masks, "masks"), render_mode
        self.model = model_of(domain)
        self._source = ProblemSource(problems, self.model)
        # a generator's first problem says how much room there is
        known = self._source.listed or (self._source.draw(np.random.default_rng(0)),)
        self._source.restart()
        self.slots = slots_for(self.model.vocabulary, known, objects or {})
        self._room = max(goal_conditions, *(len(p.goal.comparisons) for p in known))
        self._observer = observer_of(observations, self.slots, self._room)
        self.observation_space: Any = self._observer.space
        self.action_space: spaces.Discrete = spaces.Discrete(len(self.slots.actions))
        self._grounded: dict[int, GroundActions] = {}  # by number of a listed problem
        self._fixed: NumericProblem | None = None
        self._state = State(frozenset(), {})
        self._reached = False
        self._steps: int | None = None  # steps of this episode; None before the first reset
        self._mask: NDArray[np.bool_] | None = None  # of the current state, once it is needed

    @property
    def problems(self) -> tuple[NumericProblem, ...]:
        """The listed problems; () where a generator draws them."""
        return self._source.listed

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode. Returns the observation and `info`, as in the class.

        Args:
            seed: seeds the draw of problems.
            options: {"problem": ...}: this reset and all later ones start from that problem: a
                `NumericProblem`, a file, a text, or the number of a listed one. {"problem": None}
                draws problems again.

        Raises:
            ConfigError: an unknown option, a problem for which there is no room, or the generator
                of problems fails.
            DatasetError: the problem does not fit the domain.
        """
        super().reset(seed=seed)
        if seed is not None:
            self._source.restart()
        unknown = set(options or {}) - {OPTION}
        if unknown:
            raise ConfigError(
                f"reset options {sorted(map(str, unknown))}: the only option is '{OPTION}'"
            )
        fixed = self._chosen(options[OPTION]) if options else self._fixed
        self._begin(fixed or self._source.draw(self.np_random))
        self._fixed = fixed  # not before: a problem that is refused does not stay
        return self._observer.observe(self._state), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one action. Returns observation, reward, terminated, truncated and `info`, as in the
        class.

        Raises:
            InfeasibleAction: the action is not in the action space.
            ResetNeeded: no episode is running (`gymnasium.error`).
        """
        if self._steps is None or self._reached or self._steps >= self.max_steps:
            raise gym.error.ResetNeeded("PDDL: no episode is running: call reset() first")
        number = self._index(action)
        applied = self._actions.applicable(number, self._state)
        if applied:
            self._state, self._mask = self._actions.successor(number, self._state), None
        self._steps += 1
        self._reached = self.problem.goal.holds(self._state)
        reward = self.step_reward + (self.goal_reward if self._reached else 0.0)
        truncated = not self._reached and self._steps >= self.max_steps
        info = {**self._info(), "applied": applied, "is_success": self._reached}
        return self._observer.observe(self._state), reward, self._reached, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are applicable now: bool (actions,). All False in a dead end."""
        self._check_begun()
        if self._mask is None:
            self._mask = self._actions.mask(self._state)
        return self._mask.copy()

    @property
    def observation_names(self) -> list[str]:
        """What each number of a vector observation stands for.

        Raises:
            ConfigError: observations are relational; their arrays have names.
        """
        if not isinstance(self._observer, VectorObserver):
            raise ConfigError("observation_names: relational observations are named themselves")
        return list(self._observer.names)

    @property
    def objects(self) -> dict[str, str]:
        """Name and type of every object of the current problem, constants included."""
        self._check_begun()
        return {**self.model.vocabulary.constants, **self.problem.objects}

    @property
    def goal(self) -> Goal:
        """The goal of the current problem."""
        self._check_begun()
        return self.problem.goal

    def symbolic_state(self) -> tuple[frozenset[Ground], Mapping[Ground, Rational]]:
        """The true ground atoms of the current state and the values of its ground fluents."""
        self._check_begun()
        return self._state.atoms, self._state.values

    def call(self, action: Any) -> Ground:
        """The ground action of an action number in the current problem, applicable or not.

        Raises:
            InfeasibleAction: the action is not in the action space, or the problem does not have
                its objects.
        """
        self._check_begun()
        call = self._actions.calls[self._index(action)]
        if call is None:
            name, slots = self.slots.actions[int(action)]
            raise InfeasibleAction(
                f"action {int(action)}: problem '{self.problem.name}' has no objects for "
                f"'{name}' in slots {', '.join(map(str, slots))}"
            )
        return call

    def action_of(self, call: Ground) -> int:
        """The action number of a ground action; the inverse of `call`.

        Raises:
            InfeasibleAction: there is none: the name or the objects are unknown.
        """
        self._check_begun()
        number = self._actions.number.get(tuple(call))
        if number is None:
            raise InfeasibleAction(
                f"({' '.join(map(str, call))}): no action of problem '{self.problem.name}'"
            )
        return number

    def render(self) -> str | None:
        """The facts of the current state, one a line; None without a render mode."""
        self._check_begun()
        if self.render_mode is None:
            gym.logger.warn("PDDL: render() needs render_mode 'ansi'")
            return None
        atoms = sorted(f"({' '.join(atom)})" for atom in self._state.atoms)
        values = sorted(f"(= ({' '.join(f)}) {v})" for f, v in self._state.values.items())
        return "\n".join([*atoms, *values])

    def _begin(self, problem: NumericProblem) -> None:
        """Start the episode of a problem.

        Raises:
            ConfigError: there is no room for its objects or its goal.
        """
        if len(problem.goal.comparisons) > self._room:
            raise ConfigError(
                f"problem '{problem.name}': its goal has {len(problem.goal.comparisons)} numeric "
                f"conditions, the environment has room for {self._room}: "
                f"give goal_conditions={len(problem.goal.comparisons)}"
            )
        number = self._number_of(problem)
        actions = None if number is None else self._grounded.get(number)
        if actions is None:
            actions = GroundActions(self.model, self.slots, problem)
            if number is not None:
                self._grounded[number] = actions
        self._actions, self.problem = actions, problem
        self._observer.begin(problem, actions.placed)
        self._state = problem.initial
        self._steps, self._reached, self._mask = 0, False, None

    def _chosen(self, problem: Any) -> NumericProblem | None:
        """The problem of a reset's option.

        Raises:
            ConfigError: there is none of this number.
        """
        if problem is None:
            return None
        if isinstance(problem, int | np.integer) and not isinstance(problem, bool):
            if not 0 <= problem < len(self.problems):
                raise ConfigError(
                    f"problem {problem}: this environment lists {len(self.problems)}, from 0"
                )
            return self.problems[int(problem)]
        number = self._number_of(problem)
        return problem_of(problem, self.model) if number is None else self.problems[number]

    def _number_of(self, problem: Any) -> int | None:
        """The number of a listed problem; None of another one."""
        return next((n for n, each in enumerate(self.problems) if each is problem), None)

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {"problem": self.problem.name}
        return {**info, "action_mask": self.action_masks()} if self.masks else info

    def _index(self, action: Any) -> int:
        """The action as a Python integer.

        Raises:
            InfeasibleAction: the action is not in the action space.
        """
        if not self.action_space.contains(action):
            raise InfeasibleAction(
                f"action {action!r}: must be a whole number from 0 to {self.action_space.n - 1}"
            )
        return int(action)

    def _check_begun(self) -> None:
        """Check that there was a reset.

        Raises:
            ResetNeeded: there was none (`gymnasium.error`).
        """
        if self._steps is None:
            raise gym.error.ResetNeeded("PDDL: there is no state yet: call reset() first")
