"""`worldplan data collect | describe | convert`: make, look at and convert datasets of transitions;
make and look at demonstrations.
"""

from __future__ import annotations

from argparse import SUPPRESS
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from worldplan.arguments import command_parser, parse_options
from worldplan.commands.data.demonstrations import (
    DEMONSTRATOR_OPTIONS,
    add_demonstrator_options,
    collect_with_demonstrator,
    demonstration_tables,
)
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.collection.settings import POLICIES, CollectionSettings
from worldplan.world_models.data.files import load_transitions, require_free, save_transitions
from worldplan.world_models.data.transitions import Spread, Transitions, concatenate

_SOURCE = "a .npz or D4RL-style .hdf5 file, or a Minari id"
_POLICY_OPTIONS = (
    "steps",
    "stop_return",
    "train_steps",
    "evaluate_every",
    "hidden",
    "reference",
    "folder",
)


def collect(argv: Sequence[str]) -> int:
    """Entry of `worldplan data collect`.

    Raises:
        ConfigError: an option is wrong, or belongs to the other way of collecting.
        DatasetError: the output exists already or cannot name a dataset.
    """
    parser = command_parser(
        "data collect",
        "Make a dataset with uniform actions, an agent trained here or a scripted demonstrator.",
    )
    _add_collect_options(parser)
    given = vars(parse_options(parser, argv))
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
        DatasetError: the dataset does not exist or is damaged.
    """
    parser = command_parser("data describe", "Print what a dataset holds.")
    parser.add_argument("source", type=str, help=_SOURCE)
    source = parse_options(parser, argv).source
    tables = demonstration_tables(source) or describe_tables(load_transitions(source), source)
    for table in tables:
        Console().print(table)
    return 0


def convert(argv: Sequence[str]) -> int:
    """Entry of `worldplan data convert`.

    Raises:
        DatasetError: a source does not exist or is damaged, or the target exists already.
    """
    parser = command_parser(
        "data convert", "Write a dataset, or several joined, in another format."
    )
    parser.add_argument(
        "sources", type=str, nargs="+", help=f"{_SOURCE}; several are joined (medium and expert)"
    )
    parser.add_argument("target", type=str, help=f"{_SOURCE} that does not exist yet")
    options = parse_options(parser, argv)
    require_free(options.target)
    data = concatenate([load_transitions(source) for source in options.sources])
    Console().print(
        f"{len(data)} transitions written to {save_transitions(data, options.target)}",
        soft_wrap=True,
    )
    return 0


def _add_collect_options(parser: ArgumentParser) -> None:
    defaults = CollectionSettings
    parser.add_argument(
        "env",
        type=str,
        help="gymnasium id, e.g. Hopper-v5 or worldplan/BinPick-v0; "
        "MetaWorld/push-v3 with --demonstrator",
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of all random numbers")
    parser.add_argument(
        "--output",
        type=str,
        default="",
        help=f"{_SOURCE}; worldplan/ENV-POLICY-own-v0 or worldplan/TASK-scripted-v0 when empty",
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
        "--folder",
        type=Path,
        help="folder of intermediate results, from which a stopped collection resumes; "
        "runs/data/ENV-POLICY-SEED when not given",
    )


def _collect_with_policy(given: Mapping[str, Any]) -> int:
    changes = {name: given[name] for name in _POLICY_OPTIONS if name in given}
    chosen_folder = changes.pop("folder", None)
    if "hidden" in changes:
        changes["hidden"] = _widths(changes["hidden"])
    env_id, policy, seed = given["env"], given["policy"], given["seed"]
    settings = CollectionSettings(env_id=env_id, policy=policy, seed=seed, **changes)
    name = env_id.replace("/", "-")
    output = given["output"] or f"worldplan/{name.lower()}-{policy}-own-v0"
    require_free(output)  # fails before the training, not after it
    # medium and medium-replay share their agent, so they share its folder
    agent = f"{name}-{policy.removesuffix('-replay')}-seed{seed}"
    folder = chosen_folder or Path("runs") / "data" / agent
    from worldplan.world_models.collection.collect import collect_transitions

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        data = collect_transitions(settings, folder, progress)
    where = save_transitions(data, output)
    returns = data.returns()
    text = f"{len(data)} transitions, {len(returns)} episodes, mean return {returns.mean():.1f}, written to {where}"
    Console().print(text, soft_wrap=True)
    return 0


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--hidden: '{text}' is not a list of layer widths: write e.g. 256,256"
        ) from None


def describe_tables(data: Transitions, source: str) -> list[Table]:
    """The dataset as tables: episodes and returns, columns, metadata."""
    found = data.statistics()
    episodes = Table(
        title=f"{source}: {len(data)} transitions, {len(found.returns)} episodes", show_header=False
    )
    terminations = (
        f"{found.terminations} terminated, {len(found.returns) - found.terminations} truncated"
    )
    rows = {
        "return": _spread(found.returns),
        "length": _spread(found.lengths),
        "ends": terminations,
        "reward per step": _spread(data.reward),
    }
    try:
        rows["normalised score"] = _spread(data.normalised_score(found.returns))
    except DatasetError:
        rows["normalised score"] = "no reference scores"
    rows["simulator state"] = (
        "none" if data.state is None else f"{data.state.shape[1]} numbers per step"
    )
    for name, text in rows.items():
        episodes.add_row(name, text)
    columns = Table("column", "mean", "std", "lowest", "highest", title="columns")
    for name, spread in (("observation", found.observation), ("action", found.action)):
        _add_columns(columns, name, spread)
    about = Table(title="metadata", show_header=False)
    for key, value in data.metadata.items():
        about.add_row(key, _short(value))
    return [episodes, columns, about] if data.metadata else [episodes, columns]


def _add_columns(table: Table, name: str, spread: Spread) -> None:
    for place, row in enumerate(zip(spread.mean, spread.std, spread.low, spread.high, strict=True)):
        table.add_row(f"{name}[{place}]", *(f"{value:.4g}" for value in row))


def _spread(values: np.ndarray) -> str:
    return f"mean {values.mean():.4g}, std {values.std():.4g}, median {np.median(values):.4g}, {values.min():.4g} .. {values.max():.4g}"


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 8:
        return f"{len(value)} entries, the last {value[-1]}"
    return str(value)
