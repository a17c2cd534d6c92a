"""The environments of a dataset's task: where the data were made, and where policies are judged.

A policy is judged in the environment that the dataset records. Another one needs the user's
consent: `differs_from_data` in its mapping.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import FlattenObservation

from worldplan.envs.boxes import action_box, observation_box
from worldplan.envs.environments import Environment, make_environment
from worldplan.envs.from_files import makeable
from worldplan.envs.registered import differences, resolved
from worldplan.envs.spec import EnvironmentSpec, parse_spec
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.world_models.data.environment import EVALUATION, recorded_environment
from worldplan.world_models.data.flattened import FLATTENED
from worldplan.world_models.data.transitions import Transitions

CONSENT = "differs_from_data"
_ROUNDING = 1e-5  # tolerated excess of an action; relative where the bound is above 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GivenEnvironment:
    """The environment that a user gives.

    Args:
        spec: what it is made of.
        may_differ: whether it may be another one than that of the data.
    """

    spec: EnvironmentSpec
    may_differ: bool = False


@dataclass(frozen=True)
class TaskEnvironment:
    """The environments of a task.

    Args:
        evaluation: where policies are judged; can be made here.
        recorded: the same as datasets and policies record it: with its module and the registered
            arguments.
        data: where the data were made.
        is_named: whether the user named `data`; else it comes from a file.
        source: of the data, for messages.
        actions: the action space of `evaluation`.
        limit: steps after which `evaluation` truncates an episode, where known.
    """

    evaluation: EnvironmentSpec
    recorded: EnvironmentSpec
    data: EnvironmentSpec
    is_named: bool
    source: str
    actions: spaces.Box
    limit: int | None

    def simulated(self) -> EnvironmentSpec:
        """The environment that the data were made in, which can be made here.

        Raises:
            ConfigError: see `makeable`.
        """
        return self.data if self.is_named else makeable(self.data, self.source)


def given_environment(value: Any) -> GivenEnvironment | None:
    """What a user gives as an environment: an id, or a mapping that `parse_spec` reads, in which
    `differs_from_data` may stand; None: nothing.

    Raises:
        ConfigError: it is something else.
    """
    if value is None or isinstance(value, GivenEnvironment):
        return value
    may_differ = False
    if isinstance(value, Mapping) and CONSENT in value:
        may_differ = checks.truth(value[CONSENT], f"environment: {CONSENT}")
        value = {name: entry for name, entry in value.items() if name != CONSENT}
    return GivenEnvironment(parse_spec(value), may_differ)


def task_environment(data: Transitions, given: Any, source: str) -> TaskEnvironment:
    """The environments of the task of a dataset.

    Args:
        data: the dataset.
        given: see `given_environment`; None: the environment that the data record.
        source: of the data, for messages.

    Raises:
        ConfigError: the data record no environment and none is given, the one given differs, it
            cannot be made, or it does not fit the data.
        DatasetError: the metadata hold something that is no environment.
    """
    choice, recorded = given_environment(given), data.environment
    judged = recorded_environment(data.metadata, EVALUATION) or recorded
    if choice is not None:
        spec, name = choice.spec, choice.spec.id
    elif judged is not None:
        spec, name = makeable(judged, source), judged.id
        if recorded_environment(data.metadata) is None:
            _log.warning(
                "%s: records only the id of its environment: %s is made as it is registered here",
                source,
                name,
            )
    else:
        raise ConfigError(
            f"{source}: does not say which environment it comes from: set environment"
        )
    probe = make_environment(spec)
    space, limit = _checked_spaces(probe, spec.id, data)
    probe.close()
    may_differ = choice is not None and choice.may_differ
    if choice is not None and recorded is not None and judged is not None and not may_differ:
        _require_data_environment(data, recorded, judged, spec, source)
    _check_actions(data, space, spec.id, compare_bounds=not may_differ)
    is_named = recorded is None or (choice is not None and not differences(recorded, spec))
    return TaskEnvironment(
        spec,
        replace(resolved(spec), id=name if choice is None else resolved(spec).id),
        spec if is_named or recorded is None else recorded,
        is_named,
        source,
        space,
        limit,
    )


def recorded_task(about: Mapping[str, Any], source: str = "policy") -> EnvironmentSpec:
    """The environment that a task or a policy records in `about`; of an older one, its id alone.

    Args:
        about: see `worldplan.planners.offline.task.OfflineTask`.
        source: of the record, the beginning of the messages.

    Raises:
        ConfigError: it records none.
    """
    return parse_spec(about.get("spec") or about.get("environment"), f"{source}: environment")


def require_same(
    recorded: EnvironmentSpec, given: EnvironmentSpec, source: str, where: str = "the data"
) -> None:
    """Check that a user's environment is the one that is recorded.

    Args:
        recorded: what a dataset or a policy records.
        given: the user's.
        source: holds `recorded`, for messages.
        where: `recorded` comes from, for messages.

    Raises:
        ConfigError: they differ; names the arguments.
    """
    changes = differences(recorded, given, where)
    if changes:
        raise ConfigError(
            f"{source}: environment {given.id} is not that of {where} ({'; '.join(changes)}): "
            f"leave environment out, or judge in another one: environment: "
            f"{{id: {given.id}, ..., {CONSENT}: true}}"
        )


def _require_data_environment(
    data: Transitions,
    recorded: EnvironmentSpec,
    judged: EnvironmentSpec,
    given: EnvironmentSpec,
    source: str,
) -> None:
    """Check that the user's environment is that of the data, or the one that they name for
    evaluation. Of data that record an id only, nothing else is compared.

    Raises:
        ConfigError: it is another one.
    """
    if recorded_environment(data.metadata) is None:
        given = EnvironmentSpec(given.id)
    if judged is recorded or differences(judged, given):
        require_same(recorded, given, source)


def _checked_spaces(
    env: Environment, name: str, data: Transitions
) -> tuple[spaces.Box, int | None]:
    """Action space and step limit of an environment.

    Raises:
        ConfigError: its spaces are not vectors or do not fit the data, or its actions are
            unbounded or cannot change.
    """
    seen, space, spec = env.observation_space, env.action_space, env.spec
    if not isinstance(space, spaces.Box) or space.shape is None or len(space.shape) != 1:
        raise ConfigError(
            f"{name}: its actions are {space}: only continuous action vectors can be learned here"
        )
    if space.shape[0] != data.action.shape[1]:
        raise ConfigError(
            f"{name} takes actions of size {space.shape[0]}, the dataset has "
            f"{data.action.shape[1]}: they do not belong together"
        )
    if not isinstance(seen, spaces.Box) or seen.shape != data.observation.shape[1:]:
        hint = "" if isinstance(seen, spaces.Box) else "; its wrappers may be FlattenObservation"
        raise ConfigError(
            f"{name} shows {seen}, the dataset has observations of size "
            f"{data.observation.shape[1]}: they do not belong together{hint}"
        )
    observation_box(seen, f"{name}: observations")
    _check_flattened(env, name, data)
    return action_box(space, name), None if spec is None else spec.max_episode_steps


def _check_flattened(env: Environment, name: str, data: Transitions) -> None:
    """Check that FlattenObservation puts the parts of a Dict in the order of the data's columns.

    Raises:
        ConfigError: it does not.
    """
    keys = data.metadata.get(FLATTENED)
    inner = env.env.observation_space if isinstance(env, FlattenObservation) else None
    if keys is not None and isinstance(inner, spaces.Dict) and list(inner.spaces) != keys:
        raise ConfigError(
            f"{name} shows {', '.join(inner.spaces)}, the data were flattened as "
            f"{', '.join(map(str, keys))}: put FilterObservation with filter_keys in that order "
            "before FlattenObservation in environment"
        )


def _check_actions(
    data: Transitions, space: spaces.Box, name: str, *, compare_bounds: bool
) -> None:
    """Check that the data's actions are actions of the environment.

    Args:
        data: the dataset.
        space: actions of the environment.
        name: of the environment.
        compare_bounds: whether the bounds that the data record must be those of the environment.

    Raises:
        ConfigError: an action is out of bounds, or the recorded bounds are other ones.
    """
    remedy = (
        "the data act in other units, or in another environment: give its wrappers in environment"
    )
    excess = np.maximum(space.low - data.action, data.action - space.high)
    beyond = excess > _ROUNDING * np.maximum(1, np.maximum(abs(space.low), abs(space.high)))
    if beyond.any():
        row, column = np.argwhere(beyond)[0].tolist()
        raise ConfigError(
            f"row {row}, action[{column}]: {data.action[row, column]:g} is out of the bounds of "
            f"{name}, {space.low[column]:g} to {space.high[column]:g} ({int(beyond.any(1).sum())} "
            f"of {len(data)} rows): {remedy}"
        )
    for key, bound in (("action_low", space.low), ("action_high", space.high)):
        recorded = np.asarray(data.metadata.get(key, bound), np.float64)
        if not compare_bounds or recorded.shape != bound.shape or not np.isfinite(recorded).all():
            continue
        if not np.allclose(recorded, bound, rtol=_ROUNDING, atol=_ROUNDING):
            raise ConfigError(
                f"{key} of the data is {recorded.tolist()}, of {name} {bound.tolist()}: {remedy}"
            )
