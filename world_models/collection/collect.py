"""Collect a dataset of transitions the way D4RL's were made (Fu et al., 2020).

Four policies act: "random", uniform actions; "expert", a soft actor-critic agent after a fixed
number of training steps; "medium", the same kind of agent, stopped when its mean evaluation return
first reaches a mark; "medium-replay", whatever that agent did during its training. A collection
that was killed resumes from its folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib import metadata as packages
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from worldplan.envs.episodes import successive_steps
from worldplan.milp.errors import ConfigError
from worldplan.world_models.collection.recording import (
    Recorder,
    Recording,
    as_transitions,
    simulator,
)
from worldplan.world_models.collection.settings import (
    Act,
    Array,
    CollectionSettings,
    Progress,
    action_limits,
    flat_environment,
    mean_return,
    seed_after,
)
from worldplan.world_models.data.transitions import D4RL_REFERENCES, Transitions

_PART = 20_000  # rows between two saves of a recording


def collect_transitions(
    settings: CollectionSettings, folder: Path, progress: Progress = lambda stage, done, total: None
) -> Transitions:
    """Collect a dataset, or resume the collection in `folder`.

    Args:
        settings: what to collect.
        folder: holds agent and recordings; may be kept to resume, or to collect another dataset
            with the same agent.
        progress: called with ("training" or "roll-out", steps done, steps in total).

    Raises:
        ConfigError: the environment is unknown or not continuous, the folder was begun with other
            settings, or training ended before a medium agent reached its mark (the folder is kept:
            with more train_steps it is resumed).
        CheckpointError: the agent in the folder is damaged.
        DatasetError: a recording in the folder is damaged.
        Diverged: the agent's weights are no longer finite.
    """
    environment = flat_environment(settings.env_id)
    data = simulator(environment)
    low, high = action_limits(environment)
    metadata: dict[str, Any] = {
        "env_id": settings.env_id,
        "policy": settings.policy,
        "seed": settings.seed,
        "gymnasium_version": packages.version("gymnasium"),
        "action_low": low,
        "action_high": high,
    }
    if data is not None:
        metadata |= {"mujoco_version": packages.version("mujoco"), "qpos_size": len(data.qpos)}
    _claim(folder, settings)
    if settings.policy == "random":
        columns = record_rollout(
            settings, folder / "rollout", lambda done: uniform_policy(settings, done), progress
        )
        return as_transitions(columns, metadata | reference_scores(settings, None))

    # torch and stable-baselines3 take seconds to import
    from worldplan.world_models.collection.sac import train

    with train(settings, folder / "training", progress) as trained:
        if settings.policy == "medium-replay":
            columns = trained.recording.read(trained.parts)
        else:
            columns = record_rollout(
                settings, folder / f"rollout-{trained.steps}", trained.sampling_policy, progress
            )
    metadata |= {
        "algorithm": f"SAC, stable-baselines3 {packages.version('stable-baselines3')}",
        "hidden": list(settings.hidden),
        "trained_steps": trained.steps,
        "stop_return": settings.mark,
        "evaluations": trained.evaluations,
    }
    best = max(mean for _, mean in trained.evaluations)
    return as_transitions(columns, metadata | reference_scores(settings, best))


def uniform_policy(settings: CollectionSettings, done: int = 0) -> Act:
    """Actions drawn uniformly between the limits.

    Args:
        settings: environment and seed.
        done: steps that were recorded before; the random numbers differ for every `done`.

    Raises:
        ConfigError: see `flat_environment`.
    """
    low, high = action_limits(flat_environment(settings.env_id))
    generator = np.random.default_rng(seed_after(settings.seed, done))

    def act(observations: Array) -> Array:
        return generator.uniform(low, high, (len(observations), len(low))).astype(low.dtype)

    return act


def record_rollout(
    settings: CollectionSettings,
    folder: Path,
    policy_after: Callable[[int], Act],
    progress: Progress,
) -> dict[str, Array]:
    """`settings.steps` rows with a fixed policy; the last episode is cut where they are complete.

    Args:
        settings: environment, steps and seed.
        folder: of the recording, which is saved in parts; the last complete part is resumed from.
        policy_after: called with the number of rows that are recorded already -> the policy, with
            random numbers of its own for the rows that follow.
        progress: called after every step.

    Returns:
        Column name -> (steps, ...), see `Recorder.take`.

    Raises:
        ConfigError: see `flat_environment`.
        DatasetError: a part of the recording is damaged.
    """
    recording = Recording(folder)
    done = parts = recording.parts()
    first_episode = 0
    if parts:
        columns = recording.read(parts)
        done, first_episode = len(columns["reward"]), int(columns["episode"][-1]) + 1
    recorder, act = Recorder(flat_environment(settings.env_id), first_episode), policy_after(done)
    steps = successive_steps(recorder, act, seed=seed_after(settings.seed, done))
    for _ in islice(steps, max(settings.steps - done, 0)):
        done += 1
        progress("roll-out", done, settings.steps)
        if len(recorder) == _PART or done == settings.steps:
            recording.write(parts, recorder.take())
            parts += 1
    columns = recording.read(parts)
    columns["truncated"][settings.steps - 1] |= not columns["terminated"][settings.steps - 1]
    return {name: column[: settings.steps] for name, column in columns.items()}


def reference_scores(settings: CollectionSettings, best: float | None) -> dict[str, Any]:
    """The returns that count as 0 and as 100 points, and where each comes from.

    Args:
        settings: of the collection.
        best: best mean evaluation return of the training; None if there was none.

    Returns:
        ref_min_score, ref_min_source and, if known, ref_max_score and ref_max_source.

    Raises:
        ConfigError: see `flat_environment`.
    """
    constants = D4RL_REFERENCES.get(settings.env_id.partition("-")[0].lower())
    if constants is not None and settings.reference is None:
        return {
            "ref_min_score": constants[0],
            "ref_max_score": constants[1],
            "ref_min_source": "D4RL constant",
            "ref_max_source": "D4RL constant",
        }
    if constants is None:
        episodes = 5 * settings.evaluation_episodes
        uniform, seed = uniform_policy(settings), seed_after(settings.seed, 0)
        low = mean_return(settings.env_id, uniform, episodes, seed)
        low_source = f"uniform policy, {episodes} episodes"
    else:
        low, low_source = constants[0], "D4RL constant"
    scores = {"ref_min_score": low, "ref_min_source": low_source}
    high = best if settings.reference is None else settings.reference
    if high is None or not math.isfinite(high):
        return scores
    measured = "best mean evaluation return of training"
    high_source = "given" if settings.reference is not None else measured
    return scores | {"ref_max_score": high, "ref_max_source": high_source}


def _claim(folder: Path, settings: CollectionSettings) -> None:
    """Write the settings into a new folder, or compare them with those of an old one.

    Raises:
        ConfigError: the folder was begun with other settings, or its note cannot be read.
    """
    note = folder / "settings.json"
    current = settings.training | {"kind": settings.policy.removesuffix("-replay")}
    if not note.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(current), encoding="utf-8")
        return
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(
            f"{note}: cannot be read ({error}): delete the folder and collect again"
        ) from error
    changed = sorted(
        key for key in current if not isinstance(noted, dict) or noted.get(key) != current[key]
    )
    if changed:
        raise ConfigError(
            f"{folder}: begun with another {', '.join(changed)}: choose another folder, or delete "
            "this one"
        )
