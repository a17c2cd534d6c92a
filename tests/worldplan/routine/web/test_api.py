"""The HTTP interface: what it reads and changes, its schema, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.worldplan.routine.builders import NAMES, content, rows, write_programme
from worldplan.planners.bandits.reasons.results import SCHEMA

LAST = "/api/days/2026-11-04"


def test_days_are_read(client: TestClient) -> None:
    programme = client.get("/api/programme").json()
    assert programme["last"] == "2026-11-04" and programme["states"] == 3
    assert client.get("/api/days").json() == ["2026-11-04", "2026-11-03", "2026-11-02"]
    day = client.get(LAST).json()
    chosen = {visit["client"] for visit in day["visits"] if visit["chosen"]}
    assert chosen == {row["arm"] for row in day["plan"]} and len(day["visits"]) == len(NAMES)
    assert set(day["made_with"]["inputs"]) >= {"costs.csv", "rewards.csv", "log.csv"}
    assert client.get("/api/events").json()[0]["what"] == "decided"


def test_the_schema_names_every_route(client: TestClient) -> None:
    schema = client.get("/api/openapi.json").json()
    assert set(schema["paths"]) == {
        "/api/programme",
        "/api/days",
        "/api/days/{date}",
        "/api/days/{date}/ahead",
        "/api/days/{date}/limits",
        "/api/days/{date}/outcomes/{client}",
        "/api/days/{date}/reasons",
        "/api/days/{date}/redo",
        "/api/days/{date}/what-if",
        "/api/events",
    }
    for path in schema["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            for status, answer in operation["responses"].items():
                (kind,) = answer["content"].values()
                assert _names_a_type(kind["schema"]), (operation, status)
                if status.startswith("4"):
                    assert kind["schema"]["$ref"].endswith("/Problem")
    assert "HTTPValidationError" not in schema["components"]["schemas"]


def _names_a_type(schema: dict[str, Any]) -> bool:
    """Whether a schema says what is in its answer."""
    return "$ref" in schema or (schema["type"] == "array" and len(schema["items"]) > 0)


def test_an_outcome_is_replaced_only_by_who_has_seen_it(client: TestClient, clinic: Path) -> None:
    address = f"{LAST}/outcomes/Ann"
    assert client.put(address, json={"version": 1, "state": 2, "by": "Kim"}).json() == {
        "version": 2
    }
    late = client.put(address, json={"version": 1, "state": 0, "visited": True})
    assert late.status_code == 409 and "version 2, not 1" in late.json()["detail"]
    assert client.put(address, json={"version": 2, "state": 0, "note": "late"}).status_code == 200
    (row,) = rows(
        clinic,
        "select next_state, note, version from visits where client = 'Ann' and date = '2026-11-04'",
    )
    assert row == (0, "late", 3)
    events = [(event["what"], event["by"]) for event in client.get("/api/events").json()[:2]]
    assert events == [("outcome corrected", "page"), ("outcome entered", "Kim")]


def test_a_day_is_decided_and_decided_again(client: TestClient, clinic: Path) -> None:
    for visit in client.get(LAST).json()["visits"]:
        body = {"version": visit["version"], "state": 1}
        assert client.put(f"{LAST}/outcomes/{visit['client']}", json=body).status_code == 200
    day = client.post("/api/days", json={"date": "2026-11-05"}).json()
    again = client.post("/api/days", json={"date": "2026-11-05"}).json()
    assert day == again and day["revision"] == 1
    out = day["plan"][0]["arm"]
    body = {"revision": 1, "force_out": [out], "by": "Kim"}
    redone = client.post("/api/days/2026-11-05/redo", json=body).json()
    assert redone["revision"] == 2 and out not in {row["arm"] for row in redone["plan"]}
    listed = (clinic / "c-lists" / "2026-11-05" / "all.csv").read_text()
    assert (
        f"\n{out}," not in listed
        and "revision 2" in (clinic / "c-lists" / "2026-11-05" / "list.html").read_text()
    )
    late = client.post("/api/days/2026-11-05/redo", json=body)
    assert late.status_code == 409 and "decided again meanwhile" in late.json()["detail"]
    assert rows(clinic, "select count(*) from days") == [(4,)]


def test_reasons_and_what_ifs_agree(client: TestClient, clinic: Path) -> None:
    before = content(clinic)
    reasons = client.get(f"{LAST}/reasons").json()
    assert reasons["schema"] == SCHEMA
    for why in reasons["chosen"]:
        answer = client.post(f"{LAST}/what-if", json={"force_out": [why["name"]]}).json()
        assert -answer["difference"] == pytest.approx(why["cost"], abs=1e-6)
        assert why["name"] in answer["leaves"]
    for why in reasons["not_chosen"]:
        answer = client.post(f"{LAST}/what-if", json={"force_in": [why["name"]]}).json()
        assert -answer["difference"] == pytest.approx(why["cost"], abs=1e-6)
    limits = client.get(f"{LAST}/limits").json()
    for limit, price in zip(limits, reasons["limits"], strict=True):
        answer = client.post(f"{LAST}/what-if", json={"raised": {limit["name"]: 1}}).json()
        assert answer["difference"] == pytest.approx(price["price"], abs=1e-6)
    assert content(clinic) == before


def test_reasons_are_those_of_the_day_whatever_is_entered_later(client: TestClient) -> None:
    earlier = "/api/days/2026-11-03"
    before = client.get(f"{earlier}/reasons").json()
    stored = client.get(earlier).json()
    assert before["value"] == pytest.approx(stored["value"], rel=2e-3)
    assert {why["name"] for why in before["chosen"]} == {row["arm"] for row in stored["plan"]}


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/api/days/2020-01-01", None, 404, "nothing was decided"),
    ("GET", "/api/days/yesterday", None, 422, "date"),
    ("GET", "/api/nothing", None, 404, "no such page"),
    ("PUT", f"{LAST}/outcomes/Zoe", {"version": 1, "state": 1}, 404, "'Zoe'"),
    ("PUT", f"{LAST}/outcomes/Ann", {"version": 1, "state": 3}, 400, "0 to 2"),
    ("PUT", f"{LAST}/outcomes/Ann", {"version": 1, "sate": 1}, 422, "sate"),
    ("PUT", f"{LAST}/outcomes/Ann", {"state": 1}, 422, "version"),
    ("POST", f"{LAST}/what-if", {"force_in": ["Zoe"]}, 400, "Zoe"),
    ("POST", f"{LAST}/what-if", {"force_in": list(NAMES)}, 422, "forced in"),
    ("POST", f"{LAST}/what-if", {"raised": {"luck": 1}}, 400, "choose"),
    ("POST", f"{LAST}/what-if", {"raised": {"workers": 10**9}}, 400, "0 to 1000"),
    ("POST", "/api/days", {"date": "2026-11-01"}, 400, "last decided day"),
    ("POST", "/api/days", {"date": "2026-11-05"}, 400, "'Ann' and of 4 more clients"),
    ("POST", "/api/days", {"date": "2026-11-05", "policy": "luck"}, 400, "choose from"),
    ("POST", "/api/days", {"date": "2026-11-05", "states": {"Ann": -1}}, 400, "give 0 to 2"),
    ("POST", "/api/days", {"date": "2026-11-05", "states": {"Ann": 3}}, 400, "give 0 to 2"),
    ("POST", "/api/days", {"date": "2026-11-05", "by": "a\0"}, 400, "control character"),
    ("PUT", f"{LAST}/outcomes/Ann", {"version": 1, "note": "a\0"}, 400, "control character"),
    ("POST", "/api/days/2026-11-02/redo", {"revision": 1}, 400, "2026-11-04"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[1]} {case[4]}")
def test_what_is_refused(client: TestClient, clinic: Path, case: tuple[Any, ...]) -> None:
    method, path, body, status, words = case
    before = content(clinic)
    answer = client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert words in detail and "\n" not in detail and "--" not in detail
    assert set(answer.json()) == {"detail", "conflict", "relaxations"}
    assert content(clinic) == before


def test_the_next_days_are_foreseen_and_not_stored(client: TestClient, clinic: Path) -> None:
    before = content(clinic)
    days = client.get(f"{LAST}/ahead", params={"days": 2}).json()
    assert [each["date"] for each in days] == ["2026-11-05", "2026-11-06"]
    assert all(each["plan"] and not each["problem"] for each in days)
    page = client.get("/days/2026-11-04/ahead?days=2").text
    assert "provisional" in page and all(row["arm"] in page for row in days[0]["plan"])
    assert days[0]["plan"][0]["expected"] in page
    earlier = client.get("/api/days/2026-11-03/ahead")
    assert earlier.status_code == 400 and "2026-11-04" in earlier.json()["detail"]
    assert client.get(f"{LAST}/ahead?days=32").status_code == 422
    assert content(clinic) == before
    assert client.post("/api/days", json={"date": "2026-11-05", "assume": True}).status_code == 201
    gone = client.get(f"{LAST}/ahead")
    assert gone.status_code == 400 and "2026-11-05" in gone.json()["detail"]


def test_a_database_that_breaks_while_the_pages_are_served(
    client: TestClient, clinic: Path
) -> None:
    good = (clinic / "c.db").read_bytes()
    paths = ("/", "/days/2026-11-04", "/week", "/new", "/audit", LAST, "/api/events")
    (clinic / "c.db").write_bytes(b"SQLite format 3" + bytes(5000))
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 400 and "cannot be used" in answer.text, path
    (clinic / "c.db").unlink()
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 400 and "was here and is gone" in answer.text, path
    (clinic / "c.db").write_bytes(good)
    assert [client.get(path).status_code for path in paths] == [200] * len(paths)


def test_half_a_character_in_a_note(client: TestClient) -> None:
    body = b'{"version": 1, "state": 1, "note": "x\\ud800"}'
    headers = {"content-type": "application/json"}
    answer = client.put(f"{LAST}/outcomes/Ann", content=body, headers=headers)
    assert answer.status_code in (400, 422) and "detail" in answer.json()


def test_a_policy_without_reasons_says_so(client: TestClient) -> None:
    body = {"date": "2026-11-05", "policy": "random", "assume": True}
    assert client.post("/api/days", json=body).status_code == 201
    answer = client.get("/api/days/2026-11-05/reasons")
    assert answer.status_code == 400 and "choose" in answer.json()["detail"].lower()


def test_a_programme_without_days(tmp_path: Path) -> None:
    from tests.worldplan.routine.builders import setup_of
    from worldplan.routine.web import create_app

    write_programme(tmp_path)
    client = TestClient(create_app(setup_of(tmp_path)), base_url="http://localhost")
    assert client.get("/api/programme").json()["last"] is None
    assert client.get("/api/days").json() == [] == client.get("/api/events").json()
    assert not (tmp_path / "c.db").exists()
    body = {"date": "2026-11-02", "states": dict.fromkeys(NAMES, 1)}
    assert client.post("/api/days", json=body).status_code == 201
