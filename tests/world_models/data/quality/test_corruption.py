"""Corruption of datasets: which rows change, by how much, and that readers take the result."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world_models.data.builders import data as data_command
from tests.world_models.data.builders import make, same
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.data.files import load_transitions, save_transitions
from worldplan.world_models.data.quality.corruption import KINDS, Corruption, corrupt
from worldplan.world_models.data.transitions import Transitions

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=8)


def rows_changed(one: Transitions, other: Transitions, name: str) -> np.ndarray:
    left, right = getattr(one, name), getattr(other, name)
    return np.flatnonzero((left != right).reshape(len(left), -1).any(1))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(
    lengths=LENGTHS,
    share=st.floats(0.01, 1.0),
    scale=st.floats(0.1, 3.0),
    seed=st.integers(0, 99),
)
def test_what_is_corrupted(
    kind: str, lengths: list[int], share: float, scale: float, seed: int
) -> None:
    data = replace(make(lengths, seed=seed), cost=np.ones(sum(lengths)))
    candidates = int((~data.terminated).sum()) if kind == "drop" else len(data)
    count = round(share * candidates)
    if not count or (kind == "drop" and count == len(data)):
        with pytest.raises(DatasetError, match=r"is no row|no row would be left"):
            corrupt(data, Corruption(kind, share, scale, seed))
        return
    bad = corrupt(data, Corruption(kind, share, scale, seed))
    same(bad, corrupt(data, Corruption(kind, share, scale, seed)))
    assert bad.metadata["corruption"] == [
        {"kind": kind, "share": share, "scale": scale, "seed": seed, "rows": count}
    ]
    assert bad.terminated.sum() == data.terminated.sum()
    if kind == "drop":
        assert len(bad) == len(data) - count
        return
    np.testing.assert_array_equal(bad.terminated, data.terminated)
    assert (bad.truncated | ~data.truncated).all(), "no end is lost"
    if kind != "noise-dynamics":
        np.testing.assert_array_equal(bad.episode, data.episode)
    names = {"noise-observations": "observation", "noise-actions": "action"}
    name = names.get(kind, "next_observation" if kind == "noise-dynamics" else "reward")
    changed = rows_changed(data, bad, name)
    fewer = "shuffle" in kind or len(data) == 1  # one row has no deviation
    assert len(changed) <= count if fewer else len(changed) == count
    for other in {"observation", "action", "reward", "next_observation"} - {name}:
        if (name, other) != ("observation", "next_observation"):
            assert not len(rows_changed(data, bad, other))
    old, new = (getattr(part, name)[changed].astype(float) for part in (data, bad))
    if kind == "adversarial-rewards":
        np.testing.assert_allclose(new, -scale * old, rtol=1e-5)
    elif kind == "random-rewards":
        assert np.abs(new).max() <= 30 * scale * (1 + 1e-6)
    elif kind == "shuffle-rewards":
        assert sorted(new) == sorted(old)
    else:
        bound = scale * getattr(data, name).std(0, dtype=float)
        assert (np.abs(new - old) <= bound * (1 + 1e-4) + 1e-6).all()


def test_noise_is_uniform_and_rows_are_drawn_evenly() -> None:
    data = make([100] * 50)
    bad = corrupt(data, Corruption("noise-rewards", 0.3, 2.0))
    changed = rows_changed(data, bad, "reward")
    noise = (bad.reward - data.reward)[changed].astype(float) / data.reward.std()
    assert len(changed) == 1500 and abs(changed.mean() - 2500) < 150
    assert abs(noise.mean()) < 0.1 and abs(noise.std() - 2 / np.sqrt(3)) < 0.05


def test_actions_stay_within_recorded_bounds() -> None:
    data = make([50], action_low=[-1, -1], action_high=[1, 1])
    bad = corrupt(data, Corruption("noise-actions", 1.0, 5.0))
    assert np.abs(bad.action).max() == 1


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None)
@given(lengths=LENGTHS.filter(lambda lengths: sum(lengths) > 8), seed=st.integers(0, 9))
def test_every_reader_takes_the_result(kind: str, lengths: list[int], seed: int) -> None:
    bad = corrupt(make(lengths, seed=seed), Corruption(kind, 0.4, 1.0, seed))
    bad = corrupt(bad, Corruption("noise-observations", 0.4, 1.0, seed + 1))
    assert len(bad.metadata["corruption"]) == 2
    bad = bad if kind != "drop" else renumbered(bad)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        for target in (f"{folder}/a.npz", f"{folder}/a.hdf5", "own/bad-v0"):
            save_transitions(bad, target)
            back = load_transitions(target)
            same(renumbered(back), renumbered(bad))
            assert back.metadata == bad.metadata


def renumbered(data: Transitions) -> Transitions:
    return replace(data, episode=np.repeat(np.arange(len(data.starts)), data.lengths()))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_transitions(make([9, 9, 9]), "a.npz")
    words = ["corrupt", "a.npz", "b.hdf5", "--kind", "noise-dynamics", "--share", "0.5"]
    assert data_command(words) == 0
    assert "14 rows corrupted (noise-dynamics), 27 transitions" in capsys.readouterr().out
    with pytest.raises(DatasetError, match=r"b.hdf5 exists already"):
        data_command(words)
    for option, value in (
        ("--share", "0"),
        ("--share", "nan"),
        ("--scale", "-1"),
        ("--seed", "-1"),
    ):
        with pytest.raises(ConfigError, match=option.removeprefix("--")):
            data_command([*words[:1], "a.npz", "c.npz", "--kind", "drop", option, value])
    assert not Path("c.npz").exists()
