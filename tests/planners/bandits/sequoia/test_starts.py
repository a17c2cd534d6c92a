"""SEQUOIA's starts: they act like the policies that they stand for, the best one is found, and
training does not lose it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.planners.bandits.builders import instance_of, random_dynamics
from tests.planners.bandits.sequoia.test_sequoia import SMALL
from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance
from worldplan.milp.sets.base import Budget
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.baselines import MyopicPolicy
from worldplan.planners.bandits.sequoia.network import StateQNetwork
from worldplan.planners.bandits.sequoia.planner import SequoiaPlanner, load_network
from worldplan.planners.bandits.sequoia.starts import Start, action_values, best_start, starts
from worldplan.planners.bandits.sequoia.targets import FluidTargets, SeparableTargets
from worldplan.planners.bandits.sequoia.training import SequoiaModule
from worldplan.planners.bandits.whittle import WhittlePolicy
from worldplan.planners.bandits.whittle_horizon import finite_whittle_indices, whittle_table
from worldplan.world_models.training.trainer import fit

EXACT = SolverSettings(gap=0.0)


def starts_of(instance: BanditInstance) -> dict[str, Start]:
    fluid = FluidTargets(instance, 4, np.random.default_rng(0))
    return {each.name: each for each in starts(instance, Start("fluid", *fluid.separable()), EXACT)}


@pytest.mark.parametrize("domain", ["path", "capacity"])
def test_the_network_begins_with_the_values_of_the_start(domain: str) -> None:
    instance = generate(domain, 8, 3, seed=1, horizon=5)
    found, rng, arms = starts_of(instance), np.random.default_rng(0), np.arange(8)
    names = ["whittle", "fluid", "myopic", "null", "hull", "hull-whittle", "whittle-hull"]
    assert list(found) == names
    network = StateQNetwork(instance.dynamics, instance.horizon)
    for name, start in found.items():
        network.start_from(start.base, start.gain)
        planner = SequoiaPlanner(instance, network, EXACT)
        target = SeparableTargets(start.base, start.gain)
        for state in rng.integers(0, 4, (3, 8)):
            left = int(rng.integers(1, 6))
            gain = start.gain[left, arms, state]
            decision = planner.plan({"state": state, "steps_left": left})
            base = start.base[left, arms, state].sum()
            assert decision.value == pytest.approx(base + gain @ decision.action, abs=1e-3)
            seen = torch.as_tensor(state)[None], torch.tensor([left])
            action = torch.as_tensor(decision.action, dtype=torch.float32)[None, None]
            assert float(target(*seen, action)) == pytest.approx(decision.value, abs=1e-3)
            if name == "myopic":
                exact = MyopicPolicy(instance).plan({"state": state}).value
                assert decision.value == pytest.approx(exact, abs=1e-3)
            if name == "whittle":
                index = finite_whittle_indices(instance.dynamics, left)[arms, state]
                same = WhittlePolicy(instance).plan({"state": state, "steps_left": left}).action
                assert gain @ decision.action == pytest.approx(index @ decision.action, abs=1e-6)
                assert index @ decision.action == pytest.approx(index @ same, abs=1e-6)
            if name == "null":
                assert not decision.action.any()


@pytest.mark.parametrize("domain", ["path", "schedule"])
def test_decisions_of_a_start_need_no_neurons(domain: str) -> None:
    """They are those of the policy, and the program has no neurons (a third of the time)."""
    instance, rng = generate(domain, 12, 4, seed=1, horizon=6), np.random.default_rng(0)
    index, arms = whittle_table(instance.dynamics, 6), np.arange(12)
    start = Start("whittle", np.zeros_like(index), index)
    network = StateQNetwork(instance.dynamics, instance.horizon)
    network.start_from(start.base, start.gain)
    planner, policy = SequoiaPlanner(instance, network), WhittlePolicy(instance)
    for state in rng.integers(0, 4, (8, 12)):
        left = int(rng.integers(1, 7))
        decision, gain = planner.plan({"state": state, "steps_left": left}), start.gain[left]
        same = policy.plan({"state": state, "steps_left": left}).action
        assert gain[arms, state] @ decision.action == pytest.approx(gain[arms, state] @ same)
        base = start.base[left, arms, state].sum()
        expected = base + gain[arms, state] @ decision.action
        assert decision.value == pytest.approx(expected, abs=1e-3)
        assert decision.bound is not None and decision.bound >= decision.value
    assert planner._argmax is None
    trained = StateQNetwork(instance.dynamics, instance.horizon)
    torch.nn.init.ones_(trained.tail[-1].weight)  # type: ignore[arg-type]
    planner = SequoiaPlanner(instance, trained, SolverSettings(time_limit=0.3))
    planner.plan({"state": state, "steps_left": 3})
    assert planner._argmax is not None and planner._linear is None


def test_action_values_are_one_step_ahead_of_the_table() -> None:
    model = random_dynamics(np.random.default_rng(0), 2, 3)
    table = np.random.default_rng(1).normal(size=(4, 2, 3))
    base, gain = action_values(model, table)
    for left, arm, state in np.ndindex(3, 2, 3):
        now = [
            model.transition[arm, k, state] @ (model.reward[arm] + table[left, arm]) for k in (0, 1)
        ]
        assert base[left + 1, arm, state] == pytest.approx(now[0])
        assert gain[left + 1, arm, state] == pytest.approx(now[1] - now[0])


def harmful() -> BanditInstance:
    """A pull leads to the worse state, for sure."""
    transition = np.zeros((5, 2, 2, 2))
    transition[:, 0, :, 1] = transition[:, 1, :, 0] = 1.0
    return instance_of(ArmDynamics(transition, np.tile([0.0, 1.0], (5, 1))), Budget(5, 3), 4)


def test_the_start_that_earns_most_is_found() -> None:
    instance = harmful()
    network, shape = StateQNetwork(instance.dynamics, instance.horizon), (5, 5, 2)
    candidates = [
        Start("pull", np.zeros(shape), np.ones(shape)),
        Start("rest", np.zeros(shape), -np.ones(shape)),
        Start("also", np.zeros(shape), -np.ones(shape)),
    ]
    for values in (np.zeros(shape), np.random.default_rng(0).normal(size=shape)):
        assert best_start(instance, candidates, network, values, 2, EXACT).name == "rest"
        assert best_start(instance, candidates[::-1], network, values, 8, EXACT).name == "also"
    assert not network.direct.any()  # a copy played


def test_a_training_that_does_harm_leaves_the_start(tmp_path: Path) -> None:
    instance = generate("capacity", 6, 2, seed=0, horizon=8)
    settings = replace(SMALL, learning_rate=5.0, pretrain_steps=20, updates=0, check_every=10)
    module = SequoiaModule(instance, settings, 0)
    network = load_network(fit(module, tmp_path), instance)
    assert isinstance(network, StateQNetwork) and isinstance(module.network, StateQNetwork)
    assert module._start is not None
    expected = StateQNetwork(instance.dynamics, instance.horizon)
    expected.start_from(module._start.base, module._start.gain)
    assert torch.equal(network.direct, expected.direct) and torch.equal(network.base, expected.base)
    assert not torch.equal(module.network.direct, network.direct)


@pytest.mark.parametrize(
    ("gain", "noise", "kept"), [(1.0, 0.5, True), (0.3, 0.5, False), (0.1, 4.0, False)]
)
def test_a_network_is_kept_where_it_is_better_beyond_its_error(
    gain: float, noise: float, kept: bool
) -> None:
    module = SequoiaModule(generate("capacity", 6, 2, seed=0, horizon=8), SMALL, 0)
    first = torch.arange(8.0)
    module._keep(first)
    offsets = gain + noise * torch.tensor([1.0, -1.0] * 4)
    assert module._is_better(first + offsets) == kept
    assert not module._is_better(first)


def test_a_start_that_episodes_cannot_tell_from_the_first_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noise = np.random.default_rng(0).normal(size=(3, 16))
    gain = {"first": 0.0, "second": 0.1, "third": 0.0}

    def returns(instance: object, start: Start, *rest: int) -> np.ndarray:
        place = list(gain).index(start.name)
        return gain[start.name] + noise[place][: rest[2]]

    monkeypatch.setattr("worldplan.planners.bandits.sequoia.starts._returns", returns)
    monkeypatch.setattr("worldplan.planners.bandits.sequoia.starts.FIRST_EPISODES", 16)
    candidates = [Start(name, np.zeros(1), np.zeros(1)) for name in gain]
    rest = (StateQNetwork(harmful().dynamics, 4), np.zeros(1), 4, EXACT)
    noise[2] -= 9.0  # leaves in the first round
    noise[:2] -= noise[:2].mean(1, keepdims=True)
    assert best_start(harmful(), candidates, *rest).name == "first"
    gain["second"] = 2.0
    assert best_start(harmful(), candidates, *rest).name == "second"
