"""Reference policies: feasible, and exact where they claim to be."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planners.bandits.builders import OwnBudget, feasible, instance_of, random_dynamics
from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import ArmDynamics, BanditVectorEnv
from worldplan.milp.errors import ConfigError, DatasetError
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


def test_effects_without_strengths_is_refused() -> None:
    dynamics = random_dynamics(np.random.default_rng(0), 3, 2)
    with pytest.raises(DatasetError, match="strengths"):
        ArmDynamics(dynamics.transition, dynamics.reward, np.ones((3, 4)))


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
