"""Fourteen days of the command against a computation of their own: counts, beliefs and lists."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.worldplan.routine.builders import (
    MONDAY,
    NAMES,
    STATES,
    content,
    day,
    rows,
    write_programme,
    write_rows,
)
from tests.worldplan.routine.killed import attempt

STRENGTH = 3.0
FAY, ANN_LEAVES, ANN_RETURNS = 4, 7, 10  # days on which Fay joins, Ann leaves and comes back
CALENDAR = {(3, "Yann"): 0.0, (5, "Xenia"): 2.0, (8, "Yann"): 6.0}
KILLED = (6, 11)


@dataclass
class Client:
    """What is known of a client, as a person with a notebook would keep it."""

    state: int | None = None  # of the last time that it was seen
    since: list[int] = field(default_factory=list)  # what was done on each decided day since


@dataclass
class Notebook:
    """The programme without worldplan."""

    reward: dict[str, np.ndarray]
    cost: dict[str, float]
    moves: Counter[tuple[str, int, int, int]]
    clients: dict[str, Client]

    def transition(self, name: str) -> np.ndarray:
        """(2, states, states) posterior means, from the formula of the documentation."""
        table = np.zeros((2, STATES, STATES))
        for action, state in itertools.product((0, 1), range(STATES)):
            pool = np.ones(STATES)
            own = np.zeros(STATES)
            for (other, k, s, after), count in self.moves.items():
                if (k, s) == (action, state):
                    pool[after] += count
                    own[after] += count * (other == name)
            prior = STRENGTH * pool / pool.sum()
            table[action, state] = (prior + own) / (STRENGTH + own.sum())
        return table

    def belief(self, name: str) -> np.ndarray:
        """(states,) e_s P_k1 P_k2 ... with the model of today."""
        client, table = self.clients[name], self.transition(name)
        assert client.state is not None
        belief = np.eye(STATES)[client.state]
        for action in client.since:
            belief = belief @ table[action]
        return belief

    def best(self, hours: dict[str, float], absent: set[str]) -> tuple[float, set[str]]:
        """The myopic list: every set of clients with every distribution to the workers."""
        gain = {}
        for name in self.clients:
            table = self.transition(name)
            gain[name] = self.belief(name) @ (table[1] - table[0]) @ self.reward[name]
        there, best = [name for name in self.clients if name not in absent], (0.0, set[str]())
        for choice in itertools.product((None, *hours), repeat=len(there)):
            load = Counter[str]()
            for name, worker in zip(there, choice, strict=True):
                if worker is not None:
                    load[worker] += self.cost[name]
            if all(load[worker] <= hours[worker] for worker in hours):
                on = {name for name, w in zip(there, choice, strict=True) if w is not None}
                best = max(best, (sum(gain[name] for name in on), on), key=lambda each: each[0])
        return best


def notebook_of(folder: Path) -> Notebook:
    """The files of the programme, read by hand."""

    def lines(name: str) -> list[list[str]]:
        return [line.split(",") for line in (folder / name).read_text().split()[1:]]

    reward: dict[str, np.ndarray] = {}
    for name, state, value in lines("rewards.csv"):
        reward.setdefault(name, np.zeros(STATES))[int(state)] = float(value)
    moves = Counter((n, int(k), int(s), int(t)) for _, n, s, k, t in lines("log.csv"))
    cost = {name: float(value) for name, value in lines("costs.csv")}
    return Notebook(reward, cost, moves, {})


def prepare(folder: Path) -> None:
    """The programme of the builders with a calendar and a fixed prior."""
    write_programme(folder, calendar="calendar.csv")
    scenario = (folder / "clinic.yaml").read_text()
    text = f"programme:\n  prior_strength: {STRENGTH}\n  borrow: fixed\n"
    (folder / "clinic.yaml").write_text(re.sub("programme:\n", text, scenario, count=1))
    cells = [f"{w},{MONDAY + dt.timedelta(d)},{h or 'away'}" for (d, w), h in CALENDAR.items()]
    write_rows(folder / "calendar.csv", "worker,date,hours", cells)
    generator = np.random.default_rng(5)
    write_rewards(folder, {name: generator.random(STATES).cumsum().round(3) for name in NAMES})


def write_rewards(folder: Path, reward: dict[str, np.ndarray]) -> None:
    cells = [f"{name},{s},{value}" for name, row in reward.items() for s, value in enumerate(row)]
    write_rows(folder / "rewards.csv", "arm,state,reward", cells)


def check_day(folder: Path, book: Notebook, date: dt.date, absent: set[str]) -> set[str]:
    """Compare a decided day with the notebook; returns its list."""
    hours = {"Xenia": 4.0, "Yann": 3.0}
    hours |= {w: h for (d, w), h in CALENDAR.items() if d == (date - MONDAY).days}
    ((plan, made_with),) = rows(folder, f"select plan, made_with from days where date = '{date}'")
    chosen = {row["arm"]: row for row in json.loads(plan)}
    value, best = book.best(hours, absent)
    assert set(chosen) == best, (date, chosen, best, value)
    visits = rows(
        folder,
        "select client, observed, decided_state, belief, present, chosen from visits "
        f"where date = '{date}' order by client",
    )
    assert [row[0] for row in visits] == sorted(book.clients)
    for name, observed, state, belief, present, on in visits:
        client, expected = book.clients[name], book.belief(name)
        assert (bool(present), bool(on)) == (name not in absent, name in best)
        assert bool(observed) is not bool(client.since)
        if client.since:
            np.testing.assert_allclose(json.loads(belief), expected, atol=1e-12)
            assert state == expected.argmax()
        else:
            assert state == client.state and belief is None
    model = json.loads(made_with)["model"]
    assert model["moves in the log"] + model["moves observed"] == book.moves.total()
    return best


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_fortnight(tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(tmp_path)
    book, generator = notebook_of(tmp_path), np.random.default_rng(seed)
    last, absent = set[str](), set[str]()
    for number in range(14):
        date, more = MONDAY + dt.timedelta(number), ["--policy", "myopic", "--assume"]
        outcomes = []
        seen = [name for name in book.clients if generator.random() < 0.7] if number else NAMES
        for name in seen:
            state = int(generator.integers(STATES))
            done = (name in last) ^ bool(generator.random() < 0.1 and number)
            outcomes.append(f"{name},{state},{int(done)}" if number else f"{name},{state}")
            client = book.clients.setdefault(name, Client())
            if number and not client.since:  # it was observed in the morning
                book.moves[name, int(done), client.state or 0, state] += 1
            client.state, client.since = state, []
        for name in set(book.clients) - set(seen):
            book.clients[name].since.append(int(name in last))
        if number == FAY:
            book.reward["Fay"], book.cost["Fay"] = np.array([0.1, 1.9, 2.3]), 2.0
            write_rewards(tmp_path, book.reward)
            write_rows(
                tmp_path / "costs.csv", "arm,cost", [f"{n},{c}" for n, c in book.cost.items()]
            )
        if number in (FAY, ANN_RETURNS):
            newcomer = "Fay" if number == FAY else "Ann"
            outcomes.append(f"{newcomer},2,0")
            book.clients[newcomer] = Client(2)
            more.append("--join")
        if number == ANN_LEAVES:
            book.clients.pop("Ann")
            more += ["--leave", "Ann"]
        absent = (
            {str(generator.choice(sorted(book.clients)))} if generator.random() < 0.5 else set()
        )
        more += ["--absent", ",".join(absent)] if absent else []
        header = "arm,state,visited" if number else "arm,state"
        more += ["--outcomes", write_rows(tmp_path / "o.csv", header, outcomes)]
        if number in KILLED:
            for patience in (0.05, 0.4):
                attempt(tmp_path, number, patience, more)
        assert day(tmp_path, number, *more) == 0
        last = check_day(tmp_path, book, date, absent)
        if number % 5 == 4:
            before = content(tmp_path)
            assert day(tmp_path, number, *more) == 0  # the same again
            assert day(tmp_path, number) == 0
            assert content(tmp_path) == before
    assert rows(tmp_path, "select count(*) from events where what = 'decided'") == [(14,)]
    assert rows(tmp_path, "select count(*) from days where revision = 1") == [(14,)]
