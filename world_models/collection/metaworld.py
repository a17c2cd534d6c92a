"""Collect demonstrations of Meta-World's own scripted policies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worldplan.envs.isolated.metaworld import ENV_ID, make_metaworld
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
    """Successful episodes of the scripted policy of a Meta-World task.

    Args:
        task: name in Meta-World, such as push-v3.
        episodes: how many.
        noise: standard deviation of the Gaussian noise on every action; the noisy action is
            executed and recorded.
        seed: of starts and noise; every episode has its own.
        python: interpreter that has Meta-World, see `worldplan.envs.isolated.metaworld`.
        progress: called with (successful episodes so far, `episodes`).

    Raises:
        ConfigError: a value is out of range, or Meta-World has no such task.
        DatasetError: most tries fail.
        MissingExtra: no interpreter has Meta-World.
    """
    if episodes < 1 or seed < 0 or not (np.isfinite(noise) and noise >= 0):
        raise ConfigError(
            f"episodes {episodes}, noise {noise}, seed {seed}: give at least 1 episode, and noise "
            "and seed of 0 or more"
        )
    successes: list[Episode] = []
    seeds: list[int] = []
    tries = 0
    env = make_metaworld(task, python)
    try:
        while len(successes) < episodes:
            if tries >= PATIENCE + TRIES * len(successes):
                raise DatasetError(
                    f"{task}: only {len(successes)} of {tries} tries with noise {noise} were "
                    "successes: lower the noise"
                )
            start = derived_seed(seed, tries) % 2**31
            played = env.call("demonstrate", seed=start, noise=noise)
            tries += 1
            if played["success"]:
                successes.append(
                    Episode(played["observation"], played["action"], played["reward"], success=True)
                )
                seeds.append(start)
            progress(len(successes), episodes)
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
        successes,
        seeds,
        [{} for _ in successes],
        about | score | versions_of("worldplan", "gymnasium", "minari", "numpy"),
    )
