"""The module `mujoco`, or a clear error where MUJOCO_GL keeps it from being imported.

`import mujoco` loads OpenGL at once if MUJOCO_GL is set, and fails if the library is missing. All
modules of this package import `mujoco` from here.
"""

import os

from worldplan.milp.errors import RenderingUnavailable

try:
    import mujoco as mujoco
except Exception as error:  # AttributeError or RuntimeError, by platform and by what is missing
    if isinstance(error, ModuleNotFoundError) or not os.environ.get("MUJOCO_GL"):
        raise
    raise RenderingUnavailable(
        f"MuJoCo cannot be imported with MUJOCO_GL={os.environ['MUJOCO_GL']!r} ({error!r}): unset "
        "it, or on Debian or Ubuntu install libosmesa6 for MUJOCO_GL=osmesa, libegl1 and libgl1 "
        "for MUJOCO_GL=egl"
    ) from error

__all__ = ["mujoco"]
