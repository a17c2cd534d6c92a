"""Checkpoint files of SEQUOIA: where they are, and what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldplan.milp.errors import CheckpointError
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.world_models.training.checkpoints import load_tensors, reading_checkpoint

TRAIN = "worldplan bandits run, or worldplan fit"  # the commands that write one


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds.

    Args:
        path: of the file.
        settings: of the training.
        shape: sizes of the programme it was trained for.
        units: unit and constant of the planned rewards, see `worldplan.planners.bandits.units`.
        weights: of the network.
        arms: names of the arms it was trained for; none if they had none, and in files of earlier
            versions.
        entry: all of it.
    """

    path: Path
    settings: SequoiaSettings
    shape: dict[str, int]
    units: tuple[float, float]
    weights: Any
    arms: tuple[str, ...]
    entry: dict[str, Any]


def read(path: Path) -> Saved:
    """What a checkpoint file holds.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    with reading_checkpoint(path, "a SEQUOIA checkpoint", TRAIN):
        entry = load_tensors(path)["sequoia"]
        numbers: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in entry["settings"].items()
        }
        settings = SequoiaSettings(**numbers)
        shape = {name: int(size) for name, size in entry["shape"].items()}
        # without units: trained on the rewards themselves
        unit, constant = map(float, entry.get("units", (1.0, 0.0)))
        arms = tuple(map(str, entry.get("arms", ())))
        return Saved(path, settings, shape, (unit, constant), entry["weights"], arms, entry)


def checkpoint_files(path: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files of one or several paths: checkpoint files, training folders or runs.

    Raises:
        CheckpointError: a folder holds no training, or several.
    """
    paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(each) for each in path]
    return [
        file for each in paths for file in (best_checkpoints(each) if each.is_dir() else [each])
    ]


def best_checkpoints(folder: Path) -> list[Path]:
    """The `best.ckpt` files of one training, several if an ensemble was trained.

    Args:
        folder: of checkpoints, or a run that trained "sequoia" on one seed.

    Raises:
        CheckpointError: there is no training in the folder, or there are several.
    """
    files = sorted(folder.glob("checkpoints/sequoia-seed*/**/best.ckpt")) or sorted(
        folder.rglob("best.ckpt")
    )
    trainings = {
        path.parent.parent if path.parent.name.startswith("member") else path.parent
        for path in files
    }
    if len(trainings) != 1:
        names = ", ".join(str(path.relative_to(folder)) for path in sorted(trainings)[:3])
        what = "no best.ckpt" if not files else f"{len(trainings)} trainings ({names}, ...)"
        raise CheckpointError(
            f"{folder}: {what}: name the folder or the checkpoint file of one training"
        )
    return files
