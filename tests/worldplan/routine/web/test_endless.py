"""The page and its interface for a programme without an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from tests.worldplan.routine.builders import days, setup_of, write_programme
from worldplan.routine.web import create_app


@pytest.fixture(params=[0.95, 1.0], ids=["discounted", "average"])
def endless_client(tmp_path: Path, request: Any) -> TestClient:
    file = write_programme(tmp_path)
    scenario = yaml.safe_load(file.read_text())
    scenario["programme"] |= {"endless": True, "discount": request.param}
    file.write_text(yaml.safe_dump(scenario))
    days(tmp_path, 2)
    return TestClient(create_app(setup_of(tmp_path)), base_url="http://localhost:8000")


def test_days_reasons_and_what_ifs(endless_client: TestClient) -> None:
    client, last = endless_client, "/api/days/2026-11-03"
    reasons = client.get(f"{last}/reasons").json()
    text = reasons["sentence"]
    assert "that remain" not in text
    assert "over all days to come" in text or "a day on average in the long run" in text
    for why in reasons["not_chosen"]:
        answer = client.post(f"{last}/what-if", json={"force_in": [why["name"]]}).json()
        assert -answer["difference"] == pytest.approx(why["cost"], abs=1e-5)
    assert client.get(f"{last}/ahead").status_code == 200
    assert client.get("/").status_code == 200 and client.get("/week").status_code == 200


def test_a_day_decided_on_the_page_has_no_steps_left(endless_client: TestClient) -> None:
    client = endless_client
    body: dict[str, Any] = {"date": "2026-11-04", "assume": True}
    refused = client.post("/api/days", json=body | {"steps_left": 3})
    assert refused.status_code == 400 and "leave --steps_left out" in refused.text
    assert client.post("/api/days", json=body).status_code == 201
