"""The usual structure of ensemble training, as in the public code of RAVL and its ancestors: a
network per member in a Python loop, bootstrapped copies of the data, a DataLoader over single rows,
and a check member by member, at batch 256, with copies of all weights.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from worldplan.envs.dynamics.model import Members
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.model import BOUND_WEIGHT, MAX_LOG_VARIANCE, MIN_LOG_VARIANCE
from worldplan.world_models.ensemble.training import EnsembleModule, EnsembleSettings


class Member(nn.Module):
    """A single member, with heads for mean and log-variance."""

    def __init__(
        self, inputs: int, outputs: int, hidden: tuple[int, ...], generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = (inputs, *hidden)
        self.layers = nn.ModuleList(
            nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )
        self.mean, self.log_variance = (
            nn.Linear(hidden[-1], outputs),
            nn.Linear(hidden[-1], outputs),
        )
        for layer in (*self.layers, self.mean, self.log_variance):
            std = 1 / (2 * math.sqrt(layer.in_features))
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, hidden: Tensor, high: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.layers:
            hidden = nn.functional.silu(layer(hidden))
        log_variance = high - nn.functional.softplus(high - self.log_variance(hidden))
        return self.mean(hidden), low + nn.functional.softplus(log_variance - low)


class Copies(Dataset):
    """Bootstrapped copies of all rows, one per member, on the device; read row by row."""

    def __init__(
        self, inputs: Tensor, targets: Tensor, members: int, generator: torch.Generator, device: str
    ) -> None:
        places = torch.randint(len(inputs), (members, len(inputs)), generator=generator)
        self.inputs = inputs[places].to(device)
        self.change, self.reward = (
            targets[places][..., :-1].to(device),
            targets[places][..., -1:].to(device),
        )

    def __len__(self) -> int:
        return self.inputs.shape[1]

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.inputs[:, row], self.change[:, row], self.reward[:, row]


class Usual:
    """The ensemble as a list of members, and its training.

    Args:
        data: transitions.
        settings: of the training.
        seed: of all random numbers.
        device: where it trains.
        published: with raw targets and the plain likelihood, instead of ours.
    """

    def __init__(
        self,
        data: Transitions,
        settings: EnsembleSettings,
        seed: int,
        device: str,
        *,
        published: bool,
    ) -> None:
        module = EnsembleModule(data, settings, seed)  # for the same rows; its time is not counted
        self.settings, self.frame, self.device = settings, module.ensemble.to(device), device
        self.power = 0.0 if published else settings.power
        targets, held_targets = module.train_targets, module.held_targets
        if published:
            mean, scale = self.frame.target_mean.cpu(), self.frame.target_scale.cpu()
            targets, held_targets = targets * scale + mean, held_targets * scale + mean
            self.frame.target_mean.zero_(), self.frame.target_scale.fill_(1.0)
        generator = torch.Generator().manual_seed(seed)
        inputs, outputs = module.train_inputs.shape[1], targets.shape[1]
        self.members = [
            Member(inputs, outputs, settings.hidden, generator).to(device)
            for _ in range(settings.members)
        ]
        self.high = torch.full((outputs,), MAX_LOG_VARIANCE, requires_grad=True, device=device)
        self.low = torch.full((outputs,), MIN_LOG_VARIANCE, requires_grad=True, device=device)
        copies = Copies(module.train_inputs, targets, settings.members, generator, device)
        self.loader = DataLoader(
            copies, batch_size=settings.batch, shuffle=True, drop_last=True, generator=generator
        )
        self.check_loader = DataLoader(
            TensorDataset(module.held_inputs.to(device), held_targets.to(device)), batch_size=256
        )
        self.best = [math.inf] * settings.members
        self.kept = [copy.deepcopy(member.state_dict()) for member in self.members]
        self.optimizer = torch.optim.Adam(self._groups(), lr=settings.learning_rate)

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters with their weight decay."""
        groups: list[dict[str, Any]] = [{"params": [self.high, self.low]}]
        for member in self.members:
            decays = (*self.settings.weight_decay, self.settings.weight_decay[-1])
            for layer, decay in zip(
                (*member.layers, member.mean, member.log_variance), decays, strict=True
            ):
                groups += [
                    {"params": [layer.weight], "weight_decay": decay},
                    {"params": [layer.bias]},
                ]
        return groups

    def epoch(self) -> None:
        """One pass over the data and the check after it."""
        for inputs, change, reward in self.loader:
            loss = BOUND_WEIGHT * (self.high.sum() - self.low.sum())
            for index, member in enumerate(self.members):
                mean, log_variance = member(inputs[:, index], self.high, self.low)
                terms = log_variance + (
                    torch.cat([change[:, index], reward[:, index]], 1) - mean
                ).square() * torch.exp(-log_variance)
                loss = loss + (terms * torch.exp(self.power * log_variance.detach())).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()
        copies = [copy.deepcopy(member.state_dict()) for member in self.members]
        for index, error in enumerate(self._errors()):
            if error < 0.99 * self.best[index]:
                self.best[index], self.kept[index] = error, copies[index]

    @torch.no_grad()
    def _errors(self) -> list[float]:
        """Mean squared error of each member on the held-out rows."""
        means = []
        for member in self.members:
            errors = [
                (member(inputs, self.high, self.low)[0] - targets).square().mean()
                for inputs, targets in self.check_loader
            ]
            means.append(float(torch.stack(errors).mean()))
        return means

    def __call__(self, observation: Tensor, action: Tensor) -> Members:
        """Predictions as those of `GaussianEnsemble`, with the best weights so far."""
        now = [member.state_dict() for member in copy.deepcopy(self.members)]
        for member, kept in zip(self.members, self.kept, strict=True):
            member.load_state_dict(kept)
        predictions = [
            member(self.frame.inputs(observation, action), self.high, self.low)
            for member in self.members
        ]
        for member, before in zip(self.members, now, strict=True):
            member.load_state_dict(before)
        mean, log_variance = (torch.stack(part) for part in zip(*predictions, strict=True))
        return self.frame.in_environment(observation, mean, log_variance)
