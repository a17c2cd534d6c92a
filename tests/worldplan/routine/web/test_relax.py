"""A day whose rules cannot all be met: what the page and the interface offer, and that it helps."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.worldplan.routine.builders import (
    NAMES,
    content,
    day,
    rows,
    setup_of,
    write_outcomes,
    write_programme,
    write_rows,
)
from worldplan.routine.model import build_model
from worldplan.routine.web import create_app

RULES = """
from worldplan.milp.sets import rules
def build(block, today):
    rules.at_least_once_in(block, today, days=3)
"""


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A programme in which three of five clients are due on its first day, and two may be seen."""
    write_programme(tmp_path, kind="budget", budget=2, rules="rules.py:build", last_visits="l.csv")
    scenario = (tmp_path / "clinic.yaml").read_text()
    scenario = re.sub(r" *(costs|workers): .*\n", "", scenario)
    (tmp_path / "clinic.yaml").write_text(scenario)
    (tmp_path / "rules.py").write_text(RULES)
    ago = (30, 30, 30, 31, 31)
    last = [f"{n},2026-10-{'30' if k == 30 else '31'}" for n, k in zip(NAMES, ago, strict=True)]
    write_rows(tmp_path / "l.csv", "arm,date", last)
    return tmp_path


FORM = {
    "date": "2026-11-02",
    "policy": "myopic",
    "by": "Kim",
    "client": list(NAMES),
    "state": ["1", "2", "0", "1", "2"],
    "role": ["", "", "", "", "absent:Eve"],
}


def fields(page: str, name: str) -> list[str]:
    """The values of the check boxes of a name that a page offers."""
    boxes = re.findall(rf'type="checkbox" name="{name}" value="([^"]*)"', page)
    return [unescape(value) for value in boxes]


def test_the_page_offers_what_helps_and_keeps_what_was_entered(full: Path) -> None:
    client = TestClient(create_app(setup_of(full)), base_url="http://localhost")
    answer = client.post("/new", data=FORM)
    assert answer.status_code == 422 and not (full / "c.db").exists()
    rules = fields(answer.text, "waive")
    assert set(rules) == {f"once_in_3_days[{name}]" for name in NAMES[:3]}
    assert fields(answer.text, "visits") == ["3"]
    assert '<option value="absent:Eve" selected>' in answer.text
    assert answer.text.count(" selected>1<") == 2 and 'value="Kim"' in answer.text
    assert "--" not in re.sub(r"<!--.*?-->|<[^>]*>", "", answer.text)
    once = client.post("/new", data={**FORM, "waive": rules[:1]})
    assert once.status_code == 200 and f"left out that day: {rules[0]}" in unescape(once.text)
    ((settings,),) = rows(full, "select settings from days")
    assert json.loads(settings)["waived"] == rules[:1]
    assert client.get("/days/2026-11-02/why").status_code == 200
    assert "once_in_3_days" in client.get("/audit").text


@pytest.mark.parametrize(
    "change", [{"visits": 3}, {"waived": ["once_in_3_days[Bob]"]}, {"absent": ["Ann"]}]
)
def test_the_interface_names_the_conflict(full: Path, change: dict[str, object]) -> None:
    client = TestClient(create_app(setup_of(full)), base_url="http://localhost")
    body = {"date": "2026-11-02", "policy": "myopic", "states": dict.fromkeys(NAMES, 1)}
    answer = client.post("/api/days", json=body)
    assert answer.status_code == 422
    assert set(answer.json()["conflict"]) == {
        "at most 2 visits a day",
        *(f"the rule 'once_in_3_days[{name}]'" for name in NAMES[:3]),
    }
    decided = client.post("/api/days", json={**body, **change})
    assert decided.status_code == 201, decided.text
    revision = {"revision": 1, "force_out": ["Dee"]}  # what was relaxed stays so
    assert client.post("/api/days/2026-11-02/redo", json=revision).status_code == 200


def test_the_command_relaxes_too(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = ["--outcomes", write_outcomes(full / "o.csv", 0), "--policy", "myopic"]
    assert day(full, 0, *outcomes) == 2
    assert "once_in_3_days" in capsys.readouterr().err
    for wrong in (["--waive", "once_in_4_days"], ["--visits", "0"]):
        assert day(full, 0, *outcomes, *wrong) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert day(full, 0, *outcomes, "--waive", "once_in_3_days[Cid]") == 0
    before = content(full)
    assert day(full, 0, "--visits", "3") == 2
    assert "decided already with visits None, not 3" in capsys.readouterr().err
    assert content(full) == before
    assert day(full, 0, "--redo", "--visits", "3", "--policy", "myopic") == 0
    ((plan,),) = rows(full, "select plan from days")
    assert len(json.loads(plan)) == 3


def test_the_model_is_built_once_for_all_that_is_tried(
    full: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = list[Any]()

    def counted(*args: Any) -> Any:
        models.append(build_model(*args))
        return models[-1]

    monkeypatch.setattr("worldplan.routine.relax.build_model", counted)
    assert day(full, 0, "--outcomes", write_outcomes(full / "o.csv", 0)) == 2
    assert "--visits 3" in capsys.readouterr().err and len(models) == 1


NURSES = """
from worldplan.milp.sets import rules
SKILLS = {"Xenia": ["nurse", "any"], "Yann": ["any"]}
def build(block, today):
    rules.assign_workers(block, today, 1.5, needs="needs", skills=SKILLS)
    rules.must_visit(block, today, ["Ann", "Bob", "Cid"])
    rules.at_most_per_group(block, today, "needs", {"any": 1})
    if today.states is not None:
        block.a[3].setub(0)
"""


@pytest.fixture
def nurses(tmp_path: Path) -> Path:
    """A programme whose rules cannot be met on any day: three clients need the only nurse."""
    write_programme(
        tmp_path, kind="custom", costs=None, rules="rules.py:build", attributes="needs.csv"
    )
    scenario = (tmp_path / "clinic.yaml").read_text()
    (tmp_path / "clinic.yaml").write_text(re.sub(r" *costs: .*\n", "", scenario))
    (tmp_path / "rules.py").write_text(NURSES)
    needs = ("nurse", "nurse", "nurse", "any", "any")
    rows = [f"{name},{need}" for name, need in zip(NAMES, needs, strict=True)]
    write_rows(tmp_path / "needs.csv", "arm,needs", rows)
    return tmp_path


def test_hours_skills_and_rules_of_any_day(
    nurses: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = TestClient(create_app(setup_of(nurses)), base_url="http://localhost")
    body = {"date": "2026-11-02", "policy": "myopic", "states": dict.fromkeys(NAMES, 1)}
    offers = client.post("/api/days", json=body).json()["relaxations"]
    words = {offer["words"] for offer in offers}
    assert words == {
        "give Xenia 4.5 hours",
        *(f"leave out the rule 'skill[{name}]'" for name in NAMES[:3]),
        *(f"leave out the rule 'must_visit[{name}]'" for name in NAMES[:3]),
    }
    answer = client.post("/new", data=FORM)
    assert fields(answer.text, "hours") == ["Xenia=4.5"]
    outcomes = ["--outcomes", write_outcomes(nurses / "o.csv", 0), "--policy", "myopic"]
    assert day(nurses, 0, *outcomes, "--force", "Dee,Eve") == 2
    said = capsys.readouterr().err
    assert "--hours Xenia=4.5 --force Eve; or --waive 'skill[Ann]' --force Eve" in said
    assert day(nurses, 0, *outcomes, "--force", "Dee", "--hours", "Xenia=4.5") == 2
    assert "--waive 'a[Dee]'" in capsys.readouterr().err
    for wrong in ("Xenia", "Xenia=", "Xenia=-1", "Xenia=nan", "=3", "Xena=3", "Xenia=1,Xenia=2"):
        assert day(nurses, 0, *outcomes, "--hours", wrong) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "Xen" in said or "NAME=HOURS" in said
    assert client.post("/new", data={**FORM, "hours": ["Xenia=4.5"]}).status_code == 200
    assert "Hours of that day: Xenia 4.5." in client.get("/days/2026-11-02").text
    assert client.get("/days/2026-11-02/why").status_code == 200
    assert client.get("/days/2026-11-02/what-if?out=Eve").status_code == 200
    again = client.post("/api/days/2026-11-02/redo", json={"revision": 1, "force_out": ["Eve"]})
    assert again.status_code == 200 and again.json()["settings"]["hours"] == {"Xenia": 4.5}


def test_two_conflicts_are_relaxed_together(nurses: Path) -> None:
    rules = NURSES.replace('{"any": 1}', '{"any": 1, "nurse": 2}')
    (nurses / "rules.py").write_text(rules)
    client = TestClient(create_app(setup_of(nurses)), base_url="http://localhost")
    sets = fields(client.post("/new", data=FORM).text, "waive")
    assert set(sets) == {f"must_visit[{name}]" for name in NAMES[:3]}
    (nurses / "rules.py").write_text(rules.replace('"Cid"]', '"Cid", "Dee", "Eve"]'))
    sets = fields(client.post("/new", data=FORM).text, "relax")
    assert len(sets) > 1
    for together in sets[:3]:
        answer = client.post("/new", data={**FORM, "relax": [together], "role": [""] * 5})
        assert answer.status_code == 200, together
        (nurses / "c.db").unlink()
        client = TestClient(create_app(setup_of(nurses)), base_url="http://localhost")
