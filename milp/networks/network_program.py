"""Networks over a feasible set as one program, loaded once and solved for many networks.

    maximise  min_m q_m(a)   over the actions a of the set

The columns are the action, the set's auxiliary columns, those of each network (see `relu`) and,
with several networks, the floor with floor <= q_m(a).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldplan.milp.networks.bounds import Bounds
from worldplan.milp.networks.local_search import value
from worldplan.milp.networks.relu import Embedding, ReluNetwork, embed, tighten
from worldplan.milp.program import Floats, Indices, Program, Rows
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.solvers import SolverSettings, open_session


class NetworkProgram:
    """The program of networks of one shape over one set.

    Args:
        networks: of the shape; `load` sets their numbers.
        actions: the set.
        settings: the solver.
        relaxed: the linear relaxation, of the set and of the networks.

    Attributes:
        session: holds the program.
        action: (size,) columns of the action.
        own: columns of the networks and of the floor.
        first_row: the first row that is none of the set's.
    """

    def __init__(
        self,
        networks: Sequence[ReluNetwork],
        actions: ActionSet,
        settings: SolverSettings,
        *,
        relaxed: bool = False,
    ) -> None:
        self._actions = actions
        program = Program()
        self.action = program.add_columns(actions.size, 0.0, 1.0, integer=not relaxed)
        actions.add_constraints(program, self.action, relaxed=relaxed)
        self._aux = np.arange(actions.size, program.columns)
        self.first_row = program.rows
        self._blocks: list[Embedding] = [
            embed(program, network, self.action, relaxed=relaxed) for network in networks
        ]
        self.floor: Indices | None = None
        self.floor_rows: list[Rows] = []
        if len(networks) > 1:
            self.floor = program.add_columns(1, -np.inf, np.inf, cost=1.0)
            self.floor_rows = [self._below(program, block, self.floor) for block in self._blocks]
        self.own = np.arange(actions.size + len(self._aux), program.columns)
        self.session = open_session(program, settings)

    def _below(self, program: Program, block: Embedding, floor: Indices) -> Rows:
        """The row floor <= w y + skip a + b; `load` sets skip and b."""
        columns, weights = block.output
        return program.add_rows(
            (self.action, np.zeros((1, len(self.action)))),
            (columns, -weights[None]),
            (floor, np.ones((1, 1))),
            upper=0.0,
        )

    def load(self, networks: Sequence[ReluNetwork], bounds: Sequence[Bounds]) -> None:
        """Set the numbers of the networks, and their neurons' bounds."""
        session = self.session
        for network, block, layer_bounds in zip(networks, self._blocks, bounds, strict=True):
            first = block.layers[0]
            session.set_values(
                first.dense.slots[: network.weights[0].size], -network.weights[0].ravel()
            )
            for layer, bias, (lower, upper) in zip(
                block.layers, network.biases[:-1], layer_bounds, strict=True
            ):
                session.set_row_bounds(layer.dense.index, bias, bias)
                tighten(session, layer, lower, upper)
        if self.floor is None:
            columns, weights = self._blocks[0].output
            session.set_cost(columns, weights, float(networks[0].biases[-1][0]))
            session.set_cost(self.action, self._skip(networks[0]))
            return
        for network, rows in zip(networks, self.floor_rows, strict=True):
            session.set_row_bounds(rows.index, -np.inf, network.biases[-1])
            session.set_values(rows.slots[: len(self.action)], -self._skip(network))

    def _skip(self, network: ReluNetwork) -> Floats:
        return np.zeros(len(self.action)) if network.skip is None else network.skip

    def point(self, networks: Sequence[ReluNetwork], action: Action) -> Floats | None:
        """The complete point (columns,) of `action`; None where the set has no witness for it."""
        auxiliary = self._actions.witness(action)
        if auxiliary is None:
            return None
        x = np.zeros(len(self.session.matrices.cost))
        x[self.action], x[self._aux] = action, auxiliary
        for network, block in zip(networks, self._blocks, strict=True):
            block.point(network, action, x)
        if self.floor is not None:
            x[self.floor] = value(networks, action[None])
        return x

    def plane(self, row_dual: Floats) -> tuple[Floats, float] | None:
        """A linear function above the least of the networks, from dual values of the relaxation.

        By weak duality it is above them for any dual values, up to rounding: the rows and columns
        of the networks are maximised out, those of the set stay. At the maximiser of the
        relaxation it equals the relaxation's optimum.

        Args:
            row_dual: (rows,) of the loaded numbers.

        Returns:
            Weights (size,) and a constant; None where the dual values give no finite function.
        """
        m = self.session.matrices
        dual = row_dual.copy()
        dual[: self.first_row] = 0.0
        if self.floor is not None:  # free, so its rows' dual values have a sum of 1
            rows = np.concatenate([rows.index for rows in self.floor_rows])
            dual[rows] = np.maximum(dual[rows], 0.0)
            total = float(dual[rows].sum())
            if total <= 0:
                return None
            dual /= total
        side = np.where(dual > 0, m.row_upper, m.row_lower)
        dual[~np.isfinite(side)] = 0.0
        used = dual != 0
        constant = m.offset + float((dual[used] * side[used]).sum())
        reduced = m.cost - m.table().T @ dual
        own = self.own if self.floor is None else self.own[:-1]
        own = own[reduced[own] != 0]
        ends = np.where(reduced[own] > 0, m.upper[own], m.lower[own])
        if not np.isfinite(ends).all():
            return None
        return reduced[self.action], constant + float((reduced[own] * ends).sum())

    def reduced_costs(self, row_dual: Floats) -> Floats:
        """What one unit of each component changes, at the relaxation's dual values, (size,)."""
        m = self.session.matrices
        reduced: Floats = m.cost - m.table().T @ row_dual
        return reduced[self.action]
