"""The commands, end to end on small scenarios: what they print, what they write, and that it is
right.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import yaml

from tests.places import ROOT
from worldplan import __version__
from worldplan.cli import main
from worldplan.commands.bandits.scenario import make_scenario, parse_scenario, scenario_parser
from worldplan.commands.evaluation.bandit_references import BOUND, DEFAULT
from worldplan.commands.studies.references import RANDOM
from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import BanditEnv
from worldplan.milp.sets.custom import PyomoSet
from worldplan.planners.base import Decision, Planner, evaluate
from worldplan.world_models.arms.programme import build

BANDITS = ROOT / "configs" / "bandits"
TODAY = str(BANDITS / "example_log" / "today.csv")
SMALL: dict[str, Any] = {
    "name": "small",
    "programme": {"domain": "capacity", "arms": 6, "budget": 2, "horizon": 5},
    "policies": ["random", "fluid", None],
    "seeds": "0..1",
    "episodes": 2,
}
LEARNING = {
    "hidden": [6, 6],
    "pretrain_steps": 10,
    "updates": 10,
    "solves": 2,
    "episodes": 4,
    "batch": 8,
    "pool": 20,
    "replay": 50,
    "check_every": 10,
    "check_episodes": 2,
}


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    return "small.yaml"


def only_run(root: Path) -> Path:
    (folder,) = (root / "runs" / "small").glob("[!.]*")
    return folder


# --- help -----------------------------------------------------------------------------------------


def worldplan(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`python -m worldplan` in a folder, with this copy of the package."""
    return subprocess.run(
        [sys.executable, "-m", "worldplan", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_the_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__ == metadata.version("worldplan")
    answer = worldplan("--version", folder=tmp_path)
    assert (answer.returncode, answer.stdout.strip(), answer.stderr) == (0, __version__, "")


def test_errors_of_the_module_have_the_same_exit_code(tmp_path: Path) -> None:
    answer = worldplan("report", "nowhere", folder=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.startswith("worldplan: ConfigError: nowhere: not a run folder")


def test_folders_of_the_user_are_not_imported(tmp_path: Path) -> None:
    for name in ("milp", "envs", "world_models", "planners", "configs", "benchmarks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('imported {name}')\n")
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    swing_up = "worldplan.envs.swing_up:worldplan/AcrobotSwingUp-v0"
    for words in (
        "bandits run small.yaml --jobs 2",
        f"data collect {swing_up} --policy random --steps 30 --output a.npz",
        "data describe a.npz",
        "fit --help",
    ):
        answer = worldplan(*words.split(), folder=tmp_path)
        assert answer.returncode == 0, answer.stderr
    assert (only_run(tmp_path) / "report.html").is_file()


def test_print_config_can_be_used_again(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [
        "--episodes",
        "7",
        "--programme.arms=9",
        "--solver",
        "gurobi",
        "--policies",
        "random,whittle",
    ]
    assert main(["bandits", "run", scenario, *overrides, "--print_config"]) == 0
    text = capsys.readouterr().out
    printed = yaml.safe_load(text)
    assert (printed["episodes"], printed["programme"]["arms"], printed["solver"]["name"]) == (
        7,
        9,
        "gurobi",
    )
    assert printed["policies"] == ["random", "whittle"]
    (tmp_path / "printed.yaml").write_text(text)
    assert main(["bandits", "run", "printed.yaml", "--print_config"]) == 0
    assert capsys.readouterr().out == text


# --- run, evaluate, report ------------------------------------------------------------------------


def test_a_run_leaves_everything_and_can_be_used_again(
    scenario: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["bandits", "run", scenario, "--jobs", "1"]) == 0
    assert "upper bound on every policy" in capsys.readouterr().out
    folder = only_run(tmp_path)
    for name in (
        "config.yaml",
        "versions.json",
        "seed",
        "summary.csv",
        "episodes.csv",
        "steps.csv",
        "bound.txt",
        "report.html",
    ):
        assert (folder / name).is_file(), name
    for name in ("policy_comparison", "step_rewards", "episode_fluid", "first_worker_loads"):
        assert (folder / "plots" / f"{name}.svg").is_file(), name
    assert not (folder / "metrics.csv").exists(), "nothing was trained"
    summary = pd.read_csv(folder / "summary.csv", keep_default_na=False, na_values=[""]).set_index(
        "policy"
    )
    assert set(summary.index) == {"random", "fluid", "null"}
    assert (summary["low"] <= summary["mean"]).all() and (summary["mean"] <= summary["high"]).all()
    # the bound is on the mean, chance may exceed it
    assert summary["bound_share"].between(-0.5, 1.5).all()
    assert (summary["share_low"] <= summary["bound_share"]).all()
    assert summary.loc["fluid", "mean"] >= summary.loc["null", "mean"]

    monkeypatch.chdir("/")  # a run knows where its scenario lies
    assert main(["evaluate", str(folder), "--episodes", "3", "--policies", "fluid,random"]) == 0
    again = pd.read_csv(folder / "evaluation.csv")
    references = [DEFAULT, DEFAULT, RANDOM, RANDOM, BOUND]
    assert again["policy"].tolist() == ["fluid"] * 2 + ["random"] * 2 + references
    assert (again["episodes"][:8] == 3).all()
    means = again.groupby("policy")["mean"].mean()
    assert means[RANDOM] == means["random"] and means[DEFAULT] <= means[BOUND]
    bound = float((folder / "bound.txt").read_text())
    assert means[BOUND] == pytest.approx(bound, rel=1e-12)
    assert main(["report", str(folder), "--output", str(tmp_path / "out.html")]) == 0
    assert "fluid" in (tmp_path / "out.html").read_text()


def test_a_learned_policy_leaves_metrics_and_checkpoints(scenario: str, tmp_path: Path) -> None:
    more = [f"--sequoia.{name}={value}" for name, value in LEARNING.items()]
    assert (
        main(
            [
                "bandits",
                "run",
                scenario,
                "--jobs",
                "1",
                "--policies",
                "sequoia",
                "--seeds",
                "3",
                *more,
            ]
        )
        == 0
    )
    folder = only_run(tmp_path)
    assert (folder / "plots" / "learning_curve_sequoia.svg").exists()
    assert pd.read_csv(folder / "metrics.csv")["val/reward"].notna().any()
    checkpoint = folder / "checkpoints" / "sequoia-seed3"
    (tmp_path / "today.csv").write_text("arm,state\n" + "".join(f"{arm},1\n" for arm in range(6)))
    decide = [
        "bandits",
        "decide",
        scenario,
        "--state",
        "today.csv",
        "--seeds",
        "3",
        "--policy",
        "sequoia",
        "--programme.seed",
        "3",
    ]
    assert main([*decide, "--checkpoint", str(checkpoint)]) == 0
    assert {"arm", "state", "worker"} <= set(pd.read_csv("decision.csv").columns)
    assert main(["evaluate", str(folder), "--episodes", "2"]) == 0


def test_an_unfinished_run_is_continued_and_a_finished_one_is_not(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bandits", "run", scenario, "--jobs", "1", "--policies", "random", "--seeds", "0"]
    assert main(command) == 0
    folder = only_run(tmp_path)
    (folder / "report.html").unlink()
    assert main(command) == 0
    assert "continuing" in capsys.readouterr().err
    assert only_run(tmp_path) == folder
    assert main(command) == 0
    assert len(list((tmp_path / "runs" / "small").glob("[!.]*"))) == 2


def test_bound(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bandits", "bound", scenario]) == 0
    assert "upper bound" in capsys.readouterr().out


# --- decide ---------------------------------------------------------------------------------------


def decide(name: str, tmp_path: Path, *more: str) -> pd.DataFrame:
    assert (
        main(
            [
                "bandits",
                "decide",
                str(BANDITS / name),
                "--state",
                TODAY,
                "--output",
                str(tmp_path / "decision.csv"),
                *more,
            ]
        )
        == 0
    )
    return pd.read_csv(tmp_path / "decision.csv")


def test_decide_with_workers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = decide("clinic.yaml", tmp_path)
    printed = capsys.readouterr().out
    assert "status" in printed and "gap" in printed
    costs = pd.read_csv(BANDITS / "clinic" / "costs.csv").set_index("arm")["cost"]
    room = pd.read_csv(BANDITS / "clinic" / "workers.csv").set_index("worker")["capacity"]
    today = pd.read_csv(TODAY).set_index("arm")["state"]
    assert len(table) > 0 and table["arm"].is_unique
    assert (
        table.groupby("worker")["arm"].apply(lambda arms: costs[arms].sum())
        <= room.loc[sorted(set(table["worker"]))].to_numpy()
    ).all()
    assert (table["state"].to_numpy() == today[table["arm"]].to_numpy()).all()


def test_decide_with_rules_of_ones_own(tmp_path: Path) -> None:
    table = decide("clinic_rules.yaml", tmp_path)
    names = pd.read_csv(BANDITS / "example_log" / "rewards.csv")["arm"].drop_duplicates().tolist()
    action = np.isin(names, table["arm"]).astype(np.int8)
    assert 0 < action.sum() <= 6
    assert (action.reshape(4, 5).sum(1) <= 2).all()
    assert action[10:15].sum() == 0 or action[15:].sum() == 0, "one car"
    assert PyomoSet.from_file(f"{BANDITS / 'clinic' / 'rules.py'}:build", len(names)).contains(
        action
    )


@pytest.mark.parametrize("members", ["0", "3"])
def test_decide_from_a_log(tmp_path: Path, members: str) -> None:
    assert 0 < len(decide("from_logs.yaml", tmp_path, "--programme.members", members)) <= 5


def test_both_solvers_decide_alike(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gurobipy")
    (tmp_path / "today.csv").write_text(
        "arm,state\n" + "".join(f"{arm},{arm % 4}\n" for arm in range(6))
    )
    values = []
    for solver in ("highs", "gurobi"):
        assert (
            main(
                [
                    "bandits",
                    "decide",
                    scenario,
                    "--state",
                    "today.csv",
                    "--solver",
                    solver,
                    "--solver.gap",
                    "0",
                ]
            )
            == 0
        )
        printed = capsys.readouterr().out
        values.append(float(printed.split("value ")[1].split(",")[0]))
    assert values[0] == pytest.approx(values[1], abs=1e-3)


def test_a_decision_that_hit_the_limit_says_so(
    scenario: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Slow(Planner):
        def plan(self, observation: Any) -> Decision:
            return Decision(np.array([1, 0, 0, 0, 0, 0]), 2.0, 2.5, "time_limit", 1.0, gap=0.25)

    monkeypatch.setattr("worldplan.commands.bandits.decide.make_planner", lambda *_: Slow())
    (tmp_path / "today.csv").write_text("arm,state\n" + "".join(f"{arm},0\n" for arm in range(6)))
    assert main(["bandits", "decide", scenario, "--state", "today.csv"]) == 0
    printed = capsys.readouterr().out
    assert "status time_limit" in printed
    assert "gap 25.000 %" in printed.replace("\n", " ")


# --- configurations -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(BANDITS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_scenario_builds(path: Path) -> None:
    parser = scenario_parser("", "")
    settings, base = parse_scenario(parser, [str(path)])
    scenario = make_scenario(parser, settings, base)
    built = build(scenario.programme, base)
    assert scenario.name == path.stem
    assert built.instance.actions.contains(built.instance.actions.default())


@pytest.mark.parametrize("name", ["capacity", "paper"])
def test_fit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    part = "model.init_args"
    tiny = {
        f"{part}.programme.arms": 6,
        f"{part}.programme.budget": 2,
        f"{part}.settings.pretrain_steps": 4,
        f"{part}.settings.updates": 4,
        f"{part}.settings.pool": 20,
        f"{part}.settings.solves": 2,
        f"{part}.settings.check_episodes": 1,
        f"{part}.settings.batch": 8,
        f"{part}.settings.check_every": 4,
        "trainer.enable_progress_bar": "false",
    }
    monkeypatch.setattr(sys, "argv", ["worldplan"])
    assert (
        main(
            [
                "fit",
                "--config",
                str(ROOT / "configs" / "sequoia" / f"{name}.yaml"),
                *(f"--{key}={value}" for key, value in tiny.items()),
            ]
        )
        == 0
    )
    folder = tmp_path / "runs" / "sequoia" / name
    for file in (
        "config.yaml",
        "versions.json",
        "metrics.csv",
        "best.ckpt",
        "last.ckpt",
    ):
        assert (folder / file).is_file(), file


# --- other people's environments and agents -------------------------------------------------------


class Pushing(Planner):
    """A planner for CartPole: push towards the side the pole falls to."""

    def plan(self, observation: np.ndarray) -> Decision:
        return Decision(int(observation[2] + observation[3] > 0), None, None, "heuristic", 0.0)


def test_planners_play_in_any_environment() -> None:
    result = evaluate(Pushing(), gym.make("CartPole-v1"), 3, seed=0)
    assert len(result.episodes) == 3
    assert (result.episodes["length"] == result.episodes["return"]).all()
    assert result.episodes["return"].mean() > 100
    assert result.episodes["success"].isna().all()


def test_any_agent_plays_in_a_bandit() -> None:
    env = BanditEnv(generate("schedule", 6, 2, seed=0, horizon=4))
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=1)
    total, truncated, steps = 0.0, False, 0
    while not truncated:
        assert env.observation_space.contains(observation)
        action = (
            env.action_space.sample() * 0
            if steps % 2
            else np.eye(6, dtype=np.int8)[rng.integers(6)] * 0
        )
        observation, reward, terminated, truncated, _ = env.step(action)
        assert not terminated
        total, steps = total + reward, steps + 1
    assert steps == 4 and total > 0


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m worldplan --help | head -n 1"
    answer = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("worldplan: learn a model")
    assert answer.stderr == ""
