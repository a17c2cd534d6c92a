"""The dynamics ensemble: the batched network against separate networks, sampling, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from worldplan.envs.dynamics.model import DynamicsModel
from worldplan.envs.dynamics.termination import never, walker2d
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.world_models.ensemble.learned_dynamics import LearnedDynamics
from worldplan.world_models.ensemble.model import (
    BOUND_WEIGHT,
    GaussianEnsemble,
    changes,
    load_ensemble,
)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ensemble(
    seed: int = 0, members: int = 4, elites: tuple[int, ...] = (2, 0, 3)
) -> GaussianEnsemble:
    """An untrained ensemble; biases, bounds and statistics differ from their initial values."""
    made = GaussianEnsemble(
        3, 2, members=members, elites=len(elites), hidden=(8, 8), generator=generator(seed)
    )
    source = generator(seed + 100)
    with torch.no_grad():
        for bias in made.biases:
            bias.normal_(generator=source)
        made.min_log_variance.fill_(-3.0)
    made.set_statistics(
        3 * torch.randn(50, 5, generator=source) + 1, 0.5 * torch.randn(50, 4, generator=source) - 1
    )
    made.elites.copy_(torch.tensor(elites))
    return made


def rows(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 3, generator=generator(seed)), torch.randn(
        count, 2, generator=generator(seed + 1)
    )


# --- the network ----------------------------------------------------------------------------------


def separate(whole: GaussianEnsemble, member: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for weight, bias in zip(whole.weights, whole.biases, strict=True):
        layer = nn.Linear(weight.shape[1], weight.shape[2])
        layer.weight.data, layer.bias.data = weight[member].T.clone(), bias[member, 0].clone()
        layers += [layer, nn.SiLU()]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def test_the_batched_network_is_the_separate_networks() -> None:
    """In units of the environment, by the formulas for a single member and row."""
    whole = ensemble()
    observation, action = rows(6)
    predicted = whole(observation, action)
    for member in range(4):
        network = separate(whole, member)
        for row in range(6):
            inputs = (
                torch.cat([observation[row], action[row]]) - whole.input_mean
            ) / whole.input_scale
            out = network(inputs.clamp(-10, 10))
            high, low = whole.max_log_variance[member, 0], whole.min_log_variance[member, 0]
            log_variance = high - torch.log1p(torch.exp(high - out[4:]))
            log_variance = low + torch.log1p(torch.exp(log_variance - low))
            mean = (
                out[:4] * whole.target_scale
                + whole.target_mean
                + torch.cat([observation[row], torch.zeros(1)])
            )
            torch.testing.assert_close(predicted.mean[member, row], mean)
            torch.testing.assert_close(
                predicted.variance[member, row], torch.exp(log_variance) * whole.target_scale**2
            )


@torch.no_grad()
@pytest.mark.parametrize("power", [0.0, 0.5])
def test_the_loss_is_the_sum_of_the_separate_losses(power: float) -> None:
    whole = ensemble()
    inputs, targets = (
        torch.randn(4, 9, 5, generator=generator(1)),
        torch.randn(4, 9, 4, generator=generator(2)),
    )
    mean, log_variance = whole.outputs(inputs)
    expected = 0.0
    for member in range(4):
        distribution = torch.distributions.Normal(
            mean[member], torch.exp(0.5 * log_variance[member])
        )
        density = distribution.log_prob(targets[member]) + 0.5 * np.log(2 * np.pi)
        expected += float((-2 * density * distribution.variance**power).mean())
    bounds = BOUND_WEIGHT * float(whole.max_log_variance[0].sum() - whole.min_log_variance[0].sum())
    assert float(whole.loss(inputs, targets, power)) == pytest.approx(expected + bounds, rel=1e-5)


def test_log_variances_stay_within_their_bounds() -> None:
    whole = ensemble()
    with torch.no_grad():
        _, log_variance = whole.outputs(1000 * torch.randn(4, 200, 5, generator=generator(1)))
    highest = -3 + np.log1p(np.exp(0.5 + 3))  # the lower bound is soft at the upper one, too
    assert float(log_variance.min()) >= -3 and float(log_variance.max()) <= highest + 1e-6
    assert float(log_variance.max() - log_variance.min()) > 2


def test_initial_weights_follow_their_distribution_and_differ_between_members_and_seeds() -> None:
    first, second = (
        GaussianEnsemble(5, 3, members=3, elites=2, hidden=(200, 200), generator=generator(seed))
        for seed in (0, 1)
    )
    weight = first.weights[1].detach()
    std = 1 / (2 * 200**0.5)
    assert float(weight.abs().max()) <= 2 * std
    assert float(weight.std()) == pytest.approx(0.8796 * std, rel=0.02), (
        "standard deviation of a normal cut at two"
    )
    assert not torch.equal(weight[0], weight[1]) and not torch.equal(
        weight, second.weights[1].detach()
    )
    again = GaussianEnsemble(5, 3, members=3, elites=2, hidden=(200, 200), generator=generator(0))
    assert all(
        torch.equal(weight, repeated)
        for weight, repeated in zip(first.parameters(), again.parameters(), strict=True)
    )


def test_a_column_that_never_moves_keeps_its_units() -> None:
    whole = GaussianEnsemble(2, 1, members=2, elites=1, hidden=(4,))
    inputs = torch.tensor([[1.0, 1e4, 0.0], [3.0, 1e4, 0.0], [5.0, 1e4, 0.0]])
    whole.set_statistics(inputs, inputs)
    assert whole.input_scale.tolist() == pytest.approx([(8 / 3) ** 0.5, 1.0, 1.0])
    assert whole.inputs(torch.tensor([[1e9, 1e4]]), torch.zeros(1, 1)).tolist() == [
        [10.0, 0.0, 0.0]
    ], "cut at ten deviations"


# --- sampling -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    count=st.integers(0, 40),
    seed=st.integers(0, 1000),
    elites=st.sampled_from([(0,), (2, 0), (1, 3, 0, 2)]),
)
def test_evaluating_only_the_member_a_row_needs_gives_the_same_draw(
    count: int, seed: int, elites: tuple[int, ...]
) -> None:
    model = LearnedDynamics(ensemble(seed, elites=elites), walker2d)
    observation, action = rows(count, seed)
    single = model.step(observation, action, generator=generator(seed))
    every = model.step(observation, action, generator=generator(seed), members=True)
    torch.testing.assert_close(single.next_observation, every.next_observation)
    torch.testing.assert_close(single.reward, every.reward)
    assert torch.equal(single.terminated, every.terminated)
    assert (
        single.members is None
        and every.members is not None
        and every.members.mean.shape == (len(elites), count, 4)
    )


def test_a_draw_comes_from_the_elite_that_was_drawn() -> None:
    """Against a slow computation: draw, then evaluate each row by itself."""
    whole = ensemble()
    observation, action = rows(12)
    prediction = LearnedDynamics(whole, never).step(observation, action, generator=generator(7))
    source = generator(7)
    choice, noise = torch.randint(3, (12,), generator=source), torch.randn(12, 4, generator=source)
    assert len(choice.unique()) == 3
    for row in range(12):
        predicted = whole(observation[row : row + 1], action[row : row + 1])
        member = int(whole.elites[choice[row]])
        expected = predicted.mean[member, 0] + predicted.variance[member, 0].sqrt() * noise[row]
        torch.testing.assert_close(
            torch.cat([prediction.next_observation[row], prediction.reward[row : row + 1]]),
            expected.detach(),
        )


def test_draws_have_the_moments_of_the_mixture_of_elites() -> None:
    whole = ensemble()
    observation, action = (part.repeat(40_000, 1) for part in rows(1))
    prediction = LearnedDynamics(whole, never).step(observation, action, generator=generator(0))
    drawn = torch.cat([prediction.next_observation, prediction.reward[:, None]], 1)
    predicted = whole(observation[:1], action[:1], whole.elites)
    mean = predicted.mean[:, 0].mean(0)
    variance = predicted.variance[:, 0].mean(0) + predicted.mean[:, 0].var(0, correction=0)
    torch.testing.assert_close(drawn.mean(0), mean.detach(), atol=0.05, rtol=0.02)
    torch.testing.assert_close(drawn.var(0), variance.detach(), atol=0, rtol=0.05)


def test_it_is_a_dynamics_model_and_ends_episodes_by_the_rule() -> None:
    model = LearnedDynamics(
        ensemble(), lambda observation, action, following: following[:, 0] > observation[:, 0]
    )
    assert isinstance(model, DynamicsModel) and (
        model.observation_size,
        model.action_size,
        model.state_size,
    ) == (3, 2, 0)
    observation, action = rows(50)
    prediction = model.step(observation, action, generator=generator(0))
    assert torch.equal(prediction.terminated, prediction.next_observation[:, 0] > observation[:, 0])
    assert (
        prediction.terminated.any() and not prediction.terminated.all() and prediction.state is None
    )
    assert not prediction.next_observation.requires_grad


def test_predictions_that_are_not_finite_are_passed_on() -> None:
    observation, action = rows(6)
    observation[2, 0] = torch.nan
    action[4, 1] = torch.nan
    prediction = LearnedDynamics(ensemble(), never).step(
        observation, action, generator=generator(0)
    )
    assert torch.isnan(prediction.reward).tolist() == [False, False, True, False, True, False]
    assert torch.isnan(prediction.next_observation).all(1).tolist() == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]


def test_rows_of_another_size_are_named() -> None:
    with pytest.raises(ConfigError, match=r"\(2, 3\).*\(3, 2\)"):
        LearnedDynamics(ensemble(), never).step(torch.zeros(1, 2), torch.zeros(1, 3))


# --- files ----------------------------------------------------------------------------------------


def test_a_saved_ensemble_predicts_the_same(tmp_path: Path) -> None:
    whole = ensemble()
    whole.save(tmp_path / "one.ckpt")
    same = load_ensemble(tmp_path / "one.ckpt", observation_size=3, action_size=2)
    observation, action = rows(5)
    for which in (None, whole.elites):
        assert torch.equal(
            whole(observation, action, which).mean, same(observation, action, which).mean
        )
        assert torch.equal(
            whole(observation, action, which).variance, same(observation, action, which).variance
        )
    assert same.elites.tolist() == [2, 0, 3]
    assert not any(parameter.requires_grad for parameter in same.parameters()) and not same.training


def test_a_file_that_does_not_fit_is_named(tmp_path: Path) -> None:
    good, damaged, other, mixed = (
        tmp_path / f"{name}.ckpt" for name in ("good", "cut", "other", "mixed")
    )
    ensemble().save(good)
    damaged.write_bytes(good.read_bytes()[:2000])
    torch.save({"sequoia": {}}, other)
    for path in (damaged, other):
        with pytest.raises(CheckpointError, match=rf"{path.name}: not an ensemble checkpoint"):
            load_ensemble(path)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_ensemble(tmp_path / "missing.ckpt")
    with pytest.raises(CheckpointError, match=r"observation size 3, but this task has 11"):
        load_ensemble(good, observation_size=11)
    with pytest.raises(CheckpointError, match=r"action size 2, but this task has 1"):
        load_ensemble(good, action_size=1)
    saved = torch.load(good, weights_only=True)
    saved["ensemble"]["sizes"]["hidden"] = [8, 7]
    torch.save(saved, mixed)
    with pytest.raises(CheckpointError, match="do not fit its own sizes"):
        load_ensemble(mixed)


def test_more_elites_than_members_are_refused() -> None:
    with pytest.raises(ConfigError, match="5 elites out of 4"):
        GaussianEnsemble(3, 2, members=4, elites=5)


def test_the_change_of_the_observation_is_predicted() -> None:
    assert changes(
        torch.tensor([[1.0, 2.0]]), torch.tensor([[1.5, 0.0]]), torch.tensor([7.0])
    ).tolist() == [[0.5, -2.0, 7.0]]
