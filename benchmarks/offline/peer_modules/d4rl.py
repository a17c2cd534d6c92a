"""The function of D4RL that the peers call: transitions of a D4RL-style file for Q-learning."""

from __future__ import annotations

from typing import Any

import numpy as np


def qlearning_dataset(env: Any, dataset: Any = None, **options: Any) -> dict[str, np.ndarray]:
    """As in D4RL: the next observation is that of the next row; the last row, and rows that a time
    limit ended, are left out. At a terminal row it belongs to another episode and is not used.
    """
    data = env.get_dataset() if dataset is None else dataset
    kept = np.flatnonzero(~data["timeouts"][:-1].astype(bool))
    return {
        "observations": data["observations"][kept],
        "actions": data["actions"][kept],
        "next_observations": data["observations"][kept + 1],
        "rewards": data["rewards"][kept],
        "terminals": data["terminals"][kept],
    }
