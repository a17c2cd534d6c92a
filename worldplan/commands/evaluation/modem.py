"""`worldplan evaluate` for a MoDem training: new episodes of the planner alone, of the behaviour
policy and of the clone, and a film.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import pandas as pd
from rich.console import Console
from rich.table import Table

from worldplan.envs.environments import make_environment, make_environments
from worldplan.milp.errors import ConfigError
from worldplan.output.videos import record_video, require_pictures
from worldplan.planners.base import bootstrap
from worldplan.planners.episodes import play
from worldplan.planners.modem.handover import Handover
from worldplan.planners.modem.planner import ModemPlanner
from worldplan.planners.modem.policy import load_policy
from worldplan.runs import Run
from worldplan.world_models.training.checkpoints import saved_entry

_NEW_LUCK = 100_000  # these episodes are new ones
_SIDE_BY_SIDE = 25
_ATTEMPTS = 20  # episodes that may be filmed before one succeeds
_USUAL_RATE = 12.5  # frames per second where the environment names none
_FIGURES = {"violations": ".2f", "saturations": ".2f", "largest_force": ".0f"}


def evaluate_modem(run: Run, episodes: int, wanted: list[str], *, video: bool = False) -> Path:
    """Play `episodes` new episodes with each policy; prints a table and where the CSV is, and
    returns that.

    The policies are the planner alone, the behaviour policy as the end of the training left it, and
    the clone, where the run has one. A behaviour policy that is one of the others is not played
    again. With `video`, films the planner afterwards until an episode succeeds (at most 20) into
    the run folder. Raises ConfigError, CheckpointError and, before anything is played,
    RenderingUnavailable.
    """
    planner, about = load_policy(run.path)
    policies = _policies(planner, run.path)
    unknown = [name for name in wanted if name not in policies]
    if unknown:
        reason = "" if "clone" in policies else " (trained with clone_updates 0, it has no clone)"
        raise ConfigError(
            f"--policies: {', '.join(unknown)} is not in this run{reason}: choose from {', '.join(policies)}"
        )
    if video:
        env = _stage(about)
        try:
            require_pictures(env)
        finally:
            env.close()
    chosen = _without_twins({name: policies[name] for name in wanted or policies})
    rows = []
    for name, share in chosen.items():
        planner.share = share
        rows.append({"policy": name, **_figures(planner, about, episodes), "episodes": episodes})
    Console().print(_table(rows, episodes))
    written = run.write_csv("evaluation.csv", pd.DataFrame(rows))
    Console().print(f"written to {written}", soft_wrap=True)
    if video:
        planner.share = 1.0
        Console().print(_film(planner, about, run.path / "plots" / "episode.mp4"), soft_wrap=True)
    return written


def _policies(planner: ModemPlanner, path: Path) -> dict[str, float | None]:
    """The planner's share of the acting by policy; None where its uncertainty decides."""
    settings = planner.agent.settings
    if settings.clone_updates == 0:
        return {"planner": 1.0}
    last = next(
        file for file in (path / "last.ckpt", path / "checkpoints" / "last.ckpt") if file.exists()
    )
    progress = saved_entry(last, "progress")
    handover = Handover(settings.handover)
    handover.load_state_dict(progress)
    behaviour = handover.share(progress["counts"]["step"])
    return {"planner": 1.0, "behaviour": behaviour, "clone": 0.0}


def _without_twins(chosen: dict[str, float | None]) -> dict[str, float | None]:
    """Leave out a behaviour policy that is another one of the chosen, and say what it is."""
    if "behaviour" not in chosen:
        return chosen
    share = chosen["behaviour"]
    twin = next((name for name in chosen if name != "behaviour" and chosen[name] == share), None)
    text = (
        "behaviour: the planner acts where its critics agree"
        if share is None
        else f"behaviour: the planner's share of the acting is {share:.2f}"
    )
    Console().print(text + (f", which is the {twin} alone" if twin else ""))
    return {name: value for name, value in chosen.items() if twin is None or name != "behaviour"}


def _figures(planner: ModemPlanner, about: dict[str, Any], episodes: int) -> dict[str, float]:
    """Means over episodes, and the largest force; NaN for what the environment does not measure."""
    played = []
    for first in range(0, episodes, _SIDE_BY_SIDE):
        environments = make_environments(
            about["environment"],
            min(_SIDE_BY_SIDE, episodes - first),
            scale_actions=True,
            **about["options"],
        )
        played += play(planner, environments, _NEW_LUCK + first)
        environments.close()
    table = pd.DataFrame(
        {
            "success": [float(one.episode.success) for one in played],
            "violations": [one.violations for one in played],
            "saturations": [one.saturations for one in played],
            "force": [one.largest_force for one in played],
        }
    )
    means = {
        "violations": float(table["violations"].mean()),
        "saturations": float(table["saturations"].mean()),
    }
    return {
        **bootstrap(table["success"].to_numpy()),
        **means,
        "largest_force": float(table["force"].max()),
    }


def _table(rows: list[dict[str, Any]], episodes: int) -> Table:
    shown = Table(title=f"{episodes} new episodes per policy")
    for column in (
        "policy",
        "success",
        "95 % interval",
        "violations per episode",
        "saturations",
        "largest force, N",
    ):
        shown.add_column(column)
    for row in rows:
        others = (
            "-" if math.isnan(row[key]) else format(row[key], digits)
            for key, digits in _FIGURES.items()
        )
        shown.add_row(
            row["policy"], f"{row['mean']:.2f}", f"{row['low']:.2f} .. {row['high']:.2f}", *others
        )
    return shown


def _stage(about: dict[str, Any]) -> gym.Env:
    """The environment for films."""
    options = {**about["options"], "render_mode": "rgb_array"}
    return make_environment(about["environment"], scale_actions=True, **options)


def _film(planner: ModemPlanner, about: dict[str, Any], file: Path) -> str:
    """Film the planner; says where, and whether it succeeded."""
    env = _stage(about)
    rate = float(env.metadata.get("render_fps") or _USUAL_RATE)
    try:
        summary = record_video(
            planner, env, file, episodes=_ATTEMPTS, seed=_NEW_LUCK, fps=rate, until_success=True
        )
    finally:
        env.close()
    tried = len(summary.episodes)
    outcome = (
        f"succeeds in episode {tried}"
        if summary.succeeded is not None
        else f"no success in {tried} episodes"
    )
    return f"film: {summary.file} ({summary.frames} frames, {outcome})"
