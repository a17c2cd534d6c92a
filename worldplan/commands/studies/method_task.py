"""What a method of a study may change of its task: the simulator of its rollouts, and epochs that
act in the environment after the offline ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jsonargparse import ArgumentParser

from worldplan.arguments import instantiate, naming, parse_mapping
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.options.finetuning import Finetuning

METHOD_TASK_KEYS = ("simulator", "finetune", "finetuning")


@dataclass(frozen=True)
class DatasetTask:
    """A dataset as the task of a study; the arguments are those of
    `worldplan.planners.offline.task.dataset_task`. A method may name another simulator.
    """

    dataset: str
    environment: str | dict[str, Any] | None = None
    ensemble: str | None = None
    termination: str | None = None
    threads: int | None = None
    dynamics: str | None = None
    dynamics_options: dict[str, Any] | None = None
    cost: str | None = None
    simulator: dict[str, Any] | None = None


def finetune_epochs(method: str, changes: Mapping[str, Any]) -> int:
    """The epochs of a method that act in the environment, after those of the study.

    Args:
        method: its name.
        changes: of the method.

    Raises:
        ConfigError: they are no number above 0.
    """
    epochs = changes.get("finetune", 0)
    if "finetune" in changes and (type(epochs) is not int or epochs < 1):
        raise ConfigError(
            f"method '{method}': finetune {epochs!r:.60}: give a number of epochs of at least 1, "
            "or leave it out"
        )
    return int(epochs)


def finetuning_of(method: str, changes: Mapping[str, Any]) -> Finetuning | None:
    """How a method acts in the environment; None takes the defaults.

    Args:
        method: its name.
        changes: of the method.

    Raises:
        ConfigError: a setting is unknown or wrong, or there are no such epochs.
    """
    if "finetuning" not in changes:
        return None
    given = changes["finetuning"]
    place = f"method '{method}': finetuning"
    if "finetune" not in changes:
        raise ConfigError(f"{place} belongs to finetune: give the number of these epochs, too")
    if not isinstance(given, Mapping):
        raise ConfigError(f"{place} {given!r:.60}: give 'name: value' lines, such as share: 0.5")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Finetuning)
    with naming(place):
        return instantiate(parser, parse_mapping(parser, given), Finetuning)


def check_method_task(
    method: str, changes: Mapping[str, Any], has_data: bool, epochs: int, check_every: int
) -> None:
    """Check what a method changes of its task.

    Args:
        method: its name.
        changes: of the method.
        has_data: whether the task is a dataset.
        epochs: of the study.
        check_every: of the study.

    Raises:
        ConfigError: the task is none that can be changed so, or a number is wrong.
    """
    if not has_data and (named := [key for key in METHOD_TASK_KEYS if key in changes]):
        raise ConfigError(
            f"method '{method}': {', '.join(named)}: needs a dataset, which the plane has not: "
            "leave it out, or give data in the place of plane"
        )
    further = finetune_epochs(method, changes)
    finetuning_of(method, changes)
    if (epochs + further) % check_every:
        raise ConfigError(
            f"method '{method}': epochs {epochs} and finetune {further}: together they must be a "
            f"multiple of check_every ({check_every}), so that the last epoch is checked"
        )
