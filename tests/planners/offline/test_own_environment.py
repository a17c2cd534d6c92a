"""Environments and dynamics models of a user's own: from data to an evaluated policy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import yaml

from worldplan.cli import main
from worldplan.envs.edge_of_reach import PlaneDynamics
from worldplan.envs.environments import make_environments
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.planners.base import Decision, Planner, evaluate
from worldplan.planners.offline.policy import ReachAwarePolicy
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.task import dataset_task
from worldplan.planners.offline.training import ReachAwareModule
from worldplan.world_models.data.files import load_transitions, save_npz
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.training import EnsembleModule, EnsembleSettings
from worldplan.world_models.training.trainer import fit

NAME = "WorldplanTestCart-v0"
LIMIT = 1.5


class Cart(gym.Env[np.ndarray, np.ndarray]):
    """A cart pushed along a line: keep it near the middle, off the ends, with little force."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gym.spaces.Box(-2.0, 2.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-1.0, 1.0, 2)
        return self.state.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        force = float(np.clip(action[0], -2, 2))
        position, speed = self.state
        speed = 0.95 * speed + 0.2 * force
        position = position + 0.2 * speed
        self.state = np.array([position, speed])
        fallen = abs(position) > LIMIT
        return self.state.astype(np.float32), 1.0 - position**2 - 0.02 * force**2, fallen, False, {}


gym.register(NAME, entry_point=Cart, max_episode_steps=50)


def over_the_end(
    observation: torch.Tensor, action: torch.Tensor, next_observation: torch.Tensor
) -> torch.Tensor:
    """A termination function of a user."""
    return next_observation[:, 0].abs() > LIMIT


def random_data(episodes: int = 150) -> Transitions:
    env, rng = gym.make(NAME), np.random.default_rng(0)
    rows: list[tuple[Any, ...]] = []
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        over = False
        while not over:
            action = rng.uniform(-2, 2, 1).astype(np.float32)
            following, reward, ended, late, _ = env.step(action)
            rows.append((observation, action, reward, following, ended, late, episode))
            observation, over = following, ended or late
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Transitions(*columns, state=None, metadata={"env_id": NAME})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The dataset as a file, and an ensemble trained on it."""
    folder = tmp_path_factory.mktemp("cart")
    save_npz(random_data(), folder / "cart.npz")
    settings = EnsembleSettings(
        members=4, elites=3, hidden=(32, 32), weight_decay=(1e-5, 1e-5, 1e-5), epochs=25
    )
    module = EnsembleModule(load_transitions(folder / "cart.npz"), settings)
    return folder / "cart.npz", fit(module, folder / "ensemble")


SETTINGS = ReachAwareSettings.paper(
    critics=4,
    diversity=0.1,
    hidden=(32, 32),
    batch=64,
    actor_rate=1e-3,
    critic_rate=1e-3,
    temperature_rate=1e-3,
    temperature=0.2,
    target_rate=0.02,
    discount=0.97,
    horizon=4,
    starts=200,
    updates=100,
    real_share=0.25,
)


@pytest.mark.parametrize(
    "termination", [over_the_end, "learned", "test_own_environment:over_the_end"]
)
def test_from_data_to_an_evaluated_policy(files, tmp_path, termination, monkeypatch):
    """Trained on random data alone, the policy holds the cart; random pushing does not."""
    monkeypatch.syspath_prepend(str(__import__("pathlib").Path(__file__).parent))
    data, ensemble = files
    task = dataset_task(data, ensemble=ensemble, termination=termination)
    epochs = 15 if termination is over_the_end else 1
    checkpoint = fit(
        ReachAwareModule(task, SETTINGS, check_episodes=2, epochs=epochs, check_every=5), tmp_path
    )
    policy = ReachAwarePolicy.load(checkpoint)
    episodes = evaluate(policy, gym.make(NAME), 20, seed=1000).episodes
    assert policy.about["environment"] == NAME
    if termination is over_the_end:
        by_chance = load_transitions(data).returns().mean()
        assert episodes["return"].mean() > max(35.0, by_chance + 5), (
            f"random data had {by_chance:.1f} of at most 50"
        )


def test_learned_termination_is_that_of_the_environment(files):
    dynamics = dataset_task(files[0], ensemble=files[1], termination="learned").dynamics
    position = torch.tensor([[0.0], [0.9], [1.7], [-1.7], [-0.9]])
    rows = torch.cat([position, position.sign() * 0.5], 1)
    terminated = dynamics.terminate(rows, torch.zeros(5, 1), rows)  # type: ignore[attr-defined]
    assert terminated.tolist() == [False, False, True, True, False]


def test_missing_and_wrong_arguments_are_named(files, tmp_path):
    data, ensemble = files
    with pytest.raises(ConfigError, match="no termination rule for 'WorldplanTestCart-v0'"):
        dataset_task(data, ensemble=ensemble)
    with pytest.raises(ConfigError, match="set ensemble"):
        dataset_task(data, termination=over_the_end)
    with pytest.raises(ConfigError, match="simulator states"):
        dataset_task(data, true_share=1.0)
    with pytest.raises(ConfigError, match="true_share"):
        dataset_task(data, ensemble=ensemble, true_share=1.5, termination=over_the_end)
    with pytest.raises(ConfigError, match="environment 'Nowhere-v0'"):
        dataset_task(data, environment="Nowhere-v0", ensemble=ensemble)
    with pytest.raises(ConfigError, match="takes actions of size 3"):
        dataset_task(data, environment="Hopper-v5", ensemble=ensemble)
    with pytest.raises(ConfigError, match="observations of size 2"):
        dataset_task(
            data,
            environment="InvertedDoublePendulum-v5",
            ensemble=ensemble,
            termination=over_the_end,
        )
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        dataset_task(data, ensemble=tmp_path / "none.ckpt", termination=over_the_end)


def test_evaluation_counts_one_episode_of_each_copy():
    """Episodes of unequal length side by side equal the same episodes one after the other."""

    class Pusher(Planner):
        def plan(self, observation: Any) -> Decision:
            return Decision(
                np.array([0.4 * np.sign(observation[0])], np.float32), None, None, "heuristic", 0.0
            )

    together = evaluate(Pusher(), make_environments(NAME, 6), 6, seed=5).episodes
    alone = [
        evaluate(Pusher(), gym.make(NAME), 1, seed=5 + index).episodes.iloc[0] for index in range(6)
    ]
    assert together["length"].nunique() > 1
    assert together["length"].tolist() == [row["length"] for row in alone]
    np.testing.assert_allclose(together["return"], [row["return"] for row in alone])


_OWN_MODEL = '''
import torch
from worldplan.envs.dynamics import Prediction


class CartEquations:
    """The cart of the tests, with friction as an option."""

    def __init__(self, *, environment, observation_size, action_size, friction=0.05):
        self.observation_size, self.action_size = observation_size, action_size
        self.state_size, self.friction = 0, friction

    def step(self, observation, action, *, state=None, generator=None, members=False):
        force = action[:, 0].clamp(-2, 2)
        speed = (1 - self.friction) * observation[:, 1] + 0.2 * force
        position = observation[:, 0] + 0.2 * speed
        reward = 1 - position.square() - 0.02 * force.square()
        return Prediction(torch.stack([position, speed], 1), reward, position.abs() > 1.5)

    def to(self, device):
        pass


class NeedsState(CartEquations):
    def __init__(self, **options):
        super().__init__(**options)
        self.state_size = 4
'''


@pytest.fixture
def own_model(tmp_path, monkeypatch):
    """A user's package with a dynamics model; its name differs between tests."""
    package = tmp_path / "users" / f"cart_{tmp_path.name}"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "equations.py").write_text(_OWN_MODEL)
    monkeypatch.syspath_prepend(str(tmp_path / "users"))
    return f"{package.name}.equations"


def test_rollouts_in_a_dynamics_model_of_ones_own(files, tmp_path, own_model):
    """Trained in exact equations, the first model transitions are those of the environment."""
    data, _ = files
    task = dataset_task(data, dynamics=f"{own_model}:CartEquations")
    assert type(task.dynamics).__name__ == "CartEquations"
    settings = replace(SETTINGS, starts=50, updates=5)
    module = ReachAwareModule(task, settings, epochs=2, check_every=2, check_episodes=1)
    checkpoint = fit(module, tmp_path / "run")
    assert ReachAwarePolicy.load(checkpoint).about["environment"] == NAME
    batch = module.check_rows()
    speed = 0.95 * batch.observation[..., 1] + 0.2 * batch.action[..., 0]
    torch.testing.assert_close(batch.next_observation[..., 1], speed)


def test_a_configuration_names_ones_own_dynamics(files, tmp_path, own_model):
    """`worldplan fit` trains in it: nothing in worldplan is edited."""
    settings = {
        "critics": 2,
        "diversity": 0.0,
        "hidden": [16],
        "batch": 16,
        "horizon": 2,
        "starts": 20,
        "updates": 5,
        "real_share": 0.5,
    }
    init_args = {
        "dataset": str(files[0]),
        "dynamics": f"{own_model}:CartEquations",
        "dynamics_options": {"friction": 0.1},
        "epochs": 2,
        "check_every": 2,
        "check_episodes": 1,
        "settings": settings,
    }
    config = {
        "seed_everything": 0,
        "model": {
            "class_path": "worldplan.planners.offline.training.for_dataset",
            "init_args": init_args,
        },
        "trainer": {"default_root_dir": str(tmp_path / "run")},
    }
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", str(tmp_path / "fit.yaml")]) == 0
    assert ReachAwarePolicy.load(tmp_path / "run").about["environment"] == NAME


def test_options_of_ones_own_dynamics_make_another_training(files, own_model):
    data, _ = files
    name = f"{own_model}:CartEquations"
    tasks = [
        dataset_task(data, dynamics=name, dynamics_options=options)
        for options in ({}, {"friction": 0.5})
    ]
    assert tasks[1].dynamics.friction == 0.5  # type: ignore[attr-defined]
    assert tasks[0].about != tasks[1].about
    same, other = (dataset_task(data, dynamics=task.dynamics) for task in tasks)
    assert same.dynamics is tasks[0].dynamics
    assert same.about != other.about


def test_ones_own_dynamics_that_do_not_fit_are_named(files, own_model):
    data, ensemble = files
    name = f"{own_model}:CartEquations"
    with pytest.raises(ConfigError, match="leave out ensemble"):
        dataset_task(data, dynamics=name, ensemble=ensemble)
    with pytest.raises(ConfigError, match="leave out ensemble"):
        dataset_task(data, dynamics=name, termination="learned")
    with pytest.raises(ConfigError, match="set dynamics too"):
        dataset_task(data, ensemble=ensemble, dynamics_options={"friction": 0.5})
    with pytest.raises(ConfigError, match="frictoin"):
        dataset_task(data, dynamics=name, dynamics_options={"frictoin": 0.5})
    with pytest.raises(ConfigError, match="needs simulator states of size 4"):
        dataset_task(data, dynamics=f"{own_model}:NeedsState")
    with pytest.raises(ConfigError, match=r"sizes are \(2, 2\), those of the dataset"):
        dataset_task(data, dynamics=PlaneDynamics())
    with pytest.raises(ConfigError, match="choose true"):
        dataset_task(data, dynamics="nothing")
