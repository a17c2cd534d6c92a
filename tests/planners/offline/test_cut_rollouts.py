"""Rollouts cut where the model is uncertain: truncated, not terminated."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.planners.offline.builders import SMALL
from tests.planners.offline.test_reach_aware import agent_of
from tests.planners.offline.test_scalers import task_of
from worldplan.envs.dynamics.model import Members, Prediction
from worldplan.envs.edge_of_reach import Plane, PlaneDynamics
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.replay import unpack
from worldplan.planners.offline.rollouts import Pessimism, cut_threshold, roll_out
from worldplan.planners.offline.training import ReachAwareModule
from worldplan.world_models.training.trainer import fit

CUT = Pessimism(cut_quantile=0.9)


class Doubtful(PlaneDynamics):
    """Two members whose rewards differ by |s|_1, so this is their greatest difference."""

    def step(self, observation: Any, action: Any, **kwargs: Any) -> Prediction:
        plain = super().step(observation, action, **kwargs)
        if not kwargs.get("members"):
            return plain
        mean = torch.cat([plain.next_observation, plain.reward[:, None]], 1).repeat(2, 1, 1)
        mean[1, :, -1] += observation.abs().sum(-1)
        return replace(plain, members=Members(mean, torch.ones_like(mean)))


def threshold_of(rows: torch.Tensor, pessimism: Pessimism = CUT, dynamics: Any = None) -> Any:
    return cut_threshold(
        pessimism,
        dynamics or Doubtful(),
        rows,
        torch.zeros_like(rows),
        None,
        torch.Generator().manual_seed(0),
    )


def test_the_threshold_is_the_quantile_over_the_data() -> None:
    rows = Plane().starts(25_000, torch.Generator().manual_seed(0))
    expected = rows.abs().sum(-1).quantile(0.9)
    torch.testing.assert_close(threshold_of(rows), expected)
    highest = threshold_of(rows, Pessimism(cut_quantile=1.0))
    torch.testing.assert_close(highest, rows.abs().sum(-1).max())
    assert threshold_of(rows, Pessimism()) is None
    assert threshold_of(rows, dynamics=PlaneDynamics()) is None, "exact dynamics are never cut"


def test_a_cut_rollout_ends_with_the_uncertain_step_and_is_not_terminated() -> None:
    start = Plane().starts(200, torch.Generator().manual_seed(1)).view(2, 100, 2)
    threshold, horizon = torch.tensor(0.3), 6
    rows, keep = roll_out(
        Doubtful(),
        agent_of().actor,
        start,
        None,
        horizon,
        CUT,
        torch.Generator().manual_seed(2),
        threshold=threshold,
    )
    batch = unpack(rows, 2)
    assert not batch.terminated.any()
    alive = torch.ones(2, 100, dtype=torch.bool)
    for step in range(horizon):
        part = slice(100 * step, 100 * (step + 1))
        uncertain = batch.observation[:, part].abs().sum(-1) > threshold
        assert torch.equal(keep[:, part], alive)
        expected = torch.where(uncertain, horizon - 1, step).float()
        assert torch.equal(batch.step[:, part][alive], expected[alive])
        alive &= ~uncertain
    assert 0 < int(alive.sum()) < 200


class Broken(PlaneDynamics):
    """Predicts something that is not finite from some states, and terminates in others."""

    def __init__(self, part: str, value: float) -> None:
        super().__init__(Plane())
        self.part, self.value = part, value

    def step(self, observation: Any, action: Any, **kwargs: Any) -> Prediction:
        plain = super().step(observation, action, **kwargs)
        column = getattr(plain, self.part).clone()
        column[broken(observation)] = self.value
        ends = observation[:, 1] < -0.8
        return replace(plain, terminated=plain.terminated | ends, **{self.part: column})


def broken(observation: torch.Tensor) -> torch.Tensor:
    return observation.sum(-1) > 0.3


@pytest.mark.parametrize("horizon", [1, 2, 7])
@pytest.mark.parametrize(
    ("part", "value"),
    [("reward", torch.nan), ("reward", -torch.inf), ("next_observation", torch.inf)],
)
def test_the_row_before_a_prediction_that_is_not_finite_is_the_last(
    part: str, value: float, horizon: int
) -> None:
    """The value of the state that it leads to is never learned, as at the end of a rollout."""
    start = Plane().starts(200, torch.Generator().manual_seed(1)).view(2, 100, 2)
    generator = torch.Generator().manual_seed(2)
    model, actor = Broken(part, value), agent_of().actor
    rows, keep = roll_out(model, actor, start, None, horizon, Pessimism(), generator)
    batch = unpack(rows, 2)
    alive, ends = ~broken(start), 0
    for step in range(horizon):
        now = slice(100 * step, 100 * (step + 1))
        assert torch.equal(keep[:, now], alive)
        lost = broken(batch.next_observation[:, now]) & ~(batch.terminated[:, now] > 0)
        expected = torch.where(lost, horizon - 1, step).float()
        assert torch.equal(batch.step[:, now][alive], expected[alive])
        ends += int((lost & alive).sum())
        alive = alive & ~lost & ~(batch.terminated[:, now] > 0)
    assert batch.next_observation[keep].isfinite().all() and (ends > 0 or horizon == 1)


def test_the_value_after_a_cut_is_bootstrapped() -> None:
    """The target of a cut step has the next value; that of a halted one has not."""
    batch_of_step = {}
    for name, pessimism in (("cut", CUT), ("halt", Pessimism(halt_above=0.0))):
        rows, _ = roll_out(
            Doubtful(),
            agent_of().actor,
            torch.ones(2, 3, 2),
            None,
            2,
            pessimism,
            torch.Generator().manual_seed(0),
            threshold=torch.tensor(0.0),
        )
        batch_of_step[name] = unpack(rows[:, :3], 2)
    agent = agent_of()
    with torch.no_grad():
        agent.target_critics.network.biases[-1].fill_(7.0)
    for name, batch in batch_of_step.items():
        future = agent.target(batch, torch.zeros(2))[:, 0] - batch.reward
        assert bool((future > 6).all()) == (name == "cut")


def test_an_uncertainty_that_is_no_number_cuts() -> None:
    mean = torch.zeros(2, 3, 3)
    mean[0, 1] = torch.nan
    prediction = Prediction(
        torch.zeros(3, 2),
        torch.zeros(3),
        torch.zeros(3, dtype=torch.bool),
        members=Members(mean, torch.ones_like(mean)),
    )
    assert CUT.cuts(prediction, torch.tensor(1.0)).tolist() == [False, True, False]
    assert not CUT.cuts(prediction, None).any()


def test_a_training_cuts_and_resumes(tmp_path: Any) -> None:
    task = task_of()
    assert task.rows is not None
    task = replace(task, dynamics=Doubtful())
    settings = replace(SMALL, horizon=10, pessimism=CUT, real_share=0.1, updates=2)
    make = lambda epochs: ReachAwareModule(  # noqa: E731
        task, settings, seeds=2, epochs=epochs, check_every=1, check_episodes=1
    )
    fit(make(2), tmp_path / "whole")
    fit(make(1), tmp_path / "parts")
    fit(make(2), tmp_path / "parts")
    whole, parts = ((tmp_path / name / "metrics.csv").read_text() for name in ("whole", "parts"))
    assert whole == parts
    module = make(2)
    fit(module, tmp_path / "whole", fresh=True)
    assert module.threshold is not None
    expected = unpack(task.rows, 2).observation.abs().sum(-1).quantile(0.9)
    torch.testing.assert_close(module.threshold, expected)
    assert int(module.replay.filled[0]) < 2 * settings.starts * settings.horizon


def test_wrong_settings_of_the_cut() -> None:
    for quantile in (0.0, 1.5, -1.0):
        with pytest.raises(ConfigError, match="cut_quantile"):
            Pessimism(cut_quantile=quantile)
    with pytest.raises(ConfigError, match="cut_measure 'x': choose max_aleatoric"):
        Pessimism(cut_measure="x")
    with pytest.raises(ConfigError, match="start states only"):
        ReachAwareModule(task_of(data=False), replace(SMALL, pessimism=CUT))
