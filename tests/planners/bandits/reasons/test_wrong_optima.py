"""Decisions over networks that HiGHS 1.15 has got wrong, against all actions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.planners.bandits.reasons.test_exactness import every_action, instance_of, sequoia
from worldplan.milp.networks.local_search import value as network_value
from worldplan.milp.networks.relu import ReluNetwork
from worldplan.milp.sets import ActionSet
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.reasons.problem import network_problem

FAILED = [  # set, seed of the networks, component, whether it is forced, presolve
    ("rules", 36, 1, True, False),
    ("capacity", 15, 3, False, True),
    ("capacity", 292, 2, True, False),
    ("capacity", 403, 5, True, True),
    ("capacity", 508, 5, True, True),
    ("capacity", 548, 0, False, False),
]


def networks_of(kind: str, seed: int) -> tuple[list[ReluNetwork], ActionSet]:
    instance = instance_of(kind, 3)
    observation = {"state": np.arange(instance.dynamics.arms) % 3, "steps_left": 3}
    return sequoia(instance, seed).action_networks(observation), instance.actions


def check(
    kind: str, seed: int, settings: SolverSettings, questions: list[tuple[int, bool]] | None = None
) -> None:
    """The optimum with each (component, forced) of `questions` is that of all actions."""
    networks, actions = networks_of(kind, seed)
    if questions is None:
        questions = list(itertools.product(range(actions.size), (False, True)))
    table = np.stack(every_action(actions))
    values = network_value(networks, table)
    problem = network_problem(networks, 0.0, actions, settings)
    for component, forced in questions:
        lower, upper = np.zeros(actions.size, np.int8), np.ones(actions.size, np.int8)
        (lower if forced else upper)[component] = forced
        allowed = table[:, component] == forced
        if allowed.any():
            answer = problem.solve(lower, upper, 60.0)
            best = values[allowed].max()
            assert answer.status == "optimal"
            assert (answer.value, answer.bound) == pytest.approx((best, best), abs=1e-5)


@pytest.mark.parametrize(("kind", "seed", "component", "forced", "presolve"), FAILED)
def test_an_optimum_that_was_cut_off_is_found(
    kind: str, seed: int, component: int, forced: bool, presolve: bool
) -> None:
    settings = SolverSettings(gap=0.0, quick=not presolve)
    check(kind, seed, settings, [(component, forced)])


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["highs", "highs quick", "gurobi"])
@pytest.mark.parametrize("kind", ["capacity", "rules", "path", "schedule", "interventions"])
def test_forced_and_forbidden_arms_of_random_networks(kind: str, solver: str) -> None:
    name, _, quick = solver.partition(" ")
    settings = SolverSettings(name, gap=0.0, quick=bool(quick))
    for seed in range(1000, 1040):
        check(kind, seed, settings)
