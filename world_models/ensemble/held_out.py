"""The rows that the training of an ensemble held out, found again for the trained ensemble."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from worldplan.world_models.data.held_out import (
    FEW_EPISODES,
    HELD_OUT_ROWS,
    HELD_OUT_SHARE,
    hold_out,
)
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.likelihood import changes

if TYPE_CHECKING:
    from worldplan.world_models.ensemble.model import GaussianEnsemble

SEEDS = 20  # that are tried for an ensemble whose checkpoint does not record its seed

Split = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def hold_out_leading(episode: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The rows that versions before `hold_out` held out, bool (n,); kept for the ensembles that
    they trained. The choice of episodes ended at the first that was too long.

    Args:
        episode: the number of each row's episode, (n,), n >= 5.
        generator: draws the episodes, or rows.
    """
    count = len(episode)
    wanted = min(int(HELD_OUT_SHARE * count), HELD_OUT_ROWS)
    numbers, member, lengths = np.unique(episode, return_inverse=True, return_counts=True)
    order = generator.permutation(len(numbers))
    chosen = order[np.cumsum(lengths[order]) <= wanted]
    if len(numbers) >= FEW_EPISODES and len(chosen):
        return np.isin(member, chosen)
    mask = np.zeros(count, dtype=bool)
    mask[generator.permutation(count)[:wanted]] = True
    return mask


def held_out_generator(seed: int) -> np.random.Generator:
    """The random numbers that draw the held-out rows of a training with this seed."""
    return np.random.default_rng([seed, 1])


@dataclass(frozen=True)
class HeldOut:
    """The rows of a dataset on which an ensemble is measured.

    Args:
        rows: their numbers, ascending, (m,).
        whole_episodes: whether they form whole episodes of the dataset, but for one of which only
            the last rows may be among them.
        source: where they come from, for reports.
    """

    rows: np.ndarray
    whole_episodes: bool
    source: str


def find_held_out(ensemble: GaussianEnsemble, data: Transitions) -> HeldOut | None:
    """The rows of its training data that the training of `ensemble` held out; None if `data` are
    not those that it was trained on.

    The rows follow from the seed of the training, which checkpoints record; for older checkpoints
    the seeds 0 to 19 are tried. The normalisation stored in the ensemble, which is that of all
    other rows, proves that data and seed are right.

    Args:
        ensemble: trained.
        data: with the sizes of the ensemble.
    """
    columns = [
        torch.from_numpy(np.asarray(column))
        for column in (data.observation, data.action, data.next_observation, data.reward)
    ]
    inputs = torch.cat(columns[:2], 1).double()
    if ensemble.offset is not None:
        inputs = inputs - ensemble.offset
    targets = changes(columns[0], columns[2], columns[3]).double()
    for seed, split in _candidates(ensemble):
        held = split(data.episode, held_out_generator(seed))
        mask = torch.from_numpy(held)
        if _are_trained(ensemble, inputs, targets, mask):
            rows = np.flatnonzero(held)
            divided = np.intersect1d(data.episode[~held], data.episode[held])
            whole = len(divided) <= 1 and len(data.starts) >= FEW_EPISODES
            kind = "whole episodes" if whole else "single rows"
            return HeldOut(rows, whole, f"held out by the training (seed {seed}), {kind}")
    return None


def rows_of_other_data(data: Transitions, seed: int) -> HeldOut:
    """Rows of data that the ensemble was not trained on: all, or random episodes with 10,000 rows,
    of the last of which the first rows.

    Args:
        data: n transitions.
        seed: draws the episodes.
    """
    source = "other data (--other-data)"
    if len(data) <= HELD_OUT_ROWS:
        return HeldOut(np.arange(len(data)), True, f"all rows of {source}")
    order = np.random.default_rng(seed).permutation(len(data.starts))
    lengths = data.lengths()[order]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows = np.repeat(data.starts[order], lengths) + within
    text = f"random episodes of {source}, of its {len(data)} rows"
    return HeldOut(np.sort(rows[:HELD_OUT_ROWS]), True, text)


def _candidates(ensemble: GaussianEnsemble) -> Iterator[tuple[int, Split]]:
    """Seeds and splits that the training may have had, the likeliest first."""
    recorded = ensemble.trained_on.get("seed")
    seeds = range(SEEDS) if not isinstance(recorded, int) else (recorded,)
    for seed in seeds:
        yield seed, hold_out
        yield seed, hold_out_leading


def _are_trained(ensemble: GaussianEnsemble, inputs: Tensor, targets: Tensor, held: Tensor) -> bool:
    """Whether the normalisation of the ensemble is that of the rows that are not `held` (n,).

    Args:
        ensemble: trained.
        inputs: observations and actions without the offset, (n, observation + action) float64.
        targets: changes and rewards, (n, observation + 1) float64.
        held: bool, (n,).
    """
    for name, rows in (("input", inputs), ("target", targets)):
        mean, scale = rows[~held].mean(0), getattr(ensemble, f"{name}_scale").double()
        stored = getattr(ensemble, f"{name}_mean").double()
        # the stored mean is a float32
        if not bool(((mean - stored).abs() <= 1e-6 * scale + 3e-7 * stored.abs()).all()):
            return False
    return True
