"""Training rows of an ensemble that are read from disk in every gradient step, for datasets larger
than memory.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldplan.world_models.data.on_disk.rows import chunks
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.model import GaussianEnsemble

_MIX = np.uint64(0x9E3779B97F4A7C15)


class RowsOnDisk:
    """The rows of a dataset that are not held out.

    Nothing of the size of the observations is kept in memory. The bootstrap of member m has, at
    place i, the row that a hash of (seed, m, i) selects: it needs no memory either.

    Args:
        transitions: the dataset.
        held_out: (n,) bool, the rows that are left out.
        seed: of the bootstrap.
    """

    def __init__(self, transitions: Transitions, held_out: np.ndarray, seed: int) -> None:
        self._transitions = transitions
        held = np.flatnonzero(held_out)
        self._gaps = held - np.arange(len(held))  # rows before each gap that are not held out
        self._seed = np.uint64(seed)
        self.count = len(transitions) - len(held)

    def set_statistics(self, ensemble: GaussianEnsemble) -> None:
        """Set the normalisation of the ensemble, in two passes over the rows."""
        parts = [np.arange(part.start, part.stop) for part in chunks(self.count)]
        first = self._raw(parts[0][:1])
        shift = [array[0] for array in first]  # near the numbers, so that their squares stay exact
        sums = [np.zeros_like(array) for array in shift]
        squares = [np.zeros_like(array) for array in shift]
        for places in parts:
            for array, middle, total in zip(self._raw(places), shift, sums, strict=True):
                total += (array - middle).sum(0)
        means = [middle + total / self.count for middle, total in zip(shift, sums, strict=True)]
        for places in parts:
            for array, mean, total in zip(self._raw(places), means, squares, strict=True):
                total += np.square(array - mean).sum(0)
        for name, mean, total in zip(("input", "target"), means, squares, strict=True):
            std = np.sqrt(total / self.count)
            ensemble.set_moments(name, torch.from_numpy(mean), torch.from_numpy(std))

    def bootstrap(self, member_count: int, places: Tensor) -> Tensor:
        """Places (members, batch) of rows in the bootstraps of all members at `places` (batch,)."""
        with np.errstate(over="ignore"):
            key = (np.arange(member_count, dtype=np.uint64)[:, None] + self._seed * _MIX) * _MIX
            key = key ^ (places.cpu().numpy().astype(np.uint64) + np.uint64(1)) * _MIX
            for shift in (np.uint64(32), np.uint64(29), np.uint64(32)):
                key = (key ^ (key >> shift)) * _MIX
            key ^= key >> np.uint64(31)
        return torch.from_numpy((key % np.uint64(self.count)).astype(np.int64))

    def read(self, ensemble: GaussianEnsemble, places: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised inputs (members, batch, in) and targets (members, batch, out) of the rows at
        `places` (members, batch).
        """
        device = ensemble.input_mean.device
        observation, action, following, reward = (
            torch.from_numpy(column).to(device)
            for column in self._columns(places.flatten().numpy())
        )
        inputs = ensemble.inputs(observation, action)
        targets = ensemble.targets(observation, following, reward)
        return inputs.view(*places.shape, -1), targets.view(*places.shape, -1)

    def _columns(self, places: np.ndarray) -> list[np.ndarray]:
        """Observation (count, o), action (count, a), next observation (count, o) and reward
        (count,) of the rows at `places` (count,) among those that are not held out.
        """
        rows = places + np.searchsorted(self._gaps, places, side="right")
        order = np.argsort(rows, kind="stable")  # the disk is read in one direction
        inverse = np.empty_like(order)
        inverse[order] = np.arange(len(order))
        t = self._transitions
        columns = (t.observation, t.action, t.next_observation, t.reward)
        return [np.asarray(column[rows[order]])[inverse] for column in columns]

    def _raw(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (count, in) and targets (count, out) in double precision, in units of the
        environment.
        """
        observation, action, following, reward = (
            column.astype(np.float64) for column in self._columns(places)
        )
        inputs = np.concatenate([observation, action], 1)
        return inputs, np.concatenate([following - observation, reward[:, None]], 1)


def row_tensors(transitions: Transitions, rows: np.ndarray) -> list[Tensor]:
    """Observations (count, obs), actions (count, act), next observations (count, obs) and rewards
    (count,) of the `rows` (n,) bool.
    """
    t = transitions
    columns = (t.observation, t.action, t.next_observation, t.reward)
    return [torch.from_numpy(np.asarray(column[rows])) for column in columns]
