"""Upper limits of settings: far above any use, far below what hangs or exhausts the memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from worldplan.milp.errors import ConfigError

LARGEST_INTEGER = 2**53  # of any setting
LARGEST_SEED = 2**32 - 1  # of numpy, torch and lightning alike
_MOST = {
    "arms": 100_000,
    "batch": 10_000_000,
    "budget": 1_000_000_000,
    "check_episodes": 1_000_000,
    "critics": 10_000,
    "episodes": 10_000_000,
    "fluid_window": 1_000_000,
    "hidden": 100_000,
    "horizon": 10_000_000,
    "members": 10_000,
    "moves": 1_000_000,
    "pool": 10_000_000,
    "replay": 1_000_000_000,
    "retain": 1_000_000,
    "samples": 10_000_000,
    "seed": LARGEST_SEED,
    "seeds": LARGEST_SEED,
    "side_by_side": 10_000,
    "solves": 10_000_000,
    "starts": 100_000_000,
    "states": 10_000,
    "threads": 100_000,
}


def refuse_absurd(settings: Any, name: str = "") -> None:
    """Check the numbers in a settings dataclass, and in those inside it, against upper limits.

    Args:
        settings: the dataclass.
        name: of the setting that it is, for messages.

    Raises:
        ConfigError: an integer is above its limit, or a number is NaN; names the setting.
    """
    for key, value in _numbers(settings, name):
        if isinstance(value, float) and math.isnan(value):
            raise ConfigError(f"{key} is nan: give a number")
        parts = [part for part in key.split(".") if not part.isdigit()]
        most = _MOST.get(parts[-1] if parts else "", LARGEST_INTEGER)
        if isinstance(value, int) and not -LARGEST_INTEGER <= value <= most:
            shown = f"{value:.3g}" if abs(value) > 10**15 else str(value)
            raise ConfigError(f"{key} is {shown}: give at most {most}")


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, int | float]]:
    """(dotted key, number) of every number in nested dataclasses, mappings and sequences."""
    if isinstance(value, int | float):
        yield key, value
        return
    entries: Any = ()
    if is_dataclass(value):
        entries = ((field.name, getattr(value, field.name)) for field in fields(value))
    elif isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        entries = enumerate(value)
    for name, entry in entries:
        yield from _numbers(entry, f"{key}.{name}" if key else str(name))
