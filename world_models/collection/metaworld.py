"""Collect demonstrations of Meta-World's own scripted policies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from worldplan.envs.isolated.metaworld import ENV_ID, make_metaworld
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.collection.demonstrations import (
    PATIENCE,
    TRIES,
    Collection,
    claimed,
    versions_of,
)
from worldplan.world_models.collection.tries import Columns, columns_of_try, episode_of, tries
from worldplan.world_models.training.seeds import derived_seed

_BLOCK = 5  # tries between two new processes, which take seconds to start


def collect_metaworld_demonstrations(
    task: str,
    episodes: int,
    *,
    noise: float = 0.1,
    seed: int = 0,
    python: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    folder: Path | None = None,
    fresh: bool = False,
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
        folder: keeps every try, so that a stopped collection resumes; None: nothing is kept.
        fresh: begin anew; a collection in the folder is moved to a folder beside it.

    Raises:
        ConfigError: a value is out of range, or Meta-World has no such task; or the folder
            was begun with other settings.
        FolderInUse: another process collects into the folder.
        DatasetError: most tries fail, or a try in the folder is damaged.
        MissingExtra: no interpreter has Meta-World.
    """
    if episodes < 1 or seed < 0 or not (np.isfinite(noise) and noise >= 0):
        raise ConfigError(
            f"episodes {episodes}, noise {noise}, seed {seed}: give at least 1 episode, and noise "
            "and seed of 0 or more"
        )
    dataset = metaworld_dataset(task, episodes, noise=noise, seed=seed)
    about = {name: value for name, value in dataset.items() if name != "episodes"}
    about |= versions_of("worldplan", "gymnasium", "minari", "numpy")

    def start(number: int) -> int:
        return derived_seed(seed, number) % 2**31

    def play(env: Any, number: int) -> Columns:
        return columns_of_try(**env.call("demonstrate", seed=start(number), noise=noise))

    played: list[Columns] = []
    kept: list[int] = []
    with (
        claimed(folder, about, fresh),
        closing(tries(folder, lambda: make_metaworld(task, python), play, block=_BLOCK)) as all_,
    ):
        while len(kept) < episodes:
            if len(played) >= PATIENCE + TRIES * len(kept):
                raise DatasetError(
                    f"{task}: only {len(kept)} of {len(played)} tries with noise {noise} were "
                    "successes: lower the noise"
                )
            played.append(next(all_))
            if played[-1]["success"]:
                kept.append(len(played) - 1)
            progress(len(kept), episodes)
    score = {"tries": len(played), "success_rate": episodes / len(played)}
    return Collection(
        [episode_of(played[number]) for number in kept],
        [start(number) for number in kept],
        [{} for _ in kept],
        about | {"settings": dataset} | score,
    )


def metaworld_dataset(
    task: str, episodes: int, *, noise: float = 0.1, seed: int = 0
) -> dict[str, Any]:
    """All settings that a dataset of Meta-World depends on, as JSON values."""
    return {
        "env_id": ENV_ID,
        "task": task,
        "demonstrator": "scripted",
        "noise": noise,
        "seed": seed,
        "episodes": episodes,
    }
