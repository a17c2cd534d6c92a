"""Film a planner at work in any gymnasium environment: mp4 where an encoder is installed, else an
animated GIF.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.envs.episodes import EpisodeBatch, reported_success
from worldplan.milp.errors import ConfigError
from worldplan.planners.base import Decider, Planner, as_planner
from worldplan.world_models.storage import replace_file

_ENCODERS = {
    "imageio_ffmpeg": "FFMPEG",
    "av": "pyav",
}  # package -> plugin of imageio that writes mp4 with it
_LINGER = 0.5  # s of film after a success


@dataclass(frozen=True, slots=True)
class FilmedEpisode:
    """One episode of a film; an episode is not played on once its success is complete.

    Args:
        seed: of the reset and of the planner.
        success: what the environment said; None where it says nothing about success.
        steps: that were played.
        reward: sum over these steps.
    """

    seed: int
    success: bool | None
    steps: int
    reward: float


@dataclass(frozen=True, slots=True)
class VideoSummary:
    """What a film shows.

    Args:
        file: where it is; its suffix tells the format.
        frames: in all.
        episodes: in the order of the film.
    """

    file: Path
    frames: int
    episodes: list[FilmedEpisode]

    @property
    def succeeded(self) -> int | None:
        """Number of the first episode that succeeded, from 0; None when none did."""
        return next(
            (number for number, episode in enumerate(self.episodes) if episode.success), None
        )


def record_video(
    planner: Planner,
    env: gym.Env,
    file: Path,
    *,
    episodes: int,
    seed: int,
    fps: float,
    until_success: bool = False,
) -> VideoSummary:
    """Play whole episodes and write them to one file, which appears complete or not at all.

    Args:
        planner: is reset before every episode.
        env: made with render_mode="rgb_array".
        file: .mp4 or .gif. An .mp4 becomes a .gif beside it where no encoder (imageio-ffmpeg or av)
            is installed; the summary says so.
        episodes: how many to play; with `until_success` at most so many.
        seed: episode i is reset with seed + i.
        fps: frames per second of the film; one frame per step.
        until_success: stop after the first episode that succeeds. All that was played is in the
            film, the failures too.
    An episode ends half a second of film after the environment reports success. Raises ConfigError
    for an environment that does not render pictures or, with `until_success`, does not report
    success, and for settings out of range.
    """
    _check(env, file, episodes, fps)
    target = file if file.suffix == ".gif" or mp4_plugin() else file.with_suffix(".gif")
    played: list[FilmedEpisode] = []
    frames = _film(
        as_planner(planner),
        env,
        range(seed, seed + episodes),
        max(1, round(_LINGER * fps)),
        until_success,
        played,
    )
    write = _write_gif if target.suffix == ".gif" else _write_mp4
    replace_file(target, lambda draft: write(draft, frames, fps))
    return VideoSummary(target, sum(episode.steps + 1 for episode in played), played)


def require_pictures(env: gym.Env) -> None:
    """Draw one picture, so that what cannot be filmed fails before it is played. Raises
    ConfigError, RenderingUnavailable.
    """
    env.reset(seed=0)
    _picture(env)


def mp4_plugin() -> str | None:
    """The plugin of imageio that can write mp4 here; None when there is none."""
    return next(
        (plugin for package, plugin in _ENCODERS.items() if find_spec(package) is not None), None
    )


def _check(env: gym.Env, file: Path, episodes: int, fps: float) -> None:
    if env.render_mode != "rgb_array":
        raise ConfigError(
            f"{_name(env)} was made with render_mode={env.render_mode!r}: make it with render_mode='rgb_array' to film it"
        )
    if file.suffix not in (".mp4", ".gif"):
        raise ConfigError(f"{file}: a film is an .mp4 or a .gif: choose a name that ends so")
    if episodes < 1:
        raise ConfigError(f"{episodes} episodes: film at least 1")
    if not 0 < fps <= 1000:
        raise ConfigError(f"{fps} frames per second: choose more than 0 and at most 1000")


def _name(env: gym.Env) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def _film(
    planner: Planner,
    env: gym.Env,
    seeds: Sequence[int],
    linger: int,
    until_success: bool,
    played: list[FilmedEpisode],
) -> Iterator[np.ndarray]:
    """The pictures of all episodes, made as they are asked for; what came of each episode is
    appended to `played`.
    """
    for seed in seeds:
        yield from _film_episode(planner, env, seed, linger, played)
        if until_success and played[-1].success is None:
            raise ConfigError(
                f"{_name(env)} does not report is_success or success in its info: film a fixed number of episodes instead"
            )
        if until_success and played[-1].success:
            return


def _film_episode(
    planner: Planner, env: gym.Env, seed: int, linger: int, played: list[FilmedEpisode]
) -> Iterator[np.ndarray]:
    """The pictures of one episode, the first one of its start; appends its outcome to `played`."""
    planner.reset(seed=seed)
    batch = EpisodeBatch(env, seed=seed)
    yield _picture(env)
    success, steps, total = _success(batch.info), 0, 0.0
    for step in batch.play(Decider(planner)):
        yield _picture(env)
        reported = _success(step.info)
        success = success if reported is None else bool(success or reported)
        steps, total = steps + 1, total + float(step.reward[0])
        linger -= bool(success)
        if linger <= 0:
            break
    played.append(FilmedEpisode(seed, success, steps, total))


def _success(info: Mapping[str, Any]) -> bool | None:
    reported = reported_success(info)
    return None if reported is None else bool(reported[0])


def _picture(env: gym.Env) -> np.ndarray:
    """(height, width, 3) uint8."""
    picture = np.asarray(env.render())
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ConfigError(
            f"{_name(env)}: render() gave {picture.dtype} {picture.shape}, but a film needs uint8 (height, width, 3)"
        )
    return picture


def _write_mp4(file: Path, frames: Iterator[np.ndarray], fps: float) -> None:
    even = (
        picture[: len(picture) // 2 * 2, : picture.shape[1] // 2 * 2] for picture in frames
    )  # half-size colours need whole pairs
    if mp4_plugin() == "FFMPEG":
        from imageio.v2 import get_writer

        writer: Any = get_writer(file, format="FFMPEG", mode="I", fps=fps, macro_block_size=1)
        try:
            for picture in even:
                writer.append_data(picture)
        finally:
            writer.close()  # as a context it would go on writing after an error
        return
    from imageio.v3 import imopen

    with imopen(file, "w", plugin="pyav") as film:
        film.init_video_stream("libx264", fps=fps, pixel_format="yuv420p")
        for picture in even:
            film.write_frame(picture)


def _write_gif(file: Path, frames: Iterator[np.ndarray], fps: float) -> None:
    """Written with Pillow itself, which asks for one picture at a time; imageio would gather all of
    them first.
    """
    from PIL import Image

    pictures = (Image.fromarray(picture) for picture in frames)
    next(pictures).save(file, save_all=True, append_images=pictures, duration=1000 / fps, loop=0)
