"""Rows of a fixed policy, recorded in parts that depend on nothing but the settings and their
number.

Each part begins with a new environment, a new episode and random numbers of its own, and ends with
an episode. A killed roll-out therefore repeats its unfinished part and gives what an uninterrupted
one gives, whatever state the environment hides.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from worldplan.envs.episodes import successive_steps
from worldplan.world_models.collection.randomness import global_generators, stream_seed
from worldplan.world_models.collection.recording import Recorder, Recording, joined
from worldplan.world_models.collection.settings import (
    Act,
    Array,
    CollectionSettings,
    Progress,
    action_limits,
    flat_environment,
)

PART = 2_000  # rows after which a part ends with the episode
LONGEST = 20_000  # rows after which it ends in any case: the episode is truncated there


def uniform_policy(settings: CollectionSettings, seed: int) -> Act:
    """Actions drawn uniformly between the limits.

    Args:
        settings: with the environment.
        seed: of the actions.

    Raises:
        ConfigError: see `flat_environment`.
    """
    with flat_environment(settings.environment) as env:
        low, high = action_limits(env)
    generator = np.random.default_rng(seed)

    def act(observations: Array) -> Array:
        return generator.uniform(low, high, (len(observations), len(low))).astype(low.dtype)

    return act


def record_rollout(
    settings: CollectionSettings,
    folder: Path,
    policy_of_part: Callable[[int], Act],
    progress: Progress,
) -> dict[str, Array]:
    """`settings.steps` rows with a fixed policy; the last episode is cut where they are complete.

    Args:
        settings: environment, steps and seed.
        folder: of the recording, which is resumed after its last complete part.
        policy_of_part: called with the number of a part -> the policy, with random numbers of its
            own for this part.
        progress: called after every step.

    Returns:
        Column name -> (steps, ...), see `Recorder.take`.

    Raises:
        ConfigError: see `flat_environment`.
        DatasetError: a part of the recording is damaged.
    """
    recording = Recording(folder)
    parts = [recording.part(number) for number in range(recording.count())]
    done = sum(map(_rows, parts))
    if parts and done < settings.steps and not _complete(parts[-1]):
        done -= _rows(parts.pop())  # it was cut where fewer steps were complete
    while done < settings.steps:
        first_episode = int(parts[-1]["episode"][-1]) + 1 if parts else 0
        part = _play_part(settings, len(parts), first_episode, policy_of_part, done, progress)
        recording.write(len(parts), part)
        parts.append(part)
        done += _rows(part)
    columns = joined(parts)
    columns["truncated"][settings.steps - 1] |= not columns["terminated"][settings.steps - 1]
    return {name: column[: settings.steps] for name, column in columns.items()}


def _play_part(
    settings: CollectionSettings,
    number: int,
    first_episode: int,
    policy_of_part: Callable[[int], Act],
    done: int,
    progress: Progress,
) -> dict[str, Array]:
    """Part `number` of a roll-out, cut where all rows are complete: column name -> (rows, ...).

    Args:
        settings: environment and seed.
        number: of the part.
        first_episode: number of its first episode.
        policy_of_part: see `record_rollout`.
        done: rows before it.
        progress: called after every step.
    """
    seed = stream_seed(settings.seed, "rollout", number)
    with global_generators(seed), flat_environment(settings.environment) as env:
        recorder = Recorder(env, first_episode)
        steps = successive_steps(recorder, policy_of_part(number), seed=seed)
        for rows, step in enumerate(steps, 1):
            progress("roll-out", done + rows, settings.steps)
            if done + rows == settings.steps or rows >= LONGEST or (rows >= PART and step.over[0]):
                break
    return recorder.take()


def _rows(part: dict[str, Array]) -> int:
    return len(part["reward"])


def _complete(part: dict[str, Array]) -> bool:
    """Whether the part ends where it would end in a longer roll-out."""
    over = bool(part["terminated"][-1] or part["truncated"][-1])
    return _rows(part) >= LONGEST or (over and _rows(part) >= PART)
