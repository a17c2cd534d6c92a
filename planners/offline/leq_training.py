"""Training of LEQ: that of the model-free methods, with rollouts before every epoch."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.imagination import ModelInUnits
from worldplan.planners.offline.leq import LEQ, LEQSettings
from worldplan.planners.offline.model_free.learner import ModelFreeSettings
from worldplan.planners.offline.model_free.rows import unpack_rows
from worldplan.planners.offline.model_free.training import ModelFreeModule
from worldplan.planners.offline.symlog import SymlogCritics
from worldplan.planners.offline.task import OfflineTask
from worldplan.world_models.ensemble.learned_dynamics import LearnedDynamics


class LEQModule(ModelFreeModule):
    """Trains `seeds` policies of LEQ side by side; the arguments are those of `ModelFreeModule`,
    with a task that has a learned model.

    Raises:
        ConfigError: the model is no learned ensemble, or settings and task do not fit each other.
    """

    KEY: ClassVar[str] = ModelFreeModule.KEY

    learner: LEQ

    def __init__(
        self, task: OfflineTask, settings: ModelFreeSettings | None = None, **options: Any
    ) -> None:
        chosen = LEQSettings() if settings is None else settings
        super().__init__(task, checks.of_type(chosen, "settings", LEQSettings), **options)
        if not isinstance(task.dynamics, LearnedDynamics):
            raise ConfigError(
                f"LEQ differentiates its model, and {type(task.dynamics).__name__} is no learned "
                "ensemble: make the task with dataset_task(..., ensemble=...) and true_share 0"
            )
        self.learner.model = ModelInUnits(task, self.prepared)
        if not self.learner.settings.symlog:
            self._origin.pop("settings.symlog")  # an older training has none
        sizes = task.observation_size, len(task.low)
        for critics in (self.learner.critics, self.learner.target_critics):
            if isinstance(critics, SymlogCritics):
                critics.fit_actions(unpack_rows(self.prepared.table, *sizes).action)

    def on_fit_start(self) -> None:
        """Move the model to the device."""
        cast(LearnedDynamics, self.task.dynamics).to(self.device)

    def on_train_epoch_start(self) -> None:
        """Seed the random numbers of the epoch, and visit states."""
        super().on_train_epoch_start()
        size = self.task.observation_size
        self.learner.explore(self.rows[:, :size], self.random)
