"""Dotted options that lead into a mapping without fixed keys have the values that a file gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.places import CONFIGS
from worldplan.arguments import add_settings, command_parser, instantiate, parse_settings
from worldplan.cli import main
from worldplan.commands.studies.study import parse_study, study_parser
from worldplan.commands.tuning.tuning import parse_tuning, tuning_parser
from worldplan.free_options import with_whole_mappings
from worldplan.milp.errors import ConfigError
from worldplan.world_models.data.files import load_transitions


@dataclass(frozen=True)
class Inner:
    """Settings inside others."""

    environment: str | dict[str, Any] | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Outer:
    """Mappings of all forms."""

    data: Inner | None = None
    methods: dict[str, dict[str, Any]] = field(default_factory=lambda: {"base": {"a": 1}})
    options: Mapping[str, Any] | None = None
    sizes: dict[str, int] = field(default_factory=dict)


HINTS = {"data": Inner | None, "methods": dict[str, dict[str, Any]], "options": dict[str, Any]}
KEYS = st.from_regex(r"[a-z][a-z_0-9]{0,6}", fullmatch=True)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=6)
)
VALUES = (
    LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(KEYS, LEAVES, min_size=1, max_size=3)
)


def parsed(*words: str) -> Outer:
    parser = command_parser("test", "")
    add_settings(parser, Outer, "test")
    return instantiate(parser, parse_settings(parser, words, Outer), Outer)


def written(value: Any) -> str:
    """The value as a YAML text of one line."""
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip()
    )


def set_in(mapping: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        inner = mapping.get(key)
        mapping[key] = inner if isinstance(inner, dict) else {}
        mapping = mapping[key]
    mapping[path[-1]] = value


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(st.lists(st.tuples(st.lists(KEYS, min_size=1, max_size=3), VALUES), min_size=1, max_size=4))
def test_values_are_those_of_a_file(changes: list[tuple[list[str], Any]]) -> None:
    """Several options build one mapping, each with a value of any JSON type."""
    expected: dict[str, Any] = {}
    words = []
    for number, (path, value) in enumerate(changes):
        keys = [f"{path[0]}{number}", *path[1:]]  # no option leads into another's value
        words += [f"--options.{'.'.join(keys)}={written(value)}"]
        set_in(expected, keys, value)
    whole = parsed(f"--options={written(expected)}").options
    one, other = (json.dumps(value, sort_keys=True) for value in (parsed(*words).options, whole))
    assert one == other


@pytest.mark.parametrize("equals", [True, False])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("-2", -2),
        ("1e-3", 1e-3),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", ""),
        ("abc", "abc"),
        ("module:Name", "module:Name"),
        ("*.csv", "*.csv"),
        ("[1, [2.5, x]]", [1, [2.5, "x"]]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        (".inf", float("inf")),
    ],
)
def test_a_value_is_typed_wherever_it_stands(text: str, value: Any, equals: bool) -> None:
    def words(name: str) -> list[str]:
        return [f"--{name}={text}"] if equals else [f"--{name}", text]

    assert parsed("--data.environment.kwargs.g='2'").data == Inner({"kwargs": {"g": "2"}})
    assert parsed(*words("data.environment.kwargs.g")).data == Inner({"kwargs": {"g": value}})
    assert parsed(*words("options.g")).options == {"g": value}
    assert parsed(*words("methods.base.b")).methods == {"base": {"a": 1, "b": value}}
    assert parsed(*words("methods.other.b.c")).methods["other"] == {"b": {"c": value}}


def test_options_add_to_what_a_file_holds(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    environment = {"id": "Pendulum-v1", "kwargs": {"g": 1.0, "m": 3.0}}
    content = {"data": {"environment": environment, "weight": 2.0}, "methods": {"v0.1": {"x": 1}}}
    file.write_text(yaml.safe_dump(content))
    words = ["--config", str(file), "--data.environment.kwargs.g", "2", "--data.weight", "3"]
    found = parsed(*words, "--methods.v0.1.x=5", "--methods.v0.1.y=[1]")
    kwargs = {"g": 2, "m": 3.0}
    assert found.data == Inner({"id": "Pendulum-v1", "kwargs": kwargs}, 3.0)
    assert found.methods == {"v0.1": {"x": 5, "y": [1]}}  # a key with a dot
    file.write_text("data: {environment: Pendulum-v1}")
    assert parsed(*words).data == Inner({"id": "Pendulum-v1", "kwargs": {"g": 2}}, 3.0)


def test_the_last_option_counts() -> None:
    words = ["--options.a=1", "--options={b: 2}", "--options.c=3", "--options.c=4"]
    assert parsed(*words).options == {"b": 2, "c": 4}
    assert parsed("--sizes.a=1").sizes == {"a": 1}  # has types: jsonargparse reads it


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--options.a"], "--options.a: its value is missing"),
        (["--options.a", "--options.b=1"], "--options.a: its value is missing"),
        (["--options.a=010"], "--options.a 010: 010: write the number without zeros"),
        (["--options.a=[1, 2"], r"--options.a \[1, 2: not valid YAML"),
        (["--options.a={x: 1, x: 2}"], "'x' is given twice"),
        (["--options.a=1", "--options.a.b=2"], "--options.a.b: a is 1, no mapping"),
        (["--methods.base=3", "--methods.base.b=2"], "--methods.base.b: base is 3, no mapping"),
    ],
)
def test_what_leads_nowhere_is_named(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_whole_mappings(command_parser("test", ""), words, HINTS)


def test_studies_and_tunings(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("methods: {a: {critics: 2}}\ndata: {dataset: x.npz, ensemble: e.ckpt}")
    words = ["--data.environment.id", "Pendulum-v1", "--data.environment.kwargs.g", "2"]
    words += ["--methods.a.pessimism.weight=0.5", "--data.dynamics_options.mass=2.0"]
    study, *_ = parse_study(study_parser(), [str(file), *words])
    assert study.data is not None and study.data.dynamics_options == {"mass": 2.0}
    assert study.data.environment == {"id": "Pendulum-v1", "kwargs": {"g": 2}}
    assert study.methods == {"a": {"critics": 2, "pessimism": {"weight": 0.5}}}
    changes = ["--search.critics.high", "5", "--search.diversity=[1e-3, 1]"]
    plane = str(CONFIGS / "ravl" / "tune_plane.yaml")
    tuning, _ = parse_tuning(tuning_parser(), [plane, *changes])
    assert tuning.search["critics"] == {"low": 2, "high": 5}
    assert tuning.search["diversity"] == [1e-3, 1]


FIT = """
model:
  class_path: {path}
  init_args:
    {name}: {{id: Pendulum-v1, kwargs: {{m: 3.0}}}}
"""


@pytest.mark.parametrize(
    ("path", "name", "short"),
    [
        ("worldplan.planners.offline.training.for_dataset", "environment", False),
        ("worldplan.planners.offline.training.for_dataset", "simulator", True),
        ("worldplan.planners.offline.training.for_dataset", "dynamics_options", False),
        ("worldplan.planners.offline.leq.for_dataset", "environment", True),
        ("worldplan.planners.offline.model_free.iql.for_dataset", "environment", False),
        ("worldplan.planners.modem.training.for_task", "options", True),
    ],
)
def test_arguments_of_modules(
    path: str, name: str, short: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fit.yaml"
    file.write_text(FIT.format(path=path, name=name))
    option = f"--model.{'' if short else 'init_args.'}{name}.kwargs"
    words = [f"{option}.g", "2", f"{option}.l=1e-1", f"{option}.flag=true"]
    assert main(["fit", "--config", str(file), *words, "--print_config"]) == 0
    found = yaml.safe_load(capsys.readouterr().out)["model"]["init_args"][name]
    assert found == {"id": "Pendulum-v1", "kwargs": {"m": 3.0, "g": 2, "l": 0.1, "flag": True}}


def test_collected_in_the_environment_of_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data", "collect", "Pendulum-v1", "--policy", "random", "--steps", "50"]
    assert main([*words, "--env-kwargs.g", "2.5", "--output", "a.npz"]) == 0
    environment = load_transitions("a.npz").environment
    assert environment is not None and environment.kwargs["g"] == 2.5
    assert (
        main(["data", "collect", "Pendulum-v1", *words[3:], "--folder", "b", "--output", "b.npz"])
        == 0
    )
    name = "worldplan.planners.offline.model_free.iql.for_dataset"
    Path("fit.yaml").write_text(f"model: {{class_path: {name}, init_args: {{dataset: b.npz}}}}")
    options = ["--model.environment.id", "Pendulum-v1", "--model.environment.kwargs.g", "2.5"]
    assert main(["fit", "--config", "fit.yaml", *options]) == 2  # they act in g = 10
    assert "g: 10.0 in the data, 2.5 here" in capsys.readouterr().err
