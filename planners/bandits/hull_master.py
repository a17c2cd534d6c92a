"""Master program of the hull bound: the fluid program over mixtures of known actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints
from worldplan.milp.program import Indices, Program
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.fluid import FluidProgram


class _Mixture(ActionSet):
    """Mixtures of up to `room` actions, whose coefficients are set later."""

    def __init__(self, size: int, room: int) -> None:
        self.size, self.room = size, room
        self.most, self.selectable = size, np.ones(size, bool)
        self.slots: list[Indices] = []  # of the actions' coefficients, step by step

    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        share = program.add_columns(self.room)
        rows = program.add_rows(
            (action, -sparse.identity(self.size)),
            (share, np.zeros((self.size, self.room))),
            lower=0,
            upper=0,
        )
        program.add_rows((share, np.ones((1, self.room))), lower=1.0, upper=1.0)
        self.slots.append(rows.slots[self.size :])

    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        return None  # it is only a part of a relaxed program

    def explain(self, action: Action) -> list[dict[str, Any]]:
        return []


class Pool:
    """Distinct feasible actions."""

    def __init__(self, actions: Sequence[Action]) -> None:
        self.actions = list(actions)
        self._known = {action.tobytes() for action in actions}

    def add(self, action: Action) -> bool:
        """Add an action (size,); False if it is known already."""
        if action.tobytes() in self._known:
            return False
        self._known.add(action.tobytes())
        self.actions.append(action)
        return True


class Master:
    """The fluid program over mixtures of the actions of a pool."""

    def __init__(
        self,
        model: ArmDynamics,
        steps: int,
        size: int,
        room: int,
        settings: SolverSettings,
        late: Ints | None = None,
        discount: float = 1.0,
    ) -> None:
        self.room = room
        self._mixture = _Mixture(size, room)
        self._program = FluidProgram(
            [model], self._mixture, steps, settings, discount=discount, late=late
        )

    def solve(
        self, pool: Pool, start: Floats, left: int, basis: Any
    ) -> tuple[float, Floats, Any] | None:
        """The optimum, the prices (left, arms), discounted to the first step, and the final basis;
        None after the time limit.
        """
        program = self._program
        table = np.stack(pool.actions, axis=1).astype(float)
        unused = np.repeat(table[:, :1], self.room - table.shape[1], axis=1)
        values = np.hstack([table, unused]).ravel()
        with program.session.lock:
            slots = self._mixture.slots
            program.session.set_values(np.concatenate(slots), np.tile(values, len(slots)))
            solution = program.solve(start, left, basis=basis)
            if solution.x is None:
                return None
            return solution.value, program.pull_prices(solution)[:left], program.session.basis()
