"""The network of shared weights again: one arm, state and level after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.bandits.environment import ArmDynamics
from worldplan.planners.bandits.sequoia.shared.arm_values import ArmValues
from worldplan.planners.bandits.whittle_horizon import finite_whittle_indices


class PlainArms:
    """Features of a programme whose prices are given.

    Args:
        tables: of which the prices (or the values at them) are read, and nothing else.
    """

    def __init__(self, tables: ArmValues) -> None:
        self.model: ArmDynamics = tables.instance.dynamics
        self.actions, self.horizon = tables.instance.actions, tables.instance.horizon
        reaches = np.eye(self.model.arms) if self.model.effect is None else self.model.effect
        self.reached = [
            any(self.actions.selectable[place] for place in np.flatnonzero(row)) for row in reaches
        ]
        self.none = self.model.level(np.zeros(self.model.components))
        self.levels = [self._used(arm) for arm in range(self.model.arms)]
        self.tables = tables
        if self.model.effect is None:
            self.value = self._values(tables.price)
        else:
            self.value = tables.value
        self.free = self._values(None)

    def _used(self, arm: int) -> list[int]:
        if self.model.strengths is None:
            return [0, 1]
        used = [0]
        for level in range(1, self.model.levels):
            new = self.model.strengths[arm, level] > self.model.strengths[arm, level - 1] + 1e-9
            used.append(level if new else used[-1])
        return used

    def worth(self, arm: int, state: int, level: int, after: np.ndarray) -> float:
        """Reward and what follows, of one arm whose next state is worth `after` (states,)."""
        level = self.levels[arm][level]
        total = 0.0
        for following in range(self.model.states):
            extra = 0.0
            if self.model.action_reward is not None:
                full = np.broadcast_to(self.model.action_reward, self.model.transition.shape)
                extra = full[arm, level, state, following]
            chance = self.model.transition[arm, level, state, following]
            total += chance * (self.model.reward[arm, following] + extra + after[following])
        return total

    def _values(self, price: np.ndarray | None) -> np.ndarray:
        model = self.model
        value = np.zeros((self.horizon + 1, model.arms, model.states))
        for left in range(1, self.horizon + 1):
            for arm, state in np.ndindex(model.arms, model.states):
                paid = [0.0] * model.levels
                if price is not None:
                    paid[1] = price[left, arm]
                value[left, arm, state] = max(
                    self.worth(arm, state, level, value[left - 1, arm]) - paid[level]
                    for level in range(model.levels)
                    if self.reached[arm] or level == self.none[arm]
                )
        return value

    def gain(self, table: np.ndarray, left: int, arm: int, state: int, level: int) -> float:
        """What the level gains over no intervention, if later steps are worth `table`."""
        after = table[left - 1, arm] if left else np.zeros(self.model.states)
        none = int(self.none[arm])
        return self.worth(arm, state, level, after) - self.worth(arm, state, none, after)

    def size(self, left: int, arm: int) -> float:
        if not self.reached[arm]:
            return 0.0
        return max(
            abs(self.gain(self.free, left, arm, state, level))
            for state in range(self.model.states)
            for level in range(self.model.levels)
        )

    def features(self, left: int, arm: int, state: int, level: int) -> list[float]:
        model, last = self.model, self.model.levels - 1
        sizes = [self.size(left, other) for other in range(model.arms)]
        scale = sum(x * x for x in sizes) / sum(sizes)
        none = int(self.none[arm])
        zeros = np.zeros((left + 1, model.arms, model.states))

        def tomorrow(chosen: int) -> float:
            moves = model.transition[arm, self.levels[arm][chosen], state]
            return sum(
                chance * self.gain(self.value, left - 1, arm, following, last)
                for following, chance in enumerate(moves)
                if left > 1
            )

        passive = [
            self.worth(arm, each, none, self.value[left - 1, arm]) for each in range(model.states)
        ]
        if model.strengths is None:
            share = float(level)
        else:
            beyond = model.strengths[arm] - model.strengths[arm, none]
            most = max(abs(beyond))
            share = beyond[level] / most if most else 0.0
        own = [
            share,
            self.gain(zeros, left, arm, state, level) / scale,
            self.gain(self.value, left, arm, state, level) / scale,
            self.gain(self.free, left, arm, state, level) / scale,
            tomorrow(level) / scale,
            tomorrow(none) / scale,
            (passive[state] - sum(passive) / len(passive)) / scale,
            1 / left,
            math.log(left) / math.log(20),
            sizes[arm] / scale,
        ]
        if model.effect is None:
            index = finite_whittle_indices(model, left)[arm, state]
            return [*own, share * index / scale, share * self.tables.price[left, arm] / scale]
        start = self.tables.start("joint" if self.tables.groups else "prices", left)[arm, state]
        return [*own, (start[level] - start[none]) / scale]

    def action_value(
        self,
        weights: Mapping[str, Tensor],
        start: str,
        state: np.ndarray,
        left: int,
        action: np.ndarray,
    ) -> Tensor:
        """Q of one joint state and action; `weights` by their names in the network."""
        model = self.model
        sizes = [self.size(left, arm) for arm in range(model.arms)]
        scale = sum(x * x for x in sizes) / sum(sizes)

        def linear(name: str, x: Tensor) -> Tensor:
            y = weights[f"{name}.weight"] @ x
            return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y

        def row(arm: int, level: int) -> Tensor:
            found = self.features(left, arm, int(state[arm]), level)
            return torch.tensor(found, dtype=weights["row.weight"].dtype)

        pooled: Tensor | float = 0.0
        for arm in range(model.arms):
            encoded = linear("encode", row(arm, model.levels - 1)).clamp(min=0)
            pooled = pooled + sizes[arm] / sum(sizes) * encoded
        assert isinstance(pooled, Tensor)
        if model.effect is None:
            pairs = zip(sizes, self.tables.price[left], strict=True)
            limit = sum(size * price for size, price in pairs) / sum(sizes) / scale
        else:
            limit = self.actions.most / (sum(sizes) / scale)
        context = linear("context", torch.cat([pooled, pooled.new_tensor([limit])]))
        total = pooled.new_tensor(self.tables.offset(start, left))
        begun = self.tables.start(start, left)
        level = model.level(action)
        layers = sorted({name.split(".")[1] for name in weights if name.startswith("tail")})
        for arm in range(model.arms):
            x = linear("row", row(arm, int(level[arm]))) + context
            for layer in layers:
                x = linear(f"tail.{layer}", x.clamp(min=0))
            total = total + begun[arm, int(state[arm]), int(level[arm])] + sizes[arm] * x[0]
        return total
