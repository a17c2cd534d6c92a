"""The tables of a model report: errors, calibration and rank correlations of an ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from worldplan.envs.dynamics.model import Members
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.calibration import (
    LEVELS,
    calibration_error,
    fit_recalibration,
    is_covered,
    log_score,
    normal_scores,
    recalibrate,
)
from worldplan.world_models.ensemble.held_out import HeldOut
from worldplan.world_models.ensemble.likelihood import changes
from worldplan.world_models.ensemble.model import CLIP, GaussianEnsemble
from worldplan.world_models.ensemble.penalty_ranks import (
    penalties_of,
    rank_correlations,
    true_error,
)
from worldplan.world_models.ensemble.prediction_errors import StepErrors, predict
from worldplan.world_models.ensemble.resampling import halves, share_intervals

ONE_ELITE, DRAWN, RECALIBRATED = "one elite", "drawn", "recalibrated"
HELD_OUT, BEYOND = "held-out", "beyond the data"
UNITS = {"environment": "units of the environment", "column": "units of each column's change"}


@dataclass(frozen=True)
class Sample:
    """True transitions and the elites' predictions of them.

    Args:
        observation: (n, observation).
        action: (n, action).
        truth: next observation and reward, (n, observation + 1).
        members: predictions, (elites, n, observation + 1).
        clusters: number of the episode or rollout of each row, (n,).
    """

    observation: Tensor
    action: Tensor
    truth: Tensor
    members: Members
    clusters: np.ndarray

    @classmethod
    def of(
        cls,
        ensemble: GaussianEnsemble,
        observation: Tensor,
        action: Tensor,
        truth: Tensor,
        clusters: np.ndarray,
    ) -> Sample:
        """The sample with the predictions of `ensemble`; arguments as the fields."""
        if ensemble.offset is None:
            observation = observation.float()
        members = predict(ensemble, observation, action)
        return cls(observation, action, truth, members, clusters)

    @classmethod
    def held_out(cls, ensemble: GaussianEnsemble, data: Transitions, held_out: HeldOut) -> Sample:
        """The held-out rows of a dataset; single rows count as independent of each other."""
        rows = held_out.rows
        truth = np.column_stack([data.next_observation[rows], data.reward[rows]])
        clusters = data.episode[rows] if held_out.whole_episodes else rows
        columns = [torch.from_numpy(part) for part in (data.observation[rows], data.action[rows])]
        return cls.of(ensemble, columns[0], columns[1], torch.from_numpy(truth), clusters)

    @cached_property
    def change(self) -> np.ndarray:
        """Standard deviation of the change of each observation and of the reward, (columns,)."""
        targets = changes(self.observation.double(), self.truth[:, :-1], self.truth[:, -1])
        deviation: np.ndarray = targets.double().std(0, correction=0).numpy()
        return deviation

    def part(self, places: np.ndarray) -> Sample:
        """The rows at these places, (m,)."""
        index = torch.from_numpy(places)
        members = Members(self.members.mean[:, index], self.members.variance[:, index])
        return Sample(
            self.observation[index],
            self.action[index],
            self.truth[index],
            members,
            self.clusters[places],
        )


def column_names(observation: int) -> list[str]:
    """Names of the predicted columns."""
    return [*(f"observation[{place}]" for place in range(observation)), "reward"]


def relative(error: np.ndarray, change: np.ndarray) -> np.ndarray:
    """error / change elementwise; NaN where a column never changes (up to float32 rounding)."""
    constant = change <= 1e-9
    ratio: np.ndarray = np.where(constant, np.nan, error / np.where(constant, 1.0, change))
    return ratio


def one_step_table(ensemble: GaussianEnsemble, sample: Sample) -> pd.DataFrame:
    """Errors of the elites' mean prediction: column, rmse, mean_error, change, relative."""
    error = (sample.members.mean.double().mean(0) - sample.truth.double()).numpy()
    rmse = np.sqrt(np.square(error).mean(0))
    return pd.DataFrame(
        {
            "column": column_names(ensemble.observation_size),
            "rmse": rmse,
            "mean_error": error.mean(0),
            "change": sample.change,
            "relative": relative(rmse, sample.change),
        }
    )


def step_table(errors: StepErrors, recalibrated: StepErrors) -> pd.DataFrame:
    """Open-loop errors in long form: column, steps, rmse, rmse_drawn, rmse_recalibrated, change,
    relative, relative_drawn, relative_recalibrated, starts.

    Args:
        errors: of the ensemble.
        recalibrated: of the recalibrated ensemble, from the same starts.
    """
    horizon, columns = errors.mean.shape
    return pd.DataFrame(
        {
            "column": column_names(columns - 1) * horizon,
            "steps": np.repeat(np.arange(1, horizon + 1), columns),
            "rmse": errors.mean.ravel(),
            "rmse_drawn": errors.drawn.ravel(),
            "rmse_recalibrated": recalibrated.drawn.ravel(),
            "change": errors.change.ravel(),
            "relative": relative(errors.mean, errors.change).ravel(),
            "relative_drawn": relative(errors.drawn, errors.change).ravel(),
            "relative_recalibrated": relative(recalibrated.drawn, errors.change).ravel(),
            "starts": np.repeat(errors.starts, columns),
        }
    )


@dataclass(frozen=True)
class Calibration:
    """Calibration of an ensemble, judged on the second part of the held-out rows.

    Args:
        quantiles: of the recalibration, fitted on the first part, (columns, 39).
        shares: column, predictions, level, share, low, high.
        scores: column, calibration_error, recalibrated_error, log_score,
            recalibrated_log_score.
        scores_of: normal scores of the judged rows by predictions, (rows, columns) each.
    """

    quantiles: Tensor
    shares: pd.DataFrame
    scores: pd.DataFrame
    scores_of: Mapping[str, Tensor]


def calibrate(sample: Sample, held_out: HeldOut, generator: np.random.Generator) -> Calibration:
    """Recalibrate on one part of the held-out rows, and measure on the other part.

    Raises:
        DatasetError: there are too few rows.
    """
    fitted, judged = (
        sample.part(places) for places in halves(held_out, sample.clusters, generator)
    )
    quantiles = fit_recalibration(normal_scores(fitted.members, fitted.truth))
    names = column_names(sample.truth.shape[1] - 1)
    before = normal_scores(judged.members, judged.truth)
    after = recalibrate(quantiles, before)
    single = torch.cat(
        [
            normal_scores(
                Members(judged.members.mean[[elite]], judged.members.variance[[elite]]),
                judged.truth,
            )
            for elite in range(len(judged.members.mean))
        ]
    )
    clusters = {ONE_ELITE: np.tile(judged.clusters, len(single) // len(judged.truth))}
    scores_of = {ONE_ELITE: single, DRAWN: before, RECALIBRATED: after}
    shares = pd.concat(
        share_table(names, kind, part, clusters.get(kind, judged.clusters), generator)
        for kind, part in scores_of.items()
    )
    scores = pd.DataFrame(
        {
            "column": names,
            "calibration_error": calibration_error(before).numpy(),
            "recalibrated_error": calibration_error(after).numpy(),
            "log_score": log_score(judged.members, judged.truth).mean(0).numpy(),
            "recalibrated_log_score": log_score(judged.members, judged.truth, quantiles)
            .mean(0)
            .numpy(),
        }
    )
    return Calibration(
        quantiles,
        shares.reset_index(drop=True),
        scores,
        scores_of,
    )


def share_table(
    names: list[str],
    kind: str,
    normal: Tensor,
    clusters: np.ndarray,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Shares of truths in central intervals: column, predictions, level, share, low, high.

    Args:
        names: of the columns.
        kind: of the predictions.
        normal: normal scores, (n, columns).
        clusters: of the rows, (n,).
        generator: of the bootstrap.
    """
    tables = []
    for level in LEVELS:
        hits = is_covered(normal, torch.tensor([level], dtype=torch.float64))[0].numpy()
        share, low, high = share_intervals(hits, clusters, generator)
        tables.append(
            pd.DataFrame(
                {
                    "column": names,
                    "predictions": kind,
                    "level": level,
                    "share": share,
                    "low": low,
                    "high": high,
                }
            )
        )
    return pd.concat(tables)


def penalty_table(
    ensemble: GaussianEnsemble,
    samples: Mapping[str, Sample],
    generator: np.random.Generator,
    draws: torch.Generator,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Rank correlations of each penalty with the true one-step error, and the values of both.

    Returns:
        Table of rows, penalty, error, spearman, low, high, count; and for each of the samples a
        table of the penalties and the two errors of its rows.
    """
    change = samples[HELD_OUT].change
    units = {
        "environment": torch.ones(len(change)),
        "column": torch.from_numpy(np.where(change > 1e-9, change, 1.0)),
    }
    rows, values = [], {}
    for kind, sample in samples.items():
        drawn, _ = ensemble.sample_elite(sample.observation, sample.action, generator=draws)
        penalties = penalties_of(sample.members, drawn)
        errors = {
            unit: true_error(sample.members, sample.truth, scale) for unit, scale in units.items()
        }
        values[kind] = pd.DataFrame(penalties | {f"error_{unit}": e for unit, e in errors.items()})
        result = rank_correlations(
            np.column_stack(list(penalties.values())),
            np.column_stack(list(errors.values())),
            sample.clusters,
            generator,
        )
        for place, name in enumerate(penalties):
            for other, unit in enumerate(errors):
                figures = (part[place, other] for part in (result.value, result.low, result.high))
                rows.append((kind, name, UNITS[unit], *figures, len(sample.truth)))
    columns = ["rows", "penalty", "error", "spearman", "low", "high", "count"]
    return pd.DataFrame(rows, columns=columns), values


def beyond_table(
    held_out: Sample, beyond: Sample, step: np.ndarray, quantiles: Tensor
) -> pd.DataFrame:
    """One-step errors by the steps since the data, and how often 95 % intervals hold the truth:
    steps, rows, relative, share_95, recalibrated_share_95, each the mean over columns.

    Args:
        held_out: gives the units of the columns.
        beyond: the simulated rows.
        step: steps since the data of each of them, (n,).
        quantiles: of the recalibration, (columns, 39).
    """
    square = (beyond.members.mean.double().mean(0) - beyond.truth.double()).square().numpy()
    level = torch.tensor([0.95], dtype=torch.float64)
    before = normal_scores(beyond.members, beyond.truth)
    held = [
        is_covered(scores, level)[0].double().mean(1).numpy()
        for scores in (before, recalibrate(quantiles, before))
    ]
    rows = []
    for number in np.unique(step):
        chosen = step == number
        error = relative(np.sqrt(square[chosen].mean(0)), held_out.change)
        shares = [float(part[chosen].mean()) for part in held]
        rows.append((number + 1, int(chosen.sum()), float(np.nanmean(error)), *shares))
    columns = ["steps", "rows", "relative", "share_95", "recalibrated_share_95"]
    return pd.DataFrame(rows, columns=columns)


def clipped_share(ensemble: GaussianEnsemble, sample: Sample) -> np.ndarray:
    """Share of rows whose normalised input is clipped, of each input (observation + action,)."""
    clipped = ensemble.inputs(sample.observation, sample.action).abs() >= CLIP
    share: np.ndarray = clipped.double().mean(0).numpy()
    return share
