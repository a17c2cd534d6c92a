"""What a misspelt name was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str], group: str = "") -> str:
    """ " (did you mean 'fluid'?)", with the nearest of the known names; "" where none is near.

    Args:
        name: as it was written.
        known: names that would have been right.
        group: dotted name of what holds them, written before the nearest; "": none.
    """
    near = closest_of(name, known)
    before = f"{group}." if group else ""
    return f" (did you mean '{before}{near}'?)" if near else ""


def closest_of(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names; "" where none is near."""
    names = list(known)
    exact = {known.lower(): known for known in names}
    if name.lower() in exact:
        return exact[name.lower()]
    return next(iter(get_close_matches(name, names, n=1)), "")


def closest(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known names that are most like `name`; the first three where none is near.

    Args:
        name: as it was written.
        known: names that would have been right.
    """
    names = list(known)
    return get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]


def nearest_setting(name: str, known: Iterable[str]) -> str:
    """As `did_you_mean`, for dotted names: one that ends in the same word comes first, as a setting
    may stand in the wrong place.

    Args:
        name: such as "horizon" or "programme.horizn".
        known: such as "programme.horizon".
    """
    names = list(known)
    group, _, last = name.rpartition(".")
    inside = [other for other in names if group and other.startswith(f"{group}.")]
    places = [other for other in names if other.rpartition(".")[2] == last]
    if len(places) == 1:
        return f" (did you mean '{places[0]}'?)"
    if inside:  # the first words of the names are alike: only the last ones tell them apart
        return did_you_mean(last, [other.removeprefix(f"{group}.") for other in inside], group)
    return did_you_mean(name, names)
