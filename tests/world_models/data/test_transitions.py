"""Datasets of transitions: what is refused, and what the operations give (against loops)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world_models.data.builders import make, same
from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.transitions import ARRAYS, Transitions, concatenate


def changed(data: Transitions, name: str, row: Any, value: Any) -> dict[str, Any]:
    column = getattr(data, name).copy()
    column[row] = value
    return {name: column}


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("observation", (4, 1), np.nan, r"row 4, column observation\[1\]: nan"),
        ("action", (2, 0), np.inf, r"row 2, column action\[0\]: inf"),
        ("reward", 3, -np.inf, "row 3, column reward: -inf"),
        ("state", (1, 4), np.nan, r"row 1, column state\[4\]: nan"),
        (
            "next_observation",
            (1, 2),
            7.0,
            r"row 1, column next_observation\[2\]: 7.0 is not the observation of row 2",
        ),
        ("terminated", 1, True, "row 1, column terminated: set, but episode 0 goes on in row 2"),
        ("truncated", 5, True, "row 5, column truncated: set, but episode 1 goes on in row 6"),
        ("terminated", 3, False, "row 3: episode 0 ends here, but neither"),
        ("episode", slice(4, 9), 0, "row 3, column terminated: set, but episode 0 goes on"),
        ("episode", slice(9, 12), 0, "row 9, column episode: episode 0 is back after another one"),
    ],
)
def test_bad_rows_are_named(name: str, row: Any, value: Any, message: str) -> None:
    data = make([4, 5, 3])
    with pytest.raises(DatasetError, match=message):
        replace(data, **changed(data, name, row, value))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"reward": np.zeros(11)}, "observation has 12 rows, but reward has 11"),
        ({"reward": np.zeros((12, 1))}, r"reward has shape \(12, 1\)"),
        ({"observation": np.zeros(12)}, r"observation has shape \(12,\)"),
        ({"next_observation": np.zeros((12, 4))}, "3 columns, but next_observation has 4"),
        ({"next_observation": None}, "next_observation is missing"),
        ({"action": [["left"]] * 12}, "action does not hold numbers"),
        ({"observation": np.full((12, 3), 1e300)}, r"row 0, column observation\[0\]: inf"),
        ({"metadata": {"network": object()}}, "the metadata hold a object"),
    ],
)
def test_bad_columns_are_named(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        replace(make([4, 5, 3]), **columns)


def test_empty_data_are_refused() -> None:
    empty = {
        name: np.zeros((0, 3) if "observation" in name or name == "action" else 0)
        for name in ARRAYS
        if name != "state"
    }
    with pytest.raises(DatasetError, match="no transition"):
        Transitions(**empty)


def test_termination_wins_over_a_time_limit_in_the_same_step() -> None:
    data = make([4, 5])
    both = replace(data, **changed(data, "truncated", 3, True))
    assert both.terminated[3] and not both.truncated[3]


def test_rounding_between_neighbouring_rows_is_allowed() -> None:
    data = make([4])
    replace(data, next_observation=data.next_observation * np.float32(1 + 3e-7))


# --- operations -----------------------------------------------------------------------------------


LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_statistics_are_those_of_a_loop(lengths: list[int], seed: int) -> None:
    data = make(lengths, seed=seed)
    found = data.statistics()
    returns: dict[int, float] = {}
    for number, reward in zip(data.episode, data.reward, strict=True):
        returns[int(number)] = returns.get(int(number), 0.0) + float(reward)
    np.testing.assert_allclose(found.returns, list(returns.values()), atol=1e-9)
    assert found.lengths.tolist() == lengths and found.terminations == (len(lengths) + 1) // 2
    np.testing.assert_allclose(
        found.observation.std[1], np.std([float(row[1]) for row in data.observation]), atol=1e-9
    )
    assert found.action.low[0] == min(data.action[:, 0]) and found.action.high[1] == max(
        data.action[:, 1]
    )


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=2, max_size=9),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_split_parts_whole_episodes(lengths: list[int], share: float, seed: int) -> None:
    data = make(lengths)
    train, validation = data.split(share, np.random.default_rng(seed))
    taken = set(validation.episode.tolist())
    assert (
        set(train.episode.tolist()) == set(range(len(lengths))) - taken
    )  # none lost, none in both, neither part empty
    assert len(taken) == min(max(round(share * len(lengths)), 1), len(lengths) - 1)
    same(validation, data.select(np.array([number in taken for number in data.episode])))
    same(train, data.select(np.array([number not in taken for number in data.episode])))


def test_a_single_episode_cannot_be_split() -> None:
    with pytest.raises(DatasetError, match="a single episode"):
        make([7]).split(0.2, np.random.default_rng(0))
    with pytest.raises(DatasetError, match="share of 1.0"):
        make([7, 2]).split(1.0, np.random.default_rng(0))


def test_join() -> None:
    one, other = (
        make([3, 2], env_id="Hopper-v5", policy="medium"),
        make([4], seed=5, env_id="Hopper-v5", policy="expert"),
    )
    both = concatenate([one, other])
    assert both.episode.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    np.testing.assert_array_equal(both.state, np.concatenate([one.state, other.state]))
    assert both.metadata == {
        "env_id": "Hopper-v5",
        "parts": [dict(one.metadata), dict(other.metadata)],
    }
    assert concatenate([one, replace(other, state=None)]).state is None
    with pytest.raises(
        DatasetError, match="different env_id cannot be joined: Hopper-v4, Hopper-v5"
    ):
        concatenate([one, make([2], env_id="Hopper-v4")])
    with pytest.raises(DatasetError, match=r"different action sizes cannot be joined: \[1, 2\]"):
        concatenate([one, replace(other, action=other.action[:, :1])])


def test_normalised_score() -> None:
    assert make([2], env_id="Hopper-v5").normalised_score([3234.3, -20.272305]).tolist() == [
        100.0,
        0.0,
    ]
    assert make([2], env_id="HalfCheetah-v4").normalised_score(12135.0) == 100
    own = make([2], env_id="Pendulum-v1", ref_min_score=-1200, ref_max_score=-200)
    assert own.normalised_score(-700) == 50
    with pytest.raises(
        DatasetError, match="no reference scores are known for environment 'Pendulum-v1'"
    ):
        make([2], env_id="Pendulum-v1").normalised_score(0)


def test_physics_must_be_that_of_the_data() -> None:
    import mujoco

    here = {"env_id": "Walker2d-v5", "mujoco_version": mujoco.__version__}
    assert make([2], **here).require_physics("Walker2d-v5") == ()
    assert make([2], env_id="Walker2d-v5").require_physics("Walker2d-v5") == ("mujoco_version",)
    with pytest.raises(
        DatasetError, match="made in Walker2d-v5, whose physics is not that of Walker2d-v4"
    ):
        make([2], **here).require_physics("Walker2d-v4")
    with pytest.raises(DatasetError, match="made with mujoco 2.3.1"):
        make([2], **here | {"mujoco_version": "2.3.1"}).require_physics("Walker2d-v5")
