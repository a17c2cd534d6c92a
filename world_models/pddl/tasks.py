"""A domain and a problem read together, and what in them is beyond the exact models."""

from __future__ import annotations

from pathlib import Path

from worldplan.milp.user_files import read_user_text
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem
from worldplan.world_models.pddl.beyond import Beyond, refuse_beyond
from worldplan.world_models.pddl.files import read_domain_text, read_problem_text
from worldplan.world_models.pddl.reading import checked_model, checked_problem


def features_beyond(domain: str | Path, problem: str | Path | None = None) -> list[Beyond]:
    """What a domain and a problem use that the planners here do not take; empty if they take all.

    Args:
        domain: the domain file.
        problem: a problem file in it, or None.

    Raises:
        DatasetError: a file is missing or malformed.
    """
    checked = read_domain_text(read_user_text(domain), domain)
    beyond = [entry for entry in checked.beyond if not (entry.grounded and problem)]
    if problem is not None:
        beyond += read_problem_text(read_user_text(problem), checked, problem).beyond
    return beyond


def read_task(domain: str | Path, problem: str | Path) -> tuple[NumericModel, NumericProblem]:
    """A domain and a problem file. Quantifiers of the domain are expanded over the objects of the
    problem, so the model is for this problem only.

    Args:
        domain: the domain file.
        problem: the problem file.

    Raises:
        BeyondModels: something in them is beyond exact linear planning; names the first such place.
        DatasetError: a file is missing or malformed.
    """
    checked = read_domain_text(read_user_text(domain), domain)
    task = read_problem_text(read_user_text(problem), checked, problem)
    refuse_beyond([entry for entry in checked.beyond if not entry.grounded], domain)
    refuse_beyond(task.beyond, problem)
    model = checked_model(checked, task.text if checked.beyond else None, domain)
    return model, checked_problem(task, model.vocabulary, problem)
