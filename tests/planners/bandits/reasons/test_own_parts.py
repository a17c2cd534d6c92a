"""Reasons for a policy and a feasible set of one's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.planners.bandits.builders import OwnBudget, random_dynamics
from worldplan.envs.bandits import BanditInstance
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets import Budget, Limit
from worldplan.planners import Decision, Planner
from worldplan.planners.bandits import NullPolicy, RandomPolicy, SamplingPolicy
from worldplan.planners.bandits.reasons import Explainer

VALUES = np.array([[0.0, 3.0], [0.0, 1.0], [0.0, 2.0], [5.0, 4.0]])
OBSERVATION = {"state": np.zeros(4, int), "steps_left": 2}


class OwnPolicy(Planner):
    """Has values of its own, and decides by something else."""

    value_words = "in stars"

    def __init__(self, values: Any) -> None:
        self.values = values

    def plan(self, observation: Any) -> Decision:
        return Decision(np.array([0, 1, 1, 0], np.int8), None, None, "heuristic", 0.0)

    def action_values(self, observation: Any) -> Any:
        return self.values


class Named(OwnBudget):
    """Says what its limit is."""

    def limits(self) -> list[Limit]:
        return [Limit("beds", "one more bed", self.budget, lambda by: Budget(4, self.budget + by))]


def instance_of(actions: Budget) -> BanditInstance:
    dynamics = random_dynamics(np.random.default_rng(0), 4, 2)
    return BanditInstance(dynamics, actions, 2, np.full((4, 2), 0.5))


def test_a_policy_with_action_values_has_reasons() -> None:
    policy = OwnPolicy(VALUES)
    explainer = Explainer(policy, instance_of(Named(4, 2)), OBSERVATION, unit="stars")
    reasons = explainer.reasons(decision=policy.plan(OBSERVATION))
    assert reasons.action.tolist() == [1, 0, 1, 0]  # better than the policy's own list
    assert reasons.value == pytest.approx(10.0) and "10 stars in stars" in reasons.sentence()
    assert {why.name: why.cost for why in reasons.chosen} == pytest.approx({"0": 2.0, "2": 1.0})
    nearest = reasons.not_chosen[0]
    assert (nearest.name, nearest.leaves) == ("1", ("2",))
    assert nearest.cost == pytest.approx(1.0)
    last = reasons.not_chosen[1]
    assert last.benefit == pytest.approx(-1.0) and last.cost == pytest.approx(3.0)
    (beds,) = reasons.limits
    assert beds.name == "beds" and beds.price == pytest.approx(1.0) and beds.enters == ("1",)


@pytest.mark.parametrize("values", [np.zeros((4, 3)), [[0, np.nan]] * 4, np.zeros(4)])
def test_wrong_action_values_are_refused(values: Any) -> None:
    with pytest.raises(ConfigError, match="OwnPolicy.action_values returned an array"):
        Explainer(OwnPolicy(values), instance_of(Budget(4, 2)), OBSERVATION)


@pytest.mark.parametrize("policy", [NullPolicy, RandomPolicy, SamplingPolicy])
def test_policies_that_maximise_nothing_are_refused_by_name(policy: Any) -> None:
    instance = instance_of(Budget(4, 2))
    with pytest.raises(ConfigError, match=f"{policy.__name__} has no reasons"):
        Explainer(policy(instance), instance, OBSERVATION)
