"""Contact-rich manipulation tasks as gymnasium environments.

The reward is sparse, episodes have a fixed length, observations are states or pictures, and contact
forces above a limit are reported as violations. The tasks follow the simulated ones of MoDem-V2
(Lancaster et al., 2024), in scenes of our own: a gripper on Cartesian slides, without an arm and
its inverse kinematics.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from worldplan.envs.manipulation.contacts import ContactMeter
from worldplan.envs.manipulation.hand import CONTROL_DT, PROPRIOCEPTION, Hand
from worldplan.envs.manipulation.rendering import Renderer
from worldplan.envs.manipulation.simulator import mujoco
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
    """The complete state of an episode; only the random generator of the next reset is missing.

    Args:
        physics: (size,) MuJoCo's integration state.
        command: (4,) the servos' last command: x, y, z, yaw.
        step: steps since the reset.
        solved_steps: those on which the task was solved.
        pictures: the stacked pictures, each (cameras, 3, image_size, image_size).
    """

    physics: NDArray[np.float64]
    command: NDArray[np.float64]
    step: int
    solved_steps: int
    pictures: tuple[NDArray[np.uint8], ...]


class ManipulationEnv(gym.Env[Observation, NDArray[np.float32]]):
    """One manipulation task.

    Args:
        task: PlanarPush, InclinePush, BinPick or UprightPivot.
        observation: "state", a vector (38,) of proprioception (17) and object (21), or "pixels", a
            dictionary of "image" (cameras, 3 * frames, image_size, image_size) and
            "proprioception" (17,), which holds nothing about the object.
        image_size: pixels of a side of the observed pictures.
        cameras: names of the cameras that are observed.
        frames: stacked pictures of each camera, oldest first.
        render_mode: "rgb_array" or None; for `render` only.
        render_size: pixels of a side of the picture that `render` returns.
        render_camera: name of the camera of `render`.

    The action (A,) in [-1, 1] is an absolute target of the hand, see `Hand.apply`. The reward is 1
    in a step in which the task is solved, else 0. info: "is_success" (solved on at least 5 steps),
    "solved" (now), "contact_force" (N, the largest on the hand in this step), "contact_violation"
    (that force is above 100 N), "saturation" (a servo was at its force limit).

    Raises:
        ConfigError: an argument is unknown or out of range.
        RenderingUnavailable: by the first picture, if OpenGL is missing.
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
        names = [self.model.camera(index).name for index in range(self.model.ncam)]
        for camera in (*cameras, render_camera):
            if camera not in names:
                raise ConfigError(
                    f"camera {camera!r} does not exist in {task}; choose among {', '.join(names)}"
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
        """Whether the task is solved in the present state."""
        return self.task.solved(self.hand, self.thing)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: decides the start of this episode and of those after it; None continues.
            options: not used.

        Returns:
            The observation (see the class) and info.
        """
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
        """Apply an action for 0.08 s.

        Args:
            action: (A,); entries beyond [-1, 1] are clipped.

        Raises:
            InfeasibleAction: the action has another shape, or is not finite.
        """
        action = np.asarray(action, np.float64)
        if action.shape != self.action_space.shape or not np.isfinite(action).all():
            raise InfeasibleAction(
                f"{self.task_name}: an action needs {self.action_space.shape} finite numbers in "
                f"[-1, 1], got {action!r}"
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
        frames = self._pictures.maxlen or 1
        while len(self._pictures) < frames:  # after a reset the first picture is repeated
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
        """The picture (render_size, render_size, 3) of the render camera.

        Raises:
            ConfigError: the environment was made without render_mode="rgb_array".
            RenderingUnavailable: OpenGL is missing.
        """
        if self.render_mode != "rgb_array":
            raise ConfigError('make the environment with render_mode="rgb_array" to render it')
        self._update_positions()
        return self._renderer(self._render_size).render(self.data, self._render_camera)

    def _update_positions(self) -> None:
        """Compute the positions of bodies and cameras from the present joint positions.

        After a step, MuJoCo's positions are those of the start of the last substep.
        """
        mujoco.mj_kinematics(self.model, self.data)  # mj_forward would change the warm start
        mujoco.mj_camlight(self.model, self.data)

    def get_state(self) -> Snapshot:
        """The complete state of this episode, for `set_state`."""
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        physics = np.zeros(mujoco.mj_stateSize(self.model, kind))
        mujoco.mj_getState(self.model, self.data, physics, kind)
        return Snapshot(
            physics, self.hand.command.copy(), self._step, self._solved_steps, tuple(self._pictures)
        )

    def set_state(self, state: Snapshot) -> None:
        """Continue from a state of `get_state`, of this or another environment of the same task."""
        mujoco.mj_setState(
            self.model, self.data, state.physics, mujoco.mjtState.mjSTATE_INTEGRATION
        )
        self._update_positions()
        self.hand.command = state.command.copy()
        self._step, self._solved_steps = state.step, state.solved_steps
        self._pictures.clear()
        self._pictures.extend(state.pictures)

    def close(self) -> None:
        """Free the OpenGL contexts."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
