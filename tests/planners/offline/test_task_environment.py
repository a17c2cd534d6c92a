"""The environment of a dataset's task: as it was, or refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from worldplan.envs.environments import make_environment
from worldplan.envs.registered import resolved
from worldplan.envs.spec import parse_spec
from worldplan.milp.errors import CheckpointError, ConfigError, DatasetError
from worldplan.planners.offline.task import OfflineTask, dataset_task, model_free_task
from worldplan.world_models.collection.recording import Recorder, as_transitions, simulator
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.training import EnsembleModule, EnsembleSettings
from worldplan.world_models.training.trainer import fit

RESCALE = {"name": "RescaleAction", "kwargs": {"min_action": -0.5, "max_action": 0.5}}


def played(environment: Any, steps: int = 90, known: bool = True) -> Transitions:
    """Uniform actions in an environment; `known`: the data record all of it, else its id."""
    spec = parse_spec(environment)
    env = Recorder(make_environment(spec))
    env.action_space.seed(0)
    data = simulator(env)
    over = True
    for _ in range(steps):
        if over:
            env.reset(seed=0)
        *_, ended, late, _ = env.step(0.9 * env.action_space.sample())
        over = ended or late
    columns = env.take()
    ends = np.append(np.diff(columns["episode"]) != 0, True)
    columns["truncated"] |= ends & ~columns["terminated"]
    complete = resolved(spec)
    about = {"env_id": complete.id, "environment": complete.to_json()}
    state = {} if data is None else {"qpos_size": len(data.qpos)}
    return as_transitions(columns, (about if known else {"env_id": complete.id}) | state)


def true_task(data: Transitions, **options: Any) -> OfflineTask:
    return dataset_task(data, true_share=1.0, threads=1, **options)


# --- chosen ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "environment",
    [
        "Pendulum-v1",
        {"id": "Pendulum-v1", "kwargs": {"g": 2}},
        {"id": "Pendulum-v1", "max_episode_steps": 30},
        {"id": "Pendulum-v1", "wrappers": [RESCALE]},
        {"id": "Pendulum-v1", "wrappers": ["TimeAwareObservation"], "kwargs": {"g": 3}},
        {"id": "Hopper-v5", "kwargs": {"frame_skip": 2}},
    ],
)
def test_a_task_is_played_in_the_environment_of_its_data(environment: Any, known: bool) -> None:
    data, spec = played(environment, known=known), parse_spec(environment)
    task = model_free_task(data, environment=None if known else environment)
    assert parse_spec(task.about["spec"]) == resolved(spec) and task.about["environment"] == spec.id
    env: Any = task.environment(1)
    again = played(task.about["spec"])
    np.testing.assert_array_equal(again.next_observation, data.next_observation)
    assert env.single_action_space.high == pytest.approx(task.high.numpy())
    assert task.limit == env.envs[0].spec.max_episode_steps
    # the user may say the same again
    assert model_free_task(data, environment=task.about["spec"]).about == task.about


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ("Pendulum-v1", r"g: 2 in the data, 10.0 here"),
        ({"id": "Pendulum-v1", "kwargs": {"g": 2, "render_mode": None}}, "max_episode_steps: 30"),
        (
            {
                "id": "Pendulum-v1",
                "kwargs": {"g": 2},
                "max_episode_steps": 30,
                "wrappers": [RESCALE],
            },
            r"wrappers: none in the data, RescaleAction\(",
        ),
        ("MountainCarContinuous-v0", "observations of size 3"),
    ],
)
def test_another_environment_is_refused_by_argument(environment: Any, message: str) -> None:
    data = played({"id": "Pendulum-v1", "kwargs": {"g": 2}, "max_episode_steps": 30})
    with pytest.raises(ConfigError, match=message):
        model_free_task(data, environment=environment)


def test_consent_judges_elsewhere() -> None:
    data = played({"id": "Pendulum-v1", "kwargs": {"g": 2}})
    other = {"id": "Pendulum-v1", "kwargs": {"g": 5}, "differs_from_data": True}
    env: Any = model_free_task(data, environment=other).environment(1)
    assert env.envs[0].unwrapped.g == 5
    with pytest.raises(ConfigError, match="out of the bounds of Pendulum-v1"):
        model_free_task(data, environment=other | {"wrappers": [RESCALE]})
    with pytest.raises(ConfigError, match="differs_from_data is 'yes': give True or False"):
        model_free_task(data, environment=other | {"differs_from_data": "yes"})
    with pytest.raises(ConfigError, match="g: 2 in the data, 5 here"):
        model_free_task(data, environment=other | {"differs_from_data": False})


def test_data_of_no_environment() -> None:
    data = replace(played("Pendulum-v1"), metadata={})
    with pytest.raises(ConfigError, match="does not say which environment it comes from"):
        model_free_task(data)
    assert model_free_task(data, environment="Pendulum-v1").limit == 200


# --- numbers --------------------------------------------------------------------------------------


def test_actions_in_other_units_are_refused() -> None:
    narrow = played({"id": "Pendulum-v1", "wrappers": [RESCALE]}, known=False)
    bounds = {"action_low": [-0.5], "action_high": [0.5]}
    with pytest.raises(ConfigError, match=r"action_low of the data is \[-0.5\], of Pendulum-v1"):
        model_free_task(replace(narrow, metadata={**narrow.metadata, **bounds}))
    wide = played("Pendulum-v1")
    wrapped = {"id": "Pendulum-v1", "wrappers": [RESCALE]}
    with pytest.raises(ConfigError, match=r"row \d+, action\[0\]: .* out of the bounds"):
        model_free_task(replace(wide, metadata={}), environment=wrapped)


HOPPERS: list[tuple[dict[str, Any], str]] = [
    ({"frame_skip": 2}, "next_observation"),
    ({"ctrl_cost_weight": 0.1}, "reward"),
    ({"ctrl_cost_weight": 0.002}, "reward"),
    ({"forward_reward_weight": 2.0}, "reward"),
    ({"healthy_reward": 0.5}, "reward"),
    ({"terminate_when_unhealthy": False}, "reward|terminated"),
    ({"healthy_z_range": [1.22, 9.0]}, "reward|terminated"),
]


@pytest.mark.parametrize(("kwargs", "column"), HOPPERS)
def test_a_simulator_reproduces_the_data(kwargs: dict[str, Any], column: str) -> None:
    data = played({"id": "Hopper-v5", "kwargs": kwargs})
    assert true_task(data).dynamics.state_size == 12
    ignorant = replace(data, metadata={"env_id": "Hopper-v5", "qpos_size": 6})
    with pytest.raises(ConfigError, match=rf"does not reproduce the data: row \d+, ({column})"):
        true_task(ignorant)


@pytest.mark.parametrize("name", ["Hopper-v5", "Walker2d-v4", "Ant-v5", "InvertedPendulum-v5"])
def test_a_simulator_as_registered_reproduces_its_data(name: str) -> None:
    true_task(played(name, known=False))


def test_changed_columns_are_found() -> None:
    data = played("Hopper-v5")
    for name in ("reward", "observation", "action"):
        with pytest.raises(
            (ConfigError, DatasetError), match="does not reproduce|does not begin|is not the"
        ):
            true_task(replace(data, **{name: 0.5 * getattr(data, name)}))
    assert data.state is not None
    with pytest.raises(ConfigError, match="does not reproduce the data"):
        true_task(replace(data, state=np.roll(data.state, 1, 0)))


@pytest.mark.parametrize("wrapper", ["DelayObservation", "RepeatAction", "ClipReward"])
def test_other_wrappers_are_not_simulated(wrapper: str) -> None:
    kwargs = {
        "DelayObservation": {"delay": 1},
        "RepeatAction": {"num_repeats": 2},
        "ClipReward": {"min_reward": 0.0},
    }
    other = {"name": wrapper, "kwargs": kwargs[wrapper]}
    data = played({"id": "Hopper-v5", "wrappers": [RESCALE, other]})
    with pytest.raises(ConfigError, match=rf"without its wrappers \({wrapper}\).*may stay"):
        true_task(data)
    with pytest.raises(ConfigError, match="without its wrappers"):
        dataset_task(data, dynamics="true")


BOUNDS = {"min_action": [-1, 0, -3], "max_action": [0.5, 2, 3]}


@pytest.mark.parametrize("env_id", ["Hopper-v5", "Hopper-v4", "InvertedDoublePendulum-v5"])
def test_true_dynamics_act_in_the_box_of_the_data(env_id: str) -> None:
    wrappers = [RESCALE] + (
        [{"name": "RescaleAction", "kwargs": BOUNDS}] if "Hopper" in env_id else []
    )
    data = played({"id": env_id, "wrappers": wrappers})
    rows = slice(0, 40)
    for task in (true_task(data), dataset_task(data, dynamics="true")):
        assert task.states is not None
        action = torch.from_numpy(data.action[rows])
        step = task.dynamics.step(task.starts[rows], action, state=task.states[rows])
        for found, stored in (
            (step.next_observation, data.next_observation[rows]),
            (step.reward, data.reward[rows]),
        ):
            np.testing.assert_allclose(found, stored, rtol=1e-4, atol=1e-4)


def test_true_dynamics_by_name_take_the_arguments_of_the_data() -> None:
    data = played({"id": "Hopper-v5", "kwargs": {"frame_skip": 2}})
    assert dataset_task(data, dynamics="true", dynamics_options={"threads": 1}).dynamics
    with pytest.raises(ConfigError, match="does not reproduce the data"):
        dataset_task(data, dynamics="true", dynamics_options={"threads": 1, "frame_skip": 4})


# --- out of files ---------------------------------------------------------------------------------


class Own(gym.Env[Any, Any]):
    """A user's own environment."""

    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gym.spaces.Box(-2, 2, (1,), np.float32)


def test_a_file_does_not_choose_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    data = replace(played("Pendulum-v1"), metadata={"env_id": "os:system/exit 3"})
    with pytest.raises(ConfigError, match="name it: environment: os:system/exit 3"):
        model_free_task(data)
    own = replace(data, metadata={"env_id": "an_own_module:WorldplanTestOwn-v0"})
    with pytest.raises(
        ConfigError, match="name it: environment: an_own_module:WorldplanTestOwn-v0"
    ):
        model_free_task(own)
    spec = gym.envs.registration.EnvSpec("WorldplanTestOwn-v0", Own, max_episode_steps=9)
    monkeypatch.setitem(gym.registry, "WorldplanTestOwn-v0", spec)  # the user imports the module
    task = model_free_task(own)
    assert task.limit == 9 and task.about["environment"] == "an_own_module:WorldplanTestOwn-v0"


# --- learned dynamics -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An ensemble trained on Hopper with another weight of the control cost."""
    data = played({"id": "Hopper-v5", "kwargs": {"ctrl_cost_weight": 0.1}})
    settings = EnsembleSettings(members=2, elites=1, hidden=(4,), weight_decay=(0.0, 0.0), epochs=1)
    return str(fit(EnsembleModule(data, settings), tmp_path_factory.mktemp("ensemble")))


def test_an_ensemble_of_another_environment_is_refused(ensemble: str) -> None:
    same = {"id": "Hopper-v5", "kwargs": {"ctrl_cost_weight": 0.1}, "max_episode_steps": 9}
    assert dataset_task(played(same), ensemble=ensemble).limit == 9
    with pytest.raises(CheckpointError, match=r"ctrl_cost_weight: 0.1 in the ensemble"):
        dataset_task(played("Hopper-v5"), ensemble=ensemble)
    dataset_task(played("Hopper-v5", known=False), ensemble=ensemble)  # records an id only
    with pytest.raises(CheckpointError, match="id: Hopper-v5 in the ensemble.s training"):
        dataset_task(played("Hopper-v4", known=False), ensemble=ensemble)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"kwargs": {"terminate_when_unhealthy": False}}, "terminate_when_unhealthy"),
        ({"kwargs": {"healthy_z_range": [0.5, 9.0]}}, "healthy_z_range"),
        ({"wrappers": [{"name": "DelayObservation", "kwargs": {"delay": 2}}]}, "DelayObservation"),
    ],
)
def test_the_usual_termination_rule_needs_the_usual_arguments(
    change: dict[str, Any], part: str, ensemble: str
) -> None:
    data = played({"id": "Hopper-v5", **change})
    with pytest.raises(ConfigError, match=f"the termination rule .* holds without {part}"):
        dataset_task(data, ensemble=ensemble)
