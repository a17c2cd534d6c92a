"""`worldplan data collect TASK --demonstrator scripted`, and `worldplan data describe` for what it
makes.
"""

from __future__ import annotations

import re
from argparse import SUPPRESS
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from worldplan.milp.errors import ConfigError
from worldplan.world_models.data.files import file_of

if TYPE_CHECKING:
    import gymnasium as gym

    from worldplan.world_models.collection.demonstrations import Collection

METAWORLD = "MetaWorld/"  # before the name of one of its tasks

# the others serve both forms of `worldplan data collect`
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
    """Collect, write and report; `given` are the options of the command line."""
    if "episodes" not in given:
        raise ConfigError("--demonstrator needs --episodes: say how many demonstrations to collect")
    from worldplan.world_models.data.demonstrations import (
        save_demonstrations,
    )  # MuJoCo and Minari take seconds
    from worldplan.world_models.data.minari_files import require_free_id

    demonstrator = (
        _of_metaworld(given) if given["env"].startswith(METAWORLD) else _of_manipulation(given)
    )
    output = (given["output"] or demonstrator.usual_id).removeprefix("minari:")
    if file_of(output) is not None:
        raise ConfigError(
            f"--output {output}: demonstrations become a Minari dataset: give an id such as {demonstrator.usual_id}"
        )
    require_free_id(output)  # better now than after the work
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        shown = bar.add_task("demonstrations", total=given["episodes"])
        found = demonstrator.collect(
            lambda done, total: bar.update(shown, completed=done, total=total)
        )
    env = demonstrator.make_environment()
    try:
        save_demonstrations(
            found.episodes, output, env, found.metadata, infos=found.infos, seeds=found.seeds
        )
    finally:
        env.close()
    Console().print(_score_table(demonstrator.task, found.metadata))
    Console().print(
        f"{len(found.episodes)} demonstrations, {sum(map(len, found.episodes))} steps, written to {output}",
        soft_wrap=True,
    )
    return 0


@dataclass(frozen=True)
class _Demonstrator:
    """Who plays which task, and the id of the dataset where none is given."""

    task: str
    usual_id: str
    collect: Callable[[Callable[[int, int], None]], Collection]
    make_environment: Callable[[], gym.Env]


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: given[name] for name in DEMONSTRATOR_OPTIONS if name in given}
    if "cameras" in options:
        options["cameras"] = tuple(name for name in options["cameras"].split(",") if name)
    return options


def _of_manipulation(given: Mapping[str, Any]) -> _Demonstrator:
    from worldplan.world_models.collection.demonstrations import (
        DemonstrationSettings,
        collect_demonstrations,
    )

    settings = DemonstrationSettings(given["env"], seed=given["seed"], **_options(given))
    usual_id = default_id(settings.task, settings.observation)
    return _Demonstrator(
        settings.task,
        usual_id,
        partial(collect_demonstrations, settings),
        settings.make_environment,
    )


def _of_metaworld(given: Mapping[str, Any]) -> _Demonstrator:
    import gymnasium as gym

    from worldplan.envs.isolated.metaworld import ENV_ID
    from worldplan.world_models.collection.metaworld import collect_metaworld_demonstrations

    task, options = given["env"].removeprefix(METAWORLD), _options(given)
    wrong = [name for name in options if name not in ("episodes", "noise")]
    if wrong:
        raise ConfigError(
            f"--{wrong[0].replace('_', '-')} is for the manipulation tasks; Meta-World is observed by its state, successes are kept"
        )

    def collect(progress: Callable[[int, int], None]) -> Collection:
        return collect_metaworld_demonstrations(
            task, seed=given["seed"], progress=progress, **options
        )

    return _Demonstrator(
        task,
        f"worldplan/metaworld-{task}-scripted-v0",
        collect,
        lambda: gym.make(f"worldplan.envs.isolated.metaworld:{ENV_ID}", task=task),
    )


def default_id(task: str, observation: str) -> str:
    """worldplan/bin-pick-scripted-v0 for BinPick, worldplan/bin-pick-pixels-scripted-v0 with
    pixels.
    """
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", task).lower()
    return f"worldplan/{name}{'-pixels' if observation == 'pixels' else ''}-scripted-v0"


def _score_table(task: str, score: Mapping[str, Any]) -> Table:
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


def demonstration_tables(source: str) -> list[Table] | None:
    """What `worldplan data describe` shows of a Minari dataset of whole episodes; None when
    `source` is a dataset of transitions.
    """
    if file_of(source) is not None:
        return None
    from worldplan.world_models.data.summary import holds_demonstrations, summarise

    dataset_id = source.removeprefix("minari:")
    if not holds_demonstrations(dataset_id):
        return None
    found = summarise(dataset_id)
    count = len(found.lengths)
    episodes = Table(
        title=f"{source}: {count} episodes, {found.lengths.sum()} steps", show_header=False
    )
    episodes.add_row(
        "success", f"{found.success.sum()} of {count} ({100 * found.success.mean():.1f} %)"
    )
    for name, values in (("length", found.lengths), ("return", found.returns)):
        episodes.add_row(
            name,
            f"mean {values.mean():.4g}, std {values.std():.4g}, median {np.median(values):.4g}, {values.min():.4g} .. {values.max():.4g}",
        )
    columns = Table("column", "type", "shape per step", "lowest", "highest", title="columns")
    for name, column in found.columns.items():
        columns.add_row(
            name, column.dtype, str(column.shape), f"{column.low:.4g}", f"{column.high:.4g}"
        )
    about = Table(title="metadata", show_header=False)
    for key, value in found.metadata.items():
        about.add_row(key, str(value))
    return [episodes, columns, about] if found.metadata else [episodes, columns]
