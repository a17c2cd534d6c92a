"""Programmes without an end, against exact dynamic programming and independent computations."""

from __future__ import annotations

import dataclasses
import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.planners.bandits.builders import examples, random_dynamics
from tests.planners.bandits.endless.endless_joint import EndlessJoint, endless
from tests.planners.bandits.transformed import EXTRAS, KINDS
from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.endless import EndlessVectorEnv
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bounds import make_bound
from worldplan.planners.bandits.control_values import control_values
from worldplan.planners.bandits.endless.bound import EndlessBound
from worldplan.planners.bandits.fluid import FluidBound, FluidPlanner
from worldplan.planners.bandits.hull import HullBound
from worldplan.planners.bandits.joint import JointBound
from worldplan.planners.bandits.lagrangian import LagrangianBound
from worldplan.planners.bandits.played import play_policy
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.planners.bandits.units import default_returns
from worldplan.planners.bandits.whittle import WhittlePolicy, whittle_indices
from worldplan.planners.base import Planner

EXACT = SolverSettings(gap=0.0)
quick = examples(6)


def made(name: str, instance: BanditInstance) -> Planner | None:
    """The policy; None where it says that it is not defined."""
    context = PolicyContext(instance, solver=EXACT, fluid_window=2, samples=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random arms need not be indexable
        try:
            return make_policy(name, context)
        except ConfigError as error:
            if "discount" in str(error) or "several interventions" in str(error):
                return None
            raise


@pytest.mark.parametrize("discount", [0.6, 0.9, 1.0])
@pytest.mark.parametrize("kind", KINDS)
@quick
@given(
    st.integers(0, 10**6),
    st.sampled_from([1e-8, 1.0, 1e9]),
    st.sampled_from([0.0, -100.0]),
    st.sampled_from(EXTRAS),
    st.sampled_from(["alike", "own"]),
    st.sampled_from(["one", "several"]),
)
def test_no_policy_exceeds_the_bound(
    kind: str,
    discount: float,
    seed: int,
    unit: float,
    shift: float,
    extra: str,
    states: str,
    classes: str,
) -> None:
    instance, generator = endless(seed, kind, discount, unit, shift, extra, states, classes)
    joint = EndlessJoint(instance)
    best, number = joint.best(), int(generator.integers(len(joint.states)))
    length = 1.0 if discount == 1 else 1 / (1 - discount)
    slack = unit * (2e-6 + 1e-10 * abs(shift)) * length
    if discount == 1:  # what the exact values leave, of a discount near 1
        slack += unit * (2e-5 + 1e-8 * abs(shift))
    state = joint.states[number]
    assert EndlessBound(instance).from_state(state) >= best[number] - slack
    null = made("null", instance)
    assert null is not None
    np.testing.assert_allclose(
        default_returns(instance, joint.states), joint.of(null), rtol=1e-7, atol=slack
    )
    for name in ("myopic", "iterative_myopic", "sampling", "whittle", "fluid"):
        planner = made(name, instance)
        if planner is None:
            continue
        planner.reset(seed=0)
        decision = planner.plan({"state": state})
        assert (joint.actions == decision.action).all(1).any()  # feasible
        if name == "fluid":
            assert decision.bound is not None and decision.value is not None
            assert decision.bound >= best[number] - slack
            assert decision.value <= decision.bound + slack


@pytest.mark.slow
@pytest.mark.parametrize("discount", [0.8, 1.0])
@pytest.mark.parametrize("kind", ["budget", "capacity", "own", "custom"])
def test_policies_are_near_the_optimum(kind: str, discount: float) -> None:
    shares: dict[str, list[float]] = {"fluid": []}
    if kind != "custom":  # rules by which arms are visited in pairs mislead indices of single arms
        shares["whittle"] = []
    for seed in range(3):
        instance, _ = endless(seed, kind, discount, shift=-3.0, extra=EXTRAS[seed])
        joint = EndlessJoint(instance)
        best, null = joint.best(), default_returns(instance, joint.states)
        for name, found in shares.items():
            planner = made(name, instance)
            assert planner is not None
            reached = joint.of(planner)
            assert (reached <= best + 1e-6).all()
            found.append(float((reached - null).sum() / (best - null).sum()))
    assert all(np.mean(found) > 0.97 for found in shares.values()), shares


# ---- Whittle indices of the average


def average_advantage(dynamics: ArmDynamics, arm: int, subsidy: float) -> np.ndarray:
    """(states,) advantage of a pull under the policy with the largest gain, of all policies."""
    reward, move = dynamics.one_step()[arm], dynamics.transition[arm]
    count, best = dynamics.states, (-np.inf, np.zeros(dynamics.states))
    for policy in itertools.product((0, 1), repeat=count):
        levels = np.array(policy)
        chain, row = move[levels, np.arange(count)], np.arange(count)
        earned = reward[levels, row] + subsidy * (levels == 0)
        system = np.vstack([np.eye(count) - chain.T, np.ones(count)])
        share = np.linalg.lstsq(system, np.append(np.zeros(count), 1.0), rcond=None)[0]
        gain = float(share @ earned)
        if gain > best[0]:
            relative = np.linalg.lstsq(np.eye(count) - chain, earned - gain, rcond=None)[0]
            worth = reward + move @ relative
            best = gain, worth[1] - worth[0] - subsidy
    return best[1]


@pytest.mark.parametrize("states", [2, 3, 4])
def test_average_indices_against_all_policies(states: int) -> None:
    generator = np.random.default_rng(states)
    dynamics = random_dynamics(generator, 12, states)
    extra = generator.normal(size=(12, 2, states, 1))
    dynamics = dataclasses.replace(dynamics, action_reward=extra)
    found = whittle_indices(dynamics, 1.0)
    assert found.indexable.mean() > 0.8
    for arm, state in itertools.product(np.flatnonzero(found.indexable).tolist(), range(states)):
        index, step = found.index[arm, state], 1e-6
        assert average_advantage(dynamics, arm, index - step)[state] > 0
        assert average_advantage(dynamics, arm, index + step)[state] < 0


def test_average_indices_are_the_limit_of_discounted_ones() -> None:
    dynamics = random_dynamics(np.random.default_rng(1), 200, 4)
    average = whittle_indices(dynamics, 1.0)
    near = whittle_indices(dynamics, 0.99999)
    both = average.indexable & near.indexable
    assert both.sum() > 180
    np.testing.assert_allclose(average.index[both], near.index[both], atol=1e-3)


def test_an_arm_with_several_classes_is_named() -> None:
    instance, _ = endless(0, "budget", 1.0)
    move = instance.dynamics.transition.copy()
    move[2] = np.eye(move.shape[-1])
    dynamics = dataclasses.replace(instance.dynamics, transition=move)
    names = ("ana", "bela", "cora", "dina")
    odd = dataclasses.replace(instance, dynamics=dynamics, arm_names=names)
    for name in ("whittle", "fluid"):
        with pytest.raises(ConfigError, match=r"arm 'cora'.*programme\.discount 0\.99"):
            make_policy(name, PolicyContext(odd))
        planner = made(name, dataclasses.replace(odd, discount=0.99))
        assert planner is not None
        planner.plan({"state": np.zeros(4, int)})
    assert np.isnan(whittle_indices(dynamics, 1.0).index[2]).all()


# ---- played steps


@pytest.mark.parametrize("discount", [0.8, 1.0])
@pytest.mark.parametrize("name", ["random", "whittle"])
def test_played_returns_have_the_policy_s_value_as_their_mean(name: str, discount: float) -> None:
    """With few steps, too: what the others count for is exact, or has a known expectation."""
    instance, _ = endless(4, "budget", discount)
    steps = 12
    instance = dataclasses.replace(instance, horizon=steps)
    planner = made(name, instance)
    assert planner is not None
    played = play_policy(planner, instance, 400, 0, control_values(instance))
    assert played.steady.std() <= played.returns.std()
    error = 4 * played.steady.std() / 20
    start = np.full((4, instance.dynamics.states), 1 / instance.dynamics.states)
    if discount == 1:
        assert played.steady.mean() <= EndlessBound(instance).from_distribution(start) + error
    if name == "random":
        return
    joint = EndlessJoint(instance)
    chosen = joint.chosen(planner)
    tail = control_values(instance)[0] if discount == 1 else None
    value = default_returns(instance, joint.states)
    if tail is not None:
        value = tail[np.arange(4), joint.states].sum(1)
    first, row = value, np.arange(len(joint.states))
    kernels, rewards = np.stack(joint.kernels), np.stack(joint.rewards[1])
    for _ in range(steps):
        value = rewards[chosen, row] + instance.discount * kernels[chosen, row] @ value
    expected = value.mean() if tail is None else (value - first).mean() / steps
    assert played.steady.mean() == pytest.approx(expected, abs=error)
    assert played.returns.mean() == pytest.approx(expected, abs=8 * played.returns.std() / 20)


# ---- what needs an end says so


def test_what_needs_an_end_says_so() -> None:
    instance, _ = endless(0, "budget", 0.9)
    reached, _ = endless(0, "interventions", 0.9)
    for make in (FluidBound, FluidPlanner, HullBound, LagrangianBound):
        with pytest.raises(ConfigError, match=r"programme\.endless"):
            make(instance)
    with pytest.raises(ConfigError, match=r"programme\.endless"):
        JointBound(reached)
    for kind in ("hull", "joint"):
        with pytest.raises(ConfigError, match=r"programme\.endless.*choose auto or fluid"):
            make_bound(instance, EXACT, kind)
    for kind in ("auto", "fluid"):
        assert isinstance(make_bound(instance, EXACT, kind), EndlessBound)
    for name in ("sequoia", "sequoia_paper", "iterative_dqn", "repaired_dqn"):
        with pytest.raises(ConfigError, match=r"programme\.endless.*fluid and whittle"):
            make_policy(name, PolicyContext(instance))
    with pytest.raises(DatasetError, match="leave ends or endless out"):
        dataclasses.replace(instance, ends=np.array([1, 2, 3, 3]))
    ended = generate("budget", 4, 1, seed=0, horizon=3)
    nothing = np.zeros((4, 4))
    with pytest.raises(ConfigError, match="without an end"):
        EndlessVectorEnv(ended, nothing, nothing)
    with pytest.raises(ConfigError, match="without an end"):
        EndlessBound(ended)
    assert isinstance(make_policy("whittle", PolicyContext(instance)), WhittlePolicy)
