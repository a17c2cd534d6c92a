"""Dynamics models by name: what a planner or an offline learner rolls out in.

A model of your own is one class in one file:

```python
# my_module.py
import torch
from worldplan.envs.dynamics import DYNAMICS, Prediction

@DYNAMICS.register("point_mass")
class PointMass:
    observation_size, action_size, state_size = 2, 1, 0

    def __init__(self, *, environment, observation_size, action_size, mass=1.0):
        self.mass = mass

    def step(self, observation, action, *, state=None, generator=None, members=False):
        position, speed = observation.unbind(1)
        speed = speed + 0.1 * action[:, 0] / self.mass
        position = position + 0.1 * speed
        following = torch.stack([position, speed], 1)
        return Prediction(following, reward=-position.abs(), terminated=position.abs() > 10)

    def to(self, device): ...  # no parameters to move
```

A learner of values makes it with the sizes of its task, as in

```python
from worldplan.envs.dynamics import make_dynamics

sizes = {"observation_size": 2, "action_size": 1}
model = make_dynamics("point_mass", environment="MountainCarContinuous-v0", **sizes, mass=2.0)
```

Without the decorator, the address "my_module:PointMass" does as well as the name. A package that is
installed may announce it in the entry-point group "worldplan.dynamics".

`check_model` (`worldplan.envs.dynamics`) tries a model and says in one line what is wrong with it.
A model that a name or an address makes is tried in this way once, on rows of the dataset, or on
random rows where there is none.

Learned ensembles are not made by name alone: they are loaded from a checkpoint
(`worldplan.world_models.ensemble`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from worldplan.envs.dynamics.model import DynamicsModel
from worldplan.envs.dynamics.model_check import check_model
from worldplan.milp.addresses import own_errors
from worldplan.milp.errors import ConfigError
from worldplan.milp.registry import Registry

DynamicsFactory = Callable[..., DynamicsModel]
"""make(*, environment: str, observation_size: int, action_size: int, **options) -> DynamicsModel.

environment: the gymnasium id of the task ("Hopper-v5"); observation_size, action_size: the lengths
of its observation and action vectors; options: settings of this model, from the user.
"""

DYNAMICS: Registry[DynamicsFactory] = Registry("dynamics", "worldplan.dynamics")


def make_dynamics(
    name: str,
    *,
    environment: str,
    observation_size: int,
    action_size: int,
    data: Mapping[str, Any] | None = None,
    **options: Any,
) -> DynamicsModel:
    """The dynamics model that is registered as `name`, or that stands at "module:attribute".

    Args:
        name: of the model; "true" is the MuJoCo simulator of `environment`.
        environment: gymnasium id of the task.
        observation_size: length of an observation vector.
        action_size: length of an action vector.
        data: rows to try a model of your own on: "observation" (n, observation), "action" (n,
            action) and, for a simulator, "state" (n, state_size); None: random rows.
        options: settings of the model.

    Raises:
        ConfigError: nothing has this name, the model has no such option or lacks a required one,
            or the result is not a dynamics model of these sizes, or breaks the interface.
    """
    make = DYNAMICS.get(name)
    arguments = {
        "environment": environment,
        "observation_size": observation_size,
        "action_size": action_size,
        **options,
    }
    try:
        inspect.signature(make).bind(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"dynamics '{name}': {error}: it is called with {', '.join(arguments)}"
        ) from error
    with own_errors(f"dynamics '{name}'", "mend it, or change its options"):
        model = make(**arguments)
    if not isinstance(model, DynamicsModel):
        raise ConfigError(
            f"dynamics '{name}': made a {type(model).__name__}, which lacks some of step, to, "
            "observation_size, action_size and state_size"
        )
    sizes = (model.observation_size, model.action_size)
    if sizes != (observation_size, action_size):
        raise ConfigError(
            f"dynamics '{name}': its (observation, action) sizes are {sizes}, those of "
            f"{environment} are {(observation_size, action_size)}"
        )
    if make is not true_dynamics:
        check_model(model, **(data or {}), name=f"'{name}'")
    return model


@DYNAMICS.register("true")
def true_dynamics(
    *,
    environment: str,
    observation_size: int,
    action_size: int,
    threads: int | None = None,
    seed: int = 0,
    **env_kwargs: Any,
) -> DynamicsModel:
    """The MuJoCo simulator of `environment`, as a `MujocoDynamics`.

    Args:
        environment: a registered task whose class derives from gymnasium's MujocoEnv.
        observation_size: length of its observation vector.
        action_size: length of its action vector.
        threads: threads that step the batch; None takes all cores that this process may use.
        seed: of the start states that `reset` draws.
        env_kwargs: passed to gymnasium.make.

    Raises:
        ConfigError: the task cannot be made, or is not one that can be stepped from a state.
    """
    from worldplan.envs.dynamics.mujoco import MujocoDynamics  # MuJoCo is loaded only when used

    return MujocoDynamics(environment, threads=threads, seed=seed, **env_kwargs)
