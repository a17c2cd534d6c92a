"""Programs that HiGHS gives up: rounding stops its simplex method, and another attempt answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog

from worldplan.milp.errors import SolverFailed
from worldplan.milp.program import Program
from worldplan.milp.solvers import Session, SolverSettings, open_session


def test_a_linear_program_that_the_simplex_method_gives_up() -> None:
    """A level set of the joint bound's cuts; HiGHS 1.15 alone stops with "Not Set"."""
    with np.load(Path(__file__).with_name("given_up.npz")) as file:
        data: dict[str, Any] = dict(file)
    matrix = sparse.csr_array(
        (data["value"], data["column"], data["starts"]),
        shape=(len(data["row_lower"]), len(data["cost"])),
    )
    program = Program()
    columns = program.add_columns(len(data["cost"]), data["lower"], data["upper"])
    program.add_rows((columns, matrix), lower=data["row_lower"], upper=data["row_upper"])
    session = open_session(program, SolverSettings())
    session.set_cost(columns, data["cost"])
    solution = session.solve()
    assert solution.status == "optimal" and solution.x is not None
    above, below = np.isfinite(data["row_upper"]), np.isfinite(data["row_lower"])
    expected = linprog(
        -data["cost"],
        sparse.vstack([matrix[above], -matrix[below]]),
        np.concatenate([data["row_upper"][above], -data["row_lower"][below]]),
        bounds=np.stack([data["lower"], data["upper"]], axis=1),
        method="highs-ipm",
    )
    assert solution.value == pytest.approx(-expected.fun, abs=1e-4)  # badly conditioned


class _GivesUp:
    """HiGHS that gives up its first `times` runs."""

    def __init__(self, highs: Any, times: int, status: Any) -> None:
        self.highs, self.times, self.status, self.runs = highs, times, status, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.highs, name)

    def run(self) -> Any:
        self.runs += 1
        return self.highs.run()

    def getModelStatus(self) -> Any:  # noqa: N802
        return self.status if self.runs <= self.times else self.highs.getModelStatus()


def relaxed_knapsack(seed: int, *, quick: bool) -> Session:
    rng, program = np.random.default_rng(seed), Program()
    columns = program.add_columns(12, 0.0, 1.0, cost=rng.random(12) + 0.5)
    weights = rng.random((3, 12))
    program.add_rows((columns, weights), upper=weights.sum(1) / 3)
    return open_session(program, SolverSettings(gap=0.0, quick=quick))


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("status", ["kNotset", "kUnknown", "kSolveError"])
def test_every_attempt_answers_and_leaves_the_options(status: str, quick: bool) -> None:
    import highspy

    for times in range(5):
        session: Any = relaxed_knapsack(times, quick=quick)
        expected = relaxed_knapsack(times, quick=quick).solve()
        options = ("presolve", "solver", "simplex_strategy")
        before = [session._highs.getOptionValue(name)[1] for name in options]
        session._highs = _GivesUp(session._highs, times, getattr(highspy.HighsModelStatus, status))
        if times < 4:
            solution = session.solve()
            assert session._highs.runs == times + 1
            assert solution.status == "optimal" and solution.row_dual is not None
            assert solution.value == pytest.approx(expected.value)
        else:
            with pytest.raises(SolverFailed, match="HiGHS stopped"):
                session.solve()
        assert [session._highs.getOptionValue(name)[1] for name in options] == before
