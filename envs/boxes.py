"""Boxes of gymnasium in which actions can be drawn, and boxes that can be observed."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.milp.errors import ConfigError

LARGEST = 1e18  # a bound beyond it stands for no bound; its square is still a float32


def action_box(space: gym.Space[Any], what: str) -> gym.spaces.Box:
    """The space itself, if actions can be drawn between its bounds.

    Args:
        space: of one environment's actions.
        what: whose they are, the beginning of the message.

    Raises:
        ConfigError: no Box of real numbers, no number in it, or a coordinate whose bounds are
            missing, equal or the wrong way round.
    """
    box = observation_box(space, f"{what}: actions")
    if not np.issubdtype(box.dtype, np.floating):
        raise ConfigError(
            f"{what}: actions are {box.dtype}: give a Box of real numbers, such as np.float32"
        )
    low, high = box.low.ravel(), box.high.ravel()
    for coordinate, (least, most) in enumerate(zip(low, high, strict=True)):
        if not (abs(least) <= LARGEST and abs(most) <= LARGEST):
            raise ConfigError(
                f"{what}: action coordinate {coordinate} is unbounded ({least:g} to {most:g}): "
                "give its action space finite bounds"
            )
        if not np.float32(least) < np.float32(most):
            raise ConfigError(
                f"{what}: action coordinate {coordinate} cannot change ({least:g} to {most:g}): "
                "leave it out of the action space"
            )
    return box


def observation_box(space: gym.Space[Any], what: str) -> gym.spaces.Box:
    """The space itself, if it is a Box that holds something; bounds may be infinite or equal.

    Args:
        space: what is checked.
        what: whose it is, the beginning of the message.

    Raises:
        ConfigError: no Box, no axis, no number in it, or a coordinate whose bounds are NaN or the
            wrong way round.
    """
    if not isinstance(space, gym.spaces.Box):
        raise ConfigError(f"{what}: {space} is no Box of numbers: use another environment")
    if not space.shape or 0 in space.shape:
        raise ConfigError(
            f"{what}: a Box of shape {space.shape} holds no vector: give it at least one axis and "
            "one number"
        )
    wrong = np.flatnonzero(~(space.low.ravel() <= space.high.ravel()))
    if len(wrong):
        low, high = (float(end.flat[wrong[0]]) for end in (space.low, space.high))
        raise ConfigError(
            f"{what}: coordinate {wrong[0]} has the bounds {low:g} to {high:g}: give the lower one "
            "first, and no NaN"
        )
    return space
