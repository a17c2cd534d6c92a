"""Thompson sampling and UCWhittle through the commands."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.worldplan.commands.bandits.builders import Desk
from worldplan.cli import main

LOG = {"transitions": None, "log": "log.csv"}
NAMES = ["thompson", "ucwhittle"]


def run(desk: Desk, *more: str) -> pd.DataFrame:
    """Run the scenario, and return its episodes."""
    assert main(["bandits", "run", "small.yaml", "--jobs", "1", *more]) == 0, (
        desk.capsys.readouterr()
    )
    return pd.read_csv(folder_of_run() / "episodes.csv")


def folder_of_run() -> Path:
    """The only run."""
    (summary,) = Path("runs").rglob("episodes.csv")
    return summary.parent


@pytest.mark.parametrize("programme", [None, LOG])
def test_learners_are_compared(desk: Desk, programme: dict[str, str | None] | None) -> None:
    desk.scenario(programme=programme, policies=["random", *NAMES], episodes=10)
    table = run(desk)
    assert (table.groupby("policy")["episode"].max() == 9).all()
    notes = table[table["policy"].isin(NAMES)]["note"]
    assert notes.str.contains("learns from episode to episode: .* in the first 2, .* last 2").all()


def test_a_learner_starts_from_the_posterior_of_the_log(desk: Desk) -> None:
    """A log of thousands of moves leaves nothing to draw: the Whittle policy of the mean."""
    rows = [
        f"{arm},{state},{action},{after}\n" * (7000 if (after == action) == (arm == "a") else 3000)
        for arm in "abc"
        for state in (0, 1)
        for action in (0, 1)
        for after in (0, 1)
    ]
    desk.write("log.csv", "arm,state,action,next_state\n" + "".join(rows))
    desk.scenario(programme=LOG, policies=["whittle", "thompson"], episodes=5)
    wide = run(desk).pivot(index="episode", columns="policy", values="return")
    assert (wide["whittle"] == wide["thompson"]).all()


def test_a_run_is_repeated_by_its_seed(desk: Desk) -> None:
    desk.scenario(programme=LOG, policies=NAMES, episodes=6, seeds="0..1")
    first = run(desk)
    folder = folder_of_run()
    for job in [*folder.glob("jobs/thompson-1*"), folder / "summary.csv"]:
        job.unlink()  # as if it had been killed
    again = run(desk)
    columns = ["policy", "seed", "episode", "return"]
    pd.testing.assert_frame_equal(first[columns], again[columns])


@pytest.mark.parametrize("name", NAMES)
def test_one_day_from_a_log(desk: Desk, name: str) -> None:
    desk.scenario(programme=LOG)
    words = ["bandits", "decide", "small.yaml", "--state", "today.csv", "--policy", name]
    assert main(words) == 0
    assert len(pd.read_csv("decision.csv")) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_refused_where_there_is_nothing_to_learn(desk: Desk, name: str) -> None:
    desk.scenario()
    desk.decide(name, "programme.log", "choose whittle", more=["--policy", name])
    hidden = LOG | {"seen": "visits"}
    desk.scenario(programme=hidden, policies=[name])
    desk.run(name, "programme.seen", "choose whittle")
    desk.decide(name, "programme.seen", more=["--policy", name])
    desk.write("small.yaml", f"{{programme: {{domain: interventions}}, policies: [{name}]}}")
    desk.run("Whittle" if "w" in name else "Thompson", "several interventions", "choose myopic")


@pytest.mark.parametrize("delta", [0.0, 1.0, -1, "much"])
def test_a_wrong_delta_is_refused(desk: Desk, delta: object) -> None:
    desk.scenario(policies=["ucwhittle"], delta=delta)
    desk.run("delta")


@pytest.mark.parametrize("name", NAMES)
def test_unseen_states_of_today(desk: Desk, name: str) -> None:
    desk.scenario(programme=LOG)
    desk.write("today.csv", "arm,state,last_state,days_since\na,,1,3\nb,1,,\nc,0,,\n")
    words = ["bandits", "decide", "small.yaml", "--state", "today.csv", "--policy", name]
    assert main(words) == 0


def test_the_list_counts_moves_by_their_age(desk: Desk) -> None:
    desk.write(
        "log.csv",
        "arm,state,action,next_state,date\na,0,1,1,2026-01-01\na,0,1,0,2025-12-22\n"
        "a,0,0,0,2025-12-12\nb,1,1,1,2026-01-01\n",
    )
    desk.scenario(programme=LOG | {"half_life": "10 days"})
    words = ["bandits", "decide", "small.yaml", "--state", "today.csv", "--date", "2026-01-11"]
    assert main([*words, "--force", "a"]) == 0
    (row,) = pd.read_csv("decision.csv").to_dict("records")
    assert row["arm"] == "a" and row["moves_if_visited"] == 2 and row["moves_if_not"] == 1
    assert row["effective_moves_if_visited"] == pytest.approx(0.5 + 0.25)
    assert row["effective_moves_if_not"] == pytest.approx(0.125)
    assert "by their age these moves count as at least 0.75 if visited" in " ".join(
        desk.capsys.readouterr().out.split()
    )
    desk.scenario(programme=LOG | {"half_life": "10 days"})
    desk.decide("date 2026-01-01 is after today", more=["--date", "2025-12-30"])
