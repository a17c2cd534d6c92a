"""Names among the settings of a trainer, which Lightning refuses without the nearest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import StrategyRegistry

from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean

_ACCELERATORS = ("auto", "cpu", "gpu")  # "gpu" is cuda or mps, whichever there is
_STRATEGIES = ("auto", "ddp", "fsdp", "deepspeed")
_PROFILERS = ("simple", "advanced", "pytorch", "xla")


def check_trainer_names(trainer: Any) -> None:
    """Check accelerator, strategy and profiler of a trainer, where they are given by name.

    Args:
        trainer: its settings.

    Raises:
        ConfigError: there is none of this name; has the nearest.
    """
    check_accelerator_name(trainer.get("accelerator"), "trainer.accelerator")
    registered = StrategyRegistry.available_strategies()
    _check(trainer.get("strategy"), "trainer.strategy", _STRATEGIES, registered)
    _check(trainer.get("profiler"), "trainer.profiler", _PROFILERS)


def check_accelerator_name(value: object, setting: str, remedy: str = "") -> None:
    """Check the name of an accelerator; other values pass.

    Args:
        value: of the setting.
        setting: its name, for messages.
        remedy: follows the names to choose from.

    Raises:
        ConfigError: there is no accelerator of this name; has the nearest.
    """
    registered = set(AcceleratorRegistry.available_accelerators()) - set(_ACCELERATORS)
    _check(value, setting, (*_ACCELERATORS, *sorted(registered)), remedy=remedy)


def _check(
    value: object, setting: str, shown: Iterable[str], more: Iterable[str] = (), remedy: str = ""
) -> None:
    known = dict.fromkeys((*shown, *more))
    if not isinstance(value, str) or value in known:
        return
    near = did_you_mean(value, known)
    raise ConfigError(f"{setting} is '{value:.60}'{near}: choose {', '.join(shown)}{remedy}")
