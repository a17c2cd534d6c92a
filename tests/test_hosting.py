"""Files for strangers and hosts: they parse, agree with the package, and name what exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.places import ROOT
from worldplan.cli import COMMANDS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKE = (ROOT / "Makefile").read_text(encoding="utf-8")


def parsed(name: str) -> Any:
    """A YAML file of the repository."""
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_citation_agrees_with_the_package() -> None:
    citation, project = parsed("CITATION.cff"), PROJECT["project"]
    assert citation["title"] == project["name"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert citation["keywords"] == project["keywords"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"] and citation["authors"]
    assert (ROOT / "docs" / "sources.md").is_file() and "docs/sources.md" in citation["message"]


def test_the_workflow_runs_the_same_script_on_every_python() -> None:
    workflow = parsed(".github/workflows/ci.yml")
    job = workflow["jobs"]["test"]
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs == ["bash .ci/run"]
    assert (ROOT / ".ci" / "run").is_file()
    prefix = "Programming Language :: Python :: 3."
    named = [
        name.rpartition(" ")[2] for name in PROJECT["project"]["classifiers"] if prefix in name
    ]
    assert job["strategy"]["matrix"]["python"] == named
    assert workflow["permissions"] == {"contents": "read"}
    (cache,) = (step["with"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
    for file in cache["cache-dependency-path"].split():
        assert (ROOT / file).is_file()


def test_pre_commit_runs_the_projects_own_tools() -> None:
    (repository,) = parsed(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local", "no other version of a tool than that of constraints.txt"
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    tools = set()
    for hook in repository["hooks"]:
        program, *words = hook["entry"].split()
        tool = program.removeprefix(".venv/bin/")
        tools.add(tool)
        assert hook["language"] == "system"
        if tool == "python":
            assert words[0] == "-m" and (ROOT / f"{words[1].replace('.', '/')}.py").is_file()
        else:
            assert f"$(BIN)/{tool}" in MAKE, "what `make lint` runs"
            name = {"lint-imports": "import-linter"}.get(tool, tool)
            assert re.search(rf"^{name}==", pinned, re.MULTILINE)
        re.compile(hook.get("files", ""))
    assert {"ruff", "mypy", "lint-imports"} <= tools


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_templates_are_forms(name: str) -> None:
    form = parsed(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert form["name"] and form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    identifiers = [field["id"] for field in fields]
    assert len(set(identifiers)) == len(identifiers) > 1
    for field in fields:
        text = " ".join(field["attributes"].values())
        assert field["attributes"]["label"]
        for command in re.findall(r"`worldplan (\w+)", text):
            assert command in COMMANDS
        for folder in re.findall(r"\bdocs/\S*\w", text):
            assert (ROOT / folder).exists()


def test_links_of_the_security_page_and_the_sources_of_a_distribution() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    (link,) = re.findall(r"\]\(([^)]+)\)", text)
    assert (ROOT / link).is_file()
    for name in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]:
        assert (ROOT / name).exists(), name


def test_no_host_is_invented() -> None:
    """The address of the project is not known; whoever publishes it adds [project.urls]."""
    assert "urls" not in PROJECT["project"]
    files = [*Path(ROOT / ".github").rglob("*.yml"), ROOT / "CITATION.cff", ROOT / "SECURITY.md"]
    for file in files:
        assert "://" not in file.read_text(encoding="utf-8"), file
