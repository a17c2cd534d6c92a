"""The portfolio: the own search and the installed planners of others take turns, and a plan counts
once it is checked exactly.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.user_files import read_user_text
from worldplan.planners.numeric.engines.catalogue import (
    DOMAIN,
    ENGINES,
    PROBLEM,
    Engine,
    engine_of,
    installed_engines,
)
from worldplan.planners.numeric.engines.files import names_of, uses_regions, write_files
from worldplan.planners.numeric.engines.run import EngineRun, Fault
from worldplan.planners.numeric.engines.turns import Overtaken, Turns
from worldplan.planners.numeric.engines.verdicts import FileVerdicts
from worldplan.planners.numeric.search.search import SHORTENING_SECONDS, search_plan
from worldplan.planners.numeric.search.shortening import shortened
from worldplan.planners.numeric.task.budget import SearchLimits, check_effort, check_limits
from worldplan.planners.numeric.task.grounding import check_problem
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem
from worldplan.world_models.numeric.plan_errors import plan_fault


def portfolio_plan(
    model: NumericModel,
    problem: NumericProblem,
    *,
    method: str = "auto",
    engines: Sequence[str] | None = None,
    at_once: int = 1,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
) -> PlanResult:
    """A plan by the own search or by an installed planner of others, whichever has one first.

    They take turns in growing slices. An engine that is not installed, crashes, hangs, prints
    garbage or returns a wrong plan is named in `detail["tried"]`, and the others continue.

    Args:
        model: the actions.
        problem: objects, initial state and goal.
        method: of the own search, as in `search_plan`.
        engines: names of engines (`ENGINES`, or "up:NAME"); None for all that are installed.
        at_once: how many of them, the own search included, run at a time.
        time_limit: seconds in all.
        memory_limit_mb: memory of the own search, and of each engine.

    Raises:
        ConfigError: the search has no such method, or there is no such engine.
        DatasetError: the problem does not fit the model.
    """
    checks.whole_number(at_once, "at_once", least=1)
    check_limits(model, problem, time_limit, memory_limit_mb)
    started = time.perf_counter()
    check_problem(model, problem)
    with _runs(
        _chosen(engines),
        _writer(model, problem),
        lambda plan: plan_fault(model, problem, plan),
        memory_limit_mb,
        has_regions=uses_regions(model),
    ) as (runs, missing):
        turns = Turns(runs, at_once, time_limit, with_caller=True)
        own: PlanResult | None = None
        try:
            own = search_plan(
                model,
                problem,
                method=method,
                time_limit=time_limit,
                memory_limit_mb=memory_limit_mb,
                between=turns.tick,
            )
            if own.plan is None and own.status != "unsolvable":
                turns.finish()
        except Overtaken as overtaken:
            turns.close()
            left = max(0.0, started + time_limit - time.perf_counter())
            limits = SearchLimits(min(SHORTENING_SECONDS, left), memory_limit_mb)
            found = overtaken.run.plan or ()
            plan = shortened(model, problem, found, limits)
            detail = {"found_length": len(found), "tried": _tried(own, runs, missing)}
            return _result(overtaken.run, plan, time.perf_counter() - started, detail)
        finally:
            turns.close()
        detail = {**own.detail, "tried": _tried(own, runs, missing)}
        return replace(
            own, status=_status(own, runs), seconds=time.perf_counter() - started, detail=detail
        )


def engines_plan(
    model: NumericModel,
    problem: NumericProblem,
    *,
    engines: Sequence[str],
    at_once: int = 1,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
) -> PlanResult:
    """A plan by engines alone, checked exactly in the model.

    Args:
        model: the actions.
        problem: objects, initial state and goal.
        engines: names of engines, as in `portfolio_plan`; each must be installed.
        at_once: how many of them run at a time.
        time_limit: seconds in all.
        memory_limit_mb: memory of each engine.

    Raises:
        ConfigError: there is no such engine, or none is named.
        MissingExtra: an engine is not installed.
        DatasetError: the problem does not fit the model.
    """
    checks.whole_number(at_once, "at_once", least=1)
    check_limits(model, problem, time_limit, memory_limit_mb)
    check_problem(model, problem)
    chosen = _required(engines)
    if problem.goal.holds(problem.initial):
        return PlanResult((), "optimal", chosen[0].label, 0.0)
    return _by_engines(
        chosen,
        _writer(model, problem),
        lambda plan: plan_fault(model, problem, plan),
        at_once,
        time_limit,
        memory_limit_mb,
        has_regions=uses_regions(model),
    )


def engines_files(
    domain: str | Path,
    problem: str | Path,
    *,
    engines: Sequence[str] | None = None,
    at_once: int = 1,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
) -> PlanResult:
    """A plan for PDDL files as they are by the engines that can take them, checked by
    unified-planning's validator.

    Args:
        domain: domain file; it may contain what the exact models cannot represent.
        problem: problem file.
        engines: names of engines; None for all that are installed.
        at_once: how many of them run at a time.
        time_limit: seconds in all.
        memory_limit_mb: memory of each engine.

    Returns:
        Status "satisficing" with the plan of an engine. If the problem file has a metric, `cost` is
        its exact value, and nothing is proven about it.

    Raises:
        DatasetError: a file is missing or malformed.
        ConfigError: there is no such engine, none is named, or no engine is installed.
        MissingExtra: an engine that is named is not installed.
    """
    checks.whole_number(at_once, "at_once", least=1)
    check_effort(time_limit, memory_limit_mb)
    chosen = _required(engines)
    texts = {DOMAIN: read_user_text(domain), PROBLEM: read_user_text(problem)}

    verdicts = FileVerdicts(domain, problem)
    if (done := verdicts.without_actions(chosen[0].label)) is not None:
        return done

    def write(folder: Path) -> None:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")

    return verdicts.valued(
        _by_engines(chosen, lambda _: write, verdicts.fault, at_once, time_limit, memory_limit_mb)
    )


Writer = Callable[[Engine], Callable[[Path], None]]  # writes an engine's files into a folder


def _by_engines(
    engines: Sequence[Engine],
    writer: Writer,
    fault: Fault,
    at_once: int,
    time_limit: float,
    memory_limit_mb: int,
    *,
    has_regions: bool = False,
) -> PlanResult:
    """The first valid plan of some engines."""
    started = time.perf_counter()
    with _runs(engines, writer, fault, memory_limit_mb, has_regions=has_regions) as (runs, missing):
        turns = Turns(runs, at_once, time_limit, with_caller=False)
        try:
            turns.finish()
        except Overtaken as overtaken:
            turns.close()
            detail = {"tried": _tried(None, runs, missing)}
            plan = overtaken.run.plan or ()
            return _result(overtaken.run, plan, time.perf_counter() - started, detail)
        finally:
            turns.close()
        status = _status(None, runs)
        detail = {"tried": _tried(None, runs, missing)}
        label = ", ".join(run.engine.label for run in runs)
        return PlanResult(None, status, label, time.perf_counter() - started, 0, detail)


def _chosen(names: Sequence[str] | None) -> list[Engine]:
    """The engines with these names, installed or not; all installed ones for None.

    Raises:
        ConfigError: there is no such engine.
    """
    return installed_engines() if names is None else [engine_of(name) for name in names]


def _required(names: Sequence[str] | None) -> list[Engine]:
    """The engines with these names, at least one; all installed ones for None.

    Raises:
        ConfigError: there is no such engine, none is named, or no engine is installed.
        MissingExtra: one that is named is not installed.
    """
    chosen = _chosen(names)
    for engine in chosen:
        engine.require()
    if not chosen and names is None:
        raise ConfigError(
            "no engine is installed that could take this domain: pip install 'worldplan[engines]'"
        )
    if not chosen:
        raise ConfigError(f"engines is empty: name at least one of {', '.join(ENGINES)}")
    return chosen


def _writer(model: NumericModel, problem: NumericProblem) -> Writer:
    """Writes the files of a model and a problem, or refuses a name that an engine cannot read."""
    names = names_of(model, problem)

    def writer(engine: Engine) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            if reserved := engine.reserved & names:
                raise ConfigError(
                    f"'{min(reserved)}' is a keyword of {engine.name}: give it another name"
                )
            write_files(model, problem, folder / DOMAIN, folder / PROBLEM)

        return write

    return writer


@contextmanager
def _runs(
    engines: Iterable[Engine],
    writer: Writer,
    fault: Fault,
    memory_limit_mb: int,
    *,
    has_regions: bool = False,
) -> Iterator[tuple[list[EngineRun], list[Engine]]]:
    """The runs of the installed engines in a folder that exists as long, and the missing ones."""
    with tempfile.TemporaryDirectory(prefix="engines-", ignore_cleanup_errors=True) as folder:
        missing = [engine for engine in engines if not engine.installed]
        yield (
            [
                EngineRun(
                    engine,
                    writer(engine),
                    Path(folder).resolve() / engine.name.replace(":", "-"),
                    fault=fault,
                    memory_limit_mb=memory_limit_mb,
                    has_regions=has_regions,
                )
                for engine in engines
                if engine.installed
            ],
            missing,
        )


def _tried(
    own: PlanResult | None, runs: Sequence[EngineRun], missing: Sequence[Engine]
) -> list[dict[str, Any]]:
    """Planner, status and seconds of each that had a turn; reasons of those that failed."""
    tried: list[dict[str, Any]] = []
    if own is not None:
        tried.append({"planner": own.planner, "status": own.status, "seconds": own.seconds})
    for run in runs:
        if run.status == "waiting":
            continue
        status = "time_limit" if run.status == "running" else run.status
        entry = {"planner": run.engine.label, "status": status, "seconds": run.seconds}
        entry |= {"memory_mb": run.memory_mb} if run.memory_mb else {}
        tried.append(entry | ({"reason": run.reason} if run.reason else {}))
    return tried + [
        {"planner": engine.label, "status": "failed", "reason": "it is not installed"}
        for engine in missing
    ]


def _status(own: PlanResult | None, runs: Sequence[EngineRun]) -> str:
    """The status of all together: a plan, a proof, a limit that any of them met, or nothing."""
    if own is not None and (own.plan is not None or own.status == "unsolvable"):
        return own.status
    met = {own.status} if own is not None else set()
    met |= {"time_limit" if run.status == "running" else run.status for run in runs}
    return next(
        (limit for limit in ("time_limit", "memory_limit") if limit in met), "no_plan_found"
    )


def _result(
    run: EngineRun, plan: tuple[tuple[str, ...], ...], seconds: float, detail: dict[str, Any]
) -> PlanResult:
    """The result with a plan of an engine."""
    return PlanResult(plan, "satisficing", run.engine.label, seconds, 0, detail)
