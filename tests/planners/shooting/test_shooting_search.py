"""The search against problems with known solutions, and the planner over models of a few lines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_are
from torch import Tensor

from worldplan.envs.dynamics.model import Members, Prediction
from worldplan.milp.errors import ConfigError, Diverged
from worldplan.planners.base import evaluate
from worldplan.planners.shooting.planner import ShootingPlanner
from worldplan.planners.shooting.rollouts import RollOuts
from worldplan.planners.shooting.search import coloured, search_plan
from worldplan.planners.shooting.settings import METHODS, ShootingSettings
from worldplan.world_models.ensemble.uncertainty import max_pairwise_difference

LOW, HIGH = -torch.ones(2), torch.ones(2)
TARGET = torch.tensor([[[0.3, -0.2]] * 4, [[0.9, 0.1]] * 4])
SMALL = ShootingSettings(samples=200, elites=20, iterations=6, horizon=4)


def bowl(sequences: Tensor) -> tuple[Tensor, Tensor]:
    """Best at TARGET, which differs between the two environments."""
    return sequences, -(sequences - TARGET.unsqueeze(1)).square().sum((-1, -2))


def searched(
    evaluate: Any = bowl, settings: ShootingSettings = SMALL, seed: int = 0, **more: Any
) -> Any:
    return search_plan(
        evaluate,
        settings,
        torch.zeros(2, settings.horizon, 2),
        None,
        LOW,
        HIGH,
        torch.Generator().manual_seed(seed),
        **more,
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_bottom_of_a_bowl(method: str) -> None:
    plan = searched(settings=replace(SMALL, method=method))
    assert float((plan.mean - TARGET).abs().max()) < 0.15
    assert (plan.scores[:, 0] >= plan.scores[:, -1]).all()
    torch.testing.assert_close(plan.weights.sum(1), torch.ones(2))
    assert float(plan.elites.abs().max()) <= 1


def test_proposals_of_the_evaluator_win_when_they_are_best() -> None:
    def proposing(sequences: Tensor) -> tuple[Tensor, Tensor]:
        return bowl(torch.cat([sequences, TARGET.unsqueeze(1)], 1))

    plan = searched(proposing, replace(SMALL, iterations=1))
    torch.testing.assert_close(plan.elites[:, 0], TARGET)
    torch.testing.assert_close(plan.first_action("best"), TARGET[:, 0])


def test_a_score_that_is_no_number_never_wins() -> None:
    def broken(sequences: Tensor) -> tuple[Tensor, Tensor]:
        candidates, scores = bowl(sequences)
        return candidates, scores.where(sequences[..., 0, 0] > 0, torch.nan)

    plan = searched(broken)
    alive = plan.weights > 0
    assert (plan.elites[..., 0, 0][alive] > 0).all()
    assert plan.mean.isfinite().all()
    with pytest.raises(Diverged, match="environment 1"):
        searched(
            lambda sequences: (sequences, bowl(sequences)[1] * torch.tensor([[1.0], [torch.nan]]))
        )


def test_a_plan_moves_on_by_one_step() -> None:
    plan = searched()
    shifted = plan.shifted()
    torch.testing.assert_close(shifted.mean[:, :-1], plan.mean[:, 1:])
    torch.testing.assert_close(shifted.mean[:, -1], plan.mean[:, -1])


def test_an_elite_is_drawn_by_its_weight() -> None:
    plan = searched()
    plan = replace(plan, weights=torch.tensor([[0.75, 0.25] + [0.0] * 18, [0.0, 1.0] + [0.0] * 18]))
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([plan.first_action("draw", generator) for _ in range(400)])
    share = (drawn[:, 0] == plan.elites[0, 0, 0]).all(1).double().mean()
    assert float(share) == pytest.approx(0.75, abs=0.08)
    assert (drawn[:, 1] == plan.elites[1, 1, 0]).all()


def test_coloured_noise_has_unit_variance_and_its_spectrum() -> None:
    noise = coloured(torch.randn(4000, 16, 1, generator=torch.Generator().manual_seed(0)), 2.0)
    assert float(noise.var()) == pytest.approx(1.0, abs=0.05)
    power = torch.fft.rfft(noise[..., 0]).abs().square().mean(0)
    assert float(power[1] / power[4]) == pytest.approx(16.0, rel=0.15)


@pytest.mark.parametrize(
    "wrong",
    [
        {"elites": 300},
        {"horizon": 0},
        {"samples": 0},
        {"temperature": 0.0},
        {"min_std": 3.0},
        {"proposals": 1.5},
        {"method": "magic"},
        {"shrink": 0.5},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(SMALL, **wrong)


class Linear:
    """x' = A x + B u, cost |x|^2 + 0.1 |u|^2: the optimum is known from the Riccati equation."""

    A, B = np.array([[1.0, 0.2], [0.0, 1.0]]), np.array([[0.0], [0.2]])
    observation_size, action_size, state_size = 2, 1, 0

    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Any = None,
        generator: Any = None,
        members: bool = False,
    ) -> Prediction:
        following = observation @ torch.tensor(
            self.A.T, dtype=torch.float32
        ) + action @ torch.tensor(self.B.T, dtype=torch.float32)
        reward = -(observation.square().sum(1) + 0.1 * action.square().sum(1))
        predictions = None
        if members:  # two members that disagree the more, the larger the action
            mean = torch.stack([torch.cat([following, reward[:, None]], 1)] * 2)
            mean[1, :, 0] += action[:, 0].abs()
            predictions = Members(mean, torch.zeros_like(mean))
        return Prediction(
            following, reward, torch.zeros(len(reward), dtype=torch.bool), members=predictions
        )

    def to(self, device: Any) -> None:
        """Nothing to move."""


BOX = gym.spaces.Box(-5, 5, (1,), np.float32)


def optimal_gain() -> np.ndarray:
    a, b = Linear.A, Linear.B
    p = solve_discrete_are(a, b, np.eye(2), 0.1 * np.eye(1))
    return np.linalg.solve(0.1 * np.eye(1) + b.T @ p @ b, b.T @ p @ a)


@pytest.mark.parametrize("method", ["mppi", "icem"])
def test_it_comes_near_the_riccati_optimum(method: str) -> None:
    """Closed-loop cost within 10 % of the optimal controller's, from two starts in one batch."""
    planner = ShootingPlanner(
        Linear(),
        BOX,
        ShootingSettings(
            method=method,
            samples=300,
            elites=20,
            iterations=8,
            horizon=12,
            max_std=0.4,
            min_std=0.01,
        ),
        discount=1.0,
    )
    starts = np.array([[1.0, 0.0], [-0.5, 1.0]], np.float32)
    gain, costs = optimal_gain(), []
    for control in ("planned", "optimal"):
        x, cost = starts.astype(float), np.zeros(2)
        for _ in range(25):
            u = (
                np.stack([d.action for d in planner.plan_batch(x.astype(np.float32))])
                if control == "planned"
                else -(x @ gain.T)
            )
            cost += (x**2).sum(1) + 0.1 * (u**2).sum(1)
            x = x @ Linear.A.T + u @ Linear.B.T
        costs.append(cost)
    assert (costs[0] < 1.1 * costs[1]).all(), costs


def test_doubt_makes_it_careful() -> None:
    """A penalty on the members' disagreement, which grows with the action, shrinks the action."""
    settings, start = (
        ShootingSettings(samples=200, elites=20, iterations=4, horizon=8),
        np.array([2.0, 0.0], np.float32),
    )
    bold = ShootingPlanner(Linear(), BOX, settings).act(start)
    assert abs(float(bold[0])) > 1
    careful = ShootingPlanner(
        Linear(), BOX, settings, penalty=max_pairwise_difference, penalty_weight=100.0
    ).act(start)
    assert abs(float(careful[0])) < 0.3 * abs(float(bold[0]))


class Cliff(Linear):
    """Ends as soon as x leaves [-1, 1]; until then a reward of 1, with noise of unit variance on
    top.
    """

    def __init__(self, noise: float = 0.0) -> None:
        self.noise = noise

    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Any = None,
        generator: Any = None,
        members: bool = False,
    ) -> Prediction:
        following = observation + torch.cat([action, torch.zeros_like(action)], 1)
        reward = 1 + self.noise * torch.randn(len(observation), generator=generator)
        return Prediction(following, reward, following[:, 0].abs() > 1)


def scores_of(rollouts: RollOuts, sequences: Tensor) -> Tensor:
    start, generator = torch.zeros(1, 2), torch.Generator().manual_seed(0)
    return rollouts.candidates(
        start, None, 0, torch.tensor([-5.0]), torch.tensor([5.0]), generator
    )(sequences)[1]


def test_nothing_is_earned_after_the_end() -> None:
    """By hand: a roll-out that ends in its second step has two rewards and no value at the end; one
    that stays has four and the value.
    """
    sequences = torch.tensor(
        [[[0.8], [0.8], [-0.8], [0.0]], [[0.1], [0.1], [0.1], [0.1]]]
    ).unsqueeze(0)
    scores = scores_of(
        RollOuts(Cliff(), 0.5, terminal_value=lambda observation: 10 + observation[:, 0]), sequences
    )
    torch.testing.assert_close(scores, torch.tensor([[1.5, 1.875 + 0.5**4 * 10.4]]))


def test_particles_average_a_random_model() -> None:
    sequences = torch.zeros(1, 400, 1, 1)
    spreads = [
        float(scores_of(RollOuts(Cliff(noise=1.0), particles=count), sequences).std())
        for count in (1, 25)
    ]
    assert spreads[0] == pytest.approx(1.0, abs=0.15)
    assert spreads[1] == pytest.approx(0.2, abs=0.04)


def test_a_running_scale_moves_slowly() -> None:
    settings = replace(SMALL, scale="running")
    first = searched(settings=settings)
    second = searched(settings=settings, scale=torch.full((2,), 100.0))
    assert (first.scale < 20).all()
    assert ((second.scale > 90) & (second.scale < 100)).all()
    assert (
        second.weights.amax(1) < first.weights.amax(1)
    ).all()  # so large a unit makes all elites alike


def test_a_policy_proposes_and_an_episodes_plan_is_forgotten() -> None:
    """The proposals of a perfect policy are found at once; `restart` forgets the plan of one
    environment, not of the other.
    """
    gain = torch.tensor(optimal_gain(), dtype=torch.float32)
    settings = ShootingSettings(
        samples=20,
        elites=1,
        iterations=1,
        horizon=8,
        proposals=0.5,
        pick="best",
        max_std=5.0,
        min_std=0.01,
    )
    planner = ShootingPlanner(
        Linear(),
        BOX,
        settings,
        policy=lambda observation, generator: -observation @ gain.T,
        discount=1.0,
    )
    starts = np.array([[1.0, 0.0], [-0.5, 1.0]], np.float32)
    actions = np.stack([decision.action for decision in planner.plan_batch(starts)])
    np.testing.assert_allclose(actions, -starts @ gain.numpy().T, atol=1e-5)
    assert planner._last is not None
    before = planner._last.mean.clone()
    planner.restart(np.array([True, False]))
    assert bool((planner._last.mean[0] == 0).all())
    assert torch.equal(planner._last.mean[1], before[1])


def test_an_evaluation_begins_every_episode_without_a_plan() -> None:
    begun: list[Any] = []

    class Watched(ShootingPlanner):
        def restart(self, begun_now: np.ndarray) -> None:
            begun.append(begun_now.tolist())
            super().restart(begun_now)

    env = gym.make("InvertedPendulum-v5", max_episode_steps=3)
    planner = Watched.for_env(
        env, ShootingSettings(samples=8, elites=2, horizon=3, iterations=1), threads=1
    )
    evaluate(planner, env, 3, seed=0)
    env.close()
    assert begun == [[True]] * 3


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ConfigError, match="unbounded"):
        ShootingPlanner(Linear(), gym.spaces.Box(-np.inf, np.inf, (1,), np.float32))
    with pytest.raises(ConfigError, match="2 numbers"):
        ShootingPlanner(Linear(), gym.spaces.Box(-1, 1, (2,), np.float32))
    with pytest.raises(ConfigError, match="policy"):
        ShootingPlanner(Linear(), BOX, replace(SMALL, proposals=0.5))
    with pytest.raises(ConfigError, match="shape"):
        ShootingPlanner(Linear(), BOX).act(np.zeros(3, np.float32))


def test_true_dynamics_hold_a_pendulum_up() -> None:
    """With the simulator's own state, read from the running environment."""
    env = gym.make("InvertedPendulum-v5")
    planner = ShootingPlanner.for_env(
        env, ShootingSettings(samples=64, elites=8, horizon=20, iterations=3), threads=1
    )
    observation, _ = env.reset(seed=0)
    for _ in range(40):
        observation, _, terminated, _, _ = env.step(planner.act(observation))
        assert not terminated
    env.close()
