"""Which rows of a dataset are drawn: all alike, or those of good episodes more often.

Trajectory weighting (Hong et al., 2023) draws a row of episode i with a probability proportional to

    exp(g_i / temperature),    g_i = (G_i - min G) / (max G - min G)

with the episode's return G_i ("return"), or with its advantage G_i - V(s_0) in the place of it
("advantage"), where V is the linear regression of the returns on the first observations.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.replay import unpack
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.task import OfflineTask

_EQUAL = 1e-6  # range of returns over the sum of absolute rewards that is rounding of float32


class RowSampler(nn.Module):
    """Draws indices of rows with replacement.

    Args:
        count: number of rows.
        weights: relative probabilities, (count,) >= 0; None draws all rows alike.
    """

    cumulative: Tensor | None

    def __init__(self, count: int, weights: Tensor | None = None) -> None:
        super().__init__()
        self.count = count
        total = None if weights is None else weights.double().cumsum(0)
        self.register_buffer("cumulative", total, persistent=False)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Indices of the given shape, on the device of the generator."""
        device = generator.device
        if self.cumulative is None:
            return torch.randint(self.count, shape, generator=generator, device=device)
        uniform = torch.rand(shape, generator=generator, device=device, dtype=torch.float64)
        # right: a row of weight 0 has the same cumulative weight as the row before it
        place = torch.searchsorted(self.cumulative, uniform * self.cumulative[-1], right=True)
        return place.clamp_max(self.count - 1)


def samplers(task: OfflineTask, settings: ReachAwareSettings) -> tuple[RowSampler, RowSampler]:
    """The samplers of the rows of the dataset and of the start states of a task.

    Raises:
        ConfigError: the settings weight episodes, and the task has none.
    """
    if settings.episode_weighting == "none":
        rows = len(task.starts) if task.rows is None else len(task.rows)
        return RowSampler(rows), RowSampler(len(task.starts))
    if task.rows is None or task.last is None or len(task.starts) != len(task.rows):
        raise ConfigError(
            f"episode_weighting {settings.episode_weighting} needs a dataset of episodes that "
            "rollouts start from: set episode_weighting to none"
        )
    weights = episode_weights(
        task.rows,
        task.last,
        task.observation_size,
        settings.episode_weighting,
        settings.episode_temperature,
    )
    return RowSampler(len(task.rows), weights), RowSampler(len(task.starts), weights)


def episode_weights(rows: Tensor, last: Tensor, size: int, kind: str, temperature: float) -> Tensor:
    """Relative probabilities of the rows of a dataset, (n,) float64, at most 1.

    Args:
        rows: packed rows, (n, width), episode after episode.
        last: whether a row ends its episode, (n,) bool.
        size: of an observation.
        kind: "return" or "advantage".
        temperature: see above; a low one draws from the best episodes only.
    """
    batch = unpack(rows, size)
    episode = last.long().cumsum(0) - last.long()
    count = int(episode[-1]) + 1
    score, absolute = rows.new_zeros((2, count), dtype=torch.float64)
    score.index_add_(0, episode, batch.reward.double())
    absolute.index_add_(0, episode, batch.reward.double().abs())
    if kind == "advantage":
        is_first = torch.cat([last.new_ones(1), last[:-1]])
        score = score - _linear_fit(batch.observation[is_first].double(), score)
    span = score.max() - score.min()
    if not bool(span > _EQUAL * absolute.max()):
        return rows.new_ones(len(rows), dtype=torch.float64)
    of_episodes: Tensor = ((score - score.max()) / span / temperature).exp()
    return of_episodes[episode]


def _linear_fit(inputs: Tensor, outputs: Tensor) -> Tensor:
    """Least-squares predictions (n,) of `outputs` (n,), by an affine function of `inputs` (n, m);
    of all least-squares solutions the smallest.
    """
    centred = inputs - inputs.mean(0)
    centred = centred / centred.square().mean(0).sqrt().clamp_min(1e-30)
    mean = outputs.mean()
    solved = torch.linalg.lstsq(centred, (outputs - mean).unsqueeze(-1), driver="gelsd").solution
    fitted: Tensor = mean + (centred @ solved)[:, 0]
    return fitted
