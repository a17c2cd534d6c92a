"""Policies judged under posterior samples of the dynamics: exact values, limits, resuming."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.worldplan.commands.bandits.builders import Desk
from worldplan.cli import main
from worldplan.commands.bandits.judged import judged, with_draws
from worldplan.commands.bandits.scenario import Scenario
from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.sets.source import Constraint
from worldplan.planners.bandits.whittle import WhittlePolicy
from worldplan.planners.base import Planner
from worldplan.world_models.arms.programme import Programme, build

LOG: dict[str, Any] = {"transitions": None, "log": "log.csv"}
REWARDS = "arm,state,reward\n" + "".join(
    f"{arm},{state},{state * weight}\n" for weight, arm in enumerate("abc", 3) for state in (0, 1)
)


def write(desk: Desk, seed: int = 0, rows: int = 30) -> None:
    rng = np.random.default_rng(seed)
    cells = zip(rng.choice(list("abc"), rows), *rng.integers(0, 2, (3, rows)), strict=True)
    moves = "".join(f"{arm},{s},{k},{t}\n" for arm, s, k, t in cells)
    desk.write("log.csv", "arm,state,action,next_state\n" + moves)
    desk.write("rewards.csv", REWARDS)


def run(desk: Desk, *more: str) -> Path:
    """Run the scenario; its folder."""
    code = main(["bandits", "run", "small.yaml", "--jobs", "1", *more])
    assert code == 0, desk.capsys.readouterr()
    (summary,) = Path("runs").rglob("summary.csv")
    return summary.parent


def exact(planner: Planner, true: BanditInstance) -> float:
    """Mean reward per step of a planner in the dynamics of `true`, by recursion over all states."""
    arms, steps = true.dynamics.arms, true.horizon
    states = list(product((0, 1), repeat=arms))
    one, value = true.dynamics.one_step(), dict.fromkeys(states, 0.0)
    for left in range(1, steps + 1):
        now = {}
        for state in states:
            action = planner.plan({"state": np.array(state), "steps_left": left}).action
            level = action.astype(int)
            rows = true.dynamics.transition[np.arange(arms), level, state]
            later = sum(np.prod(rows[np.arange(arms), after]) * value[after] for after in states)
            now[state] = one[np.arange(arms), level, state].sum() + later
        value = now
    start = true.initial
    return sum(np.prod(start[np.arange(arms), s]) * value[s] for s in states) / steps


@pytest.mark.parametrize("seed", range(3))
def test_means_and_regret_are_those_of_exact_evaluation(desk: Desk, seed: int) -> None:
    write(desk, seed)
    desk.scenario(programme=LOG, policies=["whittle", "random"], episodes=600, draws=3)
    table = pd.read_csv(run(desk) / "draws.csv")
    programme = Programme(
        log="log.csv", rewards="rewards.csv", horizon=4, constraint=Constraint(budget=1)
    )
    scenario = Scenario(programme=programme, policies=["whittle"], draws=3)
    built, draws = with_draws(build(programme), scenario, 0)
    policy = WhittlePolicy(built.instance)
    played = table[table["policy"] == "whittle"].set_index("draw")
    for number, draw in enumerate(draws):
        true = BanditInstance(draw, built.instance.actions, 4, built.instance.initial)
        known = WhittlePolicy(true)
        assert played["mean"][number] == pytest.approx(exact(policy, true), rel=0.03)
        assert played["known"][number] == pytest.approx(exact(known, true), rel=0.03)
    random = table[table["policy"] == "random"]
    np.testing.assert_array_equal(random["mean"], random["known"])


def test_a_concentrated_posterior_has_no_regret(desk: Desk) -> None:
    write(desk)
    sure = LOG | {"borrow": "fixed", "prior_strength": 1e9}
    desk.scenario(programme=sure, policies=["whittle", "myopic", "fluid"], draws=5, seeds="0,1")
    folder = run(desk)
    table = pd.read_csv(folder / "judged.csv")
    assert (table["draws"] == 10).all()
    np.testing.assert_allclose(table[["regret", "regret_low", "regret_high"]], 0.0, atol=1e-9)
    assert table["best"].sum() == pytest.approx(1.0)
    printed = desk.capsys.readouterr().out
    assert "in 10 posterior samples of the dynamics" in printed and "regret: what each" in printed
    assert "In posterior samples of the dynamics" in (folder / "report.html").read_text()


def test_a_run_resumes_with_the_draws_that_are_missing(desk: Desk) -> None:
    write(desk)
    desk.scenario(programme=LOG, policies=["whittle", "thompson", "null"], draws=3, episodes=4)
    folder = run(desk)
    first = (folder / "draws.csv").read_text()
    table = pd.read_csv(folder / "draws.csv").set_index("policy")
    assert table.loc["thompson", "known"].isna().all()  # learns: it has no dynamics to know
    assert table.loc["whittle", "known"].notna().all()
    for name in ("summary.csv", "draws.csv", "judged.csv", "jobs/whittle-0-draws.csv"):
        (folder / name).unlink()
    kept = folder / "jobs" / "null-0-draws.csv"
    before = kept.stat().st_mtime_ns
    assert run(desk) == folder and kept.stat().st_mtime_ns == before
    assert (folder / "draws.csv").read_text() == first


@pytest.mark.parametrize("seen", ["visits", "outcomes"])
@pytest.mark.parametrize("members", [0, 2])
def test_hidden_states_and_members(desk: Desk, seen: str, members: int) -> None:
    write(desk)
    hidden = LOG | {"seen": seen, "members": members}
    desk.scenario(programme=hidden, policies=["whittle", "null"], draws=3, episodes=4)
    table = pd.read_csv(run(desk) / "draws.csv").set_index("policy")
    assert table.loc["whittle"].notna().all(axis=None)
    assert (table.loc["whittle", "mean"] > 0).all()


def test_shares_of_the_best_and_ties() -> None:
    rows = [
        ("a", 0, 0, 1.0, 3.0), ("a", 0, 1, 2.0, 2.0), ("a", 1, 0, 1.0, 2.0), ("a", 1, 1, 0.0, 0.0),
        ("b", 0, 0, 2.0, 2.0), ("b", 0, 1, 2.0, 1.5), ("b", 1, 0, 0.0, 1.0), ("b", 1, 1, 3.0, 3.0),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["policy", "seed", "draw", "mean", "known"])
    found = judged(table).set_index("policy")
    assert list(found.index) == ["b", "a"]
    assert found["best"].to_dict() == {"a": 0.375, "b": 0.625}
    assert found["regret"].to_dict() == {"a": 0.75, "b": 0.125}
    assert (found["low"] <= found["mean"]).all() and (found["mean"] <= found["high"]).all()


@pytest.mark.parametrize(
    ("programme", "rest", "words"),
    [
        (None, {}, ("draws 3", "give programme.log")),
        (LOG, {"draws": -1}, ("draws", "0")),
        (LOG, {"draws": 1.5}, ("draws",)),
        (LOG, {"draws": 10_001}, ("draws", "10000")),
        (LOG | {"seen": "visits"}, {"policies": ["sequoia"]}, ("'sequoia' is trained", "leave it")),
        (LOG, {"policies": ["tests.none:Class"]}, ("tests.none",)),
    ],
)
def test_draws_that_cannot_be_played(
    desk: Desk, programme: dict[str, Any] | None, rest: dict[str, Any], words: tuple[str, ...]
) -> None:
    desk.scenario(programme=programme, **({"draws": 3} | rest))
    desk.run(*words)
