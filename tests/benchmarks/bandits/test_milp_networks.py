"""Training values of the benchmark of decisions, where no linear program is solved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.bandits.milp_networks import DefaultTargets
from worldplan.envs.bandits.domains import generate


@pytest.mark.parametrize("discount", [1.0, 0.8])
@pytest.mark.parametrize("domain", ["budget", "interventions"])
def test_values_are_those_of_acting_now_and_never_again(domain: str, discount: float) -> None:
    instance = replace(generate(domain, 5, 2, horizon=4, seed=3), discount=discount)
    model, rng = instance.dynamics, np.random.default_rng(0)
    actions = np.stack([instance.actions.sample(rng) for _ in range(3)])
    state = rng.integers(0, model.states, (2, model.arms))
    left = np.array([1, 4])
    values = DefaultTargets(instance)(
        torch.as_tensor(state),
        torch.as_tensor(left),
        torch.as_tensor(np.stack([actions] * 2), dtype=torch.float32),
    )
    for row, (states, steps) in enumerate(zip(state, left, strict=True)):
        for column, action in enumerate(actions):
            total = 0.0
            for arm, level in enumerate(model.level(action)):
                chance = model.transition[arm, level, states[arm]]
                for step in range(steps):
                    total += discount**step * chance @ model.reward[arm]
                    if step + 1 < steps:
                        chance = chance @ model.transition[arm, 0]
            assert float(values[row, column]) == pytest.approx(total, rel=1e-5)
