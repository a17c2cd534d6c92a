"""Model files of which one entry is replaced by a value of another type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.places import CONFIGS
from worldplan.cli import main
from worldplan.milp.errors import DatasetError
from worldplan.world_models.action_model.files import load_model

DELIVERY = CONFIGS / "actions" / "delivery"


@pytest.mark.parametrize("value", [None, 3, [], ["x"], {}, {"a": 1}, True, 0.5, "nowhere"])
def test_every_entry_of_a_model_file(
    value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong entry is refused, wherever it stands; another error than DatasetError fails."""
    monkeypatch.chdir(tmp_path)
    log = str(DELIVERY / "log.csv")
    known = ["--declare", str(DELIVERY / "declarations.yaml")]
    domain = str(DELIVERY / "domain.pddl")
    assert main(["actions", "learn", log, "--domain", domain, *known, "-o", "m.json"]) == 0
    document = json.loads(Path("m.json").read_text())
    places = list(entries(document))
    for container, key in [places[i] for i in np.linspace(0, len(places) - 1, 150, dtype=int)]:
        before, container[key] = container[key], value
        Path("n.json").write_text(json.dumps(document))
        with suppress(DatasetError):
            load_model("n.json")
        container[key] = before


def entries(tree: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every entry of nested mappings and lists."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))
    for key in keys:
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from entries(tree[key])
