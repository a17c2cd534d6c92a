"""The fluid bound, its value tables and every planner against exact dynamic programming.

On tiny instances of every action set.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from functools import cache

import networkx as nx
import numpy as np
import pytest
from numpy.typing import NDArray

from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import ActionSet, Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.schedule import Schedule
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.baselines import (
    IterativeMyopicPolicy,
    MyopicPolicy,
    NullPolicy,
    RandomPolicy,
    SamplingPolicy,
)
from worldplan.planners.bandits.coupling import ValueTables
from worldplan.planners.bandits.fluid import (
    FluidBound,
    FluidPlanner,
    FluidProgram,
)
from worldplan.planners.bandits.lagrangian import LagrangianBound, LagrangianPlanner
from worldplan.planners.bandits.observations import one_hot
from worldplan.planners.bandits.whittle import WhittlePolicy
from worldplan.planners.base import Planner

KINDS = ("budget", "exactly", "capacity", "schedule", "path", "groups", "overlapping")
CASES = [(kind, seed) for kind in KINDS for seed in range(6)]
FEW = [(kind, seed) for kind in KINDS for seed in range(3)]
EXACT = SolverSettings(gap=0.0)


class Exact:
    """A tiny instance by enumeration: all joint states, all feasible actions, optimal values."""

    def __init__(self, instance: BanditInstance) -> None:
        model = instance.dynamics
        self.instance, self.horizon = instance, instance.horizon
        self.states = np.array(list(itertools.product(range(model.states), repeat=model.arms)))
        everything = np.array(
            list(itertools.product((0, 1), repeat=instance.actions.size)), dtype=np.int8
        )
        self.actions = everything[instance.actions.contains_batch(everything)]
        self.law = np.stack([self._joint(model, action) for action in self.actions])
        self.reward = np.stack(
            [
                model.expected_reward(self.states, np.broadcast_to(a, (len(self.states), len(a))))
                for a in self.actions
            ]
        )
        self.value = [np.zeros(len(self.states))]  # by steps to go
        self.action_value = [np.zeros((len(self.actions), len(self.states)))]
        for _ in range(self.horizon):
            self.action_value.append(self.reward + self.law @ self.value[-1])
            self.value.append(self.action_value[-1].max(0))

    @staticmethod
    def _joint(model: ArmDynamics, action: NDArray) -> Floats:
        law = np.ones((1, 1))
        for arm, level in enumerate(model.level(action)):
            law = np.kron(law, model.transition[arm, level])
        return law

    def value_of(self, choose: Callable[[NDArray, int], NDArray]) -> Floats:
        """Exact expected return from every state of a policy that is a function of (state, steps
        left).
        """
        place = {action.tobytes(): number for number, action in enumerate(self.actions)}
        value, index = np.zeros(len(self.states)), np.arange(len(self.states))
        for left in range(1, self.horizon + 1):
            chosen = np.array(
                [place[np.asarray(choose(state, left), np.int8).tobytes()] for state in self.states]
            )
            value = self.reward[chosen, index] + (self.law[chosen, index] * value).sum(-1)
        return value


def link_arms(
    generator: np.random.Generator, arms: int, states: int, effect: Floats, reward: Floats
) -> ArmDynamics:
    """Arms that move up with a probability that is a sigmoid of their strength, for every strength
    that can occur.
    """
    everything = np.array(list(itertools.product((0, 1), repeat=effect.shape[1])))
    reachable = [np.unique((row @ everything.T).round(9)) for row in effect]
    levels = max(map(len, reachable))
    strengths = np.stack([np.pad(row, (0, levels - len(row)), mode="edge") for row in reachable])
    shift = generator.uniform(1, 8, (arms, 1))
    up = 0.05 + 0.9 / (1 + np.exp(shift - strengths))
    law = np.zeros((arms, levels, states, states))
    for state in range(states):
        law[:, :, state, min(state + 1, states - 1)] += up
        law[:, :, state, max(state - 1, 0)] += 1 - up
    return ArmDynamics(law, reward, effect, strengths)


def tiny(kind: str, seed: int) -> BanditInstance:
    generator = np.random.default_rng([KINDS.index(kind), seed])
    arms, states = [(3, 3), (4, 2), (2, 4)][seed % 3]
    horizon = int(generator.integers(3, 6))
    reward = (
        np.sort(generator.random((arms, states)), axis=1)
        if seed % 2
        else generator.normal(size=(arms, states))
    )
    actions: ActionSet
    if kind == "groups":  # all three interventions of a group hit the same arms
        effect = np.zeros((arms, 4))
        effect[:2, :3], effect[2:, 3:] = 3.0, 3.0
        actions = Budget(4, int(generator.integers(1, 4)), exactly=bool(seed % 2))
        dynamics = link_arms(generator, arms, states, effect, reward)
    elif kind == "overlapping":
        effect = generator.choice([0.0, 1.0, 2.5, 4.0], (arms, 3))
        actions = Budget(3, int(generator.integers(1, 3)), exactly=bool(seed % 2))
        dynamics = link_arms(generator, arms, states, effect, reward)
    else:
        dynamics = ArmDynamics(generator.dirichlet(np.full(states, 0.5), (arms, 2, states)), reward)
        actions = coupled(kind, arms, generator)
    return BanditInstance(dynamics, actions, horizon, generator.dirichlet(np.ones(states), arms))


def coupled(kind: str, arms: int, generator: np.random.Generator) -> ActionSet:
    if kind == "capacity":
        return Capacity(generator.integers(2, 5, arms), [5, 3])
    if kind == "schedule":
        while True:
            duty, open_ = generator.random((2, 3)) < 0.8, generator.random((arms, 3)) < 0.7
            open_[0], duty[0] = True, True
            return Schedule(open_, duty, 2)
    if kind == "path":
        graph = (
            nx.cycle_graph(arms) if generator.random() < 0.5 and arms > 2 else nx.path_graph(arms)
        )
        return Path(graph, 0, int(generator.integers(2, 5)), 2)
    return Budget(arms, int(generator.integers(1, arms)), exactly=kind == "exactly")


@cache
def solved(kind: str, seed: int) -> Exact:
    return Exact(tiny(kind, seed))


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_the_bound_holds_for_every_start_and_number_of_steps(kind: str, seed: int) -> None:
    exact = solved(kind, seed)
    bound = FluidBound(exact.instance)
    for left in (exact.horizon, 1, 2):
        for place, state in enumerate(exact.states):
            assert bound.from_state(state, left) >= exact.value[left][place] - 1e-6
    law = exact.instance.initial
    mass = np.prod([law[arm, exact.states[:, arm]] for arm in range(len(law))], axis=0)
    assert bound.from_distribution(law) >= mass @ exact.value[exact.horizon] - 1e-6


def test_final_values_are_those_of_the_solve() -> None:
    instance = generate("budget", 6, 2, seed=0, states=3, horizon=8)
    model, actions = [instance.dynamics], instance.actions
    whole = FluidProgram(model, actions, instance.horizon, EXACT)
    window = FluidProgram(model, actions, 2, EXACT)
    start = one_hot(np.array([0, 1, 2, 0, 1, 2]), 3)
    for left in range(8, 1, -1):
        for shift in (0.0, 1.0):  # other tables, perhaps at the same address
            tables = whole.value_tables(whole.solve(start, left), left)
            tail = ValueTables(tables.table + shift, tables.constant)
            for steps_left in (left, max(left - 1, 1)):  # the same tables, other steps to go
                fresh = FluidProgram(model, actions, 2, EXACT).solve(start, steps_left, tail)
                value = window.solve(start, steps_left, tail).value
                assert value == pytest.approx(fresh.value, rel=1e-9)
            del tables, tail


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_value_tables_bound_the_value_everywhere_and_are_tight_where_solved(
    kind: str, seed: int
) -> None:
    exact = solved(kind, seed)
    program = FluidProgram(
        [exact.instance.dynamics], exact.instance.actions, exact.horizon, SolverSettings()
    )
    generator, arms = np.random.default_rng(seed), np.arange(exact.instance.dynamics.arms)
    for left in (exact.horizon, exact.horizon - 1):
        state = exact.states[generator.integers(len(exact.states))]
        solution = program.solve(one_hot(state, exact.instance.dynamics.states), left)
        tables = program.value_tables(solution, left)
        for steps in range(left + 1):
            bound = tables.constant[steps] + tables.table[steps, arms, exact.states].sum(-1)
            assert (bound >= exact.value[steps] - 1e-6).all()
        assert tables.constant[left] + tables.table[left, arms, state].sum() == pytest.approx(
            solution.value, abs=1e-6
        )


@pytest.mark.parametrize(("kind", "seed"), FEW)
def test_fluid_targets_bound_every_action_value(kind: str, seed: int) -> None:
    torch = pytest.importorskip("torch")
    from worldplan.planners.bandits.sequoia.targets import FluidTargets

    exact = solved(kind, seed)
    targets = FluidTargets(exact.instance, 4, np.random.default_rng(seed))
    states = torch.as_tensor(exact.states)
    actions = torch.as_tensor(exact.actions, dtype=torch.float32).expand(len(states), -1, -1)
    for left in range(1, exact.horizon + 1):
        bound = targets(states, torch.full((len(states),), left), actions).numpy()
        assert (bound >= exact.action_value[left].T - 1e-4).all()


def planners(instance: BanditInstance) -> dict[str, Planner]:
    found: dict[str, Planner] = {
        f"fluid {window}": FluidPlanner(instance, window, settings=EXACT)
        for window in (1, 2, instance.horizon)
    }
    found |= {
        "null": NullPolicy(instance),
        "random": RandomPolicy(instance),
        "sampling": SamplingPolicy(instance, samples=5),
        "iterative": IterativeMyopicPolicy(instance),
        "myopic": MyopicPolicy(instance),
    }
    if instance.dynamics.effect is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # random arms need not be indexable
            found["whittle"] = WhittlePolicy(instance)
        if type(instance.actions) is Budget:
            found["lagrangian"] = LagrangianPlanner(instance)
    return found


def decide(planner: Planner, state: NDArray, left: int) -> NDArray:
    planner.reset(seed=left)  # makes a random policy a function of state and steps left
    return planner.act({"state": state, "steps_left": left})


def test_no_planner_beats_the_optimum_and_the_fluid_planner_comes_close() -> None:
    share: dict[str, list[float]] = {}
    for kind, seed in itertools.product(KINDS, (2,)):
        exact = solved(kind, seed)
        best = exact.value[exact.horizon]
        worst = exact.value_of(
            lambda state, left, exact=exact: exact.actions[
                exact.action_value[left][:, _place(exact, state)].argmin()
            ]
        )
        for name, planner in planners(exact.instance).items():
            value = exact.value_of(
                lambda state, left, planner=planner: decide(planner, state, left)
            )
            assert (value <= best + 1e-6).all(), (name, kind, seed)
            if (
                (best - worst).mean() > 1e-6
            ):  # where the choice matters: 0 is the worst choice at each step, 1 the optimum
                share.setdefault(name, []).append(
                    float((value - worst).mean() / (best - worst).mean())
                )
    print({name: f"{np.mean(values):.4f}" for name, values in share.items()})  # noqa: T201
    for window in (1, 2):
        assert np.mean(share[f"fluid {window}"]) >= 0.97


def _place(exact: Exact, state: NDArray) -> int:
    return int(np.ravel_multi_index(tuple(state), (exact.instance.dynamics.states,) * len(state)))


def test_an_ensemble_of_equal_members_decides_like_one() -> None:
    instance = tiny("capacity", 1)
    one, three = (
        FluidPlanner(instance, 3, settings=EXACT),
        FluidPlanner(instance, 3, [instance.dynamics] * 3, settings=EXACT),
    )
    for state in solved("capacity", 1).states[::5]:
        observation = {"state": state, "steps_left": instance.horizon}
        assert three.plan(observation).value == pytest.approx(one.plan(observation).value, abs=1e-6)


@pytest.mark.parametrize("kind", ["budget", "exactly"])
@pytest.mark.parametrize("seed", range(3))
def test_lagrangian_and_fluid_bound_agree_on_tiny_instances(kind: str, seed: int) -> None:
    exact = solved(kind, seed)
    fluid, priced = FluidBound(exact.instance), LagrangianBound(exact.instance, gap=5e-7)
    for place in range(0, len(exact.states), 11):
        state = exact.states[place]
        value = fluid.from_state(state)
        assert priced.from_state(state) == pytest.approx(value, rel=1e-6, abs=1e-6)
        assert priced.from_state(state) >= exact.value[exact.horizon][place] - 1e-9
        assert priced.from_state(state, 2) == pytest.approx(
            fluid.from_state(state, 2), rel=1e-6, abs=1e-6
        )


@pytest.mark.parametrize("kind", ["capacity", "path", "groups"])
def test_lagrangian_needs_a_plain_budget(kind: str) -> None:
    with pytest.raises(ConfigError, match="use the fluid"):
        LagrangianPlanner(tiny(kind, 0))
