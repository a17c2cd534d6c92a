"""A script that plans with one engine of unified-planning: `unified.py ENGINE DOMAIN PROBLEM PLAN`.

It imports nothing of worldplan, so that it also runs on another Python, one that an engine was
built for. It writes a plan file, and an empty one for an empty plan.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

OTHERS = {"nextflap": ("up_nextflap", "NextFLAPImpl")}  # not announced to unified-planning


def main(engine: str, domain: str, problem: str, plan_file: str) -> int:
    """Plan; returns 0 with or without a plan."""
    warnings.simplefilter("ignore")
    import unified_planning.shortcuts as up
    from unified_planning.io import PDDLReader
    from unified_planning.plans import PlanKind

    up.get_environment().credits_stream = None
    task = PDDLReader().parse_problem(domain, problem)
    task.clear_quality_metrics()
    if engine in OTHERS:
        up.get_environment().factory.add_engine(engine, *OTHERS[engine])
    with up.OneshotPlanner(name=engine) as planner:
        # what it claims to support is coarse; whatever it returns is checked anyway
        planner.skip_checks = True
        result = planner.solve(task)
    if result.plan is None:
        sys.stdout.write(f"no plan: {result.status.name}\n")
        return 0
    plan = result.plan
    if plan.kind is not PlanKind.SEQUENTIAL_PLAN:
        plan = plan.convert_to(PlanKind.SEQUENTIAL_PLAN, task)
    lines = [
        f"({' '.join([step.action.name, *(str(argument) for argument in step.actual_parameters)])})"
        for step in plan.actions
    ]
    Path(plan_file).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
