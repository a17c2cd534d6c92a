"""`worldplan data collect TASK --demonstrator scripted`: demonstrations of a manipulation task or a
task of Meta-World as a Minari dataset.
"""

from __future__ import annotations

import re
from argparse import SUPPRESS
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from worldplan.commands.data.outputs import is_finished, resumable
from worldplan.lists import items
from worldplan.milp.errors import ConfigError
from worldplan.output.console import plain_console
from worldplan.output.progress import progress_bar
from worldplan.world_models.data.files import file_of

if TYPE_CHECKING:
    import gymnasium as gym

    from worldplan.world_models.collection.demonstrations import Collection

METAWORLD = "MetaWorld/"  # prefix of the names of its tasks

# all other options can also be used with --policy
DEMONSTRATOR_OPTIONS = (
    "episodes",
    "noise",
    "observation",
    "keep_failures",
    "image_size",
    "cameras",
    "frames",
)


def add_demonstrator_options(group: Any) -> None:
    """Add the options that `--demonstrator` takes to the argument group `group`; those not
    given are absent from the parsed options.
    """
    add = partial(group.add_argument, default=SUPPRESS)
    add("--episodes", type=int, help="successful demonstrations to collect")
    add(
        "--noise",
        type=float,
        help="standard deviation added to every action, 0.05 when not given (Meta-World: 0.1)",
    )
    add("--observation", choices=("state", "pixels"), help="state when not given")
    add("--image-size", type=int, help="width and height of the images, 64 when not given")
    add(
        "--cameras",
        type=str,
        help="cameras whose images are observed, left,right when not given",
    )
    add(
        "--frames",
        type=int,
        help="images of each camera in an observation, 2 when not given",
    )
    add(
        "--keep-failures",
        action="store_true",
        help="keep failed episodes too; --episodes then counts all",
    )


def collect_with_demonstrator(given: Mapping[str, Any]) -> int:
    """Collect demonstrations, write them and print a summary. Returns the exit code.

    Args:
        given: the options of `worldplan data collect` that were given, by name.

    Raises:
        ConfigError: an option is missing, wrong, not of this kind of task, or differs from that of
            the dataset or folder that is to be continued.
        DatasetError: the id is malformed, or the dataset exists already and is not of a collection.
        FolderInUse: another process makes this dataset, or collects into this folder.
    """
    if "episodes" not in given:
        raise ConfigError("--demonstrator needs --episodes: say how many demonstrations to collect")
    # MuJoCo and Minari take seconds to import
    from worldplan.world_models.data.demonstrations import save_demonstrations
    from worldplan.world_models.data.minari_places import minari_place

    is_metaworld = given["env"].startswith(METAWORLD)
    job = _metaworld_job(given) if is_metaworld else _manipulation_job(given)
    dataset_id = (given["output"] or job.default_id).removeprefix("minari:")
    if file_of(dataset_id) is not None:
        raise ConfigError(
            f"--output {dataset_id}: demonstrations become a Minari dataset: "
            f"give an id such as {job.default_id}"
        )
    folder = given["folder"] or job.default_folder(given["seed"])
    fresh = given["fresh"]
    with minari_place(dataset_id) as place, resumable(folder):
        wanted = job.settings
        if is_finished(dataset_id, place, wanted, longer="episodes", fresh=fresh):
            plain_console().print(f"finished already: {dataset_id}", soft_wrap=True)
            return 0
        with progress_bar() as bar:
            task = bar.add_task(f"demonstrations of {given['env']}", total=given["episodes"])
            collection = job.collect(
                progress=lambda done, total: bar.update(task, completed=done, total=total),
                folder=folder,
                fresh=fresh,
            )
        with closing(job.make_environment()) as env:
            save_demonstrations(
                collection.episodes,
                dataset_id,
                env,
                collection.metadata,
                infos=collection.infos,
                seeds=collection.seeds,
                place=place,
                replace=place.path.exists(),
            )
    plain_console().print(_score_table(job.task, collection.metadata))
    steps = sum(len(episode) for episode in collection.episodes)
    plain_console().print(
        f"{len(collection.episodes)} demonstrations, {steps} steps, written to {dataset_id}",
        soft_wrap=True,
    )
    return 0


@dataclass(frozen=True)
class _Job:
    """How demonstrations of a task are collected.

    Args:
        task: its name, for the summary.
        default_id: of the dataset, where --output is empty.
        settings: all that the dataset depends on.
        collect: called with `progress`, which it calls with (episodes so far, episodes in total),
            `folder` and `fresh`.
        make_environment: an environment with the spaces of the episodes.
    """

    task: str
    default_id: str
    settings: dict[str, Any]
    collect: Callable[..., Collection]
    make_environment: Callable[[], gym.Env[Any, Any]]

    def default_folder(self, seed: int) -> Path:
        """Where tries are kept, without --folder."""
        name = self.default_id.removeprefix("worldplan/").removesuffix("-v0")
        return Path("runs") / "data" / f"{name}-seed{seed}"


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that only demonstrators have, with --cameras as a tuple of names."""
    options = {name: given[name] for name in DEMONSTRATOR_OPTIONS if name in given}
    if "cameras" in options:
        options["cameras"] = tuple(name for name in items(options["cameras"]) if name)
    return options


def _manipulation_job(given: Mapping[str, Any]) -> _Job:
    from worldplan.world_models.collection.demonstrations import (
        DemonstrationSettings,
        collect_demonstrations,
    )

    settings = DemonstrationSettings(given["env"], seed=given["seed"], **_options(given))
    return _Job(
        settings.task,
        default_id(settings.task, settings.observation),
        settings.dataset,
        partial(collect_demonstrations, settings),
        settings.make_environment,
    )


def _metaworld_job(given: Mapping[str, Any]) -> _Job:
    """The job of a task of Meta-World.

    Raises:
        ConfigError: an option that only the manipulation tasks have was given.
    """
    from worldplan.envs.environments import make_environment
    from worldplan.world_models.collection.metaworld import (
        collect_metaworld_demonstrations,
        metaworld_dataset,
    )

    task, options = given["env"].removeprefix(METAWORLD), _options(given)
    wrong = [name for name in options if name not in ("episodes", "noise")]
    if wrong:
        raise ConfigError(
            f"--{wrong[0].replace('_', '-')} is for the manipulation tasks; "
            "Meta-World is observed by its state, successes are kept"
        )

    settings = {"seed": given["seed"], **options}
    return _Job(
        task,
        f"worldplan/metaworld-{task}-scripted-v0",
        metaworld_dataset(task, **settings),
        partial(collect_metaworld_demonstrations, task, **settings),
        partial(make_environment, given["env"]),
    )


def default_id(task: str, observation: str) -> str:
    """The id of a dataset of the task, such as worldplan/bin-pick-scripted-v0 for BinPick, or
    worldplan/bin-pick-pixels-scripted-v0 if `observation` is "pixels".
    """
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", task).lower()
    return f"worldplan/{name}{'-pixels' if observation == 'pixels' else ''}-scripted-v0"


def _score_table(task: str, score: Mapping[str, Any]) -> Table:
    """Success rate and, where they were measured, forces and limits of a collection."""
    table = Table(title=f"{task}: scripted demonstrator, noise {score['noise']}", show_header=False)
    table.add_row("success rate", f"{100 * score['success_rate']:.1f} % of {score['tries']} tries")
    if "largest_contact_force" not in score:
        return table
    table.add_row("largest contact force", f"{score['largest_contact_force']:.1f} N")
    table.add_row(
        "contact above the limit", f"{score['contact_violation']} of {score['steps']} steps"
    )
    table.add_row("actuator at its limit", f"{score['saturation']} of {score['steps']} steps")
    return table
