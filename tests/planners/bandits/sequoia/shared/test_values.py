"""Values of the network of shared weights, and the decisions by them."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from tests.planners.bandits.builders import feasible
from tests.planners.bandits.sequoia.shared.plain import PlainArms
from tests.planners.bandits.transformed import KINDS, Parts, parts_of_kind
from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bounds import make_bound
from worldplan.planners.bandits.sequoia.shared.arm_values import ArmValues, kind_of
from worldplan.planners.bandits.sequoia.shared.features import ArmFeatures
from worldplan.planners.bandits.sequoia.shared.network import SharedQNetwork
from worldplan.planners.bandits.sequoia.shared.planner import SharedPlanner
from worldplan.planners.bandits.units import Units

EXACT = SolverSettings(gap=0.0)


def random_network(kind: str, seed: int, start: str = "prices") -> SharedQNetwork:
    """A network whose every weight counts."""
    network = SharedQNetwork(kind, (5, 6)).double()
    with torch.no_grad():
        for number, weight in enumerate(network.parameters()):
            generator = np.random.default_rng([seed, number])
            weight.copy_(torch.as_tensor(generator.normal(size=weight.shape)))
    network.start = start
    return network


def features_of(instance: BanditInstance) -> ArmFeatures:
    planned = Units.of([instance.dynamics]).instance(instance)
    return ArmFeatures(ArmValues(planned, EXACT))


def seen(instance: BanditInstance, generator: np.random.Generator) -> dict:
    model = instance.dynamics
    state = generator.integers(0, model.state_counts)
    return {"state": state, "steps_left": int(generator.integers(1, instance.horizon + 1))}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_decisions_are_the_best_of_all_feasible_ones(kind: str, seed: int) -> None:
    generator = np.random.default_rng([seed, 1])
    parts = parts_of_kind(kind, generator).with_action_rewards(
        ["none", "of the state", "costs"][seed], generator
    )
    instance = parts.instance()
    features, arms = features_of(instance), kind_of(instance)
    every = feasible(instance)
    for start in (*features.tables.starts, "none"):
        network = random_network(arms, seed, start)
        network.attach(features)
        planner = SharedPlanner(instance, network, EXACT)
        observation = seen(instance, generator)
        decision = planner.plan(observation)
        with torch.no_grad():
            values = network(
                torch.as_tensor(observation["state"])[None],
                torch.tensor([observation["steps_left"]]),
                torch.as_tensor(every, dtype=torch.float64)[None],
            )[0].numpy()
        units = Units.of([instance.dynamics])
        best = units.total(float(values.max()), observation["steps_left"])
        assert decision.value == pytest.approx(best, rel=1e-5, abs=1e-5 * units.unit)
        assert decision.bound == pytest.approx(decision.value, abs=1e-6 * units.unit)
        assert instance.actions.contains(decision.action)
        each = planner.action_values(observation)
        level = instance.dynamics.level(decision.action)
        own = each[np.arange(len(each)), level].sum()
        assert own == pytest.approx(decision.value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_values_equal_those_of_plain_loops(kind: str) -> None:
    generator = np.random.default_rng(5)
    parts = parts_of_kind(kind, generator).with_action_rewards("of the move", generator)
    features = features_of(parts.instance())
    plain, instance = PlainArms(features.tables), features.tables.instance
    network = random_network(kind_of(instance), 3, features.tables.starts[-1])
    network.attach(features)
    for _ in range(3):
        observation = seen(instance, generator)
        action = instance.actions.sample(generator)
        with torch.no_grad():
            value = network(
                torch.as_tensor(observation["state"])[None],
                torch.tensor([observation["steps_left"]]),
                torch.as_tensor(action, dtype=torch.float64)[None, None],
            )
        expected = plain.action_value(
            network.state_dict(), network.start, *observation.values(), action
        )
        assert float(value) == pytest.approx(float(expected), rel=1e-4, abs=1e-4)


def check_same_up_to_prices(
    first: SharedPlanner, second: SharedPlanner, observations: tuple[dict, dict], order: np.ndarray
) -> None:
    """Arm k of the second is arm order[k] of the first; others of the second change nothing."""
    one, two = (
        planner.action_values(observation)
        for planner, observation in zip((first, second), observations, strict=True)
    )
    gains = one[:, 1:] - one[:, :1], (two[:, 1:] - two[:, :1])[: len(order)]
    np.testing.assert_allclose(gains[1], gains[0][order], rtol=1e-5, atol=1e-7)
    idle = two[len(order) :]
    np.testing.assert_allclose(idle - idle[:, :1], 0.0, atol=1e-12)


def fixed_prices(parts: Parts) -> ArmFeatures:
    """Features with prices that depend on the arm alone: those of a search need not be unique."""
    instance = parts.instance()
    units = Units.of([instance.dynamics])

    class Fixed(ArmValues):
        def _pull_prices(self, solver: SolverSettings) -> tuple[np.ndarray, np.ndarray]:
            every = self.now.mean((1, 2)) - self.now.min((1, 2))
            return np.tile(every, (instance.horizon, 1)), np.ones(instance.horizon)

        def _fluid_values(self, solver: SolverSettings) -> tuple[np.ndarray, np.ndarray]:
            return self._recursion(None), np.zeros(instance.horizon + 1)

    return ArmFeatures(Fixed(units.instance(instance), EXACT))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_another_order_of_the_arms_and_idle_ones(kind: str, seed: int) -> None:
    generator = np.random.default_rng([seed, 7])
    parts = parts_of_kind(kind, generator)
    order = generator.permutation(parts.dynamics.arms)
    network = random_network("levels" if kind == "interventions" else "pulls", seed)
    like = int(generator.integers(parts.dynamics.arms))
    # within the spread of the others, so that the unit stays
    rewards = parts.dynamics.reward[:1]
    others = {"order": (parts.in_order(order), order)}
    if kind not in ("exactly", "custom"):
        others["idle"] = (parts.with_idle_arm(like, rewards), np.arange(parts.dynamics.arms))
    first = SharedPlanner(parts.instance(), network, EXACT, features=[fixed_prices(parts)])
    observation = seen(parts.instance(), generator)
    decided = first.plan(observation).action
    for name, (other, place) in others.items():
        second = SharedPlanner(other.instance(), network, EXACT, features=[fixed_prices(other)])
        state = observation["state"][place]
        if name == "idle":
            state = np.append(state, 0)
        seen_there = {"state": state, "steps_left": observation["steps_left"]}
        check_same_up_to_prices(first, second, (observation, seen_there), place)
        action = second.plan(seen_there).action
        expected = decided if parts.dynamics.effect is not None else decided[place]
        assert action[: len(expected)].tolist() == expected.tolist(), name


@pytest.mark.parametrize("domain", ["capacity", "interventions"])
def test_units_change_nothing(domain: str) -> None:
    instance = generate(domain, 8, 3, seed=2, horizon=6)
    network = random_network(kind_of(instance), 1, "myopic").float()
    reward = 1e-7 * instance.dynamics.reward + 3e-4 * np.arange(8.0)[:, None]
    dynamics = dataclasses.replace(instance.dynamics, reward=reward)
    other = dataclasses.replace(instance, dynamics=dynamics)
    planners = [SharedPlanner(each, network, EXACT) for each in (instance, other)]
    for seed in range(5):
        observation = seen(instance, np.random.default_rng(seed))
        first, second = (planner.plan(observation) for planner in planners)
        assert first.action.tolist() == second.action.tolist()
        shift = observation["steps_left"] * 3e-4 * np.arange(8.0).sum()
        assert first.value is not None and second.value is not None
        assert second.value == pytest.approx(1e-7 * first.value + shift, rel=1e-6)


def test_a_belief_counts_by_its_mean() -> None:
    generator = np.random.default_rng(0)
    instance = generate("schedule", 7, 3, seed=1, horizon=5)
    planner = SharedPlanner(instance, random_network("pulls", 4, "whittle"), EXACT)
    state = generator.integers(0, 4, 7)
    certain = {"belief": np.eye(4)[state], "steps_left": 4}
    seen_state = {"state": state, "steps_left": 4}
    known = planner.action_values(seen_state)
    np.testing.assert_allclose(planner.action_values(certain), known, rtol=1e-12)
    belief = np.eye(4)[state]
    belief[2] = [0.25, 0.0, 0.75, 0.0]
    # without the context, which sees the belief too, the value is the mean over the states
    for network in planner.networks:
        torch.nn.init.zeros_(network.context.weight)
    expected = planner.action_values(seen_state)
    each = []
    for other in (0, 2):
        moved = state.copy()
        moved[2] = other
        each.append(planner.action_values({"state": moved, "steps_left": 4})[2])
    expected[2] = 0.25 * each[0] + 0.75 * each[1]
    found = planner.action_values({"belief": belief, "steps_left": 4})
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("domain", ["budget", "capacity", "schedule", "interventions"])
def test_before_training_the_value_is_that_of_the_relaxation(domain: str) -> None:
    """At the prices for the very state, it is below their bound by what whole actions lose."""
    instance = generate(domain, 10, 3, seed=3, horizon=8)
    state = np.random.default_rng(2).integers(0, 4, 10)
    instance = dataclasses.replace(instance, initial=np.eye(4)[state])
    network = SharedQNetwork(kind_of(instance), (4,))
    network.start = "prices"
    kind = "hull" if domain in ("capacity", "schedule") else "fluid"
    bound = make_bound(instance, EXACT, kind).from_state(state)
    decision = SharedPlanner(instance, network, EXACT).plan({"state": state, "steps_left": 8})
    assert decision.value is not None
    assert 0.97 * bound <= decision.value <= 1.01 * bound


def test_a_copy_shares_the_features_and_no_weight() -> None:
    instance = generate("budget", 5, 2, seed=3, horizon=3)
    network = random_network("pulls", 1)
    network.attach(features_of(instance))
    copied = copy.deepcopy(network)
    assert copied.features is network.features
    assert all(
        first.data_ptr() != second.data_ptr()
        for first, second in zip(network.parameters(), copied.parameters(), strict=True)
    )


def test_arms_out_of_reach_neither_gain_nor_count() -> None:
    instance = generate("budget", 6, 2, seed=5, horizon=4)
    network = random_network("pulls", 2, "myopic")
    members = features_of(instance)
    assert members.at(3).size.min() > 0
    members.tables.reached[4] = False
    fresh = ArmFeatures(members.tables)
    assert fresh.at(3).size[4] == 0 and fresh.at(3).size[3] > 0
    planner = SharedPlanner(instance, network, EXACT, features=[fresh])
    first = {"state": np.zeros(6, int), "steps_left": 3}
    second = {"state": np.array([0, 0, 0, 0, 3, 0]), "steps_left": 3}
    one, two = planner.action_values(first), planner.action_values(second)
    np.testing.assert_allclose(np.delete(one, 4, 0), np.delete(two, 4, 0), rtol=1e-12)
