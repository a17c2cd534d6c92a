"""HiGHS (default) and Gurobi behind one interface.

`open_session` loads a `worldplan.milp.program.Program` into a solver. The setters of the `Session`
change numbers, and `solve` solves again, independently of earlier solves.
"""

from __future__ import annotations

from worldplan.milp import checks
from worldplan.milp.gurobi import GurobiSession
from worldplan.milp.highs import HighsSession
from worldplan.milp.program import Program
from worldplan.milp.session import Session, Solution, SolverSettings, relative_gap

__all__ = ["Session", "Solution", "SolverSettings", "open_session", "relative_gap"]


def open_session(program: Program, settings: SolverSettings) -> Session:
    """Load `program` into the solver that `settings` names.

    Raises:
        ConfigError: `settings` is of another type.
        SolverUnavailable: the solver is not installed or not licensed.
    """
    checks.of_type(settings, "settings", SolverSettings, remedy="SolverSettings(...)")
    return {"highs": HighsSession, "gurobi": GurobiSession}[settings.name](program, settings)
