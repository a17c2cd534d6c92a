"""Demonstrations of Meta-World's own scripted policies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worldplan.envs.isolated.metaworld import ENV_ID, metaworld
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.collection.demonstrations import (
    PATIENCE,
    TRIES,
    Collection,
    versions_of,
)
from worldplan.world_models.data.episodes import Episode
from worldplan.world_models.training.seeds import derived_seed


def collect_metaworld_demonstrations(
    task: str,
    episodes: int,
    *,
    noise: float = 0.1,
    seed: int = 0,
    python: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Collection:
    """Successful episodes of the scripted policy in worldplan/MetaWorld-v0, each with a seed of its
    own.

    Args:
        task: name in Meta-World, such as push-v3.
        episodes: how many.
        noise: standard deviation added to every action; the action that was executed is what is
            recorded.
        seed: of starts and noise.
        python: interpreter that has Meta-World, see `worldplan.envs.isolated.metaworld`.
        progress: is told how many there are, and how many there will be.
    Raises ConfigError for a value out of range, DatasetError when most tries fail, and what
    `metaworld` raises.
    """
    if episodes < 1 or seed < 0 or not (np.isfinite(noise) and noise >= 0):
        raise ConfigError(
            f"episodes {episodes}, noise {noise}, seed {seed}: give at least 1 episode, and noise and seed of 0 or more"
        )
    found: list[Episode] = []
    seeds: list[int] = []
    tries = 0
    env = metaworld(task, python)
    try:
        while len(found) < episodes:
            if tries >= PATIENCE + TRIES * len(found):
                raise DatasetError(
                    f"{task}: only {len(found)} of {tries} tries with noise {noise} were successes: lower the noise"
                )
            start = derived_seed(seed, tries) % 2**31
            played = env.call("demonstrate", seed=start, noise=noise)
            tries += 1
            if played["success"]:
                found.append(
                    Episode(played["observation"], played["action"], played["reward"], success=True)
                )
                seeds.append(start)
            progress(len(found), episodes)
    finally:
        env.close()
    about = {
        "env_id": ENV_ID,
        "task": task,
        "demonstrator": "scripted",
        "noise": noise,
        "seed": seed,
    }
    score = {"tries": tries, "success_rate": episodes / tries}
    return Collection(
        found,
        seeds,
        [{} for _ in found],
        about | score | versions_of("worldplan", "gymnasium", "minari", "numpy"),
    )
