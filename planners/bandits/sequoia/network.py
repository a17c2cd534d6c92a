"""Action-value networks Q(state, steps to go, action) that are ReLU networks of the action.

For a fixed state and steps to go, the dependence on the action is a small ReLU network, so that its
argmax is a MILP.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints
from worldplan.milp.networks.relu import ReluNetwork
from worldplan.planners.bandits.sequoia.level_bends import LevelBends, strength_unit


class QNetwork(nn.Module):
    """Base of the action-value networks.

    Q(s, n, a) = tail(W a + b) + w @ a + c, where `given` computes W, b, w and c from the state s
    and the steps to go n. The later layers, `tail`, are the same for all states.

    Attributes:
        unit, constant: the return of n steps is unit * Q + n * constant; networks are trained on
            planned rewards, see `worldplan.planners.bandits.units`.
        constants: (horizon + 1,) in the place of n * constant, with a discount or ends of arms.
    """

    tail: nn.Sequential
    unit: float = 1.0
    constant: float = 0.0
    constants: Floats | None = None

    def given(self, state: Tensor, left: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The first layer and the direct path, for states (b, arms) and steps to go (b,).

        Returns:
            W (b, width, components), b (b, width), w (b, components) and c (b,).

        Raises:
            TypeError: the subclass does not define it.
        """
        raise TypeError(f"{type(self).__name__} must define given()")

    def forward(self, state: Tensor, left: Tensor, actions: Tensor) -> Tensor:
        """Values (b, m) of m actions per state.

        Args:
            state: (b, arms).
            left: (b,) steps to go.
            actions: (b, m, components).
        """
        weight, bias, skip, constant = self.given(state, left)
        first = actions @ weight.transpose(1, 2) + bias[:, None]
        value: Tensor = self.tail(first)[..., 0]
        value = value + (actions @ skip[..., None])[..., 0] + constant[:, None]
        return value + self.beside(state, left, actions)

    def beside(self, state: Tensor, left: Tensor, actions: Tensor) -> Tensor:
        """What is added to the value beside `given` and `tail`, (b, m), or (1, 1) for the same
        number everywhere; arguments as in `forward`.
        """
        return torch.zeros(1, 1)

    def beside_next(self, state: Tensor, left: Tensor, chosen: Tensor) -> Tensor:
        """As `beside`, (b, components), where one component more is selected.

        Args:
            state: (b, arms).
            left: (b,) steps to go.
            chosen: (b, components) action.
        """
        return torch.zeros(1, 1)

    def separable_values(self, state: Ints, left: int) -> tuple[Floats, float] | None:
        """The value as a sum over arms, in the unit of the rewards; None if neurons reach it.

        Args:
            state: (arms,).
            left: steps to go.

        Returns:
            Values of each arm's levels, (arms, levels), and the constant that their sum lacks.
        """
        return None

    def offset(self, left: Ints) -> Floats:
        """What is added to unit * Q with `left` (b,) steps to go, (b,)."""
        steps = np.asarray(left)
        if self.constants is None:
            return self.constant * steps.astype(float)
        return np.asarray(self.constants[np.minimum(steps, len(self.constants) - 1)])

    @torch.no_grad()
    def action_networks(self, state: Ints, left: Ints) -> list[ReluNetwork]:
        """A double-precision network of the action for each state (b, arms) with `left` (b,).

        Its values are returns, in the unit of the rewards.
        """
        given = self.given(torch.as_tensor(state), torch.as_tensor(left))
        weight, bias, skip, constant = (x.double().cpu().numpy() for x in given)
        linear = [layer for layer in self.tail if isinstance(layer, nn.Linear)]
        # copies: a later training step must not change them
        weights = tuple(layer.weight.double().cpu().numpy().copy() for layer in linear)
        biases = [layer.bias.double().cpu().numpy().copy() for layer in linear]
        weights, last = (*weights[:-1], self.unit * weights[-1]), biases[-1]
        total = self.unit * (last + constant[:, None]) + self.offset(left)[:, None]
        plain = [
            ReluNetwork(
                (weight[i], *weights), (bias[i], *biases[:-1], total[i]), self.unit * skip[i]
            )
            for i in range(len(weight))
        ]
        return self._complete(plain, state, left)

    def _complete(self, networks: list[ReluNetwork], state: Ints, left: Ints) -> list[ReluNetwork]:
        """The networks with what is beside them; `state` (b, arms) and `left` (b,) of each."""
        return networks


def _tail(hidden: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for into, out in zip(hidden, (*hidden[1:], 1), strict=True):
        layers += [nn.ReLU(), nn.Linear(into, out)]
    return nn.Sequential(*layers)


class PlainQNetwork(QNetwork):
    """The paper's network: an MLP on the action and the states' numbers, without time."""

    def __init__(
        self, dynamics: ArmDynamics, horizon: int, hidden: tuple[int, ...] = (16, 32)
    ) -> None:
        super().__init__()
        self.action = nn.Linear(dynamics.components, hidden[0], bias=False)
        self.state = nn.Linear(dynamics.arms, hidden[0])
        self.tail = _tail(hidden)

    def given(self, state: Tensor, left: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `QNetwork.given`, for states (b, arms); w and c are zero."""
        bias = self.state(state.to(self.state.weight.dtype))
        weight = self.action.weight.expand(len(state), -1, -1)
        return (
            weight,
            bias,
            weight.new_zeros(len(state), weight.shape[-1]),
            weight.new_zeros(len(state)),
        )


class StateQNetwork(QNetwork):
    """Weights of the action that depend on each arm's state and on the steps to go.

    The value of a pull depends on the state of the arm. So each action component has its
    first-layer weights from a table by (arm, state), and its direct weight from a table by (steps
    to go, arm, state). The state is fixed when a decision is made: the function of the action is
    still a small ReLU network.

    Where several interventions reach an arm, its value bends at each strength between the least and
    the greatest (`level_bends`), by a table `bend` by (steps to go, arm, state, level). So the
    network can begin with any values of each arm's levels.
    """

    effect: Tensor
    knots: Tensor

    def __init__(
        self, dynamics: ArmDynamics, horizon: int, hidden: tuple[int, ...] = (16, 32)
    ) -> None:
        super().__init__()
        arms, states, width = dynamics.arms, dynamics.states, hidden[0]
        effect = (
            np.eye(arms)
            if dynamics.effect is None
            else dynamics.effect / strength_unit(dynamics.effect)
        )
        self.register_buffer("effect", torch.as_tensor(effect, dtype=torch.float32))
        self.horizon = horizon
        self.pull = nn.Parameter(torch.randn(arms, states, width) / np.sqrt(max(arms / 4, 1)))
        self.rest = nn.Parameter(torch.randn(arms, states, width) / np.sqrt(arms))
        self.time = nn.Parameter(torch.zeros(horizon + 1, width))
        self.direct = nn.Parameter(torch.zeros(horizon + 1, arms, states))
        self.base = nn.Parameter(torch.zeros(horizon + 1, arms, states))
        self.tail = _tail(hidden)
        nn.init.zeros_(self.tail[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.tail[-1].bias)  # type: ignore[arg-type]
        self.bends = LevelBends.of(dynamics)
        if self.bends is not None:
            knots = torch.as_tensor(self.bends.knots, dtype=torch.float32)
            self.register_buffer("knots", knots, persistent=False)
            self.bend = nn.Parameter(torch.zeros(horizon + 1, arms, states, self.knots.shape[1]))

    def given(self, state: Tensor, left: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `QNetwork.given`, for states (b, arms), from the tables."""
        arms = torch.arange(state.shape[1])
        left = left.clamp(0, self.horizon)
        weight = self.pull[arms, state].transpose(1, 2) @ self.effect
        bias = self.rest[arms, state].sum(1) + self.time[left]
        skip = self.direct[left[:, None], arms, state] @ self.effect
        return weight, bias, skip, self.base[left[:, None], arms, state].sum(1)

    def beside(self, state: Tensor, left: Tensor, actions: Tensor) -> Tensor:
        """The bends of the arms' values, (b, m); arguments as in `QNetwork.forward`."""
        if self.bends is None:
            return super().beside(state, left, actions)
        return self._bent(state, left, actions @ self.effect.T)

    def beside_next(self, state: Tensor, left: Tensor, chosen: Tensor) -> Tensor:
        """As `QNetwork.beside_next`, for states (b, arms), steps to go (b,) and `chosen` (b,
        components).
        """
        if self.bends is None:
            return super().beside_next(state, left, chosen)
        return self._bent(state, left, (chosen @ self.effect.T)[:, None] + self.effect.T)

    def _bent(self, state: Tensor, left: Tensor, strength: Tensor) -> Tensor:
        """The bends of the arms' values, (b, m), at strengths (b, m, arms)."""
        beyond = torch.relu(strength[..., None] - self.knots)  # (b, m, arms, bends)
        return (beyond * self._slopes(state, left)[:, None]).sum((2, 3))

    def _slopes(self, state: Tensor, left: Tensor) -> Tensor:
        """Changes of slope, (b, arms, bends), for states (b, arms) and steps to go (b,)."""
        arms, steps = torch.arange(state.shape[1]), left.clamp(0, self.horizon)[:, None]
        slopes: Tensor = self.bend[steps, arms, state]
        return slopes

    @torch.no_grad()
    def start_from(self, base: Floats, direct: Floats, levels: Floats | None = None) -> None:
        """Set the tables to a separable value.

        Args:
            base: (horizon + 1, arms, states) value without intervention.
            direct: (horizon + 1, arms, states) gain of the strongest level.
            levels: (horizon + 1, arms, states, levels) value of each level, which counts instead of
                the others where several interventions reach an arm.
        """
        if levels is not None and self.bends is not None:
            base, slope, bend = self.bends.pieces(levels)
            self.base.copy_(torch.as_tensor(base))
            self.direct.copy_(torch.as_tensor(slope))
            self.bend.copy_(torch.as_tensor(bend))
            return
        self.base.copy_(torch.as_tensor(base))
        strongest = self.effect.sum(1).clamp(min=1e-6)
        self.direct.copy_(torch.as_tensor(direct) / strongest[None, :, None])
        if self.bends is not None:
            self.bend.zero_()

    @torch.no_grad()
    def separable_values(self, state: Ints, left: int) -> tuple[Floats, float] | None:
        """As `QNetwork.separable_values`: of a start that no training improved."""
        last: Any = self.tail[-1]
        if last.weight.any():
            return None
        seen, steps = (
            torch.as_tensor(np.array(state))[None],
            torch.tensor([min(left, self.horizon)]),
        )
        arms = torch.arange(seen.shape[1])
        direct = self.direct[steps[:, None], arms, seen][0].double().numpy()
        if self.bends is None:
            values = direct[:, None] * np.array([0.0, 1.0])
        else:
            values = self.bends.values(direct, self._slopes(seen, steps)[0].double().numpy())
        base = self.base[steps[:, None], arms, seen].double().sum() + last.bias.double().sum()
        return self.unit * values, self.unit * float(base) + float(self.offset(np.array([left]))[0])

    def _complete(self, networks: list[ReluNetwork], state: Ints, left: Ints) -> list[ReluNetwork]:
        if self.bends is None:
            return networks
        slopes = self._slopes(torch.as_tensor(state), torch.as_tensor(left)).double().numpy()
        return [
            self.bends.joined(network, self.unit * slope)
            for network, slope in zip(networks, slopes, strict=True)
        ]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take weights of earlier versions, whose values have no bends."""
        if self.bends is not None:
            state_dict.setdefault(f"{prefix}bend", torch.zeros_like(self.bend))
        super()._load_from_state_dict(state_dict, prefix, *args)


NETWORKS: dict[str, Any] = {"state": StateQNetwork, "plain": PlainQNetwork}
