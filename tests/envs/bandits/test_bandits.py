"""Bandit environments: distributions, random numbers, interface, errors; graphs from CSV.

The constants of the domains are those of the paper.
"""

from __future__ import annotations

from pathlib import Path as File

import gymnasium as gym
import networkx as nx
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tests.places import SHARED_DATA
from worldplan.envs.bandits.domains import DOMAINS, generate
from worldplan.envs.bandits.environment import (
    ArmDynamics,
    BanditEnv,
    BanditInstance,
    BanditVectorEnv,
)
from worldplan.envs.bandits.graphs import connected_piece
from worldplan.milp.errors import ConfigError, DatasetError, InfeasibleAction, InfeasibleActionSet
from worldplan.milp.sets.base import MEMORY, ActionSet, Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.routes.graph import read_graph
from worldplan.milp.sets.schedule import Schedule
from worldplan.planners.bandits.baselines import NullPolicy, RandomPolicy
from worldplan.planners.base import evaluate

TUBE = SHARED_DATA / "tube"


def small(arms: int = 3, states: int = 3) -> BanditInstance:
    generator = np.random.default_rng(1)
    dynamics = ArmDynamics(
        generator.dirichlet(np.ones(states), (arms, 2, states)), generator.random((arms, states))
    )
    return BanditInstance(
        dynamics, Budget(arms, arms), 5, generator.dirichlet(np.ones(states), arms)
    )


def test_transition_frequencies_follow_the_tables() -> None:
    instance = small()
    env = BanditVectorEnv(instance, 4000)
    observation, _ = env.reset(seed=0)
    starts = np.stack([(observation["state"] == state).mean(0) for state in range(3)], axis=1)
    np.testing.assert_allclose(starts, instance.initial, atol=0.04)
    counts = np.zeros_like(instance.dynamics.transition)
    generator, arms = np.random.default_rng(1), np.arange(3)
    for _ in range(instance.horizon):
        before = observation["state"]
        actions = generator.integers(0, 2, (4000, 3))
        observation, reward, _, _, info = env.step(actions)
        np.add.at(counts, (arms, actions, before, observation["state"]), 1)
        expected = [
            instance.dynamics.expected_reward(s, a)
            for s, a in zip(before[:5], actions[:5], strict=True)
        ]
        np.testing.assert_allclose(reward[:5], expected)
        assert reward.mean() == pytest.approx(info["sampled_reward"].mean(), abs=0.05)
    seen = counts.sum(-1, keepdims=True)
    deviation = np.abs(counts / seen - instance.dynamics.transition)
    assert (deviation < 4.5 * np.sqrt(0.25 / seen)).all()


def test_interventions_act_by_their_strength() -> None:
    instance = generate("interventions", 12, 3, seed=0)
    action = np.zeros((1, instance.actions.size), np.int8)
    action[0, :3] = 1
    level = instance.dynamics.level(action)[0]
    assert level[:3].tolist() == [3, 3, 3] and not level[3:].any()


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_same_seed_gives_the_same_random_numbers_for_any_batch_and_policy(domain: str) -> None:
    instance = generate(domain, 10, 3, seed=2, horizon=4)
    whole = evaluate(NullPolicy(instance), BanditVectorEnv(instance, 4), 4, seed=7).step_reward
    for episode in range(4):
        env = BanditVectorEnv(instance, 1, first_episode=episode)
        np.testing.assert_array_equal(
            evaluate(NullPolicy(instance), env, 1, seed=7).step_reward[0], whole[episode]
        )
    # the uniform draws do not depend on the actions of this or another policy
    env = BanditVectorEnv(instance, 4)
    evaluate(RandomPolicy(instance), env, 4, seed=7)
    np.testing.assert_array_equal(evaluate(NullPolicy(instance), env, 4, seed=7).step_reward, whole)
    first, _ = env.reset(seed=7)
    again, _ = env.reset(seed=7)
    np.testing.assert_array_equal(first["state"], again["state"])


@pytest.mark.parametrize("reward", ["expected", "sampled"])
def test_gymnasium_interface(reward: str) -> None:
    check_env(BanditEnv(small(), reward=reward), skip_render_check=True)


@pytest.mark.parametrize("domain", DOMAINS)
def test_observations_lie_in_their_space_and_episodes_are_truncated(domain: str) -> None:
    instance = generate(domain, 10, 3, seed=1, horizon=3)
    env, policy = BanditVectorEnv(instance, 2), RandomPolicy(instance)
    observation, _ = env.reset(seed=0)
    for step in range(3):
        assert env.observation_space.contains(observation)
        actions = np.stack([d.action for d in policy.plan_batch(observation)])
        assert env.action_space.contains(actions)
        observation, reward, terminated, truncated, _ = env.step(actions)
        assert reward.shape == (2,) and not terminated.any()
        assert truncated.all() == (step == 2)
    assert env.observation_space.contains(observation) and not observation["steps_left"].any()


def test_an_infeasible_action_is_refused() -> None:
    env = BanditVectorEnv(generate("budget", 10, 3, seed=1), 2)
    env.reset(seed=0)
    actions = np.zeros((2, 10), np.int8)
    actions[1, :4] = 1
    with pytest.raises(InfeasibleAction, match=r"episode 1: the action selects \[0, 1, 2, 3\]"):
        env.step(actions)
    with pytest.raises(InfeasibleAction):
        env.step(np.full((2, 10), 2))


def test_checks_of_many_actions_agree_with_one_by_one_and_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(0)
    rows = generator.integers(0, 2, (200, 8))
    for actions in (Budget(8, 3), Budget(8, 3, exactly=True), Capacity(np.arange(2, 10), [6, 5])):
        assert actions.contains_batch(rows).tolist() == [actions.contains(row) for row in rows]
        assert actions.contains_batch(rows).any()
    assert not Budget(8, 3).contains_batch(np.full((2, 8), 0.5)).any()
    assert MEMORY <= 2**26
    monkeypatch.setattr("worldplan.milp.sets.base.MEMORY", 4 * 208)
    actions = Capacity(np.arange(2, 10), [6, 5])
    for row in rows:
        actions.contains(row)
        assert len(actions.__dict__["_memory"]) <= 4


def test_the_papers_constants() -> None:
    kinds: dict[str, type[ActionSet]] = {
        "capacity": Capacity,
        "schedule": Schedule,
        "path": Path,
        "interventions": Budget,
        "budget": Budget,
    }
    for domain, kind in kinds.items():
        instance = generate(domain, 20, 5, seed=0)
        model = instance.dynamics
        assert (
            isinstance(instance.actions, kind)
            and instance.horizon == 20
            and (model.arms, model.states) == (20, 4)
        )
        assert (instance.initial[:, 1] == 0.2).all() and (instance.initial[:, 0] == 0.8).all()
        good, bad = model.reward[:5], model.reward[5:]
        assert (good[:, :3] == (0.2, 0.15, 0.1)).all() and set(good[:, 3]) <= {4, 5, 6}
        assert (bad[:, :3] == (0.1, 0.15, 0.2)).all() and set(bad[:, 3]) <= {1, 2, 3}
        up = model.transition[:, :, 1, 2]
        np.testing.assert_allclose(model.transition[:, :, 1, 0], 1 - up)
        np.testing.assert_allclose(model.transition[:, :, 3, 3], up)
        np.testing.assert_allclose(model.transition[:, :, 0, 0], 1 - up)
        if domain == "interventions":
            assert (
                instance.actions.size == 10 and instance.actions.least == instance.actions.most == 5
            )
            assert set(np.unique(model.effect)) == {0.0, 3.0}
            np.testing.assert_allclose(up[:, 0], 0.01)
            assert (np.diff(up, axis=1) >= 0).all() and up[0, 3] > 0.15 > 0.1 > up[0, 1]
        else:
            assert (
                (up[:, 0] >= 0).all()
                and (up[:, 0] <= 0.2).all()
                and (up[:, 1] >= 0.7).all()
                and (up[:, 1] <= 0.9).all()
            )
    capacity, schedule, path = (
        generate(domain, 20, 5, seed=0).actions for domain in ("capacity", "schedule", "path")
    )
    assert (
        isinstance(capacity, Capacity)
        and set(np.asarray(capacity.costs)) <= set(range(2, 7))
        and set(np.asarray(capacity.capacities)) <= set(range(2, 8))
    )
    assert isinstance(schedule, Schedule) and isinstance(path, Path)
    assert path.moves == 10 and path.budget == 5
    assert generate("budget", 6, 2, states=7).dynamics.states == 7


@pytest.mark.parametrize(
    ("domain", "arms", "budget"),
    [("knapsack", 5, 2), ("budget", 5, 6), ("budget", 0, 1), ("budget", 5, 0)],
)
def test_bad_domain_or_size(domain: str, arms: int, budget: int) -> None:
    with pytest.raises(ConfigError):
        generate(domain, arms, budget)


@pytest.mark.parametrize(
    ("distribution", "message"),
    [([0.5, 0.6], "sum to 1"), ([1.5, -0.5], ">= 0"), ([np.nan, 1.0], "NaN")],
)
def test_bad_distributions_are_refused(distribution: list[float], message: str) -> None:
    transition = np.full((2, 2, 2, 2), 0.5)
    transition[1, 0, 1] = distribution
    with pytest.raises(DatasetError, match=message):
        ArmDynamics(transition, np.zeros((2, 2)))


@pytest.mark.skipif(not TUBE.is_dir(), reason="the London Underground data are not here")
@pytest.mark.parametrize("nodes", [20, 100])
def test_the_real_network(nodes: int) -> None:
    instance = generate(
        "path",
        nodes,
        5,
        connections=str(TUBE / "london_connections.csv"),
        stations=str(TUBE / "london_stations.csv"),
        horizon=2,
    )
    assert (
        isinstance(instance.actions, Path)
        and nx.is_connected(instance.actions.graph)
        and len(instance.arm_names) == nodes
    )
    action = RandomPolicy(instance).act({})
    assert instance.actions.contains(action) and action.any()


def test_graphs_from_csv_and_what_is_wrong_with_them(tmp_path: File) -> None:
    links = tmp_path / "links.csv"
    links.write_text("a,b,line\n1,2,x\n2,3,x\n2,3,y\n4,5,x\n")
    graph = read_graph(links)
    assert len(graph) == 5 and graph.number_of_edges() == 3
    assert set(connected_piece(graph, 3)) == {"1", "2", "3"}
    with pytest.raises(DatasetError, match="only 3 nodes can be reached"):
        connected_piece(graph, 4)
    with pytest.raises(DatasetError, match="'9' is not in the graph"):
        connected_piece(graph, 2, "9")
    with pytest.raises(InfeasibleActionSet, match="cannot be reached"):
        Path(graph, "2", 4, 2)
    with pytest.raises(DatasetError, match="no such file"):
        read_graph(tmp_path / "none.csv")
    for content, message in (
        ("", "the file is empty"),
        ("a\n1\n", "two columns"),
        ("a,b\n1,2\n3,\n", "line 3"),
    ):
        links.write_text(content)
        with pytest.raises(DatasetError, match=message):
            read_graph(links)
    links.write_text("a,b\n1,2\n")
    stations = tmp_path / "stations.csv"
    stations.write_text("id,name,latitude\n1,One,51\n")
    with pytest.raises(DatasetError, match="longitude"):
        read_graph(links, stations)
    stations.write_text("id,name,latitude,longitude\n1,One,51,0\n")
    with pytest.raises(DatasetError, match="station '2'"):
        read_graph(links, stations)


def test_spaces_are_gymnasium_spaces() -> None:
    env = BanditEnv(small())
    assert isinstance(env.observation_space, gym.spaces.Dict) and isinstance(
        env.action_space, gym.spaces.MultiBinary
    )
