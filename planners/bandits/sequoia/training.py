"""The LightningModule that trains SEQUOIA's Q-network: fluid (or myopic) regression, then
Q-learning in simulation.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.errors import CheckpointError, ConfigError, SolverFailed
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.sequoia.action_pool import ActionPool, RememberedArgmax, corners
from worldplan.planners.bandits.sequoia.checks import CheckedModule
from worldplan.planners.bandits.sequoia.network import QNetwork, StateQNetwork
from worldplan.planners.bandits.sequoia.planner import build_network, save_network
from worldplan.planners.bandits.sequoia.settings import (
    SequoiaSettings,
    learning_rate,
    refuse_unsuited,
)
from worldplan.planners.bandits.sequoia.simulation import Simulation, draw_states
from worldplan.planners.bandits.sequoia.starts import (
    Start,
    as_start,
    as_tensors,
    best_start,
    fluid_start,
    starts,
)
from worldplan.planners.bandits.sequoia.targets import (
    FluidTargets,
    GroupTargets,
    SeparableTargets,
    expected_reward,
)
from worldplan.planners.bandits.units import Units
from worldplan.world_models.arms.programme import Programme, build
from worldplan.world_models.training.checkpoints import save_tensors
from worldplan.world_models.training.origin import origin
from worldplan.world_models.training.seeds import check_seed

Targets = Callable[[Tensor, Tensor, Tensor], Tensor]  # of states, steps to go and actions


class SequoiaModule(CheckedModule):
    """Learns Q(s, a) for one instance; the result is the network with the best check.

    An epoch is `settings.check_every` gradient steps and a check. All random numbers of gradient
    step `n` come from generators seeded by (seed, n), and the replay travels in the checkpoint, so
    a resumed run ends like an unbroken one.

    Args:
        instance: arms, feasible actions and horizon.
        settings: of the learning.
        seed: of weights, targets, states and exploration.
        solver: of the exact decisions in checks and in targets.

    Raises:
        ConfigError: the seed is no whole number of at least 0, the network is of another kind, or
            it cannot learn the programme's returns (`settings.refuse_unsuited`).
    """

    KEY: ClassVar[str] = "sequoia"
    RESULT: ClassVar[str] = "best.ckpt"
    MADE_WITH: ClassVar[str] = "another instance, other settings or another seed"
    NETWORKS: ClassVar[tuple[str, ...]] = ("state", "plain")

    def __init__(
        self,
        instance: BanditInstance,
        settings: SequoiaSettings | None = None,
        seed: int = 0,
        solver: SolverSettings | None = None,
    ) -> None:
        super().__init__()
        check_seed(seed)
        self.settings, self.seed = settings or SequoiaSettings(), seed
        kind = self.settings.network
        refuse_unsuited(instance, kind)
        if kind not in self.NETWORKS:
            raise ConfigError(
                f"sequoia.network is '{kind}': {type(self).__name__} trains "
                f"{' or '.join(self.NETWORKS)}: make the module with module_for"
            )
        # the learning's rates and losses are made for rewards of ordinary size
        self._units = Units.of([instance.dynamics], instance.discount, instance.late)
        self.instance = self._units.instance(instance)
        self.solver = solver or SolverSettings(gap=1e-3, time_limit=30.0)
        self._origin = origin(
            instance=instance, settings=self.settings, solver=self.solver, seed=seed
        )
        self.network: QNetwork = build_network(self.instance, self.settings, seed)
        self.network.unit = self._units.unit
        self.network.constant = float(self._units.low.sum())
        if instance.discount < 1 or instance.ends is not None:
            totals = [self._units.total(0.0, left) for left in range(instance.horizon + 1)]
            self.network.constants = np.array(totals)
        self.target: QNetwork = copy.deepcopy(self.network).requires_grad_(False)
        self._start: Start | None = None
        self._targets: Targets | None = None
        self._remembered = RememberedArgmax(self.instance, self.settings, self.solver)
        self._simulation = Simulation(self.instance, self.settings)

    @property
    def total(self) -> int:
        """Gradient steps of the whole training."""
        return self.settings.pretrain_steps + self.settings.updates

    @property
    def steps(self) -> int:
        """Gradient steps of an epoch; the last one may be shorter."""
        return min(self.settings.check_every, self.total)

    @property
    def epochs(self) -> int:
        """Epochs of the training."""
        return -(-self.total // self.steps)

    # --- set-up -----------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Solve the fluid programs, find the start, and draw the action pool.

        A run that resumes repeats all of it but the start, which its checkpoint has.
        """
        super().setup(stage)
        rng = np.random.default_rng([self.seed, 1])
        if self.settings.pretrain in ("fluid", "best") and self._fluid is None:
            self._targets = self._fluid = FluidTargets(self.instance, self.settings.solves, rng)
            if self.trainer.ckpt_path is None and isinstance(self.network, StateQNetwork):
                self._begin(self.network, fluid_start(self.instance, self._fluid))
        weights = None if self._fluid is None else self._fluid.pull_weights(rng)
        self.pool = ActionPool(self.instance.actions, self.settings.pool, rng, weights)

    def _begin(self, network: StateQNetwork, fluid: Start) -> None:
        """Load the start into the networks; with "best", the first one to beat in checks."""
        if self.settings.pretrain == "best":
            candidates = list(starts(self.instance, fluid, self.solver))
            episodes = self.settings.check_episodes
            fluid = best_start(
                self.instance, candidates, network, self._control(), episodes, self.solver
            )
        network.start_from(fluid.base, fluid.gain, fluid.levels)
        self.target.load_state_dict(network.state_dict())
        self._aim_at(fluid)
        if self.settings.pretrain == "best":
            self._keep(self._check())

    def _aim_at(self, start: Start) -> None:
        """Choose the targets of the first phase, which must not lead away from the start."""
        self._start = start
        if start.name == "myopic":
            self._targets = None  # the one-step reward
        elif start.groups:
            effect = self.instance.dynamics.effect
            assert effect is not None
            self._targets = GroupTargets(start.groups, effect)
        elif start.name != "fluid":
            self._targets = SeparableTargets(start.base, start.gain)

    def configure_optimizers(self) -> Any:
        s = self.settings
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=1.0, amsgrad=True, weight_decay=1e-4
        )

        def rate(step: int) -> float:
            return learning_rate(s, self.instance.horizon, step)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """Clip the norm of all gradients to 5."""
        self.clip_gradients(optimizer, gradient_clip_val=5.0, gradient_clip_algorithm="norm")

    def on_fit_start(self) -> None:
        """Use one thread: for networks of this size more are slower."""
        torch.set_num_threads(1)

    def train_dataloader(self) -> DataLoader[Any]:
        """Counts the gradient steps of an epoch: the data of this training are made, not read."""
        return DataLoader(range(self.steps), batch_size=None)  # type: ignore[arg-type]

    # --- learning ---------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """The loss of one gradient step, a scalar; None where the last epoch is shorter.

        Raises:
            SolverFailed: the loss is not finite.
        """
        step = self.global_step
        if step >= self.total:
            return None
        rng = np.random.default_rng([self.seed, 2, step])
        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**31)))
            if step < self.settings.pretrain_steps:
                loss = self._regression_loss(rng)
            else:
                loss = self._learning_loss(step - self.settings.pretrain_steps, rng)
        if not torch.isfinite(loss):
            raise SolverFailed(
                f"the loss is not finite at step {step}: lower sequoia.learning_rate; "
                f"{self.last_good()}"
            )
        self.log("train/loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def on_train_epoch_end(self) -> None:
        """Check that every batch was a gradient step, as the number of epochs takes for granted.

        Raises:
            ConfigError: a trainer or callback of the user's own accumulates gradients.
        """
        due = min((self.current_epoch + 1) * self.steps, self.total)
        batches = self.trainer.fit_loop.epoch_loop.batch_progress.current.completed
        if batches == self.steps and self.global_step < due:
            raise ConfigError(
                f"{self.global_step} gradient steps after epoch {self.current_epoch}, not {due}: "
                "leave out what changes the steps of the trainer (accumulate_grad_batches, "
                "callbacks)"
            )

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        regression = self.global_step < self.settings.pretrain_steps  # not counting this step yet
        rate = 1.0 if regression else self.settings.target_rate
        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.network.parameters(), strict=True):
                slow.lerp_(fast, rate)

    def _regression_loss(self, rng: np.random.Generator) -> Tensor:
        state, left = draw_states(self.instance, self.settings, rng, self.settings.batch)
        if self._targets is not None:
            near = self.pool.shortlist(self.network, state, left, 10, noise=1.0)
        else:
            near = self.pool.actions[rng.integers(len(self.pool.actions), size=(len(state), 10))]
        wide = self.pool.actions[rng.integers(len(self.pool.actions), size=(len(state), 4))]
        actions = torch.cat([near, wide, corners(rng, len(state), near.shape[2])], 1)
        if self._targets is not None:
            target = self._targets(state, left, actions)
        else:
            target = expected_reward(self.instance, state, left, actions)
        return nn.functional.smooth_l1_loss(self.network(state, left, actions), target)

    def _learning_loss(self, update: int, rng: np.random.Generator) -> Tensor:
        s, play = self.settings, self._simulation
        if update % s.updates_per_step == 0 or not play.stores:
            for _ in range(1 if play.stores else max(1, 2 * s.batch // s.episodes)):
                play.step(self._argmax, self.pool.actions, update, rng)
        batch = play.sample(rng)
        after = batch["left"] - 1
        with torch.no_grad():
            follow = self._argmax(batch["next"], after)
            value = self.target(batch["next"], after, follow[:, None])[:, 0]
            alive = (after > 0) if s.discount == 1 else torch.ones_like(after, dtype=torch.bool)
            discount = s.discount * self.instance.discount
            goal = batch["reward"] + discount * (value * alive - self._chance(batch))
        predicted = self.network(batch["state"], batch["left"], batch["action"][:, None])[:, 0]
        return nn.functional.smooth_l1_loss(predicted, goal)

    def _chance(self, batch: dict[str, Tensor]) -> Tensor | float:
        """What a guess of the value gained by chance in each transition, (batch,): a number of mean
        zero, which is taken out of the targets. Here there is no guess.
        """
        return 0.0

    def _argmax(self, state: Tensor, left: Tensor) -> Tensor:
        if self.settings.argmax == "pool":
            return self.pool.best(self.network, state, left)
        return self._remembered.best(self.network, state, left, self.global_step)

    # --- checkpoints ------------------------------------------------------------------------------

    def made_with(self) -> dict[str, str]:
        """The instance, every setting and the seed."""
        return self._origin

    def record(self) -> dict[str, Any]:
        """The network as it stands."""
        return save_network(self.network, self.instance, self.settings)

    def export(self, folder: Path) -> None:
        """Write best.ckpt: the network with the best check."""
        best = self.record() | {"weights": self.best or self.network.state_dict()}
        save_tensors({self.KEY: best}, folder / self.RESULT)

    def progress(self) -> dict[str, Any]:
        """Replay, remembered argmaxes and the best check so far."""
        return {
            "stores": dict(self._simulation.stores),
            "written": self._simulation.written,
            "memo": self._remembered.saved(),
            "best_reward": self.best_reward,
            "best": self.best,
            "best_returns": self._best_returns,
            "start": None if self._start is None else as_tensors(self._start),
            "unit": self._units.unit,
        }

    def restore(self, progress: dict[str, Any]) -> None:
        """Take over replay, remembered argmaxes and the best check.

        Raises:
            CheckpointError: the training was begun by a version that learned in another unit.
        """
        if "unit" not in progress:
            raise CheckpointError(
                "the training was begun by an earlier version, whose network has another unit of "
                "reward: start it again (--fresh, or another folder)"
            )
        self._simulation.stores = dict(progress["stores"])
        self._simulation.written = progress["written"]
        self._remembered.restore(progress["memo"])
        self.best_reward, self.best = progress["best_reward"], dict(progress["best"])
        self._best_returns, start = progress.get("best_returns"), progress.get("start")
        if start is not None:
            self._aim_at(as_start(start))


def module_for(
    instance: BanditInstance,
    settings: SequoiaSettings | None = None,
    seed: int = 0,
    solver: SolverSettings | None = None,
) -> SequoiaModule:
    """The module that trains the network of the settings; arguments as in `SequoiaModule`."""
    if settings is None or settings.network != "shared":
        return SequoiaModule(instance, settings, seed, solver)
    # it derives from the class above
    from worldplan.planners.bandits.sequoia.shared.training import SharedModule

    return SharedModule(instance, settings, seed, solver)


def for_programme(
    programme: Programme,
    settings: SequoiaSettings | None = None,
    seed: int = 0,
    solver: SolverSettings | None = None,
    base: str = ".",
) -> SequoiaModule:
    """The module for a programme in a YAML file (`worldplan fit`); file names in it are relative to
    `base`.
    """
    return module_for(build(programme, base).instance, settings, seed, solver)
