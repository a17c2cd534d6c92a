"""gymnasium's classic Pendulum as a batched model, with any gravity, mass, length and limits."""

from __future__ import annotations

import torch
from torch import Tensor

from worldplan.envs.dynamics.model import Prediction
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError


class PendulumDynamics:
    """The pendulum as a `worldplan.envs.dynamics.model.DynamicsModel`. With angle theta (0 upright)
    and torque u,

        acceleration = 3 g / (2 l) sin theta + 3 / (m l^2) u
        reward = -(theta^2 + 0.1 speed^2 + 0.001 u^2), theta in [-pi, pi), before the step,

    and the step dt uses the new speed. The observation (cos theta, sin theta, speed) determines the
    state; there is no termination.

    Args:
        g: gravity.
        m: mass.
        l: length.
        dt: seconds of a step.
        max_speed: the speed is cut to +-max_speed.
        max_torque: the torque is cut to +-max_torque.

    Raises:
        ConfigError: a number is not finite, or one that must be is not above 0.
    """

    observation_size, action_size, state_size = 3, 1, 0

    def __init__(
        self,
        g: float = 10.0,
        m: float = 1.0,
        l: float = 1.0,  # noqa: E741 - gymnasium's name
        dt: float = 0.05,
        max_speed: float = 8.0,
        max_torque: float = 2.0,
    ) -> None:
        self.g = checks.number(g, "g")
        self.m, self.l, self.dt = (
            checks.number(value, name) for name, value in (("m", m), ("l", l), ("dt", dt))
        )
        self.max_speed = checks.number(max_speed, "max_speed")
        self.max_torque = checks.number(max_torque, "max_torque")
        for name in ("m", "l", "dt", "max_speed", "max_torque"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} {getattr(self, name)}: must be above 0")

    def step(
        self,
        observation: Tensor,
        action: Tensor,
        *,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        members: bool = False,
    ) -> Prediction:
        """The next observation of every row.

        Args:
            observation: (batch, 3).
            action: (batch, 1).
            state: is not used.
            generator: is not used.
            members: is not used: there are none.
        """
        cosine, sine, speed = observation.double().unbind(-1)
        angle = torch.atan2(sine, cosine)
        torque = action[:, 0].double().clamp(-self.max_torque, self.max_torque)
        cost = angle.square() + 0.1 * speed.square() + 0.001 * torque.square()
        pull = 3 * self.g / (2 * self.l) * angle.sin()
        drive = 3 / (self.m * self.l**2) * torque
        speed = (speed + (pull + drive) * self.dt).clamp(-self.max_speed, self.max_speed)
        angle = angle + speed * self.dt
        following = torch.stack([angle.cos(), angle.sin(), speed], -1).to(observation.dtype)
        ended = torch.zeros(len(observation), dtype=torch.bool, device=observation.device)
        return Prediction(following, -cost.to(observation.dtype), ended)

    def to(self, device: torch.device | str) -> None:
        """There is nothing to move."""
