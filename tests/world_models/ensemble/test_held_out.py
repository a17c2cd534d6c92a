"""The rows that a training held out are found again for the trained ensemble."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

import worldplan.world_models.ensemble.training as training
from tests.world_models.ensemble.test_ensemble_training import SMALL, transitions
from worldplan.world_models.data.held_out import hold_out
from worldplan.world_models.data.transitions import Transitions, concatenate
from worldplan.world_models.ensemble.held_out import (
    find_held_out,
    held_out_generator,
    hold_out_leading,
    rows_of_other_data,
)
from worldplan.world_models.ensemble.prediction_errors import open_loop_errors
from worldplan.world_models.ensemble.training import EnsembleModule


@pytest.mark.parametrize("seed", [0, 7, 12345])
@pytest.mark.parametrize("episodes", [4, 20])
def test_rows_are_found_again(seed: int, episodes: int) -> None:
    data = transitions(episodes)
    ensemble = EnsembleModule(data, SMALL, seed).best
    held_out = find_held_out(ensemble, data)
    assert held_out is not None
    expected = np.flatnonzero(hold_out(data.episode, held_out_generator(seed)))
    assert held_out.rows.tolist() == expected.tolist()
    assert held_out.whole_episodes is (episodes == 20)
    assert f"seed {seed}" in held_out.source


@pytest.mark.parametrize("seed", [0, 3])
def test_rows_of_older_checkpoints_are_found_by_their_normalisation(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    uneven = concatenate([transitions(3, 60), transitions(18, 4, seed=1)])
    for data, split in ((transitions(), hold_out), (uneven, hold_out_leading)):
        monkeypatch.setattr(training, "hold_out", split)
        ensemble = EnsembleModule(data, SMALL, seed).best
        ensemble.trained_on = {}
        held_out = find_held_out(ensemble, data)
        assert held_out is not None
        expected = np.flatnonzero(split(data.episode, held_out_generator(seed)))
        assert held_out.rows.tolist() == expected.tolist()


def other_data(kind: str, data: Transitions) -> Transitions:
    if kind == "longer":
        return concatenate([data, transitions(2, seed=9)])
    if kind == "shorter":
        return data.select(np.arange(len(data) - 20))
    if kind == "swapped columns":
        order = [1, 0, 2]
        return replace(
            data,
            observation=data.observation[:, order],
            next_observation=data.next_observation[:, order],
        )
    if kind == "other rewards":
        return replace(data, reward=2 * data.reward)
    return transitions(seed=8)


@pytest.mark.parametrize(
    "kind", ["longer", "shorter", "swapped columns", "other rewards", "other seed"]
)
@pytest.mark.parametrize("recorded", [True, False])
def test_other_data_hold_no_such_rows(kind: str, recorded: bool) -> None:
    data = transitions()
    ensemble = copy.deepcopy(EnsembleModule(data, SMALL, 1).best)
    if not recorded:
        ensemble.trained_on = {}
    assert find_held_out(ensemble, other_data(kind, data)) is None


def test_a_training_with_another_split_is_not_resumed_silently() -> None:
    even, uneven = transitions(), concatenate([transitions(3, 60), transitions(18, 4, seed=1)])
    assert "held_out" not in EnsembleModule(even, SMALL, 0).made_with()
    assert "held_out" in EnsembleModule(uneven, SMALL, 0).made_with()


def test_rows_of_data_in_double_precision_are_found_again() -> None:
    """A clock in unix seconds, which float32 cannot hold."""
    plain = transitions()
    clock = 1.7e9 + np.arange(len(plain)) / 10
    data = replace(
        plain,
        observation=np.column_stack([clock, plain.observation]),
        next_observation=np.column_stack([clock + 0.1, plain.next_observation]),
    )
    ensemble = EnsembleModule(data, SMALL, 2).best
    assert ensemble.offset is not None
    held_out = find_held_out(ensemble, data)
    assert held_out is not None and "seed 2" in held_out.source
    errors = open_loop_errors(ensemble, data, held_out.rows, 5, torch.Generator())
    assert (errors.mean[:, 0] < 1).all(), "a tenth of a second and the error of the model"


@pytest.mark.parametrize(("episodes", "length"), [(30, 500), (2, 12_000), (3, 3000)])
def test_rows_of_other_data(episodes: int, length: int) -> None:
    data = transitions(episodes, length)
    held_out = rows_of_other_data(data, seed=1)
    rows = held_out.rows
    assert len(rows) == min(10_000, len(data))
    assert (np.diff(rows) > 0).all()
    chosen, counts = np.unique(data.episode[rows], return_counts=True)
    assert sorted(counts)[1:] == [length] * (len(chosen) - 1), "whole episodes, and a part of one"
    for episode in chosen:
        first = rows[data.episode[rows] == episode][0]
        assert first == np.flatnonzero(data.episode == episode)[0]
