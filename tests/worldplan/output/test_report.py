"""Reports: self-contained, escaped, complete for one run and several; and the plots they embed."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from worldplan.cli import main
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.opening import create_run
from worldplan.output import decision_plots, plots
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
    assert not re.search(r"""(src|href)=["'](?!data:)""", text), (
        "the page must load nothing from elsewhere"
    )
    return text


def test_one_run(run: Run) -> None:
    run.write_text("notes.txt", "whittle: not indexable in 2 arms & left out")
    path = write_report([run.path])
    assert path == run.path / "report.html"
    text = check_page(path)
    assert text.count("data:image/png;base64,") == 2
    assert text.index("Policy comparison") < text.index("Arm states")
    assert "&lt;script&gt;" in text
    assert "<script" not in text
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
    run.write_csv("summary.csv", SUMMARY.drop(columns="mean"))
    with pytest.raises(DatasetError, match=r"summary.csv: column 'mean' is missing"):
        write_report([run.path])
    run.write_csv("summary.csv", SUMMARY.assign(mean="high"))
    with pytest.raises(DatasetError, match="holds text"):
        write_report([run.path])
    assert not (run.path / "report.html").exists()


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


def test_a_report_replaces_no_file_of_the_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    files = [file for file in run.path.rglob("*") if file.is_file()]
    assert len(files) > 4
    before = {file: file.read_bytes() for file in files}
    for file in files:
        assert main(["report", str(run.path), "--output", str(file)]) == 2
        assert "the command reads this file: choose another name" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in files} == before
    for _ in range(2):  # an old report is replaced
        assert main(["report", str(run.path), "--output", str(run.path / "other.html")]) == 0
