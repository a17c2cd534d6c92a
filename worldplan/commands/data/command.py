"""`worldplan data collect | describe | convert`: make datasets of transitions or demonstrations,
print what they hold, and write them in another format.
"""

from __future__ import annotations

import re
from argparse import SUPPRESS
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from rich.progress import Progress, TaskID

from worldplan.arguments import command_parser, parse_options
from worldplan.commands.data.demonstrations import (
    DEMONSTRATOR_OPTIONS,
    add_demonstrator_options,
    collect_with_demonstrator,
)
from worldplan.commands.data.model_options import (
    add_report_options,
    refuse_report_options,
    report_settings,
)
from worldplan.commands.data.outputs import is_finished, resumable, saying_what_is_kept
from worldplan.commands.data.quality import add_quality_options, quality_tables
from worldplan.commands.data.tables import demonstration_tables, describe_tables
from worldplan.lists import whole_numbers
from worldplan.milp.errors import ConfigError
from worldplan.output.console import plain_console
from worldplan.output.progress import progress_bar
from worldplan.world_models.collection.settings import POLICIES, CollectionSettings
from worldplan.world_models.data.files import (
    load_transitions,
    place_of,
    require_free,
    save_transitions,
)
from worldplan.world_models.data.transitions import concatenate

_SOURCE = "a .npz or D4RL-style .hdf5 file, or a Minari id"
_POLICY_OPTIONS = (
    "steps",
    "stop_return",
    "train_steps",
    "evaluate_every",
    "hidden",
    "reference",
    "env_kwargs",
    "max_episode_steps",
    "wrappers",
)


def collect(argv: Sequence[str]) -> int:
    """Entry of `worldplan data collect`.

    Raises:
        ConfigError: an option is wrong, belongs to the other way of collecting, or differs from
            that of the dataset or folder that is to be continued.
        DatasetError: the output cannot name a dataset, or is there and not of a collection.
        FolderInUse: another process makes this dataset, or collects into this folder.
    """
    parser = command_parser(
        "data collect",
        "Make a dataset with uniform actions, an agent trained here or a scripted demonstrator.",
    )
    _add_collect_options(parser)
    given = vars(parse_options(parser, argv, {"env_kwargs": dict[str, Any]}))
    chosen, other, foreign = (
        ("demonstrator", "policy", _POLICY_OPTIONS)
        if given["demonstrator"]
        else ("policy", "demonstrator", DEMONSTRATOR_OPTIONS)
    )
    wrong = [name for name in foreign if name in given]
    if wrong:
        raise ConfigError(
            f"--{wrong[0].replace('_', '-')} goes with --{other}, not with --{chosen}: "
            f"leave it out, or choose --{other}"
        )
    if chosen == "demonstrator":
        return collect_with_demonstrator(given)
    return _collect_with_policy(given)


def describe(argv: Sequence[str]) -> int:
    """Entry of `worldplan data describe`.

    Raises:
        CheckpointError: the ensemble is missing or damaged, or belongs to other data.
        ConfigError: --bins is out of range, or goes with --reference; an option goes with
            --ensemble, or does not fit dataset and ensemble.
        DatasetError: a dataset does not exist or is damaged, the reference dataset is of another
            environment, or there are too few rows to measure an ensemble on.
    """
    parser = command_parser(
        "data describe",
        "Print what a dataset holds; with --ensemble, measure a dynamics ensemble on it.",
    )
    parser.add_argument("source", type=str, help=_SOURCE)
    add_quality_options(parser)
    add_report_options(parser.add_argument_group("with --ensemble"))
    given = vars(parse_options(parser, argv))
    source, ensemble = given["source"], given.get("ensemble")
    if ensemble is None:
        refuse_report_options(given)
    tables = demonstration_tables(source) if ensemble is None else None
    if tables is None:
        data = load_transitions(source)
        tables = [*describe_tables(data, source), *quality_tables(data, given)]
    for table in tables:
        plain_console().print(table)
    if ensemble is not None:
        from worldplan.commands.data.model_report import report_model

        report_model(data, report_settings(source, ensemble, given), given.get("runs", "runs"))
    return 0


def convert(argv: Sequence[str]) -> int:
    """Entry of `worldplan data convert`.

    Raises:
        ConfigError: --uncompressed goes with a .npz file.
        DatasetError: a source does not exist or is damaged, or the target exists already.
        FolderInUse: another process makes the target.
    """
    parser = command_parser(
        "data convert", "Write a dataset, or several joined, in another format."
    )
    parser.add_argument(
        "sources", type=str, nargs="+", help=f"{_SOURCE}; several are joined (medium and expert)"
    )
    parser.add_argument("target", type=str, help=f"{_SOURCE} that does not exist yet")
    parser.add_argument(
        "--uncompressed",
        action="store_true",
        help="write a .npz file that is read from disk where it does not fit into memory",
    )
    parser.add_argument(
        "--flatten",
        action="store_true",
        help="make vectors of Dict observations, as the wrapper FlattenObservation does",
    )
    options = parse_options(parser, argv)
    if options.uncompressed and Path(options.target).suffix.lower() != ".npz":
        raise ConfigError("--uncompressed goes with a .npz file: give one, or leave it out")
    with (
        saying_what_is_kept("nothing was written: repeat the command"),
        place_of(options.target) as place,
    ):
        require_free(options.target)
        data = concatenate(
            [load_transitions(source, flatten=options.flatten) for source in options.sources]
        )
        target = save_transitions(data, options.target, place, compress=not options.uncompressed)
    plain_console().print(f"{len(data)} transitions written to {target}", soft_wrap=True)
    return 0


def _add_collect_options(parser: ArgumentParser) -> None:
    defaults = CollectionSettings
    parser.add_argument(
        "env",
        type=str,
        help="gymnasium id, e.g. Hopper-v5 or worldplan/BinPick-v0, or a task of an adapter of "
        "your own, e.g. my_package.tasks:adapter/TASK; MetaWorld/push-v3 with --demonstrator",
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of all random numbers")
    parser.add_argument(
        "--output",
        type=str,
        default="",
        help=f"{_SOURCE}; worldplan/ENV-POLICY-own-v0 or worldplan/TASK-scripted-v0 when empty",
    )
    parser.add_argument(
        "--folder",
        type=Path | None,
        default=None,
        help="folder of intermediate results, from which a stopped collection resumes; "
        "runs/data/ENV-POLICY-seedSEED or runs/data/TASK-scripted-seedSEED when not given",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="begin anew; the old dataset and the content of the old folder are renamed",
    )
    method = parser.add_mutually_exclusive_group(required=True)
    method.add_argument(
        "--policy",
        choices=POLICIES,
        help="policy that acts: uniform actions, or an agent of that strength",
    )
    method.add_argument(
        "--demonstrator",
        choices=("scripted",),
        help="demonstrator that acts, for the manipulation tasks and Meta-World",
    )
    add_demonstrator_options(parser.add_argument_group("with --demonstrator"))
    _add_policy_options(parser.add_argument_group("with --policy"), defaults)


def _add_policy_options(group: Any, defaults: type[CollectionSettings]) -> None:
    add = partial(group.add_argument, default=SUPPRESS)
    add(
        "--steps",
        type=int,
        help=f"transitions, {defaults.steps} when not given "
        "(medium-replay: as many as the training took)",
    )
    add(
        "--stop-return",
        type=float,
        help="mean evaluation return that ends the training of medium and medium-replay",
    )
    add(
        "--train-steps",
        type=int,
        help="steps of training: exactly for expert, at most for medium; "
        f"{defaults.train_steps} when not given",
    )
    add(
        "--evaluate-every",
        type=int,
        help=f"steps between evaluations, {defaults.evaluate_every} when not given; "
        "a killed run loses at most so many",
    )
    add(
        "--hidden",
        type=str,
        help="layer widths of the agent's networks, 256,256 when not given",
    )
    add("--reference", type=float, help="return that counts as 100 points")
    add(
        "--env-kwargs",
        type=dict[str, Any],
        help="keyword arguments of the environment, such as '{\"g\": 2}'",
    )
    add(
        "--max-episode-steps",
        type=int,
        help="steps after which an episode is truncated; as registered when not given, -1: never",
    )
    add(
        "--wrappers",
        type=list[Any] | str,
        help="of the environment, innermost first, such as '[FlattenObservation, {name: "
        "RescaleAction, kwargs: {min_action: -1, max_action: 1}}]'; your own as module:Name",
    )


def _collect_with_policy(given: Mapping[str, Any]) -> int:
    changes = {name: given[name] for name in _POLICY_OPTIONS if name in given}
    if "hidden" in changes:
        changes["hidden"] = _widths(changes["hidden"])
    if "wrappers" in changes:
        wrappers = changes["wrappers"]
        changes["wrappers"] = (wrappers,) if isinstance(wrappers, str) else tuple(wrappers)
    env_id, policy, seed = given["env"], given["policy"], given["seed"]
    settings = CollectionSettings(env_id=env_id, policy=policy, seed=seed, **changes)
    name = re.sub(r"[^\w-]+", "-", env_id)  # an id of Minari has no other characters
    output = given["output"] or f"worldplan/{name.lower()}-{policy}-own-v0"
    # medium and medium-replay share their agent, so they share its folder
    agent = f"{name}-{policy.removesuffix('-replay')}-seed{seed}"
    folder = given["folder"] or Path("runs") / "data" / agent
    fresh = given["fresh"]
    with place_of(output) as place, resumable(folder):
        wanted = settings.dataset
        if is_finished(output, place, wanted, longer="steps", fresh=fresh):
            plain_console().print(f"finished already: {output}", soft_wrap=True)
            return 0
        from worldplan.world_models.collection.collect import collect_transitions

        with progress_bar() as bar:
            data = collect_transitions(settings, folder, _reporter(bar, env_id), fresh=fresh)
        target = save_transitions(data, output, place, replace=place.path.exists())
    returns = data.returns()
    plain_console().print(
        f"{len(data)} transitions, {len(returns)} episodes, mean return {returns.mean():.1f}, "
        f"written to {target}",
        soft_wrap=True,
    )
    return 0


_STAGES = {"training": "training an agent in {env}", "roll-out": "recording steps in {env}"}


def _reporter(bar: Progress, env: str) -> Callable[[str, int, int], None]:
    """A function that shows (stage, steps done, steps in total) in a bar for each stage."""
    tasks: dict[str, TaskID] = {}

    def report(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            text = _STAGES.get(stage, stage).format(env=env)
            tasks[stage] = bar.add_task(text, total=total)
        bar.update(tasks[stage], completed=done)

    return report


def _widths(text: str) -> tuple[int, ...]:
    """Layer widths from a text such as 256,256.

    Raises:
        ConfigError: a part of the text is not a whole number.
    """
    try:
        return tuple(whole_numbers(text))
    except ValueError:
        raise ConfigError(
            f"--hidden: '{text}' is not a list of layer widths: write e.g. 256,256"
        ) from None
