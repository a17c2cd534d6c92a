"""`check_model`: models that keep the interface pass, and every way to break it is named."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.envs.dynamics.builders import dynamics
from worldplan.envs import PlaneDynamics
from worldplan.envs.dynamics import MixedDynamics, check_model, make_dynamics
from worldplan.envs.dynamics.model import Members, Prediction
from worldplan.milp.errors import ConfigError
from worldplan.world_models.ensemble import GaussianEnsemble, LearnedDynamics


class Cart:
    """Position and speed of a cart; it keeps the interface."""

    observation_size, action_size, state_size = 2, 1, 0

    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> Any:
        speed = observation[:, 1] + 0.1 * action[:, 0]
        following = torch.stack([observation[:, 0] + 0.1 * speed, speed], 1)
        return Prediction(following, -following.square().sum(1), following[:, 0].abs() > 2)

    def to(self, device: Any) -> object:
        return self


class NoisyCart(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        noise = torch.randn(observation.shape, generator=kwargs.get("generator"))
        return super().step(observation + 0.1 * noise, action)


class Simulated(Cart):
    state_size = 2

    def reset(self, count: int, generator: torch.Generator | None = None) -> Any:
        state = torch.rand((count, 2), generator=generator, dtype=torch.float64)
        return state.float(), state

    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        result = super().step(observation, action)
        state = None if kwargs["state"] is None else kwargs["state"] + 0.1 * action.double()
        return dataclasses.replace(result, state=state)


def learned() -> LearnedDynamics:
    generator = torch.Generator().manual_seed(0)
    ensemble = GaussianEnsemble(4, 1, members=3, elites=2, hidden=(8,), generator=generator)
    return LearnedDynamics(ensemble.eval(), lambda o, a, n: n[:, 0] > 1)


@pytest.mark.parametrize("make", [Cart, NoisyCart, Simulated, PlaneDynamics, learned])
def test_models_that_keep_the_interface(make: Any) -> None:
    check_model(make())


def test_the_simulator_and_mixtures_pass() -> None:
    true = dynamics("InvertedPendulum-v5")
    observation, state = true.reset(8, torch.Generator().manual_seed(0))
    check_model(true)
    for share in (0.0, 0.5, 1.0):
        mixed = MixedDynamics(learned(), true, share, lambda o, a, n: n[:, 1].abs() > 0.2)
        check_model(mixed, observation, np.ones((8, 1)), state=state)
    check_model(dynamics("Hopper-v5"))


def changed(**fields: Any) -> type[Cart]:
    """A cart whose prediction has other fields: functions of the prediction, (…)."""

    class Changed(Cart):
        def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
            result = super().step(observation, action, **kwargs)
            values = {name: make(result) for name, make in fields.items()}
            return dataclasses.replace(result, **values)

    return Changed


class WritesInput(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        action.clamp_(-0.1, 0.1)
        return super().step(observation, action)


class Counts(Cart):
    calls = 0

    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        self.calls += 1
        return super().step(observation + self.calls, action)


class GlobalNoise(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        return super().step(observation + torch.randn_like(observation), action)


class Reseeds(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        torch.manual_seed(3)
        return super().step(observation + torch.randn_like(observation[:1]), action)


class NumpyNoise(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        np.random.rand()  # noqa: NPY002
        return super().step(observation, action)


class NormalisesBatch(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        return super().step(observation - observation.mean(0), action)


class NoisyAndMixed(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        noise = torch.randn(observation.shape, generator=kwargs.get("generator"))
        return super().step(observation + noise + observation.sum(0), action)


class SortsRows(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        rank = torch.arange(len(observation))
        return super().step(observation + rank[:, None], action)


class OneRowOnly(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        return super().step(observation[:1], action[:1])


class SpecialForOne(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        return super().step(observation + (len(observation) == 1), action)


class ReadsMemory(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        flat = torch.as_strided(observation, observation.shape, (observation.shape[1], 1))
        return super().step(flat, action)


class Reuses(Cart):
    buffer = torch.zeros(100, 2)

    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        result = super().step(observation, action)
        view = self.buffer[: len(observation)]
        view.copy_(result.next_observation)
        return dataclasses.replace(result, next_observation=view)


class Fails(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        raise KeyError("speed")


class FailsForOne(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        return super().step(observation.squeeze(), action.squeeze())


class NeedsGenerator(Cart):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        kwargs["generator"].initial_seed()
        return super().step(observation, action)


class NoMembersArgument(Cart):
    def step(self, observation: Tensor, action: Tensor) -> Any:  # type: ignore[override]
        return super().step(observation, action)


class MovesBadly(Cart):
    def to(self, device: Any) -> object:
        raise RuntimeError("no")


class ForgetsOnMove(Counts):
    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        return Cart.step(self, observation + self.calls, action)

    def to(self, device: Any) -> object:
        self.calls += 1
        return self


class Trains(Cart):
    def __init__(self) -> None:
        self.layer = nn.Linear(3, 2)

    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        result = super().step(observation, action)
        following = self.layer(torch.cat([observation, action], 1))
        return dataclasses.replace(result, next_observation=following)


class ResetsOddly(Simulated):
    def reset(self, count: int, generator: torch.Generator | None = None) -> Any:
        return super().reset(count, generator)[0]


class ResetsInFloat(Simulated):
    def reset(self, count: int, generator: torch.Generator | None = None) -> Any:
        observation, _ = super().reset(count, generator)
        return observation, observation


def with_members(result: Prediction, size: int, variance: float) -> Members:
    mean = torch.zeros(3, len(result.reward), size)
    return Members(mean, torch.full_like(mean, variance))


BROKEN: list[tuple[type[Cart], str]] = [
    (changed(next_observation=lambda r: r.next_observation.double()), "next_observation has shape"),
    (changed(next_observation=lambda r: r.next_observation[:, :1]), "next_observation has shape"),
    (
        changed(next_observation=lambda r: r.next_observation.numpy()),
        "observation is an array",
    ),
    (changed(next_observation=lambda r: None), "next_observation is None"),
    (changed(reward=lambda r: r.reward[:, None]), "reward has shape"),
    (changed(reward=lambda r: r.reward.sum()), "reward has shape"),
    (changed(reward=lambda r: r.reward.double()), "reward has shape"),
    (changed(reward=lambda r: 0.0), r"reward is 0\.0"),
    (changed(terminated=lambda r: r.terminated.float()), "terminated has shape"),
    (changed(terminated=lambda r: r.terminated.to(torch.uint8)), "terminated has shape"),
    (changed(terminated=lambda r: False), "terminated is False"),
    (changed(state=lambda r: r.next_observation.double()), "returned a state, but state_size is 0"),
    (changed(members=lambda r: with_members(r, 2, 1.0)), r"members\.mean has shape"),
    (changed(members=lambda r: with_members(r, 3, -1.0)), "a variance is negative"),
    (changed(members=lambda r: [1]), r"members is \[1\]"),
    (WritesInput, "changes its argument action"),
    (Counts, "equal inputs and generators give another next_observation"),
    (GlobalNoise, "draw all random numbers with generator=generator"),
    (Reseeds, "global random numbers"),
    (NumpyNoise, "global random numbers"),
    (NormalisesBatch, "changes with the other rows"),
    (NoisyAndMixed, "changes with the other rows"),
    (SortsRows, "depends on the order of the rows"),
    (OneRowOnly, "next_observation has shape"),
    (SpecialForOne, "a row alone differs"),
    (ReadsMemory, "not contiguous"),
    (Reuses, "the next call overwrites next_observation"),
    (Fails, r"step: KeyError: 'speed' \(.*line \d+\)"),
    (FailsForOne, "step: IndexError"),
    (NeedsGenerator, "step: AttributeError"),
    (NoMembersArgument, "define step"),
    (MovesBadly, "to: RuntimeError: no"),
    (ForgetsOnMove, "to: changes next_observation"),
    (Trains, r"torch\.no_grad"),
    (ResetsOddly, r"reset\(count, generator\) returned"),
    (ResetsInFloat, "reset: the state has shape"),
]


@pytest.mark.parametrize(("kind", "message"), BROKEN, ids=lambda x: getattr(x, "__name__", None))
def test_a_violation_is_named(kind: type[Cart], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check_model(kind())
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"dynamics {kind.__name__}: ")


@pytest.mark.parametrize("result", [None, (torch.zeros(1, 2), 0.0, False, {}), {"reward": 1}])
def test_a_result_of_another_type_is_refused(result: Any) -> None:
    class Other(Cart):
        def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
            return result

    with pytest.raises(ConfigError, match="return a Prediction"):
        check_model(Other())


@pytest.mark.parametrize(
    ("name", "value"),
    [("observation_size", 0), ("action_size", 1.0), ("state_size", -1), ("state_size", None)],
)
def test_sizes_are_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        check_model(type("Odd", (Cart,), {name: value})())


@settings(max_examples=40, deadline=None)
@given(low=st.floats(-3, 3), row=st.integers(0, 9))
def test_finite_rows_of_data_give_finite_predictions(low: float, row: int) -> None:
    class Root(Cart):
        def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
            result = super().step(observation, action)
            return dataclasses.replace(result, reward=(observation[:, 0] - low).sqrt())

    observation = np.full((10, 2), low + 1)
    check_model(Root(), observation, np.zeros((10, 1)))
    observation[row] = low - 1
    with pytest.raises(ConfigError, match=f"reward of row {row} is not finite"):
        check_model(Root(), observation, np.zeros((10, 1)))
    with pytest.raises(ConfigError, match="observation has shape"):
        check_model(Root(), observation[:, :1], np.zeros((10, 1)))


def test_a_model_by_address_is_checked() -> None:
    sizes = {"environment": "Cart", "observation_size": 2, "action_size": 1}
    for name in ("WritesInput", "NormalisesBatch"):
        globals()[f"make_{name}"] = lambda name=name, **_: globals()[name]()
        with pytest.raises(ConfigError, match=f"make_{name}': step"):
            make_dynamics(f"{__name__}:make_{name}", **sizes)


class DrawsWhereItMoves(Cart):
    """A right model: how many numbers it draws depends on its rows."""

    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        observation, moves = observation.clone(), observation[:, 1] > 0
        count = (int(moves.sum()), 2)
        observation[moves] += 0.1 * torch.randn(count, generator=kwargs["generator"])
        return super().step(observation, action)


class RejectsDraws(Cart):
    """A right model: it draws again what lies outside."""

    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        noise = torch.full_like(observation, 2.0)
        while bool((outside := (observation + noise).abs() > 4).any()):
            noise[outside] = torch.randn(int(outside.sum()), generator=kwargs["generator"])
        return super().step(observation + noise, action)


@pytest.mark.parametrize("make", [DrawsWhereItMoves, RejectsDraws])
def test_draws_may_depend_on_the_rows(make: Any) -> None:
    check_model(make())


class EndsAfterManyRows(Cart):
    """A step limit that is counted in the model, not in the observation."""

    limit, rows = 60, 0

    def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
        self.rows += len(observation)
        over = torch.full((len(observation),), self.rows > self.limit)
        return dataclasses.replace(super().step(observation, action), terminated=over)


@pytest.mark.parametrize("limit", [40, 60, 100, 150, 200, 300])
def test_what_ends_an_episode_is_not_kept_between_calls(limit: int) -> None:
    with pytest.raises(ConfigError, match="step: .*(keep nothing|new tensor|compute|no earlier)"):
        check_model(type("Ends", (EndsAfterManyRows,), {"limit": limit})())


@pytest.mark.parametrize(
    "change",
    [
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_grad_enabled(False),
        lambda: torch.use_deterministic_algorithms(True),
    ],
)
def test_settings_of_the_process_are_left_alone(change: Any) -> None:
    class Sets(Cart):
        def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
            change()
            return super().step(observation, action)

    try:
        with pytest.raises(ConfigError, match="step changes settings of torch"):
            check_model(Sets())
        assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
    finally:
        torch.use_deterministic_algorithms(False)


def test_rows_that_are_all_infinite_are_refused_when_drawn() -> None:
    class Nowhere(Cart):
        def step(self, observation: Tensor, action: Tensor, **kwargs: Any) -> Any:
            return super().step(observation * float("nan"), action)

    with pytest.raises(ConfigError, match="next_observation of row 0 is not finite"):
        check_model(Nowhere())
