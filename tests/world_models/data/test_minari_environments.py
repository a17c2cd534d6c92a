"""The environment that a Minari dataset of somebody else names, in env_spec and eval_env_spec."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest

from tests.envs.test_spec import Halved  # noqa: F401
from tests.world_models.data.builders import NAME, foreign, quiet
from tests.world_models.data.builders import data as data_command
from worldplan.envs.spec import parse_spec
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.offline.task import model_free_task
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.flattened import flat_observations

OBSERVATIONS = gym.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = gym.spaces.Box(-2, 2, (1,), np.float32)
PENDULUM: dict[str, Any] = {
    "id": "Pendulum-v1",
    "entry_point": "os:system",  # is not used
    "max_episode_steps": 200,
    "kwargs": {"g": 2},
    "additional_wrappers": [],
}
RESCALE = {
    "name": "RescaleAction",
    "entry_point": "gymnasium.wrappers.transform_action:RescaleAction",
    "kwargs": {"min_action": -2.0, "max_action": 2.0},
}


def write(root: Path, **specs: Any) -> None:
    """A foreign dataset with these texts, or values as JSON texts, in its metadata."""
    foreign(OBSERVATIONS, ACTIONS)
    note = root / NAME / "data" / "metadata.json"
    content = json.loads(note.read_text(encoding="utf-8"))
    texts = {
        name: spec if isinstance(spec, str) else json.dumps(spec) for name, spec in specs.items()
    }
    note.write_text(json.dumps(content | texts), encoding="utf-8")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


@quiet
@pytest.mark.parametrize(
    ("spec", "recorded"),
    [
        (PENDULUM, {"kwargs": {"g": 2}, "max_episode_steps": 200}),
        (PENDULUM | {"max_episode_steps": 7}, {"kwargs": {"g": 2}, "max_episode_steps": 7}),
        (PENDULUM | {"max_episode_steps": None}, {"kwargs": {"g": 2}, "max_episode_steps": -1}),
        (
            PENDULUM
            | {"kwargs": {"g": 2, "render_mode": "human"}, "additional_wrappers": [RESCALE]},
            {
                "kwargs": {"g": 2},
                "max_episode_steps": 200,
                "wrappers": [{"name": "RescaleAction", "kwargs": RESCALE["kwargs"]}],
            },
        ),
    ],
)
def test_arguments_are_read(root: Path, spec: Any, recorded: dict[str, Any]) -> None:
    write(root, env_spec=spec)
    data = load_transitions(NAME)
    assert data.environment == parse_spec({"id": "Pendulum-v1", **recorded})
    task = model_free_task(data)
    env: Any = task.environment(1)
    assert env.envs[0].unwrapped.g == 2 and env.envs[0].render_mode is None
    assert task.limit == (
        recorded["max_episode_steps"] if recorded["max_episode_steps"] > 0 else None
    )
    with pytest.raises(ConfigError, match=r"g: 2 in the data, 10.0 here"):
        model_free_task(data, environment="Pendulum-v1")


@quiet
def test_evaluation_environment(root: Path) -> None:
    write(root, env_spec=PENDULUM, eval_env_spec=PENDULUM | {"kwargs": {"g": 3}})
    for environment, gravity in (
        (None, 3),
        ({"id": "Pendulum-v1", "kwargs": {"g": 3}}, 3),
        ({"id": "Pendulum-v1", "kwargs": {"g": 2}}, 2),
    ):
        env: Any = model_free_task(NAME, environment=environment).environment(1)
        assert env.envs[0].unwrapped.g == gravity
    with pytest.raises(ConfigError, match="g: 2 in the data, 5 here"):
        model_free_task(NAME, environment={"id": "Pendulum-v1", "kwargs": {"g": 5}})


@quiet
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "its env_spec is no JSON text"),
        ("[" * 100_000, "its env_spec is no JSON text"),
        ("[]", "its env_spec is no mapping"),
        ('{"additional_wrappers": []}', "its env_spec: its id is None"),
        ({"id": 3, "additional_wrappers": []}, "its env_spec: its id is 3"),
        ({"id": "Pendulum-v1"}, "its env_spec: additional_wrappers is no list"),
        (PENDULUM | {"kwargs": [1]}, r"its env_spec: kwargs is \[1\]"),
        (PENDULUM | {"kwargs": {"g": float("nan")}}, "g holds NaN"),
        (PENDULUM | {"max_episode_steps": "x"}, "max_episode_steps is 'x'"),
        (PENDULUM | {"additional_wrappers": "x"}, "additional_wrappers is no list"),
        (PENDULUM | {"additional_wrappers": [3]}, "additional_wrappers is no list"),
        (PENDULUM | {"additional_wrappers": [{"kwargs": 3}]}, "a wrapper is|kwargs is 3"),
    ],
)
@pytest.mark.parametrize("name", ["env_spec", "eval_env_spec"])
def test_damaged_specifications(root: Path, text: Any, message: str, name: str) -> None:
    write(root, **{name: text})
    with pytest.raises(DatasetError, match=message.replace("env_spec", name)) as refusal:
        load_transitions(NAME)
    assert NAME in str(refusal.value)


@quiet
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (None, "does not say which environment it comes from: set environment"),
        (PENDULUM | {"id": "Nowhere-v0"}, "environment 'Nowhere-v0' .* cannot be made"),
        (PENDULUM | {"id": "nowhere:Own-v0"}, r"code that a file must not choose \(its id\)"),
        (
            PENDULUM | {"additional_wrappers": [RESCALE | {"entry_point": "nowhere:Wrapper"}]},
            r"code that a file must not choose \(its wrapper nowhere:Wrapper\)",
        ),
        (PENDULUM | {"additional_wrappers": [RESCALE | {"kwargs": None}]}, "recorded nowhere"),
        (PENDULUM | {"kwargs": {"mass": 2}}, "unexpected keyword argument 'mass'"),
        (
            PENDULUM | {"id": "Hopper-v5", "kwargs": {}},
            "takes actions of size 3, the dataset has 1",
        ),
        (PENDULUM | {"id": "MountainCarContinuous-v0", "kwargs": {}}, "observations of size 3"),
        (
            PENDULUM
            | {"additional_wrappers": [RESCALE | {"kwargs": {"min_action": 0, "max_action": 1}}]},
            "out of the bounds of Pendulum-v1|action_low of the data",
        ),
    ],
)
def test_environments_that_do_not_fit(root: Path, spec: Any, message: str) -> None:
    write(root, **({} if spec is None else {"env_spec": spec}))
    data = load_transitions(NAME)  # the rows are there all the same
    with pytest.raises(ConfigError, match=message):
        model_free_task(data)


@quiet
def test_goal_environments_are_flattened(root: Path) -> None:
    """The flattened rows are what FlattenObservation shows, in the same order."""
    env = gym.make("WorldplanTestGoals-v0")
    env.observation_space.seed(0)
    foreign(env.observation_space, gym.spaces.Box(-1, 1, (1,), np.float32))
    note = root / NAME / "data" / "metadata.json"
    content = json.loads(note.read_text(encoding="utf-8"))
    spec = {"id": "WorldplanTestGoals-v0", "max_episode_steps": 5, "additional_wrappers": []}
    note.write_text(json.dumps(content | {"env_spec": json.dumps(spec)}), encoding="utf-8")
    with pytest.raises(DatasetError, match="data convert --flatten makes vectors of them"):
        load_transitions(NAME)
    assert data_command(["convert", NAME, "flat.npz", "--flatten"]) == 0
    data = load_transitions("flat.npz")
    assert data.observation.shape == (4, 6)
    stored = minari.load_dataset(NAME)[0].observations
    for row in range(4):
        one = {name: column[row] for name, column in stored.items()}
        flat = gym.spaces.utils.flatten(env.observation_space, one)
        np.testing.assert_array_equal(data.observation[row], flat)
    task = model_free_task("flat.npz")
    assert task.about["spec"]["wrappers"] == [{"name": "FlattenObservation", "kwargs": {}}]
    assert task.observation_size == 6 and task.limit == 5
    other = replace(data, metadata={**data.metadata, "flattened_keys": ["observation", "goal"]})
    with pytest.raises(ConfigError, match="the data were flattened as observation, goal"):
        model_free_task(other)


@pytest.mark.parametrize(
    ("space", "values", "message"),
    [
        (gym.spaces.Dict(a=OBSERVATIONS), {"b": np.zeros((2, 3))}, "lack the part 'a'"),
        (gym.spaces.Dict(a=OBSERVATIONS), {"a": np.zeros((2, 4))}, r"have the shape \(4,\)"),
        (gym.spaces.Dict(a=gym.spaces.Discrete(3)), {"a": np.zeros(2)}, "cannot be flattened"),
        (gym.spaces.Text(3), ["a"], "cannot be flattened"),
        (gym.spaces.Tuple([OBSERVATIONS]), (), "lack the part"),
    ],
)
def test_what_cannot_be_flattened(space: Any, values: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        flat_observations(space, values)


@quiet
def test_the_user_names_their_own_code(root: Path) -> None:
    own = "tests.envs.test_spec:Halved"
    entry = {"name": "Halved", "entry_point": own, "kwargs": {}}
    write(root, env_spec=PENDULUM | {"additional_wrappers": [entry]})
    with pytest.raises(ConfigError, match="must not choose .* name it: environment: {"):
        model_free_task(NAME)
    named = {"id": "Pendulum-v1", "kwargs": {"g": 2}, "wrappers": [own]}
    assert model_free_task(NAME, environment=named).limit == 200
