"""Every bound and policy against exact dynamic programming: every set, with and without discount,
rewards of either sign, in any unit.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.planners.bandits.builders import examples, feasible
from tests.planners.bandits.transformed import EXTRAS, KINDS, parts_of_kind
from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bounds import make_bound
from worldplan.planners.bandits.fluid import FluidBound
from worldplan.planners.bandits.lagrangian import LagrangianBound, LagrangianPlanner
from worldplan.planners.bandits.observations import one_hot
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.planners.bandits.units import Outlook
from worldplan.planners.base import Planner

EXACT = SolverSettings(gap=0.0)
SHIFTS = st.sampled_from([0.0, -100.0, 50.0])
STATES = st.sampled_from(["alike", "own"])
UNITS = st.sampled_from([1e-8, 1.0, 1e9])


class Joint:
    """The joint chain: states (n, arms), kernels (actions, n, n), rewards by steps left."""

    def __init__(self, instance: BanditInstance) -> None:
        self.instance, model = instance, instance.dynamics
        self.states = np.array(list(itertools.product(*map(range, model.state_counts))))
        self.actions = feasible(instance)
        self.kernels = []
        self.rewards: dict[int, list[np.ndarray]] = {}  # by steps left, (actions, n)
        for action in self.actions:
            kernel = np.ones((1, 1))
            for arm, level in enumerate(model.level(action)):
                own = slice(model.state_counts[arm])
                kernel = np.kron(kernel, model.transition[arm, level, own, own])
            self.kernels.append(kernel)
        horizon = instance.horizon
        ends = np.full(model.arms, horizon) if instance.ends is None else instance.ends
        for left in range(1, horizon + 1):
            counts = horizon - left < ends  # steps that have passed
            if left > 1 and instance.ends is None:
                self.rewards[left] = self.rewards[1]
                continue
            self.rewards[left] = [self.reward(model.level(each), counts) for each in self.actions]

    def reward(self, levels: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Expected reward (n,) of a step under `levels` (arms,), arm by arm and move by move."""
        model = self.instance.dynamics
        extra = np.zeros_like(model.transition)
        if model.action_reward is not None:
            extra = extra + model.action_reward
        total = np.zeros(len(self.states))
        for number, state in enumerate(self.states):
            for arm, (s, level) in enumerate(zip(state, levels, strict=True)):
                if not counts[arm]:
                    continue
                for after in range(model.states):
                    earned = model.reward[arm, after] + extra[arm, level, s, after]
                    total[number] += model.transition[arm, level, s, after] * earned
        return total

    def values(self, later: np.ndarray, left: int) -> np.ndarray:
        """Values (actions, n) of each action now, with `left` steps to go, and `later` after it."""
        discount = self.instance.discount
        pairs = zip(self.rewards[left], self.kernels, strict=True)
        return np.stack([reward + discount * kernel @ later for reward, kernel in pairs])

    def optimum(self, left: int) -> tuple[np.ndarray, np.ndarray]:
        """The optimal values (n,), and those of each first action (actions, n)."""
        best, values = np.zeros(len(self.states)), np.zeros((1, len(self.states)))
        for step in range(1, left + 1):
            values = self.values(best, step)
            best = values.max(0)
        return best, values

    def chosen(self, planner: Planner, **more: int) -> np.ndarray:
        """The number (n,) of the action of a policy in each joint state, with `more` observed."""
        place = {action.tobytes(): k for k, action in enumerate(self.actions)}
        actions = [planner.act({"state": state, **more}) for state in self.states]
        return np.array([place[action.astype(np.int8).tobytes()] for action in actions])

    def of_policy(self, planner: Planner, left: int) -> np.ndarray:
        """The exact return (n,) of a policy with `left` steps to go."""
        value = np.zeros(len(self.states))
        for step in range(1, left + 1):
            values = self.values(value, step)
            chosen = self.chosen(planner, steps_left=step)
            value = values[chosen, np.arange(len(self.states))]
        return value


def case(
    seed: int,
    kind: str,
    unit: float,
    shift: float,
    discount: float,
    extra: str = "none",
    states: str = "alike",
    ends: str = "alike",
) -> tuple[BanditInstance, np.random.Generator]:
    generator = np.random.default_rng(seed)
    parts = parts_of_kind(kind, generator).with_action_rewards(extra, generator)
    if states == "own":
        parts = parts.with_own_states(generator)
    shifts = np.full(parts.dynamics.arms, unit * shift)
    instance = dataclasses.replace(parts.in_unit(unit, shifts).instance(), discount=discount)
    instance = dataclasses.replace(instance, horizon=min(instance.horizon, 3))
    if ends == "own":
        drawn = generator.integers(0, instance.horizon + 1, instance.dynamics.arms)
        instance = dataclasses.replace(instance, ends=drawn)
    return instance, generator


@pytest.mark.parametrize("discount", [1.0, 0.6])
@pytest.mark.parametrize("kind", KINDS)
@examples(8)
@given(st.integers(0, 10**6), UNITS, SHIFTS, st.sampled_from(EXTRAS), STATES, STATES)
def test_bounds_and_decisions(
    kind: str,
    discount: float,
    seed: int,
    unit: float,
    shift: float,
    extra: str,
    states: str,
    ends: str,
) -> None:
    instance, generator = case(seed, kind, unit, shift, discount, extra, states, ends)
    joint, left = Joint(instance), int(generator.integers(1, instance.horizon + 1))
    best, first = joint.optimum(left)
    slack = unit * (1e-6 + 1e-10 * abs(shift)) * left
    number = int(generator.integers(len(joint.states)))
    state = joint.states[number]
    bounds = [FluidBound(instance), make_bound(instance, SolverSettings())]
    if kind in ("budget", "exactly"):
        bounds.append(LagrangianBound(instance))  # type: ignore[arg-type]
    for bound in bounds:
        assert bound.from_state(state, left) >= best[number] - slack
    seen = {"state": state, "steps_left": left}
    for planner in planners(instance):
        decision = planner.plan(seen)
        place = (joint.actions == decision.action).all(1)
        assert place.any()  # feasible
        if decision.bound is not None and type(planner).__name__ != "MyopicPolicy":
            assert decision.bound >= best[number] - slack
        if left == 1:  # nothing follows: every planner that optimises is optimal
            assert first[place.argmax(), number] == pytest.approx(best[number], abs=slack)


def planners(instance: BanditInstance) -> list[Planner]:
    """Those that optimise."""
    names = ["myopic", "fluid"] + ["whittle"] * (instance.dynamics.effect is None)
    context = PolicyContext(instance, solver=EXACT, fluid_window=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random arms need not be indexable
        found = [make_policy(name, context) for name in names]
    if type(instance.actions).__name__ == "Budget" and instance.dynamics.effect is None:
        found.append(LagrangianPlanner(instance, gap=1e-9))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("discount", [1.0, 0.6])
@pytest.mark.parametrize("kind", ["budget", "capacity", "own", "custom"])
@pytest.mark.parametrize("ends", ["alike", "own"])
def test_returns_of_policies_are_below_the_optimum_and_near_it(
    kind: str, discount: float, ends: str
) -> None:
    shares: dict[str, list[float]] = {"whittle": [], "fluid": []}
    for seed in range(3):
        instance, _ = case(seed, kind, 1.0, -3.0, discount, ends=ends)
        joint, left = Joint(instance), instance.horizon
        best, _ = joint.optimum(left)
        null = joint.of_policy(make_policy("null", PolicyContext(instance)), left)
        outlook = Outlook([instance.dynamics], instance.actions, left, discount, instance.late)
        for number, state in enumerate(joint.states):
            start = one_hot(state, instance.dynamics.states)
            assert outlook.default(start, left) == pytest.approx(null[number], abs=1e-9)
            assert outlook.free(start, left) >= best[number] - 1e-9
        for name, found in shares.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                policy = make_policy(name, PolicyContext(instance, solver=EXACT))
            reached = joint.of_policy(policy, left)
            assert (reached <= best + 1e-9).all()
            found.append(float((reached - null).sum() / max((best - null).sum(), 1e-9)))
    assert all(np.mean(found) > 0.97 for found in shares.values()), shares
