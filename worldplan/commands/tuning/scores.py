"""The scores of trials: the policies' return in the environment, or an off-policy estimate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from worldplan.commands.studies.jobs import make_task
from worldplan.commands.tuning.tuning import Tuning
from worldplan.envs.dynamics.termination import termination_for, termination_of
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.base import Planner, evaluate
from worldplan.planners.offline.dynamics import require_ensemble
from worldplan.planners.offline.estimation.fitted_q import fitted_q_evaluation
from worldplan.planners.offline.estimation.held_out_models import value_in_models
from worldplan.planners.offline.task import OfflineTask
from worldplan.planners.offline.task_environment import recorded_task
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.model import load_ensemble

# of the episodes that score trials; `worldplan run` plays others, so that a method which was chosen
# for its score is not judged by it
EPISODE_SEED = 400_001
_REMEDY = (
    "set data.termination to 'never' or your own 'module:function', or take another score than "
    "'model'"
)

Score = Callable[[Sequence[Planner]], list[float]]


def score_of(tuning: Tuning, task: OfflineTask) -> Score:
    """The function that scores policies, one number each.

    Raises:
        CheckpointError: the ensemble of the scores cannot be read, or is of another task.
        ConfigError: task and score do not fit each other.
        DatasetError: the dataset of the scores cannot be read.
    """
    if tuning.score == "environment":
        return lambda policies: returns(task, policies, tuning.episodes)
    data = score_data(tuning)
    if tuning.score == "fqe":
        return lambda policies: [
            estimate.mean
            for estimate in fitted_q_evaluation(data, policies, tuning.fitted_q, seed=tuning.seed)
        ]
    return _model_score(tuning, task, data)


def score_data(tuning: Tuning) -> Transitions:
    """The data of off-policy scores.

    Raises:
        DatasetError: the dataset cannot be read.
    """
    assert tuning.data is not None
    return load_transitions(tuning.score_data or tuning.data.dataset)


def _model_score(tuning: Tuning, task: OfflineTask, data: Transitions) -> Score:
    """The return in the models of the held-out ensemble.

    Raises:
        ConfigError: no time limit, or no termination rule, is known.
    """
    assert tuning.data is not None
    ensemble = load_ensemble(
        str(tuning.score_ensemble),
        observation_size=data.observation.shape[1],
        action_size=data.action.shape[1],
    )
    source = tuning.score_data or tuning.data.dataset
    require_ensemble(ensemble.trained_on, str(tuning.score_ensemble), data, source)
    if tuning.data.termination == "learned":
        raise ConfigError(
            "score 'model' with termination 'learned': give a termination function by its name, "
            "my_module:my_rule"
        )
    if tuning.data.termination is None:
        specs = [spec for spec in (data.environment, recorded_task(task.about)) if spec is not None]
        terminate = termination_of(*specs, remedy=_REMEDY)
    else:
        terminate = termination_for(tuning.data.termination)
    starts = data.observation[data.starts]
    steps = task.limit or int(data.lengths().max())
    return lambda policies: [
        estimate.mean
        for estimate in value_in_models(
            ensemble, terminate, starts, policies, steps=steps, seed=tuning.seed
        )
    ]


def returns(task: OfflineTask, policies: Sequence[Planner], episodes: int) -> list[float]:
    """Mean undiscounted return of each policy over the same episodes."""
    environment = task.environment(episodes)
    try:
        return [
            float(evaluate(policy, environment, episodes, EPISODE_SEED).episodes["return"].mean())
            for policy in policies
        ]
    finally:
        environment.close()


def check_inputs(tuning: Tuning) -> None:
    """Check that the tasks of all trials and the score can be made, before anything is written.

    Raises:
        CheckpointError: an ensemble cannot be read, or is of another task.
        ConfigError: dataset, environment, dynamics and score do not fit each other.
        DatasetError: a dataset cannot be read, or holds too little for the score.
    """
    task = None
    for study in tuning.task_studies():
        row = study.rows()[0]
        task = make_task(study, row.share, row.method)
    assert task is not None
    score_of(tuning, task)
    if tuning.score == "fqe" and len(score_data(tuning).starts) < 2:
        raise DatasetError("score 'fqe': its data hold a single episode: give others (score_data)")
