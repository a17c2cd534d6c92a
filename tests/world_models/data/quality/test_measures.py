"""TQ and SACo against loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world_models.data.builders import data as data_command
from tests.world_models.data.builders import make
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.data.files import save_transitions
from worldplan.world_models.data.quality.measures import coverage, trajectory_quality
from worldplan.world_models.data.transitions import Transitions, concatenate


def cells(data: Transitions, reference: Transitions, bins: int) -> int:
    found = set()
    for row in range(len(data)):
        cell = []
        for name in ("observation", "action"):
            for column in range(getattr(data, name).shape[1]):
                known = getattr(reference, name)[:, column].astype(float)
                low, high = known.min(), known.max()
                width = (high - low) / bins if high > low else 1.0
                value = float(getattr(data, name)[row, column])
                inside = value == high and high > low
                cell.append(bins - 1 if inside else int(np.floor((value - low) / width)))
        found.add(tuple(cell))
    return len(found)


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    bins=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_coverage_is_that_of_a_loop(lengths: list[int], bins: int, seed: int) -> None:
    data, reference = make(lengths, seed=seed), make([40, 7], seed=seed + 1)
    share, count, of = coverage(data, reference, bins)
    # a value within rounding of a border may fall on either side of it
    assert abs(count - cells(data, reference, bins)) <= 1
    assert abs(of - cells(reference, reference, bins)) <= 1
    assert share == count / of
    assert coverage(concatenate([data, data]), reference, bins)[1] == count
    assert coverage(reference, reference, bins)[0] == 1


def test_trajectory_quality() -> None:
    data = make([4, 6], env_id="Own-v0", ref_min_score=-1.0, ref_max_score=3.0)
    expected = (np.mean([data.reward[:4].sum(), data.reward[4:].sum()]) + 1) / 4
    assert trajectory_quality(data) == pytest.approx(expected, rel=1e-6)
    plain = make([4, 6], env_id="Own-v0")
    assert trajectory_quality(plain, data) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(DatasetError, match="no reference scores"):
        trajectory_quality(plain)


def test_other_environments_and_bins_are_refused() -> None:
    data = make([9])
    with pytest.raises(ConfigError, match="bins is 0"):
        coverage(data, data, 0)
    other = Transitions(
        data.observation[:, :2],
        data.action,
        data.reward,
        data.next_observation[:, :2],
        data.terminated,
        data.truncated,
        data.episode,
    )
    with pytest.raises(DatasetError, match="use a dataset of the same environment"):
        coverage(other, data)


def test_describe_prints_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_transitions(make([4, 6]), "a.npz")
    save_transitions(make([40, 60], seed=1), "replay.hdf5")
    assert data_command(["describe", "a.npz"]) == 0
    printed = capsys.readouterr().out
    assert "trajectory quality (TQ)" in printed and "SACo" not in printed
    assert data_command(["describe", "a.npz", "--reference", "replay.hdf5", "--bins", "3"]) == 0
    printed = capsys.readouterr().out
    assert "state-action coverage (SACo)" in printed and "of 100 in replay.hdf5" in printed
    with pytest.raises(ConfigError, match="--bins goes with --reference"):
        data_command(["describe", "a.npz", "--bins", "3"])
