"""What a training comes from: equal values have equal descriptions, differences are named."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldplan.world_models.training.origin import differences, origin


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    widths: tuple[int, ...] = (16, 32)


@dataclass(frozen=True)
class Settings:
    batch: int = 32
    inner: Inner = field(default_factory=Inner)
    table: Any = None


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_copies_are_equal(value: Any) -> None:
    assert origin(value=value) == origin(value=copy.deepcopy(value))
    assert differences(origin(value=value), origin(value=copy.deepcopy(value))) == ""


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), st.data())
def test_one_changed_number_is_seen(numbers: list[float], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(numbers) - 1))
    changed = [*numbers]
    changed[place] += 1.0
    for kind in (np.array, torch.tensor, tuple, lambda entries: {"nested": [np.array(entries)]}):
        assert origin(x=kind(numbers)) == origin(x=kind(list(numbers)))
        assert origin(x=kind(numbers)) != origin(x=kind(changed))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros(3), np.zeros(3, np.float32)),
        (np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2).T),
        (nx.path_graph(4), nx.cycle_graph(4)),
        (1, 1.0),
        (True, 1),
        ("1", 1),
        (None, "None"),
        ([], {}),
        (len, sum),
    ],
)
def test_what_is_alike_but_not_equal(first: Any, second: Any) -> None:
    assert origin(x=first) != origin(x=second)


def test_an_array_counts_by_its_values_not_by_its_layout() -> None:
    rows = np.arange(6.0).reshape(2, 3)
    assert origin(x=rows) == origin(x=np.asfortranarray(rows))


def test_differences_are_named() -> None:
    old, new = Settings(), replace(Settings(), batch=64, inner=Inner(rate=0.2))
    text = differences(origin(settings=old, seed=0), origin(settings=new, seed=1))
    assert "settings.batch was 32, is 64" in text
    assert "settings.inner.rate was 0.1, is 0.2" in text
    assert "seed was 0, is 1" in text
    many = differences(
        origin(**{f"n{i}": i for i in range(9)}), origin(**{f"n{i}": -1 for i in range(9)})
    )
    assert many.count(" was ") == 3
    assert many.endswith("and 6 more")


@pytest.mark.parametrize("saved", [None, "a text of an older version", 3])
def test_an_origin_of_another_version(saved: Any) -> None:
    assert "another version" in differences(saved, origin(seed=0))
