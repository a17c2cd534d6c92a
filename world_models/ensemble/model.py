"""Probabilistic ensemble dynamics (Chua et al. 2018, PETS; Janner et al. 2019, MBPO): all members
in one batched network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldplan.envs.dynamics.model import Members, Prediction
from worldplan.envs.dynamics.termination import Termination
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.world_models.ensemble.batched_mlp import propagate
from worldplan.world_models.training.checkpoints import save_tensors

CLIP = 10.0  # normalised inputs beyond this many standard deviations are cut
MAX_LOG_VARIANCE, MIN_LOG_VARIANCE = 0.5, -10.0  # where the learned bounds start
BOUND_WEIGHT = 0.01  # pull of the loss on the learned bounds


class GaussianEnsemble(nn.Module):
    """Members predict (next observation - observation, reward) as independent Gaussians with a
    diagonal covariance.

    Inside, inputs and targets are normalised with the statistics of the training data. Normalised
    targets and not raw ones, because every output then has the same say in the loss and the same
    range between the variance bounds; in benchmarks/offline/ensemble_training.py both are measured.

    Args:
        observation_size, action_size: numbers per row.
        members: networks of the ensemble.
        elites: how many of them, the best on held-out data, are used to predict.
        hidden: widths of the SiLU layers.
        generator: source of the initial weights, which differ between members.
    Weights are (members, in, out), biases and variance bounds (members, 1, out).
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        *,
        members: int = 7,
        elites: int = 5,
        hidden: Sequence[int] = (200, 200, 200, 200),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= elites <= members:
            raise ConfigError(
                f"{elites} elites out of {members} members: choose between 1 and {members}"
            )
        self.observation_size, self.action_size, self.members, self.hidden = (
            observation_size,
            action_size,
            members,
            tuple(hidden),
        )
        inputs, outputs = observation_size + action_size, observation_size + 1
        sizes = (inputs, *hidden, 2 * outputs)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
            std = 1 / (2 * math.sqrt(fan_in))
            weight = torch.empty(members, fan_in, fan_out)
            self.weights.append(
                nn.Parameter(
                    nn.init.trunc_normal_(
                        weight, std=std, a=-2 * std, b=2 * std, generator=generator
                    )
                )
            )
            self.biases.append(nn.Parameter(torch.zeros(members, 1, fan_out)))
        # one copy per member, so that the best weights of a member keep the bounds they were
        # trained with
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

    # --- normalised units: what is trained --------------------------------------------------------

    def set_statistics(self, inputs: Tensor, targets: Tensor) -> None:
        """Normalise by mean and standard deviation of `inputs` (n, observation + action) and
        `targets` (n, observation + 1).
        """
        for name, rows in (("input", inputs.double()), ("target", targets.double())):
            mean, std = rows.mean(0), rows.std(0, correction=0)
            # a column that never moves (up to float32 rounding) stays in its own units
            std[std <= 1e-6 * mean.abs() + 1e-12] = 1.0
            getattr(self, f"{name}_mean").copy_(mean)
            getattr(self, f"{name}_scale").copy_(std)

    def inputs(self, observation: Tensor, action: Tensor) -> Tensor:
        """(batch, observation), (batch, action) -> (batch, observation + action), normalised.
        Raises ConfigError for other sizes.
        """
        given, wanted = (
            (observation.shape[-1], action.shape[-1]),
            (self.observation_size, self.action_size),
        )
        if given != wanted:
            raise ConfigError(
                f"observation and action have sizes {given}, but this ensemble was made for {wanted}: use the one trained for this task"
            )
        return ((torch.cat([observation, action], -1) - self.input_mean) / self.input_scale).clamp(
            -CLIP, CLIP
        )

    def targets(self, observation: Tensor, next_observation: Tensor, reward: Tensor) -> Tensor:
        """(batch, observation) twice, (batch,) -> (batch, observation + 1), normalised."""
        return (
            changes(observation, next_observation, reward) - self.target_mean
        ) / self.target_scale

    def outputs(self, inputs: Tensor, which: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance in units of the normalised targets, each (members, batch,
        observation + 1).

        Args:
            inputs: (batch, in), the same rows for all members, or (members, batch, in).
            which: (count,) numbers of the members to evaluate; default all.
        """
        pick = (lambda tensor: tensor) if which is None else (lambda tensor: tensor[which])
        hidden = (
            inputs
            if inputs.dim() == 3
            else inputs.expand(self.members if which is None else len(which), *inputs.shape)
        )
        out = propagate(hidden, map(pick, self.weights), map(pick, self.biases), functional.silu)
        mean, log_variance = out.chunk(2, -1)
        high, low = pick(self.max_log_variance), pick(self.min_log_variance)
        log_variance = high - functional.softplus(high - log_variance)
        return mean, low + functional.softplus(log_variance - low)

    def loss(self, inputs: Tensor, targets: Tensor, power: float = 0.0) -> Tensor:
        """Sum over members of the mean of log s^2 + (y - mu)^2 / s^2 (PETS, eq. 1), plus 0.01 (sum
        max - sum min) of the bounds.

        Args:
            inputs: (members, batch, in): every member has its own rows.
            targets: (members, batch, out).
            power: each term is weighted by s^(2 power), which is not differentiated (Seitzer et al.
                2022). At 0, the plain likelihood, outputs with little noise push the others out of
                the shared layers.
        """
        mean, log_variance = self.outputs(inputs)
        fit = gaussian_loss(mean, log_variance, targets, power).sum()
        bounds = self.max_log_variance.mean(0).sum() - self.min_log_variance.mean(0).sum()
        return fit + BOUND_WEIGHT * bounds

    # --- units of the environment: what is used ---------------------------------------------------

    def forward(self, observation: Tensor, action: Tensor, which: Tensor | None = None) -> Members:
        """What all members (or those numbered `which`) say about a batch: (members, batch,
        observation + 1), see `Members`.
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
        """One draw from one random elite per row: (batch, observation + 1), next observation and
        reward.

        Only the member a row needs is evaluated for it, unless `members` asks for what all elites
        say; the draw is the same.
        """
        device = observation.device if generator is None else generator.device
        choice = torch.randint(
            len(self.elites), (len(observation),), generator=generator, device=device
        ).to(observation.device)
        noise = torch.randn(
            len(observation), self.observation_size + 1, generator=generator, device=device
        ).to(observation.device)
        if members:
            everyone = self(observation, action, self.elites)
            rows = torch.arange(len(observation), device=observation.device)
            mean, variance = everyone.mean[choice, rows], everyone.variance[choice, rows]
        else:
            everyone = None
            one = self.in_environment(
                observation, *self._grouped(self.inputs(observation, action), choice)
            )
            mean, variance = one.mean, one.variance
        return mean + variance.sqrt() * noise, everyone

    def _grouped(self, inputs: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (batch, out) of elite `choice` (batch,) for its row: rows sorted by
        elite, groups padded to one size.
        """
        if not len(inputs):
            empty = inputs.new_zeros(0, self.observation_size + 1)
            return empty, empty
        order = torch.argsort(choice, stable=True)
        group = choice[order]
        counts = torch.bincount(choice, minlength=len(self.elites))
        place = torch.arange(len(choice), device=choice.device) - (counts.cumsum(0) - counts)[group]
        padded = inputs.new_zeros(len(self.elites), int(counts.max()), inputs.shape[-1])
        padded[group, place] = inputs[order]
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        mean, log_variance = self.outputs(padded, self.elites)
        return mean[group, place][back], log_variance[group, place][back]

    def in_environment(self, observation: Tensor, mean: Tensor, log_variance: Tensor) -> Members:
        mean = mean * self.target_scale + self.target_mean
        following = torch.cat([mean[..., :-1] + observation, mean[..., -1:]], -1)
        return Members(following, log_variance.exp() * self.target_scale**2)

    # --- files ------------------------------------------------------------------------------------

    def checkpoint(self) -> dict[str, Any]:
        """What a checkpoint needs to restore the ensemble: plain numbers, lists and tensors."""
        sizes = {
            "observation_size": self.observation_size,
            "action_size": self.action_size,
            "members": self.members,
            "elites": len(self.elites),
            "hidden": list(self.hidden),
        }
        return {
            "sizes": sizes,
            "weights": {
                name: value.detach().cpu().clone() for name, value in self.state_dict().items()
            },
        }

    def save(self, path: str | Path) -> None:
        """Write `checkpoint()` to a file for `load_ensemble`."""
        save_tensors({"ensemble": self.checkpoint()}, path)


def changes(observation: Tensor, next_observation: Tensor, reward: Tensor) -> Tensor:
    """What is predicted: (batch, observation + 1), the change of the observation and the reward, in
    units of the environment.
    """
    return torch.cat([next_observation - observation, reward[..., None]], -1)


def gaussian_loss(
    mean: Tensor, log_variance: Tensor, targets: Tensor, power: float = 0.0
) -> Tensor:
    """(members,): mean over rows and outputs of log s^2 + (y - mu)^2 / s^2, twice the negative
    log-likelihood without its constant.

    With `power`, weighted as in `GaussianEnsemble.loss`.
    """
    terms = log_variance + (targets - mean).square() * torch.exp(-log_variance)
    return (terms * torch.exp(power * log_variance.detach()) if power else terms).mean((-2, -1))


def load_ensemble(
    path: str | Path, *, observation_size: int | None = None, action_size: int | None = None
) -> GaussianEnsemble:
    """The ensemble in `ensemble.ckpt` or `last.ckpt` of a training, on the CPU, ready to predict.

    Raises CheckpointError for a missing or damaged file, and for one of another size than asked
    for.
    """
    try:
        saved = torch.load(path, weights_only=True, map_location="cpu")["ensemble"]
        ensemble = GaussianEnsemble(**saved["sizes"])
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such checkpoint: train first (worldplan fit --config configs/ensemble/...)"
        ) from None
    except Exception as error:  # torch raises many types for a damaged file
        raise CheckpointError(
            f"{path}: not an ensemble checkpoint ({type(error).__name__}): train again or restore a copy"
        ) from error
    for name, wanted in (("observation_size", observation_size), ("action_size", action_size)):
        if wanted is not None and getattr(ensemble, name) != wanted:
            size = name.replace("_", " ")
            raise CheckpointError(
                f"{path}: trained for {size} {getattr(ensemble, name)}, but this task has {wanted}: train for it"
            )
    try:
        ensemble.load_state_dict(saved["weights"])
    except (KeyError, AttributeError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: its weights do not fit its own sizes: train again or restore a copy"
        ) from error
    return ensemble.eval().requires_grad_(False)


class LearnedDynamics:
    """An ensemble as a `DynamicsModel`: every row follows one random elite, drawn anew at every
    step.

    A prediction that is not a number stays one: nothing is replaced or cut.

    Args:
        ensemble: trained; see `load_ensemble`.
        terminate: when an episode is over; see
            `worldplan.envs.dynamics.termination.termination_for`, or a learned classifier.
    """

    state_size = 0

    def __init__(self, ensemble: GaussianEnsemble, terminate: Termination) -> None:
        self.ensemble, self.terminate = ensemble, terminate
        self.observation_size, self.action_size = ensemble.observation_size, ensemble.action_size

    def to(self, device: torch.device | str) -> None:
        """Move what is learned to the device that batches come from."""
        self.ensemble.to(device)
        if isinstance(self.terminate, nn.Module):
            self.terminate.to(device)

    @torch.no_grad()
    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> Prediction:
        """One random step of a batch; with `members`, also what every elite says (the same draw,
        five times the work).
        """
        sample, everyone = self.ensemble.sample_elite(
            observation, action, generator=generator, members=members
        )
        following, reward = sample[:, :-1], sample[:, -1]
        return Prediction(
            following, reward, self.terminate(observation, action, following), members=everyone
        )
