"""Two measures of a dataset, after Schweighofer et al. 2022 ("A dataset perspective on offline
reinforcement learning").

TQ, the trajectory quality: (mean return - low) / (high - low), where low and high are the returns
of a minimal and of the best known policy, here the reference scores of the dataset.

SACo, the state-action coverage: the number of unique state-action pairs, divided by that of a
reference dataset, which in the paper is the replay of an agent's training of the same size. The
paper counts pairs of discrete environments. Here every column of observations and actions is cut
into equal bins between its least and its greatest value in the reference dataset (with bins of the
same width beyond), and cells are counted.
"""

from __future__ import annotations

import numpy as np

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.data.on_disk.rows import chunks
from worldplan.world_models.data.transitions import Transitions

BINS = 10
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd: its products are a permutation of 64 bits


def trajectory_quality(data: Transitions, reference: Transitions | None = None) -> float:
    """TQ: 0 for the return of a minimal policy, 1 for that of the best known one.

    Args:
        data: the transitions.
        reference: whose reference scores are used where `data` have none.

    Raises:
        DatasetError: no reference scores are known.
    """
    try:
        low, high = data.references()
    except DatasetError:
        if reference is None:
            raise
        low, high = reference.references()
    return float((data.returns().mean() - low) / (high - low))


def coverage(data: Transitions, reference: Transitions, bins: int = BINS) -> tuple[float, int, int]:
    """SACo, and the numbers of occupied cells in the data and in the reference dataset.

    Args:
        data: the transitions.
        reference: of the same environment.
        bins: of each column between its least and greatest value in the reference dataset.

    Raises:
        ConfigError: there is no bin, or there are more than 1000.
        DatasetError: the datasets have other sizes of observations or actions.
    """
    if not 1 <= bins <= 1000:
        raise ConfigError(f"bins is {bins}: give a number from 1 to 1000")
    sizes = [(part.observation.shape[1], part.action.shape[1]) for part in (data, reference)]
    if sizes[0] != sizes[1]:
        raise DatasetError(
            f"observations and actions have sizes {sizes[0]}, those of the reference dataset "
            f"{sizes[1]}: use a dataset of the same environment"
        )
    arrays = (reference.observation, reference.action)
    low = np.concatenate([array.min(0) for array in arrays]).astype(np.float64)
    high = np.concatenate([array.max(0) for array in arrays]).astype(np.float64)
    width = np.where(high > low, (high - low) / bins, 1.0)
    counts = [_cells(part, low, width, bins) for part in (data, reference)]
    return counts[0] / counts[1], counts[0], counts[1]


def _cells(data: Transitions, low: np.ndarray, width: np.ndarray, bins: int) -> int:
    """The number of cells with an observation and action.

    Args:
        data: the transitions.
        low: (o + a,) where the first bin of a column begins.
        width: (o + a,) of a bin.
        bins: of a column; the greatest value belongs to the last one.
    """
    keys = []
    for rows in chunks(len(data)):
        raw = np.concatenate([data.observation[rows], data.action[rows]], 1).astype(np.float64)
        place = np.floor((raw - low) / width)
        place = np.where((place == bins) & (raw <= low + bins * width), bins - 1, place)
        keys.append(np.unique(_hashes(np.clip(place, -(2.0**62), 2.0**62).astype(np.int64))))
    return len(np.unique(np.concatenate(keys)))


def _hashes(cells: np.ndarray) -> np.ndarray:
    """A number of 64 bits for each row of whole numbers (n, size). Two of 1e6 different rows have
    the same number with a probability of 3e-8.
    """
    with np.errstate(over="ignore"):
        key = np.zeros(len(cells), dtype=np.uint64)
        for column in cells.T.astype(np.uint64):
            key = (key ^ column) * _MIX
            key ^= key >> np.uint64(32)
            key *= _MIX
            key ^= key >> np.uint64(29)
    return key
