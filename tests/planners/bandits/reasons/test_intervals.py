"""Intervals of benefits under the posterior of a log, against plain draws."""

from __future__ import annotations

import numpy as np
import pytest

from tests.planners.bandits.builders import instance_of
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import Budget
from worldplan.planners.bandits.baselines import MyopicPolicy
from worldplan.planners.bandits.fluid import FluidPlanner
from worldplan.planners.bandits.reasons.explainer import Explainer
from worldplan.planners.bandits.reasons.intervals import benefit_intervals
from worldplan.planners.bandits.whittle import WhittlePolicy
from worldplan.world_models.arms.dynamics import ArmLog, ArmPosterior

STATE = np.array([0, 1, 0, 1])


def posterior(scale: int = 1) -> ArmPosterior:
    generator = np.random.default_rng(3)
    counts = scale * generator.integers(0, 8, size=(4, 2, 2, 2))
    return ArmLog(counts, generator.normal(size=(4, 2)), ("a", "b", "c", "d")).posterior()


def test_ends_are_quantiles_of_the_difference_of_two_beta_draws() -> None:
    own, generator = posterior(), np.random.default_rng(9)
    belief = np.array([[1, 0], [0, 1], [0.3, 0.7], [0.5, 0.5]])
    low, high = benefit_intervals(own, belief, own.reward, np.array([3, 0, 2]))
    for place, arm in enumerate((3, 0, 2)):
        benefit = np.zeros(100_000)
        for state in (0, 1):
            after = [
                generator.beta(*own.concentration[arm, k, state, ::-1], 100_000) for k in (1, 0)
            ]
            benefit += belief[arm, state] * (after[0] - after[1]) * np.ptp(own.reward[arm]) * (
                np.sign(own.reward[arm, 1] - own.reward[arm, 0])
            )  # fmt: skip
        ends = np.quantile(benefit, [0.05, 0.95])
        assert [low[place], high[place]] == pytest.approx(ends, abs=0.12 * np.ptp(ends))


@pytest.mark.parametrize("policy", ["fluid", "myopic"])
def test_the_benefit_lies_inside_and_more_moves_narrow_the_interval(policy: str) -> None:
    widths = []
    for scale in (1, 100):
        own = posterior(scale)
        instance = instance_of(own.mean(), Budget(4, 2), 5)
        planner = FluidPlanner(instance) if policy == "fluid" else MyopicPolicy(instance)
        explainer = Explainer(planner, instance, {"state": STATE, "steps_left": 5})
        reasons = explainer.with_intervals(explainer.reasons(), own)
        whys = (*reasons.chosen, *reasons.not_chosen)
        assert len(whys) == 4
        assert all(why.benefit_low < why.benefit < why.benefit_high for why in whys)  # type: ignore[operator]
        widths.append({why.name: why.benefit_high - why.benefit_low for why in whys})  # type: ignore[operator]
        assert reasons.to_dict()["chosen"][0]["benefit_low"] == reasons.chosen[0].benefit_low
    assert all(widths[1][name] < 0.5 * widths[0][name] for name in widths[0])


def test_where_there_are_none() -> None:
    own = posterior()
    instance = instance_of(own.mean(), Budget(4, 2), 5)
    explainer = Explainer(WhittlePolicy(instance), instance, {"state": STATE})
    reasons = explainer.with_intervals(explainer.reasons(), own)
    assert all(why.benefit_low is None for why in reasons.chosen)
    assert any(sentence.startswith("intervals of benefits") for sentence in reasons.left_out)
    small = ArmPosterior(own.concentration[:2], own.reward[:2], own.arm_names[:2])
    with pytest.raises(ConfigError, match="posterior is of"):
        explainer.with_intervals(reasons, small)
