"""`worldplan data corrupt`: a corrupted copy of a dataset, for studies of robustness."""

from __future__ import annotations

from collections.abc import Sequence

from worldplan.arguments import command_parser, parse_options
from worldplan.commands.data.outputs import saying_what_is_kept
from worldplan.output.console import plain_console
from worldplan.world_models.data.files import (
    load_transitions,
    place_of,
    require_free,
    save_transitions,
)
from worldplan.world_models.data.quality.corruption import KINDS, Corruption, corrupt


def main(argv: Sequence[str]) -> int:
    """Entry of `worldplan data corrupt`.

    Raises:
        ConfigError: a number is out of range.
        DatasetError: the source does not exist or is damaged, or the target exists already.
        FolderInUse: another process makes the target.
    """
    parser = command_parser(
        "data corrupt",
        "Write a copy of a dataset with a random share of corrupted rows.",
    )
    source = "a .npz or D4RL-style .hdf5 file, or a Minari id"
    parser.add_argument("source", type=str, help=source)
    parser.add_argument("target", type=str, help=f"{source} that does not exist yet")
    parser.add_argument(
        "--kind",
        choices=KINDS,
        required=True,
        help="noise in standard deviations of a column; rewards at random (30 x scale), with the "
        "opposite sign (-scale x reward) or shuffled; or rows left out",
    )
    parser.add_argument("--share", type=float, default=Corruption.share, help="of the rows")
    parser.add_argument("--scale", type=float, default=Corruption.scale, help="of the noise")
    parser.add_argument("--seed", type=int, default=Corruption.seed, help="of rows and noise")
    options = parse_options(parser, argv)
    corruption = Corruption(options.kind, options.share, options.scale, options.seed)
    with (
        saying_what_is_kept("nothing was written: repeat the command"),
        place_of(options.target) as place,
    ):
        require_free(options.target)
        data = corrupt(load_transitions(options.source), corruption)
        target = save_transitions(data, options.target, place)
    count = data.metadata["corruption"][-1]["rows"]
    plain_console().print(
        f"{count} rows corrupted ({corruption.kind}), {len(data)} transitions in "
        f"{len(data.starts)} episodes written to {target}",
        soft_wrap=True,
    )
    return 0
