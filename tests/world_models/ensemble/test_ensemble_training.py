"""Training of the dynamics ensemble: gradients, what is kept, when it stops, and how it comes back
after a kill.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import worldplan.world_models.ensemble.training as training
import worldplan.world_models.training.journal as journal
import worldplan.world_models.training.saved as saved
from tests.places import CONFIGS
from tests.world_models.ensemble.test_ensemble import separate
from worldplan.commands.fit import lightning_main
from worldplan.milp.errors import CheckpointError, ConfigError, DatasetError, Diverged
from worldplan.world_models.data.files import save_npz
from worldplan.world_models.data.held_out import hold_out
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.model import BOUND_WEIGHT, load_ensemble
from worldplan.world_models.ensemble.training import (
    EnsembleModule,
    EnsembleSettings,
    compiled,
)
from worldplan.world_models.training.trainer import fit

ENSEMBLES = CONFIGS / "ensemble"
SMALL = EnsembleSettings(
    members=3,
    elites=2,
    hidden=(16, 16),
    weight_decay=(1e-5, 1e-5, 1e-5),
    batch=32,
    epochs=4,
    learning_rate=3e-3,
)


def transitions(
    episodes: int = 20, length: int = 20, seed: int = 0, scale: float = 1.0
) -> Transitions:
    """A noisy linear system with a smooth bend."""
    rng = np.random.default_rng(seed)
    observation, parts = rng.normal(size=(episodes, 3)).astype(np.float32), []
    for step in range(length):
        action = rng.uniform(-1, 1, (episodes, 2)).astype(np.float32)
        following = (
            0.9 * observation
            + 0.3 * np.sin(action[:, :1] + observation)
            + 0.01 * rng.normal(size=observation.shape)
        ).astype(np.float32)
        parts.append(
            (
                observation,
                action,
                scale * (observation.sum(1) + rng.normal(size=episodes) / 10),
                following,
                np.full(episodes, step == length - 1),
                np.arange(episodes),
            )
        )
        observation = following
    obs, action, reward, following, last, episode = (
        np.stack(part, 1).reshape(episodes * length, *part[0].shape[1:])
        for part in zip(*parts, strict=True)
    )
    return Transitions(obs, action, reward, following, np.zeros(len(last), bool), last, episode)


# --- training -------------------------------------------------------------------------------------


def test_gradients_are_those_of_separate_networks_with_shared_bounds() -> None:
    """A step against autograd through a loop over members that share the tensors of the bounds."""
    module = EnsembleModule(transitions(), SMALL, seed=1)
    assert SMALL.power == 0.5
    whole = module.ensemble
    places = torch.randint(300, (3, 32), generator=torch.Generator().manual_seed(0))
    networks = [separate(whole, member) for member in range(3)]
    high, low = (
        bound[0, 0].detach().clone().requires_grad_()
        for bound in (whole.max_log_variance, whole.min_log_variance)
    )
    loss = BOUND_WEIGHT * (high.sum() - low.sum())
    for member, network in enumerate(networks):
        mean, log_variance = network(module.train_inputs[places[member]]).chunk(2, -1)
        log_variance = high - nn.functional.softplus(high - log_variance)
        log_variance = low + nn.functional.softplus(log_variance - low)
        terms = (
            log_variance + (mean - module.train_targets[places[member]]) ** 2 / log_variance.exp()
        )
        loss = loss + (terms * log_variance.detach().exp() ** 0.5).mean()
    loss.backward()
    actual = module._gradient_step(module.configure_optimizers(), places)
    assert float(actual) == pytest.approx(float(loss.detach()), rel=1e-5)
    for index, (weight, bias) in enumerate(zip(whole.weights, whole.biases, strict=True)):
        for member, network in enumerate(networks):
            layer: Any = network[2 * index]
            torch.testing.assert_close(weight.grad[member], layer.weight.grad.T)
            torch.testing.assert_close(bias.grad[member, 0], layer.bias.grad)
    for bound, single in ((whole.max_log_variance, high), (whole.min_log_variance, low)):
        torch.testing.assert_close(bound.grad, single.grad.expand(3, 1, 4))  # type: ignore[union-attr]
        assert (bound == bound[0]).all()


def test_members_see_their_own_bootstrap_of_the_training_rows_only() -> None:
    module = EnsembleModule(transitions(), SMALL, seed=2)
    count = len(module.train_inputs)
    assert (
        module.bootstrap.shape == (3, count)
        and module.bootstrap.dtype == torch.int32
        and int(module.bootstrap.max()) < count
    )
    share = [len(row.unique()) / count for row in module.bootstrap]
    assert all(0.55 < part < 0.71 for part in share), "1 - 1/e of the rows"
    assert not torch.equal(module.bootstrap[0], module.bootstrap[1])
    torch.testing.assert_close(module.train_targets.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(module.train_inputs.std(0, correction=0), torch.ones(5))


@settings(deadline=None, max_examples=40)
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=40), seed=st.integers(0, 99))
def test_what_is_held_out(lengths: list[int], seed: int) -> None:
    episode = np.repeat(np.random.default_rng(seed).permutation(len(lengths)), lengths)
    if len(episode) < 5:
        with pytest.raises(DatasetError, match="too few"):
            hold_out(episode, np.random.default_rng(seed))
        return
    mask = hold_out(episode, np.random.default_rng(seed))
    assert 1 <= mask.sum() <= 0.2 * len(episode)
    if len(lengths) >= 10 and min(lengths) * 5 <= len(episode) and max(lengths) * 5 <= len(episode):
        assert len(set(episode[mask]) & set(episode[~mask])) <= 1, "one episode is divided at most"


def test_at_most_ten_thousand_rows_are_held_out() -> None:
    assert hold_out(np.repeat(np.arange(1000), 100), np.random.default_rng(0)).sum() == 10_000
    assert hold_out(np.zeros(100_000), np.random.default_rng(0)).sum() == 10_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert fit(EnsembleModule(transitions(), SMALL, 3), folder) == folder / "ensemble.ckpt"
    return folder


def test_training_learns_the_system(tmp_path: Path) -> None:
    settings_ = replace(SMALL, epochs=25, learning_rate=1e-2)
    path = fit(EnsembleModule(transitions(60), settings_), tmp_path)
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    assert metrics["best_val_mse"].iloc[-1] < 0.05 < metrics["val_mse"].iloc[0]
    assert metrics["train_loss"].iloc[-1] < metrics["train_loss"].iloc[0]
    fresh = transitions(10, seed=9)
    observation, action, following = (
        torch.as_tensor(column)
        for column in (fresh.observation, fresh.action, fresh.next_observation)
    )
    model = load_ensemble(path, observation_size=3, action_size=2)
    with torch.no_grad():
        predicted = model(observation, action, model.elites)
    error = (predicted.mean[..., :3].mean(0) - following).square().mean() / (
        following - observation
    ).var()
    assert float(error) < 0.1
    inside = (
        torch.cat([following, torch.as_tensor(fresh.reward)[:, None]], 1) - predicted.mean
    ).abs() < 2 * predicted.variance.sqrt()
    assert 0.85 < float(inside.float().mean()) <= 1.0, "the variances fit the errors"


def test_best_weights_and_elites_follow_the_held_out_error(trained: Path) -> None:
    """The kept members, evaluated again, have exactly the errors in the metrics; the elites are the
    lowest of them.
    """
    data = transitions()
    model = load_ensemble(trained / "ensemble.ckpt")
    held = hold_out(data.episode, np.random.default_rng([3, 1]))
    columns = [
        torch.as_tensor(column[held])
        for column in (data.observation, data.action, data.next_observation, data.reward)
    ]
    with torch.no_grad():
        mean, _ = model.outputs(model.inputs(*columns[:2]))
        error = (mean - model.targets(columns[0], columns[2], columns[3])).square().mean((1, 2))
    table = pd.read_csv(trained / "metrics.csv")[[f"val_mse_{i}" for i in range(3)]].to_numpy()
    best = table[0]
    for row in table[1:]:
        best = np.where(row < 0.99 * best, row, best)
    np.testing.assert_allclose(error.numpy(), best, rtol=1e-4)
    assert model.elites.tolist() == best.argsort()[:2].tolist()


def test_training_stops_when_no_member_improves(tmp_path: Path) -> None:
    settings_ = replace(SMALL, epochs=40, improvement=0.9, patience=2)
    fit(EnsembleModule(transitions(), settings_), tmp_path)
    table = pd.read_csv(tmp_path / "metrics.csv")[[f"val_mse_{i}" for i in range(3)]].to_numpy()
    assert len(table) < 40
    best, stale = np.full(3, np.inf), 0
    for row in table:
        better = row < 0.1 * best
        best, stale = np.where(better, row, best), 0 if better.any() else stale + 1
        assert stale <= 2
    assert stale == 2


def test_seeds_are_independent_and_repeat(trained: Path, tmp_path: Path) -> None:
    again = fit(EnsembleModule(transitions(), SMALL, 3), tmp_path / "again")
    other = fit(EnsembleModule(transitions(), SMALL, 4), tmp_path / "other")
    weights = [
        load_ensemble(path).state_dict() for path in (trained / "ensemble.ckpt", again, other)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not any(
        torch.equal(weights[0][name], weights[2][name])
        for name in weights[0]
        if name.startswith("weights")
    )


# --- interruptions --------------------------------------------------------------------------------


class Stop(BaseException):
    """Like a power cut, but within the process."""


def assert_same_result(folder: Path, expected: Path) -> None:
    assert (folder / "metrics.csv").read_text() == (expected / "metrics.csv").read_text()
    first, second = (
        load_ensemble(path / "ensemble.ckpt").state_dict() for path in (folder, expected)
    )
    assert all(torch.equal(first[name], second[name]) for name in second)
    assert sorted(path.name for path in folder.iterdir() if path.name != ".lock") == [
        "done",
        "ensemble.ckpt",
        "last.ckpt",
        "metrics.csv",
    ]


@pytest.mark.parametrize(
    ("place", "call"),
    [
        ("EnsembleModule.training_step", 3),
        ("EnsembleModule.validation_step", 2),
        ("replace_file", 4),
        ("replace_file", 6),
        ("replace_file", 13),
    ],
)
def test_an_interrupted_training_ends_with_the_same_bits(
    place: str, call: int, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut within an epoch, within a check, before each kind of file of an epoch, and after the last
    epoch.
    """
    owner, _, name = place.rpartition(".")
    targets: list[Any] = [EnsembleModule] if owner else [training, journal, saved]
    whole: Callable[..., Any] = getattr(targets[0], name)
    calls = []

    def cut(*arguments: Any) -> Any:
        calls.append(name)
        if len(calls) == call:
            raise Stop
        return whole(*arguments)

    with monkeypatch.context() as patch:
        for target in targets:
            patch.setattr(target, name, cut)
        with pytest.raises(Stop):
            fit(EnsembleModule(transitions(), SMALL, 3), tmp_path)
    assert not (tmp_path / "done").exists()
    fit(EnsembleModule(transitions(), SMALL, 3), tmp_path)
    assert_same_result(tmp_path, trained)


def killed_in_epoch_2(command: Callable[..., object], *arguments: Any, **named: Any) -> None:
    """Run it in a process of its own that is killed without warning."""

    def run() -> None:
        whole, steps = EnsembleModule.training_step, []

        def step(self: EnsembleModule, block: int, batch_idx: int) -> None:
            steps.append(block)
            if len(steps) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            whole(self, block, batch_idx)

        EnsembleModule.training_step = step  # type: ignore[method-assign]
        torch.set_num_threads(1)  # threads do not survive a fork
        command(*arguments, **named)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def test_a_killed_training_ends_with_the_same_bits(trained: Path, tmp_path: Path) -> None:
    killed_in_epoch_2(lambda: fit(EnsembleModule(transitions(), SMALL, 3), tmp_path))
    assert len(pd.read_csv(tmp_path / "metrics.csv")) == 2 and not (tmp_path / "done").exists()
    fit(EnsembleModule(transitions(), SMALL, 3), tmp_path)
    assert_same_result(tmp_path, trained)


def test_a_killed_command_ends_with_the_same_bits(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`worldplan fit` on the shipped configuration, continued by the same command."""
    save_npz(transitions(), tmp_path / "data.npz")
    config = yaml.safe_load((ENSEMBLES / "inverted-double-pendulum.yaml").read_text())
    numbers = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(SMALL).items()
    }
    config["model"]["init_args"] = {"data": "data.npz", "settings": numbers}
    config["seed_everything"] = 3
    config["trainer"] |= {"accelerator": "cpu", "enable_progress_bar": False}
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    killed_in_epoch_2(lightning_main, ["fit", "--config", "fit.yaml"])
    run = tmp_path / config["trainer"]["default_root_dir"]
    lightning_main(["fit", "--config", "fit.yaml"])
    assert (run / "metrics.csv").read_text() == (trained / "metrics.csv").read_text()
    first, second = (
        load_ensemble(folder / "ensemble.ckpt").state_dict() for folder in (run, trained)
    )
    assert all(torch.equal(first[name], second[name]) for name in second)
    assert (run / "config.yaml").exists() and (run / "versions.json").exists()


@pytest.mark.parametrize("path", sorted(ENSEMBLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_settings_are_valid(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    settings_ = EnsembleSettings(**config["model"]["init_args"]["settings"])
    assert config["model"]["init_args"]["data"].startswith("worldplan/") and config["model"][
        "init_args"
    ]["data"].endswith("-own-v0")
    assert config["trainer"]["default_root_dir"] == f"runs/ensemble/{path.stem}"
    if path.stem.startswith("hopper"):
        assert (
            tuple(settings_.hidden) == EnsembleSettings().hidden
            and tuple(settings_.weight_decay) == EnsembleSettings().weight_decay
        )


def test_finished_training_is_not_repeated(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EnsembleModule, "training_step", None)
    monkeypatch.setattr(EnsembleModule, "on_train_epoch_start", None)
    assert fit(EnsembleModule(transitions(), SMALL, 3), trained) == trained / "ensemble.ckpt"


@pytest.mark.parametrize(
    ("data", "settings_", "seed"),
    [
        (transitions(scale=2.0), SMALL, 3),
        (transitions(), replace(SMALL, batch=31), 3),
        (transitions(), SMALL, 4),
    ],
)
def test_another_training_never_continues_this_one(
    trained: Path, data: Transitions, settings_: EnsembleSettings, seed: int
) -> None:
    with pytest.raises(CheckpointError, match=r"last.ckpt.*other data, settings or another seed"):
        fit(EnsembleModule(data, settings_, seed), trained)


def test_a_loss_that_is_no_number_names_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "worldplan.world_models.ensemble.model.gaussian_loss",
            lambda mean, log_variance, targets, power: mean.sum((1, 2)) * torch.inf,
        )
        with pytest.raises(Diverged, match=r"epoch 0: lower learning_rate; there is no checkpoint"):
            fit(EnsembleModule(transitions(), SMALL, 3), tmp_path / "first")
    step = EnsembleModule._gradient_step

    def breaks(self: EnsembleModule, optimizer: torch.optim.Optimizer, places: Tensor) -> Tensor:
        return step(self, optimizer, places) * (torch.nan if self.current_epoch == 2 else 1.0)

    monkeypatch.setattr(EnsembleModule, "_gradient_step", breaks)
    with pytest.raises(
        Diverged, match=r"nan in epoch 2.*last good checkpoint is .*second/ensemble.ckpt"
    ):
        fit(EnsembleModule(transitions(), SMALL, 3), tmp_path / "second")
    assert torch.isfinite(load_ensemble(tmp_path / "second/ensemble.ckpt").weights[0]).all()


def test_a_damaged_state_is_named(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes((trained / "last.ckpt").read_bytes()[:3000])
    with pytest.raises(CheckpointError, match=r"last.ckpt: cannot continue.*delete it"):
        fit(EnsembleModule(transitions(), SMALL, 3), tmp_path)


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden": (16,)}, "weight_decay"),
        ({"elites": 4}, "elites"),
        ({"batch": 0}, "batch"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"power": 2.0}, "power"),
    ],
)
def test_settings_that_make_no_sense_are_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(SMALL, **change)


def test_compiling_without_a_compiler_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"compile: true needs a C\+\+ compiler"):
        compiled(lambda first, second: first)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
def test_the_compiled_loss_is_the_loss() -> None:
    plain, fast = (
        EnsembleModule(transitions(), replace(SMALL, compile=choice), seed=1)
        for choice in (False, True)
    )
    for module in (plain, fast):
        optimizer = module.configure_optimizers()
        for step in range(3):
            module._gradient_step(optimizer, module.bootstrap[:, 32 * step : 32 * (step + 1)])
    for first, second in zip(plain.ensemble.parameters(), fast.ensemble.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)
