"""Make a dataset the way D4RL's were made (Fu et al. 2020): uniform actions, or soft actor-critic
agents of different strength.

random: uniform actions. medium: an agent stopped when its mean evaluation return first reaches a
mark. medium-replay: everything that agent saw up to then. expert: an agent trained for a fixed
number of steps. A collection that was killed goes on from its folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import numpy as np

from worldplan.milp.errors import ConfigError
from worldplan.world_models.collection.recording import (
    Recorder,
    Recording,
    as_transitions,
    simulator,
)
from worldplan.world_models.collection.settings import (
    Act,
    CollectionSettings,
    Progress,
    action_limits,
    make_environment,
    mean_return,
    seed_of,
)
from worldplan.world_models.data.transitions import D4RL_REFERENCES, Transitions

_PART = 20_000  # rows between two saves of a roll-out


def collect(
    settings: CollectionSettings, folder: Path, progress: Progress = lambda stage, done, total: None
) -> Transitions:
    """Collect the dataset, or go on with the collection in `folder`.

    Raises ConfigError when the environment is unknown or not continuous, when the folder belongs to
    other settings, and when training ends before a medium agent reaches its mark (the folder is
    kept: more train_steps continue it).
    """
    environment = make_environment(settings.env_id)
    data = simulator(environment)
    low, high = action_limits(environment)
    facts: dict[str, Any] = {
        "env_id": settings.env_id,
        "policy": settings.policy,
        "seed": settings.seed,
        "gymnasium_version": packages.version("gymnasium"),
        "action_low": low,
        "action_high": high,
    }
    if data is not None:
        facts |= {"mujoco_version": packages.version("mujoco"), "qpos_size": len(data.qpos)}
    _claim(folder, settings)
    if settings.policy == "random":
        columns = roll_out(
            settings, folder / "rollout", lambda done: uniform(settings, done), progress
        )
        return as_transitions(columns, facts | reference_scores(settings, None))

    from worldplan.world_models.collection.sac import (
        train,
    )  # torch and stable-baselines3 take seconds to import

    with train(settings, folder / "training", progress) as trained:
        if settings.policy == "medium-replay":
            columns = trained.recording.read(trained.parts)
        else:
            columns = roll_out(
                settings, folder / f"rollout-{trained.steps}", trained.sampling, progress
            )
    facts |= {
        "algorithm": f"SAC, stable-baselines3 {packages.version('stable-baselines3')}",
        "hidden": list(settings.hidden),
        "trained_steps": trained.steps,
        "stop_return": settings.mark,
        "evaluations": trained.evaluations,
    }
    return as_transitions(
        columns, facts | reference_scores(settings, max(mean for _, mean in trained.evaluations))
    )


def uniform(settings: CollectionSettings, done: int = 0) -> Act:
    """Actions drawn uniformly between the limits, for going on after `done` steps."""
    low, high = action_limits(make_environment(settings.env_id))
    generator = np.random.default_rng(seed_of(settings.seed, done))
    return lambda observations: generator.uniform(low, high, (len(observations), len(low))).astype(
        low.dtype
    )


def roll_out(
    settings: CollectionSettings, folder: Path, policy: Callable[[int], Act], progress: Progress
) -> dict[str, np.ndarray]:
    """`steps` rows with a fixed policy, in parts; the last episode is cut where they are full.

    `policy` gives the policy for going on after so many steps, its random stream included.
    """
    recording = Recording(folder)
    done = parts = recording.parts()
    first_episode = 0
    if parts:
        columns = recording.read(parts)
        done, first_episode = len(columns["reward"]), int(columns["episode"][-1]) + 1
    env, act = Recorder(make_environment(settings.env_id), first_episode), policy(done)
    observation, _ = env.reset(seed=seed_of(settings.seed, done))
    while done < settings.steps:
        observation, _, terminated, truncated, _ = env.step(act(observation[None])[0])
        done += 1
        progress("roll-out", done, settings.steps)
        if terminated or truncated:
            observation, _ = env.reset()
        if len(env) == _PART or done == settings.steps:
            recording.write(parts, env.take())
            parts += 1
    columns = recording.read(parts)
    columns["truncated"][settings.steps - 1] |= not columns["terminated"][settings.steps - 1]
    return {name: column[: settings.steps] for name, column in columns.items()}


def reference_scores(settings: CollectionSettings, best: float | None) -> dict[str, Any]:
    """Returns that count as 0 and as 100 points, and how each was found; `best` is the best mean
    evaluation return.
    """
    known = D4RL_REFERENCES.get(settings.env_id.partition("-")[0].lower())
    if known is not None and settings.reference is None:
        return {
            "ref_min_score": known[0],
            "ref_max_score": known[1],
            "ref_min_source": "D4RL constant",
            "ref_max_source": "D4RL constant",
        }
    if known is None:
        episodes = 5 * settings.evaluation_episodes
        low, origin = (
            mean_return(settings.env_id, uniform(settings), episodes, seed_of(settings.seed, 0)),
            f"uniform policy, {episodes} episodes",
        )
    else:
        low, origin = known[0], "D4RL constant"
    high = best if settings.reference is None else settings.reference
    found = {"ref_min_score": low, "ref_min_source": origin}
    if high is None or not math.isfinite(high):
        return found
    return found | {
        "ref_max_score": high,
        "ref_max_source": "given"
        if settings.reference is not None
        else "best mean evaluation return of training",
    }


def _claim(folder: Path, settings: CollectionSettings) -> None:
    """Note what the folder is for; refuse one that was begun with other settings."""
    note = folder / "settings.json"
    ours = settings.training | {"kind": settings.policy.removesuffix("-replay")}
    if not note.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(ours), encoding="utf-8")
        return
    try:
        theirs = json.loads(note.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(
            f"{note}: cannot be read ({error}): delete the folder and collect again"
        ) from error
    changed = sorted(
        key for key in ours if not isinstance(theirs, dict) or theirs.get(key) != ours[key]
    )
    if changed:
        raise ConfigError(
            f"{folder}: begun with another {', '.join(changed)}: choose another folder, or delete this one"
        )
