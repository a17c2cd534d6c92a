"""The options of `worldplan data describe` that go with --ensemble."""

from __future__ import annotations

from argparse import SUPPRESS
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.world_models.training.seeds import check_seed

HORIZON = 20  # steps of the open-loop errors, where trajectories are so long
_OPTIONS = ("horizon", "other_data", "recalibrated", "report_seed", "runs")


def add_report_options(group: Any) -> None:
    """Add the options that go with --ensemble to the argument group `group`; those not given are
    absent from the parsed options.
    """
    add = partial(group.add_argument, default=SUPPRESS)
    add(
        "--ensemble",
        type=Path,
        help="checkpoint of 'worldplan fit --config configs/ensemble/...': measure it on the rows "
        "of DATASET that its training held out",
    )
    add(
        "--other-data",
        action="store_true",
        help="DATASET is not the data of the training and holds none of its rows: measure on all",
    )
    add("--horizon", type=int, help=f"steps of the open-loop errors; {HORIZON} when not given")
    add(
        "--recalibrated",
        type=Path,
        help="new checkpoint to write: the ensemble with recalibrated draws",
    )
    add("--report-seed", type=int, help="of draws, parts and bootstrap; 0 when not given")
    add("--runs", type=Path, help="folder of run folders; runs when not given")


@dataclass(frozen=True)
class ReportSettings:
    """What a report is made of.

    Args:
        source: the dataset, as the user named it.
        ensemble: the checkpoint.
        horizon: largest number of open-loop steps; None: 20, or what the trajectories allow.
        other_data: whether all rows of the dataset are measured.
        recalibrated: checkpoint to write, or None.
        seed: of all random numbers.
    """

    source: str
    ensemble: Path
    horizon: int | None = None
    other_data: bool = False
    recalibrated: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(checks.whole_number(self.seed, "--report-seed", least=0))


def refuse_report_options(given: Mapping[str, Any]) -> None:
    """Check that no option is among `given`, by name, that goes with --ensemble.

    Raises:
        ConfigError: one is.
    """
    for name in _OPTIONS:
        if name in given:
            option = name.replace("_", "-")
            raise ConfigError(
                f"--{option} goes with --ensemble: give a checkpoint, or leave it out"
            )


def report_settings(source: str, ensemble: Path, given: Mapping[str, Any]) -> ReportSettings:
    """The settings of a report on `ensemble` and the dataset `source`, with the options `given`.

    Raises:
        ConfigError: the seed is out of range.
    """
    names = {"horizon", "other_data", "recalibrated"} & given.keys()
    options = {name: given[name] for name in names}
    return ReportSettings(source, ensemble, seed=given.get("report_seed", 0), **options)
