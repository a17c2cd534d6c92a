"""What README and pages name exists: files, modules, policies, settings."""

from __future__ import annotations

import re

from tests.places import ROOT
from worldplan.commands.bandits.scenario import Scenario
from worldplan.planners.bandits.policies import POLICIES
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join([README, *PAGES])


def test_every_file_named_exists() -> None:
    for path in re.findall(
        r"(?:configs|planners|benchmarks|world_models)/[\w/.-]+\.(?:yaml|csv|py)", TEXT
    ):
        assert (ROOT / path).is_file(), path
    for module in re.findall(r"python -m ([\w.]+)", TEXT):
        if module != "venv":
            place = ROOT / module.replace(".", "/")
            assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module


def test_every_policy_and_setting_is_named() -> None:
    for policy in POLICIES:
        assert re.search(rf"\b{policy}\b", TEXT), policy
    for setting in Scenario.__dataclass_fields__:
        assert f"`{setting}" in TEXT or f", {setting}`" in TEXT, setting
    assert SequoiaSettings().network == "state"


def test_no_path_of_one_machine_is_named() -> None:
    assert not re.search(r"/(home|work|tmp|root|Users)/", TEXT)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200
