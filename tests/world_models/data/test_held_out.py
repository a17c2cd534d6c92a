"""The share of rows that is held out, for any lengths of episodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.held_out import hold_out

LENGTHS = st.lists(
    st.one_of(st.integers(1, 3), st.integers(1, 30), st.integers(500, 3000)),
    min_size=1,
    max_size=60,
)


@settings(deadline=None, max_examples=200)
@given(lengths=LENGTHS, seed=st.integers(0, 9))
@example(lengths=[1] * 101 + [101], seed=0)  # between 1 and 202 rows, by the order, at one time
@example(lengths=[100_000] + [1] * 1000, seed=0)
@example(lengths=[1] * 1000, seed=0)
@example(lengths=[3000] * 40, seed=1)
@example(lengths=[5, 60_000, 60_000] * 5, seed=2)
def test_the_share_is_right_for_any_lengths(lengths: list[int], seed: int) -> None:
    episode = np.repeat(np.random.default_rng(seed).permutation(len(lengths)), lengths)
    if len(episode) < 5:
        with pytest.raises(DatasetError, match="too few"):
            hold_out(episode, np.random.default_rng(seed))
        return
    mask = hold_out(episode, np.random.default_rng(seed))
    wanted = min(len(episode) // 5, 10_000)
    assert 0.75 * wanted <= mask.sum() <= wanted
    if len(lengths) >= 10:
        shared = np.intersect1d(episode[mask], episode[~mask])
        assert len(shared) <= 1, "at most one episode is divided"
        for number in shared:
            held = mask[episode == number]
            assert (np.diff(held.astype(int)) >= 0).all(), "its last rows are held out"


def test_every_row_of_unequal_episodes_is_held_out_equally_often() -> None:
    """Neither short nor long episodes are preferred."""
    lengths = [5] * 30 + [100] * 3
    episode = np.repeat(np.arange(len(lengths)), lengths)
    counts = sum(hold_out(episode, np.random.default_rng(seed)).astype(int) for seed in range(2000))
    assert isinstance(counts, np.ndarray)
    short, long = counts[episode < 30].mean() / 2000, counts[episode >= 30].mean() / 2000
    assert abs(short - long) < 0.1 and 0.12 < short < 0.25 and 0.12 < long < 0.25
