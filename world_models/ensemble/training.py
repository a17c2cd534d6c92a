"""Training of the dynamics ensemble: settings, and the module that `fit` trains into a folder."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, Diverged
from worldplan.milp.settings_check import check_fields
from worldplan.world_models.data.environment import recorded_environment
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.held_out import hold_out
from worldplan.world_models.data.on_disk.rows import is_on_disk
from worldplan.world_models.data.precision import offsets
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.batched_mlp import compiled
from worldplan.world_models.ensemble.held_out import held_out_generator, hold_out_leading
from worldplan.world_models.ensemble.likelihood import gaussian_loss
from worldplan.world_models.ensemble.model import GaussianEnsemble
from worldplan.world_models.ensemble.rows_on_disk import RowsOnDisk, row_tensors
from worldplan.world_models.storage import replace_file
from worldplan.world_models.training.module import ResumableModule
from worldplan.world_models.training.origin import origin
from worldplan.world_models.training.seeds import check_seed, torch_generator

BLOCK = 50  # gradient steps in a Lightning step, to hide its overhead


@dataclass(frozen=True)
class EnsembleSettings:
    """All settings of the training.

    Args:
        members: networks that are trained.
        elites: number of members, the best on held-out data, that predict.
        hidden: widths of the SiLU layers.
        learning_rate: of Adam.
        weight_decay: L2 on the weights of each layer, the output layer last; none on biases.
        batch: rows per member and gradient step.
        epochs: passes over the data at most.
        patience: stop after so many epochs in which no member improved.
        improvement: relative decrease of the held-out error that counts as an improvement.
        power: of the variance that weights each term of the likelihood, see
            `GaussianEnsemble.loss`; 0 is the plain likelihood.
        compile: let torch.compile fuse the loss; needs a C++ compiler.
    """

    members: int = 7
    elites: int = 5
    hidden: tuple[int, ...] = (200, 200, 200, 200)
    learning_rate: float = 1e-3
    weight_decay: tuple[float, ...] = (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4)
    batch: int = 256
    epochs: int = 200
    patience: int = 5
    improvement: float = 0.01
    power: float = 0.5
    compile: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        layers = len(self.hidden) + 1
        if len(self.weight_decay) != layers:
            raise ConfigError(
                f"weight_decay has {len(self.weight_decay)} numbers, but there are {layers} "
                "layers: give one for each"
            )
        for name in ("members", "elites", "batch", "epochs", "patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.elites > self.members:
            raise ConfigError(
                f"{self.elites} elites out of {self.members} members: choose at most {self.members}"
            )
        if not (self.learning_rate > 0 and 0 <= self.improvement < 1 and 0 <= self.power <= 1):
            numbers = f"{self.learning_rate}, {self.improvement} and {self.power}"
            raise ConfigError(
                f"learning_rate, improvement and power are {numbers}: they must be above 0, "
                "within [0, 1) and within [0, 1]"
            )


class EnsembleModule(ResumableModule):
    """Fits a `GaussianEnsemble`; the result holds every member's weights of its best epoch.

    The data lie on the device once, or on disk where they do not fit into memory; the bootstrap of
    a member is a row of indices into them. All random numbers of epoch `n` come from a generator
    seeded by (seed, n), so a resumed training ends like an unbroken one. One Lightning step makes
    `BLOCK` gradient steps. The training ends by itself after `settings.epochs`, or when no member
    has improved for `settings.patience` epochs.

    Args:
        transitions: n rows of observation (n, obs), action (n, act), reward (n,), next observation
            (n, obs) and episode (n,).
        settings: of the training.
        seed: of weights, bootstrap, held-out rows and order.

    Raises:
        ConfigError: the seed is no whole number of at least 0.
        DatasetError: too few rows to hold one out.
    """

    KEY: ClassVar[str] = "ensemble"
    RESULT: ClassVar[str] = "ensemble.ckpt"
    MADE_WITH: ClassVar[str] = "other data, settings or another seed"

    train_inputs: Tensor  # (n, in) and (n, out), normalised
    train_targets: Tensor
    held_inputs: Tensor
    held_targets: Tensor
    bootstrap: Tensor  # (members, n) int32
    best_error: Tensor  # (members,)

    def __init__(
        self, transitions: Transitions, settings: EnsembleSettings | None = None, seed: int = 0
    ) -> None:
        checks.of_type(transitions, "transitions", Transitions)
        checks.whole_number(seed, "seed", least=0)
        super().__init__()
        check_seed(seed)
        self.automatic_optimization = False
        self.settings, self.seed = settings or EnsembleSettings(), seed
        self._on_disk: RowsOnDisk | None = None
        s = self.settings
        self.ensemble = GaussianEnsemble(
            transitions.observation.shape[1],
            transitions.action.shape[1],
            members=s.members,
            elites=s.elites,
            hidden=s.hidden,
            generator=torch_generator(seed, 0),
            offset=offsets(transitions),
        )
        self.ensemble.trained_on = {
            "seed": seed,
            "environment": str(transitions.metadata.get("env_id") or ""),
        }
        if (spec := recorded_environment(transitions.metadata)) is not None:
            self.ensemble.trained_on["spec"] = spec.to_json()
        held_out = hold_out(transitions.episode, held_out_generator(seed))
        self._origin = origin(
            data=_columns(transitions),
            settings=s,
            seed=seed,
            **_new_split(transitions, held_out, seed),
        )
        self._keep_data(transitions, held_out)
        self.best = copy.deepcopy(self.ensemble).requires_grad_(False)
        self.register_buffer("best_error", torch.full((s.members,), torch.inf))
        self.stale = 0  # epochs since a member improved
        self._order = torch.empty(0, dtype=torch.int64)
        self._loss: Callable[..., Tensor] = (
            compiled(self.ensemble.loss) if s.compile else self.ensemble.loss
        )

    def _keep_data(self, transitions: Transitions, held_out: np.ndarray) -> None:
        """Normalised rows as buffers that move with the module and stay out of its checkpoints;
        only the held-out ones of a dataset that does not fit into memory.
        """
        held = row_tensors(transitions, held_out)
        if is_on_disk(transitions.observation):
            self._on_disk = RowsOnDisk(transitions, held_out, self.seed)
            self._on_disk.set_statistics(self.ensemble)
            count = self._on_disk.count
        else:
            count = self._keep_rows(row_tensors(transitions, ~held_out))
        observation, action, following, reward = held
        self.register_buffer(
            "held_inputs", self.ensemble.inputs(observation, action), persistent=False
        )
        self.register_buffer(
            "held_targets", self.ensemble.targets(observation, following, reward), persistent=False
        )
        self.batch = min(self.settings.batch, count)
        self.steps = count // self.batch  # per epoch; the rows left over differ between epochs

    def _keep_rows(self, columns: list[Tensor]) -> int:
        """Set the statistics and keep the training rows and bootstraps; the number of rows."""
        observation, action, following, reward = columns
        self.ensemble.set_statistics(
            torch.cat([observation, action], 1),
            torch.cat([following.double() - observation.double(), reward[:, None].double()], 1),
        )
        bootstrap = torch.randint(
            len(reward),
            (self.settings.members, len(reward)),
            generator=torch_generator(self.seed, 2),
            dtype=torch.int32,
        )
        parts = {
            "train_inputs": self.ensemble.inputs(observation, action),
            "train_targets": self.ensemble.targets(observation, following, reward),
            "bootstrap": bootstrap,
        }
        for name, part in parts.items():
            self.register_buffer(name, part, persistent=False)
        return len(reward)

    # --- learning ---------------------------------------------------------------------------------

    def configure_optimizers(self) -> torch.optim.Optimizer:
        ensemble, decay = self.ensemble, self.settings.weight_decay
        groups: list[dict[str, Any]] = [
            {"params": [w], "weight_decay": d} for w, d in zip(ensemble.weights, decay, strict=True)
        ]
        groups.append(
            {
                "params": [*ensemble.biases, ensemble.max_log_variance, ensemble.min_log_variance],
                "weight_decay": 0.0,
            }
        )
        return torch.optim.Adam(groups, lr=self.settings.learning_rate, fused=True)

    def train_dataloader(self) -> DataLoader[Any]:
        """Numbers of blocks: the rows lie on the device already."""
        blocks = range(math.ceil(self.steps / BLOCK))
        return DataLoader(blocks, batch_size=None)  # type: ignore[arg-type]  # a sequence serves

    def on_train_start(self) -> None:
        """Stop at once where a training was killed right after its last epoch."""
        self._stop_where_due(self.current_epoch)

    def on_train_epoch_start(self) -> None:
        """Shuffle the rows."""
        generator = torch_generator(self.seed, 3, self.current_epoch)
        count = self.bootstrap.shape[1] if self._on_disk is None else self._on_disk.count
        self._order = torch.randperm(count, generator=generator).to(self.device)
        self._sum = torch.zeros((), device=self.device)

    def training_step(self, block: int, batch_idx: int) -> None:
        """Make the gradient steps from `block` * BLOCK on, at most BLOCK.

        Raises:
            Diverged: the loss is not finite.
        """
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        first, last = block * BLOCK, min((block + 1) * BLOCK, self.steps)
        before = self._sum.clone()
        for step in range(first, last):
            places = self._order[step * self.batch : (step + 1) * self.batch]
            self._sum += self._gradient_step(optimizer, self._bootstrap(places))
        loss = float(self._sum - before) / (last - first) / self.settings.members
        if not np.isfinite(loss):
            raise Diverged(
                f"the loss is {loss} in epoch {self.current_epoch}: "
                f"lower learning_rate; {self.last_good()}"
            )

    def _bootstrap(self, places: Tensor) -> Tensor:
        """The training rows (members, batch) at `places` (batch,) of the members' bootstraps."""
        if self._on_disk is None:
            return self.bootstrap.index_select(1, places)
        return self._on_disk.bootstrap(self.settings.members, places)

    def _training_rows(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised inputs (members, batch, in) and targets (members, batch, out) of the training
        `rows` (members, batch).
        """
        if self._on_disk is not None:
            return self._on_disk.read(self.ensemble, rows)
        return (
            self.train_inputs.index_select(0, rows.flatten()).view(*rows.shape, -1),
            self.train_targets.index_select(0, rows.flatten()).view(*rows.shape, -1),
        )

    def _gradient_step(self, optimizer: torch.optim.Optimizer, rows: Tensor) -> Tensor:
        """One step of all members on `rows` (members, batch) of the training data; the loss, a
        scalar on the device.
        """
        inputs, targets = self._training_rows(rows)
        optimizer.zero_grad()
        loss = self._loss(inputs, targets, self.settings.power)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        for bound in (self.ensemble.max_log_variance, self.ensemble.min_log_variance):
            assert bound.grad is not None
            # members share one bound: its copies get the same gradient
            bound.grad.copy_(bound.grad.sum(0, keepdim=True))
        optimizer.step()
        return loss.detach()

    # --- checks -----------------------------------------------------------------------------------

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Measure all members on the held-out rows in one pass; while fitting, keep what improved.

        Raises:
            Diverged: an error is not finite.
        """
        if self.trainer.sanity_checking:
            return
        fitting = self.trainer.state.fn == "fit"
        error, loss = self.held_out(self.ensemble if fitting else self.best)
        self.log_dict(
            {"val_mse": error.mean(), "val_nll": loss.mean()}, prog_bar=True, batch_size=1
        )
        if not fitting:
            return
        if not torch.isfinite(error).all():
            raise Diverged(
                f"the held-out error is not finite in epoch {self.current_epoch}: "
                f"lower learning_rate; {self.last_good()}"
            )
        self.stale = 0 if self._keep_best(error) else self.stale + 1
        self.log("best_val_mse", self.best_error[self.best.elites].mean(), batch_size=1)
        self.log_dict({f"val_mse_{i}": value for i, value in enumerate(error)}, batch_size=1)
        self._stop_where_due(self.current_epoch + 1)

    def on_train_epoch_end(self) -> None:
        """Log the mean loss of the epoch's gradient steps and members."""
        mean = self._sum / self.steps / self.settings.members
        self.log("train_loss", mean, prog_bar=True, batch_size=1)

    @torch.no_grad()
    def held_out(self, ensemble: GaussianEnsemble, rows: int = 2048) -> tuple[Tensor, Tensor]:
        """Mean squared error and NLL (see `gaussian_loss`) of each member on the held-out rows, in
        normalised units; (members,) both.
        """
        error, loss = torch.zeros_like(self.best_error), torch.zeros_like(self.best_error)
        for first in range(0, len(self.held_inputs), rows):
            inputs = self.held_inputs[first : first + rows]
            targets = self.held_targets[first : first + rows]
            mean, log_variance = ensemble.outputs(inputs)
            error += (mean - targets).square().mean((1, 2)) * len(inputs)
            loss += gaussian_loss(mean, log_variance, targets) * len(inputs)
        return error / len(self.held_inputs), loss / len(self.held_inputs)

    @torch.no_grad()
    def _keep_best(self, error: Tensor) -> bool:
        improved = error < (1 - self.settings.improvement) * self.best_error
        for kept, now in zip(self.best.parameters(), self.ensemble.parameters(), strict=True):
            kept.copy_(torch.where(improved[:, None, None], now, kept))
        self.best_error.copy_(torch.where(improved, error, self.best_error))
        self.best.elites.copy_(self.best_error.argsort(stable=True)[: self.settings.elites])
        return bool(improved.any())

    def _stop_where_due(self, epochs: int) -> None:
        """Stop after so many `epochs` if the training is complete."""
        if self.stale >= self.settings.patience or epochs >= self.settings.epochs:
            self.trainer.should_stop = True

    # --- checkpoints ------------------------------------------------------------------------------

    def made_with(self) -> dict[str, str]:
        """The data, every setting and the seed."""
        return self._origin

    def record(self) -> dict[str, Any]:
        """Every member at its best epoch."""
        return self.best.checkpoint()

    def export(self, folder: Path) -> None:
        """Write ensemble.ckpt."""
        replace_file(folder / self.RESULT, self.best.save)

    def progress(self) -> dict[str, Any]:
        """Epochs without improvement."""
        return {"stale": self.stale}

    def restore(self, progress: dict[str, Any]) -> None:
        """Take over the epochs without improvement."""
        self.stale = progress["stale"]


def for_dataset(
    data: str, settings: EnsembleSettings | None = None, seed: int = 0
) -> EnsembleModule:
    """The module for a dataset named in a YAML file (`worldplan fit`): a Minari id or a file, see
    `worldplan.world_models.data.files`.
    """
    return EnsembleModule(load_transitions(data), settings, seed)


def _new_split(transitions: Transitions, held_out: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """The held-out rows (n,) bool, where older versions held out others: these are not resumed."""
    before = hold_out_leading(transitions.episode, held_out_generator(seed))
    return {} if np.array_equal(before, held_out) else {"held_out": held_out}


def _columns(transitions: Transitions) -> list[np.ndarray]:
    """The columns of a dataset on which the training depends."""
    t = transitions
    return [t.observation, t.action, t.reward, t.next_observation, t.episode]
