"""H2O: its update, imperfect simulators, weights that tell a wrong simulator from a right one."""

from __future__ import annotations

import copy
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch
from gymnasium.envs.classic_control import PendulumEnv
from gymnasium.spaces import Box
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planners.offline.plain_update import plain_update
from tests.planners.offline.slider import NAME, SliderDynamics, random_data
from tests.planners.offline.test_update_step import batch_of, plain_optimizers
from tests.updates import PLAIN, assert_same_state, state_of
from worldplan.envs.dynamics.model_check import check_model
from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.envs.dynamics.pendulum import PendulumDynamics
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.options.dynamics_gap import Discriminators
from worldplan.planners.offline.options.gap_settings import DynamicsGap
from worldplan.planners.offline.options.simulator import make_simulator
from worldplan.planners.offline.replay import Batch
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.task import dataset_task
from worldplan.planners.offline.training import ReachAwareModule
from worldplan.world_models.data.transitions import Transitions
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
    dynamics_gap=DynamicsGap(hidden=(16,)),
)
COLUMNS = ("observation", "action", "reward", "next_observation", "terminated", "step")
TORQUES = Box(-2.0, 2.0, (1,), np.float32)


class PlainGap:
    """The loss of the critics and the step of the discriminators, as in the paper's code."""

    def __init__(self, option, generator):
        self.option, self.generator = option, generator
        self.adams = [
            torch.optim.Adam(part.parameters(), option.settings.rate, **PLAIN)
            for part in (option.of_pair, option.of_step)
        ]

    def probabilities(self, inputs):
        """Of real and simulated, from (s, a) and from (s, a, s')."""
        of_pair = 2 * torch.tanh(self.option.of_pair(inputs[..., : self.option.of_pair.sizes[0]]))
        of_step = 2 * torch.tanh(self.option.of_step(inputs))
        return torch.softmax(of_pair, -1), torch.softmax(of_step + of_pair, -1)

    def ratio(self, inputs):
        pair, whole = self.probabilities(inputs)
        return whole[..., 0] * pair[..., 1] / (whole[..., 1] * pair[..., 0])

    def inputs(self, batch):
        rows = torch.cat([batch.observation, batch.action, batch.next_observation], -1)
        return (rows - self.option.centre) / self.option.scale

    def errors(self, batch, predicted, target):
        inputs, size = self.inputs(batch), batch.observation.shape[-1]
        noise = torch.randn(
            (10, *batch.observation.shape), generator=self.generator, dtype=torch.float64
        )
        loss = 0.0
        for seed in range(len(inputs)):
            real, simulated = batch.step[seed] < 0, batch.step[seed] >= 0
            with torch.no_grad():
                ratio = self.ratio(inputs)[seed].clamp(1e-5, 1.0)[simulated]
                logs = []
                for sample in range(10):
                    near = inputs.clone()
                    spread = self.option.settings.noise * self.option.spread[-size:]
                    near[..., -size:] += spread * noise[sample]
                    logs.append(-self.ratio(near)[seed].log())
                gap = torch.stack(logs).mean(0).clamp(1e-30, 10)[simulated]
                omega = gap / gap.sum()
            for critic in range(predicted.shape[1]):
                value, wanted = predicted[seed, critic], target[seed, 0]
                of_real = (value - wanted)[real].square().mean()
                root = ratio.sqrt()
                of_simulated = (root * value[simulated] - root * wanted[simulated]).square().mean()
                low = torch.logsumexp(value[simulated] + omega.log(), 0)
                difference = (low - value[real].mean()).clamp(-1000, 1000)
                loss = loss + of_real + of_simulated + self.option.settings.weight * difference
        return loss

    def update(self, batch, generator):
        inputs = self.inputs(batch)
        noise = torch.randn(inputs.shape, generator=generator, dtype=torch.float64)
        noisy = inputs + self.option.settings.noise * self.option.spread * noise
        loss = 0.0
        for chances in self.probabilities(noisy):
            for seed in range(len(inputs)):
                real, simulated = batch.step[seed] < 0, batch.step[seed] >= 0
                loss = loss - chances[seed, real, 0].log().mean()
                loss = loss - chances[seed, simulated, 1].log().mean()
        self.option.zero_grad()
        loss.backward()
        for adam in self.adams:
            adam.step()


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 2)),
    st.integers(1, 3),
    st.sampled_from([(4,), (5, 3)]),
    st.sampled_from([0.0, 0.01, 2.0]),
    st.sampled_from([0.0, 0.1]),
    st.integers(1, 3),
    st.integers(0, 10**6),
)
def test_updates_equal_plain_ones(sizes, seeds, hidden, weight, noise, updates, seed):
    generator = torch.Generator().manual_seed(seed)
    gap = DynamicsGap(weight, hidden, 3e-3, noise)
    option = Discriminators(gap, *sizes, seeds=seeds, generator=generator)
    box = torch.ones(sizes[1])
    numbers = replace(SMALL, hidden=(5, 5), dynamics_gap=gap)
    agent = ReachAware(
        sizes[0], -box, box, numbers, seeds=seeds, generator=generator, options=[option]
    ).double()
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    rows = batch_of(sizes, 1, seed, rows=20)
    option.fit_inputs(Batch(*(getattr(rows, name)[0] for name in COLUMNS)))
    plain, optimizers = copy.deepcopy(agent), agent.optimizers()
    option.generator = torch.Generator().manual_seed(seed)
    costs = PlainGap(next(plain.options()), torch.Generator().manual_seed(seed))
    others = plain_optimizers(plain)
    for number in range(updates):
        batch = batch_of(sizes, seeds, seed + number)
        ours, theirs = (torch.Generator().manual_seed(seed + number) for _ in range(2))
        agent.update(batch, optimizers, ours)
        plain_update(plain, batch, others, theirs, errors=costs.errors)
        costs.update(batch, theirs)
    assert_same_state(state_of(agent, optimizers), state_of(plain, [*others, *costs.adams]))


def test_a_training_resumes_to_the_same_metrics(tmp_path):
    module = lambda epochs: ReachAwareModule(  # noqa: E731
        dataset_task(random_data(costs=False), dynamics=SliderDynamics(wind=0.1)),
        SMALL,
        seeds=2,
        epochs=epochs,
        check_every=1,
        check_episodes=1,
    )
    fit(module(3), tmp_path / "whole", save_every=1)
    fit(module(2), tmp_path / "parts", save_every=1)
    fit(module(3), tmp_path / "parts", save_every=1)
    whole, parts = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, parts, check_exact=True)
    assert (whole["train/simulator_weight/1"] <= 1).all()


def test_a_batch_without_one_kind_is_refused():
    task = dataset_task(random_data(costs=False), dynamics=SliderDynamics())
    for share in (0.0, 1.0):
        with pytest.raises(ConfigError, match="set real_share between 0 and 1"):
            ReachAwareModule(task, replace(SMALL, real_share=share))
    with pytest.raises(ConfigError, match="simulated rows in every batch"):
        ReachAwareModule(task, SMALL, finetune=1)  # a half and a half leave none


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": -1.0}, r"dynamics_gap\.weight -1"),
        ({"noise": -0.1}, r"dynamics_gap\.noise -0\.1"),
        ({"rate": 0.0}, r"dynamics_gap\.rate 0"),
        ({"hidden": ()}, r"dynamics_gap\.hidden"),
        ({"hidden": (0,)}, r"dynamics_gap\.hidden"),
        ({"weight": float("nan")}, r"dynamics_gap\.weight"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        DynamicsGap(**changes)


# --- simulators -----------------------------------------------------------------------------------


def pendulum_data(episodes=3, **kwargs):
    env, rng, rows = gym.make("Pendulum-v1", **kwargs), np.random.default_rng(0), []
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        late = False
        while not late:
            action = rng.uniform(-2, 2, 1).astype(np.float32)
            following, reward, _, late, _ = env.step(action)
            rows.append((observation, action, reward, following, False, late, episode))
            observation = following
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Transitions(*columns, metadata={"env_id": "Pendulum-v1"})


@pytest.mark.parametrize("g", [10.0, 2.5, -3.0])
def test_the_batched_pendulum_is_gymnasiums(g):
    data = pendulum_data(g=g)
    model = make_simulator({"id": "Pendulum-v1", "kwargs": {"g": g}}, data, TORQUES)
    predicted = model.step(torch.from_numpy(data.observation), torch.from_numpy(data.action))
    np.testing.assert_allclose(predicted.next_observation, data.next_observation, atol=2e-5)
    np.testing.assert_allclose(predicted.reward, data.reward, atol=2e-4)
    other = PendulumDynamics(g=g + 5).step(
        torch.from_numpy(data.observation), torch.from_numpy(data.action)
    )
    assert (other.next_observation - predicted.next_observation).abs().max() > 0.1
    check_model(model, data.observation, data.action)


class Heavy(PendulumEnv):
    """With another mass."""

    def __init__(self, mass=1.0, **options):
        super().__init__(**options)
        self.m = mass


class Sticky(PendulumEnv):
    """With another step."""

    def step(self, u):
        return super().step(0.5 * u)


for name, kind in (("Heavy", Heavy), ("Sticky", Sticky)):
    gym.register(f"WorldplanTest{name}-v0", entry_point=kind, max_episode_steps=20)
gym.register(
    "WorldplanTestWrapped-v0",
    entry_point=lambda **options: gym.wrappers.TransformReward(PendulumEnv(**options), abs),
)


def test_a_pendulum_of_another_mass():
    data = pendulum_data(1)
    model = make_simulator({"id": "WorldplanTestHeavy-v0", "kwargs": {"mass": 3}}, data, TORQUES)
    assert model.m == 3
    env = Heavy(mass=3)
    observation, _ = env.reset(seed=0)
    following, *_ = env.step(np.array([1.5]))
    rows = torch.from_numpy(observation)[None], torch.tensor([[1.5]])
    np.testing.assert_allclose(model.step(*rows).next_observation[0], following, atol=1e-5)


@pytest.mark.parametrize(
    ("simulator", "message"),
    [
        ("Pendulum-v1", "has no id of an environment"),
        ({}, "has no id of an environment"),
        ({"id": 3}, "has no id of an environment"),
        ({"id": "Pendulum-v1", "gravity": 3}, "has no setting gravity"),
        ({"id": "Pendulum-v1", "kwargs": [1]}, "is no mapping"),
        ({"id": "Pendulum-v1", "kwargs": {"gravity": 3}}, "cannot be made"),
        ({"id": "Nothing-v1"}, "cannot be made"),
        ({"id": "MountainCarContinuous-v0"}, r"'MountainCarContinuous-v0' shows Box.*of size 3"),
        ({"id": "InvertedPendulum-v5"}, "'InvertedPendulum-v5' shows"),
        ({"id": "WorldplanTestSticky-v0"}, "Sticky has a step of its own"),
        ({"id": "WorldplanTestWrapped-v0"}, "its wrapper TransformReward"),
    ],
)
def test_simulators_that_do_not_fit_are_refused(simulator, message):
    with pytest.raises(ConfigError, match=message):
        make_simulator(simulator, pendulum_data(1), TORQUES)


def test_other_actions_and_other_environments_are_refused():
    with pytest.raises(ConfigError, match=r"takes actions Box.*the environment takes Box"):
        make_simulator({"id": "Pendulum-v1"}, pendulum_data(1), Box(-1.0, 1.0, (1,), np.float32))
    slider, box = {"id": NAME}, Box(-1.0, 1.0, (1,), np.float32)
    data = random_data(1, costs=False)
    with pytest.raises(ConfigError, match="only MuJoCo tasks and gymnasium's Pendulum"):
        make_simulator(slider, data, box)
    with pytest.raises(ConfigError, match="simulator: .*leave out true_share, termination"):
        dataset_task(
            pendulum_data(1), simulator={"id": "Pendulum-v1"}, true_share=1.0, termination="never"
        )


def test_a_mujoco_simulator_needs_the_states_of_the_data():
    model = MujocoDynamics("InvertedPendulum-v5")
    observation, state = model.reset(4, torch.Generator().manual_seed(0))
    zeros = np.zeros(4)
    data = Transitions(
        observation,
        np.zeros((4, 1)),
        zeros,
        observation,
        zeros,
        zeros + 1,
        np.arange(4),
        metadata={"env_id": "InvertedPendulum-v5"},
    )
    forces = Box(-3.0, 3.0, (1,), np.float32)
    simulator = {"id": "InvertedPendulum-v5", "kwargs": {"reset_noise_scale": 0.1}}
    with pytest.raises(ConfigError, match="needs simulator states of size 4, the dataset has none"):
        make_simulator(simulator, data, forces)
    made = make_simulator(simulator, replace(data, state=state), forces, threads=1)
    assert made.state_size == 4


def test_short_steps_do_not_hide_the_dynamics():
    """States spread over 1, steps of 0.02, a simulator that drifts by 0.02 in one half of them."""
    generator = torch.Generator().manual_seed(0)

    def transitions(drift, rows=64):
        observation = torch.rand((1, rows, 1), generator=generator)
        action = torch.rand((1, rows, 1), generator=generator) * 2 - 1
        following = observation + 0.02 * action + drift * (observation > 0.5)
        zeros = torch.zeros(1, rows)
        step = zeros if drift else zeros - 1
        return Batch(observation, action, zeros, following, zeros, step)

    real = transitions(0.0, rows=1000)
    option = Discriminators(DynamicsGap(hidden=(32, 32), rate=3e-3), 1, 1, generator=generator)
    option.fit_inputs(Batch(*(getattr(real, name)[0] for name in COLUMNS)))
    option.generator = generator
    optimizer = option.optimizer()
    for _ in range(1500):
        halves = transitions(0.0), transitions(0.02)
        batch = Batch(*(torch.cat([getattr(h, name) for h in halves], 1) for name in COLUMNS))
        option.learn(None, batch, optimizer, generator)
    simulated = transitions(0.02, rows=1000)
    wrong = simulated.observation[..., 0] > 0.5
    weights, gap = option.log_ratio(option._inputs(simulated)).exp(), option.gap(simulated)
    assert weights[wrong].mean() < 0.6 < 0.8 < weights[~wrong].mean()
    assert gap[wrong].mean() > 3 * gap[~wrong].mean()


def test_another_simulator_is_another_training():
    data, origins = pendulum_data(1), []
    for g in (10.0, 12.0):
        task = dataset_task(data, simulator={"id": "Pendulum-v1", "kwargs": {"g": g}})
        origins.append(ReachAwareModule(task, SMALL).made_with())
    assert origins[0] != origins[1]


@pytest.mark.slow
def test_weights_tell_a_wrong_simulator_from_a_right_one(tmp_path):
    """In wind, the next position differs by as much as an action moves it."""
    last = {}
    for wind in (0.0, 0.2):
        module = ReachAwareModule(
            dataset_task(random_data(costs=False), dynamics=SliderDynamics(wind=wind)),
            replace(
                SMALL, batch=128, updates=100, dynamics_gap=DynamicsGap(hidden=(32, 32), rate=1e-3)
            ),
            seeds=2,
            epochs=8,
            check_every=8,
            check_episodes=1,
        )
        folder = tmp_path / str(wind)
        last[wind] = fit(module, folder) and pd.read_csv(folder / "metrics.csv").iloc[-1]
    for seed in (0, 1):
        right, wrong = (last[wind][f"train/simulator_weight/{seed}"] for wind in (0.0, 0.2))
        assert wrong < 0.5 < right
