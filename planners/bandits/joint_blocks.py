"""Arms that the same interventions reach, as chains over their joint states."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from worldplan.envs.bandits.ends import counting
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats, Ints
from worldplan.milp.sets.base import ActionSet, Budget
from worldplan.planners.bandits.units import of_counting


class Group:
    """Arms that the same interventions reach, as one chain.

    Args:
        model: of all arms.
        arms: of the group.
        interventions: how many reach it.
        late: (all arms,) steps to the end of the episode when each arm has ended; None: all are 0.
    """

    def __init__(
        self, model: ArmDynamics, arms: Ints, interventions: int, late: Ints | None = None
    ) -> None:
        assert model.effect is not None and model.strengths is not None
        self.arms, self.counts = arms, np.arange(interventions + 1)
        weight = model.effect[arms[0]].max()
        apart = np.abs(model.strengths[arms[0]][None] - weight * self.counts[:, None])
        level = apart.argmin(1)
        kernels = [np.ones((1, 1)) for _ in self.counts]
        for arm in arms:
            kernels = [
                np.kron(k, model.transition[arm, x]) for k, x in zip(kernels, level, strict=True)
            ]
        self.states, self.kernels = len(kernels[0]), kernels
        self._rewards = model.one_step()[arms[:, None], level]  # (arms, interventions, states)
        self._late = None if late is None else late[arms]
        self._earned: dict[bytes, list[Floats]] = {}  # by the arms that count

    def earned(self, left: int) -> list[Floats]:
        """Rewards by number of interventions, (states,) each, with `left` steps to go."""
        rewards = of_counting(self._rewards, self._late, left)
        counted = counting(self._late, left)
        key = b"" if counted is None else counted.tobytes()
        if key not in self._earned:
            total = [np.zeros(1) for _ in self.counts]
            for arm in rewards:
                total = [np.add.outer(r, now).ravel() for r, now in zip(total, arm, strict=True)]
            self._earned[key] = total
        return self._earned[key]

    def start(self, start: Floats) -> Floats:
        """Joint distribution (states,) of first states with the distribution (arms, states)."""
        joint = np.ones(1)
        for arm in self.arms:
            joint = np.outer(joint, start[arm]).ravel()
        return joint


class Block:
    """Groups as one chain over their joint states; a choice is a number for each group.

    Args:
        groups: of the block.
        allowed: the total numbers of interventions that the budget leaves to the block.
    """

    def __init__(self, groups: list[Group], allowed: range) -> None:
        self.groups = groups
        choices = itertools.product(*(group.counts.tolist() for group in groups))
        self.choices = [choice for choice in choices if sum(choice) in allowed]
        self.totals = sorted({sum(choice) for choice in self.choices})
        self.shape = tuple(group.states for group in groups)
        self.place = np.array([self.totals.index(sum(choice)) for choice in self.choices])

    def values(self, prices: Floats, discount: float) -> tuple[list[Floats], list[Ints]]:
        """Backward recursion at `prices` (steps, totals), each in the value of its step.

        Returns:
            Value (*shape) with 0, 1, ... steps to go, and the best choices (*shape) of each step.
        """
        values, best = [np.zeros(self.shape)], []
        for left, price in enumerate(prices[::-1], start=1):
            value = np.full(self.shape, -np.inf)
            choice = np.zeros(self.shape, np.int64)
            for number, worth in enumerate(self._worth(discount * values[-1], left)):
                worth = worth - price[self.place[number]]
                better = worth > value
                choice[better] = number
                np.maximum(value, worth, out=value)
            values.append(value)
            best.append(choice)
        return values, best[::-1]

    def _worth(self, value: Floats, left: int) -> list[Floats]:
        """Reward with `left` steps to go and later value (*shape) of each choice."""
        known: dict[tuple[int, ...], Floats] = {(): value}
        worth = []
        for choice in self.choices:
            for axis in range(len(choice)):
                if choice[: axis + 1] not in known:
                    kernel = self.groups[axis].kernels[choice[axis]]
                    known[choice[: axis + 1]] = _along(kernel, known[choice[:axis]], axis)
            total = known[choice]
            for axis, (group, number) in enumerate(zip(self.groups, choice, strict=True)):
                total = total + _as_axis(group.earned(left)[number], axis, len(choice))
            worth.append(total)
        return worth

    def follow(self, best: list[Ints], start: Floats) -> Floats:
        """Probability (steps, totals) of each total under the choices, from `start` (*shape)."""
        shares, mass = np.zeros((len(best), len(self.totals))), start
        for step, chosen in enumerate(best):
            after = np.zeros(self.shape)
            for number in np.unique(chosen):
                moved = np.where(chosen == number, mass, 0.0)
                shares[step, self.place[number]] += moved.sum()
                for axis, group in enumerate(self.groups):
                    moved = _along(group.kernels[self.choices[number][axis]].T, moved, axis)
                after += moved
            mass = after
        return shares

    def start(self, start: Floats) -> Floats:
        """Joint distribution (*shape)."""
        joint = np.ones(())
        for group in self.groups:
            joint = np.multiply.outer(joint, group.start(start))
        return joint


def _along(matrix: Floats, tensor: Floats, axis: int) -> Floats:
    """The matrix applied to one axis of the tensor."""
    return np.moveaxis(np.tensordot(matrix, tensor, axes=(1, axis)), 0, axis)


def _as_axis(vector: Floats, axis: int, axes: int) -> Floats:
    return vector.reshape([-1 if place == axis else 1 for place in range(axes)])


@dataclass(frozen=True)
class Structure:
    """Groups of arms with interventions of their own.

    Args:
        groups: pairs of arms and the number of their interventions.
        idle: arms that nothing reaches.
        spare: interventions that reach no arm.
    """

    groups: list[tuple[Ints, int]]
    idle: Ints
    spare: int


def structure_of(instance: BanditInstance) -> Structure | None:
    """The groups of an instance, or None if the joint bound does not suit it.

    It needs a plain budget of interventions, each of which reaches the arms of one group only, with
    the same effect as the others of the group, and strengths that list every sum.
    """
    model = instance.dynamics
    if type(instance.actions) is not Budget or model.effect is None or model.strengths is None:
        return None
    reaches = model.effect != 0
    sizes = reaches.sum(1)
    weight = model.effect.max(1)
    if (model.effect < 0).any() or (reaches * weight[:, None] != model.effect).any():
        return None
    for arm in np.flatnonzero(sizes):
        sums = weight[arm] * np.arange(sizes[arm] + 1)
        if np.abs(model.strengths[arm][None] - sums[:, None]).min(1).max() > 1e-9 * weight[arm]:
            return None
    supports, member = np.unique(reaches, axis=0, return_inverse=True)
    if (supports.sum(0) > 1).any():
        return None
    member = member.ravel()
    groups = [
        (np.flatnonzero(member == number), int(support.sum()))
        for number, support in enumerate(supports)
        if support.any()
    ]
    spare = int((~reaches.any(0)).sum())
    return Structure(groups, np.flatnonzero(sizes == 0), spare) if groups else None


def joined_prices(prices: list[Floats], groups: list[Block], blocks: list[Block]) -> list[Floats]:
    """Prices of blocks at which the bound is no larger than at the prices of their groups.

    A total costs as much as its most expensive division among the groups.
    """
    known, result = iter(zip(groups, prices, strict=True)), []
    for block in blocks:
        own = [next(known) for _ in block.groups]
        joined = np.full((len(prices[0]), len(block.totals)), -np.inf)
        for choice, place in zip(block.choices, block.place, strict=True):
            cost = sum(
                price[:, group.totals.index(number)]
                for (group, price), number in zip(own, choice, strict=True)
            )
            joined[:, place] = np.maximum(joined[:, place], cost)
        result.append(joined)
    return result


def joint_blocks(
    model: ArmDynamics,
    structure: Structure,
    actions: ActionSet,
    states: int,
    late: Ints | None = None,
) -> list[Block]:
    """The groups, joined in order while their joint states are few enough."""
    parts: list[list[Group]] = []
    size = 0
    for arms, interventions in structure.groups:
        group = Group(model, arms, interventions, late)
        if parts and size * group.states <= states:
            parts[-1].append(group)
            size *= group.states
        else:
            parts.append([group])
            size = group.states
    everything = sum(count for _, count in structure.groups) + structure.spare
    blocks = []
    for part in parts:
        most = sum(group.counts[-1] for group in part)
        least = max(0, actions.least - (everything - most))
        blocks.append(Block(part, range(least, min(most, actions.most) + 1)))
    return blocks
