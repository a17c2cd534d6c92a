"""Demonstrations: successful episodes with vector or image observations, read from any Minari
dataset and written as new ones.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from minari.data_collector import EpisodeBuffer

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.data.episodes import Episode, Observations, columns_of, observation_of
from worldplan.world_models.data.minari_files import (
    metadata_of,
    open_minari,
    require_flat,
    steps_of,
    write_minari,
)
from worldplan.world_models.data.transitions import plain_metadata

KIND = "demonstrations"  # metadata["kind"] of what `save_demonstrations` writes
SUCCESS_KEYS = ("is_success", "success")
_ROUNDING = (
    1e-5  # how far an action may lie beyond its limit, relative to the limit where that is above 1
)

_log = logging.getLogger(__name__)


def load_demonstrations(
    dataset_id: str,
    observation_space: gym.Space,
    action_space: gym.Space,
    *,
    episodes: int | None = None,
    environment: str | None = None,
    options: Mapping[str, Any] | None = None,
    success_reward: bool = False,
) -> list[Episode]:
    """The successful episodes of a Minari dataset, local or from its hub, in the shapes and types
    of a task.

    Args:
        dataset_id: ours or anybody's; its observations may have more keys than the task's.
        observation_space, action_space: of the task.
        episodes: how many to read, from the first success on; all when None.
        environment: the task's gymnasium id, "module:Id-v0" too. A dataset that names another task
            of the same suite is refused, spaces alone do not tell tasks apart; one that names none,
            or one of another suite, is not.
        options: the task's keyword arguments; a dataset of ours that was collected with others
            (cameras, say) is refused.
        success_reward: a step's reward is 1 if infos tell success there, else 0, in place of the
            stored reward.
    Success is what infos is_success or success say (in any step), where neither is stored, a
    positive reward in some step. How many failures were left out is logged. Raises DatasetError
    when task or spaces differ, an action lies beyond the limits of `action_space`, `success_reward`
    finds no success in infos, data are damaged or not finite, and when there are no successes or
    fewer than asked for.
    """
    if episodes is not None and episodes < 1:
        raise ConfigError(
            f"{episodes} demonstrations: ask for at least 1, or leave the number out to get all"
        )
    kept: list[Episode] = []
    failures = 0
    with open_minari(dataset_id) as (dataset, raw):
        about = metadata_of(dataset, raw)
        stored_id = about.get("env_id") or (
            dataset.env_spec.id if dataset.env_spec is not None else None
        )
        if environment is not None and stored_id is not None:
            _require_same_task(str(stored_id), environment)
        _require_same_observations(dataset.observation_space, observation_space)
        _require_same_actions(dataset.action_space, action_space)
        if about.get("kind") == KIND:
            _require_same_options(about, plain_metadata(options or {}))
        for number, stored in enumerate(
            dataset.storage.get_episodes(range(dataset.total_episodes))
        ):
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
                f"no episode is a success (all {failures} lack it in infos {' or '.join(SUCCESS_KEYS)}, or without those a positive reward): "
                "nothing can be learned from failures alone, collect demonstrations that solve the task"
            )
        if episodes is not None and len(kept) < episodes:
            raise DatasetError(
                f"it has {len(kept)} successful episodes, but {episodes} are asked for: ask for fewer, or collect more"
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
    env: gym.Env,
    metadata: Mapping[str, Any],
    *,
    infos: Sequence[Mapping[str, Sequence[float]]] | None = None,
    seeds: Sequence[int] | None = None,
) -> str:
    """Write a new Minari dataset and return its id. Images are stored without loss, compressed.

    Args:
        env: where the episodes come from; its spaces and its spec are stored, so that Minari can
            make it again.
        metadata: JSON values, see `worldplan.world_models.data.transitions.plain_metadata`.
        infos: for each episode, numbers of T + 1 rows, the first about the reset. success is added
            where they do not tell: it is set in the last row of a successful episode.
        seeds: with which each episode was reset.
    Raises DatasetError when the id is malformed or taken, and when an episode is not of the
    environment's spaces.
    """
    if not episodes:
        raise DatasetError(f"{dataset_id}: no demonstrations to write")
    for number, episode in enumerate(episodes):
        _require_fit(number, episode, env)
    told = infos if infos is not None else [{} for _ in episodes]
    pictures = any(
        box.dtype == np.uint8 and len(box.shape) > 1
        for box in _boxes(env.observation_space).values()
    )
    return write_minari(
        dataset_id,
        _buffers(episodes, env, told, seeds if seeds is not None else [None] * len(episodes)),
        {"kind": KIND} | plain_metadata(metadata),
        env=env,
        observation_space=env.observation_space,
        action_space=env.action_space,
        algorithm_name=str(metadata.get("demonstrator", "")),
        description="demonstrations; written by worldplan",
        data_format="parquet"
        if pictures
        else "hdf5",  # of Minari's formats, the only one that compresses without loss
        jpeg_encoding=False,
    )


def succeeded(stored: Mapping[str, Any]) -> bool:
    """Whether an episode of a Minari dataset is a success."""
    told = _told_success(stored)
    return bool((np.asarray(stored["rewards"]) > 0 if told is None else told).any())


def _told_success(stored: Mapping[str, Any]) -> np.ndarray | None:
    """(T or T + 1,) bool, what infos say of every step; None where they do not."""
    infos = stored["infos"] or {}
    for key in SUCCESS_KEYS:
        if key in infos and not isinstance(infos[key], Mapping):
            return np.asarray(infos[key], dtype=np.float64) > 0
    return None


# --- reading --------------------------------------------------------------------------------------


def _require_same_task(stored: str, wanted: str) -> None:
    (suite, task), (own_suite, own_task) = _suite_and_task(stored), _suite_and_task(wanted)
    if suite == own_suite and task != own_task:
        raise DatasetError(
            f"it is of {stored}, but the task is {wanted.rpartition(':')[2]}: choose a dataset of this task"
        )


def _require_same_options(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name in sorted({*stored} & {*wanted}):
        if stored[name] != wanted[name]:
            found = f"it was collected with {name} {stored[name]}, but the task has {wanted[name]}"
            raise DatasetError(f"{found}: choose another dataset, or that {name}")


def _suite_and_task(environment: str) -> tuple[str, str]:
    """Of [module:][suite/]Task[-v0]."""
    suite, _, task = environment.rpartition(":")[2].rpartition("/")
    return suite, re.sub(r"-v\d+$", "", task)


def _boxes(space: gym.Space) -> dict[str, gym.spaces.Box]:
    """The boxes of the task's observations by key; a plain Box has the key ""."""
    found = columns_of(space)
    for name, part in found.items():
        if not isinstance(part, gym.spaces.Box):
            raise DatasetError(
                f"the task's observation {name} is {type(part).__name__}: only Box, or a Dict of Boxes, can be learned from"
            )
    return found


def _require_same_observations(stored: gym.Space, wanted: gym.Space) -> None:
    have, need = columns_of(stored), _boxes(wanted)
    for name, box in need.items():
        if name not in have:
            raise DatasetError(
                f"its observations are {_keys(have)}, but the task's are {_keys(need)}: choose a dataset with {name or 'one array'}"
            )
        if _kind(have[name]) != _kind(box):
            raise DatasetError(
                f"its observations {name or 'array'} are {_kind(have[name])}, but the task's are {_kind(box)}: "
                "collect demonstrations with the task's own settings, or change the task's"
            )


def _keys(spaces: Mapping[str, gym.Space]) -> str:
    return "one array" if set(spaces) == {""} else f"a Dict with {', '.join(sorted(spaces))}"


def _kind(space: gym.Space) -> str:
    return (
        _type_and_shape(space.dtype, space.shape)
        if isinstance(space, gym.spaces.Box)
        else type(space).__name__
    )


def _type_and_shape(dtype: np.dtype, shape: tuple[int, ...]) -> str:
    """Floats of all lengths are the same; pixels and floats are not, they differ in scale."""
    return f"{'float' if dtype.kind == 'f' else dtype} {shape}"


def _require_same_actions(stored: gym.Space, wanted: gym.Space) -> None:
    require_flat("actions", stored)
    if not isinstance(wanted, gym.spaces.Box) or len(wanted.shape) != 1:
        raise DatasetError(f"the task's actions are {wanted}: only flat Box actions can be learned")
    if stored.shape != wanted.shape:
        raise DatasetError(
            f"its actions have shape {stored.shape}, but the task's {wanted.shape}: choose a dataset made for this task"
        )
    for name in ("low", "high"):
        theirs, ours = getattr(stored, name), getattr(wanted, name)
        if np.isfinite([theirs, ours]).all() and not np.allclose(theirs, ours, atol=_ROUNDING):
            raise DatasetError(
                f"its actions have {name} = {theirs}, but the task's {ours}: they are scaled differently, choose a dataset for this task"
            )


def _episode(
    number: int,
    stored: Mapping[str, Any],
    observation_space: gym.Space,
    action_space: gym.Space,
    success_reward: bool,
) -> Episode:
    columns = columns_of(stored["observations"])
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # what does not fit the type is found as not finite
        needed = {
            name: np.asarray(columns[name]).astype(box.dtype, copy=False)
            for name, box in _boxes(observation_space).items()
        }
        action = np.asarray(stored["actions"]).astype(np.float32)
    steps_of(number, stored, needed)
    for name, box in _boxes(observation_space).items():
        if needed[name].shape[1:] != box.shape:
            raise DatasetError(
                f"episode {number}: observations {name} have shape {needed[name].shape[1:]}, its own space says {box.shape}"
            )
    ends = np.flatnonzero(np.asarray(stored["terminations"]))
    if len(ends) and ends[0] < len(action) - 1:
        raise DatasetError(
            f"episode {number} goes on after it terminated in step {ends[0]}: write every episode on its own"
        )
    reward = np.asarray(stored["rewards"])
    if success_reward:
        told = _told_success(stored)
        if told is None:
            raise DatasetError(
                f"episode {number}: success_reward needs infos {' or '.join(SUCCESS_KEYS)}: leave it out to take the stored rewards"
            )
        reward = told[-len(action) :].astype(
            np.float32
        )  # of T + 1 rows, the first is about the reset
    try:
        observation: Observations = observation_of(needed)
        return Episode(
            observation,
            _within(action, action_space),
            reward,
            terminated=bool(len(ends)),
            success=True,
        )
    except DatasetError as error:
        raise DatasetError(f"episode {number}: {error}") from error


def _within(action: np.ndarray, space: Any) -> np.ndarray:
    """(T, action) cut to the limits that rounding crossed. Raises DatasetError for an action
    further out.
    """
    if action.shape[1:] != space.shape:
        raise DatasetError(
            f"its actions have shape {action.shape[1:]}, its own space says {space.shape}"
        )
    slack = [_ROUNDING * np.maximum(1, np.abs(limit)) for limit in (space.low, space.high)]
    outside = np.argwhere((action < space.low - slack[0]) | (action > space.high + slack[1]))
    if len(outside):
        step, entry = outside[0].tolist()
        raise DatasetError(
            f"action[{entry}] is {action[step, entry]:.6g} in step {step}, outside the task's [{space.low[entry]:g}, {space.high[entry]:g}]: "
            "scale or cut the actions as they were executed"
        )
    return np.clip(action, space.low, space.high)


# --- writing --------------------------------------------------------------------------------------


def _require_fit(number: int, episode: Episode, env: gym.Env) -> None:
    columns, boxes = columns_of(episode.observation), _boxes(env.observation_space)
    if set(columns) != set(boxes):
        raise DatasetError(
            f"episode {number} has observations {sorted(columns)}, the environment {sorted(boxes)}: write them with their own environment"
        )
    kinds = {
        f"observations {name}".strip(): (
            _type_and_shape(columns[name].dtype, columns[name].shape[1:]),
            _kind(box),
        )
        for name, box in boxes.items()
    }
    kinds["actions"] = (
        _type_and_shape(episode.action.dtype, episode.action.shape[1:]),
        _kind(env.action_space),
    )
    for name, (theirs, ours) in kinds.items():
        if theirs != ours:
            raise DatasetError(
                f"episode {number} has {name} of {theirs}, the environment of {ours}: write them with their own environment"
            )


def _buffers(
    episodes: Sequence[Episode],
    env: gym.Env,
    infos: Sequence[Mapping[str, Sequence[float]]],
    seeds: Sequence[int | None],
) -> Iterator[EpisodeBuffer]:
    boxes = _boxes(env.observation_space)
    for episode, info, seed in zip(episodes, infos, seeds, strict=True):
        steps = len(episode)
        told = {
            name: np.asarray(column).tolist() for name, column in info.items()
        }  # Minari cannot read flat arrays back from parquet
        if not any(key in told for key in SUCCESS_KEYS):
            told["success"] = [False] * steps + [episode.success]
        wrong = [name for name, column in told.items() if len(column) != steps + 1]
        if wrong:
            raise DatasetError(
                f"infos {', '.join(wrong)} of an episode of {steps} steps: give {steps + 1} rows, the first about the reset"
            )
        ends = np.zeros((2, steps), dtype=bool)
        ends[:, -1] = episode.terminated, not episode.terminated
        yield EpisodeBuffer(
            seed=seed,
            observations=observation_of(
                {
                    name: column.astype(boxes[name].dtype, copy=False)
                    for name, column in columns_of(episode.observation).items()
                }
            ),
            actions=episode.action.astype(env.action_space.dtype, copy=False),
            rewards=episode.reward,
            terminations=ends[0],
            truncations=ends[1],
            infos=told,
        )
