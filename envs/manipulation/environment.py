"""Contact-rich manipulation as gymnasium environments: sparse reward, fixed length, state or pixel
observations, counted violations.

After the simulated tasks of MoDem-V2 (Lancaster et al., 2024), with an own scene of primitives: a
gripper on Cartesian slides, no arm and so no inverse kinematics.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from worldplan.envs.manipulation.contacts import ContactMeter
from worldplan.envs.manipulation.hand import CONTROL_DT, PROPRIOCEPTION, Hand
from worldplan.envs.manipulation.rendering import Renderer
from worldplan.envs.manipulation.task import OBJECT_OBSERVATION, ObjectBody
from worldplan.envs.manipulation.tasks import task_named
from worldplan.milp.errors import ConfigError, InfeasibleAction

Observation = NDArray[np.float32] | dict[str, NDArray[Any]]
FORCE_LIMIT = 100.0  # N, contact force above which a step counts as a violation
SUCCESS_STEPS = 5  # an episode succeeds when it was solved on this many steps
MODES = ("state", "pixels")
IMAGE_SIZE, CAMERAS, FRAMES = 64, ("left", "right"), 2  # of pixel observations


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that decides how an episode goes on, but for the generator of the next reset."""

    physics: NDArray[np.float64]
    command: NDArray[np.float64]
    step: int
    solved_steps: int
    pictures: tuple[NDArray[np.uint8], ...]


class ManipulationEnv(gym.Env[Observation, NDArray[np.float32]]):
    """One manipulation task.

    Args:
        task: PlanarPush, InclinePush, BinPick or UprightPivot.
        observation: "state" (proprioception, then the object) or "pixels" (pictures and
            proprioception, nothing about the object).
        image_size: pixels of a side of the observed pictures.
        cameras: whose pictures are observed.
        frames: how many pictures of each camera are stacked, oldest first.
        render_mode: "rgb_array" or None; for `render` only.
        render_size: pixels of a side of what `render` returns.
        render_camera: whose picture `render` returns.

    Raises:
        ConfigError: an argument is unknown or out of range.
        RenderingUnavailable: by the first picture, where there is no OpenGL.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / CONTROL_DT, 3)}  # noqa: RUF012

    def __init__(
        self,
        task: str,
        observation: str = "state",
        image_size: int = IMAGE_SIZE,
        cameras: Sequence[str] = CAMERAS,
        frames: int = FRAMES,
        render_mode: str | None = None,
        render_size: int = 480,
        render_camera: str = "video",
    ) -> None:
        if observation not in MODES:
            raise ConfigError(f"observation {observation!r}: choose one of {', '.join(MODES)}")
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(f"render_mode {render_mode!r}: choose rgb_array or None")
        for name, value in (
            ("image_size", image_size),
            ("frames", frames),
            ("render_size", render_size),
        ):
            if value < 1:
                raise ConfigError(f"{name} is {value}: must be at least 1")
        if isinstance(cameras, str):
            raise ConfigError(
                f"cameras {cameras!r}: give a list of names, [{cameras}] for one camera"
            )
        self.task = task_named(task)
        self.task_name = task
        self.model = self.task.model()
        known = [self.model.camera(index).name for index in range(self.model.ncam)]
        for camera in (*cameras, render_camera):
            if camera not in known:
                raise ConfigError(
                    f"camera {camera!r} does not exist in {task}; choose among {', '.join(known)}"
                )
        if observation == "pixels" and not cameras:
            raise ConfigError("pixel observations need at least one camera")
        self.data = mujoco.MjData(self.model)
        self.hand = Hand(self.model, self.data, self.task.reach)
        self.thing = ObjectBody(self.model, self.data)
        self.render_mode = render_mode
        self._meter = ContactMeter(self.model, self.data)
        self._substeps = round(CONTROL_DT / self.model.opt.timestep)
        self._servo_forces = np.zeros((self._substeps, self.model.nu))
        self._mode, self._image_size, self._cameras = observation, image_size, tuple(cameras)
        self._render_size, self._render_camera = render_size, render_camera
        self._renderers: dict[int, Renderer] = {}
        self._pictures: deque[NDArray[np.uint8]] = deque(maxlen=frames)
        self._step = self._solved_steps = 0
        self.action_space = spaces.Box(-1.0, 1.0, (self.task.reach.action_size,), np.float32)
        self.observation_space: spaces.Space[Any] = self._space(frames)

    def _space(self, frames: int) -> spaces.Space[Any]:
        if self._mode == "state":
            return spaces.Box(-np.inf, np.inf, (PROPRIOCEPTION + OBJECT_OBSERVATION,), np.float32)
        image = spaces.Box(
            0, 255, (len(self._cameras), 3 * frames, self._image_size, self._image_size), np.uint8
        )
        return spaces.Dict(
            {
                "image": image,
                "proprioception": spaces.Box(-np.inf, np.inf, (PROPRIOCEPTION,), np.float32),
            }
        )

    @property
    def solved(self) -> bool:
        """Whether the task is solved right now (not latched)."""
        return self.task.solved(self.hand, self.thing)

    @property
    def elapsed(self) -> int:
        """Steps since the last reset."""
        return self._step

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; `seed` alone decides how it and those after it start."""
        super().reset(seed=seed, options=options)
        mujoco.mj_resetData(self.model, self.data)
        self.task.reset(self.hand, self.thing, self.np_random)
        mujoco.mj_forward(self.model, self.data)
        self._step = self._solved_steps = 0
        self._pictures.clear()
        return self._observe(), self._info(False, 0.0, False)

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Act for 0.08 s.

        Raises:
            InfeasibleAction: the action has another shape, or is not finite. Entries beyond [-1, 1]
                are cut.
        """
        action = np.asarray(action, np.float64)
        if action.shape != self.action_space.shape or not np.isfinite(action).all():
            raise InfeasibleAction(
                f"{self.task_name}: an action needs {self.action_space.shape} finite numbers in [-1, 1], got {action!r}"
            )
        self.hand.apply(np.clip(action, -1.0, 1.0))
        for substep in range(self._substeps):
            mujoco.mj_step(self.model, self.data)
            self._meter.record()
            self._servo_forces[substep] = self.data.actuator_force
        self._step += 1
        solved = self.solved
        self._solved_steps += solved
        info = self._info(solved, self._meter.largest(), self.hand.saturated(self._servo_forces))
        return self._observe(), float(solved), False, self._step >= self.task.steps, info

    def _info(self, solved: bool, force: float, saturated: bool) -> dict[str, Any]:
        return {
            "is_success": self._solved_steps >= SUCCESS_STEPS,
            "solved": solved,
            "contact_force": force,
            "contact_violation": force > FORCE_LIMIT,
            "saturation": saturated,
        }

    def _observe(self) -> Observation:
        proprioception = self.hand.proprioception()
        if self._mode == "state":
            return np.concatenate((proprioception, self.thing.observe(self.hand.position))).astype(
                np.float32
            )
        self._update_positions()
        picture = np.stack(
            [self._renderer(self._image_size).render(self.data, camera) for camera in self._cameras]
        )
        self._pictures.append(picture.transpose(0, 3, 1, 2))
        while len(self._pictures) < (
            self._pictures.maxlen or 1
        ):  # after a reset the first picture stands for what was before it
            self._pictures.append(self._pictures[-1])
        return {
            "image": np.concatenate(self._pictures, axis=1),
            "proprioception": proprioception.astype(np.float32),
        }

    def _renderer(self, size: int) -> Renderer:
        if size not in self._renderers:
            self._renderers[size] = Renderer(self.model, size)
        return self._renderers[size]

    def render(self) -> NDArray[np.uint8]:
        """(render_size, render_size, 3), what the camera for videos sees."""
        if self.render_mode != "rgb_array":
            raise ConfigError('make the environment with render_mode="rgb_array" to render it')
        self._update_positions()
        return self._renderer(self._render_size).render(self.data, self._render_camera)

    def _update_positions(self) -> None:
        """Positions for pictures from the joints of now: a step of the simulator leaves those of
        its last substep's start.
        """
        mujoco.mj_kinematics(
            self.model, self.data
        )  # mj_forward would change the solver's warm start
        mujoco.mj_camlight(self.model, self.data)

    def get_state(self) -> Snapshot:
        """Everything that decides how this episode goes on."""
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        physics = np.zeros(mujoco.mj_stateSize(self.model, kind))
        mujoco.mj_getState(self.model, self.data, physics, kind)
        return Snapshot(
            physics, self.hand.command.copy(), self._step, self._solved_steps, tuple(self._pictures)
        )

    def set_state(self, state: Snapshot) -> None:
        """Go on from where `get_state` was called, here or in another environment of the same task."""
        mujoco.mj_setState(
            self.model, self.data, state.physics, mujoco.mjtState.mjSTATE_INTEGRATION
        )
        self._update_positions()
        self.hand.command = state.command.copy()
        self._step, self._solved_steps = state.step, state.solved_steps
        self._pictures.clear()
        self._pictures.extend(state.pictures)

    def close(self) -> None:
        """Free what OpenGL holds."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
