"""Dynamics models by name: the simulator, a user's own class, and mistakes in either."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from worldplan.envs.dynamics.model import DynamicsModel, Prediction
from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.envs.dynamics.registry import DYNAMICS, make_dynamics
from worldplan.milp.errors import ConfigError

PENDULUM = {"environment": "InvertedPendulum-v5", "observation_size": 4, "action_size": 1}


class Drift:
    """Every state moves by a constant."""

    state_size = 0

    def __init__(
        self, *, environment: str, observation_size: int, action_size: int, speed: float
    ) -> None:
        self.environment, self.speed = environment, speed
        self.observation_size, self.action_size = observation_size, action_size

    def step(self, observation: Tensor, action: Tensor, **_: Any) -> Prediction:
        ended = torch.zeros(len(observation), dtype=torch.bool)
        return Prediction(observation + self.speed, action[:, 0], ended)

    def to(self, device: torch.device | str) -> None:
        pass


def wrong_size(**_: Any) -> DynamicsModel:
    return Drift(environment="", observation_size=2, action_size=1, speed=0.0)


def failing(**options: Any) -> object:
    return options["mass"]


def no_model(**_: Any) -> object:
    return object()


def test_true_dynamics_are_the_simulator() -> None:
    model = make_dynamics("true", **PENDULUM, threads=1, reset_noise_scale=0.5)
    assert isinstance(model, MujocoDynamics)
    same = MujocoDynamics("InvertedPendulum-v5", threads=1, reset_noise_scale=0.5)
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    (observation, state), (expected, _) = (
        model.reset(3, generators[0]),
        same.reset(3, generators[1]),
    )
    assert model.threads == 1
    assert torch.equal(observation, expected)
    assert torch.equal(
        model.step(observation, torch.ones(3, 1), state=state).next_observation,
        same.step(observation, torch.ones(3, 1), state=state).next_observation,
    )


def test_own_class_by_address() -> None:
    model = make_dynamics(f"{__name__}:Drift", **PENDULUM, speed=0.5)
    assert isinstance(model, Drift)
    assert model.environment == "InvertedPendulum-v5"
    assert torch.equal(
        model.step(torch.zeros(2, 4), torch.zeros(2, 1)).next_observation, torch.full((2, 4), 0.5)
    )


def test_own_class_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DYNAMICS, "_members", dict(DYNAMICS._members))
    assert DYNAMICS.register("drift")(Drift) is Drift
    assert list(DYNAMICS) == ["true", "drift"]
    assert isinstance(make_dynamics("drift", **PENDULUM, speed=1.0), Drift)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("exact", {}, "dynamics 'exact': choose true, or give your own"),
        ("no_such_module:Model", {}, "No module named 'no_such_module'"),
        (f"{__name__}:Drift", {}, "missing a required argument: 'speed'"),
        (f"{__name__}:Drift", {"speed": 1, "mass": 2}, "unexpected keyword argument 'mass'"),
        (f"{__name__}:no_model", {}, "made a object, which lacks"),
        (f"{__name__}:failing", {}, r"dynamics '.*:failing': KeyError: 'mass' \(.*line \d+\)"),
        (f"{__name__}:wrong_size", {}, r"sizes are \(2, 1\), those of InvertedPendulum-v5"),
        ("true", {"threads": 0}, "threads = 0"),
    ],
)
def test_mistakes_are_one_clear_error(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_dynamics(name, **PENDULUM, **options)
