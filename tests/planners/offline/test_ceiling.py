"""The bound of values, and what a training warns of."""

import warnings
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import torch

from tests.planners.offline.builders import SMALL, module_of
from tests.planners.offline.test_scalers import task_of
from worldplan.planners.offline.ceiling import ValueCeiling
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.training import ReachAwareModule
from worldplan.world_models.training.trainer import fit

SETTINGS = replace(SMALL, discount=0.9)
NAN = float("nan")


def ceiling_of(reward: Any, terminated: Any, **changes: Any) -> ValueCeiling:
    ceiling = ValueCeiling(replace(SETTINGS, **changes), 2)
    ceiling.see(torch.tensor(reward), torch.tensor(terminated))
    return ceiling


def bound(ceiling: ValueCeiling, bonus: float = 0.0) -> list[float]:
    return ceiling.bound(torch.full((2,), bonus)).tolist()


def test_the_bound_of_each_seed() -> None:
    ceiling = ceiling_of([[1.0, -3.0], [2.0, NAN]], [[0.0, 1.0], [0.0, 1.0]])
    assert bound(ceiling) == pytest.approx([10.0, 20.0])
    assert bound(ceiling, 0.5) == pytest.approx([14.5, 24.5])  # (r + gamma b) / (1 - gamma)
    assert bound(ceiling, -0.5) == bound(ceiling)
    ceiling.see(torch.tensor([5.0, 0.0]), torch.tensor([0.0, 0.0]))  # of all seeds
    assert bound(ceiling) == pytest.approx([50.0, 50.0])


def test_a_negative_bound_depends_on_whether_episodes_end() -> None:
    """An end saves all later losses; a row that is not kept does not count."""
    ceiling = ceiling_of([[-1.0, NAN], [-1.0, -2.0]], [[0.0, 1.0], [0.0, 1.0]])
    assert bound(ceiling) == pytest.approx([-10.0, -1.0])


def test_brute_force() -> None:
    """No policy of a small Markov chain has a value above the bound."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        reward = torch.randn(4, generator=generator) + float(torch.randn(1, generator=generator))
        ends = torch.rand(4, generator=generator) < 0.3
        value = torch.full((4,), -100.0)
        for _ in range(400):  # from every state to every state: choose the best
            value = reward + 0.9 * torch.where(ends, 0.0, value.max())
        made = ceiling_of(reward.expand(2, 4).tolist(), ends.float().expand(2, 4).tolist())
        assert value.max() <= bound(made)[0] + 1e-3


def test_one_warning_that_names_both_values_and_the_remedies() -> None:
    ceiling = ceiling_of([[1.0], [2.0]], [[0.0], [0.0]])
    limit = ceiling.bound(torch.zeros(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ceiling.compare(torch.tensor([9.0, 19.0]), limit, 3)
    with pytest.warns(UserWarning, match="overestimated") as caught:
        ceiling.compare(torch.tensor([9.0, 31.0]), limit, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ceiling.compare(torch.tensor([99.0, 31.0]), limit, 5)
    text = str(caught[0].message)
    assert text.startswith("epoch 4, seed 1 of 2: the mean Q 31 is above 20")
    assert "set layer_norm to true, or target_cap to 20, or critics above 3" in text
    again = ValueCeiling(SETTINGS, 2)
    again.restore(ceiling.state())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again.compare(torch.tensor([99.0, 31.0]), limit, 6)
    assert bound(again) == bound(ceiling)


def test_remedies_that_are_set_are_left_out() -> None:
    ceiling = ceiling_of([[1.0], [1.0]], [[0.0], [0.0]], layer_norm=True, target_cap=9.0)
    with pytest.warns(UserWarning, match="overestimated: set critics above 3$"):
        ceiling.compare(torch.tensor([11.0, 0.0]), ceiling.bound(torch.zeros(2)), 0)


def test_a_training_logs_the_bound_and_warns(tmp_path: Any) -> None:
    """Values that start above every bound; a resumed run logs the same."""

    def blown_up(epochs: int) -> ReachAwareModule:
        module = module_of(epochs=epochs, check_every=1, discount=0.5)
        for critics in (module.agent.critics, module.agent.target_critics):
            with torch.no_grad():
                critics.network.biases[-1].fill_(1000.0)
        return module

    with pytest.warns(UserWarning, match="is above .*, which is the value of the greatest reward"):
        fit(blown_up(2), tmp_path / "whole")
    with pytest.warns(UserWarning, match="epoch 0"):
        fit(blown_up(1), tmp_path / "parts")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", module="lightning|torch")
        fit(blown_up(2), tmp_path / "parts")
    whole, parts = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, parts, check_exact=True)
    assert (whole["train/q_ceiling/1"] < whole["train/q/1"]).all()


def test_actions_of_one_number_make_diversity_useless() -> None:
    task = task_of(data=False)
    one = replace(task, low=task.low[:1], high=task.high[:1])
    with pytest.warns(UserWarning, match="no effect with actions of one number"):
        ReachAwareModule(one, SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ReachAwareModule(one, replace(SMALL, diversity=0.0))
        ReachAwareModule(one, ReachAwareSettings(starts=10, updates=2, real_share=0.0))
        ReachAwareModule(task, SMALL)
