"""Action values of groups of arms that the same interventions reach.

With c_g interventions on group g and s_g the joint state of its arms,

    Q_n(s, a) = sum_g table_g[n, s_g, c_g(a)]

where the tables come from one backward recursion per group at the prices of the joint bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints
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


def main_effects(table: GroupTable, values: Floats, dynamics: ArmDynamics) -> list[Floats]:
    """The part of a group's values that is a sum over its arms: main effects, joint states weighed
    equally.

    Args:
        table: of the group.
        values: (steps, states of the arms one after the other, interventions) of the table.
        dynamics: of the arms, with effects.

    Returns:
        For each arm of the group (steps, states, levels).
    """
    effect, strengths = dynamics.effect, dynamics.strengths
    assert effect is not None and strengths is not None
    axes, effects = range(1, values.ndim - 1), []
    mean = values.mean(axis=tuple(axes))[:, None]  # (steps, 1, interventions)
    for axis, arm in zip(axes, table.arms, strict=True):
        own = values.mean(axis=tuple(other for other in axes if other != axis))
        own = own - mean + mean / len(table.arms)
        count = np.rint(strengths[arm] / effect[arm].max()).astype(int)
        effects.append(own[:, :, count])
    return effects


def separable_levels(tables: Sequence[GroupTable], dynamics: ArmDynamics, rest: Floats) -> Floats:
    """Group values as a sum over arms, (steps, arms, states, levels).

    Args:
        tables: of all groups.
        dynamics: of the arms.
        rest: of that shape, values of the arms that have no group.
    """
    levels = rest.copy()
    for table in tables:
        effects = main_effects(table, table.values, dynamics)
        for arm, own in zip(table.arms, effects, strict=True):
            levels[:, arm] = own
    return levels


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
