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
from dataclasses import replace
from typing import Any, Protocol

from worldplan.milp.addresses import own_errors
from worldplan.milp.errors import ConfigError
from worldplan.milp.registry import Registry
from worldplan.planners.numeric.cheapest.planner import astar_plan, improved
from worldplan.planners.numeric.engines.catalogue import ENGINES, engine_of
from worldplan.planners.numeric.enhsp import enhsp_plan
from worldplan.planners.numeric.milp.planner import milp_plan
from worldplan.planners.numeric.portfolio import engines_plan, portfolio_plan
from worldplan.planners.numeric.search.search import search_plan
from worldplan.planners.numeric.task.budget import check_limits
from worldplan.planners.numeric.task.quality import check_metric, valued
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.numeric.bounded import BoundedModel
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem
from worldplan.world_models.numeric.plan_errors import plan_fault
from worldplan.world_models.numeric.sources.plain_names import PlainNames


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


IMPROVING_SHARE = 0.1  # of the time that "auto" uses for a better metric of its plan, and a bound
PLANNERS: Registry[PlanFunction | type[PlanFunction]] = Registry(
    "planner", "worldplan.numeric_planners"
)
"""Numeric planners by name: functions, or classes whose instances are called like them."""


def solve(
    model: NumericModel | BoundedModel,
    problem: NumericProblem,
    planner: str | PlanFunction = "auto",
    *,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
    **settings: Any,
) -> PlanResult:
    """A plan, checked exactly in the model whichever planner made it.

    Args:
        model: the actions. With bounded errors, the plan is robust: it works for every value within
            the bounds, and `detail["robust"]` is set.
        problem: objects, initial state and goal.
        planner: a name in `PLANNERS`, an address "module:attribute", or a `PlanFunction` itself.
            "search" is `search_plan`, "astar" is `astar_plan` (best metric, proven), "milp" is
            `milp_plan` (shortest plans), "enhsp" is `enhsp_plan` (an external planner), "auto" is
            `portfolio_plan`; where the problem has a metric, "auto" then uses a tenth of the time
            to improve it and to prove a bound. An engine of others is called by its name in
            `ENGINES`, or "up:NAME" for one of unified-planning.
        time_limit: seconds in all.
        memory_limit_mb: memory of a search, or of ENHSP.
        settings: settings of the planner, such as `method` of a search, `max_horizon` of the
            MILP, `engines` and `at_once` of the portfolio.

    Objects may have any names: a planner gets plain ones for those that PDDL does not allow, and
    its plan is returned with the names of the problem.

    Returns:
        The planner's result. `detail["tried"]` has planner, status and seconds of each planner
        that ran. A plan that fails the exact check is moved to `detail["rejected"]`, with
        `detail["reason"]` and status "no_plan_found". If the problem has a metric, `cost` is its
        exact value, and "optimal" means that no plan has a better one.

    Raises:
        ConfigError: there is no such planner, it has no such setting, a limit is not positive, or
            the model has something that the planner cannot express.
        MissingExtra: ENHSP is chosen and not installed.
        DatasetError: the problem does not fit the model.
        SolverFailed: ENHSP or the MILP solver broke down.
    """
    if isinstance(model, BoundedModel):
        model, problem = model.robust(problem)
        settings |= {"time_limit": time_limit, "memory_limit_mb": memory_limit_mb}
        result = solve(model, problem, planner, **settings)
        return replace(result, detail={**result.detail, "robust": True})
    name = planner if isinstance(planner, str) else getattr(planner, "__name__", "planner")
    plan_function = _plan_function(planner)
    check_limits(model, problem, time_limit, memory_limit_mb)
    check_metric(problem)
    improves = planner == "auto" and problem.metric is not None
    share = 1 - IMPROVING_SHARE if improves else 1
    keywords = {"time_limit": share * time_limit, "memory_limit_mb": memory_limit_mb, **settings}
    try:
        inspect.signature(plan_function).bind(model, problem, **keywords)
    except TypeError as error:
        raise ConfigError(
            f"planner '{name}': {error}: it is called with model, problem, {', '.join(keywords)}"
        ) from error
    names = PlainNames.of(problem, model.vocabulary)
    started = time.perf_counter()
    with own_errors(f"planner '{name}'", "mend it, or choose another planner"):
        result = plan_function(model, names.problem(problem), **keywords)
    if not isinstance(result, PlanResult):
        raise ConfigError(
            f"planner '{name}': returned a {type(result).__name__}: return a PlanResult"
        )
    if names.plain and result.plan is not None:
        result = replace(result, plan=names.plan(result.plan))
    checked = valued(model, problem, _checked(model, problem, result))
    if improves and checked.plan is not None and checked.status != "optimal":
        checked = improved(
            model,
            problem,
            checked,
            time_limit=IMPROVING_SHARE * time_limit,
            memory_limit_mb=memory_limit_mb,
        )
    return checked if "tried" in checked.detail else _with_effort(checked, started)


def _plan_function(planner: str | PlanFunction) -> PlanFunction:
    """The function that a name or an address stands for; a class is made without arguments.

    Raises:
        ConfigError: nothing has this name, or it cannot be called or made.
    """
    if isinstance(planner, str) and planner.startswith("up:"):
        return _engine(engine_of(planner).name)
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


def _engine(name: str) -> PlanFunction:
    """The planner that is one engine alone."""

    def plan(
        model: NumericModel,
        problem: NumericProblem,
        *,
        time_limit: float = 60.0,
        memory_limit_mb: int = 4096,
    ) -> PlanResult:
        return engines_plan(
            model,
            problem,
            engines=[name],
            time_limit=time_limit,
            memory_limit_mb=memory_limit_mb,
        )

    return plan


search_or_enhsp = portfolio_plan  # its name before it had further engines
PLANNERS.register("auto", portfolio_plan)
PLANNERS.register("search", search_plan)
PLANNERS.register("astar", astar_plan)
PLANNERS.register("milp", milp_plan)
PLANNERS.register("enhsp", enhsp_plan)
for _name in ENGINES:
    PLANNERS.register(_name, _engine(_name))


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


def _with_effort(result: PlanResult, started: float) -> PlanResult:
    """The result with its own effort as the list of what was tried."""
    tried = [{"planner": result.planner, "status": result.status, "seconds": result.seconds}]
    seconds = time.perf_counter() - started
    return replace(result, seconds=seconds, detail={**result.detail, "tried": tried})
