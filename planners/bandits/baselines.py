"""Reference policies for restless bandits: nothing, random, best of a sample, myopic (exact), and
greedy by one-step reward or by Q.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats, Ints
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import Action, ActionSet, Budget
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.level_maximiser import EXACT, LevelMaximiser
from worldplan.planners.base import Decision, Planner

Dynamics = ArmDynamics | Sequence[ArmDynamics] | None
Score = Callable[[Action], Floats]  # actions (M, components) -> (M,)


class OneStep:
    """Expected reward of the next step under the instance's dynamics, one replacement, or the mean
    over an ensemble.

    Raises ConfigError if the members' shapes or their ways to intervene (`effect`, `strengths`)
    differ.
    """

    def __init__(self, instance: BanditInstance, dynamics: Dynamics = None) -> None:
        given = instance.dynamics if dynamics is None else dynamics
        members = [given] if isinstance(given, ArmDynamics) else list(given)
        if not members:
            raise ConfigError("the ensemble of dynamics is empty: give at least one member")
        first = members[0]
        for member in members:
            same = all(
                np.array_equal(getattr(member, part), getattr(first, part))
                for part in ("effect", "strengths")
            )
            if (
                member.transition.shape != first.transition.shape
                or not same
                or member.components != instance.actions.size
            ):
                raise ConfigError(
                    "the given dynamics differ in arms, states, actions or effects: give members that fit the instance"
                )
        self.dynamics = first
        self._arms = np.arange(first.arms)
        self._table: Floats = np.mean([member.one_step() for member in members], axis=0)

    def values(self, state: Ints) -> Floats:
        """Expected next reward of each arm and level, (arms, levels), in the joint state (arms,)."""
        return self._table[self._arms, :, state]

    def score(self, state: Ints) -> Score:
        """A function that gives the expected joint reward, (M,), of actions (M, components)."""
        values = self.values(state)
        if self.dynamics.effect is None:
            base, gain = values[:, 0].sum(), values[:, 1] - values[:, 0]
            return lambda actions: base + actions @ gain
        return lambda actions: values[self._arms, self.dynamics.level(actions)].sum(-1)


def greedy_action(score: Score, actions: ActionSet) -> tuple[Action, float]:
    """Add, one by one, the component that raises `score` most and keeps the action feasible, until
    none does.

    Returns the action and its score. Every candidate of a round is scored in one call. Below the
    set's `least` components are added even at a loss, and an action that is short of `least` counts
    as feasible when it can still be completed as far as the set itself can tell; should the result
    end up outside the set, the better of the set's own completion and default is returned.
    """
    action = np.zeros(actions.size, np.int8)
    best = _scored(score, action[None])[0]
    for taken in range(actions.most):
        free = np.flatnonzero(actions.selectable & (action == 0))
        gain = _extensions(score, action, free) - best
        worth = (
            np.ones(len(free), bool) if taken < actions.least else gain > 1e-12 * (1 + abs(best))
        )
        order = np.argsort(-gain, kind="stable")
        found = next(
            (i for i in order[worth[order]] if _feasible(actions, action, free[i], taken + 1)), None
        )
        if found is None:
            break
        action[free[found]] = 1
        best = best + gain[found]
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
    """Score of `action` with each of the `free` components added, (len(free),), in blocks that fit
    in memory.
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


def _heuristic(action: Action, value: float | None, began: float) -> Decision:
    return Decision(action, value, None, "heuristic", time.perf_counter() - began)


class NullPolicy(Planner):
    """The set's default action: nothing, where that is allowed."""

    def __init__(self, instance: BanditInstance) -> None:
        least = instance.actions.least
        self.notes = (
            [
                f"doing nothing is not allowed here: the first {least} components are selected at every step"
            ]
            if least
            else []
        )
        self._set = instance.actions

    def plan(self, observation: Any) -> Decision:
        return _heuristic(self._set.default(), None, time.perf_counter())


class RandomPolicy(Planner):
    """A random feasible action every step."""

    def __init__(self, instance: BanditInstance, *, seed: int = 0) -> None:
        self._set, self._seed = instance.actions, seed
        self.reset(seed=seed)

    def reset(self, *, seed: int | None = None) -> None:
        """Restart the policy's random stream (from its last seed if none is given)."""
        self._seed = self._seed if seed is None else seed
        self._generator = np.random.default_rng(self._seed)

    def plan(self, observation: Any) -> Decision:
        began = time.perf_counter()
        return _heuristic(self._set.sample(self._generator), None, began)


class SamplingPolicy(RandomPolicy):
    """The best of `samples` random feasible actions by one-step expected reward (100 in Xu et al.)."""

    def __init__(
        self,
        instance: BanditInstance,
        *,
        dynamics: Dynamics = None,
        samples: int = 100,
        seed: int = 0,
    ) -> None:
        if samples < 1:
            raise ConfigError(f"sampling.samples is {samples}: give at least 1")
        super().__init__(instance, seed=seed)
        self._model, self._samples = OneStep(instance, dynamics), samples

    def plan(self, observation: Any) -> Decision:
        began = time.perf_counter()
        actions = np.stack([self._set.sample(self._generator) for _ in range(self._samples)])
        scores = self._model.score(observation["state"])(actions)
        best = int(scores.argmax())
        return _heuristic(actions[best], float(scores[best]), began)


class MyopicPolicy(Planner):
    """The feasible action with the largest one-step expected reward, by exact maximisation."""

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
        return self._maximiser.maximise(self._model.values(observation["state"]))


class IterativeMyopicPolicy(Planner):
    """Greedy component by component on the one-step expected reward (`greedy_action`).

    With a plain Budget and no `effect` the greedy action is the sorted one, whatever the number of
    arms.
    """

    def __init__(self, instance: BanditInstance, *, dynamics: Dynamics = None) -> None:
        self._set, self._model = instance.actions, OneStep(instance, dynamics)
        plain = self._model.dynamics.effect is None and type(self._set) is Budget
        self._sorted = LevelMaximiser(instance) if plain else None

    def plan(self, observation: Any) -> Decision:
        if self._sorted is not None:
            return self._sorted.maximise(self._model.values(observation["state"]))
        began = time.perf_counter()
        return _heuristic(*greedy_action(self._model.score(observation["state"]), self._set), began)


class IterativeQPolicy(Planner):
    """Greedy component by component on a learned value (`greedy_action`).

    Args:
        value: `value(observation, actions)` gives one number for each of the `actions` (M,
            components).
    """

    def __init__(self, instance: BanditInstance, value: Callable[[Any, Action], Floats]) -> None:
        self._set, self._value = instance.actions, value

    def plan(self, observation: Any) -> Decision:
        began = time.perf_counter()
        return _heuristic(
            *greedy_action(lambda actions: self._value(observation, actions), self._set), began
        )
