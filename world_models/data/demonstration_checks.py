"""Checks that a dataset of demonstrations, or an episode, is of a task: same environment, options,
and spaces of observations and actions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from minari.dataset.minari_dataset import MinariDataset

from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.episodes import columns_of
from worldplan.world_models.data.flattened import require_flat
from worldplan.world_models.data.transitions import plain_metadata

KIND = "demonstrations"  # metadata["kind"] of what `save_demonstrations` writes
ROUNDING = 1e-5  # tolerated excess of an action over its limit; relative where the limit is above 1


def require_task(
    dataset: MinariDataset,
    metadata: Mapping[str, Any],
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
    environment: str | None,
    options: Mapping[str, Any] | None,
) -> None:
    """Check that a dataset is of a task.

    Args:
        dataset: an opened Minari dataset.
        metadata: what it records about itself.
        observation_space: of the task.
        action_space: of the task.
        environment: the task's gymnasium id, "module:Id-v0" too; not compared if None.
        options: the task's keyword arguments, compared with those that the metadata record.

    Raises:
        DatasetError: the dataset is of another task, has other options, or other spaces.
    """
    spec = dataset.env_spec
    stored_id = metadata.get("env_id") or (spec.id if spec is not None else None)
    if environment is not None and stored_id is not None:
        _require_same_task(str(stored_id), environment)
    _require_same_observations(dataset.observation_space, observation_space)
    _require_same_actions(dataset.action_space, action_space)
    if metadata.get("kind") == KIND:
        _require_same_options(metadata, plain_metadata(options or {}))


def _require_same_task(stored: str, needed: str) -> None:
    (suite, task), (own_suite, own_task) = _suite_and_task(stored), _suite_and_task(needed)
    if suite == own_suite and task != own_task:
        raise DatasetError(
            f"it is of {stored}, but the task is {needed.rpartition(':')[2]}: "
            "choose a dataset of this task"
        )


def _require_same_options(stored: Mapping[str, Any], needed: Mapping[str, Any]) -> None:
    for name in sorted({*stored} & {*needed}):
        if stored[name] != needed[name]:
            raise DatasetError(
                f"it was collected with {name} {stored[name]}, but the task has {needed[name]}: "
                f"choose another dataset, or that {name}"
            )


def _suite_and_task(environment: str) -> tuple[str, str]:
    """The suite and the task of an id [module:][suite/]task[-v0]."""
    suite, _, task = environment.rpartition(":")[2].rpartition("/")
    return suite, re.sub(r"-v\d+$", "", task)


def boxes_of(space: gym.Space[Any]) -> dict[str, gym.spaces.Box]:
    """The boxes of the task's observations by key; a plain Box has the key "".

    Raises:
        DatasetError: a part of the space is not a Box.
    """
    boxes = {}
    for name, part in columns_of(space).items():
        if not isinstance(part, gym.spaces.Box):
            raise DatasetError(
                f"the task's observation {name} is {type(part).__name__}: "
                "only Box, or a Dict of Boxes, can be learned from"
            )
        boxes[name] = part
    return boxes


def _require_same_observations(stored: gym.Space[Any], needed: gym.Space[Any]) -> None:
    stored_spaces, needed_boxes = columns_of(stored), boxes_of(needed)
    for name, box in needed_boxes.items():
        if name not in stored_spaces:
            raise DatasetError(
                f"its observations are {_keys(stored_spaces)}, but the task's are "
                f"{_keys(needed_boxes)}: choose a dataset with {name or 'one array'}"
            )
        if kind_of(stored_spaces[name]) != kind_of(box):
            raise DatasetError(
                f"its observations {name or 'array'} are {kind_of(stored_spaces[name])}, "
                f"but the task's are {kind_of(box)}: collect demonstrations with the task's own "
                "settings, or change the task's"
            )


def _keys(spaces: Mapping[str, gym.Space[Any]]) -> str:
    return "one array" if set(spaces) == {""} else f"a Dict with {', '.join(sorted(spaces))}"


def kind_of(space: gym.Space[Any]) -> str:
    """Type and shape of a Box, or the name of another space, for comparison and messages."""
    if not isinstance(space, gym.spaces.Box):
        return type(space).__name__
    return type_and_shape(space.dtype, space.shape)


def type_and_shape(dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
    """Type and shape as a text. Floats of all lengths have the same name; pixels have another one,
    since they differ in scale.
    """
    return f"{'float' if dtype.kind == 'f' else dtype} {shape}"


def _require_same_actions(stored: gym.Space[Any], needed: gym.Space[Any]) -> None:
    require_flat("actions", stored)
    if not isinstance(needed, gym.spaces.Box) or len(needed.shape) != 1:
        raise DatasetError(f"the task's actions are {needed}: only flat Box actions can be learned")
    if stored.shape != needed.shape:
        raise DatasetError(
            f"its actions have shape {stored.shape}, but the task's {needed.shape}: "
            "choose a dataset made for this task"
        )
    for name in ("low", "high"):
        limits = getattr(stored, name), getattr(needed, name)
        if np.isfinite(limits).all() and not np.allclose(*limits, atol=ROUNDING):
            raise DatasetError(
                f"its actions have {name} = {limits[0]}, but the task's {limits[1]}: "
                "they are scaled differently, choose a dataset for this task"
            )
