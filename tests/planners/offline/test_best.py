"""The best policies of a training beside the last ones."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.planners.offline.builders import module_of
from worldplan.milp.errors import CheckpointError
from worldplan.planners.base import evaluate
from worldplan.planners.offline.best import BEST, BestCheckpoint, best_about, merged
from worldplan.planners.offline.policy import ReachAwarePolicy
from worldplan.planners.offline.training import CHECK_SEED, ReachAwareModule
from worldplan.world_models.training.checkpoints import load_tensors
from worldplan.world_models.training.trainer import fit


def content(folder):
    return load_tensors(folder / BEST)


def same(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return bool(torch.equal(a, b)) if isinstance(a, torch.Tensor) else bool(a == b)


def test_each_seed_keeps_the_policy_of_its_best_check(tmp_path):
    module = module_of(epochs=8, check_every=1, actor_rate=0.05, critic_rate=0.05)
    fit(module, tmp_path)
    table = pd.read_csv(tmp_path / "metrics.csv")
    about = best_about(tmp_path)
    assert about["chosen_by"] == "mean return of the checks' episodes in the environment"
    for seed in range(2):
        column = table[f"check/return/{seed}"]
        assert about["epoch"][seed] == int(table["epoch"][column.idxmax()])
        assert about["return"][seed] == pytest.approx(column.max())
        # the policy is the one of that check: it plays the same episodes with the same return
        policy = ReachAwarePolicy.load(tmp_path / BEST, seed)
        environment = module.task.environment(module.check_episodes)
        played = evaluate(policy, environment, module.check_episodes, CHECK_SEED)
        assert played.episodes["return"].mean() == pytest.approx(column.max(), rel=1e-6)
    assert about["epoch"] != [8, 8]  # the last is not the best here: else this tests nothing


@pytest.mark.parametrize("interrupted_after", [1, 3])
def test_a_resumed_training_keeps_what_an_unbroken_one_keeps(tmp_path, interrupted_after):
    changes = {"check_every": 1, "actor_rate": 0.05, "critic_rate": 0.05}
    fit(module_of(epochs=5, **changes), tmp_path / "whole")
    fit(module_of(epochs=interrupted_after, **changes), tmp_path / "parts")
    (tmp_path / "parts" / BEST).unlink()
    fit(module_of(epochs=5, **changes), tmp_path / "parts")
    assert same(content(tmp_path / "whole"), content(tmp_path / "parts"))


def test_a_training_of_an_older_worldplan_is_resumed(tmp_path):
    """Its checkpoint has no state of this callback."""
    fit(module_of(epochs=1, check_every=1), tmp_path)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    saved["callbacks"].pop(BestCheckpoint(2).state_key)
    torch.save(saved, tmp_path / "last.ckpt")
    (tmp_path / BEST).unlink()
    fit(module_of(epochs=2, check_every=1), tmp_path)
    assert best_about(tmp_path)["epoch"] == [2, 2]


def test_blocks_of_the_better_seeds_are_taken():
    kept = {"actor": {"w": torch.zeros(6, 2), "low": torch.ones(2)}, "seeds": 3, "about": {}}
    now = {"actor": {"w": torch.ones(6, 2), "low": torch.ones(2)}, "seeds": 3, "about": {"x": 1}}
    result = merged(kept, now, torch.tensor([True, False, True]))
    assert result["actor"]["w"][:, 0].tolist() == [1, 1, 0, 0, 1, 1]
    assert result["about"] == {"x": 1} and kept["actor"]["w"].sum() == 0


class _Trainer:
    """What the callback reads of a trainer."""

    def __init__(self, epoch, **metrics):
        self.current_epoch = epoch
        self.callback_metrics = {name.replace("__", "/"): value for name, value in metrics.items()}


def choose(checks, budget):
    """Epochs (seeds,) that a callback chooses among checks of (return, discounted cost)."""
    best = BestCheckpoint(1, budget)
    chosen = 0
    for epoch, (value, cost) in enumerate(checks, start=1):
        metrics = {"check__return__0": value, "check__discounted_cost__0": cost}
        metrics = {name: number for name, number in metrics.items() if number is not None}
        returns, excess = best._checked(_Trainer(epoch, **metrics))
        better = (excess < best._excess) | ((excess == best._excess) & (returns > best._return))
        if bool(better):
            chosen, best._return, best._excess = epoch, returns, excess
    return chosen


@pytest.mark.parametrize(
    ("checks", "budget", "chosen"),
    [
        ([(1.0, None), (3.0, None), (2.0, None)], None, 2),
        ([(1.0, None), (1.0, None)], None, 1),
        ([(np.nan, None), (-5.0, None)], None, 2),
        ([(1.0, 2.0), (9.0, 8.0), (3.0, 4.0)], 5.0, 3),
        ([(1.0, 9.0), (9.0, 8.0), (3.0, 10.0)], 5.0, 2),
        ([(1.0, 6.0), (2.0, 5.0), (9.0, 5.5)], 5.0, 2),
        ([(1.0, None), (2.0, None)], 5.0, 2),
    ],
)
def test_choice(checks, budget, chosen):
    assert choose(checks, budget) == chosen


def test_a_folder_without_the_file_says_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match="--checkpoint last"):
        best_about(tmp_path)
    assert isinstance(module_of(), ReachAwareModule)
