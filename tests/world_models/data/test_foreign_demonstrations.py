"""Demonstrations from Minari datasets of others: what is fitted to the task, what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from tests.world_models.data.builders import (
    ACTION,
    IMAGE,
    NAME,
    PIXELS,
    STATE,
    Spaces,
    an_episode,
    data,
    foreign,
    quiet,
)
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.modem.task import modem_task
from worldplan.world_models.data.demonstrations import load_demonstrations, save_demonstrations
from worldplan.world_models.data.episodes import Episode
from worldplan.world_models.data.summary import holds_demonstrations

# --- datasets of others ---------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("data_format", ["hdf5", "arrow", "parquet"])
def test_needed_keys_are_taken_and_types_fitted(data_format: str) -> None:
    stored = Dict(
        image=IMAGE,
        state=Box(-9, 9, (3,), np.float64),
        goal=Box(-9, 9, (2,), np.float64),
        note=Discrete(3),
    )
    foreign(stored, Box(-1, 1, (2,), np.float64), data_format=data_format)
    [episode] = load_demonstrations(NAME, Dict(image=IMAGE, state=STATE), ACTION)
    kept = minari.load_dataset(NAME)[0].observations
    assert set(episode.observation) == {"image", "state"}
    assert (
        episode.observation["image"].dtype == np.uint8
        and episode.observation["state"].dtype == np.float32
    )
    np.testing.assert_array_equal(episode.observation["image"], kept["image"])
    np.testing.assert_allclose(episode.observation["state"], kept["state"], rtol=1e-6)
    assert episode.action.dtype == np.float32 and not episode.terminated


@quiet
def test_what_counts_as_a_success(caplog: pytest.LogCaptureFixture) -> None:
    nothing = np.zeros(4)
    rows = (
        {"rewards": nothing},  # no infos, no reward
        {"rewards": np.array([-1, 0, 0.5, 0])},
        {"infos": {"success": np.zeros(5)}},  # all reward, but infos say no
        {"rewards": nothing, "infos": {"is_success": np.array([0, 0, 1, 0, 0], bool)}},
        {"rewards": nothing, "infos": {"success": np.array([np.nan, 0, 0, 0, 1])}},
        {"infos": {"success": np.array([np.nan, 0, 0, 0, 0])}},
    )
    foreign(rows=rows)
    every = [episode.observations for episode in minari.load_dataset(NAME).iterate_episodes()]
    with caplog.at_level(logging.WARNING):
        found = load_demonstrations(NAME, STATE, ACTION)
    np.testing.assert_array_equal(
        [episode.observation for episode in found], [every[1], every[3], every[4]]
    )
    assert "3 failed episodes left out, 3 demonstrations kept" in caplog.text
    first, second = load_demonstrations(NAME, STATE, ACTION, episodes=2)
    np.testing.assert_array_equal(second.observation, every[3])
    with pytest.raises(DatasetError, match="it has 3 successful episodes, but 4 are asked for"):
        load_demonstrations(NAME, STATE, ACTION, episodes=4)
    with pytest.raises(ConfigError, match="0 demonstrations"):
        load_demonstrations(NAME, STATE, ACTION, episodes=0)


@quiet
def test_success_in_place_of_rewards() -> None:
    """Of T rows, and of T + 1, the first about the reset."""
    told = (
        {"infos": {"success": np.array([1, 0, 1, 1, 0])}},
        {"infos": {"success": np.array([0, 1, 0, 1])}},
    )
    foreign(rows=told)
    found = load_demonstrations(NAME, STATE, ACTION, success_reward=True)
    assert [episode.reward.tolist() for episode in found] == [[0, 1, 1, 0], [0, 1, 0, 1]]


@quiet
def test_success_that_is_not_told_is_no_reward() -> None:
    foreign(rows=({},))
    with pytest.raises(
        DatasetError, match="episode 0: success_reward needs infos is_success or success"
    ):
        load_demonstrations(NAME, STATE, ACTION, success_reward=True)


@quiet
def test_no_success_at_all() -> None:
    foreign(rows=({"rewards": np.zeros(4)}, {"rewards": np.zeros(4)}))
    with pytest.raises(
        DatasetError, match=r"own/pixels-v0 in .*no episode is a success \(all 2 lack it"
    ):
        load_demonstrations(NAME, STATE, ACTION)


@quiet
@pytest.mark.parametrize(
    ("observation", "action", "message"),
    [
        (
            PIXELS,
            ACTION,
            "its observations are a Dict with image, state, but the task's are a Dict with image, "
            "proprioception: .*with proprioception",
        ),
        (
            STATE,
            ACTION,
            "its observations are a Dict with image, state, but the task's are one array",
        ),
        (
            Dict(image=Box(0, 255, (2, 6, 8, 8), np.uint8)),
            ACTION,
            r"observations image are uint8 \(2, 3, 8, 8\), .*task's are uint8 \(2, 6, 8, 8\)",
        ),
        (
            Dict(image=Box(0, 1, IMAGE.shape)),
            ACTION,
            r"observations image are uint8 \(2, 3, 8, 8\), .*task's are float \(2, 3, 8, 8\)",
        ),
        (Dict(state=Discrete(3)), ACTION, "the task's observation state is Discrete"),
        (
            Dict(state=STATE),
            Box(-1, 1, (4,)),
            r"its actions have shape \(2,\), but the task's \(4,\)",
        ),
        (
            Dict(state=STATE),
            Box(-2, 2, (2,)),
            r"its actions have low = \[-1. -1.\], but the task's \[-2. -2.\]: "
            "they are scaled differently",
        ),
        (Dict(state=STATE), Discrete(2), r"the task's actions are Discrete\(2\)"),
    ],
)
def test_spaces_unlike_the_task(observation: gym.Space, action: gym.Space, message: str) -> None:
    foreign(Dict(image=IMAGE, state=STATE))
    with pytest.raises(DatasetError, match=message):
        load_demonstrations(NAME, observation, action)


@quiet
def test_actions_that_are_no_vectors() -> None:
    foreign(STATE, Discrete(3))
    with pytest.raises(
        DatasetError, match=r"its actions are Discrete\(3\): only continuous control"
    ):
        load_demonstrations(NAME, STATE, ACTION)


def _with(entry: tuple[int, int], value: float, shape: tuple[int, int]) -> np.ndarray:
    column = np.zeros(shape)
    column[entry] = value
    return column


@quiet
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"actions": _with((2, 1), 1.01, (4, 2))},
            r"episode 1: action\[1\] is 1.01 in step 2, outside the task's \[-1, 1\]",
        ),
        (
            {"actions": _with((2, 1), np.nan, (4, 2))},
            "episode 1: .*action holds a number that is not finite, first at step 2",
        ),
        ({"actions": np.zeros((4, 3))}, r"episode 1: its actions have shape \(3,\)"),
        (
            {"observations": _with((3, 0), np.inf, (5, 3))},
            "episode 1: .*observation holds a number that is not finite, first at step 3",
        ),
        (
            {"observations": _with((3, 0), 1e300, (5, 3))},
            "episode 1: .*observation holds a number that is not finite, first at step 3",
        ),
        ({"observations": np.zeros((4, 3))}, "episode 1 has 4 rewards, but 4 observations"),
        ({"observations": np.zeros((5, 2))}, r"episode 1: observations .*\(2,\)"),
        (
            {"rewards": np.array([1, np.nan, 0, 0])},
            "episode 1: .*reward holds a number that is not finite, first at step 1",
        ),
        (
            {"terminations": np.array([False, True, False, False])},
            "episode 1 goes on after it terminated in step 1",
        ),
        ({"infos": {"success": np.array(["yes"] * 5, dtype="S3")}}, "damaged"),
    ],
)
def test_data_that_cannot_be_used(changed: dict[str, Any], message: str) -> None:
    foreign(
        rows=({}, changed), action_space=Box(-np.inf, np.inf, (2,))
    )  # what they declare does not bound the actions
    with np.errstate(invalid="ignore"), pytest.raises(DatasetError, match=message) as caught:
        load_demonstrations(NAME, STATE, Box(-1, 1, (2,)))
    assert "own/pixels-v0" in str(caught.value)


@quiet
def test_rounding_beyond_the_limits_is_cut() -> None:
    foreign(
        rows=({"actions": np.full((4, 2), [1 + 3e-6, -1 - 3e-6])},),
        action_space=Box(-np.inf, np.inf, (2,)),
    )
    [episode] = load_demonstrations(NAME, STATE, ACTION)
    np.testing.assert_array_equal(episode.action, np.tile(np.float32([1, -1]), (4, 1)))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("which", ["data", "metadata"])
def test_files_that_are_cut_off_give_one_error(
    share: float, pixels: bool, which: str, tmp_path: Path
) -> None:
    episode = an_episode()
    space = PIXELS if pixels else STATE
    save_demonstrations(
        [
            episode
            if pixels
            else Episode(episode.observation["proprioception"], episode.action, episode.reward)
        ],
        NAME,
        Spaces(space),
        {},
    )
    [file] = (tmp_path / "minari" / NAME / "data").rglob(
        "main_data.hdf5" if not pixels else "*.parquet"
    )
    file = file if which == "data" else tmp_path / "minari" / NAME / "data" / "metadata.json"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DatasetError, match="own/pixels-v0 in .* damaged") as caught:
        load_demonstrations(NAME, space, ACTION)
    assert "\n" not in str(caught.value)


def test_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dataset_id: str) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(minari, "download_dataset", refuse)
    with pytest.raises(DatasetError, match="D4RL/door/human-v2 is not on this machine .* no route"):
        load_demonstrations("D4RL/door/human-v2", STATE, ACTION)


# --- describing -----------------------------------------------------------------------------------


@quiet
def test_flat_datasets_of_others_stay_transitions(capsys: pytest.CaptureFixture[str]) -> None:
    foreign()
    assert not holds_demonstrations(NAME)
    assert data(["describe", NAME]) == 0
    assert "4 transitions, 1 episodes" in capsys.readouterr().out


@quiet
def test_demonstrations_of_another_task_with_equal_spaces_are_refused() -> None:
    """Ours by our metadata, those of others by Minari's; without either, and of another suite,
    spaces decide.
    """
    env = gym.make("worldplan.envs.manipulation:worldplan/BinPick-v0")
    spaces = env.observation_space, env.action_space
    episode = Episode(
        np.zeros((2, 38), np.float32), np.zeros((1, 6), np.float32), np.ones(1), success=True
    )
    save_demonstrations([episode], "own/ours-v0", env, {"env_id": "worldplan/BinPick-v0"})
    save_demonstrations([episode], "own/theirs-v0", env, {})
    for name in ("own/ours-v0", "own/theirs-v0"):
        message = (
            f"{name} in .*: it is of worldplan/BinPick-v0, "
            "but the task is worldplan/UprightPivot-v0"
        )
        with pytest.raises(DatasetError, match=message):
            modem_task("worldplan.envs.manipulation:worldplan/UprightPivot-v0", dataset=name)
        assert modem_task(
            "worldplan.envs.manipulation:worldplan/BinPick-v0", dataset=name
        ).demonstrations
        for environment in (None, "worldplan/BinPick-v1", "other/UprightPivot-v0", "UprightPivot"):
            assert load_demonstrations(name, *spaces, environment=environment)
    foreign()
    assert load_demonstrations(NAME, STATE, ACTION, environment="worldplan/BinPick-v0")
    env.close()


def test_demonstrations_seen_by_other_cameras_are_refused() -> None:
    """Whether the task names its cameras or has its own."""
    pictures = {"observation": "pixels", "image_size": 32}
    env = gym.make("worldplan.envs.manipulation:worldplan/BinPick-v0", **pictures)
    observation = {
        name: np.zeros((2, *box.shape), box.dtype) for name, box in env.observation_space.items()
    }
    episode = Episode(observation, np.zeros((1, 6), np.float32), np.ones(1), success=True)
    save_demonstrations(
        [episode], NAME, env, {"env_id": "worldplan/BinPick-v0", "cameras": ["right", "left"]}
    )
    for options in (pictures, pictures | {"cameras": ["left", "right"]}):
        with pytest.raises(
            DatasetError,
            match=r"collected with cameras \['right', 'left'\], "
            r"but the task has \['left', 'right'\]",
        ):
            modem_task("worldplan.envs.manipulation:worldplan/BinPick-v0", options, NAME)
    assert modem_task(
        "worldplan.envs.manipulation:worldplan/BinPick-v0",
        pictures | {"cameras": ["right", "left"]},
        NAME,
    ).demonstrations
    env.close()
