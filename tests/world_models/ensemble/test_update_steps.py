"""Weights and moments after steps of the ensemble's and the termination classifier's training,
against separate plain networks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.updates import PLAIN, assert_same_state, optimizers_seen, plain_optimizer, state_of
from tests.world_models.ensemble.test_ensemble import separate
from tests.world_models.ensemble.test_ensemble_training import transitions
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.model import BOUND_WEIGHT
from worldplan.world_models.ensemble.termination import TerminationClassifier, fit_termination
from worldplan.world_models.ensemble.training import EnsembleModule, EnsembleSettings


class Separate:
    """Members as networks of their own that share the tensors of the bounds, in one plain Adam."""

    def __init__(self, module: EnsembleModule) -> None:
        whole, self.settings = module.ensemble, module.settings
        self.networks = [separate(whole, member) for member in range(whole.members)]
        self.high, self.low = (
            bound[0, 0].detach().clone().requires_grad_()
            for bound in (whole.max_log_variance, whole.min_log_variance)
        )
        groups: list[dict[str, Any]] = [{"params": [self.high, self.low]}]
        for network in self.networks:
            for layer, decay in zip(network[::2], self.settings.weight_decay, strict=True):
                groups.append({"params": [layer.weight], "weight_decay": decay})
                groups.append({"params": [layer.bias]})
        self.adam = torch.optim.Adam(groups, self.settings.learning_rate, **PLAIN)

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        """One step on rows (members, batch, ...)."""
        loss = BOUND_WEIGHT * (self.high.sum() - self.low.sum())
        for network, rows, expected in zip(self.networks, inputs, targets, strict=True):
            mean, log_variance = network(rows).chunk(2, -1)
            log_variance = self.high - torch.log1p((self.high - log_variance).exp())
            log_variance = self.low + torch.log1p((log_variance - self.low).exp())
            terms = log_variance + (mean - expected) ** 2 / log_variance.exp()
            loss = loss + (terms * log_variance.detach().exp() ** self.settings.power).mean()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()

    def state(self) -> dict[str, Tensor]:
        """In the names and shapes of `state_of` the ensemble."""
        state: dict[str, Tensor] = {}
        for index in range(len(self.networks[0][::2])):
            layers: list[Any] = [network[2 * index] for network in self.networks]
            self._add(state, f"weights.{index}", [layer.weight for layer in layers], lambda w: w.T)
            self._add(state, f"biases.{index}", [layer.bias for layer in layers], lambda b: b[None])
        for name, bound in (("max_log_variance", self.high), ("min_log_variance", self.low)):
            self._add(state, name, [bound] * len(self.networks), lambda b: b[None])
        return state

    def _add(
        self,
        state: dict[str, Tensor],
        name: str,
        parameters: list[Tensor],
        shaped: Callable[[Tensor], Tensor],
    ) -> None:
        state[name] = torch.stack([shaped(parameter.detach()) for parameter in parameters])
        for moment in ("exp_avg", "exp_avg_sq"):
            values = [shaped(self.adam.state[parameter][moment]) for parameter in parameters]
            state[f"{moment} of {name}"] = torch.stack(values)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.integers(1, 6), min_size=1, max_size=3) | st.sampled_from([[5, 5], [4, 4, 4]]),
    st.sampled_from([0.0, 0.5]),
    st.integers(1, 4),
    st.integers(0, 10**6),
)
def test_ensemble_steps_are_those_of_separate_networks(
    members: int, hidden: list[int], power: float, steps: int, seed: int
) -> None:
    numbers = EnsembleSettings(
        members=members,
        elites=1,
        hidden=tuple(hidden),
        weight_decay=tuple(0.03 * index for index in range(len(hidden) + 1)),
        batch=16,
        power=power,
        learning_rate=3e-3,
    )
    module = EnsembleModule(transitions(), numbers, seed).double()
    plain, adam = Separate(module), module.configure_optimizers()
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = module.bootstrap[:, torch.randint(300, (16,), generator=generator)]
        module._gradient_step(adam, rows)
        plain.step(module.train_inputs[rows], module.train_targets[rows])
    expected, actual = plain.state(), state_of(module.ensemble, [adam])
    assert {name for name in actual if "weights" in name} == {
        name for name in expected if "weights" in name
    } | {f"step of weights.{index}" for index in range(len(hidden) + 1)}
    assert_same_state({name: actual[name] for name in expected}, expected)


def falls(rows: int, seed: int) -> Transitions:
    """A third of the rows end."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(rows, size)).astype(np.float32) for size in (3, 2, 3)]
    ended = parts[2][:, 0] > 0.4
    reward = np.zeros(rows, np.float32)
    return Transitions(*parts[:2], reward, parts[2], ended, ~ended, np.arange(rows))


@pytest.mark.parametrize("hidden", [(4,), (5, 5), (3, 6, 3)])
@pytest.mark.parametrize("seed", range(4))
def test_the_termination_classifier_steps_like_a_plain_one(
    hidden: tuple[int, ...], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start: list[TerminationClassifier] = []
    batches: list[Tensor] = []
    score = TerminationClassifier.score

    def recorded(self: TerminationClassifier, rows: Tensor) -> Tensor:
        if not start:
            start.append(copy.deepcopy(self))
        batches.append(rows)
        return score(self, rows)

    monkeypatch.setattr(TerminationClassifier, "score", recorded)
    data, default = falls(200, seed), torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with optimizers_seen() as seen:
            learned = fit_termination(
                data, torch.Generator().manual_seed(seed), hidden=hidden, steps=4, batch=8
            )
    finally:
        torch.set_default_dtype(default)
    (plain,) = start
    (adam,) = seen
    assert adam.defaults["lr"] == 1e-3 and adam.defaults["weight_decay"] == 1e-2
    plain_adam = plain_optimizer(adam, learned, plain)
    for rows in batches[:4]:
        ended = (rows[:, 5] > 0.4).to(rows.dtype)
        assert ended.tolist() == [0.0] * 4 + [1.0] * 4
        hidden_rows = ((rows - plain.mean) / plain.scale).clamp(-10, 10)
        layers = list(zip(plain.network.weights, plain.network.biases, strict=True))
        for index, (weight, bias) in enumerate(layers):
            hidden_rows = hidden_rows @ weight[0] + bias[0]
            if index < len(layers) - 1:
                hidden_rows = hidden_rows * torch.sigmoid(hidden_rows)
        log_odds = hidden_rows[:, 0]
        loss = (torch.log1p(log_odds.exp()) - ended * log_odds).mean()
        plain_adam.zero_grad()
        loss.backward()
        plain_adam.step()
    plain.threshold.copy_(learned.threshold)
    assert_same_state(state_of(learned, [adam]), state_of(plain, [plain_adam]))
