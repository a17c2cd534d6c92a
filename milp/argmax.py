"""The best feasible action of one ReLU network, or of the minimum over an ensemble, with a proven bound.

The model is built once for a set and a network shape; a new state rewrites the first layer, the bounds and the
objective only. The answer's value is recomputed by the network itself and must agree with the solver's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from milp.actions import Action, ActionSet
from milp.bounds import Bounds, neuron_bounds, output_bound
from milp.errors import SolverFailed
from milp.program import Floats, Program
from milp.relu import Embedding, ReluNetwork, check_same_shape, embed, tighten
from milp.search import greedy_start, local_search, value
from milp.solvers import Session, Solution, SolverSettings, open_session, relative_gap


@dataclass(frozen=True, slots=True)
class Argmax:
    """The action found, its value by the network, the proven upper bound on every feasible action, and the status."""

    action: Action
    value: float
    bound: float
    status: str
    seconds: float

    @property
    def gap(self) -> float:
        """Proven relative gap."""
        return relative_gap(self.value, self.bound)


class NetworkArgmax:
    """Maximise `min_m q_m(a)` over a feasible set, again and again for networks of one shape.

    Args:
        networks: one network, or an ensemble whose minimum is maximised. Later calls may change the first layer,
            the biases and the skip; the hidden weights must stay (build anew after a training step).
        actions: the feasible set.
        settings: solver, gap, time limit.
        bounds: "interval", "linear" or "optimised" (see `milp.bounds`).
    """

    def __init__(
        self, networks: ReluNetwork | Sequence[ReluNetwork], actions: ActionSet, settings: SolverSettings | None = None, *, bounds: str = "linear"
    ) -> None:
        self.networks = [networks] if isinstance(networks, ReluNetwork) else list(networks)
        self.actions, self.settings, self.method = actions, settings or SolverSettings(), bounds
        check_same_shape(self.networks, actions.size)
        self._session: Session | None = None
        self._build()

    def _build(self) -> None:
        program = Program()
        self._a = program.add_columns(self.actions.size, 0.0, 1.0, integer=True)
        before = program.columns
        self.actions.add_constraints(program, self._a)
        self._aux = np.arange(before, program.columns)
        self._blocks: list[Embedding] = [embed(program, network, self._a) for network in self.networks]
        self._floor = None
        if len(self.networks) > 1:
            self._floor = program.add_columns(1, -np.inf, np.inf, cost=1.0)
            self._floor_rows = [self._below(program, network, block) for network, block in zip(self.networks, self._blocks, strict=True)]
        self._program = program

    def _below(self, program: Program, network: ReluNetwork, block: Embedding):  # noqa: ANN202
        """floor <= w y + skip a + b."""
        columns, weights = block.output
        assert self._floor is not None
        skip = np.zeros(self.actions.size) if network.skip is None else network.skip
        return program.add_rows((self._a, -skip[None]), (columns, -weights[None]), (self._floor, np.ones((1, 1))), upper=network.biases[-1])

    def maximise(self, networks: ReluNetwork | Sequence[ReluNetwork] | None = None, start: Action | None = None) -> Argmax:
        """Solve for the given numbers (those of the last call when None), from `start` if it is feasible.

        After the time limit the best action found is returned with status "time_limit" and its proven gap.
        Raises SolverFailed when the solver's value and the network's disagree by more than 1e-5.
        """
        began = time.perf_counter()
        if networks is not None:
            self.networks = [networks] if isinstance(networks, ReluNetwork) else list(networks)
        starts = [greedy_start(self.networks, self.actions), self.actions.default()]
        if start is not None and self.actions.contains(start):
            starts.append(start)
        action, found = local_search(self.networks, self.actions, starts)
        bounds = [neuron_bounds(network, self.actions, self.method) for network in self.networks]
        simple = min(output_bound(network, self.actions, b) for network, b in zip(self.networks, bounds, strict=True))
        if relative_gap(found, simple) <= self.settings.gap:
            return self._answer(action, found, simple, "within_gap", began)
        solution = self._solve(bounds, action)
        return self._read(solution, action, found, simple, began)

    def _solve(self, bounds: list[Bounds], action: Action) -> Solution:
        if self._session is None:
            self._session = open_session(self._program, self.settings)
        session = self._session
        for network, block, layer_bounds in zip(self.networks, self._blocks, bounds, strict=True):
            first = block.layers[0]
            session.set_values(first.dense.slots[: network.weights[0].size], -network.weights[0].ravel())
            for layer, bias, (lower, upper) in zip(block.layers, network.biases[:-1], layer_bounds, strict=True):
                session.set_row_bounds(layer.dense.index, bias, bias)
                tighten(session, layer, lower, upper)
        self._set_objective(session)
        return session.solve(self._point(action))

    def _set_objective(self, session: Session) -> None:
        if self._floor is not None:
            for network, rows in zip(self.networks, self._floor_rows, strict=True):
                session.set_row_bounds(rows.index, -np.inf, network.biases[-1])
                if network.skip is not None:
                    session.set_values(rows.slots[: self.actions.size], -network.skip)
            return
        network, block = self.networks[0], self._blocks[0]
        columns, weights = block.output
        session.set_cost(columns, weights, float(network.biases[-1][0]))
        if network.skip is not None:
            session.set_cost(self._a, network.skip)

    def _point(self, action: Action) -> Floats | None:
        """The whole column vector that `action` stands for: a start the solver need not complete."""
        aux = self.actions.witness(action)
        if aux is None:
            return None
        x = np.zeros(self._program.columns)
        x[self._a], x[self._aux] = action, aux
        for network, block in zip(self.networks, self._blocks, strict=True):
            block.point(network, action, x)
        if self._floor is not None:
            x[self._floor] = value(self.networks, action[None].astype(float))
        return x

    def _read(self, solution: Solution, action: Action, found: float, simple: float, began: float) -> Argmax:
        if solution.x is not None:
            solved = np.rint(solution.x[self._a]).astype(np.int8)
            true = float(value(self.networks, solved[None].astype(float))[0])
            if abs(true - solution.value) > 1e-5 * max(1.0, abs(true)):
                raise SolverFailed(f"the solver values its action at {solution.value:.8g}, the network at {true:.8g}: report this case, or try another solver")
            if true >= found:
                action, found = solved, true
        bound = max(min(solution.bound, simple), found)
        return self._answer(action, found, bound, solution.status, began)

    def _answer(self, action: Action, found: float, bound: float, status: str, began: float) -> Argmax:
        if status != "time_limit":
            status = "optimal" if relative_gap(found, bound) <= 1e-6 else "within_gap"
        return Argmax(action, found, bound, status, time.perf_counter() - began)
