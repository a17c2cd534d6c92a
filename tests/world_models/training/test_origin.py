"""What a training comes from: equal values have equal descriptions, differences are named."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import date
from enum import Enum
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

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


@dataclass(frozen=True)
class OtherSettings(Settings):
    """The same fields, another class."""


class Colour(Enum):
    RED = 1
    BLUE = 2


class Walk:
    """A class of a user's own, with what it remembers beside what it is."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._memory: dict[int, int] = {}

    @cached_property
    def twice(self) -> int:
        return 2 * self.steps

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_memory"}


def path_graph(*edges: tuple[int, int]) -> nx.Graph:
    graph = nx.empty_graph(3)
    graph.add_edges_from(edges)
    return graph


def weighted(weight: float) -> nx.Graph:
    graph = nx.path_graph(3)
    graph.edges[0, 1]["weight"] = weight
    return graph


def placed(place: float) -> nx.Graph:
    graph = nx.path_graph(3)
    graph.nodes[0]["position"] = (place, 0.0)
    return graph


def rate_of(factor: float) -> Any:
    return lambda step: step * factor


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
        ([[1, 2], [3]], [[1], [2, 3]]),
        ([[12], [3]], [[1], [23]]),
        ([["a"], []], [[], ["a"]]),
        ({1, 2}, {3}),
        (Path("a"), Path("b")),
        (Path("a"), "a"),
        (Colour.RED, Colour.BLUE),
        (date(2026, 1, 1), date(2026, 1, 2)),
        (partial(max, 1), partial(max, 2)),
        (rate_of(1.0), rate_of(2.0)),
        (lambda step: step, lambda step: 2 * step),
        (np.array([1, "a"], object), np.array([2, "a"], object)),
        (sparse.eye_array(3), sparse.eye_array(4)),
        (weighted(1.0), weighted(2.0)),
        (placed(1.0), placed(2.0)),
        (Walk(1), Walk(2)),
        ([Walk(1)], [Walk(2)]),
        (Settings(), OtherSettings()),
        ({"a.b": 1}, {"a": {"b": 1}}),
        ({1: "x"}, {"1": "x"}),
        ("x" * 300, "x" * 301),
    ],
)
def test_what_is_alike_but_not_equal(first: Any, second: Any) -> None:
    assert origin(x=first) != origin(x=second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.float64(0.1), 0.1),
        (np.int64(3), 3),
        (np.bool_(True), True),
        ([np.int64(3), np.float64(0.5)], (3, 0.5)),
        (((1, 2), (3, 4)), [[1, 2], [3, 4]]),
        ({"a": 1, "b": [{"x": 1, "y": 2}]}, {"b": [{"y": 2, "x": 1}], "a": 1}),
        (path_graph((0, 1), (1, 2)), path_graph((2, 1), (1, 0))),
        (Walk(3), Walk(3)),
        (rate_of(2.0), rate_of(2.0)),
        (torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16)),
    ],
)
def test_what_is_equal_in_another_form(first: Any, second: Any) -> None:
    assert origin(x=first) == origin(x=second)


def test_what_an_object_remembers_does_not_count() -> None:
    fresh, used = Walk(3), Walk(3)
    used._memory[1] = used.twice
    matrix = sparse.csr_array(np.eye(3))
    before = origin(x=matrix)
    assert matrix.has_canonical_format  # scipy remembers the answer in the matrix
    assert origin(x=fresh) == origin(x=used)
    assert origin(x=matrix) == before


def test_an_object_that_holds_itself_ends() -> None:
    walk = Walk(3)
    walk.steps = [walk]  # type: ignore[assignment]
    assert origin(x=walk) == origin(x=copy.deepcopy(walk))


def test_another_process_describes_alike() -> None:
    """Neither the order of sets nor an address in memory gets into a description."""
    names = (
        "{'b', 'a', 'c', Path('d')}, {'f': lambda step: step in {'u', 'v', 'w'}}, Path, object()"
    )
    code = (
        "from pathlib import Path; from worldplan.world_models.training.origin import origin; "
        f"print(origin(x=[{names}]))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


def test_a_long_value_is_hashed() -> None:
    assert len(origin(x=list(range(1000)))["x"]) < 40


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


def test_a_setting_of_a_later_version_that_is_not_used_is_no_difference() -> None:
    older = {"settings.batch": "32"}
    for later in ({**older, "settings.table": "None"}, older):
        assert differences(older, later) == "" == differences(later, older)
    text = differences(older, {**older, "settings.table": "3"})
    assert text == "settings.table was not set, is 3"


@pytest.mark.parametrize("saved", [None, "a text of an older version", 3])
def test_an_origin_of_another_version(saved: Any) -> None:
    assert "another version" in differences(saved, origin(seed=0))
