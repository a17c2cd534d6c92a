"""Demonstrations: read from any Minari dataset, written as new ones, collected and described from
the command line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from minari.data_collector import EpisodeBuffer

from worldplan.cli import run
from worldplan.commands.data.demonstrations import default_id
from worldplan.envs.manipulation import demonstrators
from worldplan.envs.manipulation.environment import ManipulationEnv
from worldplan.milp.errors import ConfigError, DatasetError, RenderingUnavailable
from worldplan.planners.modem.task import modem_task
from worldplan.world_models.collection.demonstrations import (
    DemonstrationSettings,
    collect_demonstrations,
    task_name,
)
from worldplan.world_models.data.demonstrations import load_demonstrations, save_demonstrations
from worldplan.world_models.data.episodes import Episode
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.summary import holds_demonstrations, summarise

IMAGE = Box(0, 255, (2, 3, 8, 8), np.uint8)
STATE = Box(-np.inf, np.inf, (3,), np.float32)
ACTION = Box(-1, 1, (2,), np.float32)
PIXELS = Dict(image=IMAGE, proprioception=STATE)
NAME = "own/pixels-v0"


def data(arguments: list[str]) -> int:
    """`worldplan data` with these arguments; errors are raised."""
    return run(["data", *arguments])


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.chdir(tmp_path)


class Spaces(gym.Env):
    """An environment that is only asked for its spaces."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space = ACTION) -> None:
        self.observation_space, self.action_space = observation_space, action_space


def an_episode(
    steps: int = 6, seed: int = 0, *, success: bool = True, image: tuple[int, ...] = IMAGE.shape
) -> Episode:
    draw = np.random.default_rng(seed)
    observation = {
        "image": draw.integers(0, 256, (steps + 1, *image), dtype=np.uint8),
        "proprioception": draw.normal(size=(steps + 1, 3)).astype(np.float32),
    }
    reward = np.zeros(steps)
    reward[-1] = success
    return Episode(
        observation,
        draw.uniform(-1, 1, (steps, 2)),
        reward,
        terminated=seed % 2 == 1,
        success=success,
    )


def foreign(
    observation_space: gym.Space = STATE,
    action_space: gym.Space = ACTION,
    rows: tuple[dict[str, Any], ...] = ({},),
    **how: Any,
) -> None:
    """A Minari dataset NAME that somebody else wrote; an entry of `rows` changes the columns of an
    episode of 4 steps with reward 1.
    """
    buffers = []
    for number, changed in enumerate(rows):
        observation_space.seed(number)
        sample = [observation_space.sample() for _ in range(5)]
        observations = (
            {key: np.stack([row[key] for row in sample]) for key in sample[0]}
            if isinstance(sample[0], dict)
            else np.stack(sample)
        )
        content = {
            "observations": observations,
            "actions": np.stack([np.clip(action_space.sample(), -1, 1) for _ in range(4)]),
            "rewards": np.ones(4),
            "terminations": np.zeros(4, bool),
            "truncations": np.zeros(4, bool),
        }
        buffers.append(EpisodeBuffer(**content | changed))
    minari.create_dataset_from_buffers(
        NAME, buffers, observation_space=observation_space, action_space=action_space, **how
    )


quiet = pytest.mark.filterwarnings("ignore::UserWarning")  # Minari wants to know the author


# --- writing and reading back ---------------------------------------------------------------------


def test_what_is_written_is_read_back() -> None:
    written = [an_episode(6, 0), an_episode(9, 1)]
    infos = [{"contact_force": np.arange(7.0)}, {"contact_force": np.arange(10.0)}]
    assert (
        save_demonstrations(
            written, NAME, Spaces(PIXELS), {"noise": 0.1}, infos=infos, seeds=[2**61, 5]
        )
        == NAME
    )
    for before, after in zip(written, load_demonstrations(NAME, PIXELS, ACTION), strict=True):
        for key, column in before.observation.items():
            np.testing.assert_array_equal(after.observation[key], column)
            assert after.observation[key].dtype == column.dtype
        np.testing.assert_array_equal(after.action, before.action)
        np.testing.assert_array_equal(after.reward, before.reward)
        assert after.success and after.terminated == before.terminated


def test_minari_itself_reads_them() -> None:
    save_demonstrations(
        [an_episode(6), an_episode(9, success=False)],
        NAME,
        Spaces(PIXELS),
        {"noise": 0.1},
        seeds=[2**61, 5],
    )
    dataset = minari.load_dataset(NAME)
    assert (
        dataset.observation_space == PIXELS
        and dataset.action_space == ACTION
        and dataset.total_steps == 15
    )
    good, bad = dataset.iterate_episodes()
    assert (
        good.observations["image"].shape == (7, *IMAGE.shape)
        and good.observations["image"].dtype == np.uint8
    )
    assert len(good.actions) == len(good.rewards) == 6 and good.truncations.tolist() == [
        False
    ] * 5 + [True]
    assert good.infos["success"].tolist() == [False] * 6 + [True] and not bad.infos["success"].any()
    assert [entry["seed"] for entry in dataset.storage.get_episode_metadata([0, 1])] == [2**61, 5]
    assert dataset.storage.metadata["worldplan"] == {"kind": "demonstrations", "noise": 0.1}


def test_pictures_are_compressed_without_loss(tmp_path: Path) -> None:
    """Minari would turn pictures (height, width, 3) into JPEG."""
    space = Dict(image=Box(0, 255, (64, 64, 3), np.uint8), proprioception=STATE)
    episode = an_episode(40, image=(64, 64, 3))
    patches = np.random.default_rng(0).integers(0, 256, (41, 8, 8, 3), dtype=np.uint8)
    episode.observation["image"][:] = patches.repeat(8, 1).repeat(8, 2)
    save_demonstrations([episode], NAME, Spaces(space), {})
    np.testing.assert_array_equal(
        load_demonstrations(NAME, space, ACTION)[0].observation["image"],
        episode.observation["image"],
    )
    size = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert size < 0.5 * episode.observation["image"].nbytes


def test_an_id_that_is_taken_and_episodes_of_another_environment() -> None:
    save_demonstrations([an_episode()], NAME, Spaces(PIXELS), {})
    with pytest.raises(DatasetError, match="own/pixels-v0 exists already"):
        save_demonstrations([an_episode()], NAME, Spaces(PIXELS), {})
    for space, action, message in [
        (
            Dict(image=IMAGE),
            ACTION,
            r"episode 0 has observations \['image', 'proprioception'\], "
            r"the environment \['image'\]",
        ),
        (
            Dict(image=Box(0, 1, IMAGE.shape), proprioception=STATE),
            ACTION,
            r"image of uint8 \(2, 3, 8, 8\), the environment of float \(2, 3, 8, 8\)",
        ),
        (PIXELS, Box(-1, 1, (3,)), r"actions of float \(2,\), the environment of float \(3,\)"),
    ]:
        with pytest.raises(DatasetError, match=message):
            save_demonstrations([an_episode()], "own/other-v0", Spaces(space, action), {})
    with pytest.raises(DatasetError, match="no demonstrations to write"):
        save_demonstrations([], "own/other-v0", Spaces(PIXELS), {})


def test_writing_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """The second episode's infos are too short; the first one is on the disk by then."""
    infos = [{"force": np.zeros(7)}, {"force": np.zeros(6)}]
    with pytest.raises(DatasetError, match="infos force of an episode of 6 steps: give 7 rows"):
        save_demonstrations([an_episode(), an_episode()], NAME, Spaces(PIXELS), {}, infos=infos)
    assert not (tmp_path / "minari" / NAME).exists()
    save_demonstrations([an_episode()], NAME, Spaces(PIXELS), {})


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
def test_summary_of_nested_observations() -> None:
    stored = Dict(camera=Dict(rgb=IMAGE), state=STATE)
    states = [np.full((5, 3), 2.0, np.float32), np.full((5, 3), -1.0, np.float32)]
    images = [np.full((5, *IMAGE.shape), 7, np.uint8), np.full((5, *IMAGE.shape), 9, np.uint8)]
    rows = tuple(
        {"observations": {"camera": {"rgb": image}, "state": state}}
        for image, state in zip(images, states, strict=True)
    )
    rows[1]["rewards"] = np.zeros(4)
    foreign(stored, rows=rows)
    assert holds_demonstrations(NAME)
    found = summarise(NAME)
    assert (
        found.success.tolist() == [True, False]
        and found.returns.tolist() == [4, 0]
        and found.lengths.tolist() == [4, 4]
    )
    assert (
        found.columns["observation/camera/rgb"].dtype == "uint8"
        and found.columns["observation/camera/rgb"].shape == IMAGE.shape
    )
    assert [
        (found.columns[name].low, found.columns[name].high)
        for name in ("observation/camera/rgb", "observation/state")
    ] == [(7, 9), (-1, 2)]


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


# --- collecting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "worldplan/PlanarPush-v0",
        "worldplan.envs.manipulation:worldplan/PlanarPush-v0",
        "PlanarPush",
        "planar_push",
        "planar-push",
    ],
)
def test_names_of_tasks(name: str) -> None:
    assert task_name(name) == "PlanarPush"


def test_default_ids() -> None:
    assert default_id("BinPick", "state") == "worldplan/bin-pick-scripted-v0"
    assert default_id("BinPick", "pixels") == "worldplan/bin-pick-pixels-scripted-v0"


def test_collect_and_describe(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        data(
            [
                "collect",
                "planar_push",
                "--demonstrator",
                "scripted",
                "--episodes",
                "3",
                "--seed",
                "4",
            ]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert (
        "3 demonstrations, 150 steps, written to worldplan/planar-push-scripted-v0" in shown
        and "largest contact force" in shown
    )
    dataset = minari.load_dataset("worldplan/planar-push-scripted-v0")
    env = dataset.recover_environment()
    found = load_demonstrations(
        "worldplan/planar-push-scripted-v0", env.observation_space, env.action_space
    )
    assert len(found) == 3 and all(episode.success for episode in found)
    stored = next(iter(dataset.iterate_episodes()))
    observation, _ = env.reset(
        seed=int(next(iter(dataset.storage.get_episode_metadata([0])))["seed"])
    )
    np.testing.assert_array_equal(observation, stored.observations[0])
    for step, action in enumerate(stored.actions[:10]):  # the label is what was executed
        observation, *_, info = env.step(action)
        np.testing.assert_array_equal(observation, stored.observations[step + 1])
        assert np.float32(info["contact_force"]) == np.float32(
            stored.infos["contact_force"][step + 1]
        )
    env.close()
    about = load_transitions("worldplan/planar-push-scripted-v0").metadata
    assert (
        about["noise"] == 0.05
        and about["seed"] == 4
        and about["tries"] >= 3
        and about["success_rate"] == 3 / about["tries"]
    )
    assert (
        about["env_id"] == "worldplan/PlanarPush-v0"
        and about["mujoco_version"]
        and "image_size" not in about
    )

    assert data(["describe", "worldplan/planar-push-scripted-v0"]) == 0
    shown = capsys.readouterr().out
    assert (
        "3 episodes, 150 steps" in shown
        and "3 of 3 (100.0 %)" in shown
        and "(38,)" in shown
        and "infos/contact_force" in shown
    )

    with pytest.raises(DatasetError, match="planar-push-scripted-v0 exists already"):
        data(["collect", "planar_push", "--demonstrator", "scripted", "--episodes", "3"])


def _clumsy(monkeypatch: pytest.MonkeyPatch, good: Callable[[int], bool]) -> None:
    """Every try plays one step, and succeeds where `good` says so; no physics."""
    count = iter(range(10**6))

    def play(
        env: Any, demonstrator: Any, noise: float, seed: int
    ) -> demonstrators.DemonstratedEpisode:
        number = next(count)
        success = good(number)
        force, saturation = np.array([number], np.float32), np.array([number == 1])
        reward = np.array([success], np.float32)
        return demonstrators.DemonstratedEpisode(
            np.zeros((2, 38), np.float32),
            np.zeros((1, 5), np.float32),
            reward,
            success,
            force,
            saturation,
        )

    monkeypatch.setattr("worldplan.world_models.collection.demonstrations.demonstrate", play)


def test_failures_are_left_out_but_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    _clumsy(monkeypatch, lambda number: number % 2 == 1)
    told: list[tuple[int, int]] = []
    found = collect_demonstrations(
        DemonstrationSettings("PlanarPush", 2), lambda done, total: told.append((done, total))
    )
    assert told == [(0, 2), (1, 2), (1, 2), (2, 2)] and all(
        episode.success for episode in found.episodes
    )
    assert (
        found.metadata["tries"] == 4
        and found.metadata["success_rate"] == 0.5
        and found.metadata["largest_contact_force"] == 3
    )
    assert found.metadata["saturation"] == 1 and len(set(found.seeds)) == 2
    assert [info["contact_force"] for info in found.infos] == [[0, 1], [0, 3]]
    _clumsy(monkeypatch, lambda number: number % 2 == 1)
    found = collect_demonstrations(DemonstrationSettings("PlanarPush", 4, keep_failures=True))
    assert [episode.success for episode in found.episodes] == [
        False,
        True,
        False,
        True,
    ] and found.metadata["contact_violation"] == 0


def test_a_demonstrator_that_fails_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    _clumsy(monkeypatch, lambda number: number == 3)
    with pytest.raises(
        DatasetError,
        match="PlanarPush: only 1 of 30 tries with noise 0.05 were successes, "
        "and 5 are asked for: lower the noise",
    ):
        collect_demonstrations(DemonstrationSettings("PlanarPush", 5))


def test_seeds_decide() -> None:
    first, again, other = (
        collect_demonstrations(DemonstrationSettings("PlanarPush", 1, seed=seed))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.episodes[0].observation, again.episodes[0].observation)
    assert first.seeds == again.seeds != other.seeds


def test_pixels() -> None:
    try:
        env = gym.make("worldplan/PlanarPush-v0", observation="pixels")
        env.reset(seed=0)
    except RenderingUnavailable as error:
        pytest.skip(str(error))
    assert (
        data(
            [
                "collect",
                "PlanarPush",
                "--demonstrator",
                "scripted",
                "--episodes",
                "1",
                "--observation",
                "pixels",
                "--noise",
                "0",
            ]
        )
        == 0
    )
    [episode] = load_demonstrations(
        "worldplan/planar-push-pixels-scripted-v0", env.observation_space, env.action_space
    )
    image = episode.observation["image"]
    assert image.dtype == np.uint8 and image.shape == (51, 2, 6, 64, 64) and image.std() > 5
    np.testing.assert_array_equal(
        image[1:, :, :3], image[:-1, :, 3:]
    )  # the older frame is the newer one of the step before
    larger = gym.make("worldplan/PlanarPush-v0", observation="pixels", image_size=84)
    with pytest.raises(
        DatasetError,
        match=r"observations image are uint8 \(2, 6, 64, 64\), "
        r"but the task's are uint8 \(2, 6, 84, 84\)",
    ):
        load_demonstrations(
            "worldplan/planar-push-pixels-scripted-v0",
            larger.observation_space,
            larger.action_space,
        )
    env.close()
    larger.close()


def test_pixels_of_chosen_size() -> None:
    wanted = [
        "--observation",
        "pixels",
        "--image-size",
        "32",
        "--cameras",
        "right",
        "--frames",
        "1",
    ]
    try:
        ManipulationEnv("PlanarPush", "pixels").reset(seed=0)
    except RenderingUnavailable as error:
        pytest.skip(str(error))
    assert (
        data(
            [
                "collect",
                "PlanarPush",
                "--demonstrator",
                "scripted",
                "--episodes",
                "1",
                "--output",
                NAME,
                *wanted,
            ]
        )
        == 0
    )
    env = minari.load_dataset(NAME).recover_environment()
    assert env.observation_space["image"].shape == (1, 3, 32, 32)
    [episode] = load_demonstrations(NAME, env.observation_space, env.action_space)
    assert episode.observation["image"].shape == (51, 1, 3, 32, 32)
    about = summarise(NAME).metadata
    assert (about["image_size"], about["cameras"], about["frames"]) == (32, ["right"], 1)
    env.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("planar_push", "one of the arguments --policy --demonstrator is required"),
        (
            "planar_push --demonstrator scripted --policy random --episodes 2",
            "not allowed with argument",
        ),
        ("planar_push --demonstrator scripted", "--demonstrator needs --episodes"),
        (
            "planar_push --demonstrator scripted --episodes 2 --steps 9",
            "--steps goes with --policy, not with --demonstrator",
        ),
        (
            "Pendulum-v1 --policy random --keep-failures",
            "--keep-failures goes with --demonstrator, not with --policy",
        ),
        ("planar_push --demonstrator scripted --episodes 0", "0 episodes: collect at least 1"),
        (
            "planar_push --demonstrator scripted --episodes 2 --noise -1",
            "noise -1.0: give a standard deviation",
        ),
        ("planar_push --demonstrator scripted --episodes 2 --seed -1", "seed -1: give 0 or more"),
        (
            "planar_push --demonstrator scripted --episodes 2 --observation sound",
            "invalid choice: 'sound'",
        ),
        (
            "planar_push --demonstrator scripted --episodes 2 --frames 1",
            "frames is about pictures, but observations are 'state'",
        ),
        (
            "planar_push --demonstrator scripted --episodes 2 --observation pixels "
            "--cameras left,above",
            "camera 'above' does not exist",
        ),
        (
            "planar_push --demonstrator scripted --episodes 2 --observation pixels --cameras ,",
            "at least one camera",
        ),
        (
            "Pendulum-v1 --policy random --image-size 32",
            "--image-size goes with --demonstrator, not with --policy",
        ),
        (
            "planar_push --demonstrator scripted --episodes 2 --output a.npz",
            "demonstrations become a Minari dataset",
        ),
        (
            "MetaWorld/push-v3 --demonstrator scripted --episodes 2 --frames 1",
            "--frames is for the manipulation tasks",
        ),
        (
            "Hopper-v5 --demonstrator scripted --episodes 2",
            "task 'Hopper-v5': there are scripted demonstrators for worldplan/PlanarPush-v0",
        ),
    ],
)
def test_wrong_arguments(arguments: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        data(["collect", *arguments.split()])
