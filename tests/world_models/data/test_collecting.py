"""Demonstrations collected with a scripted demonstrator, from Python and from the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest

from tests.world_models.data.builders import NAME, data
from worldplan.commands.data.demonstrations import default_id
from worldplan.envs.manipulation import demonstrators
from worldplan.envs.manipulation.environment import ManipulationEnv
from worldplan.milp.errors import ConfigError, DatasetError, RenderingUnavailable
from worldplan.world_models.collection.demonstrations import (
    DemonstrationSettings,
    collect_demonstrations,
    task_name,
)
from worldplan.world_models.data.demonstrations import load_demonstrations
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.summary import summarise


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


def collect(task: str, episodes: int, *options: str) -> int:
    """`worldplan data collect` with the scripted demonstrator of a task."""
    demonstrator = ["--demonstrator", "scripted", "--episodes", str(episodes)]
    return data(["collect", task, *demonstrator, *options])


def test_collect_and_describe(capsys: pytest.CaptureFixture[str]) -> None:
    assert collect("planar_push", 3, "--seed", "4") == 0
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

    with pytest.raises(ConfigError, match="planar-push-scripted-v0: .*seed was 4 and is 0"):
        collect("planar_push", 3)


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
    assert collect("PlanarPush", 1, "--observation", "pixels", "--noise", "0") == 0
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
    assert collect("PlanarPush", 1, "--output", NAME, *wanted) == 0
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
