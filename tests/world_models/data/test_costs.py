"""The optional cost column: checks, files there and back, and files of others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from gymnasium.spaces import Box

from tests.world_models.data.builders import NAME, foreign, make, quiet, same
from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.files import load_transitions, save_transitions
from worldplan.world_models.data.transitions import Transitions, concatenate


def with_costs(lengths: list[int], *, states: bool = True) -> Transitions:
    data = make(lengths, states=states)
    return replace(data, cost=np.arange(len(data)) % 3)


@pytest.mark.parametrize("target", ["data.npz", "data.hdf5", "minari:worldplan/cost-v0"])
@pytest.mark.parametrize("states", [True, False])
def test_every_format_keeps_costs(target: str, states: bool, tmp_path: Path) -> None:
    data = with_costs([4, 1, 5], states=states)
    name = target if target.startswith("minari:") else str(tmp_path / target)
    save_transitions(data, name)
    same(load_transitions(name), data)


@pytest.mark.parametrize("name", ["costs", "infos/cost"])
def test_costs_of_dsrl_and_d4rl_files(name: str, tmp_path: Path) -> None:
    data = with_costs([4, 3])
    save_transitions(data, tmp_path / "data.hdf5")
    with h5py.File(tmp_path / "data.hdf5", "a") as file:
        del file["costs"]
        file[name] = data.cost.reshape(-1, 1) if name == "costs" else data.cost
    same(load_transitions(tmp_path / "data.hdf5"), data)


def test_costs_without_next_observations(tmp_path: Path) -> None:
    """The last row of an episode is dropped, with its cost."""
    data = replace(with_costs([4, 3]), terminated=np.zeros(7), truncated=[0, 0, 0, 1, 0, 0, 1])
    save_transitions(data, tmp_path / "data.hdf5")
    with h5py.File(tmp_path / "data.hdf5", "a") as file:
        del file["next_observations"]
    back = load_transitions(tmp_path / "data.hdf5")
    np.testing.assert_array_equal(back.cost, [0, 1, 2, 1, 2])


def test_two_different_cost_columns_are_refused(tmp_path: Path) -> None:
    save_transitions(with_costs([4]), tmp_path / "data.hdf5")
    with h5py.File(tmp_path / "data.hdf5", "a") as file:
        file["infos/cost"] = np.ones(4)
    with pytest.raises(DatasetError, match="costs and infos/cost differ"):
        load_transitions(tmp_path / "data.hdf5")


@quiet
@pytest.mark.parametrize(("rows", "expected"), [(4, [1, 2, 3, 4]), (5, [2, 3, 4, 5])])
def test_a_minari_row_of_the_reset_is_no_cost(rows: int, expected: list[int]) -> None:
    foreign(rows=({"infos": {"cost": np.arange(1.0, rows + 1)}},))
    np.testing.assert_array_equal(load_transitions(NAME).cost, expected)


@quiet
@pytest.mark.parametrize(
    ("infos", "message"),
    [
        (({"infos": {"cost": np.ones(3)}},), "has 4 steps, but infos/cost has the shape"),
        (({"infos": {"cost": np.ones((4, 2))}},), "infos/cost has the shape"),
        (({"infos": {"cost": np.ones(4)}}, {}), "only some of its episodes have cost"),
    ],
)
def test_minari_costs_of_another_length_are_refused(infos: tuple, message: str) -> None:
    foreign(Box(-1, 1, (3,), np.float32), rows=infos)
    with pytest.raises(DatasetError, match=message):
        load_transitions(NAME)


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        ([0, 1, np.nan, 0], "row 2, column cost: nan is not a usable number"),
        ([0, 1, 2, np.inf], "row 3, column cost: inf is not a usable number"),
        ([0, -1, 2, 3], "row 1, column cost: -1.0 is negative"),
        ([0, 1, 2], "cost has 3 rows, but reward has 4"),
        (np.zeros((4, 1)), "cost has shape"),
        (["a", "b", "c", "d"], "cost does not hold numbers"),
    ],
)
def test_bad_costs_are_refused(cost: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        replace(make([4]), cost=cost)


def test_parts_split_and_joined_keep_costs() -> None:
    data = with_costs([4, 1, 5])
    train, held = data.split(0.4, np.random.default_rng(0))
    assert sorted([*train.cost, *held.cost]) == sorted(data.cost)
    np.testing.assert_array_equal(concatenate([data, data]).cost, np.tile(data.cost, 2))
    with pytest.raises(DatasetError, match="1 of 2 datasets have a cost column"):
        concatenate([data, make([3])])
