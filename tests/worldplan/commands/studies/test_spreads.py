"""The critics' spread by rollout step, and at the edge of reach."""

from __future__ import annotations

import pytest
import torch

from tests.planners.offline.builders import module_of
from worldplan.commands.studies.spreads import EDGE, QUANTILES, WITHIN, spread_table
from worldplan.envs.edge_of_reach import Plane
from worldplan.planners.offline.replay import Batch, pack


def filled():
    """A module whose buffers hold one transition of each of the steps 0 to 3, and terminated ones;
    and its next observations (seeds, 4, 2).
    """
    module = module_of()
    seeds, generator = module.seeds, torch.Generator().manual_seed(3)
    following = 0.4 * torch.rand((seeds, 4, 2), generator=generator)
    following[:, 3] = torch.tensor([0.55, 0.0])  # starts end at 0.2, steps are of 0.1
    state = torch.zeros_like(following)
    step = torch.arange(4.0).expand(seeds, 4)
    zeros = torch.zeros_like(step)
    rows = pack(Batch(state, state, zeros, following, zeros, step))
    ended = pack(Batch(state, state, zeros, following + 50, zeros + 1, step))
    module.replay.add(torch.cat([rows, ended], 1), torch.ones((seeds, 8), dtype=torch.bool))
    return module, following


def test_a_step_has_the_spread_of_its_own_next_states_and_no_terminated_one():
    module, following = filled()
    table = spread_table(module, None).set_index("place")
    assert table.index.tolist() == ["step 1", "step 2", "step 3", "step 4"]
    agent = module.agent
    for step in range(4):
        seen = following[:, step : step + 1]
        values = agent.critics(seen, agent.actor.mean_action(seen)).detach()[
            ..., 0
        ]  # (seeds, critics)
        spreads = ((values - values.mean(1, keepdim=True)) ** 2).mean(1).sqrt().sort().values
        row = table.loc[f"step {step + 1}"]
        assert row["low"] == pytest.approx(float(spreads[0]), rel=1e-4)
        assert row["high"] == pytest.approx(float(spreads[-1]), rel=1e-4)
        assert row[list(QUANTILES)].is_monotonic_increasing
    assert 0.4 * 40_000 < table["rows"].sum() < 0.6 * 40_000  # half of the rows are terminated


def test_in_the_plane_the_edge_is_exact():
    table = spread_table(filled()[0], Plane()).set_index("place")
    assert table.index.tolist() == [WITHIN, EDGE]
    assert table.loc[EDGE, "rows"] / table["rows"].sum() == pytest.approx(0.25, abs=0.02)
