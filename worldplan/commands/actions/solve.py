"""`worldplan actions solve` and `validate`: a plan for a problem, and what is wrong with a plan."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldplan.commands.actions.quality import advice, as_document, in_words, number_in_words
from worldplan.files import refuse_input_as_output
from worldplan.milp.errors import ConfigError, DatasetError, one_line
from worldplan.output.console import plain_console
from worldplan.planners.numeric.engines.catalogue import ENGINES, engine_of
from worldplan.planners.numeric.enhsp import solve_files
from worldplan.planners.numeric.planning import solve
from worldplan.planners.numeric.portfolio import engines_files
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.action_model.files import load_any_model
from worldplan.world_models.action_model.learner import LearningReport
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.bounded import BoundedModel, exact_pair
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem
from worldplan.world_models.numeric.execution import plan_cost
from worldplan.world_models.numeric.plan_errors import plan_fault
from worldplan.world_models.pddl.beyond import BeyondModels
from worldplan.world_models.pddl.plans import read_plan, validate_with_unified_planning, write_plan
from worldplan.world_models.pddl.reading import read_problem
from worldplan.world_models.pddl.tasks import read_task

_MEANING = {
    "optimal": "no plan of this model has fewer actions",
    "satisficing": "shorter plans may exist",
    "unsolvable": "unsolvable in this model, which is proven",
    "no_plan_found": "none found, and nothing is proven",
    "time_limit": "none found within {time_limit:g} s",
    "memory_limit": "none found within {memory_limit} MB",
}


def solve_command(options: Namespace) -> int:
    """Plan and print the plan. Returns 0 with a plan, 1 without.

    ENHSP receives a .pddl domain as it is, with everything that the exact models cannot represent.

    Args:
        options: the parsed command line.

    Raises:
        ConfigError: a limit is not positive, or the planner cannot be used.
        DatasetError: a file is missing or malformed.
    """
    if options.time_limit <= 0 or options.memory_limit < 1:
        raise ConfigError(
            f"--time-limit {options.time_limit:g}, --memory-limit {options.memory_limit}: give "
            "seconds above 0 and at least 1 MB"
        )
    if options.output is not None:
        refuse_input_as_output(options.output, options.model, options.problem)
    report, result, refusal = _solved(options)
    if result.plan is not None and options.output is not None:
        write_plan(result.plan, options.output)
    lines = _describe(result, options, report)
    if refusal:
        lines.insert(1, f"not by the planners here, but by engines on the files: {refusal}")
    if options.json:
        print(json.dumps(_document(result, lines, learned=report is not None), indent=2))
    else:
        for line in [
            *(f"({' '.join(step)})" for step in result.plan or ()),
            *(f"; {line}" for line in lines),
        ]:
            plain_console().print(line, soft_wrap=True)
    return 0 if result.plan is not None else 1


def _solved(options: Namespace) -> tuple[LearningReport | None, PlanResult, str]:
    """The report of a learned model, the result of the planner, and why the planners here could not
    take the domain, "" if they could.

    Raises:
        ConfigError: the planner cannot be used.
        DatasetError: a file is missing or malformed.
        BeyondModels: the domain is beyond the planners here, and no installed engine can take it.
    """
    limits = {"time_limit": options.time_limit, "memory_limit_mb": options.memory_limit}
    is_pddl = options.model.suffix != ".json"
    settings = _portfolio_settings(options)
    if options.planner == "enhsp" and is_pddl:
        return None, solve_files(options.model, options.problem, **limits), ""
    try:
        model, problem = read_model_and_problem(options.model, options.problem)
    except BeyondModels as error:
        engines = _engines_for_files(options.planner, settings)
        if not is_pddl or not engines:
            raise
        try:
            result = engines_files(
                options.model,
                options.problem,
                engines=engines,
                at_once=settings.get("at_once", 1),
                **limits,
            )
        except DatasetError:  # nor can the validator take it: the first message says where
            raise error from None
        return None, result, one_line(error)
    result = solve(model, problem, options.planner, **limits, **settings)
    return model.detail.get("report"), result, ""


def _portfolio_settings(options: Namespace) -> dict[str, Any]:
    """The settings of the portfolio; none for another planner.

    Raises:
        ConfigError: they are given for another planner, or cannot be.
    """
    given = {"--engines": options.engines is not None, "--at-once": options.at_once != 1}
    if options.planner != "auto":
        if named := [name for name, is_given in given.items() if is_given]:
            raise ConfigError(
                f"{named[0]} belongs to --planner auto: leave it out, or choose --planner auto"
            )
        return {}
    if options.at_once < 1:
        raise ConfigError(f"--at-once {options.at_once}: give at least 1")
    if options.engines is None:
        return {"at_once": options.at_once}
    names = [name for name in options.engines.replace(",", " ").split() if name != "none"]
    for name in names:
        engine_of(name)
    return {"at_once": options.at_once, "engines": names}


def _engines_for_files(planner: str, settings: Mapping[str, Any]) -> list[str]:
    """The engines for a domain that the planners here cannot take."""
    if planner == "auto":
        names = settings.get("engines", list(ENGINES))
        return [name for name in names if engine_of(name).installed]
    return [planner] if planner in ENGINES or planner.startswith("up:") else []


def validate_command(options: Namespace) -> int:
    """Execute a plan exactly and print its metric, or what is wrong. Returns 0 if valid, else 1.

    Args:
        options: the parsed command line.

    Raises:
        DatasetError: a file is missing or malformed.
    """
    plan = read_plan(options.plan)
    verdicts: dict[str, str | None] = {}
    costs: dict[str, Rational | None] = {}
    unchecked = sense = ""
    robust = False
    try:
        model, problem = read_model_and_problem(options.model, options.problem)
        robust = isinstance(model, BoundedModel)
        verdicts["worldplan"] = plan_fault(model, problem, plan)
        if problem.metric is not None and verdicts["worldplan"] is None:
            costs["worldplan"] = plan_cost(*exact_pair(model, problem), plan)
            sense = problem.metric.sense
    except BeyondModels as error:  # the independent validator takes more than the models here
        unchecked = str(error).split(" is beyond ")[0]
    if options.model.suffix != ".json":
        by_unified_planning = validate_with_unified_planning(options.model, options.problem, plan)
        verdicts["unified-planning"] = (
            None if by_unified_planning.valid else by_unified_planning.reason or "not valid"
        )
        costs["unified-planning"] = by_unified_planning.cost
        sense = sense or by_unified_planning.sense
    valid = all(fault is None for fault in verdicts.values())
    texts = {name: number_in_words(cost) for name, cost in costs.items() if cost is not None}
    if options.json:
        document = {
            "valid": valid,
            "steps": len(plan),
            "faults": verdicts,
            "costs": texts,
            "unchecked": unchecked,
        }
        print(json.dumps(document, indent=2))
    else:
        console = plain_console()
        if unchecked:
            console.print(
                f"worldplan: not checked by the exact models here ({unchecked}); the verdict is "
                "unified-planning's alone",
                soft_wrap=True,
            )
        for name, fault in verdicts.items():
            within = ", for every value within the noise bounds" if robust else ""
            verdict = (
                f"valid, {len(plan)} steps reach the goal{within}"
                if fault is None
                else f"not valid: {fault}"
            )
            cost = f", metric ({sense}): {texts[name]}" if name in texts else ""
            console.print(f"{name}: {verdict}{cost}", soft_wrap=True)
    return 0 if valid else 1


def read_model_and_problem(
    model: Path, problem: Path
) -> tuple[NumericModel | BoundedModel, NumericProblem]:
    """The model in a .json file or of a .pddl domain, and a problem; quantifiers of the domain are
    expanded over the problem's objects.

    Raises:
        DatasetError: a file is missing or malformed, or beyond exact linear planning.
    """
    if model.suffix != ".json":
        return read_task(model, problem)
    loaded = load_any_model(model)
    return loaded, read_problem(problem, loaded.vocabulary)


def _describe(result: PlanResult, options: Namespace, report: LearningReport | None) -> list[str]:
    """The result in words."""
    meaning = in_words(result) or _MEANING[result.status].format(
        time_limit=options.time_limit, memory_limit=options.memory_limit
    )
    head = (
        f"NO PLAN: {meaning}"
        if result.plan is None
        else f"{len(result.plan)} actions, {result.status}: {meaning}"
    )
    lines = [f"{head} ({result.planner}, {result.seconds:.2f} s)"]
    if what_next := advice(result, options.planner):
        lines.append(what_next)
    if result.detail.get("robust"):
        lines.append(
            "robust: it works for every value within the noise bounds of the model"
            if result.plan is not None
            else "with noise bounds only plans count that work for every value within them"
        )
    if result.plan is not None and options.output is not None:
        lines.append(f"written to {options.output}")
    if result.plan is None and "reason" in result.detail:
        lines.append(str(result.detail["reason"]))
    lines += [
        f"{entry['planner']}: {entry['status']}: {entry['reason']}"
        for entry in result.detail.get("tried", ())
        if entry.get("reason")
    ]
    if result.status == "unsolvable" and report is not None:
        lines.append(
            "a learned model allows only what its data show, so the world may have a plan all the "
            "same: learn from more trajectories, or declare more"
        )
        if report.excluded:
            lines.append(
                "not in the model: "
                f"{'; '.join(f'{name} ({reason})' for name, reason in report.excluded.items())}"
            )
    elif result.status == "unsolvable":
        lines.append("if the domain was learned, the world may have a plan all the same")
    return lines


def _document(result: PlanResult, lines: list[str], *, learned: bool) -> dict[str, Any]:
    """The result as plain values for JSON."""
    return {
        "status": result.status,
        "plan": None if result.plan is None else [list(step) for step in result.plan],
        "planner": result.planner,
        "seconds": result.seconds,
        "expanded": result.expanded,
        "metric": as_document(result) if "sense" in result.detail else None,
        "learned_model": learned,
        "notes": lines,
    }
