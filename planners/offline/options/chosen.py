"""The options of an agent that its settings name."""

from __future__ import annotations

from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.options.dynamics_gap import Discriminators
from worldplan.planners.offline.options.option import Option
from worldplan.planners.offline.options.task_costs import TaskCosts
from worldplan.planners.offline.replay import unpack
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.task import OfflineTask
from worldplan.world_models.training.seeds import torch_generator


def options_for(
    task: OfflineTask, settings: ReachAwareSettings, costs: TaskCosts | None, seed: int, seeds: int
) -> list[Option]:
    """The options of an agent.

    Args:
        task: of the training.
        settings: of the method.
        costs: of the task, or None.
        seed: of the training.
        seeds: trainings side by side.

    Raises:
        ConfigError: an option needs other settings.
    """
    options: list[Option] = []
    if costs is not None:
        options.append(costs.critics(seeds, torch_generator(seed, 0, 1)))
    if settings.dynamics_gap is not None:
        options.append(_discriminators(task, settings, seed, seeds))
    return options


def _discriminators(
    task: OfflineTask, settings: ReachAwareSettings, seed: int, seeds: int
) -> Discriminators:
    assert settings.dynamics_gap is not None
    real = round(settings.batch * settings.real_share)
    if task.rows is None or not 0 < real < settings.batch:
        raise ConfigError(
            f"dynamics_gap compares real with simulated rows, and a batch has {real} real ones of "
            f"{settings.batch}: set real_share between 0 and 1 (0.5 in H2O)"
        )
    discriminators = Discriminators(
        settings.dynamics_gap,
        task.observation_size,
        len(task.low),
        seeds=seeds,
        generator=torch_generator(seed, 0, 2),
    )
    discriminators.fit_inputs(unpack(task.rows, task.observation_size))
    return discriminators
