"""Films of a planner: which episodes they show, in which format; that nothing is half-written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from worldplan.milp.errors import ConfigError
from worldplan.output import videos
from worldplan.output.videos import record_video
from worldplan.planners.base import Decision, Planner


class Lamp(gym.Env):
    """20 steps; in its episode `lucky` (from 0) it reports success from step 5 on. The brightness
    of its pictures is 10 * step.
    """

    observation_space = gym.spaces.Box(0, 100, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(
        self,
        lucky: int = 0,
        render_mode: str | None = "rgb_array",
        key: str = "is_success",
        shape: tuple[int, ...] = (33, 47, 3),
    ) -> None:
        self.render_mode, self.lucky, self.key, self.shape = render_mode, lucky, key, shape
        self.episode, self.seeds = -1, []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        self.episode, self.time = self.episode + 1, 0
        self.seeds.append(seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.time += 1
        good = self.episode == self.lucky and self.time >= 5
        return (
            np.full(1, self.time, np.float32),
            float(good),
            False,
            self.time == 20,
            {self.key: good},
        )

    def render(self) -> np.ndarray:
        picture = np.zeros(self.shape, np.uint8)
        picture[: self.shape[0] // 2] = 10 * self.time
        return picture


class Still(Planner):
    """Does nothing, but notes the seeds it was reset with."""

    def __init__(self) -> None:
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None) -> None:
        self.seeds.append(seed)

    def plan(self, observation: Any) -> Decision:
        return Decision(np.zeros(1, np.float32), None, None, "heuristic", 0.0)


def brightness(file: Path) -> list[int]:
    """Of every frame of a GIF, in steps."""
    with Image.open(file) as film:
        steps = []
        for number in range(film.n_frames):
            film.seek(number)
            steps.append(round(float(np.asarray(film.convert("RGB"))[0, 0, 0]) / 10))
        assert film.info["duration"] == 80
        return steps


def test_plays_until_an_episode_succeeds(tmp_path: Path) -> None:
    env, planner = Lamp(lucky=1), Still()
    summary = record_video(
        planner, env, tmp_path / "deep" / "a.gif", episodes=9, seed=7, fps=12.5, until_success=True
    )
    assert [
        (episode.seed, episode.success, episode.steps, episode.reward)
        for episode in summary.episodes
    ] == [(7, False, 20, 0), (8, True, 10, 6)]
    assert summary.succeeded == 1 and planner.seeds == env.seeds == [7, 8]
    # half a second is 6 frames: the step of the success and five more
    assert brightness(summary.file) == [*range(21), *range(11)] and summary.frames == 32


def test_a_fixed_number_of_episodes(tmp_path: Path) -> None:
    summary = record_video(Still(), Lamp(lucky=0), tmp_path / "a.gif", episodes=2, seed=0, fps=12.5)
    assert [episode.success for episode in summary.episodes] == [
        True,
        False,
    ] and summary.succeeded == 0
    assert (
        record_video(
            Still(),
            Lamp(lucky=5),
            tmp_path / "b.gif",
            episodes=2,
            seed=0,
            fps=12.5,
            until_success=True,
        ).succeeded
        is None
    )
    silent = record_video(
        Still(), Lamp(key="other"), tmp_path / "c.gif", episodes=1, seed=0, fps=0.5
    )
    assert (
        silent.succeeded is None
        and silent.episodes[0].success is None
        and silent.episodes[0].steps == 20
    )


def test_without_an_encoder_an_mp4_becomes_a_gif(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(videos, "mp4_plugin", lambda: None)
    summary = record_video(Still(), Lamp(), tmp_path / "a.mp4", episodes=1, seed=0, fps=12.5)
    assert (
        summary.file == tmp_path / "a.gif" and len(brightness(summary.file)) == summary.frames == 11
    )
    assert [file.name for file in tmp_path.iterdir()] == ["a.gif"]


@pytest.mark.skipif(
    videos.mp4_plugin() is None, reason="neither imageio-ffmpeg nor av is installed"
)
def test_mp4(tmp_path: Path) -> None:
    import imageio.v3 as iio

    summary = record_video(Still(), Lamp(), tmp_path / "a.mp4", episodes=1, seed=0, fps=12.5)
    assert summary.file == tmp_path / "a.mp4"
    film = iio.imread(summary.file, plugin=videos.mp4_plugin())
    assert film.shape == (11, 32, 46, 3)  # whole pairs of pixels
    np.testing.assert_allclose(film[:, 2, 2, 0], 10 * np.arange(11), atol=6)


@pytest.mark.parametrize(
    ("env", "options", "message"),
    [
        (
            Lamp(render_mode=None),
            {},
            "Lamp was made with render_mode=None: make it with render_mode='rgb_array'",
        ),
        (Lamp(key="other"), {"until_success": True}, "Lamp does not report is_success or success"),
        (Lamp(shape=(8, 8)), {}, r"Lamp: render\(\) gave uint8 \(8, 8\)"),
        (Lamp(), {"episodes": 0}, "0 episodes"),
        (Lamp(), {"fps": 0}, "0 frames per second"),
        (Lamp(), {"file": Path("film.avi")}, "film.avi: a film is an .mp4 or a .gif"),
    ],
)
def test_what_cannot_be_filmed(
    env: gym.Env, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        record_video(
            Still(),
            env,
            **{"file": tmp_path / "a.gif", "episodes": 1, "seed": 0, "fps": 10.0} | options,
        )
    assert list(tmp_path.iterdir()) == []
