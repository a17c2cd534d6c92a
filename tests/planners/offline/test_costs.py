"""Budgets of costs: the update, models and meters of costs, refusals, a limit that holds."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import parameters_to_vector

from tests.planners.offline.plain_update import plain_update
from tests.planners.offline.slider import LENGTH, LIMIT, SliderDynamics, beyond, random_data
from tests.planners.offline.test_update_step import batch_of, plain_optimizers
from tests.updates import PLAIN, assert_same_state, state_of
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.options import task_costs
from worldplan.planners.offline.options.cost_model import fit_costs
from worldplan.planners.offline.options.cost_settings import CostConstraint
from worldplan.planners.offline.options.costs import CostCritics
from worldplan.planners.offline.options.guardian import Guardian
from worldplan.planners.offline.options.option import Option
from worldplan.planners.offline.options.task_costs import CostMeter
from worldplan.planners.offline.replay import unpack
from worldplan.planners.offline.rollouts import Pessimism
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.task import dataset_task
from worldplan.planners.offline.training import ReachAwareModule
from worldplan.world_models.training.trainer import fit

SMALL = ReachAwareSettings.paper(
    critics=2,
    diversity=0.0,
    hidden=(16, 16),
    batch=32,
    discount=0.9,
    horizon=3,
    starts=60,
    retain=2,
    updates=10,
    real_share=0.5,
    costs=CostConstraint(0.5),
)
DATA = random_data()


def task_of(data=DATA, **options):
    return dataset_task(data, dynamics=SliderDynamics(), **options)


def agent_of(sizes, seeds, seed, constraint, **changes):
    """An agent with a budget, in float64, whose last layers are not near zero."""
    observation, action = sizes
    generator = torch.Generator().manual_seed(seed)
    numbers = replace(SMALL, hidden=(5, 5), costs=constraint, target_rate=0.1, **changes)
    first = torch.randn(4, observation, generator=generator)
    option = CostCritics(numbers, first, action, seeds=seeds, generator=generator)
    box = torch.ones(action)
    agent = ReachAware(
        observation, -box, box, numbers, seeds=seeds, generator=generator, options=[option]
    ).double()
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return agent


class PlainCosts:
    """The update of cost critics and multiplier, written plainly."""

    def __init__(self, option):
        self.option = option
        self.adam = torch.optim.Adam(
            option.critics.parameters(), option.settings.critic_rate, **PLAIN
        )

    def bound(self, costs):
        weight = self.option.constraint.upper_bound
        if weight is None:
            return costs.max(1).values
        deviation = (costs - costs.mean(1, keepdim=True)).square().mean(1).sqrt()
        return costs.mean(1) + weight * deviation

    def penalty(self, batch, action):
        costs = self.bound(self.option.critics(batch.observation, action))
        return self.option.multiplier[:, None] * costs

    def update(self, agent, batch, generator):
        option, constraint = self.option, self.option.constraint
        with torch.no_grad():
            action = agent.actor.sample(batch.next_observation, generator)[0]
            following = self.bound(option.target_critics(batch.next_observation, action))
            going_on = 1 - batch.terminated
            target = batch.cost + option.settings.discount * going_on * following.clamp(min=0)
        loss = 0.0
        for seed in range(option.critics.seeds):
            for critic in range(constraint.critics):
                values = option.critics(batch.observation, batch.action)[seed, critic]
                loss = loss + (values - target[seed]).square().mean()
        agent.zero_grad()
        loss.backward()
        self.adam.step()
        slow = option.target_critics.parameters()
        for old, new in zip(slow, option.critics.parameters(), strict=True):
            old.data += option.settings.target_rate * (new.data - old.data)
        with torch.no_grad():
            chosen = torch.randint(len(option.first), batch.reward.shape, generator=generator)
            first = option.first[chosen]
            action = agent.actor.sample(first, generator)[0]
            expected = self.bound(option.critics(first, action)).mean(1)
            excess = expected - constraint.budget
            moved = (option.integral + constraint.multiplier_rate * excess).clamp(min=0)
            option.integral.copy_(moved)
            option.multiplier.copy_((moved + constraint.multiplier_gain * excess).clamp(min=0))


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 2)),
    st.integers(1, 3),
    st.sampled_from([(1, None), (2, None), (3, 1.5)]),
    st.sampled_from([0.0, 0.3, 5.0]),
    st.sampled_from([(0.0, 0.0), (0.7, 0.0), (0.7, 2.0)]),
    st.sampled_from(
        [
            {},
            {"diversity": 1.0},
            {"layer_norm": True},
            {"normalise_observations": True},
            {"normalise_rewards": True},
        ]
    ),
    st.integers(1, 3),
    st.integers(0, 10**6),
)
def test_updates_equal_plain_ones(
    sizes, seeds, critics, budget, multipliers, changes, updates, seed
):
    start, gain = multipliers
    constraint = CostConstraint(budget, *critics, start, multiplier_rate=0.5, multiplier_gain=gain)
    agent = agent_of(sizes, seeds, seed, constraint, **changes)
    scaled = torch.randn(6, sizes[0], dtype=torch.float64) * 3 + 1
    agent.fit_observations(scaled)
    next(agent.options()).fit_observations(scaled)
    agent.fit_rewards(scaled[:, 0])
    plain, optimizers = copy.deepcopy(agent), agent.optimizers()
    costs = PlainCosts(next(plain.options()))
    others = plain_optimizers(plain)
    for number in range(updates):
        batch = batch_of(sizes, seeds, seed + number)
        batch = replace(batch, cost=batch.reward.abs())
        ours, theirs = (torch.Generator().manual_seed(seed + number) for _ in range(2))
        agent.update(batch, optimizers, ours)
        plain_update(plain, batch, others, theirs, penalty=costs.penalty)
        costs.update(plain, batch, theirs)
    assert_same_state(state_of(agent, optimizers), state_of(plain, [*others, costs.adam]))


def test_a_state_from_before_there_was_a_gain_goes_on_with_its_multiplier():
    options = [next(agent_of((2, 1), 2, 0, CostConstraint(1.0, 2)).options()) for _ in range(2)]
    options[0].multiplier.fill_(3.0)
    former = {key: value for key, value in options[0].state_dict().items() if key != "integral"}
    options[1].load_state_dict(former)
    assert options[1].integral.tolist() == options[1].multiplier.tolist() == [3.0, 3.0]


def test_a_learned_cost_is_that_of_the_data():
    task = task_of()
    rows = replace(unpack(task.rows, 1), cost=3 * task.costs)
    model = fit_costs(rows, torch.Generator().manual_seed(0), steps=600)
    assert model.error < 0.2
    places = torch.tensor([[-0.9], [0.0], [0.3], [0.7], [0.95]])
    costs = model(places, torch.zeros(5, 1), places)
    torch.testing.assert_close(costs, torch.tensor([0.0, 0, 0, 3, 3]), atol=0.2, rtol=0)
    assert model(*[torch.full((1, 1), 1e30)] * 3).isfinite().all()


def test_a_meter_adds_up_what_the_environment_or_the_function_says():
    task = task_of()
    sums = []
    for function, reports in ((None, True), (beyond, False)):
        environment = task.environment(3)
        if not reports:
            for env in environment.envs:
                env.unwrapped.step = without_cost(env.unwrapped.step)
        meter = CostMeter(environment, function, 0.9)
        for _ in range(2):
            meter.reset(seed=5)
            for _ in range(LENGTH):
                meter.step(np.ones((3, 1), np.float32))
        sums.append((meter.cost, meter.discounted))
    for ours, theirs in zip(*sums, strict=True):
        np.testing.assert_allclose(ours, theirs)
    starts = task.environment(3).reset(seed=5)[0][:, 0]
    for start, cost, discounted in zip(starts, *sums[0], strict=True):
        beyond_limit = np.minimum(start + 0.2 * np.arange(1, LENGTH + 1), 1) > LIMIT
        assert cost == beyond_limit.sum()
        assert discounted == pytest.approx((0.9 ** np.arange(LENGTH))[beyond_limit].sum())


def test_an_environment_that_reports_costly_steps_alone_is_metered():
    task = task_of()
    sums = []
    for silent in (False, True):
        environment = task.environment(3)
        for env in environment.envs if silent else ():
            env.unwrapped.step = only_costly(env.unwrapped.step)
        meter = CostMeter(environment, None, 0.9)
        assert not meter.known
        meter.reset(seed=5)
        for _ in range(LENGTH):
            meter.step(np.ones((3, 1), np.float32))
        assert meter.known
        sums.append((meter.cost, meter.discounted))
    for ours, theirs in zip(*sums, strict=True):
        np.testing.assert_allclose(ours, theirs)
        assert (ours > 0).all()


@pytest.mark.parametrize("quiet", [0, 7])
def test_reports_count_as_soon_as_there_is_one(quiet):
    """A cost function that says otherwise has no effect on steps before the first report either."""
    task = task_of()
    environment = task.environment(3)
    for env in environment.envs:
        env.unwrapped.step = only_costly(env.unwrapped.step)
    meters = [CostMeter(environment, function, 0.9) for function in (None, always)]
    sums = []
    for meter in meters:
        meter.reset(seed=5)
        for step in range(LENGTH):
            meter.step(np.full((3, 1), 0.0 if step < quiet else 1.0, np.float32))
        assert meter.known
        sums.append((meter.cost, meter.discounted))
    for ours, theirs in zip(*sums, strict=True):
        np.testing.assert_allclose(ours, theirs)


def always(observation, action, next_observation):
    return torch.ones_like(observation[:, 0])


@pytest.mark.parametrize("value", [float("nan"), -1.0, [1.0, 2.0], "much", None])
def test_a_reported_cost_that_is_none_is_named(value):
    environment = task_of().environment(2)
    environment.reset(seed=0)
    for env in environment.envs:
        env.unwrapped.step = with_cost(env.unwrapped.step, value)
    meter = CostMeter(environment, None, 0.9)
    meter.reset(seed=0)
    with pytest.raises(ConfigError, match=r"info\['cost'\].*one finite number of at least 0"):
        meter.step(np.zeros((2, 1), np.float32))


def with_cost(step, value):
    def stepped(action):
        *result, _ = step(action)
        return (*result, {"cost": value})

    return stepped


def only_costly(step):
    def stepped(action):
        *result, info = step(action)
        return (*result, info if info["cost"] else {})

    return stepped


class Tripled(Option):
    """Weights, as an imperfect simulator's rewards have."""

    def weights(self, batch):
        return torch.full_like(batch.reward, 3.0)


def test_costs_are_learned_with_the_weights_of_other_options():
    batch = batch_of((2, 1), 2, 0)
    batch = replace(batch, cost=batch.reward.abs())
    moves = []
    for others in ((), (Tripled(),)):
        generator = torch.Generator().manual_seed(0)
        critics = CostCritics(SMALL, batch.observation[0], 1, seeds=2, generator=generator)
        options, box = [critics, *others], (-torch.ones(1), torch.ones(1))
        agent = ReachAware(2, *box, SMALL, seeds=2, generator=generator, options=options)
        agent.double()
        before = parameters_to_vector(critics.critics.parameters()).detach().clone()
        plain = torch.optim.SGD(critics.critics.parameters(), 1e-3)
        critics.learn(agent, batch, plain, torch.Generator().manual_seed(1))
        moves.append(parameters_to_vector(critics.critics.parameters()).detach() - before)
    torch.testing.assert_close(moves[1], 3 * moves[0], rtol=1e-2, atol=1e-6)


def test_halting_does_not_undo_a_budget_or_a_guardian():
    halting = replace(SMALL, pessimism=Pessimism(halt_above=0.5))
    with pytest.raises(ConfigError, match="halting would pay: use a guardian"):
        ReachAwareModule(task_of(), halting)
    guarded = replace(halting, costs=CostConstraint(float("inf")), guardian=Guardian(-5.0))
    with pytest.raises(ConfigError, match="leave one of them out"):
        ReachAwareModule(task_of(), guarded)


def without_cost(step):
    return lambda action: (*step(action)[:4], {})


@pytest.mark.parametrize("options", [{}, {"cost": beyond}])
def test_an_interrupted_training_resumes_to_the_same_metrics(tmp_path, options, monkeypatch):
    monkeypatch.setattr(task_costs, "fit_costs", partial(fit_costs, steps=50))
    module = lambda epochs: ReachAwareModule(  # noqa: E731
        task_of(**options), SMALL, seeds=2, epochs=epochs, check_every=2, check_episodes=2
    )
    fit(module(4), tmp_path / "whole", save_every=1)
    fit(module(3), tmp_path / "parts", save_every=1)
    fit(module(4), tmp_path / "parts", save_every=1)
    whole, parts = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, parts, check_exact=True)
    names = [f"{name}/{seed}" for seed in (0, 1) for name in ("train/multiplier", "check/cost")]
    assert not whole[names].iloc[-1].isna().any()


@pytest.mark.parametrize("budget", [-1.0, float("nan"), -float("inf"), "much", None, True])
def test_a_budget_that_is_none_is_refused(budget):
    with pytest.raises(ConfigError, match=r"costs\.budget"):
        CostConstraint(budget)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"critics": 0}, r"costs\.critics 0"),
        ({"upper_bound": -1.0}, r"costs\.upper_bound -1"),
        ({"multiplier": -0.1}, r"costs\.multiplier -0\.1"),
        ({"multiplier_rate": -1.0}, r"costs\.multiplier_rate -1"),
        ({"multiplier_gain": -1.0}, r"costs\.multiplier_gain -1"),
        ({"multiplier_rate": float("inf")}, r"costs\.multiplier_rate"),
    ],
)
def test_other_numbers_out_of_range_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        CostConstraint(1.0, **changes)


def test_costs_and_budget_belong_together():
    with pytest.raises(ConfigError, match=r"cost column.*set settings\.costs\.budget"):
        ReachAwareModule(task_of(), replace(SMALL, costs=None))
    bare = replace(DATA, cost=None)
    with pytest.raises(ConfigError, match=r"budget is 0\.5, but the dataset has no cost column"):
        ReachAwareModule(task_of(bare), SMALL)
    with pytest.raises(ConfigError, match="or a cost function is given"):
        ReachAwareModule(task_of(bare, cost=beyond), replace(SMALL, costs=None))
    with pytest.raises(DatasetError, match="no cost above 0"):
        ReachAwareModule(task_of(replace(DATA, cost=0 * DATA.cost)), SMALL)
    ignoring = ReachAwareModule(task_of(), replace(SMALL, costs=CostConstraint(float("inf"))))
    assert not list(ignoring.agent.options())
    ReachAwareModule(task_of(bare, cost=beyond), SMALL)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("no_module:here", "cost 'no_module:here'"),
        (3, "cost 'of your own' is a int"),
        (lambda *rows: 1 / 0, "ZeroDivisionError"),
        (lambda s, a, n: n, r"gave \(1800, 1\) for 1800 rows"),
        (lambda s, a, n: 2.0, "gave float for 1800 rows"),
        (lambda s, a, n: n[:, 0] * torch.nan, "gave nan for row 0"),
        (lambda s, a, n: n[:, 0], "gave -.* for row"),
        (lambda s, a, n: 2 * beyond(s, a, n), "gives 2 for row .* whose cost is 1"),
        (lambda s, a, n: beyond(s, a, s), r"rows differ\): mend the function"),
    ],
)
def test_a_cost_function_that_does_not_fit_is_refused(function, message):
    with pytest.raises(ConfigError, match=message):
        task_of(cost=function)


def test_another_cost_is_another_training(monkeypatch):
    monkeypatch.setattr(task_costs, "fit_costs", partial(fit_costs, steps=1))
    origins = [
        ReachAwareModule(task_of(data, **options), numbers).made_with()
        for data, options, numbers in (
            (DATA, {}, SMALL),
            (replace(DATA, cost=2 * DATA.cost), {}, SMALL),
            (DATA, {"cost": beyond}, SMALL),
            (DATA, {}, replace(SMALL, costs=CostConstraint(0.4))),
        )
    ]
    for index, made_with in enumerate(origins):
        assert made_with not in origins[:index]


LEARNING = replace(
    SMALL,
    hidden=(32, 32),
    batch=64,
    actor_rate=1e-3,
    critic_rate=1e-3,
    temperature_rate=1e-3,
    temperature=0.05,
    target_rate=0.02,
    target_entropy=-3.0,
    starts=200,
    updates=100,
    real_share=0.3,
)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"cost": beyond}])
def test_a_limit_holds(tmp_path, options):
    """Without a budget the slider goes to the end at 1; with a small one it stops at the limit."""
    last = {}
    for budget, epochs in ((float("inf"), 10), (0.3, 25)):
        module = ReachAwareModule(
            task_of(**options),
            replace(LEARNING, costs=CostConstraint(budget, multiplier_rate=3e-3)),
            seeds=2,
            epochs=epochs,
            check_every=5,
        )
        folder = tmp_path / str(budget)
        last[budget] = fit(module, folder) and pd.read_csv(folder / "metrics.csv").iloc[-1]
    for seed in (0, 1):
        assert last[float("inf")][f"check/return/{seed}"] > 25  # of 26.3
        assert last[0.3][f"check/discounted_cost/{seed}"] <= 0.3
        assert 9 < last[0.3][f"check/return/{seed}"] < 15  # 0.5 a step after the way there
