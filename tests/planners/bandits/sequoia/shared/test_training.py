"""Training of the network of shared weights: steps, targets, starts, resuming."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.planners.bandits.sequoia.shared.plain import PlainArms
from tests.planners.bandits.sequoia.test_resume import Stop, assert_same, stopping, weights
from tests.planners.bandits.sequoia.test_sequoia import SMALL, reward
from tests.planners.bandits.sequoia.test_sequoia_steps import rate, smooth_l1
from tests.updates import PLAIN, assert_same_state, optimizers_seen, state_of
from worldplan.envs.bandits.domains import generate
from worldplan.milp.errors import ConfigError
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.planners.bandits.sequoia.shared.network import SharedQNetwork
from worldplan.planners.bandits.sequoia.shared.planner import SharedPlanner
from worldplan.planners.bandits.sequoia.shared.training import SharedModule
from worldplan.planners.bandits.sequoia.training import SequoiaModule, module_for
from worldplan.world_models.training.trainer import fit

SHARED = replace(SMALL, network="shared", hidden=(5, 6))
SHORT = replace(SHARED, pretrain_steps=2, updates=3, check_every=5, batch=4, check_episodes=2)


class PlainNetwork(nn.Module):
    """The network again, in loops.

    Args:
        first: whose weights it begins with.
        arms: of the programme.
    """

    def __init__(self, first: SharedQNetwork, arms: PlainArms) -> None:
        super().__init__()
        self.start, self.arms, self.kind = first.start, arms, first.kind
        for name in ("encode", "row", "context", "tail"):
            setattr(self, name, copy.deepcopy(getattr(first, name)))

    def forward(self, state: Tensor, left: Tensor, actions: Tensor) -> Tensor:
        given = dict(self.named_parameters())
        rows = [
            torch.stack(
                [
                    self.arms.action_value(
                        given, self.start, row.numpy(), int(steps), action.numpy()
                    )
                    for action in chosen
                ]
            )
            for row, steps, chosen in zip(state, left, actions, strict=True)
        ]
        return torch.stack(rows)


@pytest.mark.parametrize(
    ("domain", "changes"),
    [("capacity", {}), ("budget", {"pretrain": "none", "pretrain_steps": 0, "target_rate": 0.3}),
     ("interventions", {"pretrain": "fluid", "rate_decay": 0.5})],
)  # fmt: skip
def test_steps_equal_plain_ones(
    domain: str, changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches and chosen actions are recorded; values, targets, losses, clipping, rates and slow
    copies are computed again, from the programme and the first weights on.
    """
    instance = generate(domain, 4, 2, seed=1, horizon=2)
    settings = replace(SHORT, **changes)
    module = SharedModule(instance, settings, 1)
    for part in (module.network, module.target):
        part.double()
        nn.init.normal_(part.tail[-1].weight, generator=torch.Generator().manual_seed(3))
    inputs: list[tuple[Tensor, ...]] = []
    targets: list[Tensor] = []
    samples: list[dict[str, Tensor]] = []
    begun: list[SharedQNetwork] = []
    forward, loss_of = module.network.forward, nn.functional.smooth_l1_loss
    sample, slow_forward = module._simulation.sample, module.target.forward
    follow: list[Tensor] = []

    def recorded_forward(state: Tensor, left: Tensor, actions: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            inputs.append((state, left, actions.double()))
            if not begun:
                begun.append(copy.deepcopy(module.network))
            return forward(state, left, actions)
        return forward(state, left, actions).float()  # to choose actions

    def recorded_loss(values: Tensor, target: Tensor) -> Tensor:
        targets.append(target.double())
        return loss_of(values, targets[-1])

    def recorded_sample(rng: np.random.Generator) -> dict[str, Tensor]:
        samples.append(sample(rng))
        return samples[-1]

    def recorded_slow(state: Tensor, left: Tensor, actions: Tensor) -> Tensor:
        follow.append(actions)
        return slow_forward(state, left, actions)

    monkeypatch.setattr(module.network, "forward", recorded_forward)
    monkeypatch.setattr(module.target, "forward", recorded_slow)
    monkeypatch.setattr(module._simulation, "sample", recorded_sample)
    monkeypatch.setattr(nn.functional, "smooth_l1_loss", recorded_loss)
    with optimizers_seen() as seen:
        fit(module, tmp_path)

    arms = PlainArms(module.features.tables)
    plain = PlainNetwork(begun[0], arms)
    slow = copy.deepcopy(plain)
    adam = torch.optim.AdamW(plain.parameters(), lr=1.0, amsgrad=True, weight_decay=1e-4, **PLAIN)
    assert len(inputs) == settings.pretrain_steps + settings.updates
    for step, ((state, left, actions), target) in enumerate(zip(inputs, targets, strict=True)):
        adam.param_groups[0]["lr"] = rate(settings, instance.horizon, step)
        update = step - settings.pretrain_steps
        if update >= 0:
            expected = plain_targets(arms, slow, samples[update], follow[update])
            torch.testing.assert_close(target, expected, rtol=1e-4, atol=1e-4)
        values = plain(state, left, actions)
        adam.zero_grad()
        smooth_l1(values.reshape(target.shape) - target).backward()
        gradients = [weight.grad for weight in plain.parameters() if weight.grad is not None]
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        for gradient in gradients:
            gradient.mul_((5 / (norm + 1e-6)).clamp(max=1))
        adam.step()
        share = 1.0 if update < 0 else settings.target_rate
        with torch.no_grad():
            for slow_weight, weight in zip(slow.parameters(), plain.parameters(), strict=True):
                slow_weight += share * (weight - slow_weight)
    # features and starts have single precision in the training
    loose = {"rtol": 1e-3, "atol": 1e-5}
    ours, theirs = state_of(module.network, []), state_of(plain, [])
    assert_same_state(ours, theirs, **loose)
    assert_same_state(state_of(module.target, []), state_of(slow, []), **loose)
    assert seen


def plain_targets(
    arms: PlainArms, slow: PlainNetwork, batch: dict[str, Tensor], follow: Tensor
) -> Tensor:
    """r + Q_slow(s', a') less what the values at the prices gained by chance."""
    model, every = arms.model, []
    for number in range(len(batch["state"])):
        state, after = batch["state"][number].numpy(), batch["next"][number].numpy()
        left, action = int(batch["left"][number]), batch["action"][number].numpy()
        level, goal = model.level(action), 0.0
        for arm in range(model.arms):
            moves = model.transition[arm, level[arm], state[arm]]
            goal += float(moves @ model.reward[arm])
            goal += float(moves @ arms.value[left - 1, arm]) - arms.value[left - 1, arm, after[arm]]
        if left > 1:
            with torch.no_grad():
                given = batch["next"][[number]], torch.tensor([left - 1]), follow[[number]].double()
                goal += float(slow(*given))
        every.append(goal)
    return torch.tensor(every, dtype=torch.float64)


def test_the_control_variate_has_mean_zero() -> None:
    """Over many draws of the next state, whatever the guess; it lowers the targets' variance."""
    instance = generate("capacity", 6, 2, seed=0, horizon=5)
    module = SharedModule(instance, SHARED, 0)
    module.trainer = _trainer()
    module.setup("fit")
    model, rng = module.instance.dynamics, np.random.default_rng(0)
    count = 40_000
    state = np.tile(rng.integers(0, 4, 6), (count, 1))
    action = np.tile(module.instance.actions.sample(rng), (count, 1))
    after = model.sample_next(state, action, rng)
    batch = {
        "state": torch.as_tensor(state),
        "left": torch.full((count,), 4),
        "action": torch.as_tensor(action, dtype=torch.float32),
        "next": torch.as_tensor(after),
    }
    chance = module._chance(batch).double()
    assert abs(float(chance.mean())) < 4 * float(chance.std()) / count**0.5
    value = module.target(batch["next"], batch["left"] - 1, batch["action"][:, None])[:, 0]
    assert float((value - chance).std()) < 0.5 * float(value.std())


def _trainer() -> Any:
    """What `setup` reads of a trainer."""
    from lightning import Trainer

    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.ckpt_path = None
    return trainer


@pytest.mark.parametrize(("method", "step"), [("training_step", 17), ("validation_step", 40)])
def test_training_resumes_to_the_same_bits(
    method: str, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = generate("budget", 6, 2, seed=1, horizon=4)
    settings = replace(SHARED, pretrain_steps=10, updates=30, check_every=10, batch=8, solves=2,
                       check_episodes=2, fine_learning_rate=0.01)  # fmt: skip
    fit(SharedModule(instance, settings, 3), tmp_path / "unbroken")
    with monkeypatch.context() as patch:
        stopping(patch, method, step)
        with pytest.raises(Stop):
            fit(SharedModule(instance, settings, 3), tmp_path / "broken")
    fit(SharedModule(instance, settings, 3), tmp_path / "broken")
    for name in ("best.ckpt", "last.ckpt"):
        assert_same(weights(tmp_path / "broken" / name), weights(tmp_path / "unbroken" / name))


def test_learning_without_a_start_learns(tmp_path: Path) -> None:
    """From features alone, where no values stand behind them."""
    instance = generate("capacity", 6, 2, seed=0, horizon=8)
    settings = replace(SHARED, pretrain="none", updates=200, pretrain_steps=0, check_every=200,
                       fine_learning_rate=3e-3)  # fmt: skip
    module = SharedModule(instance, settings, 0)
    fit(module, tmp_path / "none")
    assert module.network.start == "none"
    first = SharedQNetwork("pulls", (5, 6))
    trained = SharedPlanner.load(tmp_path / "none", instance)
    untrained = SharedPlanner(instance, first)
    assert reward(trained, instance) > 1.5 * reward(untrained, instance)


def test_a_harmful_training_leaves_the_start(tmp_path: Path) -> None:
    instance = generate("capacity", 6, 2, seed=0, horizon=6)
    settings = replace(SHARED, pretrain_steps=0, updates=40, check_every=20,
                       fine_learning_rate=5.0)  # fmt: skip
    module = SharedModule(instance, settings, 0)
    fit(module, tmp_path)
    loaded = SharedPlanner.load(tmp_path, instance).networks[0]
    assert not loaded.tail[-1].weight.any() and module.network.tail[-1].weight.any()


def test_each_network_has_its_module() -> None:
    instance = generate("capacity", 6, 2, seed=0, horizon=4)
    assert type(module_for(instance, SHARED)) is SharedModule
    assert type(module_for(instance, SMALL)) is SequoiaModule
    assert type(module_for(instance)) is SequoiaModule
    with pytest.raises(ConfigError, match=r"sequoia\.network is 'shared'"):
        SequoiaModule(instance, SHARED)
    with pytest.raises(ConfigError, match=r"sequoia\.network is 'state'"):
        SharedModule(instance, SMALL)
    with pytest.raises(ConfigError, match="needs pool"):
        SequoiaSettings(network="shared", argmax="milp")


@pytest.mark.parametrize(("gain", "taken"), [(0.1, "prices"), (2.0, "whittle")])
def test_a_start_is_taken_where_a_t_test_tells_it_from_the_first(
    gain: float, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for the other networks (`tests/planners/bandits/sequoia/test_starts.py`)."""
    noise, played = np.random.default_rng(0).normal(size=16), list[tuple[str, int]]()

    def returns(planner: SharedPlanner, instance: Any, values: Any, count: int, seed: int) -> Any:
        name = planner.networks[0].start
        played.append((name, count))
        sign = {"prices": 0.0, "whittle": 1.0}.get(name)
        return (
            np.full(count, -9.0) if sign is None else sign * (gain + noise - noise.mean())[:count]
        )

    where = "worldplan.planners.bandits.sequoia.shared.training"
    monkeypatch.setattr(f"{where}.steady_returns", returns)
    monkeypatch.setattr("worldplan.planners.bandits.sequoia.starts.FIRST_EPISODES", 16)
    module = SharedModule(generate("budget", 6, 2, seed=0, horizon=3), SHORT, 0)
    fit(module, tmp_path)
    assert module.network.start == taken
    assert len(played) == 6 and played[-1][1] == 16  # four starts, then the better two
