"""Observations that are no vectors (Dict, Tuple, images) as vectors, in the order of gymnasium's
FlattenObservation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.envs.spec import WrapperSpec
from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.environment import (
    ENVIRONMENT,
    EVALUATION,
    data_environment,
    recorded_environment,
)

FLATTENED = "flattened_keys"  # of metadata: the keys of a Dict, in the order of the columns
_WRAPPER = WrapperSpec("FlattenObservation")


def require_flat(name: str, space: gym.Space[Any]) -> None:
    """Check that a space holds flat vectors of real numbers.

    Args:
        name: "observations" or "actions", for messages.
        space: of the dataset.

    Raises:
        DatasetError: the space holds discrete values, images, dicts or tuples.
    """
    if isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary):
        raise DatasetError(
            f"its {name} are {space}: only continuous control is supported, "
            "choose a dataset with Box actions"
        )
    if not is_flat(space):
        remedy = " (worldplan data convert --flatten makes vectors of them)"
        raise DatasetError(
            f"its {name} are {type(space).__name__} of shape {space.shape}: only flat vectors are "
            f"supported, no images or dicts{remedy if name == 'observations' else ''}"
        )


def is_flat(space: gym.Space[Any]) -> bool:
    """Whether a space is a Box of vectors."""
    return isinstance(space, gym.spaces.Box) and len(space.shape) == 1


def flat_observations(space: gym.Space[Any], observations: Any) -> np.ndarray:
    """The observations (n, ...) of a space as vectors (n, size).

    Args:
        space: of one observation: Box, MultiBinary, or Dict and Tuple of these.
        observations: n of them, as Minari stores them: an array, a mapping or a tuple of arrays.

    Raises:
        DatasetError: the space holds something else, or the observations lack a part of it.
    """
    if isinstance(space, gym.spaces.Dict | gym.spaces.Tuple):
        inner: Any = space.spaces  # a mapping, or a tuple
        names = list(inner) if isinstance(space, gym.spaces.Dict) else range(len(inner))
        try:
            parts = [flat_observations(inner[name], observations[name]) for name in names]
        except (KeyError, IndexError, TypeError) as error:
            raise DatasetError(f"its observations lack the part {error}: write it again") from error
        return np.concatenate(parts, 1)
    if not isinstance(space, gym.spaces.Box | gym.spaces.MultiBinary):
        raise DatasetError(
            f"its observations hold {space}, which cannot be flattened here: leave it out of them "
            "with a wrapper of your own, and write the dataset again"
        )
    column = np.asarray(observations)
    if column.shape[1:] != space.shape:
        raise DatasetError(
            f"its observations have the shape {column.shape[1:]}, their space {space.shape}: write "
            "it again"
        )
    return column.reshape(len(column), -1)


def flattened_metadata(metadata: Mapping[str, Any], space: gym.Space[Any]) -> dict[str, Any]:
    """Metadata of the flattened dataset: its environments have the wrapper FlattenObservation.

    Args:
        metadata: of the dataset.
        space: of its observations.

    Raises:
        DatasetError: the metadata hold something that is no environment.
    """
    changed = dict(metadata)
    specs = {
        ENVIRONMENT: data_environment(metadata),
        EVALUATION: recorded_environment(metadata, EVALUATION),
    }
    for key, spec in specs.items():
        if spec is not None:
            changed[key] = replace(spec, wrappers=(*spec.wrappers, _WRAPPER)).to_json()
    if isinstance(space, gym.spaces.Dict):
        changed[FLATTENED] = list(space.spaces)
    return changed
