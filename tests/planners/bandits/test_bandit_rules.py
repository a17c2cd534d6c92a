"""Reference policies: feasible, exact where they claim to be, and Whittle indices against
independent computations.
"""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, BanditVectorEnv
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import Budget
from worldplan.planners.bandits.baselines import (
    IterativeMyopicPolicy,
    IterativeQPolicy,
    MyopicPolicy,
    NullPolicy,
    RandomPolicy,
    SamplingPolicy,
    greedy_action,
)
from worldplan.planners.bandits.level_maximiser import LevelMaximiser
from worldplan.planners.bandits.whittle import WhittlePolicy, whittle_indices
from worldplan.planners.base import Planner, evaluate
from worldplan.world_models.arms.example_log import example_dynamics


class OwnBudget(Budget):
    """The same set, but not recognised as a plain Budget: takes the solver's path."""


def random_dynamics(
    generator: np.random.Generator, arms: int, states: int, effects: int = 0
) -> ArmDynamics:
    """Random arms; with `effects` interventions, each arm's strength is a small integer sum and the
    table is padded.
    """
    reward = generator.normal(size=(arms, states))
    if not effects:
        return ArmDynamics(generator.dirichlet(np.ones(states), size=(arms, 2, states)), reward)
    effect = generator.integers(0, 3, size=(arms, effects)).astype(float)
    everything = np.array(list(itertools.product((0, 1), repeat=effects)))
    reachable = [np.unique(row) for row in effect @ everything.T]
    levels = max(map(len, reachable))
    strengths = np.stack([np.pad(row, (0, levels - len(row)), mode="edge") for row in reachable])
    return ArmDynamics(
        generator.dirichlet(np.ones(states), size=(arms, levels, states)), reward, effect, strengths
    )


def instance_of(dynamics: ArmDynamics, budget: Budget, horizon: int = 20) -> BanditInstance:
    return BanditInstance(
        dynamics, budget, horizon, np.full((dynamics.arms, dynamics.states), 1 / dynamics.states)
    )


def feasible(instance: BanditInstance) -> np.ndarray:
    everything = np.array(
        list(itertools.product((0, 1), repeat=instance.actions.size)), dtype=np.int8
    )
    return everything[[instance.actions.contains(action) for action in everything]]


@given(
    st.integers(0, 10_000),
    st.integers(1, 6),
    st.integers(0, 5),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_level_maximiser_and_myopic_against_all_actions(
    seed: int, size: int, budget: int, exactly: bool, effects: bool, plain: bool
) -> None:
    generator = np.random.default_rng(seed)
    dynamics = random_dynamics(generator, 4 if effects else size, 3, size if effects else 0)
    actions = (Budget if plain else OwnBudget)(size, min(budget, size), exactly)
    instance = instance_of(dynamics, actions)
    candidates = feasible(instance)
    maximiser, myopic, greedy = (
        LevelMaximiser(instance),
        MyopicPolicy(instance),
        IterativeMyopicPolicy(instance),
    )
    for _ in range(3):
        values = generator.normal(size=(dynamics.arms, dynamics.levels)) * 10
        totals = values[np.arange(dynamics.arms), dynamics.level(candidates)].sum(-1)
        decision = maximiser.maximise(values)
        assert actions.contains(decision.action)
        assert decision.status == "optimal"
        assert decision.value == pytest.approx(totals.max(), abs=1e-6)
        assert decision.bound == pytest.approx(totals.max(), abs=1e-6)
        assert values[
            np.arange(dynamics.arms), dynamics.level(decision.action)
        ].sum() == pytest.approx(totals.max(), abs=1e-6)
        state = generator.integers(3, size=dynamics.arms)
        rewards = dynamics.expected_reward(state, candidates)
        decision = myopic.plan({"state": state, "steps_left": 3})
        assert decision.value == pytest.approx(rewards.max(), abs=1e-6)
        assert dynamics.expected_reward(state, decision.action) == pytest.approx(
            rewards.max(), abs=1e-6
        )
        decision = greedy.plan({"state": state, "steps_left": 3})
        assert actions.contains(decision.action)
        assert decision.value == pytest.approx(
            dynamics.expected_reward(state, decision.action), abs=1e-9
        )
        if not effects:  # a separable gain over a budget: greedy is exact
            assert decision.value == pytest.approx(rewards.max(), abs=1e-6)


def test_maximiser_without_strengths_is_refused() -> None:
    dynamics = random_dynamics(np.random.default_rng(0), 3, 2)
    broken = ArmDynamics(dynamics.transition, dynamics.reward, np.ones((3, 4)))
    with pytest.raises(ConfigError, match="strengths"):
        LevelMaximiser(instance_of(broken, Budget(4, 2)))


@pytest.mark.parametrize("effects", [0, 8])
@pytest.mark.parametrize("exactly", [False, True])
def test_every_policy_is_feasible_and_ordered(effects: int, exactly: bool) -> None:
    generator = np.random.default_rng(5)
    dynamics = random_dynamics(generator, 8, 3, effects)
    instance = instance_of(dynamics, Budget(8, 3, exactly))
    policies = {
        "null": NullPolicy(instance),
        "random": RandomPolicy(instance),
        "sampling": SamplingPolicy(instance),
        "greedy": IterativeMyopicPolicy(instance),
        "myopic": MyopicPolicy(instance),
        "q": IterativeQPolicy(
            instance,
            lambda observation, actions: dynamics.expected_reward(observation["state"], actions),
        ),
    }
    for _ in range(5):
        state = generator.integers(3, size=8)
        score = {}
        for name, policy in policies.items():
            assert isinstance(policy, Planner)
            decision = policy.plan({"state": state, "steps_left": 4})
            assert instance.actions.contains(decision.action), name
            score[name] = dynamics.expected_reward(state, decision.action)
            assert decision.value is None or decision.value == pytest.approx(score[name], abs=1e-6)
        assert score["myopic"] >= max(score.values()) - 1e-9
        assert score["q"] == pytest.approx(score["greedy"])
        assert score["sampling"] >= score["random"] - 1  # 100 draws against one of another stream


def test_reset_restarts_the_random_stream() -> None:
    instance = instance_of(random_dynamics(np.random.default_rng(0), 30, 2), Budget(30, 5))
    for policy in (RandomPolicy(instance), SamplingPolicy(instance, samples=3)):
        runs = []
        for seed in (1, 1, 2):
            policy.reset(seed=seed)
            runs.append(np.stack([policy.act({"state": np.zeros(30, int)}) for _ in range(4)]))
        assert (runs[0] == runs[1]).all()
        assert (runs[0] != runs[2]).any()


def test_policies_run_in_the_environment() -> None:
    instance = instance_of(example_dynamics(10, 3, np.random.default_rng(0)), Budget(10, 3))
    env = BanditVectorEnv(instance, 20)
    null, whittle = (
        evaluate(p, env, 20, 0).summary()["mean"]
        for p in (NullPolicy(instance), WhittlePolicy(instance))
    )
    assert whittle > 2 * null


def test_ensembles_average_expected_rewards() -> None:
    generator = np.random.default_rng(1)
    members = [random_dynamics(generator, 5, 3) for _ in range(4)]
    instance = instance_of(members[0], Budget(5, 2))
    state = generator.integers(3, size=5)
    candidates = feasible(instance)
    mean = np.mean([member.expected_reward(state, candidates) for member in members], axis=0)
    assert MyopicPolicy(instance, dynamics=members).plan({"state": state}).value == pytest.approx(
        mean.max()
    )
    index = WhittlePolicy(instance, dynamics=members, discount=0.6).indices.index
    np.testing.assert_allclose(
        index, np.mean([whittle_indices(member, 0.6).index for member in members], axis=0)
    )
    other = random_dynamics(generator, 5, 2)
    for bad in ([], [members[0], other]):
        with pytest.raises(ConfigError):
            MyopicPolicy(instance, dynamics=bad)


def test_greedy_stops_completes_and_sees_joint_effects() -> None:
    def score(
        actions: np.ndarray,
    ) -> np.ndarray:  # 0 is good, 1 and 2 help only together, the rest costs
        return actions @ np.array([2.0, 0.0, 0.0, -1.0]) + 5.0 * actions[:, 1] * actions[:, 2]

    action, value = greedy_action(score, Budget(4, 3))
    assert action.tolist() == [1, 0, 0, 0]
    assert value == 2
    action, value = greedy_action(score, Budget(4, 3, exactly=True))
    assert action.tolist() == [1, 1, 1, 0]
    assert value == 7
    assert greedy_action(score, Budget(4, 4, exactly=True))[1] == 6


# Whittle indices ----------------------------------------------------------------------------------


def advantage(
    dynamics: ArmDynamics, subsidy: np.ndarray, discount: float, sweeps: int
) -> np.ndarray:
    """Advantage of pulling, (subsidies, arms, states), by plain value iteration."""
    one_step = dynamics.one_step()
    bonus = np.zeros((len(subsidy), dynamics.arms, 2, dynamics.states))
    bonus[:, :, 0] = subsidy.reshape(len(subsidy), -1, 1)
    value = np.zeros((len(subsidy), dynamics.arms, dynamics.states))
    for _ in range(sweeps):
        q = one_step + bonus + discount * np.einsum("jkst,mjt->mjks", dynamics.transition, value)
        value = q.max(2)
    return q[:, :, 1] - q[:, :, 0]


def bisected(dynamics: ArmDynamics, discount: float, sweeps: int) -> np.ndarray:
    """Index by bisection on the subsidy, one problem per (arm, state)."""
    result = np.empty((dynamics.arms, dynamics.states))
    for state in range(dynamics.states):
        low, high = np.full(dynamics.arms, -60.0), np.full(dynamics.arms, 60.0)
        for _ in range(45):
            middle = (low + high) / 2
            pull = advantage(dynamics, middle[None], discount, sweeps)[0, :, state] > 0
            low, high = np.where(pull, middle, low), np.where(pull, high, middle)
        result[:, state] = low
    return result


@pytest.mark.parametrize("discount", [0.5, 0.9])
def test_whittle_against_bisection_with_value_iteration(discount: float) -> None:
    generator = np.random.default_rng(2)
    random = random_dynamics(generator, 30, 4)
    drawn = ArmDynamics(
        np.concatenate([random.transition, example_dynamics(10, 5, generator).transition]),
        np.concatenate([random.reward, example_dynamics(10, 5, generator).reward]),
    )
    found = whittle_indices(drawn, discount)
    assert found.indexable.mean() > 0.9
    expected = bisected(drawn, discount, 300 if discount > 0.8 else 60)
    np.testing.assert_allclose(found.index[found.indexable], expected[found.indexable], atol=1e-6)


def test_whittle_closed_forms() -> None:
    up, down, pay = np.array([0.9, 0.6, 0.3]), np.array([0.2, 0.5, 0.4]), np.array([1.0, 2.0, 5.0])
    law = np.stack([np.stack([1 - down, down], -1), np.stack([1 - up, up], -1)], axis=1)
    memoryless = ArmDynamics(
        np.repeat(law[:, :, None], 2, axis=2), np.stack([np.zeros(3), pay], -1)
    )
    np.testing.assert_allclose(
        whittle_indices(memoryless, 0.95).index,
        np.repeat((pay * (up - down))[:, None], 2, axis=1),
        atol=1e-9,
    )
    # no effect of pulling, no reward, equal rewards: every state is worth nothing, and all ties are
    # indexable
    generator = np.random.default_rng(0)
    chains, two = (
        generator.dirichlet(np.ones(4), size=(50, 1, 4)),
        generator.dirichlet(np.ones(4), size=(50, 2, 4)),
    )
    for transition, reward in (
        (chains.repeat(2, axis=1), generator.normal(size=(50, 4))),
        (two, np.zeros((50, 4))),
        (two, np.full((50, 4), 1e4 / 3)),
    ):
        found = whittle_indices(ArmDynamics(transition, reward))
        assert found.indexable.all()
        np.testing.assert_allclose(found.index, 0, atol=1e-8)


def test_whittle_of_a_resting_arm_is_its_gittins_index() -> None:
    """A pull earns by the next state, an arm left alone stays where it is and earns nothing: states
    0 and 1 only lead to paid copies.
    """
    generator = np.random.default_rng(4)
    law, pay, discount = generator.dirichlet(np.ones(3), size=3), generator.uniform(0, 1, 3), 0.9
    # state 2 * s + flag: flag 1 means "just pulled into s", which pays
    transition = np.zeros((1, 2, 6, 6))
    for s, flag in itertools.product(range(3), (0, 1)):
        transition[0, 0, 2 * s + flag, 2 * s] = 1
        transition[0, 1, 2 * s + flag, 1::2] = law[s]
    found = whittle_indices(
        ArmDynamics(transition, np.repeat(pay, 2)[None] * np.tile([0, 1], 3)), discount
    )
    gittins = np.full(
        3, -np.inf
    )  # largest ratio of discounted reward to discounted time over continuation sets
    for keep in itertools.product((0, 1), repeat=3):
        kept = law * np.array(keep)[None]
        reward, duration = np.linalg.solve(
            np.eye(3) - discount * kept, np.stack([law @ pay, np.ones(3)], -1)
        ).T
        gittins = np.maximum(gittins, reward / duration)
    assert found.indexable.all()
    np.testing.assert_allclose(found.index[0], np.repeat(gittins, 2), atol=1e-9)


def test_indexability_flag_against_value_iteration() -> None:
    """Among sharp random 3-state arms some are not indexable; the flag agrees with a fine sweep of
    the subsidy.
    """
    generator = np.random.default_rng(0)
    dynamics = ArmDynamics(
        generator.dirichlet(np.full(3, 0.2), size=(1500, 2, 3)), generator.normal(size=(1500, 3))
    )
    found = whittle_indices(dynamics, 0.9)
    odd = np.flatnonzero(np.logical_not(found.indexable))
    assert 5 <= len(odd) < 150
    chosen = np.concatenate([odd, np.flatnonzero(found.indexable)[:40]])
    some = ArmDynamics(dynamics.transition[chosen], dynamics.reward[chosen])
    subsidy = np.linspace(found.index[chosen].min(1) - 4, found.index[chosen].max(1) + 1, 1000)
    gain = advantage(some, subsidy, 0.9, 250)
    left = np.maximum.accumulate(gain < -1e-6, axis=0)
    returns = np.asarray(
        (left & (gain > 1e-6)).any(axis=(0, 2))
    )  # pulled again at a larger subsidy
    assert not returns[len(odd) :].any()
    assert returns[: len(odd)].mean() > 0.7  # the rest turn back between two points of the sweep


def test_whittle_policy_reports_arms_that_are_not_indexable() -> None:
    generator = np.random.default_rng(0)
    dynamics = ArmDynamics(
        generator.dirichlet(np.full(3, 0.2), size=(1500, 2, 3)), generator.normal(size=(1500, 3))
    )
    with pytest.warns(UserWarning, match="not indexable") as caught:
        policy = WhittlePolicy(instance_of(dynamics, Budget(1500, 100)), discount=0.9)
    assert len(caught) == 1
    assert policy.notes[0].startswith(f"{(~policy.indices.indexable).sum()} of 1500 arms")
    assert policy.plan({"state": generator.integers(3, size=1500)}).action.sum() <= 100


def test_whittle_refuses_several_interventions_and_odd_discounts() -> None:
    dynamics = random_dynamics(np.random.default_rng(0), 3, 2, effects=4)
    with pytest.raises(ConfigError, match="several interventions"):
        WhittlePolicy(instance_of(dynamics, Budget(4, 2)))
    with pytest.raises(ConfigError, match="several interventions"):
        whittle_indices(dynamics)
    with pytest.raises(ConfigError, match="discount"):
        whittle_indices(random_dynamics(np.random.default_rng(0), 3, 2), 1.0)


def joint_values(
    instance: BanditInstance, discount: float
) -> tuple[np.ndarray, np.ndarray, dict[tuple[int, ...], int]]:
    """Rewards (joint states, actions), laws (joint states, actions, joint states) and numbering of
    the product chain.
    """
    dynamics, candidates = instance.dynamics, feasible(instance)
    states = list(itertools.product(range(dynamics.states), repeat=dynamics.arms))
    rewards = np.array([dynamics.expected_reward(np.array(s), candidates) for s in states])
    laws = np.ones((len(states), len(candidates), len(states)))
    for j in range(dynamics.arms):
        here = np.array([s[j] for s in states])
        laws *= dynamics.transition[
            j, candidates[:, j][None, :, None], here[:, None, None], here[None, None, :]
        ]
    return rewards, laws, {s: i for i, s in enumerate(states)}


def test_whittle_is_close_to_dynamic_programming() -> None:
    discount = 0.9
    for seed in range(4):
        generator = np.random.default_rng(seed)
        up = np.stack(
            [generator.uniform(0.05, 0.3, (5, 2)), generator.uniform(0.5, 0.95, (5, 2))], axis=1
        )
        dynamics = ArmDynamics(
            np.stack([1 - up, up], -1), np.stack([np.zeros(5), generator.uniform(0.5, 2, 5)], -1)
        )
        for actions in (Budget(5, 2), OwnBudget(5, 2)):
            instance = instance_of(dynamics, actions)
            rewards, laws, number = joint_values(instance, discount)
            best = np.zeros(len(number))
            for _ in range(200):
                best = (rewards + discount * laws @ best).max(1)
            policy, candidates = WhittlePolicy(instance, discount=discount), feasible(instance)
            plans = np.stack([policy.act({"state": np.array(state)}) for state in number])
            place = (plans[:, None] == candidates).all(-1).argmax(1)
            row = np.arange(len(number))
            reached = np.linalg.solve(
                np.eye(len(number)) - discount * laws[row, place], rewards[row, place]
            )
            assert (reached <= best + 1e-6).all()
            assert (reached / best).min() > 0.98


def test_ten_thousand_arms() -> None:
    generator = np.random.default_rng(0)
    dynamics = example_dynamics(10_000, 2_500, generator)
    instance = instance_of(dynamics, Budget(10_000, 1_000))
    observation = {"state": generator.integers(4, size=10_000), "steps_left": 20}
    began = time.process_time()
    policy = WhittlePolicy(instance)
    assert time.process_time() - began < 10
    began = time.process_time()
    for planner in (policy, MyopicPolicy(instance), IterativeMyopicPolicy(instance)):
        assert planner.plan(observation).action.sum() <= 1_000
    assert time.process_time() - began < 2


def test_null_says_where_nothing_is_not_allowed() -> None:
    must = generate("interventions", 6, 2, seed=0)
    assert "not allowed" in NullPolicy(must).notes[0]
    assert NullPolicy(must).plan({"state": np.zeros(6, int), "steps_left": 1}).action.sum() == 2
    assert NullPolicy(generate("budget", 6, 2, seed=0)).notes == []
