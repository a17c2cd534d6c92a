"""Demonstrations: the successful episodes of a Minari dataset, with vector or image observations,
and the writing of new datasets.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from minari.data_collector import EpisodeBuffer

from worldplan.envs.episodes import SUCCESS_NAMES
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.data.demonstration_checks import (
    KIND,
    ROUNDING,
    boxes_of,
    kind_of,
    require_task,
    type_and_shape,
)
from worldplan.world_models.data.drafts import Place
from worldplan.world_models.data.episodes import Episode, Observations, columns_of, observation_of
from worldplan.world_models.data.minari_files import (
    metadata_of,
    open_minari,
    steps_of,
    write_minari,
)
from worldplan.world_models.data.transitions import plain_metadata

_log = logging.getLogger(__name__)


def load_demonstrations(
    dataset_id: str,
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
    *,
    episodes: int | None = None,
    environment: str | None = None,
    options: Mapping[str, Any] | None = None,
    success_reward: bool = False,
) -> list[Episode]:
    """Read the successful episodes of a Minari dataset in the shapes and types of a task.

    An episode is a success if infos is_success or success is set in some step; where neither is
    stored, if some reward is positive. The number of failures that were left out is logged.

    Args:
        dataset_id: of any Minari dataset; one that is not on this machine is downloaded from its
            hub. Its observations may have more keys than those of the task.
        observation_space: of the task: a Box, or a Dict of Boxes.
        action_space: of the task: a flat Box.
        episodes: number of successes to read, in the order of the dataset; all if None.
        environment: the task's gymnasium id ("module:Id-v0" too). A dataset that records another
            task of the same suite is refused, since spaces alone do not distinguish tasks; one that
            records no task, or one of another suite, is read.
        options: the task's keyword arguments. A dataset that `save_demonstrations` wrote is refused
            if it records another value for one of them, such as other cameras.
        success_reward: replace the stored rewards: 1 where infos report success in that step,
            else 0.

    Raises:
        ConfigError: `episodes` is less than 1.
        DatasetError: the dataset cannot be read, has another task, other options or spaces, an
            action beyond the limits of `action_space`, a number that is not finite, no success, or
            fewer than `episodes`; or `success_reward` is set and infos do not report success.
    """
    if episodes is not None and episodes < 1:
        raise ConfigError(
            f"{episodes} demonstrations: ask for at least 1, or leave the number out to get all"
        )
    kept: list[Episode] = []
    failures = 0
    with open_minari(dataset_id) as (dataset, raw):
        require_task(
            dataset,
            metadata_of(dataset, raw),
            observation_space,
            action_space,
            environment,
            options,
        )
        stored_episodes = dataset.storage.get_episodes(range(dataset.total_episodes))
        for number, stored in enumerate(stored_episodes):
            if len(kept) == episodes:
                break
            if succeeded(stored):
                kept.append(
                    _episode(number, stored, observation_space, action_space, success_reward)
                )
            else:
                failures += 1
        if not kept:
            raise DatasetError(
                f"no episode is a success (all {failures} lack it in infos "
                f"{' or '.join(SUCCESS_NAMES)}, or without those a positive reward): nothing can "
                "be learned from failures alone, collect demonstrations that solve the task"
            )
        if episodes is not None and len(kept) < episodes:
            raise DatasetError(
                f"it has {len(kept)} successful episodes, but {episodes} are asked for: "
                "ask for fewer, or collect more"
            )
    if failures:
        _log.warning(
            "Minari dataset %s: %d failed episodes left out, %d demonstrations kept",
            dataset_id,
            failures,
            len(kept),
        )
    return kept


def save_demonstrations(
    episodes: Sequence[Episode],
    dataset_id: str,
    env: gym.Env[Any, Any],
    metadata: Mapping[str, Any],
    *,
    infos: Sequence[Mapping[str, Sequence[float]]] | None = None,
    seeds: Sequence[int] | None = None,
    place: Place | None = None,
    replace: bool = False,
) -> str:
    """Write a new Minari dataset and return its id. Images are compressed without loss.

    Args:
        episodes: in the order in which they are stored.
        dataset_id: such as worldplan/bin-pick-scripted-v0.
        env: the environment of the episodes; its spaces and its spec are stored, so that Minari can
            make it.
        metadata: JSON values, see `worldplan.world_models.data.transitions.plain_metadata`.
        infos: for each episode, columns (T + 1,), of which the first row is about the reset. Where
            they report no success, the column success is added, set in the last row of a
            successful episode.
        seeds: with which each episode was reset.
        place: of the dataset, if the caller has reserved it.
        replace: take the place of a dataset with this id.

    Raises:
        DatasetError: there is no episode, the id is malformed or taken, an episode is not of the
            environment's spaces, or a column of infos does not have T + 1 rows.
    """
    if not episodes:
        raise DatasetError(f"{dataset_id}: no demonstrations to write")
    _require_names(env)
    for number, episode in enumerate(episodes):
        _require_fit(number, episode, env)
    has_images = any(
        box.dtype == np.uint8 and len(box.shape) > 1
        for box in boxes_of(env.observation_space).values()
    )
    count = len(episodes)
    buffers = _buffers(episodes, env, infos or [{}] * count, seeds or [None] * count)
    return write_minari(
        dataset_id,
        buffers,
        {"kind": KIND} | plain_metadata(metadata),
        place,
        replace=replace,
        env=env,
        observation_space=env.observation_space,
        action_space=env.action_space,
        algorithm_name=str(metadata.get("demonstrator", "")),
        description="demonstrations; written by worldplan",
        # of Minari's formats, only parquet compresses images without loss
        data_format="parquet" if has_images else "hdf5",
        jpeg_encoding=False,
    )


def succeeded(stored: Mapping[str, Any]) -> bool:
    """Whether an episode, as Minari reads it, is a success."""
    reported = _reported_success(stored)
    signal = np.asarray(stored["rewards"]) > 0 if reported is None else reported
    return bool(signal.any())


def _reported_success(stored: Mapping[str, Any]) -> np.ndarray | None:
    """(T or T + 1,) bool, the success that infos report in every step; None where they do not."""
    infos = stored["infos"] or {}
    for key in SUCCESS_NAMES:
        if key in infos and not isinstance(infos[key], Mapping):
            return np.asarray(infos[key], dtype=np.float64) > 0
    return None


# --- reading --------------------------------------------------------------------------------------


def _episode(
    number: int,
    stored: Mapping[str, Any],
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
    success_reward: bool,
) -> Episode:
    """A stored episode in the shapes and types of the task.

    Raises:
        DatasetError: names the episode, and what is damaged or outside the task's spaces.
    """
    boxes, columns = boxes_of(observation_space), columns_of(stored["observations"])
    # numbers beyond the range of the type become inf, which `Episode` refuses
    with np.errstate(over="ignore", invalid="ignore"):
        observations = {
            name: np.asarray(columns[name]).astype(box.dtype, copy=False)
            for name, box in boxes.items()
        }
        action = np.asarray(stored["actions"]).astype(np.float32)
    steps_of(number, stored, observations)
    for name, box in boxes.items():
        if observations[name].shape[1:] != box.shape:
            raise DatasetError(
                f"episode {number}: observations {name} have shape "
                f"{observations[name].shape[1:]}, its own space says {box.shape}"
            )
    ends = np.flatnonzero(np.asarray(stored["terminations"]))
    if len(ends) and ends[0] < len(action) - 1:
        raise DatasetError(
            f"episode {number} goes on after it terminated in step {ends[0]}: "
            "write every episode on its own"
        )
    reward = np.asarray(stored["rewards"])
    if success_reward:
        reward = _success_reward(number, stored, len(action))
    try:
        observation: Observations = observation_of(observations)
        action = _within(action, action_space)
        return Episode(observation, action, reward, terminated=bool(len(ends)), success=True)
    except DatasetError as error:
        raise DatasetError(f"episode {number}: {error}") from error


def _success_reward(number: int, stored: Mapping[str, Any], steps: int) -> np.ndarray:
    """(steps,) float32: 1 where infos report success, else 0.

    Raises:
        DatasetError: infos do not report success.
    """
    reported = _reported_success(stored)
    if reported is None:
        raise DatasetError(
            f"episode {number}: success_reward needs infos {' or '.join(SUCCESS_NAMES)}: "
            "leave it out to take the stored rewards"
        )
    return reported[-steps:].astype(np.float32)  # of T + 1 rows, the first is about the reset


def _within(action: np.ndarray, space: Any) -> np.ndarray:
    """(T, action), clipped to the limits that rounding exceeded.

    Raises:
        DatasetError: an action exceeds a limit by more than rounding, or has another shape.
    """
    if action.shape[1:] != space.shape:
        raise DatasetError(
            f"its actions have shape {action.shape[1:]}, its own space says {space.shape}"
        )
    low, high = space.low, space.high
    slack = [ROUNDING * np.maximum(1, np.abs(limit)) for limit in (low, high)]
    outside = np.argwhere((action < low - slack[0]) | (action > high + slack[1]))
    if len(outside):
        step, entry = outside[0].tolist()
        raise DatasetError(
            f"action[{entry}] is {action[step, entry]:.6g} in step {step}, "
            f"outside the task's [{low[entry]:g}, {high[entry]:g}]: "
            "scale or cut the actions as they were executed"
        )
    clipped: np.ndarray = np.clip(action, low, high)
    return clipped


# --- writing --------------------------------------------------------------------------------------


def _require_names(env: gym.Env[Any, Any]) -> None:
    """Check that Minari can store the observations of an environment by their names.

    Raises:
        DatasetError: names the observation.
    """
    if not isinstance(env.observation_space, gym.spaces.Dict):
        return
    for name in env.observation_space.spaces:
        if name in ("", ".", "..") or set(name) & {"/", "\0"}:
            raise DatasetError(
                f"observation {name!r:.60} cannot be stored under this name: choose one without '/'"
            )


def _require_fit(number: int, episode: Episode, env: gym.Env[Any, Any]) -> None:
    """Check that an episode has the keys, shapes and types of the environment's spaces.

    Raises:
        DatasetError: it has not.
    """
    columns, boxes = columns_of(episode.observation), boxes_of(env.observation_space)
    if set(columns) != set(boxes):
        raise DatasetError(
            f"episode {number} has observations {sorted(columns)}, the environment "
            f"{sorted(boxes)}: write them with their own environment"
        )
    arrays: dict[str, tuple[np.ndarray, gym.Space[Any]]] = {
        f"observations {name}".strip(): (columns[name], box) for name, box in boxes.items()
    }
    arrays["actions"] = (episode.action, env.action_space)
    for name, (array, space) in arrays.items():
        kind = type_and_shape(array.dtype, array.shape[1:])
        if kind != kind_of(space):
            raise DatasetError(
                f"episode {number} has {name} of {kind}, the environment of {kind_of(space)}: "
                "write them with their own environment"
            )


def _buffers(
    episodes: Sequence[Episode],
    env: gym.Env[Any, Any],
    infos: Sequence[Mapping[str, Sequence[float]]],
    seeds: Sequence[int | None],
) -> Iterator[EpisodeBuffer]:
    """The episodes in Minari's form.

    Raises:
        DatasetError: a column of infos does not have T + 1 rows.
    """
    boxes = boxes_of(env.observation_space)
    for episode, info, seed in zip(episodes, infos, seeds, strict=True):
        steps = len(episode)
        # as lists: Minari cannot read flat arrays back from parquet
        columns = {name: np.asarray(column).tolist() for name, column in info.items()}
        if not any(key in columns for key in SUCCESS_NAMES):
            columns["success"] = [False] * steps + [episode.success]
        wrong = [name for name, column in columns.items() if len(column) != steps + 1]
        if wrong:
            raise DatasetError(
                f"infos {', '.join(wrong)} of an episode of {steps} steps: "
                f"give {steps + 1} rows, the first about the reset"
            )
        ends = np.zeros((2, steps), dtype=bool)
        ends[:, -1] = episode.terminated, not episode.terminated
        observations = {
            name: column.astype(boxes[name].dtype, copy=False)
            for name, column in columns_of(episode.observation).items()
        }
        yield EpisodeBuffer(
            seed=seed,
            observations=observation_of(observations),
            actions=episode.action.astype(env.action_space.dtype, copy=False),
            rewards=episode.reward,
            terminations=ends[0],
            truncations=ends[1],
            infos=columns,
        )
