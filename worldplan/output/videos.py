"""Film a planner in any gymnasium environment, as mp4 if an encoder is installed, else as GIF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldplan.envs.episodes import EpisodeBatch, reported_success
from worldplan.milp.errors import ConfigError
from worldplan.planners.base import Decider, Planner, as_planner
from worldplan.world_models.storage import replace_file

Picture = NDArray[np.uint8]
"""(height, width, 3)."""

# package -> plugin of imageio that writes mp4 with it
_ENCODERS = {"imageio_ffmpeg": "FFMPEG", "av": "pyav"}
_SECONDS_AFTER_SUCCESS = 0.5  # of film


@dataclass(frozen=True, slots=True)
class FilmedEpisode:
    """One episode of a film. An episode stops when success is reached, half a second of film later.

    Args:
        seed: of environment and planner.
        success: whether the environment reported success; None if it never reports it.
        steps: that were played.
        reward: sum over these steps.
    """

    seed: int
    success: bool | None
    steps: int
    reward: float


@dataclass(frozen=True, slots=True)
class VideoSummary:
    """The file of a film, and its episodes.

    Args:
        file: .mp4 or .gif.
        frames: number of pictures.
        episodes: in the order of the film.
    """

    file: Path
    frames: int
    episodes: list[FilmedEpisode]

    @property
    def succeeded(self) -> int | None:
        """Number of the first successful episode, from 0; None: no episode succeeded."""
        return next(
            (number for number, episode in enumerate(self.episodes) if episode.success), None
        )


def record_video(
    planner: Planner,
    env: gym.Env[Any, Any],
    file: Path,
    *,
    episodes: int,
    seed: int,
    fps: float,
    until_success: bool = False,
) -> VideoSummary:
    """Play episodes and write them to one file. If that fails, no file is written.

    An episode stops half a second of film after the environment reports success.

    Args:
        planner: is reset before every episode.
        env: made with render_mode="rgb_array".
        file: .mp4 or .gif. If no encoder (imageio-ffmpeg or av) is installed, a .gif is written in
            place of an .mp4.
        episodes: how many to play; with `until_success`, the largest number.
        seed: episode i is reset with seed + i.
        fps: frames per second of the film; one frame per step.
        until_success: stop after the first successful episode. The failed ones before it are in the
            film.

    Returns:
        The file that was written, and the outcome of each episode.

    Raises:
        ConfigError: the environment renders no pictures or, with `until_success`, does not report
            success; the planner lacks a method; or a setting is out of range.
    """
    _check(env, file, episodes, fps)
    target = file if file.suffix == ".gif" or mp4_plugin() else file.with_suffix(".gif")
    played: list[FilmedEpisode] = []
    frames = _film(
        as_planner(planner),
        env,
        range(seed, seed + episodes),
        max(1, round(_SECONDS_AFTER_SUCCESS * fps)),
        until_success,
        played,
    )
    write = _write_gif if target.suffix == ".gif" else _write_mp4
    replace_file(target, lambda draft: write(draft, frames, fps))
    return VideoSummary(target, sum(episode.steps + 1 for episode in played), played)


def require_pictures(env: gym.Env[Any, Any]) -> None:
    """Reset the environment and render one picture: an environment that cannot be filmed fails
    before any episode is played.

    Raises:
        ConfigError: it renders no pictures.
        RenderingUnavailable: OpenGL does not work here.
    """
    env.reset(seed=0)
    _picture(env)


def mp4_plugin() -> str | None:
    """The plugin of imageio that writes mp4 with an installed encoder; None: none is installed."""
    return next(
        (plugin for package, plugin in _ENCODERS.items() if find_spec(package) is not None), None
    )


def _check(env: gym.Env[Any, Any], file: Path, episodes: int, fps: float) -> None:
    """Check arguments of `record_video`.

    Raises:
        ConfigError: one of them is wrong.
    """
    if env.render_mode != "rgb_array":
        raise ConfigError(
            f"{_name(env)} was made with render_mode={env.render_mode!r}: make it with "
            "render_mode='rgb_array' to film it"
        )
    if file.suffix not in (".mp4", ".gif"):
        raise ConfigError(f"{file}: a film is an .mp4 or a .gif: choose a name that ends so")
    if episodes < 1:
        raise ConfigError(f"{episodes} episodes: film at least 1")
    if not 0 < fps <= 1000:
        raise ConfigError(f"{fps} frames per second: choose more than 0 and at most 1000")


def _name(env: gym.Env[Any, Any]) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def _film(
    planner: Planner,
    env: gym.Env[Any, Any],
    seeds: Sequence[int],
    frames_after_success: int,
    until_success: bool,
    played: list[FilmedEpisode],
) -> Iterator[Picture]:
    """The pictures of all episodes, rendered one at a time. Appends the outcome of each episode to
    `played`.

    Raises:
        ConfigError: `until_success`, but the environment does not report success.
    """
    for seed in seeds:
        yield from _film_episode(planner, env, seed, frames_after_success, played)
        if until_success and played[-1].success is None:
            raise ConfigError(
                f"{_name(env)} does not report is_success or success in its info: film a fixed "
                "number of episodes instead"
            )
        if until_success and played[-1].success:
            return


def _film_episode(
    planner: Planner,
    env: gym.Env[Any, Any],
    seed: int,
    frames_after_success: int,
    played: list[FilmedEpisode],
) -> Iterator[Picture]:
    """The pictures of one episode, the first one of its start. Appends its outcome to `played`."""
    planner.reset(seed=seed)
    batch = EpisodeBatch(env, seed=seed)
    yield _picture(env)
    success, steps, total = _success(batch.info), 0, 0.0
    for step in batch.play(Decider(planner, batch)):
        yield _picture(env)
        reported = _success(step.info)
        success = success if reported is None else bool(success or reported)
        steps, total = steps + 1, total + float(step.reward[0])
        frames_after_success -= bool(success)
        if frames_after_success <= 0:
            break
    played.append(FilmedEpisode(seed, success, steps, total))


def _success(info: Mapping[str, Any]) -> bool | None:
    """Success of the only environment of a batch; None: it is not reported."""
    reported = reported_success(info)
    return None if reported is None else bool(reported[0])


def _picture(env: gym.Env[Any, Any]) -> Picture:
    """Render the current state, (height, width, 3) uint8.

    Raises:
        ConfigError: the environment renders something else.
    """
    picture = np.asarray(env.render())
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ConfigError(
            f"{_name(env)}: render() gave {picture.dtype} {picture.shape}, but a film needs uint8 "
            "(height, width, 3)"
        )
    return picture


def _write_mp4(file: Path, frames: Iterator[Picture], fps: float) -> None:
    """Write the film as H.264."""
    # its colours have half the resolution, so that height and width must be even
    even = (picture[: len(picture) // 2 * 2, : picture.shape[1] // 2 * 2] for picture in frames)
    if mp4_plugin() == "FFMPEG":
        from imageio.v2 import get_writer

        writer: Any = get_writer(file, format="FFMPEG", mode="I", fps=fps, macro_block_size=1)
        try:
            for picture in even:
                writer.append_data(picture)
        finally:
            writer.close()  # used as a context manager, it would keep writing after an error
        return
    from imageio.v3 import imopen

    with imopen(file, "w", plugin="pyav") as film:
        film.init_video_stream("libx264", fps=fps, pixel_format="yuv420p")
        for picture in even:
            film.write_frame(picture)


def _write_gif(file: Path, frames: Iterator[Picture], fps: float) -> None:
    """Write the film with Pillow, which takes one picture at a time; imageio would collect them all
    in memory first.
    """
    from PIL import Image

    pictures = (Image.fromarray(picture) for picture in frames)
    next(pictures).save(file, save_all=True, append_images=pictures, duration=1000 / fps, loop=0)
