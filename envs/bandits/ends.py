"""Arms that end before the programme: in which steps an arm counts.

An arm with `ends` steps counts in the first `ends` steps of an episode. With n steps left of a
horizon H it counts while n > H - ends: it ends `late` = H - ends steps before the programme, and
n - late steps of its own are left. Afterwards it earns and costs nothing, whatever its state is and
whatever is done. So its value with n <= late steps left is zero, and every backward recursion holds
with the rewards of those steps set to zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def counting(late: Ints | None, left: Ints | int) -> NDArray[np.bool_] | None:
    """Whether each arm counts with `left` (...,) steps left, (..., arms); None: all arms do.

    Args:
        late: (arms,) steps to the end of the episode when each arm has ended, or None.
        left: steps to the end of the episode, the present one included.
    """
    return None if late is None else np.asarray(np.asarray(left)[..., None] > late)


def own_steps(late: Ints | None, left: int, arms: int) -> Ints:
    """Steps that are left of each arm's own, (arms,).

    Args:
        late: as in `counting`.
        left: steps to the end of the episode.
        arms: number of arms.
    """
    return np.full(arms, left) if late is None else np.maximum(left - late, 0)
