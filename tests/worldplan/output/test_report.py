"""Reports: self-contained, escaped, complete for one run and several; and the plots they embed."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import yaml

from tests.places import ROOT
from worldplan.cli import main
from worldplan.milp.errors import ConfigError
from worldplan.opening import create_run
from worldplan.output import decision_plots, plots
from worldplan.output.page.sections import read_section
from worldplan.output.page.terms import GLOSSARY
from worldplan.output.report import write_report
from worldplan.runs import Run

SUMMARY = pd.DataFrame(
    {
        "policy": ["null", "fluid", "sequoia"],
        "mean": [50.0, 90.8, 89.9],
        "low": [48.0, 89.9, 88.0],
        "high": [52.0, 91.7, 91.0],
        "bound_share": [0.5405, 0.9816, 0.9719],
        "decision_ms": [0.01, 12.5, 31.0],
        "episodes": [50, 50, 50],
        "note": ["", "", "checkpoint <best>"],
    }
)
VOID = {"meta", "img", "br", "link"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = create_run(
        tmp_path / "runs", "capacity", {"domain": "<script>alert(1)</script>", "arms": 20}, seed=3
    )
    made.write_csv("summary.csv", SUMMARY)
    plots.policy_comparison(SUMMARY, 92.5, made.plots / "policy_comparison.png")
    decision_plots.arm_states(np.zeros((4, 3), int), np.eye(3), made.plots / "arm_states.png")
    return made


class Balanced(HTMLParser):
    """Collects open tags; a well-formed page ends with none."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_page(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    page = Balanced()
    page.feed(text)
    assert page.open == []
    assert not re.search(r"""src=["'](?!data:)""", text), "the page must load nothing"
    for address in re.findall(r"""href=["']([^"']*)""", text):
        assert address.startswith(("data:,", "#")) or (path.parent / unquote(address)).is_file()
        assert not address.startswith("/")
    assert str(path.parent) not in text and str(path.resolve().parent) not in text
    return text


def test_one_run(run: Run) -> None:
    run.write_text("notes.txt", "whittle: not indexable in 2 arms & left out")
    path = write_report([run.path])
    assert path == run.path / "report.html"
    text = check_page(path)
    assert text.count("data:image/png;base64,") == 2
    assert text.index("Policy comparison") < text.index("Arm states")
    assert "&lt;script&gt;" in text
    assert "<script>alert" not in text and text.count("<script") == 1, "the page's own"
    assert "checkpoint &lt;best&gt;" in text
    assert "not indexable in 2 arms &amp; left out" in text
    assert "98.2 %" in text
    assert "[89.90, 91.70]" in text
    assert "seed 3" in text
    assert text.index(">fluid<") < text.index(">sequoia<") < text.index(">null<"), "best first"
    assert text.count('class="best"') == 2, "fluid, and sequoia whose interval reaches it"


def test_several_runs_side_by_side(run: Run, tmp_path: Path) -> None:
    other = create_run(tmp_path / "runs", "path", {"arms": 40}, seed=4)
    other.write_csv(
        "summary.csv", pd.DataFrame({"policy": ["fluid", "whittle"], "mean": [12345.6, 7.0]})
    )
    bare = create_run(tmp_path / "runs", "unfinished", {}, seed=5)
    path = write_report([run.path, other.path, bare.path])
    assert path == tmp_path / "runs" / "comparison.html"
    text = check_page(path)
    assert "Side by side" in text
    assert "12,346" in text
    assert "90.80 [89.90, 91.70], 98.2 %" in text
    assert "No results yet" in text
    assert write_report([run.path, other.path], tmp_path / "out" / "both.html").is_file()


def test_writing_again_replaces_the_report(run: Run) -> None:
    write_report([run.path])
    run.write_csv("summary.csv", SUMMARY.head(1))
    assert ">fluid<" not in check_page(write_report([run.path]))


def test_bad_input(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one run"):
        write_report([])
    with pytest.raises(ConfigError, match="not a run folder"):
        write_report([tmp_path / "none"])
    with pytest.raises(ConfigError, match="is a folder"):
        write_report([run.path], tmp_path)


def test_the_report_of_an_old_run_prefers_drawings(run: Run) -> None:
    for plot in list(run.plots.glob("*.png")):
        plots.policy_comparison(SUMMARY, 92.5, plot.with_suffix(".svg"))
    text = check_page(write_report([run.path]))
    assert text.count("<svg") == 2 and "data:image/png" not in text
    assert "fluid 90.8 (89.9 to 91.7), sequoia 89.9" in text, "what the plot shows, in words"
    assert "The dashed line is the upper bound, 92.5." in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)) and "#22262b" not in text.split("</style>")[1]


HOSTILE = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:x="http://www.w3.org/1999/xlink"
viewBox="0 0 9 9" onload="alert(1)"><script>alert(2)</script><style>*{}</style>
<a x:href="https://a.example"><text>b</text></a><image href="https://a.example/c.png"/>
<use x:href="https://a.example/d.svg#e"/><foreignObject><iframe src="//a.example"/></foreignObject>
<rect id="f" style="fill: url(https://a.example/g); stroke: red; behavior: x" onclick="alert(3)"/>
<g id='h"&gt;&lt;script&gt;'><path d="M 0 0" fill="url(javascript:i)"/></g>
<text>&lt;b&gt;j</text></svg>"""


def test_a_drawing_of_somebody_else_runs_and_loads_nothing(run: Run) -> None:
    (run.plots / "policy_comparison.svg").write_text(HOSTILE)
    text = check_page(write_report([run.path])).split("<figure>")[1].split("</figure>")[0]
    for word in ("alert", "a.example", "javascript", "behavior", "foreign", "iframe", "<style"):
        assert word not in text, word
    assert "&lt;b&gt;j" in text and "stroke: red" in text


@pytest.mark.parametrize(
    "content", ["", "no xml", "<html/>", "<svg/>", '<!DOCTYPE svg [<!ENTITY a "b">]><svg/>', "\0"]
)
def test_a_damaged_drawing_is_named(run: Run, content: str) -> None:
    (run.plots / "arm_states.svg").write_text(content)
    text = check_page(write_report([run.path]))
    assert "plots/arm_states.svg" in text and "Policy comparison" in text


def test_what_is_missing_or_damaged_is_said_and_the_page_opens(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page of a broken run opens: until this, the command refused it."""

    def page() -> str:
        assert main(["report", str(run.path)]) == 0
        printed, text = capsys.readouterr(), check_page(run.path / "report.html")
        assert printed.err.startswith("capacity/") and "not complete" in text
        assert all(line.startswith("capacity/") for line in printed.err.splitlines())
        return html.unescape(text)

    run.write_csv("summary.csv", SUMMARY.drop(columns="mean"))
    assert "summary.csv: column 'mean' is missing: delete this table" in page()
    run.write_csv("summary.csv", SUMMARY.assign(mean="high"))
    assert "summary.csv: column 'mean' holds text" in page()
    (run.path / "summary.csv").write_bytes(b"\0\xff,\n")
    assert "summary.csv: " in page()
    (run.path / "summary.csv").unlink()
    run.write_csv("jobs/fluid-0.csv", SUMMARY)
    assert "1 tables of finished jobs" in page() and not run.finished
    for name, content in (("seed", "x"), ("versions.json", "["), ("config.yaml", "a: [")):
        (run.path / name).write_text(content)
        assert f"{name}: " in page()
    for name in ("seed", "versions.json"):
        (run.path / name).unlink()
        assert name in page()
    for plot in run.plots.glob("*.png"):
        plot.write_bytes(b"cut")
    assert "arm_states.png: not a PNG file" in page()


def test_the_bound_in_words(run: Run) -> None:
    config = {"programme": {"domain": "capacity", "rewards": "/home/ann/own files/r.csv"}}
    run.write_text("config.yaml", yaml.safe_dump(config))
    for bound, words in (
        ("92.5", "no more than 1.700 reward per step"),
        ("90.0", "above the bound by chance"),
        ("inf", "No bound is known"),
        ("x", "bound.txt is damaged"),
    ):
        run.write_text("bound.txt", bound)
        text = check_page(write_report([run.path]))
        assert words in text
        assert "home" not in text and "ann" not in text.split("</style>")[1].split("<script>")[0]
        assert ".../r.csv" in text


def test_a_page_elsewhere_names_no_folder_of_the_machine(run: Run, tmp_path: Path) -> None:
    text = write_report([run.path], tmp_path / "out" / "page.html").read_text()
    assert f'href="./../runs/{run.name}/summary.csv"' in text and str(tmp_path) not in text
    run.write_text("notes.txt", f"ensemble {tmp_path}/x/e.ckpt, see https://a.example/b/c")
    section = read_section(Run(run.path), "", Path("/page.html"))
    assert all(address == "" for _, address in section.files) and section.files
    assert section.notes == "ensemble .../e.ckpt, see https://a.example/b/c"


def test_terms_are_those_of_the_glossary() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    for name, meaning in GLOSSARY.items():
        assert f"\n{name}\n: {meaning}\n" in text, name


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG") and not list(path.parent.glob(".*"))


@pytest.mark.parametrize("bound", [None, 92.5])
def test_plots_of_learning_and_comparison(tmp_path: Path, bound: float | None) -> None:
    metrics = pd.DataFrame(
        {
            "step": range(40),
            "train/loss": np.linspace(1, 0, 40),
            "val/reward": [np.nan, 1.0] * 20,
            "empty": np.nan,
        }
    )
    assert is_png(plots.learning_curve(metrics, tmp_path / "a.png", bound=bound))
    assert is_png(plots.learning_curve(metrics[["step"]], tmp_path / "b.png", bound=bound))
    assert is_png(plots.policy_comparison(SUMMARY, bound, tmp_path / "c.png"))
    assert is_png(
        plots.policy_comparison(
            SUMMARY[["policy", "mean", "low", "high"]].head(1), bound, tmp_path / "d.png"
        )
    )
    steps = pd.DataFrame(
        {
            "policy": ["null", "null", "fluid", "fluid"],
            "step": [0, 1, 0, 1],
            "mean": [1.0, 2.0, 3.0, 4.0],
        }
    )
    assert is_png(plots.step_rewards(steps, tmp_path / "e.png"))


def test_plots_of_one_decision(tmp_path: Path) -> None:
    rows = [
        {"arm": "Ann", "worker": "w10", "slot": "9:00", "cost": 2.0},
        {"arm": "Bo", "worker": "w2", "slot": "10:00", "cost": 3.5},
    ]
    assert is_png(decision_plots.schedule_grid(rows, tmp_path / "a.png"))
    assert is_png(
        decision_plots.schedule_grid([], tmp_path / "b.png", workers=["w1"], slots=["9:00"])
    )
    assert is_png(decision_plots.schedule_grid([], tmp_path / "c.png"))
    assert is_png(
        decision_plots.worker_loads(rows, {"w2": 3.0, "w10": 4.0, "idle": 0.0}, tmp_path / "d.png")
    )
    assert is_png(
        decision_plots.arm_states(
            np.array([[0, 1], [1, 2]]), np.array([[1, 0]]), tmp_path / "e.png"
        )
    )


@pytest.mark.parametrize(
    "graph",
    [
        nx.path_graph(5),
        nx.path_graph(5, create_using=nx.DiGraph),
        nx.empty_graph(5),
        nx.path_graph(60),
    ],
)
def test_route_maps(tmp_path: Path, graph: nx.Graph) -> None:
    assert is_png(decision_plots.route_map(graph, [0, 1, 2, 1, 1], [0, 2], tmp_path / "a.png"))
    assert is_png(
        decision_plots.route_map(
            graph, [], [], tmp_path / "b.png", {node: (node, -node) for node in graph}
        )
    )


def test_labels_are_sorted_as_people_do() -> None:
    assert decision_plots.natural_order(["10:00", "9:00", "9:30"]) == ["9:00", "9:30", "10:00"]
    assert decision_plots.natural_order(["w10", "w2", 3, 1, "w2"]) == [1, 3, "w2", "w10"]
    assert decision_plots.natural_order(["", "a", "1a"]) == ["", "1a", "a"]
    assert decision_plots.natural_order(["2a", 10, 2]) == [2, 10, "2a"]
    assert decision_plots.natural_order(["m²", "1²", "²", "1"]) == ["1", "1²", "m²", "²"]


def test_a_report_replaces_no_file_of_the_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    files = [file for file in run.path.rglob("*") if file.is_file()]
    assert len(files) > 4
    before = {file: file.read_bytes() for file in files}
    for file in files:
        assert main(["report", str(run.path), "--output", str(file)]) == 2
        assert "the command reads this file: choose another name" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in files} == before
    for name in ("plots/new.png", "results.csv", "jobs/a.csv", "unfinished.txt"):
        assert main(["report", str(run.path), "--output", str(run.path / name)]) == 2
        assert "choose another name that ends with .html" in capsys.readouterr().err
        assert not (run.path / name).exists()
    assert main(["report", str(run.path), str(run.path), "--output", f"{run.path}/report.html"])
    for _ in range(2):  # an old report is replaced
        assert main(["report", str(run.path), "--output", str(run.path / "other.html")]) == 0
