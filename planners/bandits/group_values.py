"""Action values of groups of arms that the same interventions reach.

With c_g interventions on group g and s_g the joint state of its arms,

    Q_n(s, a) = sum_g table_g[n, s_g, c_g(a)]

where the tables come from one backward recursion per group at the prices of the joint bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldplan.envs.bandits.environment import Floats, Ints
from worldplan.planners.bandits.joint_blocks import Block


@dataclass(frozen=True)
class GroupTable:
    """Action values of one group.

    Args:
        arms: of the group.
        values: (horizon + 1, states of the arms one after the other, interventions) by steps to go,
            zero at the end; the last numbers of interventions that the budget does not allow repeat
            the one before.
    """

    arms: Ints
    values: Floats


def separable(tables: Sequence[GroupTable], shape: tuple[int, int, int]) -> tuple[Floats, Floats]:
    """The part of group values that is a sum over arms: main effects, joint states weighed equally.

    Args:
        tables: of all groups.
        shape: (horizon + 1, arms, states).

    Returns:
        The value without interventions and the gain of the most interventions, each of that shape;
        arms that nothing reaches have zeros.
    """
    base, gain = np.zeros(shape), np.zeros(shape)
    for table in tables:
        none, most = table.values[..., 0], table.values[..., -1]
        for into, joint in ((base, none), (gain, most - none)):
            mean = joint.mean(axis=tuple(range(1, joint.ndim)), keepdims=True)
            for axis, arm in enumerate(table.arms, start=1):
                others = tuple(x for x in range(1, joint.ndim) if x != axis)
                effect = joint.mean(axis=others, keepdims=True) - mean + mean / len(table.arms)
                into[:, arm] = effect.reshape(len(joint), -1)
    return base, gain


def group_table(block: Block, prices: Floats, discount: float) -> GroupTable:
    """The table of a block of a single group.

    Args:
        block: one group.
        prices: (steps, totals) of the block.
        discount: per step.
    """
    (group,) = block.groups
    later = block.values(prices, discount)[0]  # with 0, 1, ... steps to go
    most = max(total for total in block.totals)
    table = np.zeros((len(later), group.states, len(group.counts)))
    for left in range(1, len(later)):
        for count in group.counts:
            allowed = min(int(count), most)
            earned, kernel = group.earned(left)[allowed], group.kernels[allowed]
            table[left, :, count] = earned + discount * kernel @ later[left - 1]
    each = round(group.states ** (1 / len(group.arms)))
    return GroupTable(group.arms, table.reshape(len(later), *[each] * len(group.arms), -1))
