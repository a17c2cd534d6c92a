"""The summary of a bandit run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.planners.bandits.transformed import parts_of_kind
from worldplan.cli import main
from worldplan.commands.bandits.default_policies import suited
from worldplan.commands.bandits.jobs import BOUND, result_file
from worldplan.commands.bandits.run import share_text
from worldplan.commands.bandits.scenario import Scenario
from worldplan.commands.bandits.summary import early_bound, summarise
from worldplan.envs.bandits.environment import BanditVectorEnv
from worldplan.files import write_csv
from worldplan.planners.bandits import hull
from worldplan.planners.bandits.baselines import NullPolicy
from worldplan.planners.bandits.units import default_returns
from worldplan.planners.base import evaluate
from worldplan.world_models.arms.programme import Programme


def test_own_notes_and_time_limits_are_told_apart(tmp_path: Path) -> None:
    scenario = Scenario(policies=["null"], seeds=0)
    table = pd.DataFrame({"return": [1.0, 2.0], "zero": 0.5, "decision_seconds": 0.1})
    write_csv(result_file(tmp_path, BOUND, 0), table)
    noted = table.assign(time_limits=[1, 2], note="repaired")
    write_csv(result_file(tmp_path, "null", 0), noted)
    notes = summarise(tmp_path, scenario)["note"].tolist()
    assert notes == ["repaired; 3 decisions hit the time limit"]


@pytest.mark.parametrize("constant", [0.0, -50.0, 1e4])
@pytest.mark.parametrize("factor", [1e-8, 1.0, 1e6])
def test_shares_have_a_zero(tmp_path: Path, factor: float, constant: float) -> None:
    """Of 2 per step that are possible beyond the default action, 1.5 are earned: 75 %."""
    scenario = Scenario(policies=["null", "fluid", "random"], seeds="0..1")
    horizon = scenario.programme.horizon

    def returns(per_step: list[float]) -> list[float]:
        return [horizon * factor * (value + constant) for value in per_step]

    for seed in (0, 1):
        bound = {
            "return": returns([3.0, 5.0]),
            "zero": returns([1.0, 3.0]),
            "decision_seconds": 1.0,
        }
        write_csv(result_file(tmp_path, BOUND, seed), pd.DataFrame(bound))
        for policy, earned in (("null", [1.0, 3.0]), ("fluid", [2.5, 4.5]), ("random", [3.0, 5.2])):
            table = {
                "return": returns(earned),
                "decision_seconds": 1.0,
                "time_limits": 0,
                "note": "",
            }
            write_csv(result_file(tmp_path, policy, seed), pd.DataFrame(table))
    summary = summarise(tmp_path, scenario).set_index("policy")
    shares = summary["bound_share"]
    assert shares["null"] == pytest.approx(0.0, abs=1e-6)
    assert shares["fluid"] == pytest.approx(0.75, abs=1e-6)
    assert shares["random"] == pytest.approx(1.05, abs=1e-6)
    assert (summary["share_low"] <= shares).all() and (shares <= summary["share_high"]).all()
    assert "above the bound by chance" in summary.loc["random", "note"]
    assert summary.loc["fluid", "note"] == ""


def test_means_are_those_of_the_returns_with_control_variates(tmp_path: Path) -> None:
    """Tables of earlier versions have no such column: their returns count."""
    scenario = Scenario(policies=["null", "fluid"], seeds=0)
    steps = scenario.programme.horizon
    table = pd.DataFrame({"return": [20.0, 60.0], "zero": 0.0, "decision_seconds": 0.1})
    write_csv(result_file(tmp_path, BOUND, 0), table)
    played = table.assign(time_limits=0, note="")
    write_csv(result_file(tmp_path, "null", 0), played)
    write_csv(result_file(tmp_path, "fluid", 0), played.assign(steady_return=[38.0, 40.0]))
    means = summarise(tmp_path, scenario).set_index("policy")["mean"]
    assert means.to_dict() == pytest.approx({"null": 40.0 / steps, "fluid": 39.0 / steps})


def test_no_share_where_nothing_can_be_gained(tmp_path: Path) -> None:
    scenario = Scenario(policies=["null"], seeds=0)
    table = pd.DataFrame({"return": [1.0, 2.0], "zero": [1.0, 2.0], "decision_seconds": 0.1})
    write_csv(result_file(tmp_path, BOUND, 0), table)
    write_csv(result_file(tmp_path, "null", 0), table.assign(time_limits=0, note=""))
    summary = summarise(tmp_path, scenario)
    assert summary["bound_share"].isna().all() and summary["note"].tolist() == [""]
    assert share_text(summary.to_dict("records")[0]) == ""


def test_the_default_action_earns_what_it_earns() -> None:
    """The exact return against many simulated episodes, also where the default is a forced one."""
    for kind in ("capacity", "exactly", "interventions", "custom"):
        instance = parts_of_kind(kind, np.random.default_rng(2)).instance()
        env = BanditVectorEnv(instance, 4000)
        start = env.reset(seed=1)[0]["state"]
        exact = default_returns(instance, start).mean()
        played = evaluate(NullPolicy(instance), env, 4000, 1).episodes["return"]
        assert played.mean() == pytest.approx(exact, abs=4 * played.std() / 4000**0.5 + 1e-9)


def test_a_bound_whose_search_ended_early_is_said_with_its_slack(tmp_path: Path) -> None:
    plain = pd.DataFrame({"return": [1.0], "zero": 0.5, "decision_seconds": 0.1})
    write_csv(result_file(tmp_path, BOUND, 0), plain)  # of an earlier version
    assert early_bound(tmp_path) == ""
    write_csv(result_file(tmp_path, BOUND, 1), plain.assign(limited=False, slack=0.5))
    assert early_bound(tmp_path) == ""
    write_csv(result_file(tmp_path, BOUND, 2), plain.assign(limited=True, slack=0.021))
    assert early_bound(tmp_path).endswith("may lower it by at most 2.1 % of the possible gain")


def test_the_commands_say_that_the_bound_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hull, "ROUNDS", 1)
    Path("p.yaml").write_text(
        "name: p\nprogramme: {domain: path, arms: 12, budget: 3, horizon: 6}\n"
        "policies: [random]\nepisodes: 2\n"
    )
    words = "prices ended early: the bound holds"
    assert main(["bandits", "bound", "p.yaml"]) == 0
    assert words in capsys.readouterr().out
    assert main(["bandits", "run", "p.yaml", "--jobs", "1"]) == 0
    assert words in capsys.readouterr().out
    (notes,) = Path("runs").rglob("notes.txt")
    assert words in notes.read_text()
    assert words in (notes.parent / "report.html").read_text()


def test_default_policies_that_do_not_suit_the_programme_are_left_out_in_words(
    tmp_path: Path,
) -> None:
    plain = Scenario("p", Programme(domain="path", arms=6, budget=2, horizon=4))
    assert suited(plain, tmp_path / "p.yaml") == (plain, [])
    interventions = Scenario("i", Programme(domain="interventions", arms=6, budget=2, horizon=4))
    kept, said = suited(interventions, tmp_path / "p.yaml")
    assert set(plain.policy_list()) - set(kept.policy_list()) == {"whittle"}
    assert len(said) == 1 and said[0].startswith("left out of the default policies: whittle (")
    named = replace(interventions, policies=["whittle"])
    assert suited(named, tmp_path / "p.yaml") == (named, [])
