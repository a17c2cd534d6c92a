"""PDDL text in, unified-planning problems out, with every error in the words of this package."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from worldplan.milp.errors import DatasetError
from worldplan.world_models.pddl.files import DomainFile, read_domain_text, read_problem_text
from worldplan.world_models.pddl.names import decoded

if TYPE_CHECKING:
    from unified_planning.io import PDDLReader
    from unified_planning.model import Problem


def parse(
    domain: str, problem: str | None, where: str | Path, problem_where: str | Path | None = None
) -> Problem:
    """The unified-planning problem that PDDL texts describe; see `parse_checked`."""
    checked = read_domain_text(domain, where)
    place = where if problem_where is None else problem_where
    problem_text = None if problem is None else read_problem_text(problem, checked, place).text
    return parse_checked(checked, problem_text, where)


def parse_checked(domain: DomainFile, problem: str | None, where: str | Path) -> Problem:
    """The unified-planning problem of checked texts.

    It is made in the global environment of unified-planning, because the engines of that library
    work in no other. A metric is dropped; `scale-up` and `scale-down` become assignments. Names
    that its reader does not take are encoded (`names.encoded`).

    Args:
        domain: the domain.
        problem: text of a problem in it, checked, as in `ProblemFile`, or None.
        where: what errors name.

    Raises:
        DatasetError: unified-planning cannot read it, or the domain has durative actions.
    """
    from unified_planning.environment import get_environment

    if domain.text is None:
        first = domain.beyond[0]
        raise DatasetError(
            f"{where}: line {first.line}: {first.what}: only instantaneous actions are taken: "
            "write actions without time"
        )
    environment = get_environment()
    used_name_is_an_error = environment.error_used_name
    environment.error_used_name = False  # a type, a predicate and an object may share a name
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message=".*(already defined|already used)", category=UserWarning
            )
            parsed = _reader().parse_problem_string(domain.text, problem)
            for fluent, value in parsed.explicit_initial_values.items():
                if not value.is_constant():  # its engines do not accept (/ 1 3) as a number
                    parsed.set_initial_value(fluent, value.simplify())
            return parsed
    except Exception as error:  # the reader raises anything from KeyError to AssertionError
        raise DatasetError(f"{where}: {_reason(error)}") from error
    finally:
        environment.error_used_name = used_name_is_an_error


@cache
def _reader() -> PDDLReader:
    """The reader, cached because building its grammar takes as long as reading a problem."""
    from unified_planning.io import PDDLReader

    return PDDLReader()


def _reason(error: Exception) -> str:
    """What unified-planning says of a text that passed the checks here."""
    reason = decoded(" ".join(str(error).split())).rstrip(".")
    if isinstance(error, RecursionError):
        reason = "its expressions are nested too deep"
    return f"unified-planning cannot read it: {reason or type(error).__name__}"
