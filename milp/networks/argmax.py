"""The best feasible action of one ReLU network, or of the minimum over an ensemble, with a proven
bound.

The model is built once for a set and a network shape; a new state rewrites the first layer, the
bounds and the objective only. A decision costs as little as its proof: a swap search finds an
action, and a linear function above the network is maximised over the set's cardinality, then over
its linear relaxation; only if that bound is not within the gap is the whole mixed-integer program
solved. The answer's value is always the network's own, in double precision.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from worldplan.milp.errors import SolverFailed
from worldplan.milp.networks.bounds import Bounds, neuron_bounds, output_plane
from worldplan.milp.networks.local_search import greedy_start, local_search, value
from worldplan.milp.networks.relu import Embedding, ReluNetwork, check_same_shape, embed, tighten
from worldplan.milp.program import Floats, Indices, Program, Rows
from worldplan.milp.sets.base import Action, ActionSet, Budget
from worldplan.milp.sets.linear_problem import LinearProblem
from worldplan.milp.solvers import Session, Solution, SolverSettings, open_session, relative_gap

# relative; what a solver claims and what the network says may contradict each other by this much
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Argmax:
    """The action found, its value by the network, the proven upper bound on every feasible action,
    and the status.
    """

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
        networks: one network, or an ensemble whose minimum is maximised. A later call may change
            any number; a change of the hidden weights, of widths or of the number of networks (a
            training step) builds the model anew.
        actions: the feasible set.
        settings: solver, gap, time limit.
        bounds: "interval", "linear" or "optimised" (see `worldplan.milp.networks.bounds`).
    """

    def __init__(
        self,
        networks: ReluNetwork | Sequence[ReluNetwork],
        actions: ActionSet,
        settings: SolverSettings | None = None,
        *,
        bounds: str = "linear",
    ) -> None:
        self.actions, self.settings, self.method = actions, settings or SolverSettings(), bounds
        self._relaxation: LinearProblem | None = None
        self._build(_as_list(networks))

    def _build(self, networks: list[ReluNetwork]) -> None:
        check_same_shape(networks, self.actions.size)
        self.networks = networks
        self._session: Session | None = None
        program = Program()
        self._a = program.add_columns(self.actions.size, 0.0, 1.0, integer=True)
        before = program.columns
        self.actions.add_constraints(program, self._a)
        self._aux = np.arange(before, program.columns)
        self._blocks: list[Embedding] = [embed(program, network, self._a) for network in networks]
        self._floor: Indices | None = None
        self._floor_rows: list[Rows] = []
        if len(networks) > 1:
            self._floor = program.add_columns(1, -np.inf, np.inf, cost=1.0)
            self._floor_rows = [self._below(program, block, self._floor) for block in self._blocks]
        self._program = program

    def _below(self, program: Program, block: Embedding, floor: Indices) -> Rows:
        """floor <= w y + skip a + b; the skip's numbers and b are set before each solve."""
        columns, weights = block.output
        return program.add_rows(
            (self._a, np.zeros((1, self.actions.size))),
            (columns, -weights[None]),
            (floor, np.ones((1, 1))),
            upper=0.0,
        )

    def maximise(
        self,
        networks: ReluNetwork | Sequence[ReluNetwork] | None = None,
        start: Action | None = None,
    ) -> Argmax:
        """Solve for the given numbers (those of the last call when None), from `start` if it is
        feasible.

        After the time limit the best action found is returned with status "time_limit" and its
        proven gap. Raises SolverFailed when the solver's value or bound and the network's value
        contradict each other.
        """
        began = time.perf_counter()
        if networks is not None:
            self._take(_as_list(networks))
        bounds = [neuron_bounds(network, self.actions, self.method) for network in self.networks]
        planes = [
            output_plane(network, b) for network, b in zip(self.networks, bounds, strict=True)
        ]
        simple = min(
            _above(constant + float(self.actions.support(weights[None])[0]))
            for weights, constant in planes
        )
        starts = [greedy_start(self.networks, self.actions), self.actions.default()]
        if start is not None and self.actions.contains(start):
            starts.append(start)
        action, found = local_search(
            self.networks, self.actions, starts, enough=self._enough(simple)
        )
        if relative_gap(found, simple) <= self.settings.gap:
            return self._answer(action, found, simple, "within_gap", began)
        if not isinstance(
            self.actions, Budget
        ):  # its cardinality bound is already the relaxation's
            relaxed, starts = self._relax(planes)
            simple = min(simple, relaxed)
            better, at = local_search(
                self.networks, self.actions, [action, *starts], enough=self._enough(simple)
            )
            if at > found:
                action, found = better, at
            if relative_gap(found, simple) <= self.settings.gap:
                return self._answer(action, found, simple, "within_gap", began)
        solution = self._solve(bounds, action)
        return self._read(solution, action, found, simple, began)

    def _take(self, networks: list[ReluNetwork]) -> None:
        """Keep the model if only numbers changed that `_solve` rewrites."""
        if len(networks) == len(self.networks) and all(
            _same_model(new, old) for new, old in zip(networks, self.networks, strict=True)
        ):
            self.networks = networks
        else:
            self._build(networks)

    def _enough(self, bound: float) -> float:
        """A value within the gap of `bound`."""
        return bound - self.settings.gap / (1 + self.settings.gap) * abs(bound)

    def _relax(self, planes: list[tuple[Floats, float]]) -> tuple[float, list[Action]]:
        """The functions above the networks over the set's linear relaxation: the least maximum, and
        actions rounded from the maximisers.
        """
        if self._relaxation is None:
            self._relaxation = LinearProblem(
                self.actions, relaxed=True, settings=SolverSettings(self.settings.name)
            )
        bound, starts = np.inf, []
        for weights, constant in planes:
            solution = self._relaxation.solve(weights)
            at_most = constant + solution.bound
            bound = min(
                bound, at_most + 1e-7 * (1 + abs(at_most))
            )  # a linear program is solved to the solver's tolerance
            if solution.x is not None:
                share = solution.x[: self.actions.size]
                starts.append(
                    self.actions.fill(
                        np.lexsort((-weights, -share.round(6)))[
                            : np.count_nonzero((share > 1e-6) | (weights > 0))
                        ]
                    )
                )
        return bound, starts

    def _solve(self, bounds: list[Bounds], action: Action) -> Solution:
        if self._session is None:
            self._session = open_session(self._program, replace(self.settings, quick=True))
        session = self._session
        for network, block, layer_bounds in zip(self.networks, self._blocks, bounds, strict=True):
            first = block.layers[0]
            session.set_values(
                first.dense.slots[: network.weights[0].size], -network.weights[0].ravel()
            )
            for layer, bias, (lower, upper) in zip(
                block.layers, network.biases[:-1], layer_bounds, strict=True
            ):
                session.set_row_bounds(layer.dense.index, bias, bias)
                tighten(session, layer, lower, upper)
        self._set_objective(session)
        return session.solve(self._point(action))

    def _set_objective(self, session: Session) -> None:
        if self._floor is None:
            columns, weights = self._blocks[0].output
            session.set_cost(columns, weights, float(self.networks[0].biases[-1][0]))
            session.set_cost(self._a, self._skip(self.networks[0]))
            return
        for network, rows in zip(self.networks, self._floor_rows, strict=True):
            session.set_row_bounds(rows.index, -np.inf, network.biases[-1])
            session.set_values(rows.slots[: self.actions.size], -self._skip(network))

    def _skip(self, network: ReluNetwork) -> Floats:
        return np.zeros(self.actions.size) if network.skip is None else network.skip

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
            x[self._floor] = value(self.networks, action[None])
        return x

    def _read(
        self, solution: Solution, action: Action, found: float, simple: float, began: float
    ) -> Argmax:
        if solution.x is not None:
            solved = np.rint(solution.x[self._a]).astype(np.int8)
            true = float(value(self.networks, solved[None])[0])
            if _exceeds(solution.value, true):
                raise SolverFailed(
                    f"the solver values its action at {solution.value:.8g}, the network at {true:.8g}: report this case, or try another solver"
                )
            if true >= found:
                action, found = solved, true
        return self._answer(action, found, min(solution.bound, simple), solution.status, began)

    def _answer(
        self, action: Action, found: float, bound: float, status: str, began: float
    ) -> Argmax:
        if _exceeds(found, bound):
            raise SolverFailed(
                f"an action of value {found:.8g} exceeds the proven bound {bound:.8g}: report this case, or try another solver"
            )
        bound = max(bound, found)
        if relative_gap(found, bound) <= 1e-6:
            status = "optimal"
        elif status != "time_limit":
            status = "within_gap"
        return Argmax(action, found, bound, status, time.perf_counter() - began)


def _exceeds(first: float, second: float) -> bool:
    """By more than tolerances explain."""
    return first - second > _TOLERANCE * max(1.0, abs(second))


def _as_list(networks: ReluNetwork | Sequence[ReluNetwork]) -> list[ReluNetwork]:
    return [networks] if isinstance(networks, ReluNetwork) else list(networks)


def _same_model(new: ReluNetwork, old: ReluNetwork) -> bool:
    """Whether two networks differ only in what is rewritten for each state: first layer, biases,
    skip.
    """
    if new.weights[0].shape != old.weights[0].shape or len(new.weights) != len(old.weights):
        return False
    return all(
        a is b or np.array_equal(a, b)
        for a, b in zip(new.weights[1:], old.weights[1:], strict=True)
    )


def _above(bound: float) -> float:
    """Widened by rounding errors."""
    return bound + 1e-9 * (1 + abs(bound))
