"""Meta-World tasks as the gymnasium environment worldplan/MetaWorld-v0.

Meta-World 3.1.1 pins mujoco 3.3.0, which clashes with worldplan's, so it runs in an interpreter of
its own (`worldplan.envs.isolated.client`). `make metaworld` makes one. The option `python` or the
environment variable WORLDPLAN_METAWORLD_PYTHON selects it.
"""

from __future__ import annotations

import os
from pathlib import Path

from worldplan.envs.isolated.client import IsolatedEnv
from worldplan.milp.errors import MissingExtra

ENV_ID = "worldplan/MetaWorld-v0"
VARIABLE = "WORLDPLAN_METAWORLD_PYTHON"
_FACTORY = f"{Path(__file__).with_name('metaworld_tasks.py')}:MetaWorldTask"


def make_metaworld(
    task: str = "push-v3",
    python: str | None = None,
    render_mode: str | None = None,
    timeout: float = 60.0,
) -> IsolatedEnv:
    """A `worldplan.envs.isolated.metaworld_tasks.MetaWorldTask`: sparse reward, in another process.

    An episode has 100 decisions of two simulator steps each. `call("demonstrate", seed=...,
    noise=...)` plays one with Meta-World's scripted policy.

    Args:
        task: name in Meta-World.
        python: an interpreter that has Meta-World; None takes the environment variable.
        render_mode: "rgb_array" or None.
        timeout: seconds that an answer may take.

    Raises:
        MissingExtra: no interpreter is given.
        ConfigError: the interpreter has no Meta-World, or Meta-World has no such task.
    """
    python = python or os.environ.get(VARIABLE)
    if not python:
        raise MissingExtra(
            "Meta-World needs an interpreter of its own (it pins mujoco 3.3.0): run 'make "
            f"metaworld' in the sources of worldplan, then 'export {VARIABLE}="
            "$PWD/.venv-metaworld/bin/python', or give its path in the option python"
        )
    return IsolatedEnv(
        python, _FACTORY, {"task": task, "render_mode": render_mode}, timeout=timeout
    )
