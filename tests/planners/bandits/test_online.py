"""Policies that learn the dynamics: counts, posterior, confidence sets, and falling regret."""

from __future__ import annotations

import contextlib
import dataclasses
import tracemalloc

import numpy as np
import pytest
from scipy.optimize import linprog

from tests.planners.bandits.builders import instance_of, random_dynamics
from tests.planners.bandits.test_used_equals_fresh import instance_of_kind
from worldplan.envs.bandits.domains import DOMAINS, generate
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, BanditVectorEnv
from worldplan.envs.episodes import EpisodeBatch
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import Budget
from worldplan.planners.bandits.baselines import NullPolicy
from worldplan.planners.bandits.online import ThompsonSampling, UCWhittle, play_online, regret
from worldplan.planners.bandits.online.ucwhittle import confidence, most_valuable, optimistic
from worldplan.planners.bandits.played import play_policy
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.planners.bandits.whittle import WhittlePolicy
from worldplan.planners.base import Decider, Planner, bootstrap, evaluate

LEARNERS = (ThompsonSampling, UCWhittle)


def small(seed: int, arms: int = 5, states: int = 3) -> BanditInstance:
    dynamics = random_dynamics(np.random.default_rng(seed), arms, states)
    return instance_of(dynamics, Budget(arms, 2), 6)


def counted_by_hand(planner: Planner, instance: BanditInstance, envs: int, seed: int) -> np.ndarray:
    """Play one round, and count every move one by one."""
    counts = np.zeros(instance.dynamics.transition.shape)
    planner.reset(seed=seed)
    batch = EpisodeBatch(BanditVectorEnv(instance, envs), seed=seed)
    decide, before = Decider(planner, batch), batch.observation["state"]
    for step in batch.play(decide):
        after = step.next_observation["state"]
        for episode in range(envs):
            for arm in range(instance.dynamics.arms):
                action = int(step.action[episode, arm])
                counts[arm, action, before[episode, arm], after[episode, arm]] += 1
        planner.learn(decide.observations, step)
        before = after
    return counts


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("seed", range(5))
def test_counts_are_the_moves(learner: type[ThompsonSampling], seed: int) -> None:
    instance = small(seed)
    planner = learner(instance)
    counts = counted_by_hand(planner, instance, 1 + seed % 3, seed)
    np.testing.assert_array_equal(planner.counts, counts)
    assert counts.sum() == (1 + seed % 3) * instance.horizon * instance.dynamics.arms


@pytest.mark.parametrize("learner", LEARNERS)
def test_evaluate_and_play_online_teach_every_move(learner: type[ThompsonSampling]) -> None:
    instance = small(3)
    moves = 4 * instance.horizon * instance.dynamics.arms
    for play in (
        lambda planner: evaluate(planner, BanditVectorEnv(instance, 1), 4, 0),
        lambda planner: evaluate(planner, BanditVectorEnv(instance, 2), 4, 0),
        lambda planner: play_online(planner, instance, 4, 0),
    ):
        planner = learner(instance)
        play(planner)
        assert planner.counts.sum() == moves


def test_draws_are_of_the_posterior() -> None:
    instance = small(1, arms=2)
    prior = np.random.default_rng(0).uniform(0.2, 3.0, instance.dynamics.transition.shape)
    planner = ThompsonSampling(instance, prior=prior, seed=4)
    counts = counted_by_hand(planner, instance, 3, 7)
    draws = np.stack([planner.choose_model() for _ in range(4000)])
    total = prior + counts
    mean = total / total.sum(-1, keepdims=True)
    variance = mean * (1 - mean) / (1 + total.sum(-1, keepdims=True))
    np.testing.assert_array_less(np.abs(draws.mean(0) - mean), 5 * np.sqrt(variance / 4000))
    np.testing.assert_allclose(draws.var(0), variance, rtol=0.25)


def test_a_model_is_kept_for_an_episode() -> None:
    instance = small(2)
    planner = ThompsonSampling(instance)
    models = []
    for _ in range(2):
        planner.restart(np.ones(1, bool))
        for left in (6, 5):
            planner.plan({"state": np.zeros(5, int), "steps_left": left})
            models.append(planner.model)
    assert models[0] is models[1] and models[2] is models[3]
    assert models[0] is not models[2]


def test_thompson_from_a_sharp_prior_is_the_whittle_policy() -> None:
    instance = small(5)
    planner = ThompsonSampling(instance, prior=1e9 * instance.dynamics.transition + 1e-9)
    known, learned = (play_online(p, instance, 5, 0) for p in (WhittlePolicy(instance), planner))
    np.testing.assert_allclose(known.step_reward, learned.step_reward)


@pytest.mark.parametrize("seed", range(20))
def test_most_valuable_distribution_is_that_of_a_linear_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    states = int(rng.integers(2, 6))
    estimate, worth = rng.dirichlet(np.ones(states)), rng.normal(size=states)
    radius = float(rng.choice([0.0, 0.1, 0.7, 1.5, 3.0]))
    row = most_valuable(estimate[None], np.array([radius]), worth[None])[0]
    # maximise p w over p = estimate + u - v, sum of u + v at most the radius
    eye = np.eye(states)
    solved = linprog(
        np.concatenate([-worth, np.zeros(2 * states)]),
        A_ub=[np.r_[np.zeros(states), np.ones(2 * states)]],
        b_ub=[radius],
        A_eq=np.vstack([np.r_[np.ones(states), np.zeros(2 * states)], np.c_[eye, -eye, eye]]),
        b_eq=np.r_[1.0, estimate],
    )
    assert row @ worth == pytest.approx(-solved.fun, abs=1e-7)
    assert row.sum() == pytest.approx(1) and (row >= 0).all()
    assert np.abs(row - estimate).sum() <= radius + 1e-9


def test_confidence_radius() -> None:
    counts = np.zeros((3, 2, 2, 2))
    counts[1, 1, 0] = [3, 1]
    estimate, radius = confidence(counts, 2, 0.05, np.full((3, 2), 0.5))
    log = np.log(2 * 2 * 2 * 3 * 2**4 / 0.05)
    assert radius[1, 1, 0] == pytest.approx(np.sqrt(2 * 2 * log / 4))
    assert radius[0, 0, 0] == pytest.approx(np.sqrt(2 * 2 * log))
    np.testing.assert_allclose(estimate[1, 1, 0], [0.75, 0.25])
    np.testing.assert_allclose(estimate[0, 0, 0], [0.5, 0.5])


def values_of(dynamics: ArmDynamics, transition: np.ndarray, price: float, gamma: float) -> float:
    """Value iteration of each arm, plainly, (arms, states)."""
    reward = np.broadcast_to(dynamics.reward[:, None, None, :], transition.shape)
    if dynamics.action_reward is not None:
        reward = reward + dynamics.action_reward
    value = np.zeros(dynamics.reward.shape)
    for _ in range(400):
        q = (transition * (reward + gamma * value[:, None, None, :])).sum(-1)
        q[:, 1] -= price
        value = q.max(1)
    return value


@pytest.mark.parametrize("seed", range(6))
def test_no_dynamics_of_the_set_are_worth_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dynamics = random_dynamics(rng, 3, 3)
    if seed % 2:
        extra = rng.normal(size=(3, 2, 3, 1))
        dynamics = dataclasses.replace(dynamics, action_reward=extra)
    estimate = rng.dirichlet(np.ones(3), size=(3, 2, 3))
    radius, price, gamma = rng.uniform(0.05, 0.8, (3, 2, 3)), rng.uniform(0, 0.5), 0.9
    best = optimistic(dynamics, estimate, radius, price, gamma)
    assert (np.abs(best - estimate).sum(-1) <= radius + 1e-9).all()
    value = values_of(dynamics, best, price, gamma)
    for _ in range(60):
        other = rng.dirichlet(np.ones(3), size=(3, 2, 3))
        way = other - estimate
        step = np.minimum(1.0, radius / np.abs(way).sum(-1))[..., None]
        inside = estimate + step * way
        assert (values_of(dynamics, inside, price, gamma) <= value + 1e-4).all()


def test_price_is_the_smallest_index_visited_first() -> None:
    instance = generate("budget", 8, 3, seed=2, horizon=6)
    planner = UCWhittle(instance)
    observation = {"state": np.zeros(8, int), "steps_left": 6}
    decision = planner.plan(observation)
    index = planner.action_values(observation)[:, 1]
    chosen = index[decision.action == 1]
    assert planner.price == pytest.approx(max(chosen.min(), 0.0))
    price = planner.price
    planner.plan({"state": np.ones(8, int), "steps_left": 5})
    assert planner.price == price


def test_ucwhittle_visits_as_many_as_the_set_allows() -> None:
    """The published method takes the largest indices, also where none is positive."""
    instance = generate("budget", 8, 3, seed=2, horizon=6)
    dear = np.zeros(instance.dynamics.transition.shape)
    dear[:, 1] = -50.0
    dynamics = dataclasses.replace(instance.dynamics, action_reward=dear)
    planner = UCWhittle(dataclasses.replace(instance, dynamics=dynamics))
    observation = {"state": np.arange(8) % instance.dynamics.states, "steps_left": 6}
    action = np.asarray(planner.plan(observation).action)
    index = planner.action_values(observation)[:, 1]
    assert (index < 0).all() and planner.price == 0.0
    assert action.sum() == 3
    assert index[action == 1].min() >= index[action == 0].max()


@pytest.mark.parametrize("learner", LEARNERS)
def test_regret_falls_and_ends_below_that_of_the_prior_mean(
    learner: type[ThompsonSampling],
) -> None:
    first, last, gained = [], [], []
    for seed in range(4):
        instance = generate("budget", 10, 2, seed=seed, horizon=8, states=3)
        flat = np.full(instance.dynamics.transition.shape, 1 / 3)
        blind = dataclasses.replace(instance.dynamics, transition=flat)
        known, unlearned, learned = (
            play_online(planner, instance, 45, seed)
            for planner in (
                WhittlePolicy(instance),
                WhittlePolicy(instance, dynamics=blind),
                learner(instance),
            )
        )
        lost = regret(learned, known)["regret"].to_numpy()
        first.append(lost[:15])
        last.append(lost[-15:])
        gained.append(regret(unlearned, known)["regret"].to_numpy()[-15:] - lost[-15:])
    assert bootstrap(np.concatenate(gained))["low"] > 0
    assert bootstrap(np.concatenate(first) - np.concatenate(last))["low"] > 0


@pytest.mark.parametrize("name", ["thompson", "ucwhittle"])
@pytest.mark.parametrize("kind", [*DOMAINS, "exactly", "custom"])
def test_every_set_is_respected_and_seeds_repeat(name: str, kind: str) -> None:
    instance = instance_of_kind(kind)
    refused = kind == "interventions"
    with pytest.raises(ConfigError, match="choose myopic") if refused else contextlib.nullcontext():
        planner = make_policy(name, PolicyContext(instance))
        played = play_online(planner, instance, 2, 1)  # the environment refuses what is infeasible
        again = play_online(make_policy(name, PolicyContext(instance)), instance, 2, 1)
        np.testing.assert_array_equal(played.step_reward, again.step_reward)
        np.testing.assert_array_equal(
            play_online(planner, instance, 2, 1).step_reward, played.step_reward
        )


@pytest.mark.parametrize("learner", LEARNERS)
def test_arms_with_fewer_states(learner: type[ThompsonSampling]) -> None:
    """An arm with two states among arms with three: no model moves it to the third."""
    instance = small(1)
    transition = instance.dynamics.transition.copy()
    transition[0, :, :, 2] = 0.0
    transition[0] /= transition[0].sum(-1, keepdims=True)
    own = np.array([2, 3, 3, 3, 3])
    reward = instance.dynamics.reward + np.array([0.0, 0.0, 50.0])  # the third would be the best
    dynamics = ArmDynamics(transition, reward, own_states=own)
    initial = np.tile([0.5, 0.5, 0.0], (5, 1))
    planner = learner(dataclasses.replace(instance, dynamics=dynamics, initial=initial))
    for episodes in (1, 4):
        play_online(planner, planner.instance, episodes, 0)
        assert planner.model is not None
        assert (planner.model.transition[0, :, :, 2] == 0).all()


def test_other_seeds_draw_other_models() -> None:
    instance = small(0)
    planner = ThompsonSampling(instance, seed=1)
    first = planner.choose_model()
    planner.reset(seed=2)
    assert not np.allclose(first, planner.choose_model())
    planner.reset()
    np.testing.assert_array_equal(first, planner.choose_model())


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda i: ThompsonSampling(i, prior=0.0), "prior is 0.0"),
        (lambda i: ThompsonSampling(i, prior=np.ones(7)), "prior has shape"),
        (lambda i: ThompsonSampling(i, prior="flat"), "positive numbers"),
        (lambda i: UCWhittle(i, counts=np.ones((5, 2, 3))), "counts"),
        (lambda i: UCWhittle(i, counts=-np.ones((5, 2, 3, 3))), "none negative"),
        (lambda i: UCWhittle(i, delta=1.0), "delta"),
        (lambda i: ThompsonSampling(i, seed=-1), "seed"),
        (lambda i: play_online(ThompsonSampling(i), i, 0, 0), "episodes"),
    ],
)
def test_wrong_arguments_are_refused(make: object, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        make(small(0))  # type: ignore[operator]


# ---- own ends, and programmes without an end


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("seed", range(4))
def test_moves_after_an_arm_s_end_are_not_seen(learner: type[ThompsonSampling], seed: int) -> None:
    instance = small(seed)
    ends = np.random.default_rng(seed).integers(0, 7, 5)
    planner = learner(dataclasses.replace(instance, ends=ends))
    episodes = 1 + seed
    play_online(planner, planner.instance, episodes, seed)
    np.testing.assert_array_equal(planner.counts.sum((1, 2, 3)), episodes * ends)
    decision = planner.plan({"state": np.zeros(5, int), "steps_left": 1})
    assert not decision.action[ends < 6].any() or ends.max() < 6  # they are of no worth


@pytest.mark.parametrize("learner", LEARNERS)
def test_regret_with_own_ends_falls(learner: type[ThompsonSampling]) -> None:
    gained = []
    for seed in range(3):
        instance = generate("budget", 10, 2, seed=seed, horizon=8, states=3)
        ends = np.array([1, 2, 3, 4, 5, 6, 7, 8, 8, 8])
        instance = dataclasses.replace(instance, ends=ends)
        known = play_online(WhittlePolicy(instance), instance, 45, seed)
        learned = play_online(learner(instance), instance, 45, seed)
        lost = regret(learned, known)["regret"].to_numpy()
        gained.append(lost[:10] - lost[-10:])
    assert bootstrap(np.concatenate(gained))["low"] > 0


@pytest.mark.parametrize("discount", [0.9, 1.0])
@pytest.mark.parametrize("learner", LEARNERS)
def test_learning_periods_without_an_end(learner: type[ThompsonSampling], discount: float) -> None:
    """Against the rule of the paper, followed by hand."""
    instance = dataclasses.replace(small(3), horizon=60, endless=True, discount=discount)
    planner = learner(instance)
    planner.reset(seed=0)
    batch = EpisodeBatch(BanditVectorEnv(instance, 1), seed=0)
    decide = Decider(planner, batch)
    chosen, expected = [], [0]
    moves = np.zeros((5, 2, 3))
    begun, length, before = moves.copy(), 0, batch.observation["state"][0]
    for number, step in enumerate(batch.play(decide)):
        chosen.append(planner.model)
        planner.learn(decide.observations, step)
        moves[np.arange(5), step.action[0].astype(int), before] += 1
        before = step.next_observation["state"][0]
        now = number + 1 - expected[-1]
        if now > length or (moves > 2 * begun).any():
            expected.append(number + 1)
            begun, length = moves.copy(), now
    found = [0] + [i for i in range(1, 60) if chosen[i] is not chosen[i - 1]]
    assert found == [start for start in expected if start < 60]
    assert 10 < len(found) < 50


@pytest.mark.parametrize("endless", [False, True])
def test_episodes_in_sequence_hold_no_table_of_every_step(endless: bool) -> None:
    """Each episode had (horizon + 1, arms, states) numbers of its own: gigabytes in long runs."""
    instance = generate("budget", 200, 5, seed=0, horizon=60)
    instance = dataclasses.replace(instance, endless=endless)
    tracemalloc.start()
    play_policy(NullPolicy(instance), instance, 60, 0, None, learns=True)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    tables = 60 * 61 * 200 * instance.dynamics.states * 8  # bytes
    assert most < tables / 3


@pytest.mark.slow
@pytest.mark.parametrize("discount", [0.95, 1.0])
def test_a_learner_without_an_end_comes_near_the_known_policy(discount: float) -> None:
    late, blind = [], []
    for seed in range(4):
        instance = generate("budget", 10, 2, seed=seed, horizon=400, states=3)
        instance = dataclasses.replace(instance, endless=True, discount=discount)
        flat = np.full(instance.dynamics.transition.shape, 1 / 3)
        unlearned = WhittlePolicy(
            instance, dynamics=dataclasses.replace(instance.dynamics, transition=flat)
        )
        known, learned, without = (
            play_online(planner, instance, 1, seed).step_reward[0, -200:].mean()
            for planner in (WhittlePolicy(instance), ThompsonSampling(instance), unlearned)
        )
        late.append(learned / known)
        blind.append(without / known)
    assert np.mean(late) > 0.97 and np.mean(late) > np.mean(blind) + 0.02
