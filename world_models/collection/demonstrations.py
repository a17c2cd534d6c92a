"""Let the scripted demonstrator of a manipulation task play until there are enough demonstrations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata as packages
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.envs.manipulation.demonstrators import (
    DemonstratedEpisode,
    demonstrate,
    demonstrator_of,
)
from worldplan.envs.manipulation.environment import CAMERAS, FORCE_LIMIT, FRAMES, IMAGE_SIZE, MODES
from worldplan.envs.manipulation.tasks import TASKS
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.data.episodes import Episode
from worldplan.world_models.training.seeds import derived_seed

PATIENCE, TRIES = (
    20,
    10,
)  # a demonstrator is given up after so many tries, and so many more for each success
_PACKAGES = ("worldplan", "gymnasium", "mujoco", "minari", "numpy")


@dataclass(frozen=True)
class DemonstrationSettings:
    """What to collect.

    Args:
        task: gymnasium id (worldplan/BinPick-v0) or name (BinPick, bin_pick).
        episodes: successful ones; with `keep_failures` all that are played.
        noise: standard deviation added to every action; what was executed is what is recorded.
        seed: of starts, noise and demonstrator.
        observation: "state" or "pixels".
        keep_failures: keep the failed episodes too.
        image_size, cameras, frames: of the pictures, see `ManipulationEnv`; its own values when
            None. With "pixels" only.
    Raises ConfigError where a value is unknown or out of range.
    """

    task: str
    episodes: int
    noise: float = 0.05
    seed: int = 0
    observation: str = "state"
    keep_failures: bool = False
    image_size: int | None = None
    cameras: tuple[str, ...] | None = None
    frames: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", task_name(self.task))
        if self.episodes < 1:
            raise ConfigError(f"{self.episodes} episodes: collect at least 1")
        if not (np.isfinite(self.noise) and self.noise >= 0):
            raise ConfigError(f"noise {self.noise}: give a standard deviation, 0 or more")
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}: give 0 or more")
        if self.observation not in MODES:
            raise ConfigError(f"observation '{self.observation}': choose {' or '.join(MODES)}")
        for name, usual in (("image_size", IMAGE_SIZE), ("cameras", CAMERAS), ("frames", FRAMES)):
            if self.observation == "pixels" and getattr(self, name) is None:
                object.__setattr__(self, name, usual)
            elif self.observation != "pixels" and getattr(self, name) is not None:
                raise ConfigError(
                    f"{name} is about pictures, but observations are '{self.observation}': leave it out, or choose pixels"
                )

    def make_environment(self) -> gym.Env:
        """The environment that is played in."""
        pictures = {
            name: getattr(self, name)
            for name in ("image_size", "cameras", "frames")
            if getattr(self, name) is not None
        }
        return gym.make(
            f"worldplan.envs.manipulation:worldplan/{self.task}-v0",
            observation=self.observation,
            **pictures,
        )


@dataclass(frozen=True)
class Collection:
    """Demonstrations, ready for `save_demonstrations`.

    Args:
        episodes, seeds: what is kept, and with which seed each began.
        infos: for each of them, rows of contact_force (N), saturation and success, the first about
            the reset; none where nobody measures.
        metadata: settings, versions, and how the demonstrator did in all its tries: tries,
            success_rate, and where they are measured largest_contact_force (N), and how many of all
            steps had a contact_violation (force above the limit) or saturation (an actuator at its
            limit).
    """

    episodes: list[Episode]
    seeds: list[int]
    infos: list[dict[str, list[float]]]
    metadata: dict[str, Any]


def task_name(task: str) -> str:
    """BinPick for worldplan/BinPick-v0, worldplan.envs.manipulation:worldplan/BinPick-v0, BinPick,
    bin_pick or bin-pick. Raises ConfigError.
    """
    plain = (
        task.rpartition(":")[2]
        .removeprefix("worldplan/")
        .removesuffix("-v0")
        .replace("_", "")
        .replace("-", "")
        .lower()
    )
    for name in TASKS:
        if name.lower() == plain:
            return name
    known = ", ".join(f"worldplan/{name}-v0" for name in TASKS)
    raise ConfigError(f"task '{task}': there are scripted demonstrators for {known}")


def collect_demonstrations(
    settings: DemonstrationSettings, progress: Callable[[int, int], None] = lambda done, total: None
) -> Collection:
    """Play episodes, each with a seed of its own; `progress` is told how many are kept, and how
    many there will be.

    Raises DatasetError when most tries fail, so that collecting would not end.
    """
    demonstrator = demonstrator_of(settings.task)
    episodes: list[Episode] = []
    seeds: list[int] = []
    infos: list[dict[str, list[float]]] = []
    successes: list[bool] = []
    force, saturation = np.zeros(0, np.float32), np.zeros(0, np.bool_)  # of all steps of all tries
    env = settings.make_environment()
    try:
        while len(episodes) < settings.episodes:
            if len(successes) >= PATIENCE + TRIES * len(episodes):
                raise DatasetError(
                    f"{settings.task}: only {sum(successes)} of {len(successes)} tries with noise {settings.noise} were successes, and "
                    f"{settings.episodes} are asked for: lower the noise, or keep the failures (--keep-failures)"
                )
            seed = derived_seed(settings.seed, len(successes))
            played = demonstrate(env, demonstrator, settings.noise, seed)
            successes.append(played.success)
            force, saturation = (
                np.append(force, played.contact_force),
                np.append(saturation, played.saturation),
            )
            if settings.keep_failures or played.success:
                episodes.append(
                    Episode(
                        played.observation, played.action, played.reward, success=played.success
                    )
                )
                seeds.append(seed)
                infos.append(_infos(played))
            progress(len(episodes), settings.episodes)
    finally:
        env.close()
    score = {
        "tries": len(successes),
        "success_rate": float(np.mean(successes)),
        "largest_contact_force": float(force.max()),
        "contact_violation": int((force > FORCE_LIMIT).sum()),
        "saturation": int(saturation.sum()),
        "steps": len(force),
    }
    return Collection(episodes, seeds, infos, _about(settings) | score)


def _infos(played: DemonstratedEpisode) -> dict[str, list[float]]:
    success = [False] * len(played.reward) + [played.success]
    return {
        "contact_force": [0.0, *played.contact_force.tolist()],
        "saturation": [False, *played.saturation.tolist()],
        "success": success,
    }


def _about(settings: DemonstrationSettings) -> dict[str, Any]:
    about = {"env_id": f"worldplan/{settings.task}-v0", "demonstrator": "scripted"}
    chosen = {
        key: value
        for key, value in asdict(settings).items()
        if key not in ("task", "episodes") and value is not None
    }
    return about | chosen | versions_of(*_PACKAGES)


def versions_of(*names: str) -> dict[str, str]:
    """Installed versions of packages, for the record: NAME_version."""
    return {f"{name}_version": packages.version(name) for name in names}
