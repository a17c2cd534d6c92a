"""`worldplan bandits decide` and `bound`.

The first decides for today in a real programme. The second bounds the reward that any policy could
reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jsonargparse import ArgumentParser, Namespace
from rich.table import Table

from worldplan.commands.bandits.jobs import make_planner
from worldplan.commands.bandits.moves import COLUMNS as BEHIND
from worldplan.commands.bandits.moves import with_moves
from worldplan.commands.bandits.scenario import (
    Scenario,
    database_file,
    make_scenario,
    parse_scenario,
    scenario_parser,
)
from worldplan.commands.bandits.summary import early_end
from worldplan.commands.bandits.unseen import ended_sentences, unseen_arms, unseen_sentences
from worldplan.commands.bandits.why import (
    COLUMNS,
    as_json,
    names_in,
    print_reasons,
    reasons_of,
    with_interval,
    with_reasons,
)
from worldplan.envs.bandits.environment import BanditVectorEnv
from worldplan.files import input_files, refuse_input_as_output, write_csv, write_json
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.today import parse_date
from worldplan.output.console import plain_console
from worldplan.planners.bandits.bounds import make_bound
from worldplan.planners.bandits.policies import (
    POLICIES,
    check_policies,
    naming_policy,
)
from worldplan.planners.bandits.reasons.results import Reasons
from worldplan.planners.bandits.reasons.tomorrow import with_states
from worldplan.planners.bandits.units import counted_steps
from worldplan.planners.base import Decision
from worldplan.world_models.arms.beliefs import PresentStates, read_present
from worldplan.world_models.arms.ends import refuse_ended
from worldplan.world_models.arms.hidden import as_seen
from worldplan.world_models.arms.programme import Built, build, on_day


def decide(argv: Sequence[str]) -> int:
    """Entry of `worldplan bandits decide`; returns its exit code.

    Raises:
        ConfigError: a setting is missing, unknown or out of range.
        DatasetError: a file is missing or malformed.
    """
    parser = scenario_parser("bandits decide", "Who to serve today, and how.")
    _add_options(parser)
    settings, base = parse_scenario(parser, argv)
    scenario = make_scenario(parser, settings, base)
    check_policies([settings.policy], "--policy")
    date = parse_date(settings.date, "--date") if settings.date else None
    seconds = checks.number(settings.reasons, "--reasons", least=0)
    force, forbid = (names_in(getattr(settings, key), f"--{key}") for key in ("force", "forbid"))
    if not settings.state:
        raise ConfigError(
            "--state is missing: give a CSV with the columns arm, state: today's state of every arm"
        )
    _refuse_inputs_as_outputs(settings, scenario, base)
    built = build(scenario.programme, base, dated=True, today=date)
    instance = built.instance
    names = instance.arm_names or tuple(str(arm) for arm in range(instance.dynamics.arms))
    present = read_present(settings.state, names, instance.dynamics)
    state = present.known
    if instance.endless and settings.steps_left:
        raise ConfigError(
            f"--steps_left {settings.steps_left}: the programme has no end (programme.endless): "
            "leave --steps_left out"
        )
    steps_left = settings.steps_left or instance.horizon
    if not 1 <= steps_left <= instance.horizon:
        raise ConfigError(
            f"--steps_left {steps_left}: give 1 to {instance.horizon} (the programme's horizon)"
        )
    built = on_day(built, scenario.programme, base, state, date=date, steps_left=steps_left)
    refuse_ended(built.ended, force, "--force")
    hidden = as_seen(built, scenario.programme, present.belief, steps_left)
    instance = hidden.built.instance
    seed = scenario.seed_list()[0]
    with naming_policy(settings.policy, seed):
        planner = make_planner(settings.policy, hidden.built, scenario, seed, None)
        planner.reset(seed=seed)
        observation = hidden.observation(present.observation(steps_left))
        decision, reasons, note = reasons_of(
            planner,
            instance,
            observation,
            None if force or forbid else planner.plan(observation),
            solver=scenario.solver,
            unit=scenario.programme.unit,
            force=force,
            forbid=forbid,
            seconds=seconds,
            posterior=hidden.built.posterior if built.models else None,
        )
        if hidden.seen is not None and reasons is not None:
            reasons = with_states(reasons, built.instance.dynamics, present.belief, names)
    table = explain(built, decision, present, names)
    if reasons is not None:
        table = with_reasons(table, reasons)
    table, behind = with_moves(table, built, present, names)
    write_csv(Path(settings.output), table)
    if settings.json:
        facts = {
            "policy": settings.policy,
            "date": settings.date or None,
            "unit": scenario.programme.unit,
            "steps_left": None if instance.endless else steps_left,
            "forced": force,
            "forbidden": forbid,
            "unseen": unseen_arms(present, names),
        }
        write_json(Path(settings.json), as_json(table, decision, reasons, facts, note))
    _print(table, decision, Path(settings.output), reasons, note)
    unseen = unseen_sentences(present, names, settings.policy if hidden.seen is None else "")
    for sentence in (*unseen, *hidden.sentences(), *behind, *ended_sentences(built.ended)):
        plain_console().print(sentence)
    return 0


def _add_options(parser: ArgumentParser) -> None:
    """Add what is not of the scenario."""
    parser.add_argument(
        "--state",
        default="",
        help="CSV arm, state: today's state of every arm; where it is empty: last_state, "
        "days_since and visited_then; or CSV arm, state, probability",
    )
    parser.add_argument(
        "--policy",
        default="fluid",
        help=f"{', '.join(POLICIES)}, or your own as module:Class; learned ones need --checkpoint",
    )
    parser.add_argument("--output", default="decision.csv", help="where the table is written")
    parser.add_argument(
        "--steps_left", type=int, default=0, help="days that remain; 0: the programme's horizon"
    )
    parser.add_argument("--date", default="", help="YYYY-MM-DD: today, for rules and calendars")
    parser.add_argument("--force", default="", help="NAME,...: arms that must be on the list")
    parser.add_argument("--forbid", default="", help="NAME,...: arms that must not")
    parser.add_argument(
        "--reasons",
        type=float,
        default=5.0,
        help="seconds for reasons: benefits, costs of forcing, prices of limits; 0: none",
    )
    parser.add_argument("--json", default="", help="also write decision and reasons to this file")


def _refuse_inputs_as_outputs(settings: Namespace, scenario: Scenario, base: Path) -> None:
    """Refuse to write over a file that is read.

    Raises:
        ConfigError: an output is an input, or the two outputs are one file.
    """
    tables = input_files(scenario.to_dict(), base.parent, Path())
    inputs = [folder / name for name in tables for folder in (base.parent, Path())]
    inputs.append(database_file(scenario, base))
    refuse_input_as_output(settings.output, settings.state, base, *inputs)
    if settings.json:
        refuse_input_as_output(settings.json, settings.state, base, *inputs, option="--json")
        if Path(settings.json).resolve() == Path(settings.output).resolve():
            raise ConfigError(f"--json {settings.json}: is --output too: choose another name")


def explain(
    built: Built, decision: Decision, present: PresentStates, names: tuple[str, ...]
) -> pd.DataFrame:
    """A table with one row per thing to do.

    Columns: arm and its state (or intervention and the arms it reaches), then what the feasible set
    explains: worker, slot, stop, cost, or the variables of the user's rules. If a state is not
    known today, the column "unseen" says since when, and the most likely one.

    Args:
        built: the programme.
        decision: what was decided.
        present: today's states.
        names: of the arms.
    """
    dynamics = built.instance.dynamics
    unseen = bool((present.days != 0).any())
    known = [None if state < 0 else int(state) for state in present.known]
    rows = []
    for explained in built.instance.actions.explain(decision.action):
        row: dict[str, Any] = dict(explained)
        if "arm" in row and dynamics.effect is not None:
            intervention = row["arm"]
            reached = np.flatnonzero(dynamics.effect[:, intervention])
            row = {"intervention": intervention, "reaches": " ".join(names[j] for j in reached)}
        elif "arm" in row:
            arm = _position(row.pop("arm"), names)
            words = {"unseen": present.words(arm)} if unseen else {}
            row = {"arm": names[arm], "state": known[arm]} | words | row
        rows.append(row)
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=["arm", "state"])
    return table.astype({"state": "Int64"}) if "state" in table else table


def _position(arm: Any, names: tuple[str, ...]) -> int:
    """The number of an arm that a set gives by number or by name."""
    if str(arm) in names and not isinstance(arm, (int, np.integer)):
        return names.index(str(arm))
    return int(arm)


def _print(
    rows: pd.DataFrame, decision: Decision, output: Path, reasons: Reasons | None, note: str
) -> None:
    table = Table(title="today's decision")
    said = ["unseen", *BEHIND, "benefit_low", "benefit_high"]  # in sentences below, or the files
    rows = with_interval(rows).drop(columns=said, errors="ignore")
    for column in rows.columns:
        table.add_column(str(column).replace("_", " ") if column in COLUMNS else str(column))
    for row in rows.itertuples(index=False):
        table.add_row(*map(_cell, row))
    console = plain_console()
    console.print(table)
    if reasons is not None:
        print_reasons(console, reasons)
    if note:
        console.print(note)
    words = [f"status {decision.status}"]
    if decision.value is not None:
        words.append(f"value {decision.value:.8g}")
    if decision.bound is not None:
        words.append(f"proven bound {decision.bound:.8g}")
    if decision.gap is not None:
        words.append(f"gap {100 * decision.gap:.3f} % of the possible gain")
    elif decision.value is not None and decision.bound is not None:
        words.append(f"at most {max(0.0, decision.bound - decision.value):.3g} more is possible")
    console.print(", ".join(words) + f", {decision.seconds:.2f} s")
    console.print(f"written to {output}")


def _cell(cell: Any) -> str:
    if pd.isna(cell):
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def bound(argv: Sequence[str]) -> int:
    """Entry of `worldplan bandits bound`; returns its exit code."""
    parser = scenario_parser(
        "bandits bound",
        "An upper bound on the reward per step of every policy, from a relaxation (--bound).",
    )
    settings, base = parse_scenario(parser, argv)
    scenario = make_scenario(parser, settings, base)
    table = Table(title="upper bound on the mean reward per step of every policy")
    for column in ("seed", "bound", "start states"):
        table.add_column(column, justify="right")
    slacks = []
    for seed in scenario.seed_list():
        built = build(scenario.programme, base, scenario.programme.seed + seed)
        built = as_seen(built, scenario.programme).built
        starts = BanditVectorEnv(built.instance, scenario.episodes).reset(seed=seed)[0]["state"]
        relaxation = make_bound(built.instance, scenario.solver, scenario.bound)
        values = [relaxation.from_state(state) for state in np.unique(starts, axis=0)]
        mean = float(np.mean(values)) / counted_steps(built.instance)
        table.add_row(str(seed), f"{mean:.6g}", str(len(values)))
        if relaxation.limited:
            slacks.append(relaxation.slack)
    plain_console().print(table)
    if slacks:
        plain_console().print(early_end(max(slacks)))
    return 0
