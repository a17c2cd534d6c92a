"""The forms of the pages, as a browser sends them: the first day, newcomers, who leaves."""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from tests.worldplan.routine.builders import NAMES, content, rows, setup_of, write_programme
from worldplan.routine.web import create_app

ROLES = [""] * len(NAMES)


def app_of(folder: Path) -> TestClient:
    return TestClient(create_app(setup_of(folder)), base_url="http://localhost")


def test_the_first_day(tmp_path: Path) -> None:
    write_programme(tmp_path)
    client = app_of(tmp_path)
    assert client.get("/", follow_redirects=False).headers["location"] == "/new"
    assert "the first day" in client.get("/new").text
    form = {"date": "2026-11-02", "policy": "fluid", "by": "Kim", "client": list(NAMES)}
    missing = client.post("/new", data={**form, "state": ["1", "", "0", "0", "0"], "role": ROLES})
    assert missing.status_code == 400 and "&#39;Bob&#39;" in missing.text
    assert not (tmp_path / "c.db").exists()
    roles = ["", "absent:Bob", "", "", "leave:Eve"]
    states = {"state": ["1", "", "0", "0", "0"], "role": roles}
    page = client.post("/new", data={**form, **states})
    assert page.status_code == 200 and "Absent: Bob" in page.text
    there = rows(tmp_path, "select client, present from visits order by client")
    assert there == [("Ann", 1), ("Bob", 0), ("Cid", 1), ("Dee", 1)]
    assert rows(tmp_path, "select by from events where what = 'decided'") == [("Kim",)]


def test_newcomers_and_states_that_were_not_seen(clinic: Path) -> None:
    for file, row in (("rewards.csv", "Fay,0,0\nFay,1,1\nFay,2,2\n"), ("costs.csv", "Fay,2\n")):
        with (clinic / file).open("a") as text:
            text.write(row)
    client = app_of(clinic)
    page = client.get("/new").text
    assert "does not join" in page and "0 of 5 states are known" in page
    form = {"date": "2026-11-05", "policy": "fluid", "client": ["Fay"], "state": ["2"]}
    assert client.post("/new", data={**form, "role": ROLES}).status_code == 400
    answer = client.post("/new", data={**form, "role": ROLES, "assume": "1"})
    assert answer.status_code == 200 and "5 clients were not seen that day" in answer.text
    fay = rows(clinic, "select state, observed from visits where client = 'Fay'")
    assert fay == [(2, 1)]


def test_forms_that_are_damaged(clinic: Path) -> None:
    client, day = app_of(clinic), "/days/2026-11-04"
    before = content(clinic)
    outcome = {
        "client": "Ann",
        "version": "1",
        "was": "||",
        "state": "2",
        "visited": "",
        "note": "",
    }
    damaged = [
        ("/new", {"date": "tomorrow"}),
        ("/new", {"date": "2026-11-05", "client": ["Ann"], "state": ["much"]}),
        ("/new", {"date": "2026-11-05", "client": ["Ann", "Bob"], "state": ["1"]}),
        (f"{day}/outcomes", {**outcome, "state": "much"}),
        (f"{day}/outcomes", {**outcome, "version": "x"}),
        (f"{day}/outcomes", {"client": "Ann"}),
        (f"{day}/redo", {"in": "Ann"}),
        (f"{day}/redo", {"in": "Ann", "revision": "1.5"}),
        (f"{day}/redo", {"in": "Zoe", "revision": "1"}),
        (f"{day}/redo", {"in": "Ann", "out": "Ann", "revision": "1"}),
    ]
    for path, form in damaged:
        answer = client.post(path, data=form)
        assert answer.status_code == 400, (path, form, answer.text)
        assert "Traceback" not in answer.text
    late = client.post(f"{day}/redo", data={"in": "Ann", "revision": "7"})
    assert late.status_code == 409 and "Changed meanwhile" in late.text
    assert content(clinic) == before
