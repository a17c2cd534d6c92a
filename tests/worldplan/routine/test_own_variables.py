"""Variables of own rules by name, on the day and on the days after it, wherever a list is shown."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.worldplan.routine.builders import (
    NAMES,
    day,
    setup_of,
    write_outcomes,
    write_programme,
    write_rows,
)
from worldplan.routine.web import create_app

RULES = """
import pyomo.environ as pyo

def build(block, today):
    block.car = pyo.Var(["east", "west"], domain=pyo.Binary)
    block.own = pyo.Var(bounds=(0, 9))
    block.cars = pyo.Constraint(expr=block.car["east"] + block.car["west"] == 1)
    block.two = pyo.Constraint(expr=block.own == 2.5)
    block.needs = pyo.ConstraintList()
    for arm in block.arms:
        block.needs.add(block.a[arm] <= block.car["east"])
"""
SHOWN = "car[east] = 1, own = 2.5"


def test_own_variables_and_several_days(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_programme(tmp_path, rules="rules.py:build")
    (tmp_path / "rules.py").write_text(RULES)
    outcomes = ["--outcomes", write_outcomes(tmp_path / "o.csv", 0)]
    assert day(tmp_path, 0, *outcomes, "--days", "2") == 0
    assert capsys.readouterr().out.count(SHOWN) == 3
    lists = tmp_path / "c-lists" / "2026-11-02"
    assert SHOWN in (lists / "list.html").read_text()
    assert (lists / "ahead.html").read_text().count(SHOWN) == 2
    assert (lists / "variables.csv").read_text().split() == [
        "variable,value",
        "car[east],1",
        "own,2.5",
    ]
    client = TestClient(create_app(setup_of(tmp_path)), base_url="http://localhost")
    address = "/days/2026-11-02"
    for path, count in ((address, 1), (f"{address}/what-if", 1), (f"{address}/ahead?days=2", 2)):
        assert unescape(client.get(path).text).count(SHOWN) == count, path
    named = {"car[east]": 1, "own": 2.5}
    plans = [client.get(f"/api{address}").json()["plan"]]
    plans += [each["plan"] for each in client.get(f"/api{address}/ahead?days=2").json()]
    plans.append(client.post(f"/api{address}/what-if", json={}).json()["plan"])
    for plan in plans:
        assert {row["variable"]: row["value"] for row in plan if "variable" in row} == named
    # the list of all visits, filled in, is a file of outcomes
    rows = (lists / "all.csv").read_text().splitlines()
    visited = {row.split(",")[0] for row in rows[1:]}
    filled = [
        *rows[1:],
        *(f"{n},1" + "," * (rows[0].count(",") - 1) for n in NAMES if n not in visited),
    ]
    assert day(tmp_path, 1, "--outcomes", write_rows(tmp_path / "f.csv", rows[0], filled)) == 0
    (tmp_path / "rules.py").write_text("def build(block):\n    block.a[0].setub(0)\n")
    assert day(tmp_path, 1, "--redo") == 0
    assert not (tmp_path / "c-lists" / "2026-11-03" / "variables.csv").exists()
