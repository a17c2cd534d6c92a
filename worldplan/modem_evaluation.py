"""`worldplan evaluate` for a MoDem training: new episodes of the planner alone and of the behaviour clone, and a film."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import pandas as pd
from rich.console import Console
from rich.table import Table

from milp.errors import ConfigError
from planners.base import bootstrap
from planners.episode_play import make_environments, play
from planners.modem_policy import load_policy
from worldplan.runs import Run
from worldplan.videos import record_video

_NEW_LUCK = 100_000  # these episodes are new ones
_SIDE_BY_SIDE = 25
_ATTEMPTS = 20  # episodes that may be filmed before one succeeds


def evaluate_modem(run: Run, episodes: int, wanted: list[str], *, video: bool = False) -> Path:
    """Play `episodes` new episodes with the planner alone (share 1) and with the clone (share 0); prints a table and returns the CSV.

    With `video`, films the planner until an episode succeeds (at most 20) into the run folder. Raises ConfigError, CheckpointError.
    """
    policies = {"planner": 1.0, "clone": 0.0}
    unknown = [name for name in wanted if name not in policies]
    if unknown:
        raise ConfigError(f"--policies: {', '.join(unknown)} is not in this run: choose from {', '.join(policies)}")
    shown = Table(title=f"{episodes} new episodes per policy")
    for column in ("policy", "success", "95 % interval", "violations per episode", "saturations", "largest force, N"):
        shown.add_column(column)
    rows = []
    for name in wanted or policies:
        row = {"policy": name, **_figures(run.path, policies[name], episodes), "episodes": episodes}
        rows.append(row)
        interval = f"{row['low']:.2f} .. {row['high']:.2f}"
        others = (f"{row[key]:.2f}" for key in ("violations", "saturations"))
        shown.add_row(name, f"{row['mean']:.2f}", interval, *others, f"{row['largest_force']:.0f}")
    Console().print(shown)
    if video:
        Console().print(film(run.path), soft_wrap=True)
    return run.write_csv("evaluation.csv", pd.DataFrame(rows))


def _figures(path: Path, share: float, episodes: int) -> dict[str, float]:
    planner, about = load_policy(path, share=share)
    played = []
    for first in range(0, episodes, _SIDE_BY_SIDE):
        environments = make_environments(about["environment"], min(_SIDE_BY_SIDE, episodes - first), **about["options"])
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
    means = {"violations": float(table["violations"].mean()), "saturations": float(table["saturations"].mean())}
    return {**bootstrap(table["success"].to_numpy()), **means, "largest_force": float(table["force"].max())}


def film(path: Path) -> str:
    """Film the planner of a run into its folder; says where, and whether it succeeded."""
    planner, about = load_policy(path)
    env = gym.make(about["environment"], render_mode="rgb_array", **about["options"])
    rate = float(env.metadata.get("render_fps", 12.5))
    try:
        summary = record_video(planner, env, path / "plots" / "episode.mp4", episodes=_ATTEMPTS, seed=_NEW_LUCK, fps=rate, until_success=True)
    finally:
        env.close()
    tried = len(summary.episodes)
    outcome = f"succeeds in episode {tried}" if summary.succeeded is not None else f"no success in {tried} episodes"
    return f"film: {summary.file} ({summary.frames} frames, {outcome})"
