"""What the documentation names exists: links, files, modules, options, settings and defaults."""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

import jsonargparse
import pytest
import yaml

from tests.documents.blocks import TEXTS, blocks, texts
from tests.places import ROOT
from worldplan.cli import COMMANDS, main
from worldplan.commands.bandits.scenario import Scenario
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.world_models.arms.programme import Programme

OF_OTHER_PROGRAMS = {"--strict", "--global", "--head", "--address", "--num-cpus"}  # mypy, git, ray
OF_FIT = r"--(config|ckpt_path|model|trainer|print_config)\b"
PLACEHOLDERS = {"--a.b"}
OF_GIT = {"--abbrev", "--always", "--dirty", "--exclude"}
OF_ALL = {"--help-all", "--help", "--version"}
OF_FIT_ALONE = {"--seed_everything", "--fresh", "--journal.every"}
ALL_TEXTS = "\n".join(document.text for document in texts())


@cache
def options() -> frozenset[str]:
    """The options of all commands but those of Lightning, out of their help, and of benchmarks."""
    found: set[str] = set()
    for name in COMMANDS:
        if name not in ("fit", "validate", "test"):
            found.update(_options_of(name))
    for file in (ROOT / "benchmarks").rglob("*.py"):
        found.update(re.findall(r'add_argument\(\s*"(--[\w-]+)"', file.read_text()))
    return frozenset(found)


def _options_of(name: str) -> set[str]:
    texts: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        parser = jsonargparse.ArgumentParser

        def parse_args(self: Any, *given: Any, **named: Any) -> None:
            texts.extend(string for action in self._actions for string in action.option_strings)
            raise SystemExit(0)

        patch.setattr(parser, "parse_args", parse_args)
        main([*name.split(), "--x=1"])
    return set(texts)


def named_options() -> Iterator[tuple[str, str]]:
    """Options in the texts, with their places."""
    for document in texts():
        if document.path != "CHANGELOG.md":  # names what was removed, too
            for number, line in enumerate(document.text.splitlines(), 1):
                for option in re.findall(r"(?<![\w-])--[a-z][\w.-]*\w", line):
                    yield f"{document.path}:{number}", option


def test_every_option_exists() -> None:
    for place, option in named_options():
        known = option in options() or option in OF_OTHER_PROGRAMS | PLACEHOLDERS | OF_ALL
        assert known or re.match(OF_FIT, option), f"{place}: {option}"


def test_every_option_in_a_message_exists() -> None:
    """Remedies in messages, and all other texts of the code, name options that a command has."""
    allowed = options() | OF_OTHER_PROGRAMS | PLACEHOLDERS | OF_GIT | OF_FIT_ALONE | OF_ALL
    named = set[str]()
    for folder in ("worldplan", "milp", "envs", "world_models", "planners"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    for option in re.findall(r"(?<![\w-])--[a-z][\w.-]*\w", node.value):
                        named.add(option)
                        known = option in allowed or re.match(OF_FIT, option)
                        assert known, f"{file.relative_to(ROOT)}:{node.lineno}: {option}"
    assert len(named) > 40


@pytest.mark.parametrize("name", TEXTS)
def test_links_and_files_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert link.startswith("http") or ((ROOT / name).parent / link).exists(), link
    if name != "CHANGELOG.md":
        folders = "milp|envs|world_models|planners|worldplan|configs|benchmarks|tests"
        for path in re.findall(rf"`((?:{folders})/[\w/.-]*)`", text):
            assert (ROOT / path).exists(), path


def test_every_dotted_name_can_be_imported() -> None:
    for block in blocks("inline"):
        if block.path in TEXTS and block.path != "CHANGELOG.md":
            for name in re.findall(r"^worldplan(?:\.\w+)+(?=$|\()", block.text):
                if name not in GROUPS:
                    assert found(name), f"{block.place}: {name}"


GROUPS = {
    f"worldplan.{kind}"
    for kind in ("policies", "sets", "dynamics", "environments", "numeric_planners")
}


def found(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    try:
        import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return hasattr(import_module(module), attribute)
    return True


def test_extras_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for document in texts():
        for extra in re.findall(r"worldplan\[(\w+)\]", document.text):
            assert extra in extras["optional-dependencies"], f"{document.path}: {extra}"


def rows(header: str) -> Iterator[list[str]]:
    """Cells of the table that begins with `header`."""
    lines = ALL_TEXTS[ALL_TEXTS.index(f"\n| {header}") + 1 :].splitlines()[2:]
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


PROGRAMME, SCENARIO = Programme(), Scenario()
DEFAULTS: list[tuple[str, list[Any]]] = [
    (
        "programme.arms, budget, states, seed, horizon",
        [PROGRAMME.arms, PROGRAMME.budget, PROGRAMME.states, PROGRAMME.seed, PROGRAMME.horizon],
    ),
    ("programme.members, prior_strength", [PROGRAMME.members, PROGRAMME.prior_strength]),
    ("episodes", [SCENARIO.episodes]),
    ("solver.name, gap, time_limit", [SCENARIO.solver.gap, SCENARIO.solver.time_limit]),
    ("fluid_window, samples", [SCENARIO.fluid_window, SCENARIO.samples]),
]


@pytest.mark.parametrize(("names", "defaults"), DEFAULTS, ids=lambda each: str(each)[:20])
def test_the_defaults_of_a_scenario(names: str, defaults: list[Any]) -> None:
    (row,) = [cells for cells in rows("setting | meaning") if cells[0].startswith(f"`{names}")]
    in_brackets = " ".join(re.findall(r"\(([^()]*)\)", row[1]))
    numbers = re.findall(r"(?<![\w.-])\d+(?:\.\d+)?", in_brackets)
    assert [float(number) for number in numbers] == defaults, row[1]


def test_every_setting_of_a_scenario_exists() -> None:
    known = {
        "programme": {field.name for field in dataclasses.fields(Programme)},
        "solver": {field.name for field in dataclasses.fields(SolverSettings)},
        "": {field.name for field in dataclasses.fields(Scenario)},
    }
    for cells in rows("setting | meaning"):
        section = ""
        for name in cells[0].strip("`").split(", "):
            section, dot, setting = name.rpartition(".") if "." in name else (section, "", name)
            assert setting in known.get(section, set()) or setting == "*", name


def test_the_settings_of_value_learning_are_accepted() -> None:
    for cells in rows("you want | settings"):
        for span in re.findall(r"`([^`]+:[^`]+)`", cells[1]):
            changes = yaml.safe_load("{" + span + "}")
            given = dataclasses.asdict(ReachAwareSettings()) | changes
            parser = jsonargparse.ArgumentParser(exit_on_error=False)
            parser.add_class_arguments(ReachAwareSettings, "s")
            parser.instantiate(parser.parse_object({"s": given}))


def test_the_commands_of_the_help_are_documented() -> None:
    for name in COMMANDS:
        assert re.search(rf"\b{name}\b", ALL_TEXTS) or name in ("validate", "test"), name
    for name in re.findall(r"`worldplan ([a-z]+(?: [a-z]+)?)", ALL_TEXTS):
        words = name.split()
        assert name in COMMANDS or words[0] in COMMANDS or name == "doctor", name
