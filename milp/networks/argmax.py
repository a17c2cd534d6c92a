"""The best feasible action of a ReLU network, or of the minimum over several, with a proven bound.

    maximise  min_m q_m(a)   over the actions a of a feasible set

The program is built once for a set and a network shape; a new state rewrites the first layer, the
bounds and the objective only. Three steps, and the search ends at the first whose bound is within
the gap of the best action so far:

1. A local search proposes an action. A linear function above each network is maximised by the
   number of components that an action may select.
2. That function is maximised over the linear relaxation of the set.
3. The mixed-integer program is solved.

All three work on networks in ordinary numbers, whose value is measured from the set's default
action (`scaling`). The value of the result is computed by the given networks, in double precision.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, SolverFailed
from worldplan.milp.networks.bounds import (
    METHODS,
    Bounds,
    neuron_bounds,
    output_bound,
    output_plane,
)
from worldplan.milp.networks.local_search import greedy_start, local_search, value
from worldplan.milp.networks.relu import Embedding, ReluNetwork, check_same_shape, embed, tighten
from worldplan.milp.networks.scaling import Scaling
from worldplan.milp.program import Floats, Indices, Program, Rows
from worldplan.milp.session import LEAST_GAP, Lock, missing_share
from worldplan.milp.sets.base import Action, ActionSet, Budget
from worldplan.milp.sets.linear_problem import LinearProblem
from worldplan.milp.solvers import Session, Solution, SolverSettings, open_session, relative_gap

_TOLERANCE = 1e-5  # tolerated relative difference between solver and network values


@dataclass(frozen=True, slots=True)
class Argmax:
    """The result of a maximisation.

    Args:
        action: (size,) the best action found.
        value: its value by the networks.
        bound: proven upper bound of the value of every feasible action.
        status: "optimal" (gap at most 1e-6, or nothing left but rounding), "within_gap" or
            "time_limit".
        seconds: wall-clock time.
        zero: value of the set's default action.
        effect: median effect of one component on the value of the default action.
    """

    action: Action
    value: float
    bound: float
    status: str
    seconds: float
    zero: float
    effect: float

    @property
    def gap(self) -> float:
        """Proven share that may be missing of the possible gain over the default action.

        A possible gain below the median effect of one component counts as that effect.
        """
        if self.status == "optimal":
            return 0.0
        return missing_share(self.value, self.bound, min(self.zero, self.bound - self.effect))


class NetworkArgmax:
    """Maximises `min_m q_m(a)` over a feasible set, repeatedly for networks of one shape.

    The gap of the settings is relative to the gain over the set's default action. The search also
    ends at that share of the median effect of one component, so that an end can be proven where the
    default action is the best. Neither the unit of the networks nor a constant in them counts.

    Args:
        networks: one network, or an ensemble whose minimum is maximised. A later call may change
            any number. Other weights after the first layer (a training step), other widths or
            another number of networks rebuild the program.
        actions: the feasible set.
        settings: solver, gap, time limit.
        bounds: "interval", "linear" or "optimised" (see `worldplan.milp.networks.bounds`).

    Raises:
        ConfigError: a network takes action vectors of another length than the set's.
    """

    def __init__(
        self,
        networks: ReluNetwork | Sequence[ReluNetwork],
        actions: ActionSet,
        settings: SolverSettings | None = None,
        *,
        bounds: str = "linear",
    ) -> None:
        checks.of_type(actions, "actions", ActionSet, remedy="an ActionSet")
        self.method = checks.choice(bounds, "bounds", METHODS)
        self.actions, self.settings = actions, settings or SolverSettings()
        self._relaxation: LinearProblem | None = None
        self._lock = Lock()  # of a maximisation
        self._default = actions.default()
        self._take(_as_list(networks))

    def _take(self, networks: list[ReluNetwork]) -> None:
        """Take networks; keep the program if only numbers differ that `_solve` rewrites."""
        check_same_shape(networks, self.actions.size)
        zero = float(value(networks, self._default[None])[0])
        scaling = self.__dict__.get("_scaling")
        if scaling is None or not scaling.fits(networks):
            scaling = Scaling.of(networks)
        scaled = scaling.scaled(networks, zero)
        known: list[ReluNetwork] = self.__dict__.get("_scaled", [])
        if len(known) != len(scaled) or not all(map(_same_model, scaled, known)):
            self._scaled: list[ReluNetwork] = []  # until the program is complete
            self._build(scaled)
        self.networks, self._scaling, self._scaled, self._zero = networks, scaling, scaled, zero

    def _build(self, networks: list[ReluNetwork]) -> None:
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
        """The row floor <= w y + skip a + b; `_set_objective` sets skip and b for each solve."""
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
        *,
        time_limit: float | None = None,
        absolute_gap: float | None = None,
    ) -> Argmax:
        """The best feasible action; after the time limit the best one found, with its gap.

        Args:
            networks: those to maximise from now on; None for those of the last call.
            start: an action (size,) to search from; ignored if it is not feasible.
            time_limit: seconds in all, building of the program included; that of the settings
                unless given.
            absolute_gap: bound - value at which the search ends, in the networks' unit; from the
                gap of the settings unless given.

        Raises:
            SolverFailed: the solver stopped without a solution, or its value or bound contradicts
                the network's value.
            SolverUnavailable: the solver is not installed or not licensed for this size.
        """
        with self._lock:
            return self._maximise(networks, start, time_limit, absolute_gap)

    def _maximise(
        self,
        networks: ReluNetwork | Sequence[ReluNetwork] | None,
        start: Action | None,
        time_limit: float | None,
        absolute_gap: float | None,
    ) -> Argmax:
        began = time.perf_counter()
        limit = self.settings.time_limit if time_limit is None else time_limit
        deadline = began + limit
        if networks is not None:
            self._take(_as_list(networks))
        self._set_gaps(absolute_gap)
        bounds = [
            neuron_bounds(network, self.actions, self.method, deadline=deadline)
            for network in self._scaled
        ]
        planes = [
            output_plane(network, layers)
            for network, layers in zip(self._scaled, bounds, strict=True)
        ]
        bound = min(output_bound(plane, self.actions) for plane in planes)
        starts = [greedy_start(self._scaled, self.actions), self._default]
        if start is not None and self.actions.contains(start):
            starts.append(start)
        action, best = self._search(starts, bound, deadline)
        if self._closed(best, bound):
            return self._result(action, best, bound, "within_gap", began)
        # the relaxation of a plain budget has the same maximum as its cardinality bound
        if not isinstance(self.actions, Budget):
            relaxed, starts = self._relax(planes, deadline)
            bound = min(bound, relaxed)
            candidate, candidate_value = self._search([action, *starts], bound, deadline)
            if candidate_value > best:
                action, best = candidate, candidate_value
            if self._closed(best, bound):
                return self._result(action, best, bound, "within_gap", began)
        solution = self._solve(bounds, action, deadline)
        return self._read(solution, action, best, bound, began)

    def _set_gaps(self, absolute_gap: float | None) -> None:
        """Set the relative gap, and the absolute one in the unit of the scaled networks."""
        flipped = self._default ^ np.eye(self.actions.size, dtype=np.int8)
        effects = np.abs(value(self._scaled, flipped[self.actions.selectable]))
        self._effect = float(np.median(effects)) if len(effects) else 0.0
        self._relative = self.settings.gap if absolute_gap is None else 0.0
        absolute = self.settings.gap * self._effect
        if absolute_gap is not None:
            absolute = absolute_gap / self._scaling.output
        self._absolute = max(absolute, LEAST_GAP)

    def _closed(self, best: float, bound: float) -> bool:
        """Whether a value `best` of the scaled networks is near enough to `bound`."""
        return bound - best <= self._absolute or relative_gap(best, bound) <= self._relative

    def _search(self, starts: list[Action], bound: float, deadline: float) -> tuple[Action, float]:
        """The local search from `starts`, until the gap to `bound` is closed."""
        enough = min(
            bound - self._absolute, bound - self._relative / (1 + self._relative) * abs(bound)
        )
        return local_search(self._scaled, self.actions, starts, enough=enough, deadline=deadline)

    def _relax(
        self, planes: list[tuple[Floats, float]], deadline: float
    ) -> tuple[float, list[Action]]:
        """Maximise the linear functions above the networks over the set's linear relaxation.

        Returns:
            The least maximum, an upper bound, and feasible actions (size,) rounded from the
            maximisers.
        """
        if self._relaxation is None:
            self._relaxation = LinearProblem(
                self.actions, relaxed=True, settings=SolverSettings(self.settings.name)
            )
        bound, starts = np.inf, []
        for weights, constant in planes:
            remaining = deadline - time.perf_counter()
            solution = self._relaxation.solve(weights, time_limit=remaining)
            maximum = constant + solution.bound
            # widened by more than the solver's tolerance
            bound = min(bound, maximum + 1e-7 * (1 + abs(maximum)))
            if solution.x is not None:
                share = solution.x[: self.actions.size]
                by_share = np.lexsort((-weights, -share.round(6)))
                useful = np.count_nonzero((share > 1e-6) | (weights > 0))
                starts.append(self.actions.fill(by_share[:useful]))
        return bound, starts

    def _solve(self, bounds: list[Bounds], action: Action, deadline: float) -> Solution:
        """Solve the mixed-integer program with the present numbers, from `action` (size,)."""
        if self._session is None:
            settings = replace(self.settings, quick=True, gap=self._relative)
            self._session = open_session(self._program, settings)
        session = self._session
        session.settings = replace(session.settings, gap=self._relative)
        for network, block, layer_bounds in zip(self._scaled, self._blocks, bounds, strict=True):
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
        return session.solve(
            self._point(action),
            time_limit=deadline - time.perf_counter(),
            absolute_gap=self._absolute,
        )

    def _set_objective(self, session: Session) -> None:
        if self._floor is None:
            columns, weights = self._blocks[0].output
            session.set_cost(columns, weights, float(self._scaled[0].biases[-1][0]))
            session.set_cost(self._a, self._skip(self._scaled[0]))
            return
        for network, rows in zip(self._scaled, self._floor_rows, strict=True):
            session.set_row_bounds(rows.index, -np.inf, network.biases[-1])
            session.set_values(rows.slots[: self.actions.size], -self._skip(network))

    def _skip(self, network: ReluNetwork) -> Floats:
        return np.zeros(self.actions.size) if network.skip is None else network.skip

    def _point(self, action: Action) -> Floats | None:
        """The complete point (columns,) of `action`; None where the set has no witness for it."""
        auxiliary = self.actions.witness(action)
        if auxiliary is None:
            return None
        x = np.zeros(self._program.columns)
        x[self._a], x[self._aux] = action, auxiliary
        for network, block in zip(self._scaled, self._blocks, strict=True):
            block.point(network, action, x)
        if self._floor is not None:
            x[self._floor] = value(self._scaled, action[None])
        return x

    def _read(
        self, solution: Solution, action: Action, best: float, bound: float, began: float
    ) -> Argmax:
        """The better of the solver's action and `action` (size,), whose value is `best`.

        Raises:
            SolverFailed: the solver values its action higher than the network does.
        """
        if solution.x is not None:
            solved = np.rint(solution.x[self._a]).astype(np.int8)
            solved_value = float(value(self._scaled, solved[None])[0])
            if _exceeds(solution.value, solved_value):
                raise SolverFailed(
                    f"the solver values its action at {solution.value:.8g}, the network at "
                    f"{solved_value:.8g}: report this case, or try another solver"
                )
            if solved_value >= best:
                action, best = solved, solved_value
        return self._result(action, best, min(solution.bound, bound), solution.status, began)

    def _result(
        self, action: Action, best: float, bound: float, status: str, began: float
    ) -> Argmax:
        """The result, out of a value and a bound of the scaled networks.

        Raises:
            SolverFailed: the value exceeds the bound.
        """
        unit, zero = self._scaling.output, self._zero
        if _exceeds(best, bound):
            raise SolverFailed(
                f"an action of value {zero + unit * best:.8g} exceeds the proven bound "
                f"{zero + unit * bound:.8g}: report this case, or try another solver"
            )
        bound = max(bound, best)
        if relative_gap(best, bound) <= 1e-6 or bound - best <= 2 * LEAST_GAP:
            status = "optimal"
        elif status != "time_limit":
            status = "within_gap"
        own = float(value(self.networks, action[None])[0])
        bound = max(own, zero + unit * bound)
        seconds = time.perf_counter() - began
        return Argmax(action, own, bound, status, seconds, zero, unit * self._effect)


def _exceeds(first: float, second: float) -> bool:
    """Whether `first` is above `second` by more than the tolerance."""
    return first - second > _TOLERANCE * max(1.0, abs(second))


def _as_list(networks: ReluNetwork | Sequence[ReluNetwork]) -> list[ReluNetwork]:
    """One network or several as a list.

    Raises:
        ConfigError: there is none, or something else among them.
    """
    members = [networks] if isinstance(networks, ReluNetwork) else networks
    if not isinstance(members, list | tuple) or not members:
        raise ConfigError(f"networks is {checks.shown(networks)}: give a ReluNetwork or several")
    for index, member in enumerate(members):
        checks.of_type(member, f"networks[{index}]", ReluNetwork)
    return list(members)


def _same_model(new: ReluNetwork, old: ReluNetwork) -> bool:
    """Whether two networks differ only in what each solve rewrites: first layer, biases, skip."""
    if new.weights[0].shape != old.weights[0].shape or len(new.weights) != len(old.weights):
        return False
    return all(
        new_weight is old_weight or np.array_equal(new_weight, old_weight)
        for new_weight, old_weight in zip(new.weights[1:], old.weights[1:], strict=True)
    )
