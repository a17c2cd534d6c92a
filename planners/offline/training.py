"""Training of reach-aware value learning: the module that `worldplan.world_models.training.fit`
trains into a folder. A Lightning epoch is a round of model rollouts, and the updates after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from worldplan.milp.errors import ConfigError, Diverged
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.best import BestCheckpoint, budget_of
from worldplan.planners.offline.ceiling import ValueCeiling
from worldplan.planners.offline.diagnostics import value_statistics
from worldplan.planners.offline.mobile import MobilePenalty
from worldplan.planners.offline.options.chosen import options_for
from worldplan.planners.offline.options.finetuned import CHECK_SEED, FinetunedModule
from worldplan.planners.offline.options.finetuning import Finetuning
from worldplan.planners.offline.options.guardian import guarded, outside
from worldplan.planners.offline.options.task_costs import costs_for
from worldplan.planners.offline.policy import ReachAwarePolicy, policy_record
from worldplan.planners.offline.replay import Batch, RingBuffer, unpack
from worldplan.planners.offline.rollouts import cut_threshold, roll_out
from worldplan.planners.offline.sampling import samplers
from worldplan.planners.offline.settings import ADDED, ReachAwareSettings
from worldplan.planners.offline.task import OfflineTask, dataset_task
from worldplan.planners.offline.task_check import check_task
from worldplan.world_models.training.origin import origin
from worldplan.world_models.training.seeds import check_seed, derived_seed, torch_generator

_CHECK_ROWS = 2000  # model transitions of each seed
_BLOCK = 50  # updates per Lightning step: hides its overhead, and the progress bar still moves


class ReachAwareModule(FinetunedModule):
    """Trains `seeds` independent policies side by side on one task.

    All random numbers of epoch `n` come from a generator seeded by (seed, n), and the model
    transitions travel in the checkpoint, so a resumed run ends like an unbroken one (on a CPU).
    A finished training can be prolonged by a larger `epochs`.

    Args:
        task: data, dynamics and environment.
        settings: of the method.
        seed: of all random numbers of the training.
        seeds: trainings side by side; they share the dynamics model and the dataset.
        epochs: rounds of rollouts and updates.
        check_every: epochs between two checks.
        check_episodes: episodes per seed of a check.
        callbacks: attached to whatever trainer trains the module, such as
            `worldplan.planners.offline.edge_of_reach.EdgeOfReach`; their `state_key` is part of
            `made_with`.
        finetune: further epochs, after these, that also act in the environment.
        finetuning: how; None takes the defaults.

    Raises:
        ConfigError: settings and task do not fit each other, or a number is too small.
    """

    KEY: ClassVar[str] = "reach_aware"

    starts: Tensor
    states: Tensor | None

    def __init__(
        self,
        task: OfflineTask,
        settings: ReachAwareSettings | None = None,
        *,
        seed: int = 0,
        seeds: int = 1,
        epochs: int = 100,
        check_every: int = 10,
        check_episodes: int = 10,
        callbacks: Sequence[L.Callback] = (),
        finetune: int = 0,
        finetuning: Finetuning | None = None,
    ) -> None:
        super().__init__()
        check_seed(seed)
        self.automatic_optimization = False
        self.task, self.settings = task, settings or ReachAwareSettings()
        self.seed, self.seeds, self.check_episodes = seed, seeds, check_episodes
        self._check_every = check_every
        check_task(task, self.settings)
        if seed < 0 or min(seeds, epochs, check_every, check_episodes) < 1:
            raise ConfigError(
                f"seed {seed}, seeds {seeds}, epochs {epochs}, check_every {check_every}, "
                f"check_episodes {check_episodes}: give a seed of at least 0, and 1 elsewhere"
            )
        self.callbacks = list(callbacks)
        self.offline_origin = origin(
            task=task.identity,
            starts=task.starts,
            settings=self.settings,
            seed=seed,
            seeds=seeds,
            callbacks=[callback.state_key for callback in self.callbacks],
        )
        for name, as_before in ADDED.items():
            if self.offline_origin[f"settings.{name}"] == repr(as_before):
                del self.offline_origin[f"settings.{name}"]
        self.dynamics = guarded(task, self.settings)
        self.costs = costs_for(task, self.settings, self.dynamics)
        self.agent = ReachAware(
            task.observation_size,
            task.low,
            task.high,
            self.settings,
            seeds=seeds,
            generator=torch_generator(seed, 0),
            options=options_for(task, self.settings, self.costs, seed, seeds),
        )
        rows = None if task.rows is None else unpack(task.rows, task.observation_size)
        self.agent.fit_observations(task.starts if rows is None else rows.observation)
        if rows is not None:
            self.agent.fit_rewards(rows.reward)
        width = 2 * task.observation_size + len(task.low) + 3 + (self.costs is not None)
        self.replay = RingBuffer(
            seeds, self.settings.starts * self.settings.horizon * self.settings.retain, width
        )
        self.row_sampler, self.start_sampler = samplers(task, self.settings)
        self.ceiling = ValueCeiling(self.settings, seeds)
        if rows is not None:
            self.ceiling.see(rows.reward, rows.terminated)
        data = task.rows if self.costs is None else self.costs.data
        self.register_buffer("data", data, persistent=False)
        self.register_buffer("starts", task.starts, persistent=False)
        self.register_buffer("states", task.states, persistent=False)
        self.prepare_finetuning(epochs, finetune, finetuning, width)

    @property
    def check_every(self) -> int:
        """Epochs between two checks."""
        return self._check_every

    # --- learning ---------------------------------------------------------------------------------

    def configure_callbacks(self) -> Sequence[L.Callback]:
        best = BestCheckpoint(self.seeds, budget_of(self.settings.costs))
        return [*super().configure_callbacks(), *self.callbacks, best]

    def configure_optimizers(self) -> Any:
        return self.agent.optimizers()

    def train_dataloader(self) -> DataLoader[Any]:
        """Numbers of updates, one per Lightning step: batches are drawn on the device."""
        total = self.settings.updates
        blocks = [min(_BLOCK, total - done) for done in range(0, total, _BLOCK)]
        return DataLoader(blocks, batch_size=None)  # type: ignore[arg-type]  # a sequence serves

    def on_fit_start(self) -> None:
        """Move the dynamics model to the device, and set MOBILE's penalty up."""
        self.random = torch.Generator(device=self.device)
        self.dynamics.to(self.device)
        if self.costs is not None:
            self.costs.to(self.device)
        # a simulator, which has a state, has no members: its penalty would be zero
        if self.settings.mobile > 0 and self.task.dynamics.state_size == 0:
            self.agent.penalty = MobilePenalty(self.agent, self.task.dynamics, self.random)
        self.agent.draw_from(self.random)
        self.threshold = None
        if self.data is not None:
            batch = self._unpack(self.data)
            self.threshold = cut_threshold(
                self.settings.pessimism,
                self.task.dynamics,
                batch.observation,
                batch.action,
                self.states,
                self.random.manual_seed(derived_seed(self.seed, 0)),
            )

    def on_train_epoch_start(self) -> None:
        """Roll the policy out from states of the dataset.

        Raises:
            Diverged: no transition of a policy is finite.
        """
        self.random.manual_seed(derived_seed(self.seed, self.current_epoch + 1))
        if (real := self.collect()) is not None:
            self._see(*real)
        chosen = self.start_sampler.draw((self.seeds, self.settings.starts), self.random)
        state = None if self.states is None else self.states[chosen]
        rows, keep = roll_out(
            self.dynamics,
            self.agent.actor,
            self.starts[chosen],
            state,
            self.settings.horizon,
            self.settings.pessimism,
            self.random,
            threshold=self.threshold,
        )
        if self.costs is not None:
            rows = self.costs.add(rows)
        self.replay.add(rows, keep)
        if not bool(keep.any(1).all()):
            raise Diverged(
                f"the dynamics model gave no finite transition in epoch {self.current_epoch}: "
                f"train it longer or on more data; {self.last_good()}"
            )
        reward = self._see(rows, keep)
        if self.data is None and self.current_epoch == 0:
            self.agent.fit_rewards(reward)
        self._sums: dict[str, Tensor] = {}
        self.log_dict(
            {"rollouts/kept": keep.float().mean(), "rollouts/reward": reward.nanmean()},
            batch_size=1,
            on_step=False,
            on_epoch=True,
        )

    def _see(self, rows: Tensor, keep: Tensor) -> Tensor:
        """The rewards of the kept rows (seeds, n), which the ceiling sees; NaN elsewhere, and where
        a guardian's reward stands for those of all later steps.
        """
        made = self._unpack(rows)
        reward = torch.where(keep & ~outside(self.dynamics, made), made.reward, torch.nan)
        self.ceiling.see(reward, made.terminated)
        return reward

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Make a block of updates, on batches drawn before the first; the host does not wait."""
        updates = int(batch)
        optimizers = cast(list[torch.optim.Optimizer], self.optimizers(use_pl_optimizer=False))
        rows = self.draw(updates)
        for index in range(updates):
            statistics = self.agent.update(self._unpack(rows[index]), optimizers, self.random)
            for name, value in statistics.items():
                self._sums[name] = self._sums[name] + value if name in self._sums else value

    def _unpack(self, rows: Tensor) -> Batch:
        return unpack(rows, self.task.observation_size, costs=self.costs is not None)

    def on_train_epoch_end(self) -> None:
        """Log the means of the epoch.

        Raises:
            Diverged: a mean is not finite.
        """
        means = {name: value / self.settings.updates for name, value in self._sums.items()}
        for name, mean in means.items():
            if not bool(mean.isfinite().all()):
                broken = int((~mean.isfinite()).nonzero()[0])
                raise Diverged(
                    f"{name} is not a finite number in epoch {self.current_epoch} "
                    f"(seed {broken} of {self.seeds}): lower the learning rates or raise the "
                    f"pessimism; {self.last_good()}"
                )
            self.log_seeds(f"train/{name}", mean)
        bound = self.ceiling.bound(means["entropy_bonus"])
        self.log_seeds("train/q_ceiling", bound)
        self.ceiling.compare(means["q"], bound, self.current_epoch)

    def log_seeds(self, name: str, values: Tensor) -> None:
        """Log `values` (seeds,) as `name`/0, `name`/1 and so on."""
        for index, value in enumerate(values.expand(self.seeds)):
            self.log(f"{name}/{index}", value, batch_size=1)

    # --- checks -----------------------------------------------------------------------------------

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log returns of each seed's policy in the environment, and value statistics on model
        transitions.
        """
        played = self.play()
        returns = played["return"]
        for name, values in self.compare(returns).items():
            self.log_seeds(f"finetune/{name}", values)
        if self.task.reference is not None:
            low, high = self.task.reference
            played["score"] = 100 * (returns - low) / (high - low)
        for name, values in played.items():
            self.log_seeds(f"check/{name}", values)
        self.log("check/mean_return", float(returns.mean()), prog_bar=True, batch_size=1)
        for name, value in value_statistics(self.agent, self.check_rows()).items():
            self.log_seeds(f"check/{name}", value)

    def check_rows(self) -> Batch:
        """Random model transitions for the statistics of a check; always the same ones until the
        buffer changes.
        """
        generator = torch.Generator(device=self.device).manual_seed(CHECK_SEED)
        return self._unpack(self.replay.draw(_CHECK_ROWS, generator))

    def policy(self, seed_index: int = 0) -> ReachAwarePolicy:
        """The present policy of a seed, counted from 0 among the seeds of this module.

        Raises:
            ConfigError: there is no such seed.
            Diverged: a weight is not finite.
        """
        record = self.record()
        for part in ("actor", "critic"):
            if not all(bool(weight.isfinite().all()) for weight in record[part].values()):
                raise Diverged(
                    f"the weights of the {part} are not finite (epoch {self.current_epoch}): "
                    f"lower the learning rates or raise the pessimism; {self.last_good()}"
                )
        return ReachAwarePolicy.from_record(record, seed_index)

    def record(self) -> dict[str, Any]:
        """The present policies of all seeds, see `ReachAwarePolicy.from_record`."""
        return policy_record(self.agent, self.task)

    def progress(self) -> dict[str, Any]:
        """The greatest rewards so far, and the real steps of a fine-tuning."""
        return {**super().progress(), "ceiling": self.ceiling.state()}

    def restore(self, progress: dict[str, Any]) -> None:
        """Take over the `progress` of the run that is resumed; a run of before has none."""
        super().restore(progress)
        if "ceiling" in progress:
            self.ceiling.restore(progress["ceiling"])


def for_dataset(
    dataset: str,
    environment: str | dict[str, Any] | None = None,
    ensemble: str | None = None,
    true_share: float = 0.0,
    termination: str | None = None,
    threads: int | None = None,
    dynamics: str | None = None,
    dynamics_options: dict[str, Any] | None = None,
    cost: str | None = None,
    simulator: dict[str, Any] | None = None,
    settings: ReachAwareSettings | None = None,
    seed: int = 0,
    seeds: int = 1,
    epochs: int = 100,
    check_every: int = 10,
    check_episodes: int = 10,
    finetune: int = 0,
    finetuning: Finetuning | None = None,
) -> ReachAwareModule:
    """A training on a dataset, as `class_path` in a YAML file (`worldplan fit`).

    Args:
        dataset: a Minari id, a .hdf5 or .npz file.
        environment: of the evaluation: a gymnasium id, or a mapping with id, kwargs,
            max_episode_steps and wrappers; None takes the dataset's own. Another one than that
            needs `differs_from_data: true` in the mapping.
        ensemble: checkpoint of a trained ensemble; needed unless `true_share` is 1 or `dynamics` is
            given.
        true_share: 0 rolls out in the learned ensemble, 1 in the true simulator (MuJoCo tasks),
            between mixes their predictions.
        termination: name of a termination function, "module:function", or "learned"; None chooses
            by the environment's name.
        threads: of the true simulator; None takes all cores.
        dynamics: a dynamics model of your own instead of all these: a name registered in
            `worldplan.envs.dynamics.DYNAMICS`, or "module:attribute".
        dynamics_options: keyword arguments of that model.
        cost: "module:function" of (observation, action, next_observation), with `settings.costs`;
            None: that of the dataset, from which a model is learned for rollouts.
        simulator: {id, kwargs} of an imperfect one; see `dataset_task`.
        settings: of the method.
        seed: of all random numbers of the training.
        seeds: trainings side by side.
        epochs: rounds of rollouts and updates.
        check_every: epochs between two checks.
        check_episodes: episodes per seed of a check.
        finetune: further epochs, after these, that also act in the environment.
        finetuning: how; None takes the defaults.

    Raises:
        CheckpointError: the ensemble's checkpoint is missing, damaged, or of another task.
        ConfigError: dataset, environment, dynamics and settings do not fit each other.
        DatasetError: the dataset is missing or damaged, or comes from other physics than the
            simulator's.
    """
    task = dataset_task(
        dataset,
        environment=environment,
        ensemble=ensemble,
        true_share=true_share,
        termination=termination,
        threads=threads,
        dynamics=dynamics,
        dynamics_options=dynamics_options,
        cost=cost,
        simulator=simulator,
    )
    return ReachAwareModule(
        task,
        settings,
        seed=seed,
        seeds=seeds,
        epochs=epochs,
        check_every=check_every,
        check_episodes=check_episodes,
        finetune=finetune,
        finetuning=finetuning,
    )
