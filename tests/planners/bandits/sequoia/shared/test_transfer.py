"""A network of shared weights decides for other clients; what does not fit is refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.planners.bandits.builders import instance_of, random_dynamics
from tests.planners.bandits.sequoia.shared.test_training import SHARED
from tests.planners.bandits.sequoia.test_sequoia import SMALL
from tests.planners.bandits.transformed import parts_of_kind
from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance
from worldplan.envs.bandits.seen import seen_on_visits
from worldplan.milp.errors import CheckpointError
from worldplan.milp.sets.base import Budget
from worldplan.milp.sets.fixed import Fixed
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.policies import PolicyContext, check_policy, make_policy
from worldplan.planners.bandits.sequoia.planner import SequoiaPlanner
from worldplan.planners.bandits.sequoia.shared.planner import SharedPlanner
from worldplan.planners.bandits.sequoia.training import module_for
from worldplan.planners.base import Planner
from worldplan.world_models.training.trainer import fit

EXACT = SolverSettings(gap=0.0)
TINY = replace(SHARED, pretrain_steps=5, updates=15, check_every=20, check_episodes=2, solves=2)
TRAINED_ON = {"pulls": "capacity", "levels": "interventions"}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A network of each kind; its last layer is moved, so that it counts."""
    files = {}
    for kind, domain in TRAINED_ON.items():
        folder = tmp_path_factory.mktemp(kind)
        files[kind] = fit(module_for(generate(domain, 6, 2, seed=0, horizon=6), TINY), folder)
        content = torch.load(files[kind], weights_only=True)
        for name, weight in content["sequoia"]["weights"].items():
            generator = torch.Generator().manual_seed(len(name))
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
        torch.save(content, files[kind])
    return files


def policy(instance: BanditInstance, path: Path, **more: Any) -> Planner:
    context = PolicyContext(instance, solver=EXACT, checkpoint=str(path), **more)
    check_policy("sequoia", context)
    return make_policy("sequoia", context)


def joined(instance: BanditInstance, places: list[int]) -> BanditInstance:
    """The clients at `places`, under a budget."""
    return replace(
        instance,
        dynamics=instance.dynamics.select(places),
        actions=Budget(len(places), 2),
        initial=instance.initial[places],
        arm_names=tuple(f"client {place}" for place in places),
    )


@pytest.mark.parametrize(
    ("domain", "arms"),
    [("capacity", 9), ("capacity", 4), ("schedule", 7), ("path", 8), ("budget", 12),
     ("interventions", 9), ("interventions", 4)],
)  # fmt: skip
def test_other_clients_other_numbers_and_other_sets(
    domain: str, arms: int, checkpoints: dict[str, Path]
) -> None:
    instance = generate(domain, arms, 2, seed=arms, horizon=5)
    kind = "pulls" if instance.dynamics.effect is None else "levels"
    planner = policy(instance, checkpoints[kind])
    rng = np.random.default_rng(0)
    for state in instance.draw_start(rng, 3):
        decision = planner.plan({"state": state, "steps_left": 5})
        assert instance.actions.contains(decision.action) and decision.status == "optimal"


def test_who_joins_and_who_leaves(checkpoints: dict[str, Path]) -> None:
    """Those who stay are valued alike, up to what the others do to prices and to the context."""
    everybody = generate("budget", 9, 2, seed=4, horizon=6)
    before, after = joined(everybody, [0, 1, 2, 3, 4]), joined(everybody, [7, 4, 3, 0, 8, 5])
    planners = [policy(each, checkpoints["pulls"]) for each in (before, after)]
    states = [np.zeros(5, int), np.zeros(6, int)]
    for planner, state in zip(planners, states, strict=True):
        decision = planner.plan({"state": state, "steps_left": 6})
        assert decision.action.sum() == 2


def test_arms_of_other_numbers_of_states(checkpoints: dict[str, Path]) -> None:
    generator = np.random.default_rng(3)
    for kind in ("budget", "capacity", "interventions"):
        parts = parts_of_kind(kind, generator).with_own_states(generator)
        instance = replace(parts, horizon=3).instance()
        name = "levels" if kind == "interventions" else "pulls"
        state = instance.dynamics.state_counts - 1
        decision = policy(instance, checkpoints[name]).plan({"state": state, "steps_left": 3})
        assert instance.actions.contains(decision.action)


def test_arms_that_are_seen_on_visits(checkpoints: dict[str, Path]) -> None:
    model = random_dynamics(np.random.default_rng(1), 4, 2)
    arms = seen_on_visits(model, np.full((4, 2), 0.5), 3)
    instance = instance_of(arms.dynamics, Budget(4, 2), 3)
    today = {"state": np.full(4, arms.today), "steps_left": 3}
    assert policy(instance, checkpoints["pulls"]).plan(today).action.sum() <= 2


def test_models_count_and_not_the_programme_s_own_dynamics(checkpoints: dict[str, Path]) -> None:
    generator = np.random.default_rng(2)
    models = tuple(random_dynamics(generator, 5, 3) for _ in range(2))
    true = [random_dynamics(generator, 5, 3) for _ in range(2)]
    values = [
        policy(instance_of(each, Budget(5, 2), 4), checkpoints["pulls"], models=models)
        .action_values({"state": np.ones(5, int), "steps_left": 4})  # type: ignore[attr-defined]
        for each in true
    ]  # fmt: skip
    np.testing.assert_array_equal(*values)
    alone = [
        policy(instance_of(true[0], Budget(5, 2), 4), checkpoints["pulls"], models=(model,))
        for model in models
    ]
    assert isinstance(alone[0], SharedPlanner)
    features = [planner._features[0] for planner in alone]  # type: ignore[attr-defined]
    assert not np.allclose(features[0].at(4).rows, features[1].at(4).rows)


def test_who_is_absent_today_is_not_absent_tomorrow(checkpoints: dict[str, Path]) -> None:
    instance = generate("budget", 6, 2, seed=1, horizon=4)
    nobody, absent = np.zeros(6, bool), np.arange(6) == 3
    today = replace(instance, actions=Fixed(instance.actions, nobody, absent, nobody))
    planners = [
        policy(instance, checkpoints["pulls"]),
        policy(today, checkpoints["pulls"], later=instance.actions),
    ]
    observation = {"state": np.zeros(6, int), "steps_left": 4}
    free, fixed = (planner.action_values(observation) for planner in planners)  # type: ignore[attr-defined]
    np.testing.assert_allclose(fixed, free)
    assert planners[1].plan(observation).action[3] == 0


def refused(instance: BanditInstance, path: Path, *words: str) -> None:
    with pytest.raises(CheckpointError) as error:
        policy(instance, path)
    for word in (str(path), *words):
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_what_does_not_fit_is_refused(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    pulls, levels = checkpoints["pulls"], checkpoints["levels"]
    capacity = generate("capacity", 6, 2, seed=0, horizon=6)
    refused(capacity, levels, "several interventions", "train for it")
    refused(generate("interventions", 6, 2, horizon=6), pulls, "visited or not", "train for it")
    refused(replace(capacity, horizon=7), pulls, "programme.horizon to 6", "train for it")
    model = random_dynamics(np.random.default_rng(0), 4, 2, 3)
    start = torch.load(levels, weights_only=True)["sequoia"]["shared"]["start"]
    if start == "joint":
        refused(instance_of(model, Budget(3, 2), 4), levels, "groups", "train for it")
    for change, words in (
        ({"features": ["strength"]}, ("another version", "train again")),
        ({"kind": "arms"}, ("arms", "train for it")),
        ({"horizon": "long"}, ("not a SEQUOIA checkpoint",)),
        (None, ("not a SEQUOIA checkpoint",)),
    ):
        content = torch.load(pulls, weights_only=True)
        if change is None:
            del content["sequoia"]["shared"]
        else:
            content["sequoia"]["shared"].update(change)
        torch.save(content, tmp_path / "changed.ckpt")
        refused(capacity, tmp_path / "changed.ckpt", *words)
    with pytest.raises(CheckpointError, match="load it with SharedPlanner"):
        SequoiaPlanner.load(pulls, capacity)


def test_a_network_of_one_programme_refuses_other_clients(tmp_path: Path) -> None:
    """Another number of them, others in their places, or the same in another order."""
    everybody = generate("budget", 7, 2, seed=0, horizon=4)
    instance = joined(everybody, [0, 1, 2, 3])
    state = replace(SMALL, pretrain_steps=2, updates=2, check_every=4, check_episodes=2, solves=2)
    path = fit(module_for(instance, state), tmp_path)
    assert policy(instance, path).plan({"state": np.zeros(4, int), "steps_left": 4})
    remedy = "train with sequoia.network: shared"
    refused(joined(everybody, [0, 1, 2]), path, "4 arms", "3 arms", remedy)
    refused(joined(everybody, [0, 1, 2, 5]), path, "'client 3'", "'client 5'", remedy)
    refused(joined(everybody, [1, 0, 2, 3]), path, "'client 0'", "'client 1'", remedy)
    with pytest.raises(CheckpointError, match=r"weights of its own.*sequoia\.network: shared"):
        SharedPlanner.load(path, instance)


def test_nothing_to_gain_at_all() -> None:
    """Arms that no intervention changes: all features are zero, and nothing is divided by zero."""
    move = np.repeat(np.eye(2)[None, None], 3, 0).repeat(2, 1)
    instance = instance_of(ArmDynamics(move, np.ones((3, 2))), Budget(3, 1), 4)
    module = module_for(instance, TINY)
    network = module.network
    planner = SharedPlanner(instance, network, EXACT)  # type: ignore[arg-type]
    decision = planner.plan({"state": np.zeros(3, int), "steps_left": 4})
    assert decision.value == pytest.approx(12.0) and not decision.action.any()
