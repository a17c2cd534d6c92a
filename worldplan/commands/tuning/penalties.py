"""Each penalty on uncertain dynamics against the true error of the ensemble, where a simulator
gives the truth.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from worldplan.commands.studies.jobs import make_task
from worldplan.commands.tuning import plots
from worldplan.commands.tuning.tuning import Tuning
from worldplan.milp.errors import WorldplanError
from worldplan.planners.offline.task import OfflineTask
from worldplan.runs import Run
from worldplan.world_models.ensemble.model import GaussianEnsemble, load_ensemble
from worldplan.world_models.ensemble.uncertainty import PENALTIES

_ROWS = 1000
_SEED = 0


def penalty_plot(run: Run, tuning: Tuning) -> str:
    """Write penalties.csv and plots/penalties.svg where the task has an ensemble and a simulator;
    returns a line about it, or why there is none.
    """
    study = tuning.task_studies()[0]
    if study.data is None or study.data.ensemble is None:
        return "No plot of penalties against the true error: there is no ensemble."
    try:
        truth = make_task(study, 1.0)
    except WorldplanError as error:
        return f"No plot of penalties against the true error: no true simulator ({error})."
    ensemble = load_ensemble(
        study.data.ensemble,
        observation_size=truth.observation_size,
        action_size=len(truth.low),
    )
    table = penalty_table(ensemble, truth)
    ranks = {name: float(table[name].corr(table["error"], method="spearman")) for name in PENALTIES}
    run.write_csv("penalties.csv", table)
    plots.penalties(table, ranks, run.plots / "penalties.svg")
    texts = ", ".join(f"{name} {rank:.2f}" for name, rank in ranks.items())
    return (
        "Rank correlation of penalties with the true one-step error, at states of the data and "
        f"uniformly random actions: {texts}."
    )


@torch.no_grad()
def penalty_table(ensemble: GaussianEnsemble, truth: OfflineTask) -> pd.DataFrame:
    """Each penalty, and the true error of the elites' mean, at states of the data and uniformly
    random actions: columns error and `PENALTIES`, one row per state.

    The error is the root mean square over outputs (changes and reward), each in units of its spread
    in the training data.

    Args:
        ensemble: trained.
        truth: the task with its simulator as the dynamics.
    """
    generator = torch.Generator().manual_seed(_SEED)
    chosen = torch.randperm(len(truth.starts), generator=generator)[:_ROWS]
    observation = truth.starts[chosen]
    uniform = torch.rand((len(chosen), len(truth.low)), generator=generator)
    action = truth.low + uniform * (truth.high - truth.low)
    state = None if truth.states is None else truth.states[chosen]
    true = truth.dynamics.step(observation, action, state=state, generator=generator)
    sample, members = ensemble.sample_elite(observation, action, generator=generator, members=True)
    assert members is not None
    outcome = torch.cat([true.next_observation, true.reward.unsqueeze(-1)], -1)
    error = _scaled_error(members.mean.mean(0), outcome, ensemble.target_scale)
    columns = {name: function(members, sample).numpy() for name, function in PENALTIES.items()}
    table = pd.DataFrame({"error": error.numpy(), **columns})
    return table.replace([np.inf, -np.inf], np.nan).dropna()


def _scaled_error(predicted: Tensor, outcome: Tensor, scale: Tensor) -> Tensor:
    """(rows,): root mean square over the outputs, (rows, outputs) both."""
    error: Tensor = ((predicted - outcome) / scale).square().mean(-1).sqrt()
    return error
