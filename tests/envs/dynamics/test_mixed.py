"""Mixtures of learned and true dynamics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.envs.dynamics.builders import dynamics, visited
from worldplan.envs.dynamics.mixed import MixedDynamics
from worldplan.envs.dynamics.model import DynamicsModel, Members, Prediction
from worldplan.milp.errors import ConfigError

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is out of date:DeprecationWarning", "ignore:.*out of date.*:UserWarning"
)


class Guess:
    """A random "learned" model with three members."""

    observation_size, action_size, state_size = 11, 3, 0

    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> Prediction:
        predicted = Members(
            torch.randn((3, len(action), 12), generator=generator),
            torch.rand((3, len(action), 12), generator=generator),
        )
        following = observation + 0.1 * predicted.mean[0, :, :11] + action.sum(dim=1, keepdim=True)
        return Prediction(
            following,
            predicted.mean[0, :, 11],
            following[:, 0] > 1.3,
            None,
            predicted if members else None,
        )


def ends_high(observation: Tensor, action: Tensor, following: Tensor) -> Tensor:
    return following[:, 0] > 1.25


def mixed_step(share: float) -> tuple[Prediction, Prediction, Prediction]:
    """What the mixture, the learned and the true model make of the same rows and the same random
    numbers.
    """
    _, states, actions = visited("Hopper-v5", 12)
    true, state, action = (
        dynamics("Hopper-v5"),
        torch.from_numpy(states),
        torch.from_numpy(actions.astype(np.float32)),
    )
    models: list[DynamicsModel] = [MixedDynamics(Guess(), true, share, ends_high), Guess(), true]
    result = [
        model.step(
            true.observe(state),
            action,
            state=state,
            generator=torch.Generator().manual_seed(5),
            members=True,
        )
        for model in models
    ]
    return result[0], result[1], result[2]


@pytest.mark.parametrize("share", [0, 1])
def test_the_ends_of_the_mixture_are_the_models_themselves(share: float) -> None:
    result, learned, true = mixed_step(share)
    expected = true if share else learned
    for name in ("next_observation", "reward", "terminated"):
        assert torch.equal(getattr(result, name), getattr(expected, name))
    assert (result.members is None) == (expected.members is None)
    if share:
        assert torch.equal(result.state, expected.state)  # type: ignore[arg-type]
    else:
        assert result.state is None
        assert torch.equal(result.members.mean, expected.members.mean)  # type: ignore[union-attr]


def test_between_the_ends_everything_is_on_the_line() -> None:
    result, learned, true = mixed_step(0.25)
    assert (
        result.state is not None
        and true.state is not None
        and result.members is not None
        and learned.members is not None
    )
    line = 0.75 * learned.next_observation + 0.25 * true.next_observation
    torch.testing.assert_close(result.next_observation, line)
    torch.testing.assert_close(result.reward, 0.75 * learned.reward + 0.25 * true.reward)
    assert torch.equal(result.terminated, result.next_observation[:, 0] > 1.25)
    assert result.terminated.any() and not result.terminated.all()
    # the next state is the mixed observation; only the unobserved x is the simulator's
    assert torch.equal(result.state[:, 0], true.state[:, 0])
    torch.testing.assert_close(result.state[:, 1:6], line[:, :5].double(), rtol=1e-5, atol=1e-5)
    free = line[:, 5:].abs() < 10
    torch.testing.assert_close(
        result.state[:, 6:][free], line[:, 5:][free].double(), rtol=1e-5, atol=1e-5
    )
    disagreement, before = (
        members.mean.std(dim=0) for members in (result.members, learned.members)
    )
    torch.testing.assert_close(disagreement, 0.75 * before)
    torch.testing.assert_close(result.members.variance, 0.75**2 * learned.members.variance)
    torch.testing.assert_close(
        result.members.mean.mean(0),
        0.75 * learned.members.mean.mean(0)
        + 0.25 * torch.cat((true.next_observation, true.reward[:, None]), 1),
    )


def test_a_simulator_that_blows_up_ends_the_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    true = dynamics("Hopper-v5")
    observation, state = true.reset(3)
    state[1, 8:] = 5e9
    result = MixedDynamics(Guess(), true, 0.5, ends_high).step(
        observation, torch.full((3, 3), -1.0), state=state
    )
    assert (
        result.terminated.tolist() == [False, True, False]
        and not result.next_observation[1].isfinite().any()
    )


def test_settings_of_the_mixture_are_checked() -> None:
    true = dynamics("Hopper-v5")
    assert [MixedDynamics(Guess(), true, share, ends_high).state_size for share in (0, 0.5, 1)] == [
        0,
        12,
        12,
    ]
    for call, words in (
        (lambda: MixedDynamics(Guess(), true, 1.5), "share = 1.5"),
        (lambda: MixedDynamics(Guess(), true, 0.5), "termination function"),
        (lambda: MixedDynamics(Guess(), dynamics("Walker2d-v5"), 1), "sizes"),
        (lambda: MixedDynamics(true, true, 0.5, ends_high), "state of its own"),
        (
            lambda: MixedDynamics(Guess(), true, 1).step(torch.zeros(1, 11), torch.zeros(1, 3)),
            "simulator state",
        ),
    ):
        with pytest.raises(ConfigError, match=words):
            call()
