"""An optimum by HiGHS counts as proven once two solves agree."""

import dataclasses

import numpy as np
import pytest

from worldplan.milp.confirmation import Claims
from worldplan.milp.errors import InfeasibleActionSet, SolverFailed
from worldplan.milp.highs import HighsSession
from worldplan.milp.program import Program
from worldplan.milp.session import Solution, SolverSettings


def program(integer=True):
    """Maximise x1 + 2 x2 + y with x binary, y at most 3 and x1 + x2 + y <= 3."""
    made = Program()
    x = made.add_columns(2, 0.0, 1.0, integer=True, cost=[1.0, 2.0])
    y = made.add_columns(1, 0.0, 3.0, integer=integer, cost=1.0)
    made.add_rows((x, np.ones((1, 2))), (y, np.ones((1, 1))), upper=3.0)
    return made


def point(value, bound=None, status="optimal"):
    bound = value if bound is None else bound
    return Solution(status, value, bound, np.zeros(3), None, 0.0)


def claims(*given):
    made = Claims(program().matrices(), 1.0)
    for each in given:
        assert not made.settled
        made.add(each)
    return made


def test_two_claims_that_agree_settle_it():
    made = claims(point(4.0), point(4.0))
    assert made.settled and made.answer().value == 4.0 and made.answer().status == "optimal"


def test_a_better_point_refutes_a_claim_and_needs_a_second_one():
    made = claims(point(3.0), point(4.0), point(4.0))
    assert made.settled and made.answer().value == made.answer().bound == 4.0


def test_a_point_refutes_infeasibility():
    assert claims(None, point(4.0), point(4.0)).answer().value == 4.0
    with pytest.raises(InfeasibleActionSet):
        claims(None, None).answer()


def test_the_bounds_of_the_columns_prove_an_optimum_alone():
    assert claims(point(6.0)).settled
    assert not claims(point(5.0)).settled


def test_the_weakest_bound_that_holds_counts():
    answer = claims(point(3.0, 3.2, "within_gap"), point(3.1, 3.15, "within_gap")).answer()
    assert (answer.value, answer.bound, answer.status) == (3.1, 3.2, "within_gap")


def test_a_confirmation_that_is_cut_off_is_no_proof():
    made = claims(point(3.0), point(3.0, 4.5, "time_limit"))
    answer = made.answer()
    assert made.settled and (answer.status, answer.bound) == ("time_limit", 4.5)


def test_nothing_but_contradictions_is_a_failure():
    with pytest.raises(SolverFailed, match="contradicts itself"):
        claims(point(3.0), point(4.0)).answer()
    made = claims(point(3.0))
    made.add_failure(SolverFailed("stopped"))
    with pytest.raises(SolverFailed, match="stopped"):
        made.answer()


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("wrong", ["optimum", "infeasible", "failed"])
def test_one_wrong_solve_changes_nothing(monkeypatch, wrong, quick):
    """Whichever of the solves is wrong, the answer and the options afterwards are the same."""
    right = HighsSession._run
    for turn in range(2):
        calls = []

        def run(self, way, *rest, calls=calls, turn=turn):
            calls.append(way)
            solution = right(self, way, *rest)
            if len(calls) != turn + 1:
                return solution
            if wrong == "optimum":
                return dataclasses.replace(solution, value=1.0, bound=1.0)
            raise {"infeasible": InfeasibleActionSet, "failed": SolverFailed}[wrong](wrong)

        monkeypatch.setattr(HighsSession, "_run", run)
        session = HighsSession(program(), SolverSettings(gap=0.0, quick=quick))
        before = session._highs.getOptionValue("presolve")
        assert session.solve().value == pytest.approx(4.0)
        assert len(calls) == 3 and session._highs.getOptionValue("presolve") == before


def test_programs_of_binaries_are_solved_once(monkeypatch):
    right, calls = HighsSession._run, []
    monkeypatch.setattr(
        HighsSession, "_run", lambda self, *given: calls.append(0) or right(self, *given)
    )
    made = Program()
    x = made.add_columns(3, 0.0, 1.0, integer=True, cost=[1.0, 2.0, 3.0])
    made.add_rows((x, np.ones((1, 3))), upper=2.0)
    assert HighsSession(made, SolverSettings()).solve().value == 5.0 and len(calls) == 1
