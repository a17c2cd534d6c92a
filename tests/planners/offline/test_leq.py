"""LEQ: gradients of lambda-returns and updates against plain ones, trainings, resuming."""

import copy
from dataclasses import replace

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planners.offline.model_free.builders import pendulum_data, save_ensemble
from tests.planners.offline.model_free.test_update_step import batch_of
from tests.updates import PLAIN, assert_same_state, state_of
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.imagination import imagine
from worldplan.planners.offline.leq import LEQSettings
from worldplan.planners.offline.leq_training import LEQModule
from worldplan.planners.offline.model_free.policy import ModelFreePolicy
from worldplan.planners.offline.task import dataset_task, model_free_task
from worldplan.world_models.training.trainer import fit

SMALL = LEQSettings(
    hidden=(7, 5),
    batch=6,
    updates=4,
    expectile=0.2,
    horizon=3,
    starts=5,
    steps=2,
    retain=2,
    actor_decay=9,
    actor_rate=3e-3,
    critic_rate=2e-3,
    target_rate=0.1,
    discount=0.9,
)


def learner_of(sizes, seeds, seed, **changes):
    """A learner in float64 with a smooth model in which some trajectories end."""
    generator = torch.Generator().manual_seed(seed)
    learner = replace(SMALL, **changes).learner(*sizes, seeds=seeds, generator=generator).double()
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    learner.visited.add(
        torch.randn(seeds, 8, sizes[0], generator=generator, dtype=torch.float64),
        torch.ones(seeds, 8, dtype=torch.bool),
    )
    learner.model = Smooth(sizes, generator)
    return learner


class Smooth:
    """A random differentiable model with noise, which ends where the first coordinate is large."""

    def __init__(self, sizes, generator):
        observation, action = sizes
        shape = (observation + action, observation + 1)
        self.matrix = torch.randn(shape, generator=generator, dtype=torch.float64)

    def step(self, observation, action, generator):
        outputs = torch.tanh(torch.cat([observation, action], -1) @ self.matrix)
        noise = torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
        outputs = outputs * (1 + 0.1 * noise)
        following = observation + outputs[..., :-1]
        return following, outputs[..., -1], following[..., 0].detach() > 1.5


def plain_imagination(learner, starts, generator):
    """Whole graphs, with a vector added to every action; one backward pass per step."""
    numbers, actor, critics = learner.settings, learner.actor, learner.critics
    state, added, states, actions, q, rewards, alive = starts, [], [], [], [], [], []
    running = torch.ones_like(starts[..., 0])
    for index in range(numbers.horizon + 1):
        added.append(torch.zeros_like(actor(state)).requires_grad_())
        action = actor(state) + added[-1]
        states.append(state)
        actions.append(action)
        alive.append(running)
        q.append(critics(state, action)[:, 0])
        if index < numbers.horizon:
            state, reward, ended = learner.model.step(state, action, generator)
            rewards.append(reward)
            running = running * (~ended).double()
    returns = []
    for first in range(numbers.horizon + 1):  # the definition: weighted k-step returns
        total, norm = 0.0, 0.0
        for k in range(numbers.horizon - first + 1):
            partial = sum(
                numbers.discount**j * alive[first + j] * rewards[first + j] for j in range(k)
            )
            # a trajectory that has ended keeps its own q, but no later ones
            end = q[first] if k == 0 else alive[first + k] * q[first + k]
            total = total + numbers.trace**k * (partial + numbers.discount**k * end)
            norm += numbers.trace**k
        returns.append(total / norm)
    gradients = [
        torch.autograd.grad(value.sum(), vector, retain_graph=True)[0]
        for value, vector in zip(returns, added, strict=True)
    ]
    return states, actions, q, returns, gradients, alive


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 2)),
    st.integers(1, 3),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.6, 0.95, 1.0]),
    st.integers(0, 10**6),
)
def test_lambda_returns_and_gradients_equal_those_of_the_whole_graph(
    sizes, seeds, horizon, trace, seed
):
    learner = learner_of(sizes, seeds, seed, horizon=horizon, trace=trace)
    starts = learner.visited.draw(6, torch.Generator().manual_seed(seed))
    imagined = imagine(
        learner.model,
        learner.actor,
        learner.critics,
        starts,
        horizon,
        SMALL.discount,
        trace,
        torch.Generator().manual_seed(seed),
    )
    plain = plain_imagination(learner, starts, torch.Generator().manual_seed(seed))
    names = ("states", "actions", "values", "returns", "gradients", "alive")
    running = imagined.alive > 0
    for name, expected in zip(names, plain, strict=True):
        actual, stacked = getattr(imagined, name), torch.stack(list(expected)).detach()
        torch.testing.assert_close(actual[running], stacked[running], msg=name)


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 2)),
    st.integers(1, 2),
    st.sampled_from(
        [
            {},
            {"model_share": 0.9, "trace": 0.5},
            {"expectile": 0.5, "horizon": 1},
            {"symlog": True},
            {"symlog": True, "trace": 0.3, "horizon": 2},
        ]
    ),
    st.integers(1, 3),
    st.integers(0, 10**6),
)
def test_updates_equal_plain_ones(sizes, seeds, changes, updates, seed):
    learner = learner_of(sizes, seeds, seed, **changes)
    model = learner.model
    plain = copy.deepcopy(learner)
    plain.model = model
    optimizers = learner.optimizers()
    others = [
        torch.optim.Adam(plain.actor.parameters(), SMALL.actor_rate, **PLAIN),
        torch.optim.Adam(plain.critics.parameters(), SMALL.critic_rate, **PLAIN),
    ]
    for number in range(1, updates + 1):
        batch = batch_of(sizes, seeds, seed + number)
        learner.update(batch, optimizers, number, torch.Generator().manual_seed(number))
        plain_update(plain, batch, others, number, torch.Generator().manual_seed(number))
    assert_same_state(state_of(learner, optimizers), state_of(plain, others), rtol=1e-6, atol=1e-10)


def plain_update(learner, batch, optimizers, number, generator):
    numbers, actor, critics = learner.settings, learner.actor, learner.critics
    starts = learner.visited.draw(numbers.batch, generator)
    states, actions, q, returns, gradients, alive = plain_imagination(learner, starts, generator)
    returns, actions = [value.detach() for value in returns], [a.detach() for a in actions]
    actor_loss = 0.0
    for index in range(numbers.horizon + 1):
        sided = torch.where(returns[index] > q[index], numbers.expectile, 1 - numbers.expectile)
        sided = torch.full_like(sided, 0.5) if index == numbers.horizon else sided
        chosen = actor(states[index].detach())
        products = (gradients[index] * chosen).sum(-1)
        actor_loss = actor_loss - (alive[index] * sided * products).mean(-1)
    with torch.no_grad():
        following = critics(batch.next_observation, actor(batch.next_observation))[:, 0]
        target = batch.reward + numbers.discount * (1 - batch.terminated) * following
    value = critics(batch.observation, batch.action)[:, 0]
    slow = learner.target_critics(batch.observation, batch.action)[:, 0]
    data = (0.5 * (target - value) ** 2 + (slow - value) ** 2).mean(-1)
    model = 0.0
    for index in range(numbers.horizon):
        value = critics(states[index].detach(), actions[index])[:, 0]
        slow = learner.target_critics(states[index].detach(), actions[index])[:, 0]
        error = returns[index] - value
        sided = torch.where(error > 0, numbers.expectile, 1 - numbers.expectile)
        terms = sided * error**2 + (slow - value) ** 2
        weight = alive[index] * numbers.discount**index
        model = model + (weight * terms).mean(-1) / numbers.horizon
    critic_loss = (1 - numbers.model_share) * data + numbers.model_share * model
    optimizers[0].param_groups[0]["lr"] = learner.actor_rate(number)
    losses, networks = (actor_loss, critic_loss), (actor, critics)
    found = [
        torch.autograd.grad(loss.sum(), list(network.parameters()), retain_graph=True)
        for loss, network in zip(losses, networks, strict=True)
    ]
    for optimizer, network, gradients_of in zip(optimizers, networks, found, strict=True):
        for parameter, gradient in zip(network.parameters(), gradients_of, strict=True):
            parameter.grad = gradient.contiguous()
        optimizer.step()
    for old, new in zip(learner.target_critics.parameters(), critics.parameters(), strict=True):
        old.data = (1 - numbers.target_rate) * old.data + numbers.target_rate * new.data


def plain_symlog(values):
    return torch.where(values < 0, -torch.log(1 - values), torch.log(1 + values))


@settings(max_examples=20, deadline=None)
@given(st.tuples(st.integers(1, 3), st.integers(1, 2)), st.integers(1, 3), st.integers(0, 10**6))
def test_networks_see_the_symlog_of_scaled_inputs(sizes, seeds, seed):
    learner = learner_of(sizes, seeds, seed, symlog=True)
    plain = learner_of(sizes, seeds, seed)  # the same weights
    generator = torch.Generator().manual_seed(seed)
    draw = [torch.randn(seeds, 6, size, generator=generator).double() * 9 for size in sizes]
    observation, action = draw
    actions = 5 + 3 * torch.randn(50, sizes[1], generator=generator)
    learner.critics.fit_actions(actions)
    scaled = (action - actions.mean(0)) / actions.std(0, correction=0)
    torch.testing.assert_close(
        learner.critics(observation, action),
        plain.critics(plain_symlog(observation), plain_symlog(scaled)),
        rtol=1e-5,
        atol=1e-5,
    )
    torch.testing.assert_close(learner.actor(observation), plain.actor(plain_symlog(observation)))


def task_of(tmp_path):
    data = pendulum_data()
    save_ensemble(data, tmp_path / "ensemble.ckpt")
    return dataset_task(data, ensemble=tmp_path / "ensemble.ckpt", termination="never")


def module_of(task, epochs, **changes):
    options = {"seeds": 2, "epochs": epochs, "check_every": 2, "check_episodes": 1}
    return LEQModule(task, replace(SMALL, **changes), **options)


@pytest.mark.parametrize("symlog", [False, True])
def test_interrupted_training_continues_bit_for_bit_and_its_policy_loads(tmp_path, symlog):
    task = task_of(tmp_path)
    fit(module_of(task, 3, symlog=symlog), tmp_path / "whole", save_every=1)
    fit(module_of(task, 1, symlog=symlog), tmp_path / "parts", save_every=1)
    (tmp_path / "parts" / "done").unlink()
    module = module_of(task, 3, symlog=symlog)
    assert ("settings.symlog" in module.made_with()) == symlog  # an older training has none
    fit(module, tmp_path / "parts", save_every=1)
    whole, parts = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, parts, check_exact=True)
    policy = ModelFreePolicy.load(tmp_path / "whole", 1)
    observation = task.starts[0].numpy()
    assert policy.act(observation) == module.policy(1).act(observation)
    unit = (task.starts[:1] - module.prepared.mean) / module.prepared.spread
    network = module.learner.actor.network
    seen = plain_symlog(unit) if symlog else unit
    mean = torch.tanh(network(seen.expand(2, 1, -1)))[1, 0]
    assert policy.act(observation) == pytest.approx(2 * mean.item(), abs=1e-5)
    if symlog:
        critics, action = module.learner.target_critics, module.prepared.table[:, 6]
        assert critics.action_mean.item() == pytest.approx(action.mean().item(), abs=1e-5)
        spread = action.std(correction=0).item()
        assert critics.action_spread.item() == pytest.approx(spread, rel=1e-4)


def test_other_models_are_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match="NoDynamics is no learned ensemble"):
        LEQModule(model_free_task(pendulum_data()), SMALL)


@pytest.mark.parametrize(
    "wrong", [{"trace": 1.5}, {"expectile": 0.0}, {"horizon": 0}, {"noise": -1.0}, {"retain": 0}]
)
def test_a_setting_out_of_range_is_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LEQSettings(**wrong)
