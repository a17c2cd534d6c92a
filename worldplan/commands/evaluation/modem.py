"""`worldplan evaluate` for a MoDem training: new episodes of the planner alone, of the behaviour
policy and of the clone, and a film of the planner.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import pandas as pd
from rich.table import Table

from worldplan.commands.evaluation.environment import named_environment
from worldplan.commands.evaluation.finished_runs import refuse_unknown
from worldplan.commands.studies.references import RANDOM
from worldplan.envs.environments import make_environment, make_environments
from worldplan.envs.from_files import makeable
from worldplan.envs.registered import differences
from worldplan.envs.spec import EnvironmentSpec, parse_spec
from worldplan.milp.errors import ConfigError
from worldplan.output.console import plain_console
from worldplan.output.videos import record_video, require_pictures
from worldplan.planners.base import Planner, bootstrap
from worldplan.planners.episodes import PlayedEpisode, play
from worldplan.planners.modem.handover import Handover
from worldplan.planners.modem.planner import ModemPlanner, UniformPlanner
from worldplan.planners.modem.policy import load_policy
from worldplan.runs import CONFIG, EVALUATION, Run
from worldplan.world_models.training.checkpoints import last_checkpoint, saved_entry

DEMONSTRATIONS = "demonstrations (successes alone are read)"
_SIDE_BY_SIDE = 25  # environments
_MOST_FILMED = 20  # episodes, if none succeeds before
_DEFAULT_FPS = 12.5  # of films, if the environment has no render_fps
_FORMATS = {"violations": ".2f", "saturations": ".2f", "largest_force": ".0f"}


def evaluate_modem(
    run: Run, episodes: int, names: list[str], seed: int, *, video: bool = False
) -> Path:
    """Play new episodes, print a table and write evaluation.csv, whose path is returned.

    The policies are "planner", the planner alone; "behaviour", the mixture of planner and clone at
    the end of the training; and "clone", unless the run was trained without one. A behaviour policy
    that equals one of the others is left out. Rows of a random policy and of the demonstrations
    follow, to compare with.

    Args:
        run: a MoDem training.
        episodes: per policy.
        names: of the policies; empty: all.
        seed: of the first episode.
        video: film the planner afterwards, into plots/ of the run folder, until an episode succeeds
            or 20 are filmed.

    Raises:
        ConfigError: the run has no policy of such a name, its environment is not that of its
            settings, or runs code that a file must not choose.
        CheckpointError: its checkpoint is missing or damaged.
        RenderingUnavailable: `video`, but nothing can be rendered; found before anything is played.
    """
    planner, about = load_policy(run.path)
    shares = _planner_shares(planner, run.path)
    reason = "" if "clone" in shares else " (trained with clone_updates 0, it has no clone)"
    refuse_unknown(names, shares, reason)
    environment = _environment_of(run, about)
    if video:
        env = _rendered_environment(environment)
        try:
            require_pictures(env)
        finally:
            env.close()
    rows = []
    for name, share in _distinct({name: shares[name] for name in names or shares}).items():
        planner.share = share
        measures = _measures(_play(planner, environment, episodes, seed))
        rows.append({"policy": name, **measures, "episodes": episodes})
    random = UniformPlanner(planner.agent.action_size)
    measures = _measures(_play(random, environment, episodes, seed))
    rows.append({"policy": RANDOM, **measures, "episodes": episodes})
    rows += _demonstrated(about)
    plain_console().print(_table(rows, episodes))
    table = pd.DataFrame(rows)
    table["reference"] = table["policy"].isin((RANDOM, DEMONSTRATIONS))
    file = run.write_csv(EVALUATION, table)
    plain_console().print(f"written to {file}", soft_wrap=True)
    if video:
        planner.share = 1.0
        film = _film(planner, environment, run.path / "plots" / "episode.mp4", seed)
        plain_console().print(film, soft_wrap=True)
    return file


def _planner_shares(planner: ModemPlanner, path: Path) -> dict[str, float | None]:
    """Policy -> share of the segments in which the planner acts; None: its uncertainty decides."""
    settings = planner.agent.settings
    if settings.clone_updates == 0:
        return {"planner": 1.0}
    progress = saved_entry(last_checkpoint(path), "progress")
    handover = Handover(settings.handover)
    handover.load_state_dict(progress)
    behaviour = handover.share(progress["counts"]["step"])
    return {"planner": 1.0, "behaviour": behaviour, "clone": 0.0}


def _distinct(shares: dict[str, float | None]) -> dict[str, float | None]:
    """Leave out a behaviour policy that equals another of the policies; print what it is."""
    if "behaviour" not in shares:
        return shares
    share = shares["behaviour"]
    same = next((name for name in shares if name != "behaviour" and shares[name] == share), None)
    text = (
        "behaviour: the planner acts where its critics agree"
        if share is None
        else f"behaviour: the planner's share of the acting is {share:.2f}"
    )
    plain_console().print(text + (f", which is the {same} alone" if same else ""))
    return {name: value for name, value in shares.items() if same is None or name != "behaviour"}


def _environment_of(run: Run, about: Mapping[str, Any]) -> EnvironmentSpec:
    """The environment of the training: as the user's settings name it or, where they do not, as the
    checkpoint does if that needs no code of the file's choice.

    Args:
        run: the training.
        about: what the checkpoint records: "environment" and "options".

    Raises:
        ConfigError: the two differ, or see `makeable`.
    """
    recorded = parse_spec(
        {"id": about.get("environment"), "kwargs": about.get("options")}, str(run.path)
    )
    name = named_environment(run.config)
    if name is None:
        return makeable(recorded, str(run.path))
    options = run.config["model"].get("init_args", {}).get("options") or {}
    named = parse_spec({"id": name, "kwargs": options}, f"{run.path / CONFIG}: environment")
    if changes := differences(recorded, named, "the checkpoint", f"in {CONFIG}"):
        raise ConfigError(
            f"{run.path}: the environment of {CONFIG} is not that of the training "
            f"({'; '.join(changes)}): write there what the training had"
        )
    return named


def _demonstrated(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The row of the demonstrations, of which a training reads the successes only."""
    count = int(about.get("episodes") or 0)
    if not count:
        return []
    unknown = dict.fromkeys(("low", "high", *_FORMATS), math.nan)
    return [{"policy": DEMONSTRATIONS, "mean": 1.0, **unknown, "episodes": count}]


def _play(
    planner: Planner, environment: EnvironmentSpec, episodes: int, seed: int
) -> list[PlayedEpisode]:
    """Play episodes side by side."""
    played = []
    for first in range(0, episodes, _SIDE_BY_SIDE):
        count = min(_SIDE_BY_SIDE, episodes - first)
        environments = make_environments(environment, count, scale_actions=True)
        played += play(planner, environments, seed + first)
        environments.close()
    return played


def _measures(played: list[PlayedEpisode]) -> dict[str, float]:
    """Means over episodes, with an interval of the success rate, and the largest force (N); NaN for
    what the environment does not measure.
    """
    success = pd.Series([float(episode.episode.success) for episode in played])
    violations = pd.Series([episode.violations for episode in played])
    saturations = pd.Series([episode.saturations for episode in played])
    forces = pd.Series([episode.largest_force for episode in played])
    return {
        **bootstrap(success.to_numpy()),
        "violations": float(violations.mean()),
        "saturations": float(saturations.mean()),
        "largest_force": float(forces.max()),
    }


def _table(rows: list[dict[str, Any]], episodes: int) -> Table:
    """One row per policy."""
    table = Table(
        "policy",
        "success",
        "95 % interval",
        "violations per episode",
        "saturations",
        "largest force, N",
        title=f"{episodes} new episodes per policy",
    )
    for row in rows:
        safety = (
            "-" if math.isnan(row[key]) else format(row[key], digits)
            for key, digits in _FORMATS.items()
        )
        known = not math.isnan(row["low"])
        interval = f"{row['low']:.2f} .. {row['high']:.2f}" if known else "-"
        table.add_row(row["policy"], f"{row['mean']:.2f}", interval, *safety)
    return table


def _rendered_environment(environment: EnvironmentSpec) -> gym.Env[Any, Any]:
    """The environment of the training, with images."""
    return make_environment(environment, scale_actions=True, render_mode="rgb_array")


def _film(planner: ModemPlanner, environment: EnvironmentSpec, file: Path, seed: int) -> str:
    """Film the planner; returns a line with the file and the outcome."""
    env = _rendered_environment(environment)
    fps = float(env.metadata.get("render_fps") or _DEFAULT_FPS)
    try:
        summary = record_video(
            planner, env, file, episodes=_MOST_FILMED, seed=seed, fps=fps, until_success=True
        )
    finally:
        env.close()
    count = len(summary.episodes)
    outcome = (
        f"succeeds in episode {count}"
        if summary.succeeded is not None
        else f"no success in {count} episodes"
    )
    return f"film: {summary.file} ({summary.frames} frames, {outcome})"
