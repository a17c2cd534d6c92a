"""The LightningModule that trains MoDem-V2: an epoch of cloning, an epoch of seeding, then epochs
that each play one episode per environment and learn from all episodes so far.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader

from worldplan.milp.errors import ConfigError, Diverged
from worldplan.planners.base import Planner
from worldplan.planners.episodes import figures_of, play
from worldplan.planners.modem.agent import Modem
from worldplan.planners.modem.experience import Experience
from worldplan.planners.modem.handover import Handover
from worldplan.planners.modem.planner import ModemPlanner, UniformPlanner
from worldplan.planners.modem.policy import policy_record
from worldplan.planners.modem.settings import ModemSettings
from worldplan.planners.modem.task import ModemTask, modem_task, spaces_of
from worldplan.world_models.data.episodes import (
    load_episode,
    save_episode,
)
from worldplan.world_models.training.module import ResumableModule
from worldplan.world_models.training.origin import origin
from worldplan.world_models.training.seeds import check_seed, derived_seed, torch_generator

_CHECK_SEED = 700_001  # of the checks; differs from every seed of training and evaluation
_PARTS = 20  # Lightning steps per epoch, each a block of updates: overhead vanishes, the bar moves
CLONING, SEEDING = 0, 1  # the first two epochs


class ModemModule(ResumableModule):
    """Trains one agent on one task.

    Epoch 0 clones the demonstrations. Epoch 1 collects the seeding episodes and trains the world
    model on them. Every later epoch plays one episode in each environment and learns from all so
    far. The training ends after `settings.steps` environment steps. All random numbers of
    an epoch come from a generator seeded by (seed, epoch), and episodes are kept as files beside
    the checkpoint: a resumed run ends like an unbroken one (on a CPU).

    Args:
        task: environment and demonstrations.
        settings: every number of the method; None: the defaults.
        seed: of all random numbers.
        check_every: epochs between two checks; there is always one after cloning and at the end.
        check_episodes: episodes of a check, for the planner alone and for the behaviour policy
            each.

    Raises:
        ConfigError: task and settings do not fit each other, or a number is too small.
    """

    KEY: ClassVar[str] = "modem"

    def __init__(
        self,
        task: ModemTask,
        settings: ModemSettings | None = None,
        *,
        seed: int = 0,
        check_every: int = 5,
        check_episodes: int = 25,
    ) -> None:
        super().__init__()
        check_seed(seed)
        self.automatic_optimization = False
        self.task, self.settings, self.seed = task, settings or ModemSettings(), seed
        self._check_every, self.check_episodes = check_every, check_episodes
        if seed < 0 or check_every < 1 or check_episodes < 1:
            raise ConfigError(
                f"seed {seed}, check_every {check_every}, check_episodes {check_episodes}: give a "
                "seed of at least 0, at least 1 epoch and at least 1 episode"
            )
        if self.settings.clone_updates and not task.demonstrations:
            raise ConfigError(
                "clone_updates is above 0, but there are no demonstrations: "
                "name a dataset, or set clone_updates to 0"
            )
        self.observation_space, self.action_size = spaces_of(task)
        self.agent = Modem(
            self.observation_space,
            self.action_size,
            self.settings,
            generator=torch_generator(seed, 0),
        )
        self.played: list[int] = []  # lengths of the episodes in the replay
        self.counts = dict.fromkeys(("step", "violations", "saturations", "episodes"), 0.0)
        self.handover = Handover(self.settings.handover, has_clone=self.settings.clone_updates > 0)
        self._restored: dict[str, Any] | None = None

    # --- set-up -----------------------------------------------------------------------------------

    @property
    def check_every(self) -> int:
        """Epochs between two checks."""
        return self._check_every

    def configure_optimizers(self) -> Any:
        """The three optimizers of the agent."""
        return self.agent.optimizers()

    def train_dataloader(self) -> DataLoader[Any]:
        """Numbers of the parts of an epoch: Lightning must know their count beforehand, and the
        number of updates differs between epochs.
        """
        return DataLoader(range(_PARTS), batch_size=None)  # type: ignore[arg-type]

    def on_fit_start(self) -> None:
        """Fill the replays: with the demonstrations, and with the episodes of a resumed run."""
        self.random = torch.Generator(device=self.device)
        self.experience = Experience(
            self.task, self.settings, self.observation_space, self.action_size, self.device
        )
        self.environments = self.task.make(self.settings.environments)
        if self._restored is not None:
            if self.played:  # before the seeding nothing is encoded yet
                self._require_episodes()
                self.experience.encode_with(self.agent, self.seed)
            for index in range(len(self.played)):
                self.experience.add(load_episode(self._episode_file(index)))
            self.experience.load_state_dict(self._restored)
            self._restored = None

    def on_train_start(self) -> None:
        """Stop at once if a finished training is resumed."""
        if self.current_epoch > CLONING and self._finished:
            steps = f"{self.step} of {self.settings.steps} environment steps"
            rank_zero_info(f"this training has finished: {steps}")
            self.trainer.should_stop = True

    def on_fit_end(self) -> None:
        """Close the environments."""
        self.environments.close()

    # --- an epoch ---------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Environment steps so far."""
        return int(self.counts["step"])

    @property
    def share(self) -> float | None:
        """The planner's share of the acting; None where the critics' disagreement decides."""
        return self.handover.share(self.step)

    @property
    def horizon(self) -> int:
        """Steps planned ahead."""
        planning = self.settings.planning
        longest, growth = planning.search.horizon, planning.horizon_growth
        return longest if not growth else min(1 + (longest - 1) * self.step // growth, longest)

    def on_train_epoch_start(self) -> None:
        """Play the episodes of this epoch and set the number of its updates."""
        self.random.manual_seed(derived_seed(self.seed, self.current_epoch + 1))
        self._sums: dict[str, Tensor] = {}
        settings = self.settings
        if self.current_epoch == CLONING:
            self.updates = settings.clone_updates
            return
        if self.current_epoch == SEEDING:
            if settings.clone_updates:
                self.agent.start_from_clone()
            self.experience.encode_with(self.agent, self.seed)
            while self.step < settings.seed_steps:
                self._collect(self._seeding_planner())
            self.updates = settings.seed_updates
            return
        before = self.step
        self._collect(
            ModemPlanner(self.agent, share=self.share, explore=True, horizon=self.horizon)
        )
        self.updates = round((self.step - before) * settings.updates_per_step)

    def _seeding_planner(self) -> Any:
        if self.settings.clone_updates:
            return ModemPlanner(self.agent, share=0.0, explore=True)
        return UniformPlanner(self.action_size)

    def _collect(self, planner: Planner) -> None:
        """Play one episode in every environment, add it to the replay and write its file."""
        played = play(
            planner,
            self.environments,
            derived_seed(self.seed, 1, int(self.counts["episodes"])) % 2**31,
        )
        for record in played:
            self.experience.add(record.episode)
            if self.journal is not None:
                save_episode(record.episode, self._episode_file(len(self.played)))
            self.played.append(len(record.episode))
            self.counts["step"] += len(record.episode)
            self.counts["violations"] += record.violations
            self.counts["saturations"] += record.saturations
            self.counts["episodes"] += 1
        self._log({f"train/{name}": value for name, value in figures_of(played).items()})

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Make the updates of part number `batch` of this epoch."""
        optimizers = cast(list[torch.optim.Optimizer], self.optimizers(use_pl_optimizer=False))
        part = int(batch)
        for update in range(self.updates * part // _PARTS, self.updates * (part + 1) // _PARTS):
            self._set_rates(optimizers, update)
            for name, value in self._update(optimizers).items():
                self._sums[name] = self._sums[name] + value if name in self._sums else value

        if part == _PARTS - 1:
            self._require_finite()
            if self._finished:  # Lightning still runs this epoch's check and end
                self.trainer.should_stop = True
            checked = self.current_epoch == CLONING or self._finished
            self.trainer.check_val_every_n_epoch = 1 if checked else self.check_every

    @property
    def _finished(self) -> bool:
        return self.step >= self.settings.steps

    def _require_finite(self) -> None:
        """Check losses and weights before a check, an episode or a checkpoint uses them.

        Raises:
            Diverged: a number is not finite.
        """
        broken = [name for name, value in self._sums.items() if not bool(value.isfinite())]
        broken += [
            name
            for name, value in self.agent.named_parameters()
            if not bool(value.isfinite().all())
        ]
        if broken:
            where = f"{broken[0]} is not a finite number in epoch {self.current_epoch}"
            raise Diverged(f"{where}: lower learning_rate or clone_rate; {self.last_good()}")

    def _set_rates(self, optimizers: list[torch.optim.Optimizer], update: int) -> None:
        seed_steps, steps = self.settings.seed_steps, self.settings.steps
        cloned = update / self.updates if self.current_epoch == CLONING else 0.0
        learned = min(max(self.step - seed_steps, 0) / max(steps - seed_steps, 1), 1.0)
        self.agent.set_rates(optimizers, cloned, learned)

    def _update(self, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
        if self.current_epoch == CLONING:
            observation, action = self.experience.steps_to_clone(self.random)
            loss = self.agent.clone_update(observation, action, optimizers[0], self.random)
            return {"clone": loss}
        share = self.settings.demonstration_share(self.step) if self.task.demonstrations else 0.0
        segment, count = self.experience.segments(share, self.random)
        imitation = self.settings.imitation
        figures, priority = self.agent.update(
            segment,
            optimizers,
            self.random,
            demonstrated=self.experience.steps_to_imitate(self.random) if imitation else None,
            pretraining=self.current_epoch == SEEDING and self.settings.clone_updates > 0,
        )
        self.experience.prioritise(segment, count, priority)
        return figures

    def on_train_epoch_end(self) -> None:
        """Log the mean losses of this epoch and the counts so far."""
        for name, value in self._sums.items():
            self._log({f"train/{name}": value / self.updates})
        self._log({name: self.counts[name] for name in ("step", "violations", "saturations")})

    def _log(self, figures: dict[str, Any]) -> None:
        for name, value in figures.items():
            number = torch.as_tensor(value, dtype=torch.float32)
            self.log(name, number, batch_size=1, prog_bar=name == "step")

    # --- checks -----------------------------------------------------------------------------------

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Play new episodes: with the clone alone after cloning, later with the planner alone and
        with the behaviour policy.
        """
        policies = {}
        if self.step == 0:  # cloning; not by the epoch, which `trainer.validate` does not restore
            if self.settings.clone_updates:
                policies = {"clone": ModemPlanner(self.agent, share=0.0)}
        else:
            policies = {
                "planner": ModemPlanner(self.agent, share=1.0, horizon=self.horizon),
                "behaviour": ModemPlanner(self.agent, share=self.share, horizon=self.horizon),
            }
        for name, policy in policies.items():
            environments = self.task.make(self.check_episodes)
            figures = figures_of(play(policy, environments, _CHECK_SEED))
            environments.close()
            self._log({f"check/{name}_{key}": value for key, value in figures.items()})
            if name == "clone":
                self.handover.record_clone(figures["success"])
            if name == "planner":
                self.handover.record_planner(figures["success"])

    # --- saving -----------------------------------------------------------------------------------

    def _require_episodes(self) -> None:
        """Check that a resumed training can read its episodes.

        Raises:
            ConfigError: nothing kept them, or they are in another folder.
        """
        if self.journal is None:
            raise ConfigError(
                "this training cannot be resumed: nothing kept its episodes; train with the "
                "callback worldplan.world_models.training.journal.Journal"
            )
        beside = Path(str(self.trainer.ckpt_path)).resolve().parent
        if beside != self.journal.folder.resolve():
            raise ConfigError(
                f"the checkpoint's episodes are in {beside}, not in {self.journal.folder}: "
                f"set trainer.default_root_dir to {beside}"
            )

    def _episode_file(self, index: int) -> Path:
        assert self.journal is not None
        return self.journal.folder / "episodes" / f"{index:06d}.npz"

    def record(self) -> dict[str, Any]:
        """The agent and its task."""
        return policy_record(self.agent, self.observation_space, self.task.about)

    def made_with(self) -> dict[str, str]:
        """Task, demonstrations, settings and seed."""
        return origin(
            task=self.task.about,
            demonstrations=[episode.action for episode in self.task.demonstrations],
            settings=self.settings,
            seed=self.seed,
            check_every=self.check_every,
            check_episodes=self.check_episodes,
        )

    def progress(self) -> dict[str, Any]:
        """Counts, checks and replays; the episodes themselves are files beside the checkpoint."""
        return {
            "played": list(self.played),
            "counts": dict(self.counts),
            **self.handover.state_dict(),
            "updates": self.agent.updates,
            **self.experience.state_dict(),
        }

    def restore(self, progress: dict[str, Any]) -> None:
        """Take over counts and checks now; `on_fit_start` fills the replays."""
        self.played, self.counts = list(progress["played"]), dict(progress["counts"])
        self.handover.load_state_dict(progress)
        self.agent.updates = progress["updates"]
        self._restored = progress


def for_task(
    environment: str,
    options: dict[str, Any] | None = None,
    dataset: str | None = None,
    episodes: int | None = None,
    success_reward: bool = False,
    settings: ModemSettings | None = None,
    seed: int = 0,
    check_every: int = 5,
    check_episodes: int = 25,
) -> ModemModule:
    """A `ModemModule` from plain values, for `worldplan fit`.

    Args:
        environment: gymnasium id, "module:Id-v0" to import the module first.
        options: keyword arguments of the environment.
        dataset: Minari id of the demonstrations; None: no demonstrations.
        episodes: number of demonstrations, from the first on; None: all.
        success_reward: use the success of each step as its reward, for an environment that rewards
            success alone while the dataset has other rewards.
        settings: every number of the method; None: the defaults.
        seed: of all random numbers.
        check_every: epochs between two checks; there is always one after cloning and at the end.
        check_episodes: episodes of a check, for the planner alone and for the behaviour policy
            each.

    Raises:
        ConfigError: no such environment, or task and settings that do not fit each other.
        DatasetError: no such dataset, or one that does not fit the environment.
    """
    return ModemModule(
        modem_task(environment, options, dataset, episodes, success_reward),
        settings,
        seed=seed,
        check_every=check_every,
        check_episodes=check_episodes,
    )
