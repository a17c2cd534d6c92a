"""Reference policies for restless bandits.

Nothing, a random action, the best of a sample, the best one-step reward (exact, or greedy component
by component), and greedy on a learned action value.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import BanditInstance, Floats, Ints
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.sets.fixed import budget_of
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.level_maximiser import EXACT, LevelMaximiser
from worldplan.planners.bandits.models import Dynamics, models_of
from worldplan.planners.bandits.observations import belief_of, steps_left_of
from worldplan.planners.bandits.units import in_units, of_counting
from worldplan.planners.base import Decision, Planner

Score = Callable[[Action], Floats]  # actions (M, components) -> (M,)


class OneStep:
    """Expected reward of the next step, the mean over an ensemble of models.

    Args:
        instance: the programme; its dynamics are the model unless `dynamics` is given.
        dynamics: another model, or an ensemble.

    Raises:
        ConfigError: there is no member, or the members' shapes or their ways to intervene
            (`effect`, `strengths`) differ.
    """

    def __init__(self, instance: BanditInstance, dynamics: Dynamics = None) -> None:
        members, self.units = in_units(models_of(instance, dynamics), late=instance.late)
        self.instance = instance
        self.dynamics = first = members[0]
        self._arms = np.arange(first.arms)
        self._table: Floats = np.mean([member.one_step() for member in members], axis=0)

    def values(self, observation: Any) -> Floats:
        """Expected next reward by arm and level, (arms, levels); zero of arms that have ended.

        These are planned rewards, see `worldplan.planners.bandits.units`.
        """
        belief = belief_of(self.instance, observation)
        values: Floats = np.einsum("jks,js->jk", self._table, belief)
        return of_counting(values, self.instance.late, self._left(observation))

    def _left(self, observation: Any) -> int:
        """Steps to the end of the episode, where they matter; else the horizon."""
        if self.instance.late is None:
            return self.instance.horizon
        return steps_left_of(self.instance, observation)

    def lowest(self, observation: Any) -> Floats:
        """(arms,) the constant in each arm's next reward that planned rewards leave out."""
        return of_counting(self.units.low, self.instance.late, self._left(observation))

    def score(self, observation: Any) -> Score:
        """The function from actions (M, components) to joint planned rewards (M,)."""
        values = self.values(observation)
        if self.dynamics.effect is None:
            base, gain = values[:, 0].sum(), values[:, 1] - values[:, 0]
            return lambda actions: base + actions @ gain
        return lambda actions: values[self._arms, self.dynamics.level(actions)].sum(-1)

    def decision(self, planned: Decision, observation: Any) -> Decision:
        """A decision whose value and bound are planned rewards, in the unit of the rewards."""
        value, bound = (
            None if number is None else self.units.total(number, 1, self._left(observation))
            for number in (planned.value, planned.bound)
        )
        return dataclasses.replace(planned, value=value, bound=bound)


def greedy_action(score: Score, actions: ActionSet) -> tuple[Action, float]:
    """An action and its score, built greedily.

    The component that raises the score most and keeps the action feasible is added, until there is
    none. All candidates of a round are scored in one call.

    Below the set's `least` number of components, components are added even at a loss and without a
    check. If the result is then not in the set, the set's own completion of it or its default
    action is returned, whichever has the better score.

    Args:
        score: maps actions (M, components) to scores (M,).
        actions: the feasible set.

    Returns:
        The action (components,) and its score.
    """
    action = np.zeros(actions.size, np.int8)
    best, largest = _scored(score, action[None])[0], 0.0
    for taken in range(actions.most):
        free = np.flatnonzero(actions.selectable & (action == 0))
        gain = _extensions(score, action, free) - best
        largest = max(largest, float(np.abs(gain).max(initial=0.0)))
        # above the rounding of the scores and of the largest gain, whatever their unit
        rounding = 8 * np.finfo(float).eps * abs(best) + 1e-12 * largest
        worth = np.ones(len(free), bool) if taken < actions.least else gain > rounding
        order = np.argsort(-gain, kind="stable")
        chosen = next(
            (i for i in order[worth[order]] if _feasible(actions, action, free[i], taken + 1)), None
        )
        if chosen is None:
            break
        action[free[chosen]] = 1
        best = best + gain[chosen]
    if actions.contains(action):
        return action, float(best)
    completed = actions.fill(np.flatnonzero(actions.selectable), action)
    choices = [completed, actions.default()] if actions.contains(completed) else [actions.default()]
    scores = _scored(score, np.stack(choices))
    return choices[int(scores.argmax())], float(scores.max())


def _feasible(actions: ActionSet, action: Action, component: int, count: int) -> bool:
    candidate = action.copy()
    candidate[component] = 1
    return count < actions.least or actions.probably_contains(candidate)


def _extensions(score: Score, action: Action, free: Ints) -> Floats:
    """Score of `action` (components,) with each of the `free` components added, (len(free),).

    Scored in blocks that fit in memory.
    """
    blocks = np.array_split(free, -(-len(free) * len(action) // 2**24)) if len(free) else []
    scores = []
    for block in blocks:
        candidates = np.repeat(action[None], len(block), axis=0)
        candidates[np.arange(len(block)), block] = 1
        scores.append(_scored(score, candidates))
    return np.concatenate(scores) if scores else np.zeros(0)


def _scored(score: Score, actions: Action) -> Floats:
    return np.asarray(score(actions), dtype=float).reshape(len(actions))


def _heuristic(action: Action, value: float | None, started: float) -> Decision:
    return Decision(action, value, None, "heuristic", time.perf_counter() - started)


class NullPolicy(Planner):
    """The set's default action: nothing, where that is allowed."""

    def __init__(self, instance: BanditInstance) -> None:
        models_of(instance, None)
        least = instance.actions.least
        self.notes = (
            [
                f"doing nothing is not allowed here: the first {least} components are selected "
                "at every step"
            ]
            if least
            else []
        )
        self._set = instance.actions

    def plan(self, observation: Any) -> Decision:
        return _heuristic(self._set.default(), None, time.perf_counter())


class RandomPolicy(Planner):
    """A random feasible action at every step.

    Args:
        instance: the programme.
        seed: of the random numbers.
    """

    def __init__(self, instance: BanditInstance, *, seed: int = 0) -> None:
        models_of(instance, None)
        self._set, self._seed = instance.actions, checks.whole_number(seed, "seed", least=0)
        self.reset(seed=seed)

    def reset(self, *, seed: int | None = None) -> None:
        """Restart the random stream, from `seed` or, without one, from the constructor's."""
        own = self._seed if seed is None else checks.whole_number(seed, "seed", least=0)
        self._generator = np.random.default_rng(own)

    def plan(self, observation: Any) -> Decision:
        started = time.perf_counter()
        return _heuristic(self._set.sample(self._generator), None, started)


class SamplingPolicy(RandomPolicy):
    """The best of several random feasible actions by one-step expected reward (Xu et al.).

    Args:
        instance: the programme.
        dynamics: another model than the instance's, or an ensemble.
        samples: random actions per decision; 100 in the paper.
        seed: of the random numbers.

    Raises:
        ConfigError: `samples` is below 1, or the dynamics do not fit the instance.
    """

    def __init__(
        self,
        instance: BanditInstance,
        *,
        dynamics: Dynamics = None,
        samples: int = 100,
        seed: int = 0,
    ) -> None:
        if checks.whole_number(samples, "sampling.samples") < 1:
            raise ConfigError(f"sampling.samples is {samples}: give at least 1")
        super().__init__(instance, seed=seed)
        self._model, self._samples = OneStep(instance, dynamics), samples

    def plan(self, observation: Any) -> Decision:
        started = time.perf_counter()
        score = self._model.score(observation)
        actions = np.stack([self._set.sample(self._generator) for _ in range(self._samples)])
        scores = score(actions)
        best = int(scores.argmax())
        found = _heuristic(actions[best], float(scores[best]), started)
        return self._model.decision(found, observation)


class MyopicPolicy(Planner):
    """The feasible action with the largest one-step expected reward, by exact maximisation.

    Args:
        instance: the programme.
        dynamics: another model than the instance's, or an ensemble.
        settings: the solver.

    Raises:
        ConfigError: the dynamics do not fit the instance.
    """

    value_words = "expected the next day"

    def __init__(
        self,
        instance: BanditInstance,
        *,
        dynamics: Dynamics = None,
        settings: SolverSettings = EXACT,
    ) -> None:
        self._model = OneStep(instance, dynamics)
        self._maximiser = LevelMaximiser(
            dataclasses.replace(instance, dynamics=self._model.dynamics), settings
        )

    def plan(self, observation: Any) -> Decision:
        values = self._model.values(observation)
        return self._model.decision(self._maximiser.maximise(values), observation)

    def action_values(self, observation: Any) -> Floats:
        """Expected reward of the next step by arm and level, (arms, levels)."""
        planned = self._model.values(observation)
        return self._model.units.unit * planned + self._model.lowest(observation)[:, None]


class IterativeMyopicPolicy(Planner):
    """Greedy component by component on the one-step expected reward (`greedy_action`).

    With a plain budget and no `effect`, the greedy action is found by sorting, for any number of
    arms.

    Args:
        instance: the programme.
        dynamics: another model than the instance's, or an ensemble.

    Raises:
        ConfigError: the dynamics do not fit the instance.
    """

    def __init__(self, instance: BanditInstance, *, dynamics: Dynamics = None) -> None:
        self._model = OneStep(instance, dynamics)
        self._set = instance.actions
        plain = self._model.dynamics.effect is None and budget_of(self._set) is not None
        self._sorted = LevelMaximiser(instance) if plain else None

    def plan(self, observation: Any) -> Decision:
        started = time.perf_counter()
        if self._sorted is not None:
            decision = self._sorted.maximise(self._model.values(observation))
        else:
            decision = _heuristic(
                *greedy_action(self._model.score(observation), self._set), started
            )
        return self._model.decision(decision, observation)


class IterativeQPolicy(Planner):
    """Greedy component by component on a learned action value (`greedy_action`).

    Args:
        instance: the programme.
        value: maps an observation and actions (M, components) to values (M,).
    """

    def __init__(self, instance: BanditInstance, value: Callable[[Any, Action], Floats]) -> None:
        models_of(instance, None)
        if not callable(value):
            raise ConfigError(
                f"value is {checks.shown(value)}: give a function of observation and actions"
            )
        self._set, self._value = instance.actions, value

    def plan(self, observation: Any) -> Decision:
        started = time.perf_counter()
        return _heuristic(
            *greedy_action(lambda actions: self._value(observation, actions), self._set), started
        )
