"""Names among the settings of a trainer, which Lightning refuses without the nearest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import StrategyRegistry

from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean

_ACCELERATORS = ("auto", "cpu", "gpu")  # "gpu" is cuda or mps, whichever there is
_PROFILERS = ("simple", "advanced", "pytorch", "xla")


def check_trainer_names(trainer: Any) -> None:
    """Check accelerator, strategy and profiler of a trainer, where they are given by name.

    Args:
        trainer: its settings.

    Raises:
        ConfigError: there is none of this name; has the nearest.
    """
    check_accelerator_name(trainer.get("accelerator"), "trainer.accelerator")
    _check(
        trainer.get("strategy"), "trainer.strategy", ("auto", "ddp", "fsdp", "deepspeed"), _more()
    )
    _check(trainer.get("profiler"), "trainer.profiler", _PROFILERS)


def check_accelerator_name(value: object, setting: str) -> None:
    """Check the name of an accelerator; other values pass.

    Args:
        value: of the setting.
        setting: its name, for messages.

    Raises:
        ConfigError: there is no accelerator of this name; has the nearest.
    """
    registered = set(AcceleratorRegistry.available_accelerators()) - set(_ACCELERATORS)
    _check(value, setting, (*_ACCELERATORS, *sorted(registered)))


def _more() -> Iterable[str]:
    return StrategyRegistry.available_strategies()


def _check(value: object, setting: str, shown: Iterable[str], more: Iterable[str] = ()) -> None:
    known = dict.fromkeys((*shown, *more))
    if not isinstance(value, str) or value in known:
        return
    raise ConfigError(
        f"{setting} is '{value:.60}'{did_you_mean(value, known)}: choose {', '.join(shown)}"
    )
