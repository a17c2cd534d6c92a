"""Errors of an ensemble's predictions after one step and after several, on held-out rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.dynamics.model import Members
from worldplan.milp.errors import ConfigError
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.model import GaussianEnsemble

BATCH = 2048  # rows that the members predict at a time


@dataclass(frozen=True)
class StepErrors:
    """Errors after k steps in which the actions are those of the data (open loop).

    Args:
        mean: root of the mean squared error of the elites' mean prediction, which is fed back,
            (horizon, observation + 1), in units of the environment; the last column is the reward
            of the k-th step.
        drawn: the same of drawn predictions: a random elite and its noise in every step, as in
            rollouts.
        change: standard deviation of the change over k steps, and of the reward: the error of a
            prediction that is always the mean change.
        starts: rows from which k steps can be compared, (horizon,).
    """

    mean: np.ndarray
    drawn: np.ndarray
    change: np.ndarray
    starts: np.ndarray


@torch.no_grad()
def predict(ensemble: GaussianEnsemble, observation: Tensor, action: Tensor) -> Members:
    """Predictions of the elites, (elites, n, observation + 1), computed in batches.

    Observations in double precision are rounded for an ensemble without an offset.

    Args:
        ensemble: trained.
        observation: (n, observation).
        action: (n, action).
    """
    if ensemble.offset is None:
        observation = observation.float()
    parts: list[Members] = [
        ensemble(rows, chosen, ensemble.elites)
        for rows, chosen in zip(
            torch.split(observation, BATCH), torch.split(action, BATCH), strict=True
        )
    ]
    return Members(
        torch.cat([part.mean for part in parts], 1), torch.cat([part.variance for part in parts], 1)
    )


def steps_left(data: Transitions, rows: np.ndarray) -> np.ndarray:
    """For each row, the number of rows from it on that follow each other in its episode and are all
    among `rows`, (m,).

    Args:
        data: n transitions.
        rows: ascending row numbers, (m,).
    """
    broken = np.append((np.diff(rows) != 1) | (np.diff(data.episode[rows]) != 0), True)
    ends = np.flatnonzero(broken)
    left: np.ndarray = ends[np.searchsorted(ends, np.arange(len(rows)))] - np.arange(len(rows)) + 1
    return left


@torch.no_grad()
def open_loop_errors(
    ensemble: GaussianEnsemble,
    data: Transitions,
    rows: np.ndarray,
    horizon: int,
    generator: torch.Generator,
    *,
    starts: int = 5000,
) -> StepErrors:
    """The errors after 1 to `horizon` steps along the trajectories of `rows`.

    Args:
        ensemble: trained.
        data: n transitions.
        rows: ascending row numbers, (m,); no step uses another row.
        horizon: largest number of steps.
        generator: of the draws, and of the choice of start rows.
        starts: at most so many rows to start from, evenly drawn.

    Raises:
        ConfigError: no trajectory within `rows` is so long.
    """
    left = steps_left(data, rows)
    if not 1 <= horizon <= left.max():
        raise ConfigError(
            f"horizon {horizon}: the longest run of held-out rows within an episode has "
            f"{left.max()}: give a number from 1 to {left.max()}"
        )
    chosen = torch.randperm(len(rows), generator=generator)[:starts].numpy()
    # the longest first, so that the rows that are left at each step are the leading ones
    chosen = chosen[np.argsort(-left[chosen], kind="stable")]
    if left[chosen[0]] < horizon:  # the few long runs were not drawn
        chosen = np.append(np.flatnonzero(left >= horizon)[:1], chosen)
    first, left = rows[chosen], left[chosen]
    origin = torch.from_numpy(data.observation[first])
    origin = origin.float() if ensemble.offset is None else origin.double()
    mean = drawn = origin
    results: dict[str, list[np.ndarray]] = {"mean": [], "drawn": [], "change": []}
    counts = []
    for step in range(horizon):
        count = int((left > step).sum())
        row = first[:count] + step
        action = torch.from_numpy(data.action[row])
        expected = predict(ensemble, mean[:count], action).mean.mean(0)
        sample, _ = ensemble.sample_elite(drawn[:count], action, generator=generator)
        truth = torch.from_numpy(np.column_stack([data.next_observation[row], data.reward[row]]))
        change = truth.double().clone()
        change[:, :-1] -= origin[:count]
        results["mean"].append(_root_mean_square(expected, truth))
        results["drawn"].append(_root_mean_square(sample, truth))
        results["change"].append(change.std(0, correction=0).numpy())
        counts.append(count)
        mean, drawn = expected[:, :-1], sample[:, :-1]
    tables = {name: np.stack(rows) for name, rows in results.items()}
    return StepErrors(**tables, starts=np.array(counts))


def _root_mean_square(predicted: Tensor, truth: Tensor) -> np.ndarray:
    """Root of the mean squared difference over rows, (batch, columns) -> (columns,)."""
    error: np.ndarray = (predicted.double() - truth.double()).square().mean(0).sqrt().numpy()
    return error
