"""Moves while a client was not seen are not learned from, and it is said how many they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worldplan.routine.builders import NAMES, day, days, rows, write_programme, write_rows
from worldplan.routine.history import _in_gaps
from worldplan.routine.web.rendering import model_words


class Move(NamedTuple):
    observed: bool
    next_state: int | None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8))
def test_moves_between_two_seen_states(drawn: list[tuple[bool, bool]]) -> None:
    """By the definition: no pair of seen states, but one before and one after."""
    moves = [Move(seen, 1 if entered else None) for seen, entered in drawn]
    expected = 0
    for place, move in enumerate(moves):
        before = any(m.observed for m in moves[: place + 1]) or any(
            m.next_state is not None for m in moves[:place]
        )
        after = any(m.next_state is not None for m in moves[place:]) or any(
            m.observed for m in moves[place + 1 :]
        )
        pair = move.observed and move.next_state is not None
        expected += before and after and not pair
    assert _in_gaps(moves) == expected


def test_a_day_says_how_many_moves_are_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_programme(tmp_path)
    days(tmp_path, 2)
    assert "not counted" not in capsys.readouterr().out
    for number in (2, 3):  # Ann and Bob are away for two days, Ann is seen again after them
        file = write_rows(tmp_path / "o.csv", "arm,state", [f"{name},1" for name in NAMES[2:]])
        assert day(tmp_path, number, "--absent", "Ann,Bob", "--outcomes", file) == 0
    seen = [f"{name},0" for name in NAMES if name != "Bob"]
    file = write_rows(tmp_path / "o.csv", "arm,state", seen)
    capsys.readouterr()
    assert day(tmp_path, 4, "--assume", "--outcomes", file) == 0
    assert "moves in gaps, not counted 3" in capsys.readouterr().out.replace("\n", " ")
    ((made_with,),) = rows(tmp_path, "select made_with from days order by date desc limit 1")
    model = json.loads(made_with)["model"]
    assert model["moves observed"] == 5 + 3 + 3 + 3
    assert "3 moves are not counted" in model_words(model | {"clients": 5})
    old = {name: value for name, value in model.items() if "gaps" not in name}
    assert "not counted" not in model_words(old | {"clients": 5})
