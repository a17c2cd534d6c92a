"""Pictures of a simulation, rendered without a window, shadows or reflections.

OpenGL is loaded for the first picture, not before. MUJOCO_GL selects the backend. Without it, Linux
uses EGL (graphics card or software) if its library is installed, else OSMesa (software); other
systems use MuJoCo's default.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import platform
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.manipulation.simulator import mujoco
from worldplan.milp.errors import RenderingUnavailable

# values of MUJOCO_GL with which MuJoCo does not render
OFF = ("disable", "disabled", "off", "false", "0")
LIBRARIES = {"egl": ("libEGL.so.1",), "osmesa": ("libOSMesa.so.8", "libOSMesa.so.6")}
INSTALL = (
    "on Debian or Ubuntu install libosmesa6 and set MUJOCO_GL=osmesa, or install libegl1 and "
    "libgl1 and set MUJOCO_GL=egl, before Python starts; state observations need neither"
)


_open: weakref.WeakSet[Renderer] = weakref.WeakSet()


def close_all() -> None:
    """Close all open renderers; called when Python exits, while OpenGL is still loaded."""
    for renderer in list(_open):
        renderer.close()


def loadable(names: Sequence[str]) -> bool:
    """Whether one of these shared libraries can be loaded."""
    for name in names:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


def backend() -> str:
    """The rendering backend: "egl", "osmesa", or "default" for MuJoCo's own choice.

    Raises:
        RenderingUnavailable: MUJOCO_GL forbids rendering, or no library is installed.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    if chosen in OFF:
        raise RenderingUnavailable(f"MUJOCO_GL={chosen} forbids rendering; unset it, or {INSTALL}")
    if platform.system() != "Linux":
        return "default"
    if chosen in LIBRARIES:
        if not loadable(LIBRARIES[chosen]):
            raise RenderingUnavailable(
                f"MUJOCO_GL={chosen}, but {' or '.join(LIBRARIES[chosen])} cannot be loaded; "
                f"{INSTALL}"
            )
        return chosen
    if chosen in ("glfw", "glx"):
        return "default"
    for name, libraries in LIBRARIES.items():
        if loadable(libraries):
            return name
    raise RenderingUnavailable(
        f"no OpenGL without a window: neither libEGL nor libOSMesa can be loaded; {INSTALL}"
    )


def open_gl(model: mujoco.MjModel, size: int) -> tuple[Any, mujoco.MjrContext]:
    """An OpenGL context without a window, and the geometry of `model` in it.

    Args:
        model: what will be rendered.
        size: pixels of a side.

    Raises:
        RenderingUnavailable: no context can be made.
    """
    name = backend()
    try:
        if name == "egl":
            from mujoco.egl import GLContext
        elif name == "osmesa":
            from mujoco.osmesa import GLContext
        else:
            from mujoco.gl_context import GLContext
        context = GLContext(size, size)
        context.make_current()
        geometry = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    # a missing driver raises ImportError, AttributeError, RuntimeError, EGLError or FatalError
    except Exception as error:
        raise RenderingUnavailable(
            f"no OpenGL by {name} (MUJOCO_GL={os.environ.get('MUJOCO_GL', '')!r}): {error!r}; "
            f"{INSTALL}"
        ) from error
    # handlers run in reverse order: registered last, this one runs before MuJoCo's ends OpenGL
    atexit.unregister(close_all)
    atexit.register(close_all)
    return context, geometry


class Renderer:
    """Square pictures of one model; free it with `close`.

    Args:
        model: what is rendered; its offscreen buffer is set to `size`.
        size: pixels of a side.

    Raises:
        RenderingUnavailable: OpenGL is missing.
    """

    def __init__(self, model: mujoco.MjModel, size: int) -> None:
        self._model = model
        model.vis.global_.offwidth = model.vis.global_.offheight = size
        self._context, self._mjr = open_gl(model, size)
        self._scene = mujoco.MjvScene(model, maxgeom=100)
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._mjr)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = 0
        self._rectangle = mujoco.MjrRect(0, 0, size, size)
        self._pixels = np.zeros((size, size, 3), np.uint8)
        _open.add(self)

    def render(self, data: mujoco.MjData, camera: str) -> NDArray[np.uint8]:
        """The picture (size, size, 3) of a camera, first row at the top."""
        self._context.make_current()
        self._camera.fixedcamid = self._model.camera(camera).id
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._option,
            None,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )
        mujoco.mjr_render(self._rectangle, self._scene, self._mjr)
        mujoco.mjr_readPixels(self._pixels, None, self._rectangle, self._mjr)
        return self._pixels[::-1].copy()

    def close(self) -> None:
        """Free the OpenGL context; closing twice does nothing."""
        if self in _open:
            _open.discard(self)
            self._context.make_current()
            self._mjr.free()
            self._context.free()

    def __del__(self) -> None:
        """Frees the context of an environment that was not closed."""
        self.close()
