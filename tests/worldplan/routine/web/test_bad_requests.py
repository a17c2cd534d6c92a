"""Requests of the wrong kind: each is refused in words, nothing is changed, nothing is leaked."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.testclient import TestClient

from tests.worldplan.routine.builders import content, day, rows, setup_of, write_programme
from worldplan.milp.user_files import read_user_text
from worldplan.routine.web import create_app
from worldplan.routine.web.security import MOST_BYTES

LAST, JSON = "/api/days/2026-11-04", {"content-type": "application/json"}
ANN = f"{LAST}/outcomes/Ann"
OUTCOME = {"version": 1, "state": 1}
DAY = {"date": "2026-11-05", "assume": True}
FORM = {"client": "Ann", "version": "1", "was": "||", "state": "1", "visited": "1", "note": ""}

CASES: dict[str, tuple[str, str, dict[str, Any], int, str]] = {
    "a text": (
        "PUT",
        ANN,
        {"content": "{}", "headers": {"content-type": "text/plain"}},
        415,
        "JSON",
    ),
    "a form": ("PUT", ANN, {"data": {"version": "1"}}, 415, "Content-Type"),
    "a truth for a state": ("PUT", ANN, {"json": {**OUTCOME, "state": True}}, 422, "integer"),
    "a text for a state": ("PUT", ANN, {"json": {**OUTCOME, "state": "1"}}, 422, "integer"),
    "a number for a truth": ("PUT", ANN, {"json": {**OUTCOME, "visited": 1}}, 422, "boolean"),
    "NaN": ("PUT", ANN, {"content": b'{"version": NaN}', "headers": JSON}, 422, "version"),
    "no JSON": ("PUT", ANN, {"content": b"[" * 9999, "headers": JSON}, 400, "parsing"),
    "a large body": (
        "PUT",
        ANN,
        {"content": b" " * (MOST_BYTES + 1), "headers": JSON},
        413,
        "16 MB",
    ),
    "an instant": ("POST", "/api/days", {"json": {**DAY, "date": "2026-11-05T00:00"}}, 422, "YYYY"),
    "seconds": ("POST", "/api/days", {"json": {**DAY, "date": 1793836800}}, 422, "YYYY-MM-DD"),
    "no hyphens": ("GET", "/api/days/20261104", {}, 422, "YYYY-MM-DD"),
    "code": ("POST", "/api/days", {"json": {**DAY, "policy": "os:system"}}, 400, "choose from"),
    "hours": ("POST", "/api/days", {"json": {**DAY, "hours": {"Xenia": -1}}}, 400, "give 0 to"),
    "a worker": ("POST", "/api/days", {"json": {**DAY, "hours": {"Xena": 1}}}, 400, "Xenia"),
    "no visits": (
        "POST",
        "/api/days",
        {"json": {"date": "2026-11-04", "visits": 0}},
        400,
        "decided already with visits",
    ),
    "code in a form": (
        "POST",
        "/new",
        {"data": {**DAY, "policy": "os:system"}},
        400,
        "choose from",
    ),
    "sets": ("POST", "/new", {"data": {"date": "2026-11-05", "relax": "{"}}, 400, "open the page"),
    "no hours": ("POST", "/new", {"data": {"date": "2026-11-05", "hours": "x"}}, 400, "no number"),
    "a state in a form": (
        "POST",
        "/days/2026-11-04/outcomes",
        {
            "data": {
                name: [value, "x" if name == "state" else value] for name, value in FORM.items()
            }
        },
        400,
        "nothing was saved",
    ),
    "a stranger": (
        "POST",
        "/days/2026-11-04/outcomes",
        {"data": {**FORM, "client": "Zed"}},
        409,
        "Zed",
    ),
    "a host": ("GET", "/week", {"headers": {"host": "["}}, 400, "another name"),
    "an origin": ("POST", "/new", {"headers": {"origin": "http://["}}, 403, "another site"),
    "a way out": ("GET", "/static/..%2fapp.py", {}, 404, "no such page"),
    "a method": ("DELETE", LAST, {}, 405, "Not Allowed"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_request_of_the_wrong_kind(client: TestClient, clinic: Path, case: str) -> None:
    method, path, more, status, words = CASES[case]
    before = content(clinic)
    answer = client.request(method, path, **more)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    if path.startswith("/api/"):
        detail = answer.json()["detail"]
        assert "\n" not in detail and "Traceback" not in detail
    assert content(clinic) == before


def test_a_body_of_unknown_length(address: str) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 1_000_000

    try:
        answer = httpx.put(f"{address}{ANN}", content=parts(), headers=JSON, timeout=60)
    except httpx.WriteError:  # the server hung up while it was still sent
        return
    assert answer.status_code == 413, answer.text


NAMES = (
    'O\'Neil "Q"',
    "<script>alert(1)</script>",
    "😀 é",
    "\u202bשלום\u202c",
    "a,b;c",
    "../../etc",
    "100% & more?#x=1",
    "=1+1",
)


def test_names_of_every_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_programme(tmp_path, names=("x",))
    tables = {
        "rewards.csv": [("arm", "state", "reward"), *((n, s, s) for n in NAMES for s in (0, 1, 2))],
        "costs.csv": [("arm", "cost"), *((n, 2) for n in NAMES)],
        "log.csv": [("arm", "state", "action", "next_state"), *((n, 0, 1, 2) for n in NAMES)],
        "workers.csv": [("worker", "capacity"), ("<i>X</i>", 4), ("../Y/..", 3)],
        "o.csv": [("arm", "state"), *((n, 1) for n in NAMES)],
    }
    for name, lines in tables.items():
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(lines)
    quoted = '"a,b;c",../../etc'
    assert day(tmp_path, 0, "--outcomes", str(tmp_path / "o.csv"), "--force", quoted) == 0
    lists = tmp_path / "c-lists" / "2026-11-02"
    assert {path.parent for path in lists.rglob("*")} == {lists}
    page = (lists / "list.html").read_text()
    assert "<script>" not in page and "<i>" not in page and "&lt;i&gt;" in page
    ((plan,),) = rows(tmp_path, "select plan from days")
    assert {"a,b;c", "../../etc"} <= {row["arm"] for row in json.loads(plan)}
    client = TestClient(create_app(setup_of(tmp_path)), base_url="http://localhost")
    for path in ("", "/why", "/what-if", "/outcomes", "/ahead"):
        text = client.get(f"/days/2026-11-02{path}").text
        assert "<script>alert" not in text and "<i>" not in text, path
    for name in NAMES:
        address = f"/api/days/2026-11-02/outcomes/{quote(name, safe='')}"
        assert client.put(address, json={"version": 1, "state": 2}).status_code == 200
        answer = client.get("/days/2026-11-02/what-if", params={"in": name})
        assert answer.status_code == 200 and "is unknown" not in answer.text
    assert day(tmp_path, 1) == 0
    capsys.readouterr()


def test_rewards_are_read_once(
    client: TestClient, clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[str]()

    def spy(path: Any, *rest: Any, **more: Any) -> str:
        read.append(Path(path).name)
        return read_user_text(path, *rest, **more)

    monkeypatch.setattr("worldplan.milp.tables.read_user_text", spy)
    names = ("Ann", "Bob", "Cid", "Dee", "Eve")
    form = {name: [value] * 5 for name, value in FORM.items()} | {"client": list(names)}
    text = (clinic / "rewards.csv").read_text()
    (clinic / "rewards.csv").write_text(text + "\n".join(f"Fay,{s},{s}" for s in range(3)) + "\n")
    assert "5 saved" in client.post("/days/2026-11-04/outcomes", data=form).text
    once = read.count("rewards.csv")  # the header, and the cells
    assert once <= 2
    assert client.get("/new").status_code == 200 and read.count("rewards.csv") == once
    read.clear()
    (clinic / "rewards.csv").write_text(text)
    assert day(clinic, 3) == 0
    assert read.count("rewards.csv") == once
