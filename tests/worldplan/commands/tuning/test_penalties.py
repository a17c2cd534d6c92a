"""Penalties against the true error of an ensemble, where the truth is the exact plane."""

import numpy as np
import pandas as pd
import pytest
import torch

from worldplan.commands.tuning import penalties
from worldplan.commands.tuning.plots import penalties as plot
from worldplan.envs.edge_of_reach import Plane
from worldplan.planners.offline.task import plane_task
from worldplan.world_models.ensemble import PENALTIES, GaussianEnsemble


@pytest.fixture
def table():
    generator = torch.Generator().manual_seed(0)
    ensemble = GaussianEnsemble(2, 2, members=3, elites=2, hidden=(8,), generator=generator)
    ensemble.target_scale.copy_(torch.tensor([2.0, 1.0, 0.5]))
    return ensemble, penalties.penalty_table(
        ensemble.requires_grad_(False), plane_task(Plane(), starts=40)
    )


def test_errors_are_those_of_the_elites_mean_in_units_of_the_data(table):
    ensemble, columns = table
    assert list(columns) == ["error", *PENALTIES] and len(columns) == 40
    task = plane_task(Plane(), starts=40)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(40, generator=generator)
    observation = task.starts[chosen]
    action = torch.rand((40, 2), generator=generator) * 2 - 1
    plane = Plane()
    following = plane.move(observation, action)
    for row in range(5):
        predicted = ensemble(observation[row : row + 1], action[row : row + 1], torch.arange(2))
        outcome = torch.cat([following[row], plane.reward(following[row]).reshape(1)])
        scaled = (predicted.mean.mean(0)[0] - outcome) / torch.tensor([2.0, 1.0, 0.5])
        assert columns["error"][row] == pytest.approx(
            float(scaled.square().mean().sqrt()), rel=1e-4
        )
    assert (columns >= 0).all().all()


def test_plot_shows_penalties_of_zero_and_equal_errors(table, tmp_path):
    columns = pd.DataFrame({"error": np.ones(3), "a": np.zeros(3), "b": [1.0, 2.0, 3.0]})
    assert plot(columns, {"a": np.nan, "b": 1.0}, tmp_path / "p.png").stat().st_size > 0
