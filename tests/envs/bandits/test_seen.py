"""Arms seen on visits only: belief states against exact dynamic programming over distributions, the
hidden environment against its belief states, the error of cut chains, refusals.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, BanditVectorEnv
from worldplan.envs.bandits.seen import (
    SEEN,
    SeenArms,
    SeenOnVisitsEnv,
    of_belief_states,
    seen_on_visits,
)
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import Budget
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.baselines import NullPolicy
from worldplan.planners.bandits.bounds import make_bound
from worldplan.planners.bandits.whittle import WhittlePolicy
from worldplan.planners.base import Planner

KINDS = SEEN[1:]
Row = tuple[float, ...]


def arms(rng: np.random.Generator, count: int, states: int) -> tuple[ArmDynamics, np.ndarray]:
    transition = rng.dirichlet(np.full(states, 0.5), size=(count, 2, states))
    belief = rng.dirichlet(np.ones(states), size=count)
    shapes = [(count, 2, states, states), (count, 2, states, 1), (count, 2, 1, 1), None]
    shape = shapes[rng.integers(4)]
    extra = None if shape is None else rng.normal(size=shape)
    return ArmDynamics(transition, rng.normal(size=(count, states)), action_reward=extra), belief


def exact(dynamics: ArmDynamics, belief: np.ndarray, steps: int, budget: int, kind: str) -> float:
    """The optimal value by recursion over the arms' distributions, as in a textbook on POMDPs."""
    p, (count, states) = dynamics.transition, dynamics.reward.shape
    extra = np.zeros(p.shape) if dynamics.action_reward is None else dynamics.action_reward
    move = dynamics.reward[:, None, None, :] + np.broadcast_to(extra, p.shape)
    r = (p * move).sum(-1)
    actions = [a for a in np.ndindex(*(2,) * count) if sum(a) <= budget]

    def after(arm: int, row: Row, action: int) -> list[tuple[float, Row]]:
        now = np.array(row)
        if not action:
            return [(1.0, tuple(now @ p[arm, 0]))]
        if kind == "visits":
            return [(now[s], tuple(p[arm, 1, s])) for s in range(states)]
        return [(q, tuple(np.eye(states)[t])) for t, q in enumerate(now @ p[arm, 1])]

    @cache
    def value(rows: tuple[Row, ...], left: int) -> float:
        if not left:
            return 0.0
        best = -np.inf
        for action in actions:
            earned = sum(np.array(rows[j]) @ r[j, action[j]] for j in range(count))
            cases = [(1.0, ())]
            for arm in range(count):
                cases = [
                    (q * each, (*done, row))
                    for q, done in cases
                    for each, row in after(arm, rows[arm], action[arm])
                ]
            best = max(best, earned + sum(q * value(done, left - 1) for q, done in cases if q))
        return float(best)

    return value(tuple(map(tuple, belief)), steps)


def optimum(dynamics: ArmDynamics, state: tuple[int, ...], steps: int, budget: int) -> float:
    """The optimal value where the states are known, by recursion."""
    p, expected = dynamics.transition, dynamics.one_step()
    actions = [a for a in np.ndindex(*(2,) * dynamics.arms) if sum(a) <= budget]

    @cache
    def value(now: tuple[int, ...], left: int) -> float:
        if not left:
            return 0.0
        best = -np.inf
        for action in actions:
            total = sum(expected[j, k, s] for j, (k, s) in enumerate(zip(action, now, strict=True)))
            cases = [(1.0, ())]
            for j, (k, s) in enumerate(zip(action, now, strict=True)):
                targets = np.flatnonzero(p[j, k, s])
                cases = [(q * p[j, k, s, t], (*d, int(t))) for q, d in cases for t in targets]
            best = max(best, total + sum(q * value(done, left - 1) for q, done in cases))
        return float(best)

    return value(state, steps)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", KINDS)
def test_belief_states_lose_nothing(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, states, steps = [(1, 3, 6), (2, 2, 4), (3, 2, 3), (2, 3, 3)][seed % 4]
    dynamics, belief = arms(rng, count, states)
    seen = seen_on_visits(dynamics, belief, steps, kind, tolerance=0.0)
    assert seen.error == 0
    best = exact(dynamics, belief, steps, 1, kind)
    start = (seen.today,) * count
    assert optimum(seen.dynamics, start, steps, 1) == pytest.approx(best, abs=1e-9)
    instance = BanditInstance(dynamics, Budget(count, 1), steps, belief)
    bound = make_bound(of_belief_states(instance, seen), SolverSettings())
    assert bound.from_state(np.array(start), steps) >= best - 1e-7


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", KINDS)
def test_the_error_of_cut_chains_holds(kind: str, seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    count, states, steps = [(1, 3, 7), (2, 2, 4)][seed % 2]
    dynamics, belief = arms(rng, count, states)
    tolerance = float(rng.choice([0.3, 0.1, 0.01]))
    seen = seen_on_visits(dynamics, belief, steps, kind, tolerance=tolerance)
    best = exact(dynamics, belief, steps, 1, kind)
    cut = optimum(seen.dynamics, (seen.today,) * count, steps, 1)
    assert abs(cut - best) <= seen.error + 1e-9
    assert seen.ages <= steps + 1
    extra = dynamics.one_step() - np.einsum("jkst,jt->jks", dynamics.transition, dynamics.reward)
    ranges = np.ptp(dynamics.reward, axis=1).sum() + np.ptp(extra, axis=(1, 2)).sum()
    assert seen.error <= tolerance * ranges * steps * (steps + 1) / 2 + 1e-9


def test_an_old_belief_is_within_the_tolerance_however_long_the_horizon() -> None:
    rng = np.random.default_rng(5)
    dynamics, belief = arms(rng, 4, 3)
    seen = seen_on_visits(dynamics, belief, 5000, tolerance=1e-4)
    assert seen.ages < 200
    row = np.broadcast_to(belief, (4, 3))
    for _ in range(400):
        row = np.einsum("js,jst->jt", row, dynamics.transition[:, 0])
    last = seen.belief[:, seen.today + seen.ages - 1]
    assert 0.5 * np.abs(row - last).sum(-1).max() <= 1e-4
    turning = np.zeros((1, 2, 2, 2))
    turning[:, :, [0, 1], [1, 0]] = 1.0  # never forgets
    periodic = seen_on_visits(ArmDynamics(turning, np.eye(2)[:1]), [[0.9, 0.1]], 30)
    assert periodic.ages == 31 and periodic.error == 0


def play(env: BanditVectorEnv, policy: WhittlePolicy) -> np.ndarray:
    """Returns (episodes,) of the budget's largest indices."""
    observation, _ = env.reset(seed=3)
    total = np.zeros(env.num_envs)
    for _ in range(env.instance.horizon):
        action = np.stack(
            [
                policy.act({"state": state, "steps_left": int(left)})
                for state, left in zip(observation["state"], observation["steps_left"], strict=True)
            ]
        )
        observation, reward, *_ = env.step(action)
        total += reward
    return total


@pytest.mark.parametrize("kind", KINDS)
def test_the_hidden_environment_earns_what_its_belief_states_earn(kind: str) -> None:
    rng = np.random.default_rng(1)
    dynamics, belief = arms(rng, 4, 2)
    instance = BanditInstance(dynamics, Budget(4, 1), 5, belief)
    seen = seen_on_visits(dynamics, belief, 5, kind)
    known = of_belief_states(instance, seen)
    policy = WhittlePolicy(known)
    hidden = play(SeenOnVisitsEnv(instance, seen, 600), policy)
    chains = play(BanditVectorEnv(known, 600), policy)
    error = np.hypot(hidden.std(), chains.std()) / np.sqrt(600)
    assert abs(hidden.mean() - chains.mean()) < 4 * error


def test_what_a_visit_shows() -> None:
    rng = np.random.default_rng(2)
    dynamics, belief = arms(rng, 3, 3)
    instance = BanditInstance(dynamics, Budget(3, 2), 6, belief)
    for kind in KINDS:
        seen = seen_on_visits(dynamics, belief, 6, kind, tolerance=0.0)
        env = SeenOnVisitsEnv(instance, seen, 2)
        observation, _ = env.reset(seed=0)
        assert (observation["state"] == seen.today).all()
        known, visits = observation["state"], rng.integers(0, 2, (6, 2, 3)).astype(np.int8)
        visits[visits.sum(-1) > 2] = 0
        for action in visits:
            before = env._state.copy()
            observation, *_ = env.step(action)
            shown = before if kind == "visits" else env._state
            expected = np.where(action > 0, shown * seen.ages, known + 1)
            np.testing.assert_array_equal(observation["state"], expected)
            known = observation["state"]
    assert seen.words(seen.ages + 2) == "state 1, 2 steps ago"
    assert seen.words(seen.today) == "today's belief, 0 steps ago"


def of_policy(planner: Planner, seen: SeenArms, steps: int, mean: bool, count: int) -> float:
    """The exact return of a policy on belief states, or on the means over their distributions."""
    p, expected = seen.dynamics.transition, seen.dynamics.one_step()

    @cache
    def value(now: tuple[int, ...], left: int) -> float:
        if not left:
            return 0.0
        state = np.array(now)
        known = {"belief": seen.belief[np.arange(count), state]} if mean else {"state": state}
        action = planner.act(known | {"steps_left": left})
        total = sum(expected[j, k, s] for j, (k, s) in enumerate(zip(action, now, strict=True)))
        cases: list[tuple[float, tuple[int, ...]]] = [(1.0, ())]
        for j, (k, s) in enumerate(zip(action, now, strict=True)):
            targets = np.flatnonzero(p[j, k, s])
            cases = [(q * p[j, k, s, t], (*d, int(t))) for q, d in cases for t in targets]
        return float(total + sum(q * value(done, left - 1) for q, done in cases))

    return value((seen.today,) * count, steps)


def test_planning_for_belief_states_is_nearer_to_the_optimum_than_means_over_beliefs() -> None:
    """Exact returns of 12 programmes: a visit is also worth what it shows."""
    shares = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        dynamics, belief = sticky_arms(rng, 3)
        steps = 6
        instance = BanditInstance(dynamics, Budget(3, 1), steps, belief)
        seen = seen_on_visits(dynamics, belief, steps, tolerance=0.0)
        known = of_belief_states(instance, seen)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an arm that is not indexable
            aware, mean = WhittlePolicy(known), WhittlePolicy(instance)
        best = optimum(seen.dynamics, (seen.today,) * 3, steps, 1)
        nothing = of_policy(NullPolicy(known), seen, steps, False, 3)
        each = [of_policy(aware, seen, steps, False, 3), of_policy(mean, seen, steps, True, 3)]
        assert max(each) <= best + 1e-9
        shares.append([(value - nothing) / (best - nothing) for value in each])
    aware_share, mean_share = np.mean(shares, axis=0)
    assert aware_share > 0.98
    assert aware_share > mean_share


def sticky_arms(rng: np.random.Generator, count: int) -> tuple[ArmDynamics, np.ndarray]:
    """Clients who stay as they are, and become well by visits."""
    stay = rng.uniform(0.75, 0.98, (count, 2))
    up = rng.uniform(0.4, 0.95, count)
    transition = np.zeros((count, 2, 2, 2))
    transition[:, 0, 0] = np.stack([stay[:, 0], 1 - stay[:, 0]], 1)
    transition[:, :, 1] = np.stack([1 - stay[:, 1], stay[:, 1]], 1)[:, None]
    transition[:, 1, 0] = np.stack([1 - up, up], 1)
    reward = rng.uniform(0.5, 2, (count, 1)) * [0.0, 1.0]
    return ArmDynamics(transition, reward), rng.dirichlet(np.ones(2), size=count)


def test_refusals() -> None:
    rng = np.random.default_rng(0)
    dynamics, belief = arms(rng, 3, 3)
    instance = BanditInstance(dynamics, Budget(3, 1), 4, belief)
    with pytest.raises(ConfigError, match="seen"):
        seen_on_visits(dynamics, belief, 4, "never")
    with pytest.raises(ConfigError, match="seen_tolerance"):
        seen_on_visits(dynamics, belief, 4, tolerance=-1.0)
    effect = ArmDynamics(dynamics.transition, dynamics.reward, np.eye(3), [[0.0, 1.0]] * 3)
    with pytest.raises(ConfigError, match="interventions"):
        seen_on_visits(effect, belief, 4)
    with pytest.raises(ConfigError, match="belief of today"):
        SeenOnVisitsEnv(instance, seen_on_visits(dynamics, np.eye(3), 4))
    turning = np.tile(np.eye(4)[[1, 2, 3, 0]], (300, 2, 1, 1))
    with pytest.raises(ConfigError, match="seen_tolerance"):
        seen_on_visits(ArmDynamics(turning, np.zeros((300, 4))), np.full((300, 4), 0.25), 400)
