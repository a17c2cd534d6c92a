"""What `worldplan evaluate` sets beside the policies of a bandit run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.places import CONFIGS
from worldplan.commands.bandits.scenario import Scenario
from worldplan.commands.evaluation.bandit_references import (
    BOUND,
    DEFAULT,
    LOG,
    bound_rows,
    log_rows,
    reference_rows,
)
from worldplan.envs.bandits.environment import BanditVectorEnv
from worldplan.milp.errors import DatasetError
from worldplan.milp.sets.source import Constraint
from worldplan.planners.bandits.policies import NullPolicy
from worldplan.planners.base import evaluate
from worldplan.runs import Run
from worldplan.world_models.arms.programme import Programme, build

TABLES = CONFIGS / "bandits" / "example_log"


def test_the_default_action_is_that_of_many_episodes() -> None:
    programme = Programme(domain="capacity", arms=6, budget=2, horizon=5)
    built = build(programme, seed=0)
    rows = reference_rows(built, Scenario(programme=programme), 0, 100, 4000)
    row = next(row for row in rows if row["policy"] == DEFAULT)
    env = BanditVectorEnv(built.instance, 4000)
    played = evaluate(NullPolicy(built.instance), env, 4000, 100).step_reward.mean(1)
    assert row["mean"] == pytest.approx(played.mean(), abs=4 * played.std() / np.sqrt(4000))


def test_what_a_log_earned(tmp_path: Path) -> None:
    """Two arms with moves to states worth 0 and 1: arm a earned 2 of 3 steps, b 1 of 2."""
    moves = ["a,0,0,1", "a,1,1,1", "a,1,0,0", "b,0,1,1", "b,1,0,0"]
    lines = ["arm,state,action,next_state,episode", *(f"{m},{n}" for n, m in enumerate(moves))]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "rewards.csv").write_text("arm,state,reward\na,0,0\na,1,1\nb,0,0\nb,1,1\n")
    constraint = Constraint("budget", budget=1)
    programme = Programme(log="log.csv", rewards="rewards.csv", horizon=3, constraint=constraint)
    (row,) = log_rows(build(programme, tmp_path))
    assert row["policy"] == LOG and row["mean"] == pytest.approx(2 / 3 + 1 / 2)
    assert log_rows(build(Programme(domain="capacity", arms=6, budget=2, horizon=5), seed=0)) == []


def test_the_bound_of_a_run(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert bound_rows(run) == []
    run.write_text("bound.txt", "92.5\n")
    assert bound_rows(run) == [{"policy": BOUND, "mean": 92.5, "episodes": 0}]
    run.write_text("bound.txt", "inf\n")
    assert bound_rows(run) == []
    run.write_text("bound.txt", "x")
    with pytest.raises(DatasetError, match="bound.txt: holds no number: delete it"):
        bound_rows(run)
