"""Policies and bounds where arms have different numbers of states."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.planners.bandits.transformed import parts_of_kind
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bounds import make_bound
from worldplan.planners.bandits.policies import POLICIES, PolicyContext, make_policy
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.planners.base import Planner

SHORT = SequoiaSettings(
    hidden=(4,), pretrain_steps=10, updates=10, solves=2, episodes=2, batch=8, pool=8, replay=64,
    check_every=10, check_episodes=2,
)  # fmt: skip
EXACT = SolverSettings(gap=0.0)


def pair(kind: str, seed: int) -> tuple[BanditInstance, BanditInstance]:
    """Arms with fewer states, and arms whose further states are never reached."""
    generator = np.random.default_rng(seed)
    parts = parts_of_kind(kind, generator).with_own_states(generator)
    own, instance = parts.dynamics, replace(parts, horizon=3).instance()
    assert own.own_states is not None
    padded = ArmDynamics(own.transition, own.reward, own.effect, own.strengths)
    return instance, replace(instance, dynamics=padded)


def planner_of(name: str, instance: BanditInstance, folder: Path, **settings: str) -> Planner:
    context = PolicyContext(
        instance, solver=EXACT, sequoia=replace(SHORT, **settings), folder=folder  # type: ignore[arg-type]
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random arms need not be indexable
        planner = make_policy(name, context)
    planner.reset(seed=0)
    return planner


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["budget", "capacity", "own", "interventions"])
def test_policies_and_bounds_are_those_of_padded_arms(kind: str, seed: int, tmp_path: Path) -> None:
    own, padded = pair(kind, seed)
    state = own.dynamics.state_counts - 1
    for bound in ("auto", "fluid", *(["hull"] if kind != "interventions" else [])):
        values = [make_bound(each, EXACT, bound).from_state(state, 3) for each in (own, padded)]
        assert values[0] == pytest.approx(values[1], abs=1e-7)
    learned = {"iterative_dqn", "repaired_dqn", "sequoia_paper", "sequoia"}
    learned |= {"thompson", "ucwhittle"}  # of other numbers of states they draw other dynamics
    for name in set(POLICIES) - learned - ({"whittle"} if kind == "interventions" else set()):
        actions = [
            planner_of(name, each, tmp_path).plan({"state": state, "steps_left": 3}).action
            for each in (own, padded)
        ]
        np.testing.assert_array_equal(*actions)


@pytest.mark.parametrize("argmax", ["pool", "greedy"])
def test_networks_train_in_states_that_the_arms_have(argmax: str, tmp_path: Path) -> None:
    instance, _ = pair("capacity", 0)
    planner = planner_of("sequoia", instance, tmp_path, argmax=argmax)
    for _ in range(3):
        state = instance.draw_start(np.random.default_rng(0), 1)[0]
        action = planner.plan({"state": state, "steps_left": 2}).action
        assert instance.actions.contains(action)
