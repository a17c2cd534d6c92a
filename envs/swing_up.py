"""Two pendulums to swing up and balance: a pole on a cart, and an acrobot.

The acrobot is a double pendulum that is driven at its elbow only. Make them by
`gymnasium.make("worldplan.envs.swing_up:worldplan/CartPoleSwingUp-v0")` and `...AcrobotSwingUp-v0`.

An episode starts with the pendulum hanging and has no early termination. It is a success if every
link stood within 18 degrees of upright in each of the last `HELD` steps. The reward is smooth: the
height of the pendulum, less small costs of speed, effort and distance from the centre.

The formulas work on batches of states, so `worldplan.envs.dynamics.mujoco.MujocoDynamics` steps
thousands of them at once.
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
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" width="64" height="64"
             rgb1="0.9 0.95 1" rgb2="0.6 0.7 0.8"/>
  </asset>
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
        <geom name="pole" type="capsule" fromto="0 0 0 0 0 0.8" size="0.03" mass="0.2"
              rgba="0.8 0.4 0.2 1"/>
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
    <geom name="mount" type="cylinder" pos="0 0 2.2" size="0.06 0.1" euler="1.5708 0 0"
          rgba="0.4 0.4 0.4 1"/>
    <body name="upper" pos="0 0 2.2">
      <joint name="shoulder" type="hinge" axis="0 1 0" damping="0.02"/>
      <inertial pos="0 0 {half_upper}" mass="{upper_mass}"
                diaginertia="{upper_inertia} {upper_inertia} 0.001"/>
      <geom name="upper" type="capsule" fromto="0 0 0 0 0 {upper}" size="0.04"
            rgba="0.2 0.3 0.6 1"/>
      <body name="lower" pos="0 0 {upper}">
        <joint name="elbow" type="hinge" axis="0 1 0" damping="{friction}"/>
        <inertial pos="0 0 {half_lower}" mass="{lower_mass}"
                  diaginertia="{lower_inertia} {lower_inertia} 0.001"/>
        <geom name="lower" type="capsule" fromto="0 0 0 0 0 {lower}" size="0.03"
              rgba="0.8 0.4 0.2 1"/>
      </body>
    </body>""",
)


class SwingUpTask(Task, Protocol):
    """A task with a test for whether the pendulum stands."""

    @property
    def mjcf(self) -> str: ...

    def balanced(self, state: Array) -> NDArray[np.bool_]:
        """(batch, nq + nv) -> (batch,): every link within 18 degrees of upright, at any speed."""
        ...


@dataclass(frozen=True, slots=True)
class CartPole:
    """A pole on a cart: state [x, angle, speeds] with angle 0 upright.

        upright = (1 + cos angle) / 2
        reward = upright - place (x / 1.8)^2 - speed upright (angular speed)^2 - effort action^2

    Speed is weighted with `upright`, so that swinging up costs nothing. The observation (5,) is x,
    cosine, sine, speeds.

    Args:
        place, speed, effort: weights of the costs.
        mjcf: the model.
        reads: arrays of MjData, none.
    """

    place: float = 0.2
    speed: float = 0.01
    effort: float = 0.01
    mjcf: str = CART_POLE
    reads: tuple[str, ...] = ()

    def observe(self, state: Array, fields: Fields) -> Array:
        """(batch, 4) -> (batch, 5)."""
        angle = state[:, 1:2]
        return np.concatenate((state[:, :1], np.cos(angle), np.sin(angle), state[:, 2:]), axis=1)

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Reward and termination of a step, (batch,) each."""
        upright = (1 + np.cos(after[:, 1])) / 2
        off_centre = self.place * np.square(after[:, 0] / 1.8)
        cost = off_centre + self.speed * upright * np.square(after[:, 3])
        return upright - cost - self.effort * np.square(action[:, 0]), np.zeros(len(after), bool)

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Start states (count, 4), hanging."""
        return Start(np.array([0.0, np.pi, 0.0, 0.0]), 2, 0.1).draw(count, generator)

    def balanced(self, state: Array) -> NDArray[np.bool_]:
        """(batch, 4) -> (batch,): the pole is within 18 degrees of upright."""
        balanced: NDArray[np.bool_] = np.cos(state[:, 1]) > 0.95
        return balanced


@dataclass(frozen=True, slots=True)
class Acrobot:
    """A double pendulum driven at its elbow: state [shoulder, elbow, speeds], 0 upright.

        upper = (1 + cos shoulder) / 2,   both = upper (1 + cos(shoulder + elbow)) / 2
        cost = place falling^2 + speed (sum of both links' angular speeds^2) + bend (1 - cos elbow)
        reward = (upper + both) / 2 - both cost - effort action^2

    The reward is at most 1, and 0 hanging at rest. The links are thin rods. The observation (6,) is
    cosines, sines, speeds.

    Args:
        length: m, of the upper and the lower link.
        mass: kg, of the upper and the lower link.
        torque: N m, the largest at the elbow.
        friction: N m s / rad, viscous, at the elbow; it slows the faster of the two modes of
            falling over.
        place, bend, speed, effort: weights of the costs.
        reads: arrays of MjData, none.
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
        """The model, with these lengths, masses, torque and friction."""
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
        """(batch, 4) -> (batch, 6)."""
        angles = state[:, :2]
        return np.concatenate((np.cos(angles), np.sin(angles), state[:, 2:]), axis=1)

    def judge(
        self, before: Array, action: Array, after: Array, fields: Fields
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Reward and termination of a step, (batch,) each."""
        shoulder, lower_angle = after[:, 0], after[:, 0] + after[:, 1]
        upper = (1 + np.cos(shoulder)) / 2
        both = (1 + np.cos(shoulder)) / 2 * (1 + np.cos(lower_angle)) / 2
        cost = self.place * np.square(self.falling(after)) + self.speed * (
            np.square(after[:, 2]) + np.square(after[:, 2] + after[:, 3])
        )
        cost += self.bend * (1 - np.cos(after[:, 1]))
        reward = (upper + both) / 2 - both * cost - self.effort * np.square(action[:, 0])
        return reward, np.zeros(len(after), bool)

    def falling(self, state: Array) -> Array:
        """The extrapolated centre of mass times the mass: (batch, 4) -> (batch,), kg m.

        It is the moment of mass about the shoulder, plus the angular momentum times rate / g, where
        rate is that at which a stretched body falls. It grows as such a body falls, and is 0 if the
        body comes to rest upright (Hof et al., 2005, with momentum in place of speed). The elbow
        cannot change the angular momentum; only gravity, g times the moment, and the shoulder's
        slight friction do. With the moment alone as cost, plans of about a second stay bent, with
        the mass above the shoulder.
        """
        (upper, lower), (upper_mass, lower_mass) = self.length, self.mass
        # kg m: moments of the mass that each link carries
        moments = (upper_mass * upper / 2 + lower_mass * upper, lower_mass * lower / 2)
        sideways = moments[0] * np.sin(state[:, 0]) + moments[1] * np.sin(state[:, 0] + state[:, 1])
        # kg m^2, of the stretched body
        inertia = upper_mass * upper**2 / 3 + lower_mass * (upper**2 + upper * lower + lower**2 / 3)
        rate = np.sqrt(GRAVITY * sum(moments) / inertia)  # of falling, 1 / s
        falling: Array = sideways + rate / GRAVITY * self.angular_momentum(state)
        return falling

    def angular_momentum(self, state: Array) -> Array:
        """Of both links about the shoulder: (batch, 4) -> (batch,), kg m^2 / s."""
        (upper, lower), (upper_mass, lower_mass) = self.length, self.mass
        upper_speed, lower_speed = state[:, 2], state[:, 2] + state[:, 3]
        coupling = lower_mass * upper * lower / 2 * np.cos(state[:, 1])
        momentum: Array = (
            (upper_mass / 3 + lower_mass) * upper**2 * upper_speed
            + lower_mass * lower**2 / 3 * lower_speed
            + coupling * (upper_speed + lower_speed)
        )
        return momentum

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Start states (count, 4), hanging."""
        return Start(np.array([np.pi, 0.0, 0.0, 0.0]), 2, 0.1).draw(count, generator)

    def balanced(self, state: Array) -> NDArray[np.bool_]:
        """(batch, 4) -> (batch,): both links are within 18 degrees of upright."""
        upper, lower = np.cos(state[:, 0]), np.cos(state[:, 0] + state[:, 1])
        balanced: NDArray[np.bool_] = (upper > 0.95) & (lower > 0.95)
        return balanced


SWING_UPS: dict[str, type[CartPole] | type[Acrobot]] = {"cart_pole": CartPole, "acrobot": Acrobot}


class SwingUpEnv(MujocoEnv):
    """A pendulum that starts hanging.

    The action (1,) in [-1, 1] is a share of the largest force (cart, 10 N) or torque (elbow,
    25 N m). info: "is_success" (balanced in the last `HELD` steps) and "balanced" (now).

    Args:
        name: "cart_pole" or "acrobot".
        kwargs: of gymnasium's MujocoEnv, such as render_mode, width and height.

    Raises:
        ConfigError: the name is unknown.
    """

    metadata = {
        "render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"],
        "render_fps": 25,
    }

    def __init__(self, name: str, **kwargs: Any) -> None:
        if name not in SWING_UPS:
            raise ConfigError(f"no swing-up is called '{name}': use {', '.join(SWING_UPS)}")
        self.task: SwingUpTask = SWING_UPS[name]()
        self._balanced_steps = 0
        size = self.task.observe(np.zeros((1, 4)), {}).shape[1]
        observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float64)
        if not {"camera_id", "camera_name", "default_camera_config"} & set(kwargs):
            kwargs["camera_name"] = "front"
        # the base class requires a file that exists; the MJCF is in this one
        super().__init__(__file__, FRAME_SKIP, observation_space, **kwargs)

    def _initialize_simulation(self) -> tuple[Any, Any]:
        model = mujoco.MjModel.from_xml_string(self.task.mjcf)
        model.vis.global_.offwidth, model.vis.global_.offheight = self.width, self.height
        return model, mujoco.MjData(model)

    def vectorised_task(self) -> Task:
        """The formulas of this class for batches, for `worldplan.envs.dynamics.mujoco`."""
        return self.task

    def step(self, action: NDArray[np.float32]) -> tuple[Array, float, bool, bool, dict[str, Any]]:  # type: ignore[override]
        """Apply an action (1,) for 0.04 s."""
        before = self.state_vector()[None]
        self.do_simulation(action, self.frame_skip)
        after = self.state_vector()[None]
        reward, _ = self.task.judge(before, np.asarray(action, np.float64)[None], after, {})
        balanced = bool(self.task.balanced(after)[0])
        self._balanced_steps = self._balanced_steps + 1 if balanced else 0
        if self.render_mode == "human":
            self.render()  # type: ignore[no-untyped-call]  # of gymnasium
        info = {"is_success": self._balanced_steps >= HELD, "balanced": balanced}
        return self._observation(after), float(reward[0]), False, False, info

    def reset_model(self) -> Array:
        """Draw a start state and return its observation (observation,)."""
        self._balanced_steps = 0
        state = self.task.draw(1, self.np_random)
        qpos, qvel = state[0, : self.model.nq], state[0, self.model.nq :]
        self.set_state(qpos, qvel)  # type: ignore[no-untyped-call]  # of gymnasium
        return self._observation(state)

    def _get_obs(self) -> Array:
        return self._observation(self.state_vector()[None])

    def _observation(self, state: Array) -> Array:
        observation: Array = self.task.observe(state, {})[0]
        return observation


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
