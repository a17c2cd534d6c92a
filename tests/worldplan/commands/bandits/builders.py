"""A small programme in a folder, and a check that a command refuses damaged input cleanly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from worldplan.cli import main

TRANSITIONS = "arm,state,action,next_state,probability\n" + "".join(
    f"{arm},{state},{action},{after},{0.3 + 0.4 * (after == action)}\n"
    for arm in "abc"
    for state in (0, 1)
    for action in (0, 1)
    for after in (0, 1)
)
FILES = {
    "rewards.csv": "arm,state,reward\n"
    + "".join(f"{arm},{state},{state}\n" for arm in "abc" for state in (0, 1)),
    "transitions.csv": TRANSITIONS,
    "today.csv": "arm,state\na,0\nb,1\nc,0\n",
    "costs.csv": "arm,cost\na,2\nb,3\nc,4\n",
    "workers.csv": "worker,capacity\nx,4\ny,3\n",
    "slots.csv": "arm,slot\na,9:00\na,10:00\nb,9:00\nb,10:00\nc,9:00\n",
    "shifts.csv": "worker,slot\nx,9:00\nx,10:00\ny,9:00\n",
    "links.csv": "from,to\na,b\nb,c\n",
    "log.csv": "arm,state,action,next_state\na,0,1,1\nb,1,0,0\n",
    "rules.py": "import pyomo.environ as p\ndef build(block):\n"
    "    block.limit = p.Constraint(expr=sum(block.a.values()) <= 1)\n",
}
TABLES = {"transitions": "transitions.csv", "rewards": "rewards.csv", "horizon": 4}
KINDS: dict[str, dict[str, Any]] = {
    "budget": {"kind": "budget", "budget": 1},
    "exactly": {"kind": "exactly", "budget": 1},
    "capacity": {"kind": "capacity", "costs": "costs.csv", "workers": "workers.csv"},
    "schedule": {
        "kind": "schedule",
        "arm_slots": "slots.csv",
        "workers": "shifts.csv",
        "visits": 2,
        "same_slot": True,
    },
    "path": {"kind": "path", "connections": "links.csv", "source": "a", "budget": 2},
    "custom": {"kind": "custom", "rules": "rules.py:build"},
}


class Desk:
    """A folder with a small programme; `refuses` runs a command that must fail cleanly."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def scenario(
        self,
        kind: str = "budget",
        *,
        constraint: dict[str, Any] | None = None,
        programme: dict[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        whole = TABLES | {"constraint": KINDS[kind] | (constraint or {})} | (programme or {})
        settings = {
            "name": "small",
            "programme": whole,
            "policies": ["random", "fluid"],
            "episodes": 2,
        } | rest
        self.write("small.yaml", yaml.safe_dump(settings))

    def files(self) -> set[str]:
        return {
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if "__pycache__" not in path.parts and path.name != ".lock"
        }

    def refuses(self, argv: list[str], *words: str) -> str:
        before = self.files()
        self.capsys.readouterr()
        assert main(argv) == 2
        printed = self.capsys.readouterr()
        assert printed.err.count("\n") == 1 and printed.err.endswith("\n"), printed.err
        assert printed.out == ""
        assert "Traceback" not in printed.err
        for word in words:
            assert word in printed.err, printed.err
        assert self.files() == before, self.files() - before
        return printed.err

    def decide(self, *words: str, more: list[str] | None = None) -> str:
        return self.refuses(
            ["bandits", "decide", "small.yaml", "--state", "today.csv", *(more or [])], *words
        )

    def run(self, *words: str, more: list[str] | None = None) -> str:
        return self.refuses(["bandits", "run", "small.yaml", "--jobs", "1", *(more or [])], *words)
