"""Cutting planes with a level set: minima known in closed form, and a solver that fails."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from worldplan.envs.bandits.environment import Floats
from worldplan.milp.errors import InfeasibleActionSet, SolverFailed
from worldplan.milp.highs import HighsSession
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.level_method import Minimum, Oracle, minimise

RADIUS = 50.0


def distances(target: Floats, tiny: float = 0.0) -> Oracle:
    """|x_i - target_i| + tiny * (the next coordinate), one function for each coordinate."""

    def oracle(point: Floats) -> tuple[Floats, sparse.csr_array]:
        after = np.roll(np.eye(len(target)), 1, axis=1) * tiny
        values = np.abs(point - target) + after @ point
        slopes = np.diag(np.where(point < target, -1.0, 1.0)) + after
        return values, sparse.csr_array(slopes)

    return oracle


def found(oracle: Oracle, size: int, step: float = 1e3) -> Minimum:
    def enough(value: float, lower: float) -> bool:
        return value - lower < 1e-6

    deadline = time.perf_counter() + 60
    start = np.zeros(size)
    return minimise(oracle, start, RADIUS, step, enough, deadline, SolverSettings())


@pytest.mark.parametrize("seed", range(5))
def test_the_minimum_of_distances(seed: int) -> None:
    target = np.random.default_rng(seed).uniform(-40, 40, 3)
    result = found(distances(target), 3)
    assert not result.limited and result.lower <= result.value
    assert result.value == pytest.approx(0.0, abs=1e-5)
    assert result.point == pytest.approx(target, abs=1e-5)


@pytest.mark.parametrize("tiny", [1e-9, 1e-12, -1e-10])
def test_tiny_slopes_leave_a_lower_bound(tiny: float) -> None:
    """The minimum over the box is known at the corners and the target."""
    target = np.array([1.0, -2.0, 3.0])
    result = found(distances(target, tiny), 3)
    assert result.lower <= tiny * target.sum() + 1e-12
    assert result.value == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("error", [SolverFailed("Not Set"), InfeasibleActionSet("rounding")])
@pytest.mark.parametrize("fails", [1, 2, 3, 4, 7])
def test_a_solver_that_fails_ends_the_search_with_a_value(
    fails: int, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    solve, count = HighsSession.solve, 0

    def failing(self: HighsSession, *args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count >= fails:
            raise error
        return solve(self, *args, **options)

    monkeypatch.setattr(HighsSession, "solve", failing)
    target = np.array([7.0, -3.0])
    result = found(distances(target), 2)
    assert result.limited
    assert result.value == pytest.approx(float(np.abs(result.point - target).sum()))
    assert result.lower <= 1e-6 and np.isfinite(result.point).all()


def test_a_minimum_without_an_answer_does_not_end_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    solve, count = HighsSession.solve, 0

    def failing(self: HighsSession, *args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == 1:
            raise SolverFailed("Not Set")
        return solve(self, *args, **options)

    monkeypatch.setattr(HighsSession, "solve", failing)
    result = found(distances(np.array([7.0, -3.0])), 2, step=1.0)
    assert not result.limited and result.value == pytest.approx(0.0, abs=1e-5)
