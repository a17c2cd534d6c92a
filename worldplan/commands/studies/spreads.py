"""Spread of the critics inside reach and beyond its edge, at the end of a training (figure 5 of
RAVL, arXiv 2402.12527).

Model rollouts end with their last step: its next states appear in targets, but no value is learned
there. In the plane the states at the edge of reach are known exactly; with a dataset the next
states of the last rollout step take their place.
"""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from worldplan.envs.edge_of_reach import Plane
from worldplan.planners.offline.diagnostics import critic_spread
from worldplan.planners.offline.replay import Batch, unpack
from worldplan.planners.offline.training import ReachAwareModule

WITHIN, EDGE = "within reach", "edge of reach"
QUANTILES = {"low": 0.05, "lower": 0.25, "median": 0.5, "upper": 0.75, "high": 0.95}
_CHUNKS, _ROWS = 10, 2000  # model transitions of each seed; all at once would fill the memory


@torch.no_grad()
def spread_table(module: ReachAwareModule, plane: Plane | None) -> pd.DataFrame:
    """Quantiles of `critic_spread` at next states that targets use, over all seeds of a training.

    Args:
        module: the trained module.
        plane: the task, where the edge of reach is known.

    Returns:
        Columns place, rows (their number) and those of `QUANTILES`; one row per place that has
        any. Places are `WITHIN` and `EDGE` in the plane, else "step 1", "step 2" and so on.
    """
    generator = torch.Generator(device=module.device).manual_seed(0)
    parts: dict[str, list[Tensor]] = {}
    for _ in range(_CHUNKS):
        batch = unpack(module.replay.draw(_ROWS, generator), module.task.observation_size)
        spread = critic_spread(module.agent, batch)
        for place, mask in _places(batch, module.settings.horizon, plane).items():
            parts.setdefault(place, []).append(spread[mask & (batch.terminated == 0)])
    levels = torch.tensor(list(QUANTILES.values()), device=module.device)
    rows = []
    for place, values in ((place, torch.cat(part)) for place, part in parts.items()):
        if len(values):
            quantiles = torch.quantile(values, levels).tolist()
            rows.append(
                {
                    "place": place,
                    "rows": len(values),
                    **dict(zip(QUANTILES, quantiles, strict=True)),
                }
            )
    return pd.DataFrame(rows, columns=["place", "rows", *QUANTILES])


def _places(batch: Batch, horizon: int, plane: Plane | None) -> dict[str, Tensor]:
    """Masks (seeds, batch) of the transitions of each place."""
    if plane is not None:
        edge = plane.is_edge(batch.next_observation, horizon)
        return {WITHIN: ~edge, EDGE: edge}
    return {f"step {step + 1}": batch.step == step for step in range(horizon)}
