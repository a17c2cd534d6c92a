"""`worldplan data collect | describe | convert`: make, look at and convert datasets of transitions;
make and look at demonstrations.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from worldplan.arguments import PlainParser
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


def main(argv: Sequence[str]) -> int:
    """Entry of the command."""
    parser = PlainParser(
        prog="worldplan data",
        description="Datasets of transitions for offline reinforcement learning.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, parser_class=PlainParser)
    _add_collect(
        verbs.add_parser(
            "collect",
            help="make a dataset with uniform actions, an agent trained here or a scripted demonstrator",
        )
    )
    describe = verbs.add_parser("describe", help="what a dataset holds")
    describe.add_argument("source", help=_SOURCE)
    convert = verbs.add_parser(
        "convert", help="write a dataset, or several joined, in another format"
    )
    convert.add_argument(
        "sources", nargs="+", help=f"{_SOURCE}; several are joined (medium and expert)"
    )
    convert.add_argument("target", help=f"{_SOURCE} that does not exist yet")
    options = parser.parse_args(list(argv))
    if options.verb == "collect":
        return _collect(options)
    if options.verb == "describe":
        for table in demonstration_tables(options.source) or describe_tables(
            load_transitions(options.source), options.source
        ):
            Console().print(table)
        return 0
    require_free(options.target)
    data = concatenate([load_transitions(source) for source in options.sources])
    Console().print(
        f"{len(data)} transitions written to {save_transitions(data, options.target)}",
        soft_wrap=True,
    )
    return 0


def _add_collect(parser: Any) -> None:
    usual = CollectionSettings
    parser.add_argument(
        "env",
        help="gymnasium id, e.g. Hopper-v5 or worldplan/BinPick-v0; MetaWorld/push-v3 with --demonstrator",
    )
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument(
        "--output",
        default="",
        help=f"{_SOURCE}; worldplan/ENV-POLICY-own-v0 or worldplan/TASK-scripted-v0 when empty",
    )
    maker = parser.add_mutually_exclusive_group(required=True)
    maker.add_argument(
        "--policy",
        choices=POLICIES,
        help="what to act with: uniform actions, or an agent of that strength",
    )
    maker.add_argument(
        "--demonstrator",
        choices=("scripted",),
        help="what to act with, for the manipulation tasks and Meta-World",
    )
    add_demonstrator_options(
        parser.add_argument_group("with --demonstrator", argument_default=argparse.SUPPRESS)
    )
    policy = parser.add_argument_group("with --policy", argument_default=argparse.SUPPRESS)
    policy.add_argument(
        "--steps",
        type=int,
        help=f"transitions, {usual.steps} when not given (medium-replay: as many as training took)",
    )
    policy.add_argument(
        "--stop-return",
        type=float,
        help="mean evaluation return that ends the training of medium and medium-replay",
    )
    policy.add_argument(
        "--train-steps",
        type=int,
        help=f"steps of training: exactly for expert, at most for medium; {usual.train_steps} when not given",
    )
    policy.add_argument(
        "--evaluate-every",
        type=int,
        help=f"steps between evaluations, {usual.evaluate_every} when not given; a killed run loses no more",
    )
    policy.add_argument(
        "--hidden",
        type=_widths,
        help="layer widths of the agent's networks, 256,256 when not given",
    )
    policy.add_argument("--reference", type=float, help="return that counts as 100 points")
    policy.add_argument(
        "--folder",
        type=Path,
        help="where the work is kept, to go on after a stop; runs/data/ENV-POLICY-SEED when not given",
    )


def _collect(options: Any) -> int:
    given = vars(options)
    chosen, other, foreign = (
        ("demonstrator", "policy", _POLICY_OPTIONS)
        if options.demonstrator
        else ("policy", "demonstrator", DEMONSTRATOR_OPTIONS)
    )
    wrong = [name for name in foreign if name in given]
    if wrong:
        raise ConfigError(
            f"--{wrong[0].replace('_', '-')} goes with --{other}, not with --{chosen}: leave it out, or choose --{other}"
        )
    return (
        collect_with_demonstrator(given) if options.demonstrator else _collect_with_policy(options)
    )


def _collect_with_policy(options: Any) -> int:
    given = {name: value for name, value in vars(options).items() if name in _POLICY_OPTIONS}
    chosen_folder = given.pop("folder", None)
    settings = CollectionSettings(
        env_id=options.env, policy=options.policy, seed=options.seed, **given
    )
    name = options.env.replace("/", "-")
    output = options.output or f"worldplan/{name.lower()}-{options.policy}-own-v0"
    require_free(output)  # better now than after hours
    # medium and medium-replay share their agent, so they share its folder
    folder = (
        chosen_folder
        or Path("runs")
        / "data"
        / f"{name}-{options.policy.removesuffix('-replay')}-seed{options.seed}"
    )
    from worldplan.world_models.collection.collect import (
        collect,
    )  # gymnasium takes a moment to import

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

        data = collect(settings, folder, progress)
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
