"""Specifications of environments: read, made, compared, and refused where files choose code."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.envs.environments import ADAPTERS, make_environment, make_environments
from worldplan.envs.from_files import makeable
from worldplan.envs.registered import (
    differences,
    resolved,
    spec_from_gymnasium,
    spec_to_gymnasium,
)
from worldplan.envs.spec import parse_spec
from worldplan.envs.wrappers import WRAPPERS
from worldplan.milp.errors import ConfigError, DatasetError

RESCALED = {"name": "RescaleAction", "kwargs": {"min_action": -1, "max_action": [1.0]}}
SWING_UP = "worldplan.envs.swing_up:worldplan/CartPoleSwingUp-v0"


class Halved(gym.RewardWrapper[Any, Any]):
    """A user's own wrapper."""

    def reward(self, reward: Any) -> float:
        return 0.5 * float(reward)


class Goals(gym.Env[Any, Any]):
    """A goal environment: its observations are a Dict."""

    def __init__(self, size: int = 2) -> None:
        box = gym.spaces.Box(-1, 1, (size,), np.float32)
        self.observation_space = gym.spaces.Dict(
            {"observation": box, "achieved_goal": box, "desired_goal": box}
        )
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


gym.register("WorldplanTestGoals-v0", entry_point=Goals, max_episode_steps=5)


# --- made -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "observations", "actions", "limit"),
    [
        ("Pendulum-v1", 3, 2.0, 200),
        ({"id": "Pendulum-v1", "max_episode_steps": 7}, 3, 2.0, 7),
        ({"id": "Pendulum-v1", "max_episode_steps": -1}, 3, 2.0, None),
        ({"id": "Pendulum-v1", "wrappers": [RESCALED]}, 3, 1.0, 200),
        ({"id": "Pendulum-v1", "wrappers": ["gymnasium.wrappers.ClipAction"]}, 3, math.inf, 200),
        ({"id": "Pendulum-v1", "wrappers": ["TimeAwareObservation", RESCALED]}, 4, 1.0, 200),
        (
            {
                "id": "Pendulum-v1",
                "wrappers": [{"name": "TimeLimit", "kwargs": {"max_episode_steps": 300}}],
            },
            3,
            2.0,
            300,
        ),
        ({"id": "WorldplanTestGoals-v0", "wrappers": ["FlattenObservation"]}, 6, 1.0, 5),
        (
            {
                "id": "WorldplanTestGoals-v0",
                "kwargs": {"size": 4},
                "wrappers": [
                    {"name": "FilterObservation", "kwargs": {"filter_keys": ["observation"]}},
                    "FlattenObservation",
                ],
            },
            4,
            1.0,
            5,
        ),
    ],
)
def test_what_a_specification_makes(
    value: Any, observations: int, actions: float, limit: int | None
) -> None:
    spec = parse_spec(value)
    env = make_environments(spec, 2)
    assert env.single_observation_space.shape == (observations,)
    assert env.single_action_space.high == pytest.approx(actions)
    assert env.envs[0].spec.max_episode_steps == limit
    # what is recorded makes the same
    again = make_environment(parse_spec(json.loads(json.dumps(resolved(spec).to_json()))))
    assert again.observation_space == env.single_observation_space
    assert again.action_space == env.single_action_space
    assert differences(resolved(spec), spec) == [] and parse_spec(spec.to_json()) == spec


def test_arguments_reach_the_environment() -> None:
    env = make_environment(parse_spec({"id": "Pendulum-v1", "kwargs": {"g": 2}}))
    assert env.unwrapped.g == 2  # type: ignore[attr-defined]
    own = {"id": "Pendulum-v1", "wrappers": [f"{__name__}:Halved"]}
    assert type(make_environment(parse_spec(own))).__name__ == "Halved"


def test_step_limit_of_an_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ADAPTERS._members, "short", lambda task: gym.make(task))
    for limit, made in ((None, 200), (50, 50), (200, 200)):
        spec = parse_spec({"id": "short/Pendulum-v1", "max_episode_steps": limit})
        found = make_environment(spec).spec
        assert found is not None and found.max_episode_steps == made
    for limit in (-1, 300):
        with pytest.raises(ConfigError, match="its adapter ends episodes after 200 steps"):
            make_environment(parse_spec({"id": "short/Pendulum-v1", "max_episode_steps": limit}))


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "environment is 3: give an id, or a mapping"),
        ("", "its id is ''"),
        ({}, "its id is None"),
        ({"id": ["Hopper-v5"]}, "its id is"),
        ({"id": "Hopper-v5", "args": {}}, "'args' is no part of an environment"),
        ({"id": "Hopper-v5", "kwargs": [1]}, r"kwargs is \[1\]: give a mapping"),
        ({"id": "Hopper-v5", "kwargs": {"a b": 1}}, "'a b' is no name of an argument"),
        ({"id": "Hopper-v5", "kwargs": {1: 1}}, "1 is no name of an argument"),
        ({"id": "Hopper-v5", "kwargs": {"f": print}}, "hold a value that JSON does not have"),
        ({"id": "Hopper-v5", "kwargs": {"g": math.nan}}, "g holds NaN"),
        ({"id": "Hopper-v5", "kwargs": {"g": [[1, {"x": math.nan}]]}}, "g holds NaN"),
        ({"id": "Hopper-v5", "kwargs": {"g": "x" * 200_000}}, "take 2000.. characters"),
        ({"id": "Hopper-v5", "max_episode_steps": 0}, "max_episode_steps is 0"),
        ({"id": "Hopper-v5", "max_episode_steps": -2}, "max_episode_steps is -2"),
        ({"id": "Hopper-v5", "max_episode_steps": True}, "max_episode_steps is True"),
        ({"id": "Hopper-v5", "max_episode_steps": 1.5}, "max_episode_steps is 1.5"),
        ({"id": "Hopper-v5", "wrappers": "ClipAction"}, "wrappers are 'ClipAction': give a list"),
        ({"id": "Hopper-v5", "wrappers": [3]}, "a wrapper is 3"),
        ({"id": "Hopper-v5", "wrappers": [{"kwargs": {}}]}, "a wrapper is"),
        ({"id": "Hopper-v5", "wrappers": [{"name": "X", "entry_point": "a:b"}]}, "a wrapper is"),
        (
            {
                "id": "Hopper-v5",
                "max_episode_steps": 5,
                "wrappers": [{"name": "TimeLimit", "kwargs": {"max_episode_steps": 6}}],
            },
            "its step limit is given twice",
        ),
        ({"id": "Hopper-v5", "wrappers": ["TimeLimit"]}, "TimeLimit takes max_episode_steps"),
    ],
)
def test_wrong_specifications(value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_spec(value)
    with pytest.raises(DatasetError, match=message):
        parse_spec(value, error=DatasetError)


def test_deep_arguments_are_refused() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ConfigError, match="hold a value that JSON does not have"):
        parse_spec({"id": "Hopper-v5", "kwargs": {"a": value}})


@pytest.mark.parametrize(
    ("wrapper", "message"),
    [
        ("NormalizeObservation", "wrapper NormalizeObservation: its running statistics"),
        ("RecordVideo", "wrapper RecordVideo: it is none of those that can be made again"),
        ("Nothing", "wrapper Nothing: it is none of those"),
        ("nowhere:Wrapper", "wrapper 'nowhere:Wrapper': No module named 'nowhere'"),
        ("json:dumps", "wrapper json:dumps with {}: TypeError"),
        ({"name": "RescaleAction", "kwargs": {}}, "wrapper RescaleAction with {}: TypeError"),
        ({"name": "RescaleAction", "kwargs": {"low": 1}}, "unexpected keyword argument 'low'"),
        ({"name": "RescaleAction", "kwargs": None}, "its arguments are recorded nowhere"),
        (
            {"name": "RescaleAction", "kwargs": {"min_action": [1, 2], "max_action": 3}},
            "Expected new_min.shape to be",
        ),
        ({"name": "FilterObservation", "kwargs": {"filter_keys": ["x"]}}, "FilterObservation with"),
    ],
)
def test_wrong_wrappers(wrapper: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_environment(parse_spec({"id": "Pendulum-v1", "wrappers": [wrapper]}))


@pytest.mark.parametrize("name", WRAPPERS)
def test_known_wrappers_are_gymnasiums(name: str) -> None:
    assert issubclass(getattr(gym.wrappers, name), gym.Wrapper)


# --- compared -------------------------------------------------------------------------------------

PENDULUM = {"id": "Pendulum-v1"}
HOPPER = {"id": "Hopper-v5"}


@pytest.mark.parametrize(
    ("recorded", "here", "changes"),
    [
        (PENDULUM, PENDULUM, []),
        ({**PENDULUM, "kwargs": {"g": 10}}, PENDULUM, []),
        ({**PENDULUM, "kwargs": {"g": 2}}, PENDULUM, ["g: 2 in the data, 10.0 here"]),
        (PENDULUM, {**PENDULUM, "kwargs": {"g": 2}}, ["g: 10.0 in the data, 2 here"]),
        (
            {**PENDULUM, "kwargs": {"g": 2, "render_mode": "human"}},
            {**PENDULUM, "kwargs": {"g": 2.0}},
            [],
        ),
        (
            {**PENDULUM, "kwargs": {"g": 2}},
            {**PENDULUM, "kwargs": {"g": "2"}},
            ["g: 2 in the data, '2' here"],
        ),
        (PENDULUM, HOPPER, ["id: Pendulum-v1 in the data, Hopper-v5 here"]),
        (HOPPER, {"id": "Hopper-v4"}, ["id: Hopper-v5 in the data, Hopper-v4 here"]),
        ({"id": "lab:Hopper-v5"}, HOPPER, []),
        (HOPPER, {"id": "Hopper"}, []),
        ({"id": "os:system/x"}, HOPPER, ["id: os:system/x in the data, Hopper-v5 here"]),
        ({**HOPPER, "kwargs": {"frame_skip": 4, "healthy_z_range": [0.7, math.inf]}}, HOPPER, []),
        (
            {**HOPPER, "kwargs": {"frame_skip": 2, "healthy_z_range": [0.5, math.inf]}},
            HOPPER,
            [
                "frame_skip: 2 in the data, 4 here",
                "healthy_z_range: [0.5, inf] in the data, [0.7, inf] here",
            ],
        ),
        (
            {**HOPPER, "kwargs": {"terminate_when_unhealthy": 1}},
            HOPPER,
            ["terminate_when_unhealthy: 1 in the data, True here"],
        ),
        ({**HOPPER, "kwargs": {"new": 1}}, HOPPER, ["new: 1 in the data, not set here"]),
        ({**HOPPER, "max_episode_steps": 1000}, HOPPER, []),
        (
            {**HOPPER, "max_episode_steps": -1},
            {**HOPPER, "max_episode_steps": 5},
            ["max_episode_steps: none in the data, 5 here"],
        ),
        ({**HOPPER, "wrappers": ["RecordEpisodeStatistics"]}, HOPPER, []),
        (
            {**PENDULUM, "wrappers": [RESCALED]},
            PENDULUM,
            [
                "wrappers: RescaleAction(min_action=-1, max_action=[1.0]) in the data, none here",
            ],
        ),
        (
            {**PENDULUM, "wrappers": [RESCALED]},
            {
                **PENDULUM,
                "wrappers": [
                    {"name": "RescaleAction", "kwargs": {"min_action": -2, "max_action": [1]}}
                ],
            },
            ["RescaleAction.min_action: -1 in the data, -2 here"],
        ),
        (
            {**PENDULUM, "wrappers": ["TimeAwareObservation"]},
            {
                **PENDULUM,
                "wrappers": [{"name": "TimeAwareObservation", "kwargs": {"flatten": True}}],
            },
            [],
        ),
    ],
)
def test_differences_are_named(recorded: Any, here: Any, changes: list[str]) -> None:
    assert differences(parse_spec(recorded), parse_spec(here)) == changes


# --- out of files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["Hopper-v5", "nowhere:Hopper-v5", "os:system/x:Hopper-v5", SWING_UP]
)
def test_a_file_names_what_is_registered(value: str) -> None:
    spec = makeable(parse_spec(value), "x.npz")
    assert spec.id == value.rpartition(":")[2] and make_environment(spec).spec is not None


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("os:system/touch pwned", "its id"),
        ("antigravity:X-v0", "its id"),
        ("worldplan.milp.addresses:import_address/os:system", "its id"),
        ("worldplan.envs.swing_up:Nowhere-v0", "its id"),
        ("GymV26Environment-v0", "its id"),
        ({"id": "Hopper-v5", "wrappers": ["os:system"]}, "its wrapper os:system"),
        ({"id": "MetaWorld/push-v3", "kwargs": {"python": "/bin/sh"}}, "its argument python"),
    ],
)
def test_a_file_chooses_no_code(
    value: Any, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"x.npz: its environment .*\({part}\): .* name it"):
        makeable(parse_spec(value), "x.npz")
    assert not list(tmp_path.iterdir())


# --- round trips ----------------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(lambda name: name != "render_mode")
NUMBERS = st.floats(allow_nan=False) | st.integers(-(2**60), 2**60)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(NAMES, VALUES, max_size=3)
SPECS = st.builds(
    lambda env, kwargs, limit, wrappers: parse_spec(
        {"id": env, "kwargs": kwargs, "max_episode_steps": limit, "wrappers": wrappers}
    ),
    st.sampled_from(["Pendulum-v1", "Hopper-v5", SWING_UP, "Nowhere-v0", "lab:task/x"]),
    ARGUMENTS,
    st.none() | st.just(-1) | st.integers(1, 10**6),
    st.lists(
        st.builds(
            lambda name, kwargs: {"name": name, "kwargs": kwargs},
            st.sampled_from(WRAPPERS),
            ARGUMENTS,
        ),
        max_size=2,
    ),
)


@settings(max_examples=80, deadline=None)
@given(SPECS)
def test_round_trip_through_json(spec: Any) -> None:
    assert parse_spec(json.loads(json.dumps(spec.to_json()))) == spec
    assert differences(spec, spec) == []


@settings(max_examples=80, deadline=None)
@given(SPECS)
def test_round_trip_through_gymnasiums_form(spec: Any) -> None:
    form = spec_to_gymnasium(spec)
    if form is None:
        assert spec.id in ("Nowhere-v0", "lab:task/x", SWING_UP)
        return
    back = spec_from_gymnasium(form.to_json(), "env_spec")
    assert differences(back, spec) == [] and back.wrappers == spec.wrappers
