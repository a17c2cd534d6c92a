"""Twenty users at a time, through a real server: no change of one is lost by that of another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.worldplan.routine.builders import NAMES, rows

USERS = 20
LAST = "/api/days/2026-11-04"


def add_name(address: str, user: int) -> int:
    """Add a user's name to the note of one client, after reading it; returns the refusals."""
    refused = 0
    with httpx.Client(base_url=address, timeout=60) as client:
        while True:
            visits = client.get(LAST).json()["visits"]
            ann = next(visit for visit in visits if visit["client"] == "Ann")
            body = {
                "version": ann["version"],
                "state": user % 3,
                "note": f"{ann['note']} u{user}".strip(),
                "by": f"u{user}",
            }
            answer = client.put(f"{LAST}/outcomes/Ann", json=body)
            if answer.status_code == 200:
                return refused
            assert answer.status_code == 409, answer.text
            refused += 1


def test_no_update_is_lost(address: str, clinic: Path) -> None:
    with ThreadPoolExecutor(USERS) as pool:
        list(pool.map(lambda user: add_name(address, user), range(USERS)))
    ((note, version, state),) = rows(
        clinic,
        "select note, version, next_state from visits where client = 'Ann' and date = '2026-11-04'",
    )
    names = note.split()
    assert sorted(names) == sorted(f"u{user}" for user in range(USERS))
    assert version == 1 + USERS and state == int(names[-1][1:]) % 3
    by = [each for (each,) in rows(clinic, "select by from events where what like 'outcome %ed'")]
    assert by[-USERS:] == names


def test_no_update_is_lost_while_others_ask(address: str, clinic: Path) -> None:
    """Twenty users at a time: they save forms, some of them twice, and ask what-ifs meanwhile."""

    def use(user: int) -> tuple[int, int]:
        name, saved, asked = NAMES[user % len(NAMES)], 0, 0
        with httpx.Client(base_url=address, timeout=120) as client:
            while saved < 2:
                question = {"force_out": [name], "raised": {"capacity of Xenia": user % 3}}
                answer = client.post(f"{LAST}/what-if", json=question)
                assert answer.status_code == 200, answer.text
                assert name not in {row["arm"] for row in answer.json()["plan"]}
                asked += 1
                visits = client.get(LAST).json()["visits"]
                seen = next(visit for visit in visits if visit["client"] == name)
                state = "" if seen["next_state"] is None else str(seen["next_state"])
                done = "" if seen["visited"] is None else str(int(seen["visited"]))
                form = {
                    "client": name,
                    "version": str(seen["version"]),
                    "was": "|".join((state, done, seen["note"])),
                    "state": str(user % 3),
                    "visited": "1",
                    "note": f"{seen['note']} u{user}.{saved}".strip(),
                    "by": f"u{user}",
                }
                page = client.post("/days/2026-11-04/outcomes", data=form)
                assert page.status_code in (200, 409), page.text
                saved += page.status_code == 200
        return saved, asked

    with ThreadPoolExecutor(USERS) as pool:
        done = list(pool.map(use, range(USERS)))
    assert all(saved == 2 for saved, _ in done)
    found = rows(clinic, "select client, note, version from visits where date = '2026-11-04'")
    for number, (client, note, version) in enumerate(sorted(found)):
        users = [u for u in range(USERS) if u % len(NAMES) == number]
        assert client == NAMES[number] and version == 1 + 2 * len(users)
        assert sorted(note.split()) == sorted(f"u{u}.{k}" for u in users for k in (0, 1))
    assert rows(clinic, "select count(*) from events where what like 'outcome %ed'") >= [(40,)]


def test_a_day_that_all_decide_is_decided_once(address: str, clinic: Path) -> None:
    def decide(user: int) -> httpx.Response:
        body = {"date": "2026-11-05", "assume": True, "by": f"u{user}"}
        return httpx.post(f"{address}/api/days", json=body, timeout=120)

    with ThreadPoolExecutor(USERS) as pool:
        answers = list(pool.map(decide, range(USERS)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert rows(clinic, "select count(*) from days") == [(4,)]


def test_one_of_those_who_decide_again_wins(address: str) -> None:
    def redo(user: int) -> int:
        body = {"revision": 1, "force_out": ["Ann" if user % 2 else "Bob"], "by": f"u{user}"}
        answer = httpx.post(f"{address}/api/days/2026-11-04/redo", json=body, timeout=120)
        return answer.status_code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(redo, range(8)))
    assert sorted(codes) == [200] + [409] * 7
