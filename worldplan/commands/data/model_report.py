"""`worldplan data describe DATA --ensemble CKPT`: how good a trained ensemble is on rows that its
training held out, and beyond its data where the true simulator can be stepped.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from worldplan.commands.data import model_plots
from worldplan.commands.data.model_measures import (
    BEYOND,
    HELD_OUT,
    Calibration,
    Sample,
    beyond_table,
    calibrate,
    clipped_share,
    one_step_table,
    penalty_table,
    step_table,
)
from worldplan.commands.data.model_options import HORIZON, ReportSettings
from worldplan.commands.data.model_printing import print_report
from worldplan.envs.boxes import action_box
from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.envs.environments import make_environment
from worldplan.envs.from_files import makeable
from worldplan.files import input_files
from worldplan.milp.errors import CheckpointError, ConfigError, DatasetError, WorldplanError
from worldplan.opening import create_run
from worldplan.output.report import write_report
from worldplan.runs import Run
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.calibration import FEWEST_ROWS
from worldplan.world_models.ensemble.held_out import (
    HeldOut,
    find_held_out,
    rows_of_other_data,
)
from worldplan.world_models.ensemble.model import GaussianEnsemble, load_ensemble
from worldplan.world_models.ensemble.prediction_errors import open_loop_errors, steps_left
from worldplan.world_models.ensemble.simulated_rows import (
    SimulatedRows,
    check_simulator,
    simulate_beyond,
)


@dataclass
class Report:
    """Results: tables by the name of their file, calibration, values of penalties, and notes."""

    calibration: Calibration
    tables: dict[str, pd.DataFrame]
    values: dict[str, pd.DataFrame]
    notes: list[str] = field(default_factory=list)


def report_model(data: Transitions, settings: ReportSettings, root: str | Path = "runs") -> Run:
    """Measure the ensemble, write the run folder and print the tables.

    Args:
        data: the dataset.
        settings: of the report.
        root: folder of run folders.

    Raises:
        CheckpointError: the checkpoint is missing or damaged, or of other data or another
            environment.
        ConfigError: no held-out trajectory is so long as the horizon, or the new checkpoint exists.
        DatasetError: there are too few held-out rows.
    """
    if settings.recalibrated is not None and settings.recalibrated.exists():
        raise ConfigError(f"--recalibrated {settings.recalibrated}: exists: choose another name")
    ensemble = load_ensemble(
        settings.ensemble,
        observation_size=data.observation.shape[1],
        action_size=data.action.shape[1],
    )
    held_out = held_out_rows(ensemble, data, settings)
    horizon = _horizon(data, held_out, settings.horizon)
    report = measure(ensemble, data, held_out, horizon, settings.seed)
    report.notes.insert(0, f"ensemble {settings.ensemble}, dataset {settings.source}")
    if settings.recalibrated is not None:
        ensemble.recalibration = report.calibration.quantiles
        ensemble.save(settings.recalibrated)
        report.notes.append(f"the recalibrated ensemble is {settings.recalibrated}")
    config = vars(settings) | {"horizon": horizon, "report": "model"}
    config["inputs"] = input_files({"source": settings.source, "ensemble": settings.ensemble})
    run = create_run(root, "model_report", config, settings.seed)
    _write(run, report)
    print_report(report.tables, report.notes, run)
    return run


def held_out_rows(
    ensemble: GaussianEnsemble, data: Transitions, settings: ReportSettings
) -> HeldOut:
    """The rows to measure on.

    Raises:
        CheckpointError: the ensemble was trained on other data, which `other_data` does not allow,
            or in another environment.
        ConfigError: `other_data` is set, and these are the data of the training.
        DatasetError: there are too few rows.
    """
    name, source = settings.ensemble, settings.source
    trained_in = str(ensemble.trained_on.get("environment") or "")
    made_in = str(data.metadata.get("env_id") or "")
    if trained_in and made_in and trained_in.rpartition(":")[2] != made_in.rpartition(":")[2]:
        raise CheckpointError(
            f"{name}: trained on data of {trained_in}, but {source} comes from {made_in}: give "
            "data of the same environment"
        )
    held_out = find_held_out(ensemble, data)
    if settings.other_data:
        if held_out is not None:
            raise ConfigError(
                f"--other-data: {source} is the dataset that {name} was trained on: leave the "
                "option out to measure on the rows that the training held out"
            )
        held_out = rows_of_other_data(data, settings.seed)
    elif held_out is None:
        raise CheckpointError(
            f"{name}: not trained on {source} (its normalisation is that of other rows), so no row "
            "is known to be held out: give the dataset of the training, or --other-data if this "
            "one holds none of its rows"
        )
    if len(held_out.rows) < 2 * FEWEST_ROWS:
        raise DatasetError(
            f"{source}: {len(held_out.rows)} held-out rows are too few to fit a recalibration and "
            f"to judge it: at least {2 * FEWEST_ROWS} are needed: collect more, or give other data "
            "with --other-data"
        )
    return held_out


def _horizon(data: Transitions, held_out: HeldOut, wanted: int | None) -> int:
    """The number of open-loop steps.

    Raises:
        ConfigError: no trajectory is so long.
    """
    longest = int(steps_left(data, held_out.rows).max())
    if wanted is None:
        return min(HORIZON, longest)
    if not 1 <= wanted <= longest:
        raise ConfigError(
            f"--horizon {wanted}: the longest held-out trajectory has {longest} steps: give a "
            f"number from 1 to {longest}"
        )
    return wanted


def measure(
    ensemble: GaussianEnsemble, data: Transitions, held_out: HeldOut, horizon: int, seed: int
) -> Report:
    """All tables of the report.

    Args:
        ensemble: trained.
        data: the dataset.
        held_out: the rows to measure on.
        horizon: largest number of open-loop steps.
        seed: of all random numbers.

    Raises:
        DatasetError: there are too few rows.
    """
    draws, resamples = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    sample = Sample.held_out(ensemble, data, held_out)
    notes = [f"{len(held_out.rows)} rows: {held_out.source}"]
    if not held_out.whole_episodes:
        notes.append(
            "single rows were held out, as there were few episodes: their neighbours were trained "
            "on, so errors on new episodes are greater"
        )
    calibration = calibrate(sample, held_out, resamples)
    ensembles = [copy.deepcopy(ensemble) for _ in range(2)]
    ensembles[1].recalibration = calibration.quantiles
    errors = [
        open_loop_errors(each, data, held_out.rows, horizon, torch.Generator().manual_seed(seed))
        for each in ensembles
    ]
    tables = {
        "model_one_step": one_step_table(ensemble, sample),
        "model_steps": step_table(*errors),
        "model_calibration": calibration.shares,
        "model_recalibration": calibration.scores,
    }
    samples = {HELD_OUT: sample}
    try:
        beyond = _simulated(data, held_out.rows, draws)
    except (WorldplanError, ImportError) as error:
        notes.append(f"beyond the data: not measured: {error}")
    else:
        samples[BEYOND] = Sample.of(
            ensemble, beyond.observation, beyond.action, beyond.truth, beyond.rollout
        )
        tables["model_beyond"] = beyond_table(
            sample, samples[BEYOND], beyond.step, calibration.quantiles
        )
        notes.append(
            f"beyond the data: {len(beyond.step)} steps of the true simulator, from held-out "
            "states, with one uniform action held for each rollout"
        )
    tables["model_penalties"], values = penalty_table(ensemble, samples, resamples, draws)
    clipped = clipped_share(ensemble, sample)
    if clipped.max() > 0.01:
        place = int(clipped.argmax())
        notes.append(
            f"input {place} (observations, then actions) is more than 10 standard deviations from "
            f"the training's mean in {100 * clipped[place]:.0f} % of the rows, and clipped there"
        )
    return Report(calibration, tables, values, notes)


def _simulated(data: Transitions, rows: np.ndarray, draws: torch.Generator) -> SimulatedRows:
    """Rows of the true simulator beyond the data.

    Raises:
        ConfigError: the environment has no simulator that can be stepped from a state.
        DatasetError: the data hold no simulator states, or come from other physics.
    """
    recorded = data.environment
    if data.state is None or recorded is None:
        missing = "environment id" if recorded is None else "simulator states"
        raise DatasetError(f"the dataset holds no {missing}")
    spec = makeable(recorded, "the dataset")
    env_id = spec.id
    data.require_physics(env_id)
    simulator = MujocoDynamics(env_id, wrappers=spec.wrappers, **spec.kwargs)
    if simulator.state_size != data.state.shape[1]:
        raise DatasetError(
            f"the dataset's simulator states have size {data.state.shape[1]}, those of {env_id} "
            f"{simulator.state_size}"
        )
    check_simulator(simulator, data, rows)
    env = make_environment(spec)
    try:
        box = action_box(env.action_space, env_id)
    finally:
        env.close()
    return simulate_beyond(simulator, data, rows, box.low, box.high, draws)


def _write(run: Run, report: Report) -> None:
    """Tables, plots, notes and the HTML file."""
    for name, table in report.tables.items():
        run.write_csv(f"{name}.csv", table)
    names = list(report.calibration.scores["column"])
    scores = report.calibration.scores_of
    model_plots.step_errors(report.tables["model_steps"], run.plots / "step_errors.svg")
    model_plots.reliability(scores, names, run.plots / "reliability.svg")
    model_plots.pit_histograms(scores, names, run.plots / "pit_histograms.svg")
    model_plots.penalties(report.values, run.plots / "penalties.svg")
    run.write_text("notes.txt", "\n".join(report.notes) + "\n")
    write_report([run.path])
