"""Two pendulums to swing up and balance: a pole on a cart, and an acrobot (a double pendulum driven
at its elbow only).

`gymnasium.make("worldplan.envs.swing_up:worldplan/CartPoleSwingUp-v0")` and `...AcrobotSwingUp-v0`.
An episode begins hanging, nothing ends it early, and it is a success when the pendulum stood in
each of its last `HELD` steps, every link within 18 degrees of upright. The reward is smooth: how
high the pendulum reaches, less small costs of speed, effort and being off centre.

A task's formulas work on whole batches of states, so
`worldplan.envs.dynamics.mujoco.MujocoDynamics` steps thousands of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.envs.mujoco import MujocoEnv
from numpy.typing import NDArray

from worldplan.envs.dynamics.mujoco_readings import Array, Fields
from worldplan.envs.dynamics.mujoco_tasks import Start, Task
from worldplan.milp.errors import ConfigError

HELD = 50  # steps, two seconds
GRAVITY = 9.81
FRAME_SKIP = 4  # 25 decisions per second

SCENE = """
<mujoco model="{name}">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="0.01" integrator="implicitfast"><flag contact="disable"/></option>
  <visual><quality shadowsize="0"/><headlight ambient="0.5 0.5 0.5"/></visual>
  <asset><texture name="sky" type="skybox" builtin="gradient" rgb1="0.9 0.95 1" rgb2="0.6 0.7 0.8" width="64" height="64"/></asset>
  <worldbody>
    <light pos="0 -3 4" dir="0 0.6 -0.8" castshadow="false"/>
    <camera name="front" pos="0 -{distance} {height}" xyaxes="1 0 0 0 0 1"/>
{bodies}
  </worldbody>
  <actuator><motor name="drive" joint="{driven}" gear="{gear}" ctrlrange="-1 1"/></actuator>
</mujoco>
"""

CART_POLE = SCENE.format(
    name="cart-pole swing-up",
    distance="5",
    height="1",
    driven="slide",
    gear="10",
    bodies="""
    <geom name="rail" type="capsule" fromto="-2 0 1 2 0 1" size="0.02" rgba="0.4 0.4 0.4 1"/>
    <body name="cart" pos="0 0 1">
      <joint name="slide" type="slide" axis="1 0 0" range="-1.8 1.8" damping="0.1"/>
      <geom name="cart" type="box" size="0.16 0.1 0.08" mass="1" rgba="0.2 0.3 0.6 1"/>
      <body name="pole">
        <joint name="hinge" type="hinge" axis="0 1 0" damping="0.001"/>
        <geom name="pole" type="capsule" fromto="0 0 0 0 0 0.8" size="0.03" mass="0.2" rgba="0.8 0.4 0.2 1"/>
      </body>
    </body>""",
)

ACROBOT = SCENE.format(
    name="acrobot swing-up",
    distance="6",
    height="2.2",
    driven="elbow",
    gear="{gear}",
    bodies="""
    <geom name="mount" type="cylinder" pos="0 0 2.2" size="0.06 0.1" euler="1.5708 0 0" rgba="0.4 0.4 0.4 1"/>
    <body name="upper" pos="0 0 2.2">
      <joint name="shoulder" type="hinge" axis="0 1 0" damping="0.02"/>
      <inertial pos="0 0 {half_upper}" mass="{upper_mass}" diaginertia="{upper_inertia} {upper_inertia} 0.001"/>
      <geom name="upper" type="capsule" fromto="0 0 0 0 0 {upper}" size="0.04" rgba="0.2 0.3 0.6 1"/>
      <body name="lower" pos="0 0 {upper}">
        <joint name="elbow" type="hinge" axis="0 1 0" damping="{friction}"/>
        <inertial pos="0 0 {half_lower}" mass="{lower_mass}" diaginertia="{lower_inertia} {lower_inertia} 0.001"/>
        <geom name="lower" type="capsule" fromto="0 0 0 0 0 {lower}" size="0.03" rgba="0.8 0.4 0.2 1"/>
      </body>
    </body>""",
)


class SwingUpTask(Task, Protocol):
    """A task whose states also say whether the pendulum stands."""

    @property
    def mjcf(self) -> str: ...

    def balanced(self, state: Array) -> NDArray[np.bool_]:
        """(batch, nq + nv) -> (batch,): every link within 18 degrees of upright, at whatever speed."""
        ...


@dataclass(frozen=True, slots=True)
class CartPole:
    """State [x, angle, speeds]; the angle is 0 upright. Observation: x, cosine, sine, speeds.

    The reward is (1 + cos angle) / 2, less `place` (x / 1.8)^2, `speed` angular speed^2 (times the
    first term, so that swinging up costs nothing) and `effort` action^2.
    """

    place: float = 0.2
    speed: float = 0.01
    effort: float = 0.01
    mjcf: str = CART_POLE
    reads: tuple[str, ...] = ()

    def observe(self, state: Array, fields: Fields) -> Array:
        angle = state[:, 1:2]
        return np.concatenate((state[:, :1], np.cos(angle), np.sin(angle), state[:, 2:]), axis=1)

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        upright = (1 + np.cos(after[:, 1])) / 2
        cost = self.place * np.square(after[:, 0] / 1.8) + self.speed * upright * np.square(
            after[:, 3]
        )
        return upright - cost - self.effort * np.square(action[:, 0]), np.zeros(len(after), bool)

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        return Start(np.array([0.0, np.pi, 0.0, 0.0]), 2, 0.1).draw(count, generator)

    def balanced(self, state: Array) -> NDArray[np.bool_]:
        return np.cos(state[:, 1]) > 0.95


@dataclass(frozen=True, slots=True)
class Acrobot:
    """State [shoulder, elbow, speeds]; both angles are 0 where both links stand. Observation:
    cosines, sines, speeds.

    The links are thin rods of `length` (m) and `mass` (kg), upper and lower; the motor at the elbow
    gives up to `torque` (N m) and has a viscous friction of `friction` (N m s / rad), which slows
    the faster of the two ways to fall over.

    The reward is at most 1, and 0 hanging at rest. Half is for the upper link, (1 + cos) / 2, and
    half for both links at once, the product of their (1 + cos) / 2. That product also says how much
    these costs count: `place` falling^2, `speed` times the squares of both links' own angular
    speeds, `bend` times 1 - cos of the elbow. `effort` action^2 counts always.
    """

    length: tuple[float, float] = (1.0, 1.0)
    mass: tuple[float, float] = (1.0, 0.5)
    torque: float = 25.0
    friction: float = 0.5
    place: float = 1.0
    bend: float = 0.2
    speed: float = 0.02
    effort: float = 0.001
    reads: tuple[str, ...] = ()

    @property
    def mjcf(self) -> str:
        (upper, lower), (upper_mass, lower_mass) = self.length, self.mass
        return ACROBOT.format(
            upper=upper,
            lower=lower,
            half_upper=upper / 2,
            half_lower=lower / 2,
            upper_mass=upper_mass,
            lower_mass=lower_mass,
            upper_inertia=upper_mass * upper**2 / 12,
            lower_inertia=lower_mass * lower**2 / 12,
            gear=self.torque,
            friction=self.friction,
        )

    def observe(self, state: Array, fields: Fields) -> Array:
        angles = state[:, :2]
        return np.concatenate((np.cos(angles), np.sin(angles), state[:, 2:]), axis=1)

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        upper, lower = after[:, 0], after[:, 0] + after[:, 1]
        first, both = (1 + np.cos(upper)) / 2, (1 + np.cos(upper)) / 2 * (1 + np.cos(lower)) / 2
        cost = self.place * np.square(self.falling(after)) + self.speed * (
            np.square(after[:, 2]) + np.square(after[:, 2] + after[:, 3])
        )
        cost += self.bend * (1 - np.cos(after[:, 1]))
        return (first + both) / 2 - both * cost - self.effort * np.square(action[:, 0]), np.zeros(
            len(after), bool
        )

    def falling(self, state: Array) -> Array:
        """(batch, nq + nv) -> (batch,), kg m: how far the mass is to the side, and by its momentum
        on its way there.

        Whatever the elbow does, only gravity (and the shoulder's slight friction) changes the
        angular momentum about the shoulder: its derivative is g times the moment of mass. The two
        are added so that their sum grows as a stretched body falls, and is 0 where it comes to rest
        upright: the extrapolated centre of mass of Hof et al. (2005), with momentum in place of
        speed. With the moment alone, plans of about a second stay bent, the mass above the
        shoulder.
        """
        (upper, lower), (heavy, light) = self.length, self.mass
        above = (
            heavy * upper / 2 + light * upper,
            light * lower / 2,
        )  # kg m: of the mass that each link carries
        sideways = above[0] * np.sin(state[:, 0]) + above[1] * np.sin(state[:, 0] + state[:, 1])
        inertia = heavy * upper**2 / 3 + light * (
            upper**2 + upper * lower + lower**2 / 3
        )  # stretched
        rate = np.sqrt(GRAVITY * sum(above) / inertia)  # of falling, 1 / s
        return sideways + rate / GRAVITY * self.angular_momentum(state)

    def angular_momentum(self, state: Array) -> Array:
        """(batch, nq + nv) -> (batch,), kg m^2 / s: of both links about the shoulder."""
        (upper, lower), (heavy, light) = self.length, self.mass
        turn, own = state[:, 2], state[:, 2] + state[:, 3]  # of the upper and the lower link
        coupling = light * upper * lower / 2 * np.cos(state[:, 1])
        return (
            (heavy / 3 + light) * upper**2 * turn
            + light * lower**2 / 3 * own
            + coupling * (turn + own)
        )

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        return Start(np.array([np.pi, 0.0, 0.0, 0.0]), 2, 0.1).draw(count, generator)

    def balanced(self, state: Array) -> NDArray[np.bool_]:
        return (np.cos(state[:, 0]) > 0.95) & (np.cos(state[:, 0] + state[:, 1]) > 0.95)


SWING_UPS: dict[str, type[CartPole] | type[Acrobot]] = {"cart_pole": CartPole, "acrobot": Acrobot}


class SwingUpEnv(MujocoEnv):
    """A pendulum that begins hanging; the action in [-1, 1] is the share of the largest force
    (cart, 10 N) or torque (elbow, 25 N m).

    Args:
        name: "cart_pole" or "acrobot".
        kwargs: of gymnasium's MujocoEnv, such as render_mode, width and height.

    info: "is_success" (it has stood for the last `HELD` steps) and "balanced" (it stands now).
    Raises ConfigError for an unknown name.
    """

    metadata = {
        "render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"],
        "render_fps": 25,
    }

    def __init__(self, name: str, **kwargs: Any) -> None:
        if name not in SWING_UPS:
            raise ConfigError(f"no swing-up is called '{name}': use {', '.join(SWING_UPS)}")
        self.task: SwingUpTask = SWING_UPS[name]()
        self._held = 0
        size = self.task.observe(np.zeros((1, 4)), {}).shape[1]
        shown = spaces.Box(-np.inf, np.inf, (size,), np.float64)
        if not {"camera_id", "camera_name", "default_camera_config"} & set(kwargs):
            kwargs["camera_name"] = "front"
        super().__init__(
            __file__, FRAME_SKIP, shown, **kwargs
        )  # the base class insists on a file: the MJCF is in this one

    def _initialize_simulation(self) -> tuple[Any, Any]:
        model = mujoco.MjModel.from_xml_string(self.task.mjcf)
        model.vis.global_.offwidth, model.vis.global_.offheight = self.width, self.height
        return model, mujoco.MjData(model)

    def vectorised_task(self) -> Task:
        """For `worldplan.envs.dynamics.mujoco`: what this class makes of states, without its Python
        code per row.
        """
        return self.task

    def step(self, action: NDArray[np.float32]) -> tuple[Array, float, bool, bool, dict[str, Any]]:  # type: ignore[override]
        before = self.state_vector()[None]
        self.do_simulation(action, self.frame_skip)
        after = self.state_vector()[None]
        reward, _ = self.task.judge(before, np.asarray(action, np.float64)[None], after, {})
        stands = bool(self.task.balanced(after)[0])
        self._held = self._held + 1 if stands else 0
        if self.render_mode == "human":
            self.render()
        return (
            self.task.observe(after, {})[0],
            float(reward[0]),
            False,
            False,
            {"is_success": self._held >= HELD, "balanced": stands},
        )

    def reset_model(self) -> Array:
        self._held = 0
        state = self.task.draw(1, self.np_random)
        self.set_state(state[0, : self.model.nq], state[0, self.model.nq :])
        return self.task.observe(state, {})[0]

    def _get_obs(self) -> Array:
        return self.task.observe(self.state_vector()[None], {})[0]


gym.register(
    "worldplan/CartPoleSwingUp-v0",
    "worldplan.envs.swing_up:SwingUpEnv",
    kwargs={"name": "cart_pole"},
    max_episode_steps=250,
)
gym.register(
    "worldplan/AcrobotSwingUp-v0",
    "worldplan.envs.swing_up:SwingUpEnv",
    kwargs={"name": "acrobot"},
    max_episode_steps=250,
)
