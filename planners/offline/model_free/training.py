"""Training of the model-free methods: the module that `worldplan.world_models.training.fit` trains
into a folder. A Lightning epoch is a round of updates on rows of the dataset.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, Diverged
from worldplan.planners.base import evaluate
from worldplan.planners.offline.best import BestCheckpoint
from worldplan.planners.offline.model_free.learner import ModelFreeSettings
from worldplan.planners.offline.model_free.policy import ModelFreePolicy, policy_record
from worldplan.planners.offline.model_free.rows import logged_rows, unpack_rows
from worldplan.planners.offline.task import OfflineTask
from worldplan.world_models.training.module import ResumableModule
from worldplan.world_models.training.origin import origin
from worldplan.world_models.training.seeds import check_seed, derived_seed, torch_generator

CHECK_SEED = 700_001  # of the periodic checks; differs from every seed of an evaluation
_CHECK_ROWS = 2000  # of the dataset
_BLOCK = 50  # updates per Lightning step: hides its overhead, and the progress bar still moves


class ModelFreeModule(ResumableModule):
    """Trains `seeds` independent policies side by side on the rows of one dataset.

    All random numbers of epoch `n` come from a generator seeded by (seed, n), so a resumed run ends
    like an unbroken one (on a CPU). A finished training can be prolonged by a larger `epochs`.

    Args:
        task: dataset and environment, of `model_free_task`; a dynamics model is not used.
        settings: of the method, which they choose.
        seed: of all random numbers of the training.
        seeds: trainings side by side.
        epochs: rounds of updates.
        check_every: epochs between two checks.
        check_episodes: episodes per seed of a check.

    Raises:
        ConfigError: settings and task do not fit each other, or a number is too small.
    """

    KEY: ClassVar[str] = "model_free"

    rows: Tensor

    def __init__(
        self,
        task: OfflineTask,
        settings: ModelFreeSettings,
        *,
        seed: int = 0,
        seeds: int = 1,
        epochs: int = 100,
        check_every: int = 10,
        check_episodes: int = 10,
    ) -> None:
        super().__init__()
        check_seed(seed)
        checks.of_type(task, "task", OfflineTask)
        checks.of_type(settings, "settings", ModelFreeSettings)
        if min(seeds, epochs, check_every, check_episodes) < 1:
            raise ConfigError(
                f"seeds {seeds}, epochs {epochs}, check_every {check_every}, check_episodes "
                f"{check_episodes}: give at least 1 of each"
            )
        if task.costs is not None:
            warnings.warn(
                f"the dataset's costs have no effect on {type(settings).__name__}: reach-aware "
                "value learning keeps a budget of them (settings.costs)",
                stacklevel=1,
            )
        self.automatic_optimization = False
        self.task, self.settings = task, settings
        self.seed, self.seeds, self.check_episodes = seed, seeds, check_episodes
        self._epochs, self._check_every = epochs, check_every
        self.prepared = logged_rows(task, settings)
        self.register_buffer("rows", self.prepared.table, persistent=False)
        self.learner = settings.learner(
            task.observation_size,
            len(task.low),
            seeds=seeds,
            generator=torch_generator(seed, 0),
        )
        self._origin = origin(
            task=task.identity, rows=self.prepared.table, settings=settings, seed=seed, seeds=seeds
        )

    @property
    def epochs(self) -> int:
        """Rounds of updates."""
        return self._epochs

    @property
    def check_every(self) -> int:
        """Epochs between two checks."""
        return self._check_every

    # --- learning ---------------------------------------------------------------------------------

    def configure_callbacks(self) -> Sequence[L.Callback]:
        """Keep the best policies beside the last ones."""
        return [*super().configure_callbacks(), BestCheckpoint(self.seeds)]

    def configure_optimizers(self) -> Any:
        return self.learner.optimizers()

    def train_dataloader(self) -> DataLoader[Any]:
        """(first, count) of blocks of updates: batches are drawn on the device."""
        total = self.settings.updates
        blocks = [(done, min(_BLOCK, total - done)) for done in range(0, total, _BLOCK)]
        return DataLoader(blocks, batch_size=None)  # type: ignore[arg-type]  # a sequence serves

    def on_train_epoch_start(self) -> None:
        """Seed the random numbers of the epoch."""
        self.random = torch.Generator(device=self.device)
        self.random.manual_seed(derived_seed(self.seed, self.current_epoch + 1))
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Make a block of updates, on batches drawn before the first; the host never waits for the
        device.
        """
        first, count = (int(number) for number in batch)
        optimizers = self.trainer.optimizers
        before = self.current_epoch * self.settings.updates + first
        rows = self._draw(count)
        for index in range(count):
            logged = unpack_rows(rows[index], self.task.observation_size, len(self.task.low))
            statistics = self.learner.update(logged, optimizers, before + index + 1, self.random)
            for name, value in statistics.items():
                self._sums[name] = self._sums.get(name, 0.0) + value
                self._counts[name] = self._counts.get(name, 0) + 1

    def _draw(self, updates: int) -> Tensor:
        """Batches of random rows, (updates, seeds, batch, width)."""
        index = torch.randint(
            len(self.rows),
            (updates, self.seeds, self.settings.batch),
            generator=self.random,
            device=self.device,
        )
        return self.rows[index]

    def on_train_epoch_end(self) -> None:
        """Log the means of the epoch.

        Raises:
            Diverged: a mean is not finite.
        """
        for name, value in self._sums.items():
            mean = value / self._counts[name]
            if not bool(mean.isfinite().all()):
                broken = int((~mean.isfinite()).nonzero()[0])
                scales = hasattr(self.settings, "return_range")
                remedy = "scale the rewards (return_range) or " if scales else ""
                raise Diverged(
                    f"{name} is not a finite number in epoch {self.current_epoch} "
                    f"(seed {broken} of {self.seeds}): {remedy}lower the learning rates; "
                    f"{self.last_good()}"
                )
            self.log_seeds(f"train/{name}", mean)

    def log_seeds(self, name: str, values: Tensor) -> None:
        """Log `values` (seeds,) as `name`/0, `name`/1 and so on."""
        for index, value in enumerate(values.expand(self.seeds)):
            self.log(f"{name}/{index}", value, batch_size=1)

    # --- checks -----------------------------------------------------------------------------------

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log returns of each seed's policy in the environment, and the mean Q of its actions at
        rows of the dataset.
        """
        environment = self.task.environment(self.check_episodes)
        returns = []
        for index in range(self.seeds):
            played = evaluate(self.policy(index), environment, self.check_episodes, CHECK_SEED)
            returns.append(float(played.episodes["return"].mean()))
        environment.close()
        self.log_seeds("check/return", torch.tensor(returns))
        if self.task.reference is not None:
            low, high = self.task.reference
            self.log_seeds("check/score", 100 * (torch.tensor(returns) - low) / (high - low))
        self.log("check/mean_return", float(np.mean(returns)), prog_bar=True, batch_size=1)
        if (values := self.checked_values()) is not None:
            self.log_seeds("check/q", values)

    @torch.no_grad()
    def checked_values(self) -> Tensor | None:
        """Mean Q of each seed's policy at rows spaced evenly over the dataset, (seeds,), in the
        units of the data's rewards; None for a method without critics.
        """
        if self.learner.critics is None:
            return None
        count = min(_CHECK_ROWS, len(self.rows))
        index = torch.arange(count, device=self.device) * len(self.rows) // count
        size = self.task.observation_size
        observation = self.rows[index, :size].expand(self.seeds, -1, -1)
        action = self.learner.actor(observation)
        values: Tensor = self.learner.critics(observation, action).mean((1, 2))
        return values / self.prepared.reward_factor

    def policy(self, seed_index: int = 0) -> ModelFreePolicy:
        """The present policy of a seed, counted from 0 among the seeds of this module.

        Raises:
            ConfigError: there is no such seed.
            Diverged: a weight is not finite.
        """
        record = self.record()
        if not all(bool(weight.isfinite().all()) for weight in record["actor"].values()):
            raise Diverged(
                f"the weights of the actor are not finite (epoch {self.current_epoch}): lower the "
                f"learning rates; {self.last_good()}"
            )
        return ModelFreePolicy.from_record(record, seed_index)

    def record(self) -> dict[str, Any]:
        """The present policies of all seeds, see `ModelFreePolicy.from_record`."""
        discount = getattr(self.settings, "discount", None)  # cloning has none
        return policy_record(self.learner, self.task, self.prepared, self.seeds, discount)

    def made_with(self) -> dict[str, str]:
        """Task, rows, settings and seeds; not the length, so that it can be prolonged."""
        return self._origin
