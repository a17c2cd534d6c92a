"""What a finished bandit run leaves behind: tables, plots, one episode told in full, and the
report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from worldplan.commands.bandits.jobs import Job, make_planner, training_folder
from worldplan.commands.bandits.scenario import Scenario
from worldplan.commands.bandits.summary import mean_bound, summarise
from worldplan.envs.bandits.environment import BanditVectorEnv
from worldplan.envs.episodes import EpisodeBatch
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.path import Path as PathSet
from worldplan.milp.sets.schedule import Schedule
from worldplan.output import decision_plots, plots
from worldplan.output.report import write_report
from worldplan.planners.base import Decider, Planner
from worldplan.runs import Run
from worldplan.world_models.arms.programme import Built, build

_SHOWN = (
    "sequoia",
    "fluid",
    "sequoia_paper",
    "whittle",
    "repaired_dqn",
    "iterative_dqn",
    "myopic",
    "iterative_myopic",
    "sampling",
    "random",
    "null",
)


def write_results(run: Run, scenario: Scenario, base: Path) -> None:
    """Gather the jobs' results; `summary.csv` comes last and marks the run as finished."""
    bound = mean_bound(run.path, scenario)
    summary = summarise(run.path, scenario)
    steps = _gather(run.path, scenario, "-steps")
    per_step = steps.groupby(["policy", "step"], as_index=False)[["mean"]].mean()
    run.write_csv("episodes.csv", _gather(run.path, scenario, ""))
    run.write_csv("steps.csv", per_step)
    run.write_text("bound.txt", f"{bound!r}\n")
    metrics = _metrics(run.path, scenario)
    if metrics is not None:
        run.write_csv("metrics.csv", metrics)
        for policy, part in metrics.groupby("policy"):
            curve = (
                part.drop(columns=["policy", "seed", "member"])
                .groupby("step", as_index=False)
                .mean()
            )
            plots.learning_curve(curve, run.plots / f"learning_curve_{policy}.png", bound)
    plots.policy_comparison(summary, bound, run.plots / "policy_comparison.png")
    plots.step_rewards(per_step, run.plots / "step_rewards.png")
    _tell_episode(run, scenario, base)
    run.write_csv("summary.csv", summary)
    write_report([run.path])


def _gather(folder: Path, scenario: Scenario, suffix: str) -> pd.DataFrame:
    tables = []
    for policy in scenario.policy_list():
        for seed in scenario.seed_list():
            table = pd.read_csv(folder / "jobs" / f"{policy}-{seed}{suffix}.csv")
            tables.append(table.assign(policy=policy, seed=seed))
    return pd.concat(tables, ignore_index=True)


def _metrics(folder: Path, scenario: Scenario) -> pd.DataFrame | None:
    """Training metrics of all learned policies and seeds, in one table."""
    tables = []
    for policy in scenario.policy_list():
        for seed in scenario.seed_list():
            for path in sorted(
                (folder / "checkpoints" / f"{policy}-seed{seed}").rglob("metrics.csv")
            ):
                tables.append(
                    pd.read_csv(path).assign(policy=policy, seed=seed, member=path.parent.name)
                )
    return pd.concat(tables, ignore_index=True) if tables else None


def _tell_episode(run: Run, scenario: Scenario, base: Path) -> None:
    """Play the first episode once more with the best-informed policy: states, pulls, and how the
    first action is carried out.
    """
    policy = next(name for name in _SHOWN if name in scenario.policy_list())
    seed = scenario.seed_list()[0]
    built = build(scenario.programme, base, scenario.programme.seed + seed)
    planner = make_planner(
        policy, built, scenario, seed, training_folder(Job(run.path, scenario, base, policy, seed))
    )
    planner.reset(seed=seed)
    states, actions = play(planner, built, seed)
    pulls = built.instance.dynamics.level(actions) > 0
    decision_plots.arm_states(states, pulls, run.plots / f"episode_{policy}.png")
    draw_action(built.instance.actions, actions[0], run.plots)
    run.write_json(
        "episode.json",
        {"policy": policy, "seed": seed, "states": states, "actions": actions.astype(int)},
    )


def play(planner: Planner, built: Built, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """States (horizon + 1, arms) and actions (horizon, components) of one episode."""
    batch = EpisodeBatch(BanditVectorEnv(built.instance, 1), seed=seed)
    states, actions = [batch.observation["state"][0]], []
    for step in batch.play(Decider(planner)):
        actions.append(step.action[0])
        states.append(step.next_observation["state"][0])
    return np.stack(states), np.stack(actions)


def draw_action(actions: Any, action: np.ndarray, folder: Path) -> Path | None:
    """The picture that fits the action set: who works when, who carries what, or the route."""
    if isinstance(actions, Schedule):
        rows = actions.explain(action)
        return decision_plots.schedule_grid(rows, folder / "first_schedule.png")
    if isinstance(actions, Capacity):
        names = actions.worker_names or range(len(np.asarray(actions.capacities)))
        capacities = dict(zip(names, np.asarray(actions.capacities).tolist(), strict=True))
        return decision_plots.worker_loads(
            actions.explain(action), capacities, folder / "first_worker_loads.png"
        )
    if isinstance(actions, PathSet):
        pulled = [row["arm"] for row in actions.explain(action)]
        positions = {
            node: data["position"]
            for node, data in actions.graph.nodes(data=True)
            if "position" in data
        }
        whole = positions if len(positions) == len(actions.graph) else None
        return decision_plots.route_map(
            actions.graph, actions.route(action), pulled, folder / "first_route.png", whole
        )
    return None
