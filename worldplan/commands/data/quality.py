"""Quality and coverage of a dataset in `worldplan data describe`."""

from __future__ import annotations

from argparse import SUPPRESS
from collections.abc import Mapping
from typing import Any

from jsonargparse import ArgumentParser
from rich.table import Table

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.quality.measures import BINS, coverage, trajectory_quality
from worldplan.world_models.data.transitions import Transitions


def add_quality_options(parser: ArgumentParser) -> None:
    """Add --reference and --bins."""
    parser.add_argument(
        "--reference",
        type=str,
        default=SUPPRESS,
        help="dataset, such as the replay of a training, whose state-action coverage counts as 1 "
        "(SACo); its reference scores are used where the dataset has none",
    )
    parser.add_argument(
        "--bins",
        type=int,
        default=SUPPRESS,
        help=f"of each column for the coverage, {BINS} when not given",
    )


def quality_tables(data: Transitions, options: Mapping[str, Any]) -> list[Table]:
    """The table of the trajectory quality (TQ) and, with a reference dataset, of the state-action
    coverage (SACo).

    Args:
        data: the dataset.
        options: reference and bins, where given.

    Raises:
        ConfigError: bins is out of range, or goes with a reference dataset.
        DatasetError: the reference dataset does not exist, is damaged or of another environment.
    """
    source = options.get("reference")
    if source is None and "bins" in options:
        raise ConfigError("--bins goes with --reference: add the dataset to compare with")
    reference = None if source is None else load_transitions(source)
    table = Table(title="quality", show_header=False)
    try:
        quality = f"{trajectory_quality(data, reference):.4g}"
    except DatasetError:
        quality = "no reference scores"
    table.add_row("trajectory quality (TQ)", quality)
    if reference is not None:
        bins = options.get("bins", BINS)
        share, cells, reference_cells = coverage(data, reference, bins)
        table.add_row("state-action coverage (SACo)", f"{share:.4g}")
        table.add_row(
            f"unique pairs, {bins} bins per column",
            f"{cells} of {len(data)} rows; {reference_cells} of {len(reference)} in {source}",
        )
    return [table]
