"""Random numbers of a collection: every piece of it has its own, so that a collection that is
resumed after any piece draws what an uninterrupted one draws.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_STREAMS = ("training", "evaluation", "rollout", "policy", "reference", "uniform")


def stream_seed(seed: int, stream: str, number: int = 0) -> int:
    """A seed below 2^32 that differs for every combination of the arguments.

    Args:
        seed: of the collection.
        stream: what is drawn, one of `_STREAMS`.
        number: of the piece.
    """
    sequence = np.random.SeedSequence([seed, _STREAMS.index(stream), number])
    return int(sequence.generate_state(1)[0])


@contextmanager
def global_generators(seed: int) -> Iterator[None]:
    """Seeds the global generators of Python, NumPy and, if it is imported, torch: environments may
    draw from them. On leaving, they are what they were before.
    """
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    torch = sys.modules.get("torch")
    state = torch.get_rng_state() if torch else None
    try:
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        if torch:
            torch.manual_seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        if torch:
            torch.set_rng_state(state)
