"""What a finished bandit run leaves: tables, plots, one episode in full, and the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from worldplan.commands.bandits.jobs import (
    Job,
    file_stem,
    make_planner,
    result_file,
    training_folder,
)
from worldplan.commands.bandits.judged import DRAWS, JUDGED, SUFFIX, judged
from worldplan.commands.bandits.scenario import Scenario
from worldplan.commands.bandits.summary import (
    early_bound,
    endless_sentences,
    mean_bound,
    summarise,
)
from worldplan.envs.bandits.environment import BanditVectorEnv, Ints
from worldplan.envs.episodes import EpisodeBatch
from worldplan.files import read_table
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.path import Path as PathSet
from worldplan.milp.sets.schedule import Schedule
from worldplan.output import decision_plots, plots
from worldplan.output.report import write_report
from worldplan.planners.bandits.policies import best_informed, naming_policy
from worldplan.planners.base import Decider, Planner
from worldplan.runs import BOUND, Run
from worldplan.world_models.arms.hidden import as_seen
from worldplan.world_models.arms.programme import Built, build

NOTES = "notes.txt"  # of a run: what the report and the command say of its figures


def write_results(run: Run, scenario: Scenario, base: Path) -> None:
    """Gather the jobs' results; the summary and the report, written last, mark a finished run.

    Raises:
        DatasetError: a job's table is missing or damaged.
    """
    bound = mean_bound(run.path, scenario)
    summary = summarise(run.path, scenario)
    steps = _gather(run.path, scenario, "-steps")
    per_step = steps.groupby(["policy", "step"], as_index=False)[["mean"]].mean()
    run.write_csv("episodes.csv", _gather(run.path, scenario, ""))
    run.write_csv("steps.csv", per_step)
    run.write_text(BOUND, f"{bound!r}\n")
    early = early_bound(run.path)
    notes = [*([early] if early else []), *endless_sentences(run.config["programme"])]
    if notes:
        run.write_text(NOTES, "\n".join(notes) + "\n")
    metrics = _metrics(run.path, scenario, base)
    if metrics is not None:
        run.write_csv("metrics.csv", metrics)
        for policy, part in metrics.groupby("policy"):
            curve = (
                part.drop(columns=["policy", "seed", "member"])
                .groupby("step", as_index=False)
                .mean()
            )
            # without the bound: it is of the evaluated start states, not of the training's episodes
            plots.learning_curve(curve, run.plots / f"learning_curve_{file_stem(str(policy))}.svg")
    if scenario.draws:
        draws = _gather(run.path, scenario, SUFFIX)
        run.write_csv(DRAWS, draws)
        run.write_csv(JUDGED, judged(draws))
    plots.policy_comparison(summary, bound, run.plots / "policy_comparison.svg")
    plots.step_rewards(per_step, run.plots / "step_rewards.svg")
    _show_episode(run, scenario, base)
    run.write_summary(summary)
    write_report([run.path])


def _gather(folder: Path, scenario: Scenario, suffix: str) -> pd.DataFrame:
    """The tables with this suffix of all policies and seeds, in one."""
    tables = []
    for policy in scenario.policy_list():
        for seed in scenario.seed_list():
            table = read_table(result_file(folder, policy, seed, suffix))
            tables.append(table.assign(policy=policy, seed=seed))
    return pd.concat(tables, ignore_index=True)


def _metrics(folder: Path, scenario: Scenario, base: Path) -> pd.DataFrame | None:
    """Training metrics of all learned policies and seeds, in one table."""
    tables = []
    for policy in scenario.policy_list():
        for seed in scenario.seed_list():
            training = training_folder(Job(folder, scenario, base, policy, seed))
            for path in sorted(training.rglob("metrics.csv")):
                tables.append(
                    read_table(path).assign(policy=policy, seed=seed, member=path.parent.name)
                )
    return pd.concat(tables, ignore_index=True) if tables else None


def _show_episode(run: Run, scenario: Scenario, base: Path) -> None:
    """Play the first episode again with the best-informed policy, and plot it.

    The plots show states and pulls, and how the first action is carried out. Where states are seen
    on visits only, the states are those that the policy holds most likely.
    """
    policy = best_informed(scenario.policy_list())
    seed = scenario.seed_list()[0]
    programme = scenario.programme
    hidden = as_seen(build(programme, base, programme.seed + seed), programme)
    built = hidden.built
    folder = training_folder(Job(run.path, scenario, base, policy, seed))
    with naming_policy(policy, seed):
        planner = make_planner(policy, built, scenario, seed, folder)
        planner.reset(seed=seed)
        states, actions = play(planner, built, seed)
    if hidden.seen is not None:
        states = hidden.seen.most_likely(states)
    pulls = built.instance.dynamics.level(actions) > 0
    decision_plots.arm_states(states, pulls, run.plots / f"episode_{file_stem(policy)}.svg")
    draw_action(built.instance.actions, actions[0], run.plots)
    run.write_json(
        "episode.json",
        {"policy": policy, "seed": seed, "states": states, "actions": actions.astype(int)},
    )


def play(planner: Planner, built: Built, seed: int) -> tuple[Ints, Action]:
    """States (horizon + 1, arms) and actions (horizon, components) of one episode."""
    batch = EpisodeBatch(BanditVectorEnv(built.instance, 1), seed=seed)
    states, actions = [batch.observation["state"][0]], []
    for step in batch.play(Decider(planner, batch)):
        actions.append(step.action[0])
        states.append(step.next_observation["state"][0])
    return np.stack(states), np.stack(actions)


def draw_action(actions: ActionSet, action: Action, folder: Path) -> Path | None:
    """Plot how `action` (size,) is carried out: the schedule, the workers' loads or the route.

    Returns:
        The file in `folder`; None if there is no plot for this kind of set.
    """
    if isinstance(actions, Schedule):
        rows = actions.explain(action)
        return decision_plots.schedule_grid(rows, folder / "first_schedule.svg")
    if isinstance(actions, Capacity):
        names = actions.worker_names or range(len(np.asarray(actions.capacities)))
        capacities = dict(zip(names, np.asarray(actions.capacities).tolist(), strict=True))
        return decision_plots.worker_loads(
            actions.explain(action), capacities, folder / "first_worker_loads.svg"
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
            actions.graph, actions.route(action), pulled, folder / "first_route.svg", whole
        )
    return None
