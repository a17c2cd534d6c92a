"""Pages of a programme with more clients than one page shows: in parts, without JavaScript."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
import yaml
from starlette.testclient import TestClient

from tests.worldplan.routine.builders import day, rows, setup_of, write_outcomes, write_programme
from worldplan.routine.web import create_app
from worldplan.routine.web.listing import MOST, listing

MANY = tuple(f"c{number:03}" for number in range(2 * MOST + 30))
DAY = "/days/2026-11-02"


def form_of(page: str) -> dict[str, list[str]]:
    """What a browser sends of the form that changes something."""
    form = re.search(r'<form method="post".*?</form>', page, re.S)
    assert form is not None
    fields: dict[str, list[str]] = {}
    for tag in re.finditer(r"<input ([^>]*)>|<select ([^>]*)>(.*?)</select>", form[0], re.S):
        attributes, options = tag[1] or tag[2], tag[3]
        name = re.search(r'name="([^"]*)"', attributes)
        if name is None or ('type="checkbox"' in attributes and " checked" not in attributes):
            continue
        found = re.search(r'value="([^"]*)"', attributes)
        if options is not None:
            chosen = re.search(r"<option([^>]*) selected>([^<]*)", options)
            found = chosen and (
                re.search(r'value="([^"]*)"', chosen[1]) or re.match("(.*)", chosen[2])
            )
        fields.setdefault(name[1], []).append(html.unescape(found[1]) if found else "")
    return fields


@pytest.fixture
def many(tmp_path: Path) -> TestClient:
    file = write_programme(tmp_path, names=MANY, kind="budget", budget=5)
    scenario = yaml.safe_load(file.read_text())
    for name in ("costs", "workers"):
        del scenario["programme"]["constraint"][name]
    file.write_text(yaml.safe_dump(scenario))
    return TestClient(create_app(setup_of(tmp_path)), base_url="http://localhost:8000")


def test_parts_of_a_list() -> None:
    found = [listing(MANY, str, page=number) for number in (1, 2, 3, 9)]
    assert [row for part in found[:3] for row in part.rows] == list(MANY)
    assert found[3] == found[2] and found[2].first == 2 * MOST + 1
    some = listing(MANY, str, " C01", 7)
    assert list(some.rows) == list(MANY[10:20]) and (some.page, some.pages, some.found) == (
        1,
        1,
        10,
    )
    none = listing(MANY, str, "nobody")
    assert (none.rows, none.first, none.pages) == ([], 0, 1)


def test_outcomes_and_week_in_parts(many: TestClient, tmp_path: Path) -> None:
    file = write_outcomes(tmp_path / "o.csv", 0, MANY)
    assert day(tmp_path, 0, "--outcomes", file, "--policy", "myopic") == 0
    seen = list[str]()
    for number in (1, 2, 3):
        page = many.get(f"{DAY}/outcomes", params={"page": number}).text
        assert len(page) < 250_000 and f"Part {number} of 3" in page
        seen += form_of(page)["client"]
    assert sorted(seen) == list(MANY)
    page = many.get(f"{DAY}/outcomes", params={"find": "C42"}).text
    fields = form_of(page)
    assert fields["client"] == [f"c42{digit}" for digit in range(10)]
    fields["state"][3] = "2"
    saved = many.post(f"{DAY}/outcomes?find=C42", data=fields)
    assert "1 saved" in saved.text and form_of(saved.text)["client"] == fields["client"]
    assert rows(tmp_path, "select client, next_state from visits where next_state not null") == [
        ("c423", 2)
    ]
    week = many.get("/week", params={"page": 3, "until": "2026-11-02"}).text
    assert "c429" in week and "c001" not in week and "until=2026-11-02&amp;find=&amp;page=2" in week
    assert "No client’s name holds “&lt;i&gt;”" in many.get("/week?find=<i>").text
    assert "page=0" not in many.get(f"{DAY}/outcomes?page=-4").text


def test_what_is_entered_for_a_day_is_kept_from_part_to_part(
    many: TestClient, tmp_path: Path
) -> None:
    fields = form_of(many.get("/new").text)
    assert fields["client"] == list(MANY[:MOST])
    fields["date"], fields["policy"] = ["2026-11-02"], ["myopic"]
    for part in (1, 2, 3):
        fields["state"] = ["1" for _ in fields["client"]]
        if part == 2:
            fields["role"][0] = f"absent:{MANY[MOST]}"
        if part < 3:
            page = many.post("/new", data=fields | {"page": str(part + 1)})
            assert page.status_code == 200 and not rows_exist(tmp_path)
            fields = form_of(page.text)
            assert len(fields["client"]) >= part * MOST
    answer = many.post("/new", data=fields, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    assert rows(tmp_path, "select count(*) from visits where observed and state = 1") == [(430,)]
    assert rows(tmp_path, "select client from visits where not present") == [(MANY[MOST],)]


def rows_exist(folder: Path) -> bool:
    return (folder / "c.db").exists()
