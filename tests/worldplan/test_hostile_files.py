"""Files that are damaged, hostile or no files at all: one line that names the file, exit code 2."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.places import CONFIGS
from tests.worldplan.commands.bandits.builders import FILES, TABLES
from tests.worldplan.hostile_builders import COLUMNS, refused
from worldplan.cli import main
from worldplan.commands.bandits.scenario import make_scenario, scenario_parser
from worldplan.milp import user_files
from worldplan.world_models.data import files as dataset_files

DELIVERY = CONFIGS / "actions" / "delivery"
SCENARIO = {"name": "s", "programme": {**TABLES, "constraint": {"kind": "budget", "budget": 1}}}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(SCENARIO))


DECIDE = ["bandits", "decide", "s.yaml", "--state", "today.csv"]
LEARN = ["actions", "learn", "a.trajectory", "--domain", str(DELIVERY / "domain.pddl")]
READERS = {
    "s.yaml": DECIDE,
    "rewards.csv": DECIDE,
    "today.csv": DECIDE,
    "a.trajectory": [*LEARN, "-o", "m.json"],
    "d.pddl": ["actions", "solve", "d.pddl", str(DELIVERY / "problem.pddl")],
    "m.json": ["actions", "solve", "m.json", str(DELIVERY / "problem.pddl")],
    "x.npz": ["data", "describe", "x.npz"],
    "x.hdf5": ["data", "describe", "x.hdf5"],
}


def prepare(file: str) -> Path:
    if file == "a.trajectory":
        Path("a.pddl").write_text("(define (problem p) (:domain delivery) (:objects) (:init))")
    return Path(file)


@pytest.mark.parametrize("file", READERS)
@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "device", "missing", "empty", "random"])
def test_what_is_no_such_file(file: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = prepare(file)
    path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "empty":
        path.touch()
    elif kind == "random":
        path.write_bytes(np.random.default_rng(0).bytes(1000))
    line = refused(READERS[file], capsys, file)
    assert kind != "missing" or "no such file" in line


@pytest.mark.parametrize("file", READERS)
def test_a_permission_is_no_damage(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    prepare(file).touch()
    if file.startswith("x."):
        reader = {"x.npz": "_load_npz", "x.hdf5": "load_hdf5"}[file]
        monkeypatch.setattr(dataset_files, reader, denied)
    else:
        monkeypatch.setattr(user_files, "open", denied, raising=False)
    line = refused(READERS[file], capsys, "")
    assert "Permission denied" in line and "permissions" in line and "damaged" not in line


@pytest.mark.parametrize("file", ["s.yaml", "rewards.csv", "today.csv"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig"])
def test_encodings(file: str, encoding: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(file)
    text = path.read_text().replace("\n", "\n# größe\n" if file == "s.yaml" else "\n", 1)
    path.write_bytes((text if file == "s.yaml" else text + "größe").encode(encoding))
    if encoding == "utf-8-sig" and file == "s.yaml":
        assert main(DECIDE) == 0
        return
    line = refused(DECIDE, capsys, file)
    assert encoding == "utf-8-sig" or "UTF-8" in line or "NUL" in line


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{" * 600 + "}" * 600, "line 1.*nested deeper"),
        ("- " * 10_000 + "x", "line 1.*nested deeper"),
        (BOMB, "line.*more than 100000 values"),
        ("name: &a [*a]", "inside the value"),
        ("name: s\nname: t", "line 2.*'name' is given twice, first in line 1"),
        ("programme: {arms: 3, arms: 4}", "'arms' is given twice"),
        ("episodes: 010", "line 1.*zeros"),
        ("episodes: 1:30", "line 1.*1:30"),
        ("name: 2026-99-99", "line 1.*month"),
        (f"episodes: {'9' * 100_000}", "line 1.*limit"),
        ("name: !!python/object/apply:os.system [ls]", "line 1.*could not determine"),
        ("\tname: s", "line 1"),
        ("name: s\0", "NUL"),
        ("name: [", "line 1"),
        ("- a", "must hold settings"),
        ("episodes: .nan", "episodes"),
        ("episodes: true", "episodes"),
        ("episodes: null", "episodes"),
        ("programme: null", "programme is null"),
        ("programme: {arms: null}", "programme.arms is null: give int"),
        ("sequoia: {batch: null}", "sequoia.batch is null"),
        ("programme: {constraint: {kind: null}}", "programme.constraint.kind is null"),
        ("seeds: 0..999999999999", "seeds"),
        ("seeds: 99999999999", "seeds"),
        ("episodes: 999999999999", "episodes.*at most"),
        ("samples: 18446744073709551616", "samples.*at most"),
        ("solver: {gap: .nan}", "gap"),
        (f"solver: {{gap: 1{'0' * 400}}}", "line 1.*too large"),
        ("programme: {domain: capacity, horizon: 999999999999}", "horizon is 999999999999"),
        ("programme: {domain: capacity, horizon: 9999999}", "horizon 9999999.*variables"),
        ("programme: {domain: capacity, arms: 999999999999}", "arms is 999999999999"),
        ("programme: {domain: capacity, arms: 99999}", "variables"),
        ("programme: {domain: capacity, states: 9999}", "9999 states.*variables"),
    ],
)
def test_settings(text: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.yaml").write_text(text)
    line = refused(["bandits", "bound", "s.yaml"], capsys, "s.yaml")
    assert re.search(named, line), line


@pytest.mark.parametrize("option", ["--solver.gap", "--episodes", "--programme.prior_strength"])
@pytest.mark.parametrize("value", ["1" + "0" * 400, "null", "nan", "-inf", "{}", "1e400"])
def test_options(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bandits", "bound", "s.yaml", "--programme.transitions=null"]
    command += ["--programme.log=log.csv", "--episodes=1"]
    assert main(command) == 0
    line = refused([*command, f"{option}={value}"], capsys, "s.yaml")
    assert option.rpartition(".")[2].strip("-") in line or "too large" in line


@pytest.mark.parametrize("depth", [150, 2000, 100_000])
@pytest.mark.parametrize("word", ["", "not ", "and ", "+ 1 "])
def test_nesting_of_planning_files(
    depth: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nested = f"({word}" * depth + "(at a b)" + ")" * depth
    Path("a.trajectory").write_text(f"((:init {nested}))")
    assert "nested deeper" in refused(READERS["a.trajectory"], capsys, str(prepare("a.trajectory")))
    domain = (
        f"(define (domain d) (:predicates (p)) (:action a :parameters () :precondition {nested}))"
    )
    Path("d.pddl").write_text(domain)
    assert "nested" in refused(READERS["d.pddl"], capsys, "d.pddl")
    Path("m.json").write_text("[" * depth + "]" * depth)
    refused(READERS["m.json"], capsys, "m.json")


NUMBERS = [
    "9" * 100_000,
    "1/" + "3" * 100_000,
    "0." + "1" * 100_000,
    "1e999999999",
    "nan",
    "inf",
    "1e400",
    "0x10",
    "1_0_",
    "--1",
    "1/0",
    "",
]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:12])
def test_numbers_in_every_text_file(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.pddl").write_text("(define (problem p) (:domain delivery) (:objects v - van) (:init))")
    Path("a.trajectory").write_text(f"((:init (= (battery v) {number})))")
    if number not in ("1_0_", "1e400"):
        refused(READERS["a.trajectory"], capsys, "a.trajectory")
    text = FILES["rewards.csv"].replace("a,0,0", f"a,0,{number}", 1)
    Path("rewards.csv").write_text(text)
    if not number.startswith(("0.1", "1_0_", "0x")):
        refused(DECIDE, capsys, "rewards.csv")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("arm,state,state\na,0,1\n", "line 1: column 'state' is there more than once"),
        ('arm,state\na,"0\nb,1\n', "a quote is opened"),
        ("arm,state\na,0,0\n", "more cells than the header"),
        ("arm,state\na\n", "line 2"),
        ("arm,state\na,-1\n", "out of range"),
        ("arm,state\na,0.5\n", "not an integer"),
        ("arm,state\na,\0\n", "NUL"),
        ("arm;state\na;0\n", "'arm' is missing"),
        ("arm,state\n" + "a,0\n" * 2, "already appeared"),
        ("x" * 1_000_000, "a cell is too long"),
    ],
)
def test_tables(text: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("today.csv").write_text(text)
    assert named in refused(DECIDE, capsys, "today.csv")


@pytest.mark.parametrize("file", ["seed", "config.yaml", "versions.json", "summary.csv"])
@pytest.mark.parametrize("kind", ["pipe", "loop", "folder", "NUL"])
def test_parts_of_a_run_folder(file: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path("run")
    run.mkdir()
    config = {"config.yaml": "a: 1", "seed": "0", "versions.json": "{}"}
    for name, text in config.items():
        (run / name).write_text(text)
    (run / file).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(run / file)
    elif kind == "loop":
        (run / file).symlink_to(file)
    elif kind == "folder":
        (run / file).mkdir()
    else:
        (run / file).write_text("\0")
    code = main(["report", "run"])  # a damaged run has a report, which says what is damaged
    printed = capsys.readouterr().err
    assert code == (2 if file == "config.yaml" and kind != "NUL" else 0), printed
    assert code == 2 or file in Path("run/report.html").read_text()
    assert "Traceback" not in printed and printed.count("\n") <= 1


def test_half_characters_are_written_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("run\udcff")
    folder.mkdir()
    (folder / "config.yaml").write_text("a: 1")
    (folder / "seed").write_text("0")
    (folder / "versions.json").write_text('{"python\\udcff": "\\udcfe"}')
    (folder / "summary.csv").write_text("policy,mean\nx,1\n")
    link = Path("run")
    link.symlink_to(folder)
    assert main(["report", "run", "--output", "a.html"]) == 0, capsys.readouterr().err
    assert "\\udcfe" in Path("a.html").read_text(encoding="utf-8")


SECTIONS = ("programme", "solver", "sequoia", "programme.constraint")


@pytest.mark.parametrize("value", [None, 3, "x", [], [1], True, 0.5])
@pytest.mark.parametrize("section", SECTIONS)
def test_sections_of_a_run_folder(
    section: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    config = scenario_config()
    *outer, last = section.split(".")
    place = config
    for name in outer:
        place = place[name]
    place[last] = value
    Path("run").mkdir()
    Path("run/config.yaml").write_text(yaml.safe_dump(config))
    Path("run/seed").write_text("0")
    refused(["evaluate", "run", "--episodes", "1"], capsys, "config.yaml")


def scenario_config() -> dict[str, Any]:
    return make_scenario(parser := scenario_parser("", ""), parser.parse_args([])).to_dict()


@pytest.mark.parametrize("name", ["[/]", "[/red]", "[bold]", "{x}", "%s", ":smile:", "größe"])
def test_names_are_printed_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(name.replace("/", "") + "/]" if "/" in name else name)
    folder.mkdir(parents=True)
    for file, text in FILES.items():
        (folder / file).write_text(text.replace("\na,", f"\n{name},"))
    config = SCENARIO | {"policies": ["random"], "episodes": 1}
    scenario = folder / "s.yaml"
    scenario.write_text(yaml.safe_dump(config))
    decide = ["bandits", "decide", str(scenario), "--state", str(folder / "today.csv")]
    assert main([*decide, "--output", str(folder / "out.csv")]) == 0
    assert name in Path(folder / "out.csv").read_text() + (folder / "rewards.csv").read_text()
    assert main(["bandits", "run", str(scenario), "--jobs", "1", "--runs", str(folder)]) == 0
    run = next(folder.glob("s/2*"))
    assert main(["evaluate", str(run), "--episodes", "1"]) == 0
    np.savez(folder / "x.npz", metadata=np.array(json.dumps({name: name})), **COLUMNS)
    assert main(["data", "describe", str(folder / "x.npz")]) == 0
    assert main(["data", "convert", str(folder / "x.npz"), str(folder / "y.hdf5")]) == 0
    assert str(folder) in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize("value", [None, 3, "x", [], [1], True, ["x"] * 1000])
@pytest.mark.parametrize("section", ["trainer", "journal", "model", "seed_everything"])
def test_sections_of_a_training(
    section: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    if (section, value) in (("seed_everything", 3), ("trainer", None)):
        return  # a seed, and the defaults
    np.savez("x.npz", **COLUMNS)
    model = {
        "class_path": "worldplan.world_models.ensemble.training.for_dataset",
        "init_args": {"data": "x.npz"},
    }
    trainer = {"default_root_dir": "trained", "max_epochs": 1}
    config = {"model": model, "trainer": trainer, "seed_everything": 0, section: value}
    Path("t.yaml").write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", "t.yaml"]) == 2
    printed = capsys.readouterr().err
    assert "Traceback" not in printed and len(printed) < 1600
    assert not Path("trained").exists()
