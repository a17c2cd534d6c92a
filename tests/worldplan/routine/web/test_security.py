"""Whom the server answers: host names, tokens, origins; and what pages do with hostile names."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.worldplan.routine.builders import day, rows, setup_of, write_programme, write_rows
from worldplan.routine.web import access_for, create_app
from worldplan.routine.web.security import COOKIE, is_local

OUTCOME = ("/api/days/2026-11-04/outcomes/Ann", {"version": 1, "state": 2})


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("evil.example:8000", 400),  # a name that its owner points to 127.0.0.1
        ("localhost.evil.example", 400),
        ("192.168.1.7:8000", 400),
        ("", 400),
    ],
)
def test_a_local_server_has_local_names(client: TestClient, host: str, status: int) -> None:
    assert client.get("/api/days", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser
        ({"origin": "http://localhost:8000"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://localhost:9000"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_changes_come_from_our_own_pages(
    client: TestClient, clinic: Path, headers: dict[str, str], status: int
) -> None:
    path, body = OUTCOME
    assert client.put(path, json=body, headers=headers).status_code == status
    (version,) = rows(
        clinic, "select version from visits where client = 'Ann' and date = '2026-11-04'"
    )[0]
    assert version == (2 if status == 200 else 1)
    assert client.get("/api/days", headers=headers).status_code == 200


def test_a_form_must_be_one(client: TestClient) -> None:
    answer = client.post("/new", json={"date": "2026-11-05"})
    assert answer.status_code == 400 and "no form" in answer.text
    files = {"date": ("x", b"2026-11-05")}
    assert client.post("/new", files=files).status_code == 400


def test_other_machines_need_the_token(clinic: Path) -> None:
    access = access_for("0.0.0.0", "secret-token", ("clinic.example",))
    app = create_app(setup_of(clinic), access)
    for base in ("http://192.168.1.7:8000", "http://clinic.example"):
        client = TestClient(app, base_url=base, follow_redirects=False)
        for path in ("/", "/api/days", "/static/style.css", "/api/openapi.json"):
            assert client.get(path).status_code == 401
            wrong = {"Authorization": "Bearer secret-tokem"}
            assert client.get(path, headers=wrong).status_code == 401
            assert client.get(path, params={"token": "x"}).status_code == 401
        right = {"Authorization": "Bearer secret-token"}
        assert client.get("/api/days", headers=right).status_code == 200
        entered = client.get("/week?until=2026-11-03&token=secret-token")
        assert entered.status_code == 303
        assert entered.headers["location"] == "/week?until=2026-11-03"
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        client.cookies.set(COOKIE, "secret-token")
        assert client.get("/api/days").status_code == 200
        away = client.get("//evil.example/?token=secret-token")
        assert not away.headers.get("location", "/").startswith("//")
    other = TestClient(app, base_url="http://evil.example")
    assert other.get("/api/days", headers=right).status_code == 400


def test_which_addresses_are_local() -> None:
    assert all(is_local(host) for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"))
    assert not any(is_local(host) for host in ("0.0.0.0", "::", "192.168.1.7", "clinic"))


def test_every_answer_carries_the_headers_of_a_careful_server(client: TestClient) -> None:
    for path in ("/days/2026-11-04", "/api/days", "/nothing", "/static/page.js"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["../clinic.yaml", "%2e%2e/clinic.yaml", "..%2fc.db"])
def test_only_our_own_files_are_served(client: TestClient, path: str) -> None:
    assert client.get(f"/static/{path}").status_code == 404


HOSTILE = ("<script>alert(1)</script>", '"><img src=x>', "a/b?c#d", "{{7*7}}", "Zoë & Co")


def test_names_are_texts(tmp_path: Path) -> None:
    write_programme(tmp_path, names=HOSTILE)
    for file in ("rewards.csv", "costs.csv", "log.csv"):
        text = (tmp_path / file).read_text()
        (tmp_path / file).write_text(text.replace(HOSTILE[1], '"""><img src=x>"'))
    lines = [f'"{name.replace(chr(34), 2 * chr(34))}",0' for name in HOSTILE]
    file = write_rows(tmp_path / "o.csv", "arm,state", lines)
    assert day(tmp_path, 0, "--outcomes", file) == 0
    client = TestClient(create_app(setup_of(tmp_path)), base_url="http://localhost")
    for page in ("", "/why", "/what-if", "/outcomes"):
        text = client.get(f"/days/2026-11-02{page}").text
        assert "<script>alert" not in text and "<img" not in text
        assert text.count("<script") == 1
    assert "&lt;script&gt;" in text and "{{7*7}}" in text
    for page in ("/week", "/new", "/audit"):
        assert "<img" not in client.get(page).text
    for name in HOSTILE:
        body = {"version": 1, "state": 1, "note": "<b>"}
        from urllib.parse import quote

        answer = client.put(f"/api/days/2026-11-02/outcomes/{quote(name, safe='')}", json=body)
        assert answer.status_code == 200, name
    assert "<b>" not in client.get("/days/2026-11-02/outcomes").text
