"""Rows of the fluid program: arms that move, and their coupling to the action. Its value tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.environment import ArmDynamics, Floats
from worldplan.milp.program import Indices, Program
from worldplan.milp.sets.base import ActionSet, Budget


@dataclass(frozen=True)
class ValueTables:
    """Separable upper bound of the fluid value V_n with n steps to go.

    V_n(s) <= constant[n] + sum_j table[n, j, s_j]. The tables are the dual prices of the flow rows
    of one solve (weak duality); the bound is tight along the trajectory of that solve.

    Args:
        table: (horizon + 1, arms, states), zero for n = 0.
        constant: (horizon + 1,), zero for n = 0.
    """

    table: Floats
    constant: Floats


def transition_matrix(model: ArmDynamics) -> sparse.csr_array:
    """Maps probabilities of (arm, state, level) to those of (arm, next state)."""
    arms, levels, states = model.arms, model.levels, model.states
    arm, state, level, after = np.meshgrid(
        np.arange(arms), np.arange(states), np.arange(levels), np.arange(states), indexing="ij"
    )
    value = model.transition[arm, level, state, after]
    keep = value != 0
    row = (arm * states + after)[keep]
    column = ((arm * states + state) * levels + level)[keep]
    return sparse.csr_array(
        (value[keep], (row, column)), shape=(arms * states, arms * states * levels)
    )


def couple(
    program: Program,
    model: ArmDynamics,
    actions: ActionSet,
    x: Indices,
    action: Indices,
    *,
    integral: bool,
) -> Indices:
    """Couple the probabilities of each arm's levels to the (expected) action; the rows' numbers.

    With two levels the action determines them. With more, y_gk is the probability of level k of the
    arms in group g, those that the same interventions reach; if the action is integral, y is too.
    """
    arms, levels, states = model.arms, model.levels, model.states
    x = x.reshape(arms, states, levels)
    if model.effect is None or model.strengths is None:
        pulled = sparse.kron(sparse.identity(arms), np.ones((1, states)))
        return program.add_rows(
            (x[:, :, 1].ravel(), pulled), (action, -sparse.identity(arms)), lower=0.0, upper=0.0
        ).index
    _, first, group = np.unique(
        np.hstack([model.effect, model.strengths]), axis=0, return_index=True, return_inverse=True
    )
    group, rows, strengths = group.ravel(), model.effect[first], model.strengths[first]
    used = np.diff(strengths, axis=1, prepend=-np.inf) > 1e-9  # padding repeats the last strength
    y = program.add_columns(len(rows) * levels, 0.0, used.ravel(), integer=integral).reshape(
        len(rows), levels
    )
    # sums the states of each (arm, level)
    spread = sparse.kron(
        sparse.identity(arms), sparse.kron(np.ones((1, states)), sparse.identity(levels))
    )
    share = sparse.csr_array(
        (
            np.ones(arms * levels),
            (np.arange(arms * levels), (group[:, None] * levels + np.arange(levels)).ravel()),
        )
    )
    share.resize(arms * levels, len(rows) * levels)
    program.add_rows((x.ravel(), spread), (y.ravel(), -share), lower=0.0, upper=0.0)
    strength = np.zeros((len(rows), len(rows) * levels))
    place = np.arange(len(rows) * levels).reshape(len(rows), levels)
    for number in range(len(rows)):
        strength[number, place[number]] = strengths[number]
    coupling = program.add_rows(
        (y.ravel(), sparse.csr_array(strength)), (action, -rows), lower=0.0, upper=0.0
    )
    program.add_rows(
        (y.ravel(), sparse.kron(sparse.identity(len(rows)), np.ones((1, levels)))),
        lower=1.0,
        upper=1.0,
    )
    _count_cuts(program, model, actions, rows, y)
    return coupling.index


def _count_cuts(
    program: Program, model: ArmDynamics, actions: ActionSet, rows: Floats, y: Indices
) -> None:
    """Rounding cuts: with c_g interventions in each of several disjoint groups g,

    sum_g floor(c_g / d) <= floor(budget / d) for every divisor d.
    """
    counts = (rows > 0).sum(1)
    uniform = all(len(set(row[row > 0])) <= 1 for row in rows)
    if not isinstance(actions, Budget) or not uniform or ((rows > 0).sum(0) > 1).any():
        return
    levels = y.shape[1]
    for divisor in range(2, int(counts.max()) + 1):
        per_level = np.minimum(np.arange(levels)[None], counts[:, None]) // divisor
        program.add_rows(
            (y.ravel(), per_level.ravel()[None].astype(float)), upper=actions.budget // divisor
        )
