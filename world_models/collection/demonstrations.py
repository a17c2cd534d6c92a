"""Collect demonstrations of the scripted demonstrator of a manipulation task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.envs.manipulation.demonstrators.episode import demonstrate
from worldplan.envs.manipulation.demonstrators.tasks import demonstrator_of
from worldplan.envs.manipulation.environment import CAMERAS, FORCE_LIMIT, FRAMES, IMAGE_SIZE, MODES
from worldplan.envs.manipulation.tasks import TASKS
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.settings_check import check_fields
from worldplan.world_models.collection.claims import claim
from worldplan.world_models.collection.tries import Columns, columns_of_try, episode_of, tries
from worldplan.world_models.data.episodes import Episode
from worldplan.world_models.folders import exclusive
from worldplan.world_models.training.seeds import derived_seed

# collecting fails after PATIENCE tries, and TRIES more for every success so far
PATIENCE, TRIES = 20, 10
_PACKAGES = ("worldplan", "gymnasium", "mujoco", "minari", "numpy")


@dataclass(frozen=True)
class DemonstrationSettings:
    """What to collect.

    Args:
        task: gymnasium id (worldplan/BinPick-v0) or name (BinPick, bin_pick).
        episodes: how many to keep; only successful ones count, unless `keep_failures`.
        noise: standard deviation of the Gaussian noise on every action; the noisy action is
            executed and recorded.
        seed: of starts, noise and demonstrator.
        observation: "state" or "pixels".
        keep_failures: keep the failed episodes too.
        image_size: pixels of a side of the images. This and the following two are for "pixels"
            only; None: the value of `ManipulationEnv`.
        cameras: names of the cameras.
        frames: images of each camera in an observation.

    Raises:
        ConfigError: a value is unknown or out of range.
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
        check_fields(self)
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
                    f"{name} is about pictures, but observations are '{self.observation}': leave "
                    "it out, or choose pixels"
                )

    def make_environment(self) -> gym.Env:
        """The environment of the task, with the chosen observations."""
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

    @property
    def about(self) -> dict[str, Any]:
        """Settings that every try depends on, and package versions, as metadata."""
        about = {"env_id": f"worldplan/{self.task}-v0", "demonstrator": "scripted"}
        chosen = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if key not in ("task", "episodes", "keep_failures") and value is not None
        }
        return about | chosen | versions_of(*_PACKAGES)

    @property
    def dataset(self) -> dict[str, Any]:
        """The settings that the dataset depends on, as JSON values."""
        return {
            name: value for name, value in self.about.items() if not name.endswith("_version")
        } | {"keep_failures": self.keep_failures, "episodes": self.episodes}


@dataclass(frozen=True)
class Collection:
    """Demonstrations, ready for `save_demonstrations`.

    Args:
        episodes: that were kept.
        seeds: of the reset of each.
        infos: for each, lists of contact_force (N), saturation and success, one entry more than
            steps: the first is of the reset. Empty for environments that do not measure them.
        metadata: settings, package versions and results over all tries: tries, success_rate, and,
            if they are measured, largest_contact_force (N), steps, and the number of steps with a
            contact_violation (force above the limit) or saturation (an actuator at its limit).
    """

    episodes: list[Episode]
    seeds: list[int]
    infos: list[dict[str, list[float]]]
    metadata: dict[str, Any]


def task_name(task: str) -> str:
    """The name of a task: BinPick for worldplan/BinPick-v0, bin_pick, bin-pick or BinPick, and for
    worldplan.envs.manipulation:worldplan/BinPick-v0.

    Raises:
        ConfigError: there is no such task.
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
    settings: DemonstrationSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    folder: Path | None = None,
    fresh: bool = False,
) -> Collection:
    """Play episodes, each with a seed of its own, until enough are kept.

    Args:
        settings: what to collect.
        progress: called after every episode with (kept so far, `settings.episodes`).
        folder: keeps every try, so that a stopped collection resumes; None: nothing is kept.
        fresh: begin anew; a collection in the folder is moved to a folder beside it.

    Raises:
        DatasetError: most tries fail, so that collecting would not end, or a try in the folder is
            damaged.
        FolderInUse: another process collects into the folder.
        ConfigError: the folder was begun with other settings.
    """
    demonstrator = demonstrator_of(settings.task)
    metadata = settings.about

    def play(env: gym.Env[Any, Any], number: int) -> Columns:
        seed = derived_seed(settings.seed, number)
        played = demonstrate(env, demonstrator, settings.noise, seed)
        return columns_of_try(
            played.observation,
            action=played.action,
            reward=played.reward,
            success=played.success,
            contact_force=played.contact_force,
            saturation=played.saturation,
        )

    played: list[Columns] = []
    kept: list[int] = []
    with (
        claimed(folder, metadata, fresh),
        closing(tries(folder, settings.make_environment, play)) as all_tries,
    ):
        while len(kept) < settings.episodes:
            successes = [bool(columns["success"]) for columns in played]
            if len(played) >= PATIENCE + TRIES * len(kept):
                raise DatasetError(
                    f"{settings.task}: only {sum(successes)} of {len(played)} tries with noise "
                    f"{settings.noise} were successes, and {settings.episodes} are asked for: "
                    "lower the noise, or keep the failures (--keep-failures)"
                )
            played.append(next(all_tries))
            if settings.keep_failures or played[-1]["success"]:
                kept.append(len(played) - 1)
            progress(len(kept), settings.episodes)
    kept_failures = {"keep_failures": settings.keep_failures}
    return Collection(
        [episode_of(played[number]) for number in kept],
        [derived_seed(settings.seed, number) for number in kept],
        [_infos(played[number]) for number in kept],
        metadata | kept_failures | {"settings": settings.dataset} | _score(played),
    )


@contextmanager
def claimed(folder: Path | None, about: Mapping[str, Any], fresh: bool) -> Iterator[None]:
    """A context in which this process has the folder, see `claim`; without a folder, nothing.

    Args:
        folder: keeps the tries.
        about: settings and versions (NAME_version) of the collection.
        fresh: see `claim`.
    """
    if folder is None:
        yield
        return
    versions = {name: value for name, value in about.items() if name.endswith("_version")}
    settings = {name: value for name, value in about.items() if name not in versions}
    with exclusive(folder):
        claim(folder, settings, versions, fresh=fresh)
        yield


def _score(played: Sequence[Columns]) -> dict[str, Any]:
    """Results over all tries."""
    force = np.concatenate([columns["contact_force"] for columns in played])
    saturation = np.concatenate([columns["saturation"] for columns in played])
    return {
        "tries": len(played),
        "success_rate": float(np.mean([columns["success"] for columns in played])),
        "largest_contact_force": float(force.max()),
        "contact_violation": int((force > FORCE_LIMIT).sum()),
        "saturation": int(saturation.sum()),
        "steps": len(force),
    }


def _infos(played: Columns) -> dict[str, list[float]]:
    """Name -> one entry for the reset and one for every step."""
    success = [False] * len(played["reward"]) + [bool(played["success"])]
    return {
        "contact_force": [0.0, *played["contact_force"].tolist()],
        "saturation": [False, *played["saturation"].tolist()],
        "success": success,
    }


def versions_of(*names: str) -> dict[str, str]:
    """Installed versions of packages: NAME_version -> version."""
    return {f"{name}_version": packages.version(name) for name in names}
