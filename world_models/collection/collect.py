"""Collect a dataset of transitions the way D4RL's were made (Fu et al., 2020).

Four policies act: "random", uniform actions; "expert", a soft actor-critic agent after a fixed
number of training steps; "medium", the same kind of agent, stopped when its mean evaluation return
first reaches a mark; "medium-replay", whatever that agent did during its training. A collection
that was killed resumes from its folder and gives what an uninterrupted one gives.
"""

from __future__ import annotations

import math
from importlib import metadata as packages
from pathlib import Path
from typing import Any

from worldplan.envs.registered import resolved
from worldplan.world_models.collection.claims import claim, installed_versions
from worldplan.world_models.collection.randomness import global_generators, stream_seed
from worldplan.world_models.collection.recording import as_transitions, simulator
from worldplan.world_models.collection.rollouts import record_rollout, uniform_policy
from worldplan.world_models.collection.settings import (
    CollectionSettings,
    Progress,
    action_limits,
    flat_environment,
    mean_return,
)
from worldplan.world_models.data.references import D4RL_REFERENCES
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.folders import exclusive


def collect_transitions(
    settings: CollectionSettings,
    folder: Path,
    progress: Progress = lambda stage, done, total: None,
    *,
    fresh: bool = False,
) -> Transitions:
    """Collect a dataset, or resume the collection in `folder`.

    Args:
        settings: what to collect.
        folder: holds agent and recordings; may be kept to resume, or to collect another dataset
            with the same agent.
        progress: called with ("training" or "roll-out", steps done, steps in total).
        fresh: begin anew; a collection in the folder is moved to a folder beside it.

    Raises:
        FolderInUse: another process collects into the folder.
        ConfigError: the environment is unknown or not continuous, the folder was begun with other
            settings, or training ended before a medium agent reached its mark (the folder is kept:
            with more train_steps it is resumed).
        CheckpointError: the agent in the folder is damaged.
        DatasetError: a recording in the folder is damaged.
        Diverged: the agent's weights are no longer finite.
    """
    metadata, versions = _about(settings)
    with exclusive(folder):
        claim(folder, settings.training, versions, longer="train_steps", fresh=fresh)
        if settings.policy == "random":
            columns = record_rollout(
                settings,
                folder / "rollout",
                lambda part: uniform_policy(settings, stream_seed(settings.seed, "policy", part)),
                progress,
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


def _about(settings: CollectionSettings) -> tuple[dict[str, Any], dict[str, str]]:
    """Metadata of the dataset, and the versions of the packages that the data depend on.

    Raises:
        ConfigError: see `flat_environment`.
    """
    with flat_environment(settings.environment) as environment:
        data = simulator(environment)
        low, high = action_limits(environment)
    spec = resolved(settings.environment)
    names = ["gymnasium", "numpy"]
    names += ["mujoco"] if data is not None else []
    names += ["stable-baselines3", "torch"] if settings.policy != "random" else []
    versions = installed_versions(*names)
    metadata = {
        "env_id": spec.id,
        "environment": spec.to_json(),
        "policy": settings.policy,
        "seed": settings.seed,
        **{f"{name}_version": version for name, version in versions.items()},
        "action_low": low,
        "action_high": high,
        "settings": settings.dataset,
    }
    return metadata | ({} if data is None else {"qpos_size": len(data.qpos)}), versions


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
    spec = settings.environment
    constants = D4RL_REFERENCES.get(spec.bare_id) if spec.is_plain else None
    if constants is not None and settings.reference is None:
        return {
            "ref_min_score": constants[0],
            "ref_max_score": constants[1],
            "ref_min_source": "D4RL constant",
            "ref_max_source": "D4RL constant",
        }
    if constants is None:
        episodes = 5 * settings.evaluation_episodes
        low = _uniform_return(settings, episodes)
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


def _uniform_return(settings: CollectionSettings, episodes: int) -> float:
    """Mean return of the uniform policy."""
    seed = stream_seed(settings.seed, "reference")
    uniform = uniform_policy(settings, stream_seed(settings.seed, "uniform"))
    with global_generators(seed):
        return mean_return(settings.environment, uniform, episodes, seed)
