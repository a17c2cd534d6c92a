"""The simulated year against an independent count of moves and beliefs, week by week."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.bandits import year
from worldplan.world_models.arms.dynamics import ArmLog
from worldplan.world_models.arms.groups import Tree

WEEKS, CLIENTS, STATES = 9, 14, year.STATES


def independent(log: Path, states: np.ndarray, visited: np.ndarray, world: year.World) -> list:
    """For each week the state of each client who is there, or the belief and no state.

    Args:
        log: of before the year.
        states: (weeks, people) true ones.
        visited: (weeks, people).
        world: who is there, and who joins in a seen state.
    """
    moves = [
        tuple(row) for row in pd.read_csv(log)[["arm", "action", "state", "next_state"]].values
    ]
    place = {name: number for number, name in enumerate(world.names)}
    last: dict[int, tuple[int, list[int]]] = {}  # state when last seen, and actions since
    weeks = []
    for week in range(WEEKS):
        counts = np.zeros((len(place), 2, STATES, STATES), np.int64)
        for arm, action, before, after in moves:
            counts[place[arm], action, before, after] += 1
        log_so_far = ArmLog(counts, world.reward, world.names)
        prior = Tree(counts).borrow(5.0).concentration
        transition = log_so_far.posterior(concentration=prior).mean().transition
        known = {}
        for client in np.flatnonzero(world.inside(week)).tolist():
            if world.joins[client] == week:
                last[client] = (int(states[week, client]), [])
            seen, actions = last[client]
            belief = np.eye(STATES)[seen]
            for action in actions:
                belief = belief @ transition[client, action]
            known[client] = (belief, not actions)
            action = int(visited[week, client])
            if not action:
                last[client] = (seen, [*actions, 0])
                continue
            after = int(states[week + 1, client])  # the outcome, known in the next week
            if week + 1 < WEEKS and not actions:
                moves.append((world.names[client], 1, seen, after))
            last[client] = (after, [])
        weeks.append(known)
    return weeks


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("policy", ["whittle", "thompson"])
def test_the_routine_knows_what_an_independent_count_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, policy: str
) -> None:
    monkeypatch.setattr(year, "CHURN", 0.15)
    world = year.make_world(CLIENTS, WEEKS, seed)
    programme = year.write_files(world, CLIENTS, WEEKS, seed, tmp_path, log_weeks=4)
    decide = year.routine(world, programme, tmp_path, policy, seed, seen_all=False)
    people = len(world.names)
    states, visited = np.zeros((WEEKS + 1, people), int), np.zeros((WEEKS, people), int)

    def watched(week: int, state: np.ndarray) -> np.ndarray:
        states[week] = state
        visited[week] = decide(week, state)
        return visited[week]

    year.play(world, WEEKS, watched)
    with sqlite3.connect(tmp_path / f"{policy}.db") as database:
        query = "select date, client, state, observed, belief, chosen from visits"
        rows = pd.read_sql_query(query, database)
    expected = independent(tmp_path / "log.csv", states, visited, world)
    place = {name: number for number, name in enumerate(world.names)}
    assert len(rows) == sum(map(len, expected))
    for row in rows.itertuples():
        week = (dt.date.fromisoformat(row.date) - year.FIRST).days // 7
        belief, observed = expected[week][place[row.client]]
        assert bool(row.observed) == observed and row.state == belief.argmax()
        assert row.chosen == visited[week, place[row.client]]
        if not observed:
            np.testing.assert_allclose(json.loads(row.belief), belief, rtol=1e-9)
    assert 0 < rows["observed"].mean() < 1 and visited.sum() > WEEKS
    assert (world.joins > 0).any() and (world.leaves < WEEKS).any()
