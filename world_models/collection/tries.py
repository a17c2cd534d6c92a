"""Tries of a demonstrator, each kept in a file, so that a stopped collection resumes after the last
one that was complete.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.episodes import Episode, columns_of, observation_of
from worldplan.world_models.storage import READ_ERRORS, replace_file

_OBSERVATION = "observation/"
Columns = Mapping[str, np.ndarray]
"""observation, or observation/KEY for each key, action, reward, success, and what else the
environment measures."""


def tries(
    folder: Path | None,
    make_environment: Callable[[], gym.Env[Any, Any]],
    play: Callable[[gym.Env[Any, Any], int], Columns],
    *,
    block: int = 1,
) -> Generator[Columns]:
    """The tries 0, 1, ... without end, each read from the folder or played and written there.

    Args:
        folder: of the files; None: nothing is kept.
        make_environment: makes a new environment.
        play: called with an environment and the number of a try.
        block: tries between two new environments, for one that takes seconds to make. A resumed
            block is played again from its first try, in case the environment carries something
            from one episode to the next.

    Raises:
        DatasetError: a file is damaged.
    """
    env: gym.Env[Any, Any] | None = None
    try:
        for number in count():
            file = None if folder is None else folder / f"try-{number:05d}.npz"
            if file is not None and file.is_file():
                yield _read(file)
                continue
            first = number - number % block
            if env is None or number == first:
                if env is not None:
                    env.close()
                env = make_environment()
                for earlier in range(first, number):
                    play(env, earlier)
            columns = play(env, number)
            if file is not None:
                _write(file, columns)
            yield columns
    finally:
        if env is not None:
            env.close()


def columns_of_try(observation: Any, **columns: Any) -> Columns:
    """The columns of a try.

    Args:
        observation: (T + 1, ...), or one such array per key.
        columns: the others, by name.
    """
    named = {f"{_OBSERVATION}{key}": part for key, part in columns_of(observation).items()}
    return {name: np.asarray(column) for name, column in (named | columns).items()}


def episode_of(columns: Columns) -> Episode:
    """The episode that a try played."""
    observation = observation_of(
        {
            name.removeprefix(_OBSERVATION): column
            for name, column in columns.items()
            if name.startswith(_OBSERVATION)
        }
    )
    success = bool(columns["success"])
    return Episode(observation, columns["action"], columns["reward"], success=success)


def _write(file: Path, columns: Columns) -> None:
    replace_file(file, lambda draft: np.savez_compressed(draft, allow_pickle=False, **columns))


def _read(file: Path) -> Columns:
    """The columns in the file of a try.

    Raises:
        DatasetError: it is damaged.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            columns = {name: stored[name] for name in stored.files}
        episode_of(columns)  # which checks them
        return columns
    except (*READ_ERRORS, DatasetError) as error:
        raise DatasetError(
            f"{file}: this try of a demonstrator cannot be read ({error}): collect again with "
            "--fresh, or with another --folder"
        ) from error
