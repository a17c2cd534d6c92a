"""Decisions and bounds where today's states are not known, against exact dynamic programming: every
set, rewards of actions, own states, own ends, discounts, and programmes without an end.

A policy that does not see today's states before it decides, and sees all later ones, is worth
max_a sum_s b(s) Q(s, a) with the exact action values Q of the joint chain.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.planners.bandits.builders import examples
from tests.planners.bandits.endless.endless_joint import EndlessJoint, endless
from tests.planners.bandits.endless.test_endless import made
from tests.planners.bandits.test_exact_optimum import SHIFTS, STATES, UNITS, Joint, case, planners
from tests.planners.bandits.transformed import EXTRAS, KINDS
from worldplan.envs.bandits.environment import BanditInstance
from worldplan.envs.bandits.seen import SEEN, of_belief_states, seen_on_visits
from worldplan.milp.sets.base import Budget
from worldplan.planners.bandits.endless.bound import EndlessBound

drawn = examples(5)


def belief_of_some(
    instance: BanditInstance, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A belief (arms, states), some rows certain, and the probability of each joint state."""
    model = instance.dynamics
    belief = np.zeros((model.arms, model.states))
    for arm, count in enumerate(model.state_counts):
        row = generator.dirichlet(np.ones(count))
        belief[arm, :count] = row if generator.random() < 0.7 else np.eye(count)[row.argmax()]
    joint = np.ones(1)
    for arm, count in enumerate(model.state_counts):
        joint = np.kron(joint, belief[arm, :count])
    return belief, joint


@pytest.mark.parametrize("discount", [1.0, 0.6])
@pytest.mark.parametrize("kind", KINDS)
@drawn
@given(st.integers(0, 10**6), UNITS, SHIFTS, st.sampled_from(EXTRAS), STATES, STATES)
def test_with_an_end(
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
    belief, weight = belief_of_some(instance, generator)
    worth = joint.optimum(left)[1] @ weight  # (actions,)
    slack = unit * (1e-6 + 1e-10 * abs(shift)) * left
    for planner in planners(instance):
        decision = planner.plan({"belief": belief, "steps_left": left})
        place = (joint.actions == decision.action).all(1)
        assert place.any()
        if type(planner).__name__ == "FluidPlanner":
            assert decision.bound is not None and decision.bound >= worth.max() - slack
        if left == 1:  # nothing follows: every planner that optimises is optimal
            assert worth[place.argmax()] == pytest.approx(worth.max(), abs=slack)


@pytest.mark.parametrize("discount", [0.6, 0.9])
@pytest.mark.parametrize("kind", KINDS)
@drawn
@given(st.integers(0, 10**6), UNITS, SHIFTS, st.sampled_from(EXTRAS), STATES)
def test_without_an_end(
    kind: str, discount: float, seed: int, unit: float, shift: float, extra: str, states: str
) -> None:
    instance, generator = endless(seed, kind, discount, unit, shift, extra, states)
    joint = EndlessJoint(instance)
    belief, weight = belief_of_some(instance, generator)
    best = joint.best()
    rewards, kernels = np.stack(joint.rewards[1]), np.stack(joint.kernels)
    worth = (rewards + discount * kernels @ best) @ weight
    slack = unit * (2e-6 + 1e-10 * abs(shift)) / (1 - discount)
    assert EndlessBound(instance).from_distribution(belief) >= worth.max() - slack
    for name in ("myopic", "iterative_myopic", "whittle", "fluid"):
        planner = made(name, instance)
        if planner is None:
            continue
        decision = planner.plan({"belief": belief})
        place = (joint.actions == decision.action).all(1)
        assert place.any()
        if name == "myopic":
            now = rewards @ weight
            assert now[place.argmax()] == pytest.approx(now.max(), abs=slack)
        if name == "fluid":
            assert decision.bound is not None and decision.bound >= worth.max() - slack
            assert decision.value is not None and decision.value <= decision.bound + slack


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", SEEN[1:])
def test_states_seen_on_visits_without_an_end(kind: str, seed: int) -> None:
    """Belief states of two arms, by dynamic programming over their joint chain."""
    instance, generator = endless(seed, "budget", 0.7, extra=EXTRAS[1 + seed])
    dynamics = instance.dynamics.select(np.array([0, 1]))
    pair = BanditInstance(dynamics, Budget(2, 1), 3, dynamics.uniform, discount=0.7, endless=True)
    seen = seen_on_visits(
        dynamics, dynamics.uniform, 67, kind, tolerance=0.02, discount=pair.discount
    )
    hidden = of_belief_states(pair, seen)
    assert hidden.endless and hidden.discount == 0.7
    joint = EndlessJoint(dataclasses.replace(hidden, horizon=1))
    best = joint.best()
    bound = EndlessBound(hidden)
    for number in generator.integers(len(joint.states), size=4).tolist():
        assert bound.from_state(joint.states[number]) >= best[number] - 1e-5
    today = (joint.states == seen.today).all(1).argmax()
    # what is known less is worth less, but for the belief states that count as equal
    whole = EndlessJoint(pair).best().mean()
    assert best[today] <= whole + seen.error + 1e-9
