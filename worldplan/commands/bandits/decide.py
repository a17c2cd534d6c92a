"""`worldplan bandits decide` and `bound`: today's decision for a real programme, and the best that
any policy could reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from worldplan.commands.bandits.jobs import make_bound, make_planner
from worldplan.commands.bandits.scenario import (
    POLICIES,
    make_scenario,
    parse_scenario,
    scenario_parser,
)
from worldplan.envs.bandits.environment import BanditVectorEnv
from worldplan.milp.errors import ConfigError
from worldplan.milp.solvers import relative_gap
from worldplan.planners.base import Decision
from worldplan.runs import write_csv
from worldplan.world_models.arms.dynamics import read_states
from worldplan.world_models.arms.programme import Built, build


def decide(argv: Sequence[str]) -> int:
    """Entry of `worldplan bandits decide`."""
    parser = scenario_parser("worldplan bandits decide", "Who to serve today, and how.")
    parser.add_argument(
        "--state", default="", help="CSV with the columns arm, state: today's state of every arm"
    )
    parser.add_argument(
        "--policy",
        choices=list(POLICIES),
        default="fluid",
        help="the planner; sequoia needs --checkpoint",
    )
    parser.add_argument("--output", default="decision.csv", help="where the table is written")
    parser.add_argument(
        "--steps_left", type=int, default=0, help="days that remain; 0: the programme's horizon"
    )
    settings, base = parse_scenario(parser, argv)
    scenario = make_scenario(parser, settings, base)
    if not settings.state:
        raise ConfigError(
            "--state is missing: give a CSV with the columns arm, state: today's state of every arm"
        )
    built = build(scenario.programme, base)
    instance = built.instance
    names = instance.arm_names or tuple(str(arm) for arm in range(instance.dynamics.arms))
    state = read_states(settings.state, names, instance.dynamics.states)
    left = settings.steps_left or instance.horizon
    if not 1 <= left <= instance.horizon:
        raise ConfigError(
            f"--steps_left {left}: give 1 to {instance.horizon} (the programme's horizon)"
        )
    planner = make_planner(settings.policy, built, scenario, scenario.seed_list()[0], None)
    planner.reset(seed=scenario.seed_list()[0])
    decision = planner.plan({"state": state, "steps_left": left})
    table = explain(built, decision, state, names)
    write_csv(Path(settings.output), table)
    _print(table, decision, Path(settings.output))
    return 0


def explain(
    built: Built, decision: Decision, state: np.ndarray, names: tuple[str, ...]
) -> pd.DataFrame:
    """One row per thing to do: arm, its state today, and worker, slot, stop, cost or own variable
    as the constraint has it.
    """
    rows = []
    for row in built.instance.actions.explain(decision.action):
        entry: dict[str, Any] = dict(row)
        if "arm" not in row:  # a variable of the user's own rules
            rows.append(entry)
            continue
        arm = entry["arm"]
        if built.instance.dynamics.effect is not None:
            entry = {
                "intervention": arm,
                "reaches": " ".join(
                    names[j] for j in np.flatnonzero(built.instance.dynamics.effect[:, arm])
                ),
            }
        else:
            index = (
                names.index(str(arm))
                if str(arm) in names and not isinstance(arm, (int, np.integer))
                else int(arm)
            )
            entry = {"arm": names[index], "state": int(state[index])} | {
                k: v for k, v in entry.items() if k != "arm"
            }
        rows.append(entry)
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=["arm", "state"])
    return table.astype({"state": "Int64"}) if "state" in table else table


def _print(table: pd.DataFrame, decision: Decision, output: Path) -> None:
    shown = Table(title="today's decision")
    for column in table.columns:
        shown.add_column(str(column))
    for row in table.itertuples(index=False):
        shown.add_row(*("" if pd.isna(cell) else str(cell) for cell in row))
    console = Console()
    console.print(shown)
    words = [f"status {decision.status}"]
    if decision.value is not None:
        words.append(f"value {decision.value:.4f}")
    if decision.bound is not None:
        words.append(f"proven bound {decision.bound:.4f}")
        if decision.value is not None:
            words.append(f"gap {100 * relative_gap(decision.value, decision.bound):.3f} %")
    console.print(", ".join(words) + f", {decision.seconds:.2f} s")
    console.print(f"written to {output}")


def bound(argv: Sequence[str]) -> int:
    """Entry of `worldplan bandits bound`."""
    parser = scenario_parser(
        "worldplan bandits bound",
        "An upper bound on the reward per step of every policy, from the fluid relaxation.",
    )
    settings, base = parse_scenario(parser, argv)
    scenario = make_scenario(parser, settings, base)
    table = Table(title="upper bound on the mean reward per step of every policy")
    for column in ("seed", "bound", "start states"):
        table.add_column(column, justify="right")
    means = []
    for seed in scenario.seed_list():
        built = build(scenario.programme, base, scenario.programme.seed + seed)
        starts = BanditVectorEnv(built.instance, scenario.episodes).reset(seed=seed)[0]["state"]
        relaxation = make_bound(built, scenario.solver)
        values = [relaxation.from_state(state) for state in np.unique(starts, axis=0)]
        means.append(float(np.mean(values)) / built.instance.horizon)
        table.add_row(str(seed), f"{means[-1]:.4f}", str(len(values)))
    Console().print(table)
    return 0
