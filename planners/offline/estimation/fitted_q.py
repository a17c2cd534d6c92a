"""Fitted Q evaluation (Le et al., 2019): the value of fixed policies from logged transitions.

    Q <- argmin_Q  E_data [r + gamma (1 - d) Qbar(s', pi(s')) - Q(s, a)]^2

with a slowly moving copy Qbar. Intervals come from a bootstrap over episodes (Kostrikov and Nachum,
2020; Hao et al., 2021): every network learns from its own resampled episodes, and its value is the
mean of Q(s_0, pi(s_0)) over the first states of these episodes. All networks of all policies are
one batched network.

The value is discounted and has no time limit: an episode that was truncated goes on in it. Only the
data's rewards bound it: targets are clamped to what receiving the least or the greatest of them for
ever is worth, which also keeps a diverging extrapolation finite.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.settings_check import check_fields
from worldplan.planners.base import Planner
from worldplan.planners.offline.estimation.estimate import Estimate, policy_actions
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.batched_mlp import BatchedMLP
from worldplan.world_models.training.seeds import torch_generator

_BLOCK = 100  # updates whose batches are drawn together
_FEW_EPISODES = 10  # below: the interval is too narrow


@dataclass(frozen=True)
class FittedQSettings:
    """Settings of the evaluation.

    Args:
        networks: bootstraps, and networks, per policy.
        hidden: widths of the ReLU layers.
        discount: gamma.
        updates: gradient steps.
        batch: transitions per step and network.
        rate: learning rate of Adam.
        target_rate: step of the copy Qbar towards Q, per update.

    Raises:
        ConfigError: a setting is out of its range.
    """

    networks: int = 10
    hidden: tuple[int, ...] = (64, 64)
    discount: float = 0.99
    updates: int = 10_000
    batch: int = 128
    rate: float = 1e-3
    target_rate: float = 0.05

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("networks", "updates", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}: must be at least 1")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError("hidden needs at least one layer of at least one unit")
        if not 0 < self.discount < 1 or not 0 < self.target_rate <= 1 or not self.rate > 0:
            raise ConfigError(
                f"discount {self.discount}, target_rate {self.target_rate}, rate {self.rate}: "
                "discount must be in (0, 1), target_rate in (0, 1], rate above 0"
            )


def fitted_q_evaluation(
    data: Transitions,
    policies: Sequence[Planner],
    settings: FittedQSettings | None = None,
    *,
    seed: int = 0,
) -> list[Estimate]:
    """The discounted value of each policy at the first states of the data's episodes.

    Args:
        data: of the task; the policies need not have acted in it.
        policies: each decides the same for the same observation.
        settings: of the evaluation.
        seed: of bootstraps, initial weights and batches.

    Returns:
        An estimate per policy, whose replicates are the bootstraps. Policies share the bootstraps,
        so differences between their replicates are paired.

    Raises:
        ConfigError: a policy does not fit the data, or decides for numbers that are not finite.
        DatasetError: there is a single episode, over which nothing can be resampled.
    """
    settings = settings or FittedQSettings()
    checks.of_type(settings, "settings", FittedQSettings)
    checks.whole_number(seed, "seed", least=0)
    if not policies:
        return []
    if len(data.starts) < 2:
        raise DatasetError(
            "the data hold a single episode: an interval needs several, collect more of them"
        )
    fit = _Fit(data, policies, settings, seed)
    fit.train(settings.updates - settings.updates // 4)
    before = fit.values()
    fit.train(settings.updates // 4)
    values = fit.values()
    return [
        Estimate.of(now, _note(then, now, len(data.starts)))
        for then, now in zip(before, values, strict=True)
    ]


def _note(before: np.ndarray, now: np.ndarray, episodes: int) -> str:
    """What weakens an estimate, from its replicates after 3/4 of the updates and at the end."""
    notes = []
    if len(now) > 1 and abs(now.mean() - before.mean()) > max(now.std(ddof=1), 1e-9):
        notes.append(f"still moving ({before.mean():.4g} to {now.mean():.4g}): more updates")
    if episodes < _FEW_EPISODES:
        notes.append(f"{episodes} episodes only: the interval is too narrow")
    return "; ".join(notes)


class _Fit:
    """The networks of all policies and bootstraps, policy by policy, with what they learn from.

    q = (1 - gamma) Q / scale is of order 1, where scale is the root mean square of the rewards.
    """

    def __init__(
        self, data: Transitions, policies: Sequence[Planner], settings: FittedQSettings, seed: int
    ) -> None:
        self.settings, self.policies = settings, len(policies)
        self.generator = torch_generator(seed, 1)
        counts = _resampled(len(data.starts), settings.networks, seed)
        self.rows, self.available = _rows_of(counts, data.lengths())
        self.weights = torch.from_numpy(counts / counts.sum(1, keepdims=True))
        self._keep_columns(data)
        self._keep_policies(data, policies)
        sizes = (self.inputs.shape[-1], *settings.hidden, 1)
        self.network = BatchedMLP(
            self.policies * settings.networks, sizes, generator=torch_generator(seed, 2)
        )
        with torch.no_grad():  # start from the mean reward for ever
            self.network.weights[-1].mul_(0.1)
            self.network.biases[-1].fill_(float(self.reward.mean()) / (1 - settings.discount))
        self.target = copy.deepcopy(self.network).requires_grad_(False)
        self.adam = torch.optim.Adam(self.network.parameters(), settings.rate, fused=True)

    def _keep_columns(self, data: Transitions) -> None:
        reward = data.reward.astype(np.float64)
        self.scale = float(np.sqrt(np.square(reward).mean())) or 1.0
        share = 1 - self.settings.discount
        self.reward = torch.from_numpy((share / self.scale * reward).astype(np.float32))
        self.going = torch.from_numpy((~data.terminated).astype(np.float32))
        least, most = float(reward.min()), float(reward.max())
        if data.terminated.any():  # a terminated episode earns 0 ever after
            least, most = min(least, 0.0), max(most, 0.0)
        self.bounds = (least / self.scale, most / self.scale)
        raw = np.concatenate([data.observation, data.action], 1).astype(np.float64)
        self.mean, std = raw.mean(0), raw.std(0)
        self.std = np.where(std <= 1e-6 * np.abs(self.mean) + 1e-12, 1.0, std)
        self.inputs = self._normalised(data.observation, data.action)

    def _keep_policies(self, data: Transitions, policies: Sequence[Planner]) -> None:
        """Inputs of every policy: at the next states (policies, n, in), at the first states of
        episodes (policies, episodes, in).
        """
        size, starts = data.action.shape[1], data.observation[data.starts]
        following: list[Tensor] = []
        first: list[Tensor] = []
        for policy in policies:
            for states, kept in ((data.next_observation, following), (starts, first)):
                kept.append(self._normalised(states, policy_actions(policy, states, size)))
        self.following, self.first = torch.stack(following), torch.stack(first)

    def _normalised(self, observation: np.ndarray, action: np.ndarray) -> Tensor:
        raw = np.concatenate([observation, action], 1)
        return torch.from_numpy(((raw - self.mean) / self.std).astype(np.float32))

    def train(self, updates: int) -> None:
        """Make so many gradient steps of all networks."""
        for first in range(0, updates, _BLOCK):
            count = min(_BLOCK, updates - first)
            shape = (count, self.settings.networks, self.settings.batch)
            uniform = torch.rand(shape, generator=self.generator, dtype=torch.float64)
            place = (uniform * self.available[:, None]).long()
            for step in range(count):
                self._step(self.rows.gather(1, place[step]))

    def _step(self, rows: Tensor) -> None:
        """One step on the transitions `rows` (networks, batch); policies share them."""
        networks, batch = rows.shape
        count = self.policies * networks
        with torch.no_grad():
            following = self.following[:, rows].view(count, batch, -1)
            value = self.target(following).view(self.policies, networks, batch)
            target = self.reward[rows] + self.settings.discount * self.going[rows] * value
            target = target.clamp_(*self.bounds).view(count, batch, 1)
        inputs = self.inputs[rows].expand(self.policies, networks, batch, -1)
        prediction = self.network(inputs.reshape(count, batch, -1))
        self.adam.zero_grad()
        # networks share no weights: the sum of their losses trains each on its own
        (prediction - target).square().mean((1, 2)).sum().backward()
        self.adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.target.parameters()),
                list(self.network.parameters()),
                self.settings.target_rate,
            )

    @torch.no_grad()
    def values(self) -> np.ndarray:
        """The value by each bootstrap, (policies, networks) float64, in units of the reward."""
        networks = self.settings.networks
        inputs = self.first.repeat_interleave(networks, 0)
        value = (
            self.target(inputs)[..., 0]
            .clamp(*self.bounds)
            .double()
            .view(self.policies, networks, -1)
        )
        mean = (value * self.weights).sum(-1)
        result: np.ndarray = (mean * self.scale / (1 - self.settings.discount)).numpy()
        return result


def _resampled(episodes: int, networks: int, seed: int) -> np.ndarray:
    """How often each network has each episode, (networks, episodes): multinomial."""
    generator = np.random.default_rng([seed, 3])
    return generator.multinomial(episodes, np.full(episodes, 1 / episodes), size=networks)


def _rows_of(counts: np.ndarray, lengths: np.ndarray) -> tuple[Tensor, Tensor]:
    """The rows of the resampled episodes, and how many there are.

    Args:
        counts: of each episode in each bootstrap, (networks, episodes).
        lengths: of the episodes, (episodes,); their rows follow each other.

    Returns:
        Row numbers (networks, most), padded with 0; and the number of rows (networks,) float64.
    """
    number = np.arange(lengths.sum())
    listed = [np.repeat(number, np.repeat(count, lengths)) for count in counts]
    rows = np.zeros((len(counts), max(map(len, listed))), np.int64)
    for place, of_network in enumerate(listed):
        rows[place, : len(of_network)] = of_network
    available = np.array([len(of_network) for of_network in listed], np.float64)
    return torch.from_numpy(rows), torch.from_numpy(available)
