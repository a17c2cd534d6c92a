"""`make faults`: what counts as equal and as left over, and a whole trial."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.faults.__main__ import main, summarise
from benchmarks.faults.contents import DRAFT, parts, run_folders
from benchmarks.faults.processes import Ended
from benchmarks.faults.trials import Reference, Trial, judge


def write(folder: Path, time: str, reward: float = 1.5, seconds: float = 0.1) -> Path:
    run = folder / "runs" / "name" / time
    run.mkdir(parents=True)
    table = pd.DataFrame({"reward": [reward], "seconds": [seconds]})
    table.to_csv(run / "metrics.csv", index=False)
    np.savez(run / "part.npz", rows=np.array([reward]))
    (run / "config.yaml").write_text(f"base: {folder}/small.yaml\nseed: 0\n")
    (run / "report.html").write_text(time)
    return run


def test_results_are_compared_without_times_and_places(tmp_path: Path) -> None:
    one = write(tmp_path / "a", "20261128-162200", seconds=0.1)
    same = write(tmp_path / "b", "20261127-101010", seconds=7.0)
    other = write(tmp_path / "c", "20261127-101010", reward=1.25)
    assert run_folders(tmp_path / "a") == [one]
    found = [parts(run, tmp_path / name) for run, name in ((one, "a"), (same, "b"), (other, "c"))]
    assert found[0] == found[1] and len(found[0]) == 4
    changed = {name for name in found[0] if found[0][name] != found[2][name]}
    assert changed == {"metrics.csv: reward", "part.npz: rows"}


def test_a_trial_is_judged(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()
    run = write(tmp_path / "usual", "20261128-162200")
    wanted = parts(run, tmp_path / "usual")
    names = {
        f"runs/name/TIME/{path}"
        for path in ("metrics.csv", "part.npz", "config.yaml", "report.html")
    }
    usual = Reference(template, "run", 1.0, wanted, {}, [], names, 1, 1)

    def judged(folder: Path) -> Trial:
        return judge(Trial("run", "SIGKILL", 0), usual, folder, Ended(0, ""))

    write(tmp_path / "good", "20261128-170000")
    good = judged(tmp_path / "good")
    assert good.finished and good.equal and not good.lost and not good.left_over
    write(tmp_path / "twice", "20261128-170000")
    (write(tmp_path / "twice", "20261128-180000") / "metrics.csv").unlink()  # not taken up
    assert judged(tmp_path / "twice").lost
    changed = write(tmp_path / "changed", "20261128-170000", reward=2.0)
    (changed / ".metrics.0123456789ab.csv").write_text("half")
    bad = judged(tmp_path / "changed")
    assert not bad.equal and bad.left_over == ["runs/name/TIME/.metrics.0123456789ab.csv"]
    table = summarise(pd.DataFrame([good.row(), bad.row()]))
    assert table.to_dict("records") == [
        {
            "command": "run",
            "fault": "SIGKILL",
            "trials": 2,
            "struck": 2,
            "finished": 2,
            "equal": 1,
            "lost": 1,
            "left over": 1,
            "wrong codes": 0,
            "tracebacks": 0,
        }
    ]
    assert not DRAFT.fullmatch(".lock")


@pytest.mark.slow
def test_a_killed_collection(tmp_path: Path) -> None:
    places = ["--results", str(tmp_path / "results"), "--trials-file", str(tmp_path / "trials")]
    words = ["--trials", "2", "--commands", "demonstrator", "--faults", "SIGKILL", *places]
    assert main(words) == 0 and main(words) == 0
    table = pd.read_csv(tmp_path / "results" / "faults.csv")
    assert (table["trials"] == table["equal"]).all() and table["fault"].nunique() == 2
