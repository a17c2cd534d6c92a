"""Contact-rich manipulation tasks; importing this package registers them with gymnasium as
worldplan/PlanarPush-v0 and so on.

`import mujoco` itself loads OpenGL when MUJOCO_GL is set, and breaks when the library is missing:
that is told in plain words here.
"""

import os

import gymnasium

from worldplan.milp.errors import RenderingUnavailable

try:
    import mujoco  # noqa: F401 - only to see whether it can be imported
except Exception as error:  # AttributeError or RuntimeError, by platform and by what is missing
    if isinstance(error, ModuleNotFoundError) or not os.environ.get("MUJOCO_GL"):
        raise
    raise RenderingUnavailable(
        f"MuJoCo cannot be imported with MUJOCO_GL={os.environ['MUJOCO_GL']!r} ({error!r}): unset it, or on Debian or Ubuntu install "
        "libosmesa6 for MUJOCO_GL=osmesa, libegl1 and libgl1 for MUJOCO_GL=egl"
    ) from error

from worldplan.envs.manipulation.environment import CAMERAS
from worldplan.envs.manipulation.tasks import TASKS

for _name, _task in TASKS.items():
    _id = f"worldplan/{_name}-v0"
    if _id not in gymnasium.registry:
        gymnasium.register(
            id=_id,
            entry_point="worldplan.envs.manipulation.environment:ManipulationEnv",
            max_episode_steps=_task.steps,
            kwargs={"task": _name, "cameras": CAMERAS},
        )
