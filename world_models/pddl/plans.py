"""Plan files in and out, and an independent check of plans: unified-planning's validator on PDDL
files.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from worldplan.milp.errors import DatasetError
from worldplan.milp.user_files import read_user_text
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Ground
from worldplan.world_models.numeric.metrics import Metric
from worldplan.world_models.numeric.s_expressions import written_name
from worldplan.world_models.pddl.files import read_domain_text, read_problem_text
from worldplan.world_models.pddl.metrics import read_metric
from worldplan.world_models.pddl.names import decoded, encoded
from worldplan.world_models.pddl.parsing import parse_checked
from worldplan.world_models.pddl.reading import vocabulary_of
from worldplan.world_models.storage import replace_file

if TYPE_CHECKING:
    from unified_planning.model import Problem
    from unified_planning.model.state import State as UPState
    from unified_planning.plans import ActionInstance

STEP = re.compile(
    r'(?:\d+(?:\.\d*)?\s*:)?\s*\(\s*([^\s():;"]+(?:\s+(?:"[^"]+"|[^\s():;"]+))*)\s*\)\s*(?:\[[^\]]*\])?'
)


NAME = re.compile(r'"([^"]+)"|([^\s"]+)')
COMMENT = re.compile(r'((?:"[^"]*"|[^";])*)(?:;.*)?')


class Validation(NamedTuple):
    """The verdict on a plan.

    Attributes:
        valid: whether the plan solves the problem.
        reason: why not, in words.
        cost: the problem's metric after a valid plan; None if it has none, or no value.
        sense: "minimize" or "maximize"; "" without a metric.
    """

    valid: bool
    reason: str = ""
    cost: Rational | None = None
    sense: str = ""


def read_plan(path: str | Path) -> tuple[Ground, ...]:
    """The actions of a plan file: one `(action object ...)` a line, in lower case.

    A time before an action, a duration after it and comments after a semicolon are ignored.

    Raises:
        DatasetError: the file cannot be read, or a line is no action.
    """
    steps = []
    for number, line in enumerate(read_user_text(path).splitlines(), 1):
        line = COMMENT.sub(r"\1", line).strip()
        if not line:
            continue
        match = STEP.fullmatch(line)
        if match is None:
            raise DatasetError(
                f"{path}: line {number}: '{line}' is not of the form (action object ...)"
            )
        steps.append(tuple(quoted or name.lower() for quoted, name in NAME.findall(match[1])))
    return tuple(steps)


def write_plan(plan: Sequence[Ground], path: str | Path) -> None:
    """Write a plan, one `(action object ...)` a line; the file is replaced atomically.

    A name that PDDL does not allow stands in double quotes.
    """
    text = "".join(f"({' '.join(map(written_name, step))})\n" for step in plan)
    replace_file(Path(path), lambda draft: draft.write_text(text, encoding="utf-8"))


def validate_with_unified_planning(
    domain: str | Path, problem: str | Path, plan: Sequence[Ground]
) -> Validation:
    """Whether a plan solves a problem file in a domain file, and its metric, by unified-planning's
    exact arithmetic.

    Args:
        domain: domain file.
        problem: problem file.
        plan: ground actions.

    Raises:
        DatasetError: a file is missing or malformed, or the validator cannot handle it.
    """
    where = f"{domain} with {problem}"
    text = read_user_text(problem)
    declared = read_domain_text(read_user_text(domain), domain)
    checked = read_problem_text(text, declared, problem)
    task = parse_checked(declared, checked.text, domain)
    vocabulary = vocabulary_of(task, where)
    metric = read_metric(checked.metric, vocabulary, vocabulary.constants, problem)
    steps = []
    for number, step in enumerate(plan, 1):
        instance = _instance(task, step)
        if isinstance(instance, str):
            return Validation(False, f"step {number}, ({' '.join(step)}): {instance}")
        steps.append(instance)
    return _validate(task, steps, metric, where)


def _validate(
    task: Problem, steps: list[ActionInstance], metric: Metric | None, where: str
) -> Validation:
    """The verdict on a plan whose actions and objects exist.

    Raises:
        DatasetError: the validator cannot handle the problem.
    """
    from unified_planning.engines import SequentialPlanValidator, ValidationResultStatus
    from unified_planning.exceptions import UPUsageError
    from unified_planning.plans import SequentialPlan

    validator = SequentialPlanValidator(environment=task.environment)
    validator.skip_checks = True  # they reject fluents without an initial value, which work
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            result = validator.validate(task, SequentialPlan(steps, task.environment))
    except UPUsageError as error:  # the goal contains an undefined fluent
        return Validation(False, decoded(str(error)))
    except ZeroDivisionError:  # a condition or an effect of a step has no value
        return Validation(False, "a step or the goal divides by zero")
    except Exception as error:  # the validator raises many types
        raise DatasetError(
            f"{where}: unified-planning cannot validate plans here: {error or type(error).__name__}"
        ) from error
    if result.status is ValidationResultStatus.VALID:
        if metric is None:
            return Validation(True)
        cost = _cost(task, metric, result.trace[-1], len(steps))
        return Validation(True, cost=cost, sense=metric.sense)
    reasons = "; ".join(message.message for message in result.log_messages or ())
    return Validation(False, decoded(reasons))


def _cost(task: Problem, metric: Metric, last: UPState, steps: int) -> Rational | None:
    """The metric in the last of the validator's states; None if a fluent has no value there."""
    from unified_planning.exceptions import UPUsageError

    manager = task.environment.expression_manager
    values: dict[Ground, Rational] = {}
    for fluent in metric.expression.fluents:
        name, *arguments = map(str, fluent)
        if task.has_fluent(encoded(name)):
            objects = [manager.ObjectExp(task.object(encoded(argument))) for argument in arguments]
            with suppress(UPUsageError):  # an undefined fluent
                value = last.get_value(manager.FluentExp(task.fluent(encoded(name)), objects))
                values[(name, *arguments)] = exact(value.constant_value())
    try:
        return metric.value(values, steps)
    except DatasetError:
        return None


def _instance(task: Problem, step: Ground) -> ActionInstance | str:
    """A step of a plan in unified-planning's form, or what is wrong with it."""
    from unified_planning.plans import ActionInstance

    name, *names = step
    if not task.has_action(encoded(name)):
        return f"the domain has no action '{name}'"
    action = task.action(encoded(name))
    if len(names) != len(action.parameters):
        return f"the action takes {len(action.parameters)} objects"
    objects = []
    for argument, parameter in zip(names, action.parameters, strict=True):
        if not task.has_object(encoded(argument)):
            return f"'{argument}' is not an object of the problem"
        item = task.object(encoded(argument))
        if not parameter.type.is_compatible(item.type):
            return decoded(f"'{argument}' is a {item.type.name}, not a {parameter.type.name}")
        objects.append(task.environment.expression_manager.ObjectExp(item))
    return ActionInstance(action, tuple(objects))
