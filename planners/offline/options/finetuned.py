"""The base of trainings whose last epochs act in the real environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.options.finetuning import Finetuning, OnlineData, table_of
from worldplan.planners.offline.options.task_costs import TaskCosts, returns_of
from worldplan.planners.offline.replay import RingBuffer
from worldplan.planners.offline.sampling import RowSampler
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.task import OfflineTask
from worldplan.world_models.storage import replace_file
from worldplan.world_models.training.module import ResumableModule
from worldplan.world_models.training.origin import differences, origin
from worldplan.world_models.training.seeds import derived_seed

CHECK_SEED = 700_001  # of the periodic checks; differs from every seed of an evaluation
TABLE = "finetune.csv"
_ONLINE = 11  # in the seeds of environments, beside training seed and epoch


class FinetunedModule(ResumableModule):
    """A training of `offline_epochs`, and of `finetune` epochs that collect real steps. A finished
    offline training goes on with a greater `finetune` in the same folder.

    A subclass sets the attributes before it calls `prepare_finetuning`.

    Attributes:
        task: with data and environment.
        settings: of the method.
        agent: actor and critics.
        replay: model transitions.
        row_sampler: of the dataset's rows.
        costs: of the task, or None.
        random: of the present epoch.
    """

    task: OfflineTask
    settings: ReachAwareSettings
    agent: ReachAware
    replay: RingBuffer
    row_sampler: RowSampler
    costs: TaskCosts | None
    random: torch.Generator
    data: Tensor | None
    seed: int
    seeds: int
    check_episodes: int
    offline_origin: dict[str, str]

    def prepare_finetuning(
        self, offline_epochs: int, finetune: int, finetuning: Finetuning | None, width: int
    ) -> None:
        """Set the epochs, and make place for the real steps.

        Args:
            offline_epochs: without real steps.
            finetune: epochs with real steps, after these.
            finetuning: how; None takes the defaults.
            width: of a packed row.

        Raises:
            ConfigError: a number is out of its range, or the steps do not fit into memory.
        """
        if finetune < 0:
            raise ConfigError(f"finetune {finetune}: give 0 or more epochs")
        if finetuning is not None and finetune == 0:
            raise ConfigError("finetuning: belongs to finetune, which is 0: set finetune too")
        self.offline_epochs, self.finetune = offline_epochs, finetune
        self.finetuning = finetuning or Finetuning()
        self.online: OnlineData | None = None
        if finetune == 0:
            return
        real, model, _ = self.finetuning.parts(self.settings.batch, self.settings.real_share)
        if real and self.data is None:
            raise ConfigError(
                "finetuning.rollouts is off, but this task has no dataset to fill the batches: set "
                "it on, or finetuning.share to 1"
            )
        if self.settings.dynamics_gap is not None and model == 0:
            raise ConfigError(
                "dynamics_gap needs simulated rows in every batch: set finetuning.rollouts to "
                "true, and lower finetuning.share or real_share"
            )
        self.online = OnlineData(self.task, self.finetuning, width, self.seeds)

    @property
    def epochs(self) -> int:
        """Rounds of rollouts and updates, offline and in the environment."""
        return self.offline_epochs + self.finetune

    def collect(self) -> tuple[Tensor, Tensor] | None:
        """Real steps of the present epoch (seeds, steps, width), and which are some (seeds, steps)
        bool; None in an offline epoch.
        """
        if self.online is None or self.current_epoch < self.offline_epochs:
            return None
        if self.online.before is None:
            self.online.before = self.play()["return"]
        place = derived_seed(self.seed, self.current_epoch, _ONLINE)
        rows, keep = self.online.collect(self.agent.actor, self.costs, place, self.random)
        steps = keep.sum(1).float().mean()
        self.log("online/steps", steps, batch_size=1, on_step=False, on_epoch=True)
        return rows, keep

    def play(self) -> dict[str, Tensor]:
        """Means of the check episodes of each seed's policy by name, each (seeds,)."""
        policies = [self.policy(index) for index in range(self.seeds)]
        environment = self.task.environment(self.check_episodes)
        played = returns_of(policies, environment, self.check_episodes, CHECK_SEED, self.costs)
        environment.close()
        return played

    def policy(self, seed_index: int = 0) -> Any:
        """The present policy of a seed.

        Raises:
            NotImplementedError: the subclass does not define it.
        """
        raise NotImplementedError

    def compare(self, returns: Tensor) -> dict[str, Tensor]:
        """What a check says about the change-over, by name; nothing before it.

        Args:
            returns: (seeds,), of the check.
        """
        if self.online is None or self.online.before is None:
            return {}
        return self.online.check(returns)

    def draw(self, updates: int) -> Tensor:
        """Packed batches (updates, seeds, batch, width): rows of the dataset, model transitions,
        and real steps.
        """
        size, share = self.settings.batch, self.settings.real_share
        real, model, online = round(size * share), size - round(size * share), 0
        if self.online is not None and self.current_epoch >= self.offline_epochs:
            real, model, online = self.finetuning.parts(size, share)
        parts = []
        if real and self.data is not None:
            parts.append(self.data[self.row_sampler.draw((updates, self.seeds, real), self.random)])
        if model:
            parts.append(self._drawn(self.replay, updates, model))
        if online and self.online is not None:
            parts.append(self._drawn(self.online.buffer, updates, online))
        return torch.cat(parts, 2)

    def _drawn(self, buffer: RingBuffer, updates: int, count: int) -> Tensor:
        rows = buffer.draw(updates * count, self.random)
        return rows.view(self.seeds, updates, count, -1).transpose(0, 1)

    # --- resuming ---------------------------------------------------------------------------------

    def progress(self) -> dict[str, Any]:
        """The real steps and returns since the change-over."""
        if self.online is None or self.online.before is None:
            return {}
        return {"online": self.online.state()}

    def restore(self, progress: dict[str, Any]) -> None:
        """Take over the real steps of the run that is resumed."""
        if self.online is not None and "online" in progress:
            self.online.restore(progress["online"])

    def made_with(self) -> dict[str, str]:
        """Task, settings, seeds and callbacks; after the change-over its epoch, too."""
        if self.online is None or self.online.before is None:
            return self.offline_origin
        return self.offline_origin | self._online_origin()

    def _online_origin(self) -> dict[str, str]:
        return origin(epochs=self.offline_epochs, finetuning=self.finetuning)

    def require_origin(self, saved: Any, name: object) -> None:
        """Compare a stored origin with that of this training; without `finetune`, the settings of
        a fine-tuning are not compared.

        Raises:
            CheckpointError: they differ; says in what.
        """
        now = self.offline_origin
        if isinstance(saved, dict) and "epochs" in saved:
            now = now | self._online_origin()
            if self.finetune == 0:
                now |= {key: text for key, text in saved.items() if key[:10] == "finetuning"}
        if different := differences(saved, now):
            raise CheckpointError(
                f"{name} comes from {self.MADE_WITH} ({different}): "
                "choose another folder, or begin anew with --fresh (from Python: fresh=True)"
            )

    def require_epochs(self, saved: Any, epochs: int, name: object) -> None:
        """Check that a fine-tuning begins where the offline training in the folder has ended.

        Raises:
            CheckpointError: the offline training is longer.
        """
        is_offline = not (isinstance(saved, dict) and "epochs" in saved)
        if self.finetune and is_offline and epochs > self.offline_epochs:
            raise CheckpointError(
                f"{name} has {epochs} offline epochs, but finetune begins after epochs "
                f"{self.offline_epochs}: set epochs to {epochs}, or begin anew with --fresh"
            )

    def export(self, folder: Path) -> None:
        """Write finetune.csv: returns of each seed before, soon after the change-over, and last."""
        if self.online is None or self.online.before is None or not self.online.after:
            return
        table = pd.DataFrame(table_of(self.online.before, self.online.after))
        replace_file(folder / TABLE, lambda draft: table.to_csv(draft, index=False))
