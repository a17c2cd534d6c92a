"""Exact numeric models and problems in, PDDL 2.1 (level 2) and unified-planning problems out.

The text is made here and not by unified-planning's writer, which rounds every fraction to ten
digits and renames things. Here a number is an integer, an exact decimal, or a quotient of integers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from worldplan.milp.errors import ConfigError
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem, Vocabulary
from worldplan.world_models.pddl.formatting import (
    action_text,
    comparison_text,
    number_text,
    typed_parameters,
)
from worldplan.world_models.pddl.metrics import metric_text
from worldplan.world_models.pddl.parsing import parse
from worldplan.world_models.pddl.quality import quality_of
from worldplan.world_models.storage import replace_file

if TYPE_CHECKING:
    from unified_planning.model import Problem

FACET_BUDGET = 200  # comparisons for one region: planners ground each of them for every binding
NAME = re.compile(r"[a-z][a-z0-9_-]*")
READABLE = re.compile(r"[^\s();?:A-Z-][^\s();?A-Z]*")  # one token of the reader here
RESERVED = frozenset(
    {
        "and",
        "or",
        "not",
        "imply",
        "forall",
        "exists",
        "when",
        "either",
        "object",
        "number",
        "total-time",
        "assign",
        "increase",
        "decrease",
        "scale-up",
        "scale-down",
        "always",
        "sometime",
        "at-most-once",
        "sometime-before",
        "sometime-after",
    }
)
REQUIREMENTS = (
    "(:requirements :strips :typing :negative-preconditions :disjunctive-preconditions :equality "
    ":fluents)"
)


class DomainText(NamedTuple):
    """A domain in PDDL.

    Attributes:
        text: the domain.
        narrowed: the actions of which a region was replaced by a smaller one inside it.
    """

    text: str
    narrowed: frozenset[str]


def write_domain(
    model: NumericModel, path: str | Path, *, facet_budget: int = FACET_BUDGET
) -> frozenset[str]:
    """Write a model as a PDDL domain.

    Args:
        model: its actions are written; further actions of its vocabulary are not.
        path: the file.
        facet_budget: largest number of comparisons for one region. A region with more is replaced
            by a smaller region inside it; this is safe, since no state is accepted that the model
            does not accept.

    Returns:
        The names of the actions with a replaced region.

    Raises:
        ConfigError: a name is no PDDL name, or a region has neither half-spaces nor points.
    """
    domain = domain_text(model, facet_budget=facet_budget)
    replace_file(Path(path), lambda draft: draft.write_text(domain.text, encoding="utf-8"))
    return domain.narrowed


def write_problem(problem: NumericProblem, vocabulary: Vocabulary, path: str | Path) -> None:
    """Write a problem in PDDL.

    Args:
        problem: the problem.
        vocabulary: the declarations of its domain; its constants are not written again.
        path: the file.

    Raises:
        ConfigError: a name is no PDDL name.
    """
    text = problem_text(problem, vocabulary)
    replace_file(Path(path), lambda draft: draft.write_text(text, encoding="utf-8"))


def to_unified_planning(
    model: NumericModel, problem: NumericProblem | None = None, *, facet_budget: int = FACET_BUDGET
) -> Problem:
    """A model, and a problem in it, as a unified-planning problem with exact numbers.

    `from_unified_planning` is the inverse. Any planner or tool of unified-planning can work with
    the result.

    Args:
        model: as in `write_domain`.
        problem: the problem; without one the result has no objects but constants, and no goal.
        facet_budget: as in `write_domain`.

    Raises:
        ConfigError: a name is no PDDL name, a region has neither half-spaces nor points, or the
            metric has fluents and `(total-time)`, which unified-planning cannot add up.
    """
    problem_pddl = None if problem is None else problem_text(problem, model.vocabulary)
    converted = parse(
        domain_text(model, facet_budget=facet_budget).text,
        problem_pddl,
        f"model '{model.vocabulary.name}'",
    )
    if problem is not None and problem.metric is not None:
        converted.add_quality_metric(quality_of(problem.metric, converted))
    return converted


def vocabulary_text(
    vocabulary: Vocabulary, actions: Iterable[str] = (), *, named: bool = True
) -> str:
    """A domain in PDDL.

    Args:
        vocabulary: the declarations.
        actions: the actions, already in PDDL.
        named: whether names that PDDL does not allow are refused; the reader here takes them.

    Raises:
        ConfigError: a name is no PDDL name, or a predicate and a function have the same name.
    """
    names = [*vocabulary.types, *vocabulary.constants, *vocabulary.predicates]
    names += [*vocabulary.functions, *vocabulary.actions]
    if named or not all(READABLE.fullmatch(name) for name in names):
        _check_names(vocabulary)
    lines = [f"(define (domain {vocabulary.name})", REQUIREMENTS]
    if vocabulary.types:
        lines += [
            "(:types",
            *(f"  {kind} - {parent}" for kind, parent in vocabulary.types.items()),
            ")",
        ]
    if vocabulary.constants:
        lines += [
            "(:constants",
            *(f"  {name} - {kind}" for name, kind in vocabulary.constants.items()),
            ")",
        ]
    for section, declared in (
        (":predicates", vocabulary.predicates),
        (":functions", vocabulary.functions),
    ):
        if declared:
            lines += [
                f"({section}",
                *(
                    f"  ({' '.join([name, *typed_parameters(enumerate(kinds))])})"
                    for name, kinds in declared.items()
                ),
                ")",
            ]
    return "\n".join([*lines, *actions, ")", ""])


def domain_text(model: NumericModel, *, facet_budget: int = FACET_BUDGET) -> DomainText:
    """A model in PDDL.

    Args:
        model: as in `write_domain`.
        facet_budget: as in `write_domain`.

    Raises:
        ConfigError: a name is no PDDL name, or a region has neither half-spaces nor points.
    """
    narrowed: set[str] = set()
    actions = []
    for action in model.actions.values():
        text, all_exact = action_text(action, facet_budget)
        actions.append(text)
        if not all_exact:
            narrowed.add(action.name)
    return DomainText(vocabulary_text(model.vocabulary, actions), frozenset(narrowed))


def problem_text(problem: NumericProblem, vocabulary: Vocabulary) -> str:
    """A problem in PDDL.

    Args:
        problem: the problem.
        vocabulary: the declarations of its domain.

    Raises:
        ConfigError: a name is no PDDL name.
    """
    own_objects = {
        name: kind for name, kind in problem.objects.items() if name not in vocabulary.constants
    }
    for name in (problem.name, *own_objects):
        check_name(name, "problem" if name == problem.name else "object")
    conditions = [f"({' '.join(atom)})" for atom in sorted(problem.goal.positive)]
    conditions += [f"(not ({' '.join(atom)}))" for atom in sorted(problem.goal.negative)]
    conditions += [comparison_text(comparison, ()) for comparison in problem.goal.comparisons]
    return "\n".join(
        [
            f"(define (problem {problem.name})",
            f"(:domain {vocabulary.name})",
            *(
                ["(:objects", *(f"  {name} - {kind}" for name, kind in own_objects.items()), ")"]
                if own_objects
                else []
            ),
            "(:init",
            *(f"  ({' '.join(atom)})" for atom in sorted(problem.initial.atoms)),
            *(
                f"  (= ({' '.join(fluent)}) {number_text(value)})"
                for fluent, value in sorted(problem.initial.values.items())
            ),
            ")",
            "(:goal (and",
            *(f"  {condition}" for condition in conditions),
            "))",
            *([] if problem.metric is None else [metric_text(problem.metric)]),
            ")",
            "",
        ]
    )


def check_name(name: str, what: str) -> None:
    """Check that a name is a PDDL name.

    Args:
        name: the name.
        what: what it names, for the message.

    Raises:
        ConfigError: it is not.
    """
    if not NAME.fullmatch(name) or name in RESERVED:
        raise ConfigError(
            f"{what} '{name}' is no PDDL name: use lower-case letters, digits, '-' and '_', begin "
            "with a letter, and use no PDDL keyword"
        )


def _check_names(vocabulary: Vocabulary) -> None:
    """Check all names of a vocabulary.

    Raises:
        ConfigError: a name is no PDDL name, or a predicate and a function have the same name.
    """
    check_name(vocabulary.name, "domain")
    for what, names in (
        ("type", vocabulary.types),
        ("constant", vocabulary.constants),
        ("predicate", vocabulary.predicates),
        ("function", vocabulary.functions),
        ("action", vocabulary.actions),
    ):
        for name in names:
            check_name(name, what)
    for action, parameters in vocabulary.actions.items():
        for name, _ in parameters:
            check_name(name, f"action '{action}': parameter")
    if both := vocabulary.predicates.keys() & vocabulary.functions.keys():
        raise ConfigError(
            f"domain '{vocabulary.name}': both a predicate and a function is named '{min(both)}'; "
            "PDDL planners confuse them"
        )
