"""Programmes whose states are seen on visits: settings, members, commands."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.world_models.arms.test_groups import files
from worldplan.cli import main
from worldplan.commands.bandits.results import play
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.source import Constraint
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.world_models.arms.hidden import as_seen
from worldplan.world_models.arms.programme import Programme, build


def programme(**changes: object) -> Programme:
    settings: dict[str, object] = {
        "log": "log.csv", "rewards": "rewards.csv", "horizon": 5, "seen": "visits",
        "constraint": Constraint(budget=1),
    }  # fmt: skip
    return Programme(**(settings | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["visits", "outcomes"])
def test_members_have_the_belief_states_of_the_instance(tmp_path: Path, kind: str) -> None:
    settings = programme(members=3, seen=kind, seen_tolerance=0.05)
    built = build(settings, files(tmp_path))
    hidden = as_seen(built, settings)
    assert hidden.seen is not None and hidden.built.models is not None
    shape = hidden.built.instance.dynamics.transition.shape
    assert {model.transition.shape for model in hidden.built.models} == {shape}
    observation = hidden.observation({"state": np.zeros(3, int), "steps_left": 5})
    assert (observation["state"] == hidden.seen.today).all()
    assert "seen on visits only" in hidden.sentences()[0]
    same = as_seen(built, programme(seen="always"))
    assert same.built is built and not same.sentences()


def test_a_run_and_a_decision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files(tmp_path)
    (tmp_path / "p.yaml").write_text(
        "name: p\nprogramme: {log: log.csv, rewards: rewards.csv, horizon: 5, seen: visits,\n"
        "  constraint: {budget: 1}}\npolicies: [null, whittle, fluid]\nepisodes: 4\n"
    )
    state = tmp_path / "today.csv"
    state.write_text("arm,state,last_state,days_since,visited_then\na,1,,,\nb,,0,2,1\nc,,1,1,0\n")
    out = tmp_path / "d.csv"
    command = ["bandits", "decide", str(tmp_path / "p.yaml"), "--state", str(state)]
    assert main([*command, "--output", str(out), "--policy", "fluid"]) == 0
    assert "seen on visits only" in " ".join(capsys.readouterr().out.split())
    table = pd.read_csv(out)
    assert table["expected_state_if_visited"].between(0, 1).all()
    assert main([*command, "--output", str(out), "--steps_left", "1", "--reasons", "0"]) == 0
    folder = tmp_path / "runs"
    assert (
        main(["bandits", "run", str(tmp_path / "p.yaml"), "--jobs", "1", "--runs", str(folder)])
        == 0
    )
    (file,) = folder.rglob("episode.json")
    shown = json.loads(file.read_text())
    settings = programme()
    hidden = as_seen(build(settings, tmp_path, shown["seed"]), settings)
    planner = make_policy(shown["policy"], PolicyContext(hidden.built.instance))
    planner.reset(seed=shown["seed"])
    states, actions = play(planner, hidden.built, shown["seed"])
    assert hidden.seen is not None
    np.testing.assert_array_equal(shown["actions"], actions)
    for arm in range(3):
        likely = hidden.seen.belief[arm, states[:, arm]].argmax(-1)
        np.testing.assert_array_equal(np.array(shown["states"])[:, arm], likely)


def test_refusals(tmp_path: Path) -> None:
    for changes in ({"seen": "never"}, {"seen_tolerance": -0.1}, {"seen_tolerance": 2.0}):
        with pytest.raises(ConfigError, match="programme.seen"):
            programme(**changes)
    interventions = Programme(domain="interventions", arms=6, budget=2, horizon=3, seen="visits")
    with pytest.raises(ConfigError, match="programme.seen visits"):
        as_seen(build(interventions), interventions)
