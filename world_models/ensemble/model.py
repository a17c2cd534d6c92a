"""Probabilistic ensemble dynamics (PETS, Chua et al. 2018; MBPO, Janner et al. 2019): every member
predicts a Gaussian over next observation and reward; all members are one batched network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldplan.envs.dynamics.model import Members
from worldplan.milp import checks
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.world_models.ensemble.batched_mlp import propagate
from worldplan.world_models.ensemble.calibration import move_draws
from worldplan.world_models.ensemble.likelihood import changes, gaussian_loss
from worldplan.world_models.ensemble.records import restore_records
from worldplan.world_models.training.checkpoints import (
    load_tensors,
    load_weights,
    reading_checkpoint,
    save_tensors,
)

CLIP = 10.0  # normalised inputs are clipped to +-CLIP
MAX_LOG_VARIANCE, MIN_LOG_VARIANCE = 0.5, -10.0  # initial values of the learned bounds
BOUND_WEIGHT = 0.01  # of the learned bounds in the loss


class GaussianEnsemble(nn.Module):
    """Members predict (next observation - observation, reward) as independent Gaussians with a
    diagonal covariance.

    Inputs and targets are normalised with the statistics of the training data. With normalised
    targets every output has the same weight in the loss and the same range between the variance
    bounds; benchmarks/offline/ensemble_training.py compares them with raw ones.

    Args:
        observation_size: length of an observation.
        action_size: length of an action.
        members: networks of the ensemble.
        elites: number of members, the best on held-out data, that predict.
        hidden: widths of the SiLU layers.
        generator: of the initial weights, which differ between members.
        offset: numbers (observation,) that are subtracted from the observations in double precision
            before all else, where float32 cannot hold them; see
            `worldplan.world_models.data.precision`. None: nothing.

    Attributes:
        weights: of each layer, (members, in, out).
        biases: of each layer, (members, 1, out).
        max_log_variance: learned upper bound, (members, 1, observation + 1).
        min_log_variance: learned lower bound, (members, 1, observation + 1).
        elites: numbers of the elites, (elites,).
        recalibration: quantiles (observation + 1, 39) that move draws, see
            `worldplan.world_models.ensemble.calibration`; None: draws are not moved.
        trained_on: what checkpoints record of the training: "seed", "environment" (an id) and, of
            newer ones, "spec" (see `worldplan.envs.spec`).

    Raises:
        ConfigError: there are more elites than members, or none; or the offset has another size.
    """

    offset: Tensor | None  # (observation + action,) float64

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        *,
        members: int = 7,
        elites: int = 5,
        hidden: Sequence[int] = (200, 200, 200, 200),
        generator: torch.Generator | None = None,
        offset: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(hidden, tuple | list):
            raise ConfigError(f"hidden is {checks.shown(hidden)}: give the layers' widths")
        checks.whole_number(observation_size, "observation_size", least=1)
        checks.whole_number(action_size, "action_size", least=1)
        checks.whole_number(members, "members", least=1)
        if not 1 <= checks.whole_number(elites, "elites") <= members:
            raise ConfigError(
                f"{elites} elites out of {members} members: choose between 1 and {members}"
            )
        self.observation_size, self.action_size = observation_size, action_size
        self.members, self.hidden = members, tuple(hidden)
        inputs, outputs = observation_size + action_size, observation_size + 1
        sizes = (inputs, *hidden, 2 * outputs)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
            std = 1 / (2 * math.sqrt(fan_in))
            weight = torch.empty(members, fan_in, fan_out)
            nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std, generator=generator)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(torch.zeros(members, 1, fan_out)))
        # a copy of the bounds per member: its best weights are kept with the bounds of that epoch
        self.max_log_variance = nn.Parameter(torch.full((members, 1, outputs), MAX_LOG_VARIANCE))
        self.min_log_variance = nn.Parameter(torch.full((members, 1, outputs), MIN_LOG_VARIANCE))
        self.elites: Tensor
        self.input_mean: Tensor
        self.input_scale: Tensor
        self.target_mean: Tensor
        self.target_scale: Tensor
        self.register_buffer("elites", torch.arange(elites))
        self.register_buffer("input_mean", torch.zeros(inputs))
        self.register_buffer("input_scale", torch.ones(inputs))
        self.register_buffer("target_mean", torch.zeros(outputs))
        self.register_buffer("target_scale", torch.ones(outputs))
        self.register_buffer("offset", self._offset(offset), persistent=False)
        self.recalibration: Tensor | None
        # not among the weights: checkpoints without it stay complete
        self.register_buffer("recalibration", None, persistent=False)
        self.trained_on: dict[str, Any] = {}

    def _offset(self, numbers: Sequence[float] | None) -> Tensor | None:
        """The offset of inputs (observation + action,): none of the actions.

        Raises:
            ConfigError: there is not a finite number for each column of the observation.
        """
        if numbers is None:
            return None
        offset = torch.as_tensor(numbers, dtype=torch.float64)
        if offset.shape != (self.observation_size,) or not bool(offset.isfinite().all()):
            raise ConfigError(
                f"offset is {checks.shown(numbers)}: give {self.observation_size} finite numbers"
            )
        return torch.cat([offset, offset.new_zeros(self.action_size)])

    # --- in normalised units: training ------------------------------------------------------------

    def set_statistics(self, inputs: Tensor, targets: Tensor) -> None:
        """Set the normalisation to mean and standard deviation of training data.

        Args:
            inputs: observations and actions, (n, observation + action), in double precision where
                there is an offset.
            targets: changes of the observation and rewards, (n, observation + 1).
        """
        inputs = inputs if self.offset is None else inputs.double() - self.offset
        for name, rows in (("input", inputs.double()), ("target", targets.double())):
            self.set_moments(name, rows.mean(0), rows.std(0, correction=0))

    def set_moments(self, name: str, mean: Tensor, std: Tensor) -> None:
        """Set the normalisation of one side.

        Args:
            name: "input" or "target".
            mean: (observation + action,) or (observation + 1,) float64.
            std: of the same shape; changed in place.
        """
        # a constant column (up to float32 rounding) is only centred
        std[std <= 1e-6 * mean.abs() + 1e-12] = 1.0
        getattr(self, f"{name}_mean").copy_(mean)
        getattr(self, f"{name}_scale").copy_(std)

    def inputs(self, observation: Tensor, action: Tensor) -> Tensor:
        """Normalised inputs (batch, observation + action) of observations (batch, observation) and
        actions (batch, action).

        Raises:
            ConfigError: the observations or actions have other sizes than in training.
        """
        sizes = (observation.shape[-1], action.shape[-1])
        trained_sizes = (self.observation_size, self.action_size)
        if sizes != trained_sizes:
            raise ConfigError(
                f"observation and action have sizes {sizes}, but this ensemble was made for "
                f"{trained_sizes}: use the one trained for this task"
            )
        raw = torch.cat([observation, action], -1)
        if self.offset is not None:
            raw = (raw - self.offset).to(self.input_mean.dtype)
        return ((raw - self.input_mean) / self.input_scale).clamp(-CLIP, CLIP)

    def targets(self, observation: Tensor, next_observation: Tensor, reward: Tensor) -> Tensor:
        """Normalised targets (batch, observation + 1); arguments as those of `changes`."""
        raw = changes(observation, next_observation, reward).to(self.target_mean.dtype)
        return (raw - self.target_mean) / self.target_scale

    def outputs(self, inputs: Tensor, which: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance in normalised units, each (members, batch, observation + 1).

        The learned bounds are soft: z -> high - softplus(high - z), then z -> low + softplus(z -
        low).

        Args:
            inputs: normalised, (batch, in) for the same rows in all members, or (members, batch,
                in).
            which: numbers of the members to evaluate, (count,); None: all.
        """

        def pick(parameter: Tensor) -> Tensor:
            return parameter if which is None else parameter[which]

        count = self.members if which is None else len(which)
        hidden = inputs if inputs.dim() == 3 else inputs.expand(count, *inputs.shape)
        out = propagate(hidden, map(pick, self.weights), map(pick, self.biases), functional.silu)
        mean, log_variance = out.chunk(2, -1)
        high, low = pick(self.max_log_variance), pick(self.min_log_variance)
        log_variance = high - functional.softplus(high - log_variance)
        return mean, low + functional.softplus(log_variance - low)

    def loss(self, inputs: Tensor, targets: Tensor, power: float = 0.0) -> Tensor:
        """Loss of the training, a scalar: the sum over members of the mean of log s^2 + (y -
        mu)^2 / s^2 (PETS, eq. 1), plus 0.01 (sum of upper bounds - sum of lower bounds).

        Args:
            inputs: normalised, (members, batch, in): every member has its own rows.
            targets: normalised, (members, batch, out).
            power: each term is weighted by s^(2 power), which is not differentiated (Seitzer et al.
                2022). At 0, the plain likelihood, outputs with little noise dominate the gradients
                of the shared layers.
        """
        mean, log_variance = self.outputs(inputs)
        fit = gaussian_loss(mean, log_variance, targets, power).sum()
        bounds = self.max_log_variance.mean(0).sum() - self.min_log_variance.mean(0).sum()
        return fit + BOUND_WEIGHT * bounds

    # --- in units of the environment: prediction --------------------------------------------------

    def forward(self, observation: Tensor, action: Tensor, which: Tensor | None = None) -> Members:
        """Predictions of all members, or of those numbered `which`.

        Args:
            observation: (batch, observation).
            action: (batch, action).
            which: numbers of the members to evaluate, (count,); None: all.

        Returns:
            Means and variances, each (members, batch, observation + 1).
        """
        return self.in_environment(
            observation, *self.outputs(self.inputs(observation, action), which)
        )

    def sample_elite(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> tuple[Tensor, Members | None]:
        """A draw from the prediction of one random elite per row.

        Args:
            observation: (batch, observation).
            action: (batch, action).
            generator: of the choice of elites and the noise.
            members: also return the predictions of all elites. The draw is the same; without, only
                the elite chosen for a row is evaluated on it, unless the ensemble is recalibrated.

        Returns:
            Next observation and reward, (batch, observation + 1), and the elites' predictions or
            None.

        Raises:
            ConfigError: observations or actions have other sizes than in training.
        """
        device, count = observation.device, len(observation)
        source = device if generator is None else generator.device
        choice = torch.randint(len(self.elites), (count,), generator=generator, device=source)
        noise = torch.randn(
            count, self.observation_size + 1, generator=generator, device=source
        ).to(device)
        choice = choice.to(device)
        elites: Members | None = None
        if members or self.recalibration is not None:
            elites = self.forward(observation, action, self.elites)
            rows = torch.arange(count, device=device)
            mean, variance = elites.mean[choice, rows], elites.variance[choice, rows]
        else:
            chosen = self.in_environment(
                observation, *self._grouped(self.inputs(observation, action), choice)
            )
            mean, variance = chosen.mean, chosen.variance
        drawn = mean + variance.sqrt() * noise
        if self.recalibration is not None:
            assert elites is not None
            drawn = move_draws(self.recalibration, elites, drawn)
        return drawn, elites if members else None

    def _grouped(self, inputs: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (batch, out) of elite `choice` (batch,) on its row of `inputs`
        (batch, in): rows are sorted by elite, and the groups padded to the size of the largest.
        """
        if not len(inputs):
            empty = inputs.new_zeros(0, self.observation_size + 1)
            return empty, empty
        order = torch.argsort(choice, stable=True)
        group = choice[order]
        counts = torch.bincount(choice, minlength=len(self.elites))
        # position of a sorted row within its group
        place = torch.arange(len(choice), device=choice.device) - (counts.cumsum(0) - counts)[group]
        padded = inputs.new_zeros(len(self.elites), int(counts.max()), inputs.shape[-1])
        padded[group, place] = inputs[order]
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order), device=order.device)
        mean, log_variance = self.outputs(padded, self.elites)
        return mean[group, place][inverse], log_variance[group, place][inverse]

    def in_environment(self, observation: Tensor, mean: Tensor, log_variance: Tensor) -> Members:
        """Predictions in units of the environment.

        Args:
            observation: (batch, observation).
            mean: of the normalised targets, (..., batch, observation + 1).
            log_variance: of the normalised targets, (..., batch, observation + 1).
        """
        mean = mean * self.target_scale + self.target_mean
        following = torch.cat([mean[..., :-1] + observation, mean[..., -1:]], -1)
        return Members(following, log_variance.exp() * self.target_scale**2)

    # --- files ------------------------------------------------------------------------------------

    def checkpoint(self) -> dict[str, Any]:
        """All that `load_ensemble` needs, in plain numbers, lists and tensors."""
        sizes: dict[str, Any] = {
            "observation_size": self.observation_size,
            "action_size": self.action_size,
            "members": self.members,
            "elites": len(self.elites),
            "hidden": list(self.hidden),
        }
        if self.offset is not None:
            sizes["offset"] = self.offset[: self.observation_size].tolist()
        weights = {name: value.detach().cpu().clone() for name, value in self.state_dict().items()}
        saved: dict[str, Any] = {"sizes": sizes, "weights": weights}
        if self.recalibration is not None:
            saved["recalibration"] = self.recalibration.detach().cpu().clone()
        return saved | ({"trained_on": dict(self.trained_on)} if self.trained_on else {})

    def save(self, path: str | Path) -> None:
        """Write `checkpoint()` to a file for `load_ensemble`."""
        save_tensors({"ensemble": self.checkpoint()}, path)


def load_ensemble(
    path: str | Path, *, observation_size: int | None = None, action_size: int | None = None
) -> GaussianEnsemble:
    """The ensemble in `ensemble.ckpt` or `last.ckpt` of a training, on the CPU, ready to predict.

    Args:
        path: the checkpoint.
        observation_size: of the task, to check; None: not checked.
        action_size: of the task, to check; None: not checked.

    Raises:
        CheckpointError: the file is missing, damaged, or of a task with other sizes.
    """
    with reading_checkpoint(
        path, "an ensemble checkpoint", "'worldplan fit --config configs/ensemble/...'"
    ):
        saved = load_tensors(path)["ensemble"]
        ensemble = GaussianEnsemble(**saved["sizes"])
    for name, wanted in (("observation_size", observation_size), ("action_size", action_size)):
        if wanted is not None and getattr(ensemble, name) != wanted:
            size = name.replace("_", " ")
            raise CheckpointError(
                f"{path}: trained for {size} {getattr(ensemble, name)}, but this task has "
                f"{wanted}: train for it"
            )
    load_weights(ensemble, saved.get("weights", {}), path)
    if not bool(((ensemble.elites >= 0) & (ensemble.elites < ensemble.members)).all()):
        raise CheckpointError(
            f"{path}: its elites {ensemble.elites.tolist()} are not among its {ensemble.members} "
            "members: train again or restore a copy"
        )
    restore_records(ensemble, saved, path)
    return ensemble.eval().requires_grad_(False)
