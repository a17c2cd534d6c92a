"""Meta-World as a gymnasium environment: importing this module registers worldplan/MetaWorld-v0.

Meta-World 3.1.1 pins mujoco 3.3.0, which clashes with ours, so it runs in an interpreter of its own
(`worldplan.envs.isolated.client`). `make metaworld` makes one. It is chosen by the option `python`
or by the environment variable WORLDPLAN_METAWORLD_PYTHON.
"""

from __future__ import annotations

import os
from pathlib import Path

import gymnasium as gym

from worldplan.envs.isolated.client import IsolatedEnv
from worldplan.milp.errors import MissingExtra

ENV_ID = "worldplan/MetaWorld-v0"
VARIABLE = "WORLDPLAN_METAWORLD_PYTHON"
_FACTORY = f"{Path(__file__).with_name('metaworld_tasks.py')}:MetaWorldTask"


def metaworld(
    task: str = "push-v3",
    python: str | None = None,
    render_mode: str | None = None,
    timeout: float = 60.0,
) -> IsolatedEnv:
    """A Meta-World task with a sparse reward, see
    `worldplan.envs.isolated.metaworld_tasks.MetaWorldTask`; 100 decisions of two simulator steps
    each.

    Its `call("demonstrate", seed=..., noise=...)` plays an episode with the scripted policy.

    Args:
        task: name in Meta-World.
        python: an interpreter that has Meta-World; from the environment variable when None.
        render_mode: "rgb_array" or None.
        timeout: seconds that an answer may take.
    Raises MissingExtra without an interpreter, ConfigError when it has no Meta-World or there is no
    such task.
    """
    python = python or os.environ.get(VARIABLE)
    if not python:
        raise MissingExtra(
            "Meta-World needs an interpreter of its own (it pins mujoco 3.3.0): run 'make metaworld' in the sources of worldplan, "
            f"then 'export {VARIABLE}=$PWD/.venv-metaworld/bin/python', or give its path in the option python"
        )
    return IsolatedEnv(
        python, _FACTORY, {"task": task, "render_mode": render_mode}, timeout=timeout
    )


if ENV_ID not in gym.registry:
    gym.register(
        id=ENV_ID,
        entry_point="worldplan.envs.isolated.metaworld:metaworld",
        kwargs={"task": "push-v3"},
    )
