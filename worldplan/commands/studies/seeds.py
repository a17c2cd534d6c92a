"""Seeds of a study as people write them: `--seeds 0..4` for `--seed 0 --seeds 5`."""

from __future__ import annotations

from collections.abc import Sequence

from worldplan.lists import whole_numbers
from worldplan.milp.errors import ConfigError

_REMEDY = "give their number, such as 5, or a range, such as 0..4"


def with_seed_range(argv: Sequence[str]) -> list[str]:
    """The words of a command line, in which a range or list of seeds is their first and number.

    Raises:
        ConfigError: it is malformed, or not one seed after the other.
    """
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        name, equals, text = word.partition("=")
        if name != "--seeds":
            words.append(word)
            continue
        value = text if equals else next(rest, None)
        words += [word] if value is None else _range(value)
    return words


def _range(text: str) -> list[str]:
    """The options for the value of --seeds.

    Raises:
        ConfigError: it is malformed, or not one seed after the other.
    """
    if not any(mark in text for mark in (",", "..", "[")):
        return ["--seeds", text]
    try:
        seeds = whole_numbers(text)
    except ValueError:
        raise ConfigError(f"--seeds {text}: {_REMEDY}") from None
    if not seeds or seeds != list(range(seeds[0], seeds[0] + len(seeds))):
        raise ConfigError(f"--seeds {text}: a study takes seeds one after the other: {_REMEDY}")
    return ["--seed", str(seeds[0]), "--seeds", str(len(seeds))]
