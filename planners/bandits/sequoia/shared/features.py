"""Features of an arm in a state at a level: numbers that mean the same for every client.

None depends on the unit of the rewards, on a constant in them, on the order of the arms, or on what
arms earn that no action changes: all are differences of values, in units of the mean gain

    scale_n = sum_j size_nj^2 / sum_j size_nj
    size_nj = largest gain of an intervention on arm j, over its states and levels, without limits

with n steps to go. An arm that no action changes has size 0. It neither counts in the scale nor in
the context.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.bandits.environment import Floats
from worldplan.planners.bandits.sequoia.shared.arm_values import ArmValues

COMMON = (
    "strength", "one step", "prices", "no limit", "after", "wait", "position", "last step",
    "steps", "size",
)  # fmt: skip
FEATURES = {"pulls": (*COMMON, "index", "price"), "levels": (*COMMON, "group")}
CONTEXT = {"pulls": ("mean price",), "levels": ("limit",)}


@dataclass(frozen=True)
class FeatureRows:
    """The features with a number of steps to go.

    Args:
        rows: (arms, states, levels, features).
        size: (arms,) largest gain of an intervention on the arm.
        context: (contexts,) of the whole programme.
    """

    rows: Floats
    size: Floats
    context: Floats


@dataclass(frozen=True)
class StackedRows:
    """The features with 0, 1, ... steps to go: as `FeatureRows`, with a first axis for them."""

    rows: Tensor
    size: Tensor
    context: Tensor


class ArmFeatures:
    """Features of all arms of a programme.

    Args:
        tables: of the arms.
    """

    def __init__(self, tables: ArmValues) -> None:
        self.tables, self._names = tables, FEATURES[tables.kind]
        self._known: dict[int, FeatureRows] = {}

    @staticmethod
    def names_of(kind: str) -> tuple[str, ...]:
        """Names of the features of arms of a kind, and those of the programme."""
        return FEATURES[kind] + CONTEXT[kind]

    def __deepcopy__(self, memo: dict[int, Any]) -> ArmFeatures:
        return self  # it does not change

    def at(self, left: int) -> FeatureRows:
        """The features with `left` steps to go; zeros with none."""
        if left not in self._known:
            self._known[left] = self._rows(left)
        return self._known[left]

    @cached_property
    def stacked(self) -> StackedRows:
        """The features for every number of steps to go."""
        every = [self.at(left) for left in range(self.tables.instance.horizon + 1)]
        rows, size, context = (
            torch.as_tensor(np.stack([getattr(each, name) for each in every]), dtype=torch.float32)
            for name in ("rows", "size", "context")
        )
        return StackedRows(rows, size, context)

    def base(self, start: str) -> tuple[Tensor, Tensor]:
        """The values of a start for every number of steps to go.

        Returns:
            (horizon + 1, arms, states, levels), and what is added to their sum, (horizon + 1,).
        """
        every = range(self.tables.instance.horizon + 1)
        values = np.stack([self.tables.start(start, left) for left in every])
        offset = [self.tables.offset(start, left) for left in every]
        return torch.as_tensor(values, dtype=torch.float32), torch.tensor(offset)

    def _rows(self, left: int) -> FeatureRows:
        tables = self.tables
        shape = tables.now.shape
        if left == 0:
            nothing = np.zeros((*shape, len(self._names)))
            return FeatureRows(nothing, np.zeros(shape[0]), np.zeros(1))
        size = self._size(left)
        total = size.sum()
        scale = float((size**2).sum() / total) if total > 0 else 1.0
        values = self._values(left)
        given = {name: value / scale for name, value in values.items()}
        given["size"] = size[:, None, None] / scale
        given["strength"] = tables.share[:, None, :]
        given["last step"] = np.full((1, 1, 1), 1.0 / left)
        given["steps"] = np.full((1, 1, 1), np.log(left) / np.log(20.0))
        rows = np.stack([np.broadcast_to(given[name], shape) for name in self._names], axis=-1)
        return FeatureRows(rows, size, self._context(left, size))

    def _context(self, left: int, size: Floats) -> Floats:
        """How scarce interventions are, (1,): their mean price, weighed by size, in units of the
        gains; for several levels, the most interventions for each arm, were all of one size.
        """
        total, square = size.sum(), (size**2).sum()
        if total == 0:
            return np.zeros(1)
        if self.tables.kind == "pulls":
            return np.array([self.tables.price[left] @ size / square])
        return np.array([self.tables.instance.actions.most * square / total**2])

    def _size(self, left: int) -> Floats:
        gain = self._gain(self.tables.free(left))
        size: Floats = np.abs(gain).max((1, 2))
        return np.where(self.tables.reached, size, 0.0)

    def _gain(self, values: Floats) -> Floats:
        """Values (arms, states, levels) beyond those without interventions."""
        return values - self.tables.passive(values)[..., None]

    def _values(self, left: int) -> dict[str, Floats]:
        """The features that have the unit of a value, each as (arms, states, levels) or less."""
        tables = self.tables
        priced = tables.priced(left)
        gain = self._gain(priced)
        # the gain at the strongest level in the next step, after each level now
        later = self._gain(tables.priced(left - 1))[..., -1] if left > 1 else 0.0 * gain[..., 0]
        after = tables.expected(later)
        value, there = tables.passive(priced), tables.instance.dynamics.uniform
        values = {
            "one step": self._gain(tables.now),
            "prices": gain,
            "no limit": self._gain(tables.free(left)),
            "after": after,
            "wait": tables.passive(after)[..., None],
            "position": (value - (value * there).sum(1, keepdims=True))[..., None],
        }
        if tables.kind == "pulls":
            values["index"] = tables.indices(left)[..., None] * tables.share[:, None, :]
            values["price"] = tables.price[left][:, None, None] * tables.share[:, None, :]
        else:
            name = "joint" if tables.groups else "prices"
            values["group"] = self._gain(tables.start(name, left))
        return values
