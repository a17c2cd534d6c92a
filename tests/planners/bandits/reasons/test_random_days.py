"""Random days, sets and questions: each answer is that of all actions, or a named conflict."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planners.bandits.builders import random_dynamics
from worldplan.envs.bandits import BanditInstance
from worldplan.milp.errors import InfeasibleActionSet
from worldplan.milp.sets import ActionSet, Budget, Capacity, PyomoSet, Schedule, WithRules
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits import MyopicPolicy
from worldplan.planners.bandits.reasons import Explainer

ARMS = 5
NAMES = ("ana", "bela", "chen", "dora", "emil")
EVERY = [np.array(row, np.int8) for row in itertools.product((0, 1), repeat=ARMS)]


def rules(generator: np.random.Generator) -> PyomoSet:
    """Up to three random sums of arms with an upper or a lower side; sometimes infeasible."""

    def build(block: Any) -> None:
        for number in range(int(generator.integers(1, 4))):
            arms = np.flatnonzero(generator.random(ARMS) < 0.5).tolist() or [0]
            total = sum(block.a[arm] for arm in arms)
            side = int(generator.integers(0, len(arms) + 1))
            way = total <= side if generator.random() < 0.6 else total >= side
            block.add_component(f"rule{number}", pyo.Constraint(expr=way))

    return PyomoSet(build, ARMS, NAMES)


def random_set(kind: str, generator: np.random.Generator) -> ActionSet:
    budget = int(generator.integers(1, ARMS + 1))
    if kind == "budget":
        return Budget(ARMS, budget, exactly=bool(generator.random() < 0.3))
    if kind == "capacity":
        hours = generator.integers(2, 6, size=2)
        return Capacity(generator.integers(1, 4, size=ARMS), hours, budget, NAMES)
    if kind == "schedule":
        free = generator.random((ARMS, 3)) < 0.7
        return Schedule(free, generator.random((2, 3)) < 0.8, 1, budget, NAMES)
    if kind == "rules":
        return rules(generator)
    return WithRules(Budget(ARMS, budget), rules(generator))


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["budget", "capacity", "schedule", "rules", "both"]),
    asked=st.lists(st.sampled_from(["", "", "", "in", "out"]), min_size=ARMS, max_size=ARMS),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_an_answer_is_the_best_list_or_a_conflict(
    solver: str, seed: int, kind: str, asked: list[str]
) -> None:
    generator = np.random.default_rng(seed)
    try:
        actions = random_set(kind, generator)
    except InfeasibleActionSet:  # the rules themselves conflict: see tests/milp/sets
        return
    dynamics = random_dynamics(generator, ARMS, 3)
    instance = BanditInstance(dynamics, actions, 3, np.full((ARMS, 3), 1 / 3), NAMES)
    state = generator.integers(0, 3, size=ARMS)
    observation = {"state": state, "steps_left": 2}
    explainer = Explainer(
        MyopicPolicy(instance), instance, observation, settings=SolverSettings(solver)
    )
    force, forbid = (
        [name for name, word in zip(NAMES, asked, strict=True) if word == way]
        for way in ("in", "out")
    )
    lower = np.isin(NAMES, force).astype(np.int8)
    upper = 1 - np.isin(NAMES, forbid).astype(np.int8)
    feasible = [action for action in EVERY if actions.contains(action)]
    values = [
        float(dynamics.expected_reward(state, action))
        for action in feasible
        if (action >= lower).all() and (action <= upper).all()
    ]
    if values:
        assert explainer.decide(force, forbid).value == pytest.approx(max(values))
        return
    with pytest.raises(InfeasibleActionSet) as caught:
        explainer.decide(force, forbid)
    named = {name for name in NAMES if f"'{name}'" in str(caught.value)}
    assert named and named <= {*force, *forbid}
    fewer_low = lower * np.isin(NAMES, list(named))
    fewer_high = np.maximum(upper, ~np.isin(NAMES, list(named)))
    assert not any(((a >= fewer_low) & (a <= fewer_high)).all() for a in feasible)


def test_a_limit_that_cannot_be_raised_has_no_price_and_stops_no_decision() -> None:
    """Exactly so many visits: one more is impossible where rules or questions allow no more."""
    impossible = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        exactly = int(generator.integers(1, ARMS))
        most = int(generator.integers(exactly, ARMS + 1))
        plain = Budget(ARMS, exactly, exactly=True)
        few = PyomoSet(partial(at_most, most), ARMS, NAMES)
        actions = WithRules(plain, few) if seed % 2 else plain
        dynamics = random_dynamics(generator, ARMS, 3)
        instance = BanditInstance(dynamics, actions, 3, np.full((ARMS, 3), 1 / 3), NAMES)
        state = generator.integers(0, 3, size=ARMS)
        observation = {"state": state, "steps_left": 2}
        explainer = Explainer(MyopicPolicy(instance), instance, observation)
        out = generator.permutation(ARMS)[: int(generator.integers(0, ARMS - exactly + 1))]
        reasons = explainer.reasons(forbid=[NAMES[arm] for arm in out])
        price = next(limit for limit in reasons.limits if limit.name == "visits a day")
        allowed = [a for a in EVERY if a.sum() <= (most if seed % 2 else ARMS) and not a[out].any()]
        first, second = (
            [float(dynamics.expected_reward(state, a)) for a in allowed if a.sum() == count]
            for count in (exactly, exactly + 1)
        )
        assert price.possible == bool(second)
        if not second:
            impossible += 1
            assert price.price is None and "no list is feasible" in " ".join(reasons.left_out)
        else:
            assert price.price == pytest.approx(max(second) - max(first), abs=1e-6)
    assert 10 < impossible < 50


def at_most(most: int, block: Any) -> None:
    block.day = pyo.Constraint(expr=sum(block.a.values()) <= most)
