"""Where `worldplan evaluate` plays the episodes of a policy learned from data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium.vector import VectorEnv

from worldplan.envs.edge_of_reach import Plane, PlaneVectorEnv
from worldplan.envs.environments import make_environments
from worldplan.envs.from_files import makeable
from worldplan.envs.registered import differences
from worldplan.planners.offline.saved_policies import OfflinePolicy
from worldplan.planners.offline.task_environment import (
    GivenEnvironment,
    recorded_task,
    require_same,
)


def environment_of(
    policy: OfflinePolicy, count: int, given: GivenEnvironment | None, source: str
) -> VectorEnv:
    """`count` copies of the environment that a policy was trained for, or of the one that the user
    gives.

    Args:
        policy: records what its environment was made of.
        count: of environments.
        given: by the user; None takes the policy's own.
        source: of the policy, for messages.

    Raises:
        ConfigError: the environment cannot be made, or another one is given without consent.
    """
    if "plane" in policy.about:
        return PlaneVectorEnv(count, Plane(**policy.about["plane"]))
    spec = recorded_task(policy.about, f"{source}: policy")
    if given is None:
        return make_environments(makeable(spec, source), count)
    environments = make_environments(given.spec, count)  # imports the module of the id
    if not given.may_differ:
        require_same(spec, given.spec, source, "the training")
    return environments


def is_elsewhere(policy: OfflinePolicy, given: GivenEnvironment | None, source: str) -> bool:
    """Whether the user gives another environment than that of the training.

    Args:
        policy: records what its environment was made of.
        given: by the user, or None.
        source: of the policy, for messages.
    """
    if given is None or not given.may_differ:
        return False
    return bool(differences(recorded_task(policy.about, f"{source}: policy"), given.spec))


def named_environment(config: Mapping[str, Any]) -> Any:
    """The environment that the user named in the settings of a training or a study; None where
    they name none.

    Args:
        config: of the run.
    """
    section = config.get("data") if "methods" in config else config.get("model")
    arguments = section.get("init_args", section) if isinstance(section, Mapping) else {}
    return arguments.get("environment") if isinstance(arguments, Mapping) else None
