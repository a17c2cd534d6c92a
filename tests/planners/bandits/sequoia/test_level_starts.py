"""SEQUOIA's starts where several interventions reach an arm: tables over all levels, exactly."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.planners.bandits.builders import instance_of
from tests.planners.bandits.sequoia.test_resume import Stop, assert_same, stopping, weights
from tests.planners.bandits.sequoia.test_sequoia import SMALL
from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.milp.sets.base import Budget
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.baselines import MyopicPolicy
from worldplan.planners.bandits.sequoia.action_pool import greedy_best
from worldplan.planners.bandits.sequoia.greedy import greedy_planner
from worldplan.planners.bandits.sequoia.network import StateQNetwork
from worldplan.planners.bandits.sequoia.planner import SequoiaPlanner, load_network
from worldplan.planners.bandits.sequoia.shared.arm_values import ArmValues
from worldplan.planners.bandits.sequoia.starts import (
    Start,
    as_start,
    as_tensors,
    best_start,
    fluid_start,
    starts,
)
from worldplan.planners.bandits.sequoia.targets import FluidTargets
from worldplan.planners.bandits.sequoia.training import SequoiaModule
from worldplan.world_models.training.trainer import fit

EXACT = SolverSettings(gap=0.0)


def several(seed: int) -> BanditInstance:
    """Five arms with effects of several sizes and signs; one that nothing reaches."""
    rng = np.random.default_rng(seed)
    effect = rng.integers(-1, 3, (5, 4)).astype(float)
    effect[4] = 0.0
    effect[0, 0] = 2.0
    return reached(effect, rng)


def lowering(seed: int) -> BanditInstance:
    """Arms whose total strengths are negative or, with seed 1, zero."""
    rng = np.random.default_rng(seed)
    effect = -rng.integers(0, 3, (5, 4)).astype(float)
    if seed == 1:
        effect[:] = [1.0, -1.0, 2.0, -2.0]
    return reached(effect, rng)


def reached(effect: Floats, rng: np.random.Generator) -> BanditInstance:
    """Random arms with these effects (arms, components)."""
    every = np.array(list(itertools.product((0, 1), repeat=4))) @ effect.T
    distinct = [np.unique(row) for row in every.T]
    most = max(map(len, distinct))
    strengths = np.array([np.append(row, [row[-1]] * (most - len(row))) for row in distinct])
    transition = rng.dirichlet(np.ones(3), (5, most, 3))
    model = ArmDynamics(transition, rng.random((5, 3)), effect, strengths)
    return instance_of(model, Budget(4, 2), 4)


def table_value(instance: BanditInstance, levels: Floats, state: Floats, actions: Floats) -> Floats:
    """Sum over arms of a table (arms, states, levels), in loops."""
    model, total = instance.dynamics, np.zeros(len(actions))
    assert model.effect is not None and model.strengths is not None
    for row, action in enumerate(actions):
        for arm in range(model.arms):
            strength = sum(model.effect[arm, c] * action[c] for c in range(model.components))
            level = int(np.abs(model.strengths[arm] - strength).argmin())
            total[row] += levels[arm, state[arm], level]
    return total


INSTANCES = {
    "groups": lambda seed: generate("interventions", 7, 3, seed=seed, horizon=4),
    "signs": several,
    "lowering": lowering,
}


@pytest.mark.parametrize("hidden", [(4,), (4, 5), (4, 5, 3)])
@pytest.mark.parametrize("kind", INSTANCES)
@pytest.mark.parametrize("seed", range(3))
def test_networks_begin_with_tables_over_all_levels(
    kind: str, seed: int, hidden: tuple[int, ...]
) -> None:
    """In torch and in double precision; decisions are those of brute force, also after a training
    step has let neurons in.
    """
    instance, rng = INSTANCES[kind](seed), np.random.default_rng(seed)
    model, count = instance.dynamics, instance.actions.size
    levels = rng.normal(size=(5, model.arms, model.states, model.levels))
    assert model.strengths is not None
    for arm, row in enumerate(model.strengths):  # unused levels repeat the last
        for level in np.flatnonzero(np.diff(row) < 1e-9) + 1:
            levels[:, arm, :, level] = levels[:, arm, :, level - 1]
    torch.manual_seed(seed)
    network = StateQNetwork(model, instance.horizon, hidden)
    network.unit, network.constant = 3.0, 0.5
    start = Start.of_levels("any", levels)
    network.start_from(start.base, start.gain, start.levels)
    every = np.array(list(itertools.product((0, 1), repeat=count)), np.int8)
    feasible = every[[instance.actions.contains(action) for action in every]]
    for left in (1, 4):
        state = rng.integers(0, model.states, model.arms)
        seen = {"state": state, "steps_left": left}
        given = torch.as_tensor(state)[None], torch.tensor([left])
        expected = table_value(instance, levels[left], state, every)
        with torch.no_grad():
            found = network(*given, torch.as_tensor(every, dtype=torch.float32)[None])[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        exact = network.action_networks(state[None], np.array([left]))[0]
        total = 3.0 * expected + 0.5 * left
        np.testing.assert_allclose(exact(every), total, atol=1e-5)
        planner = SequoiaPlanner(instance, network, EXACT)
        decision = planner.plan(seen)
        best = 3.0 * table_value(instance, levels[left], state, feasible).max() + 0.5 * left
        assert decision.value == pytest.approx(best, abs=1e-4) and planner._argmax is None
    torch.nn.init.normal_(network.tail[-1].weight)  # type: ignore[arg-type]
    planner = SequoiaPlanner(instance, network, EXACT)
    values = planner.action_networks(seen)[0](feasible)
    assert planner.plan(seen).value == pytest.approx(values.max(), abs=1e-6)
    with torch.no_grad():
        torch_values = network(*given, torch.as_tensor(feasible, dtype=torch.float32)[None])[0]
    np.testing.assert_allclose(3.0 * torch_values + 0.5 * left, values, atol=1e-4)
    greedy = greedy_planner(instance, network).plan(seen)
    exact_value = planner.action_networks(seen)[0](greedy.action[None])[0]
    assert greedy.value == pytest.approx(exact_value, abs=1e-4)  # single precision


def starts_of(instance: BanditInstance) -> dict[str, Start]:
    fluid = FluidTargets(instance, 4, np.random.default_rng(0))
    return {each.name: each for each in starts(instance, fluid_start(instance, fluid), EXACT)}


def test_starts_have_values_of_each_level() -> None:
    """Myopic decisions are the policy's, group values those of the shared network's start."""
    instance, rng = generate("interventions", 8, 3, seed=1, horizon=4), np.random.default_rng(0)
    found, arms = starts_of(instance), np.arange(8)
    assert list(found) == ["fluid", "myopic", "joint"]
    tables = ArmValues(instance, EXACT)
    network = StateQNetwork(instance.dynamics, instance.horizon)
    for name, start in found.items():
        assert start.levels is not None
        gain = start.levels[..., -1] - start.levels[..., 0]
        np.testing.assert_allclose(start.gain, gain)
        network.start_from(start.base, start.gain, start.levels)
        for state in rng.integers(0, 4, (4, 8)):
            left = int(rng.integers(1, 5))
            decision = SequoiaPlanner(instance, network, EXACT).plan(
                {"state": state, "steps_left": left}
            )
            if name == "myopic":
                same = MyopicPolicy(instance).plan({"state": state}).value
                assert decision.value == pytest.approx(same, abs=1e-4)
            if name == "joint":
                shared = tables.start("joint", left)
                grouped = tables.reached
                np.testing.assert_allclose(
                    start.levels[left][grouped], shared[grouped], atol=0.02 * np.abs(shared).max()
                )
            level = instance.dynamics.level(decision.action)
            expected = start.levels[left, arms, state, level].sum()
            assert decision.value == pytest.approx(expected, abs=1e-4)


def together() -> BanditInstance:
    """Two interventions on one arm earn, one alone costs; with one gain for each arm, single
    interventions on the other arms look better than the pair.
    """
    effect = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    strengths = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    up = np.array([[0.1, 0.05, 0.95], [0.1, 0.35, 0.35], [0.1, 0.35, 0.35]])
    transition = np.stack([1 - up, up], -1)[:, :, None, :].repeat(2, 2)
    reward = np.array([[0.0, 1.0]] * 3)
    return instance_of(ArmDynamics(transition, reward, effect, strengths), Budget(4, 2), 4)


def test_a_pair_that_is_worth_more_than_its_parts_is_chosen() -> None:
    instance = together()
    network = StateQNetwork(instance.dynamics, instance.horizon)
    fluid = fluid_start(instance, FluidTargets(instance, 4, np.random.default_rng(0)))
    network.start_from(fluid.base, fluid.gain, fluid.levels)
    decision = SequoiaPlanner(instance, network, EXACT).plan(
        {"state": np.zeros(3, int), "steps_left": 3}
    )
    assert decision.action.tolist() == [1, 1, 0, 0]
    chosen = best_start(
        instance, [Start.of_levels("rest", np.zeros((5, 3, 2, 3))), fluid], network,
        np.zeros((5, 3, 2)), 4, EXACT,
    )  # fmt: skip
    assert chosen.name == "fluid"


def test_a_training_begins_with_the_start_and_stores_it(tmp_path: Path) -> None:
    instance = generate("interventions", 6, 2, seed=0, horizon=4)
    settings = replace(SMALL, pretrain_steps=1, updates=1, check_every=1, check_episodes=2)
    module = SequoiaModule(instance, settings, 0)
    network = load_network(fit(module, tmp_path), instance)
    assert isinstance(network, StateQNetwork) and module._start is not None
    expected = StateQNetwork(module.instance.dynamics, instance.horizon)
    start = as_start(as_tensors(module._start))
    assert start.levels is not None
    expected.start_from(start.base, start.gain, start.levels)
    assert expected.bend.any() and torch.equal(network.bend, expected.bend)
    assert isinstance(module.network, StateQNetwork)
    assert not torch.equal(module.network.bend, network.bend)  # it learns


def test_weights_of_earlier_versions_have_no_bends() -> None:
    instance = generate("interventions", 6, 2, seed=0, horizon=4)
    old, new = (StateQNetwork(instance.dynamics, 4) for _ in range(2))
    weights = {name: value for name, value in old.state_dict().items() if name != "bend"}
    torch.nn.init.ones_(new.bend)
    new.load_state_dict(weights)
    assert not new.bend.any() and torch.equal(new.pull, old.pull)
    pulls = StateQNetwork(generate("capacity", 6, 2, seed=0, horizon=4).dynamics, 4)
    assert "bend" not in pulls.state_dict()


@pytest.mark.parametrize("seed", range(4))
def test_greedy_actions_count_the_bends(seed: int) -> None:
    instance = several(seed)
    torch.manual_seed(seed)
    network, rng = StateQNetwork(instance.dynamics, 4), np.random.default_rng(seed)
    levels = rng.normal(size=(5, 5, 3, instance.dynamics.levels))
    network.start_from(levels[..., 0], levels[..., -1] - levels[..., 0], levels)
    torch.nn.init.normal_(network.tail[-1].weight)  # type: ignore[arg-type]
    states = torch.as_tensor(rng.integers(0, 3, (3, 5)))
    left = torch.tensor([1, 2, 4])
    with torch.no_grad():
        found = greedy_best(network, instance.actions, states, left).numpy()

        def value(row: int, action: Floats) -> float:
            chosen = torch.as_tensor(action, dtype=torch.float32)[None, None]
            return float(network(states[row : row + 1], left[row : row + 1], chosen))

        for row in range(3):
            action = np.zeros(4)
            while action.sum() < 2:
                added = [np.maximum(action, unit) for unit in np.eye(4)]
                best = max(added, key=lambda each: value(row, each))
                if value(row, best) <= value(row, action):
                    break
                action = best
            assert found[row].tolist() == action.tolist()


def test_a_training_with_levels_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first phase aims at the start that the checkpoint has."""
    instance = generate("interventions", 6, 2, seed=0, horizon=3)
    settings = replace(SMALL, pretrain_steps=6, updates=2, check_every=2, check_episodes=2)
    for folder in ("whole", "cut"):
        if folder == "cut":
            with monkeypatch.context() as patch:
                stopping(patch, "training_step", 3)
                with pytest.raises(Stop):
                    fit(SequoiaModule(instance, settings, 0), tmp_path / folder)
        fit(SequoiaModule(instance, settings, 0), tmp_path / folder)
    for name in ("best.ckpt", "last.ckpt"):
        assert_same(weights(tmp_path / "whole" / name), weights(tmp_path / "cut" / name))
