"""What `worldplan bandits decide` says about arms that have ended or whose state is not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from worldplan.name_lists import some
from worldplan.world_models.arms.beliefs import PresentStates

SHOWN = 10  # lines of arms that were not seen
MEANING = {
    "fluid": "the bound holds for every policy that does not see these states before today's "
    "visits, whether it sees them later or not; the value counts later states as seen",
    "whittle": "each index is the mean over the states that are possible: a heuristic",
    "myopic": "expected rewards are exact means over the states that are possible",
}


def unseen_arms(present: PresentStates, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The arms that were not seen today, in plain types.

    Args:
        present: today's states.
        names: of the arms.
    """
    return [
        {
            "arm": names[arm],
            "days_since": int(present.days[arm]) if present.days[arm] > 0 else None,
            "most_likely_state": int(present.belief[arm].argmax()),
            "belief": present.belief[arm].tolist(),
            "words": present.words(arm),
        }
        for arm in np.flatnonzero(present.days != 0).tolist()
    ]


def ended_sentences(names: Sequence[str]) -> list[str]:
    """Who has ended before today, if anybody."""
    if not names:
        return []
    return [f"ended before today, visited only where the constraints demand it: {some(names)}"]


def unseen_sentences(present: PresentStates, names: tuple[str, ...], policy: str) -> list[str]:
    """Who was not seen today, and what that means for the policy's numbers.

    Args:
        present: today's states.
        names: of the arms.
        policy: its name.
    """
    unseen = np.flatnonzero(present.days != 0).tolist()
    if not unseen:
        return []
    lines = [f"{names[arm]}: {present.words(arm)}" for arm in unseen[:SHOWN]]
    if len(unseen) > SHOWN:
        lines.append(f"and {len(unseen) - SHOWN} more arms that were not seen (--json names all)")
    if (present.days > 0).any():
        lines.append(
            "probabilities of states are those of the model, with no visit since the day last seen "
            "but the one in visited_then"
        )
    meaning = MEANING.get(policy)
    return lines if meaning is None else [*lines, f"{policy}: {meaning}"]
