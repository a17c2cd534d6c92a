"""Costs of forcing and prices of limits against all feasible actions, on every set."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.planners.bandits.builders import random_dynamics
from worldplan.envs.bandits import ArmDynamics, BanditInstance, generate
from worldplan.milp.errors import InfeasibleActionSet
from worldplan.milp.sets import ActionSet, Budget, PyomoSet
from worldplan.milp.sets.fixed import fixed
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits import (
    FluidBound,
    FluidPlanner,
    MyopicPolicy,
    SequoiaPlanner,
    SequoiaSettings,
    WhittlePolicy,
)
from worldplan.planners.bandits.reasons import Explainer
from worldplan.planners.bandits.reasons.clock import Clock
from worldplan.planners.bandits.reasons.obstacles import with_obstacles
from worldplan.planners.bandits.sequoia.planner import build_network

ARMS = 6
Value = Callable[[Any], float]


def rules(block: Any) -> None:
    import pyomo.environ as pyo

    block.day = pyo.Constraint(expr=sum(block.a.values()) <= 3)
    block.north = pyo.Constraint(expr=block.a[0] + block.a[1] + block.a[2] >= 1)
    block.car = pyo.Var(domain=pyo.Binary)
    block.far = pyo.Constraint(expr=block.a[4] + block.a[5] <= 2 * block.car)
    block.pair = pyo.Constraint(expr=block.a[3] + block.car <= 1)


def instance_of(kind: str, horizon: int) -> BanditInstance:
    if kind in ("exactly", "rules"):
        dynamics = random_dynamics(np.random.default_rng(5), ARMS, 3)
        actions = Budget(ARMS, 3, exactly=True) if kind == "exactly" else PyomoSet(rules, ARMS)
        return BanditInstance(dynamics, actions, horizon, np.full((ARMS, 3), 1 / 3))
    return generate(kind, ARMS, 3, seed=3, horizon=horizon, states=3)


def every_action(actions: ActionSet) -> list[np.ndarray]:
    table = itertools.product((0, 1), repeat=actions.size)
    return [np.array(row, np.int8) for row in table if actions.contains(row)]


def fluid_value(instance: BanditInstance, state: np.ndarray, left: int) -> Value:
    """The reward of today plus the fluid bound of the days that follow: no program of a window."""
    bound = FluidBound(instance, SolverSettings(gap=0.0))
    model: ArmDynamics = instance.dynamics

    def value(action: Any) -> float:
        today = float(model.expected_reward(state, action))
        if left == 1:
            return today
        after = model.transition[np.arange(model.arms), model.level(action), state]
        return today + bound.from_distribution(after, left - 1)

    return value


def sequoia(instance: BanditInstance, seed: int = 0) -> SequoiaPlanner:
    generator = torch.Generator().manual_seed(seed)
    networks = [build_network(instance, SequoiaSettings(hidden=(4, 5)), seed) for seed in (0, 1)]
    for network in networks:
        for weights in network.tail.parameters():
            weights.data.uniform_(-1, 1, generator=generator)
    return SequoiaPlanner(instance, networks)


def planner_and_value(
    policy: str, instance: BanditInstance, observation: dict[str, Any]
) -> tuple[Any, Value]:
    state, left = np.asarray(observation["state"]), observation["steps_left"]
    arms = np.arange(instance.dynamics.arms)
    if policy == "fluid":
        return FluidPlanner(instance, window=4), fluid_value(instance, state, left)
    if policy == "myopic":
        model = instance.dynamics
        return MyopicPolicy(instance), lambda action: float(model.expected_reward(state, action))
    if policy == "whittle":
        whittle = WhittlePolicy(instance)
        return whittle, lambda action: float(whittle.action_values(observation)[arms, 1] @ action)
    planner = sequoia(instance)
    networks = planner.action_networks(observation)
    return planner, lambda action: float(min(network(action) for network in networks))


KINDS = ("budget", "exactly", "capacity", "schedule", "path", "interventions", "rules")


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@pytest.mark.parametrize(
    ("kind", "policy"),
    [(kind, policy) for kind in KINDS for policy in ("fluid", "myopic")]
    + [("capacity", "whittle"), ("capacity", "sequoia"), ("rules", "sequoia")],
)
def test_costs_and_prices_are_those_of_all_actions(kind: str, policy: str, solver: str) -> None:
    instance = instance_of(kind, 3)
    observation = {"state": np.arange(instance.dynamics.arms) % 3, "steps_left": 3}
    planner, value = planner_and_value(policy, instance, observation)
    explainer = Explainer(planner, instance, observation, settings=SolverSettings(solver))
    reasons = explainer.reasons(next_best=99)
    table = {action.tobytes(): value(action) for action in every_action(instance.actions)}
    best = max(table.values())
    assert reasons.value == pytest.approx(best) and reasons.status == "optimal"
    whys = {why.name: why for why in (*reasons.chosen, *reasons.not_chosen)}
    for component, name in enumerate(explainer.names):
        if name not in whys:
            assert not instance.actions.selectable[component]
            continue
        wanted = 1 - reasons.action[component]
        opposite = [v for key, v in table.items() if key[component] == wanted]
        assert whys[name].possible is bool(opposite)
        if opposite:
            assert whys[name].cost == pytest.approx(best - max(opposite), abs=1e-5)
            assert whys[name].exact
    for limit, price in zip(explainer.limits, reasons.limits, strict=True):
        raised = max(map(value, every_action(limit.raised(1))))
        assert price.price == pytest.approx(raised - best, abs=1e-5), price
        assert price.binds is (abs(raised - best) > 1e-5)
    said = ["expected states: an intervention reaches several arms"]
    assert list(reasons.left_out) == (said if kind == "interventions" else [])


@pytest.mark.parametrize("kind", KINDS)
def test_benefit_is_the_difference_of_two_scores(kind: str) -> None:
    instance = instance_of(kind, 4)
    observation = {"state": np.zeros(instance.dynamics.arms, int), "steps_left": 2}
    planner, value = planner_and_value("myopic", instance, observation)
    reasons = Explainer(planner, instance, observation).reasons(next_best=99, limits=False)
    names = Explainer(planner, instance, observation).names
    for why in (*reasons.chosen, *reasons.not_chosen):
        lists = np.stack([reasons.action, reasons.action])
        lists[:, names.index(why.name)] = 1, 0
        assert why.benefit == pytest.approx(value(lists[0]) - value(lists[1]))


@pytest.mark.parametrize("policy", ["fluid", "myopic", "whittle"])
def test_the_order_of_arms_changes_nothing(policy: str) -> None:
    """Arms permuted: the same list, benefits, costs and prices by name."""
    generator = np.random.default_rng(2)
    dynamics = random_dynamics(generator, ARMS, 3)
    names = tuple("abcdef")
    answers = []
    for order in (np.arange(ARMS), generator.permutation(ARMS)):
        moved = ArmDynamics(dynamics.transition[order], dynamics.reward[order])
        initial = np.full((ARMS, 3), 1 / 3)
        instance = BanditInstance(
            moved, Budget(ARMS, 2), 4, initial, tuple(names[j] for j in order)
        )
        observation = {"state": (np.arange(ARMS) % 3)[order], "steps_left": 4}
        planner, _ = planner_and_value(policy, instance, observation)
        reasons = Explainer(planner, instance, observation).reasons(next_best=9)
        rows = {
            why.name: (why.chosen, why.benefit, why.cost, why.expected_state_with)
            for why in (*reasons.chosen, *reasons.not_chosen)
        }
        answers.append((rows, reasons.limits[0].price, reasons.value))
    (rows, price, value), (others, other_price, other_value) = answers
    assert price == pytest.approx(other_price) and value == pytest.approx(other_value)
    assert rows.keys() == others.keys()
    for name, row in rows.items():
        assert row == pytest.approx(others[name], abs=1e-6)


def test_a_forced_list_is_the_best_that_contains_the_arm() -> None:
    instance = instance_of("capacity", 3)
    observation = {"state": np.arange(ARMS) % 3, "steps_left": 3}
    planner, value = planner_and_value("fluid", instance, observation)
    explainer = Explainer(planner, instance, observation)
    for force, forbid in itertools.permutations(range(ARMS), 2):
        allowed = [a for a in every_action(instance.actions) if a[force] and not a[forbid]]
        answer = explainer.decide([force], [str(forbid)])
        assert answer.action[force] and not answer.action[forbid]
        assert answer.value == pytest.approx(max(map(value, allowed)))
    for by in (1, 2):
        answer = explainer.decide(limit="workers", by=by)
        best = max(map(value, every_action(explainer.limits[0].raised(by))))
        assert answer.value == pytest.approx(best)
    with pytest.raises(InfeasibleActionSet):
        explainer.decide(force=range(ARMS))


def test_time_is_shared_and_what_is_missing_is_named() -> None:
    instance = instance_of("capacity", 3)
    observation = {"state": np.arange(ARMS) % 3, "steps_left": 3}
    planner, _ = planner_and_value("myopic", instance, observation)
    explainer = Explainer(planner, instance, observation)
    reasons = explainer.reasons(time_limit=1e-6)
    assert reasons.value is not None  # HiGHS finds a list at once
    assert all(why.cost is None and why.possible is None for why in reasons.chosen)
    assert all(price.price is None and price.binds is None for price in reasons.limits)
    assert len(reasons.left_out) == 2 and "not decided within" in reasons.left_out[0]
    assert reasons.to_dict()["chosen"][0]["cost"] is None


def test_a_large_budget_needs_no_solver() -> None:
    generator = np.random.default_rng(0)
    size = 3000
    dynamics = random_dynamics(generator, size, 2)
    instance = BanditInstance(dynamics, Budget(size, 500), 3, np.full((size, 2), 0.5))
    observation = {"state": np.zeros(size, int), "steps_left": 3}
    planner = MyopicPolicy(instance)
    reasons = Explainer(planner, instance, observation).reasons()
    gain = planner.action_values(observation) @ [-1.0, 1.0]
    ranked = np.sort(gain)[::-1]
    assert reasons.limits[0].price == pytest.approx(max(ranked[500], 0.0))
    assert len(reasons.chosen) == 500 and reasons.left_out == ()
    for why in reasons.chosen:
        assert why.cost == pytest.approx(why.benefit - ranked[500], abs=1e-5)


def test_own_list_is_kept_unless_another_is_better() -> None:
    instance = instance_of("budget", 3)
    observation = {"state": np.zeros(ARMS, int), "steps_left": 3}
    planner, _ = planner_and_value("myopic", instance, observation)
    explainer = Explainer(planner, instance, observation)
    decision = planner.plan(observation)
    worse = dataclasses.replace(decision, action=np.zeros(ARMS, np.int8))
    for given in (decision, worse):
        kept = explainer.reasons(decision=given, limits=False)
        assert kept.action.tolist() == decision.action.tolist()
        assert kept.value == pytest.approx(decision.value)


@pytest.mark.parametrize("policy", ["fluid", "myopic", "whittle"])
@pytest.mark.parametrize(("unit", "constant"), [(1e-8, 0), (1e9, 0), (1, 1e6), (1e-3, -50)])
def test_the_unit_of_the_reward_changes_only_the_unit(
    policy: str, unit: float, constant: float
) -> None:
    answers = []
    for factor, added in ((1.0, 0.0), (unit, constant)):
        dynamics = random_dynamics(np.random.default_rng(8), ARMS, 3)
        moved = ArmDynamics(dynamics.transition, factor * dynamics.reward + added)
        instance = BanditInstance(moved, Budget(ARMS, 2), 4, np.full((ARMS, 3), 1 / 3))
        observation = {"state": np.arange(ARMS) % 3, "steps_left": 4}
        planner, _ = planner_and_value(policy, instance, observation)
        reasons = Explainer(planner, instance, observation).reasons(next_best=9)
        rows = {why.name: why for why in (*reasons.chosen, *reasons.not_chosen)}
        answers.append((rows, reasons.limits[0].price, reasons.action.tolist()))
    (rows, price, action), (others, other_price, other_action) = answers
    assert action == other_action
    assert other_price / unit == pytest.approx(price, rel=1e-4, abs=1e-5)
    for name, why in rows.items():
        other = others[name]
        assert other.benefit / unit == pytest.approx(why.benefit, rel=1e-4, abs=1e-5)
        assert other.cost / unit == pytest.approx(why.cost, rel=1e-4, abs=1e-5)


def test_an_opposite_that_is_not_possible_is_said_where_no_time_is_left_for_its_rules() -> None:
    instance = instance_of("budget", 3)
    absent, forced = np.arange(ARMS) == 0, np.arange(ARMS) >= ARMS - 1
    actions = fixed(instance.actions, np.zeros(ARMS, bool), absent, forced)
    instance = dataclasses.replace(instance, actions=actions)
    observation = {"state": np.zeros(ARMS, int), "steps_left": 3}
    planner, _ = planner_and_value("myopic", instance, observation)
    explainer = Explainer(planner, instance, observation)
    whole = explainer.reasons()
    (kept,) = (why for why in whole.chosen if why.possible is False)
    assert kept.name == explainer.names[-1] and "who is there today" in kept.why_not
    assert whole.left_out == ()
    lower, upper = np.zeros(ARMS, np.int8), np.ones(ARMS, np.int8)
    late_clock = Clock(1e-9, 1.0)
    reasons, late = with_obstacles(whole.chosen, actions, lower, upper, explainer.names, late_clock)
    assert late == [kept.name] and [why.possible for why in reasons].count(False) == 1
