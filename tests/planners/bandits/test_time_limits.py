"""A decision at its time limit: feasible, with a value, a bound and a gap that hold."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest

from tests.planners.bandits.test_exact_optimum import Joint
from tests.planners.bandits.transformed import KINDS, parts_of_kind
from worldplan.milp.highs import HighsSession
from worldplan.milp.session import Solution
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.endless.planner import EndlessPlanner
from worldplan.planners.bandits.endless.program import EndlessProgram
from worldplan.planners.bandits.fluid import FluidPlanner
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.planners.bandits.sequoia.planner import SequoiaPlanner, build_network
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings

NONE = SolverSettings(gap=0.0, time_limit=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", [1.0, 1e-8, 1e8])
def test_no_time_at_all(kind: str, unit: float) -> None:
    for seed in range(2):
        generator = np.random.default_rng(seed)
        instance = parts_of_kind(kind, generator).in_unit(unit, np.full(4, 7.0 * unit)).instance()
        instance = dataclasses.replace(instance, horizon=3)
        joint = Joint(instance)
        best, first = joint.optimum(3)
        number = int(generator.integers(len(joint.states)))
        state, slack = joint.states[number], 1e-6 * unit
        seen = {"state": state, "steps_left": 3}
        for name in ("myopic", "fluid", *(["whittle"] * (kind != "interventions"))):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                planner = make_policy(name, PolicyContext(instance, solver=NONE, fluid_window=2))
            decision = planner.plan(seen)
            place = (joint.actions == decision.action).all(1)
            assert place.any(), name
            assert decision.gap is not None and 0 <= decision.gap <= 1
            if name != "fluid":
                continue
            assert decision.value is not None and decision.bound is not None
            assert decision.status == "time_limit"
            assert decision.bound >= best[number] - slack
            # the action now and the default action later earn the value
            assert decision.value <= first[place.argmax(), number] + slack
        assert planner.plan(seen).action.shape == (instance.actions.size,)


@pytest.mark.parametrize("kind", ["capacity", "path", "own"])
def test_a_network_without_time(kind: str) -> None:
    instance = parts_of_kind(kind, np.random.default_rng(0)).instance()
    networks = [build_network(instance, SequoiaSettings(hidden=(6, 5)), seed) for seed in (0, 1)]
    planner = SequoiaPlanner(instance, networks, NONE, bounds="optimised")
    seen = {"state": [0, 1, 0, 1], "steps_left": 1}
    decision = planner.plan(seen)
    assert instance.actions.contains(decision.action)
    assert decision.value is not None and decision.bound is not None and decision.gap is not None
    exact = SequoiaPlanner(instance, networks, SolverSettings(gap=0.0)).plan(seen)
    assert exact.value is not None
    assert decision.value <= exact.value + 1e-9 <= decision.bound + 1e-6


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time limits of the solves."""
    found: list[float] = []
    solve = HighsSession.solve

    def recorded(self: HighsSession, *args: object, **kwargs: float) -> Solution:
        found.append(kwargs["time_limit"])
        return solve(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(HighsSession, "solve", recorded)
    return found


def test_the_solves_of_a_decision_share_its_time(limits: list[float]) -> None:
    """And the building of the programs counts in the first decision."""
    instance = parts_of_kind("capacity", np.random.default_rng(1)).instance()
    instance = dataclasses.replace(instance, horizon=9)
    planner = FluidPlanner(instance, 2, settings=SolverSettings(time_limit=50.0))
    planner._spent = 10.0  # the time that building took
    limits.clear()
    seen = {"state": [0, 1, 0, 1], "steps_left": 9}
    planner.plan(seen)
    assert max(limits) <= 40.0 and limits[-1] <= 40.0
    assert max(limits[:-1]) <= 0.7 * 40.0  # the whole episode leaves time for the window
    limits.clear()
    planner.plan(seen)
    assert 40.0 < limits[-1] <= 50.0


@pytest.mark.parametrize("found", [True, False])
def test_the_bound_of_an_average_is_found_in_the_decision_s_time(
    *, found: bool, limits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once; a decision that came without it has no value, and the next one tries again."""
    plain = parts_of_kind("capacity", np.random.default_rng(1)).instance()
    instance = dataclasses.replace(plain, endless=True)
    planner = EndlessPlanner(instance, 2, settings=SolverSettings(time_limit=50.0))
    solve = EndlessProgram.solve

    def slow(self: EndlessProgram, *args: Any, **kwargs: float) -> Solution:
        solution = solve(self, *args, **kwargs)
        late = self.discount == 1 and not found
        return dataclasses.replace(solution, x=None) if late else solution

    monkeypatch.setattr(EndlessProgram, "solve", slow)
    for again in (False, True):
        limits.clear()
        decision = planner.plan({"state": [0, 1, 0, 1]})
        assert len(limits) == (2 if found and again else 3)
        shares = (0.7, 1.0) if len(limits) == 2 else (0.3, 0.7, 1.0)
        assert all(limit <= 50.0 * share for limit, share in zip(limits, shares, strict=True))
        assert (decision.value is not None) == (decision.bound is not None) == found
