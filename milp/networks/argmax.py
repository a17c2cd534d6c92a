"""The best feasible action of a ReLU network, or of the minimum over several, with a proven bound.

    maximise  min_m q_m(a)   over the actions a of a feasible set

A program is built once for a set and a network shape; a new state rewrites the first layer, the
bounds and the objective only. Five steps, and the search ends at the first whose bound is within
the gap of the best action so far:

1. A local search proposes an action. A linear function above each network is maximised by the
   number of components that an action may select.
2. That function is maximised over the linear relaxation of the set.
3. The linear relaxation of set and networks is solved. Its dual values give a tighter linear
   function above the networks (`NetworkProgram.plane`).
4. That function is maximised over the set.
5. The mixed-integer program is solved, without the components that no better action can have, by
   the reduced costs of step 3 (Dantzig, Fulkerson, Johnson 1954).

All of them work on networks in ordinary numbers, whose value is measured from the set's default
action (`scaling`). The value of the result is computed by the given networks, in double precision.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
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
from worldplan.milp.networks.network_program import NetworkProgram
from worldplan.milp.networks.relu import ReluNetwork, check_same_shape, same_after_first
from worldplan.milp.networks.scaling import Scaling
from worldplan.milp.program import Floats
from worldplan.milp.session import LEAST_GAP, Lock, missing_share
from worldplan.milp.sets.base import Action, ActionSet, Budget
from worldplan.milp.sets.linear_problem import LinearProblem
from worldplan.milp.solvers import Solution, SolverSettings, relative_gap

_PLANE_SHARE = 0.1  # of the absolute gap: that of a linear function over the set
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
        self._set_problems: dict[bool, LinearProblem] = {}  # by whether they are relaxed
        self._programs: dict[bool, NetworkProgram] = {}
        self._reduced: tuple[float, Floats] | None = None  # the relaxation's bound, reduced costs
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
        if len(known) != len(scaled) or not all(map(same_after_first, scaled, known)):
            self._programs = {}
        self.networks, self._scaling, self._scaled, self._zero = networks, scaling, scaled, zero

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
        for proven, starts in self._tighter(planes, bounds, deadline):
            bound = min(bound, proven)
            candidate, candidate_value = self._search([action, *starts], bound, deadline)
            if candidate_value > best:
                action, best = candidate, candidate_value
            if self._closed(best, bound):
                return self._result(action, best, bound, "within_gap", began)
        solution = self._solve(bounds, action, best, deadline)
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

    def _tighter(
        self, planes: list[tuple[Floats, float]], bounds: list[Bounds], deadline: float
    ) -> Iterator[tuple[float, list[Action]]]:
        """Upper bounds, each costlier than the one before, with actions (size,) to search from."""
        self._reduced = None
        # the relaxation of a plain budget has the same maximum as its cardinality bound
        plain = isinstance(self.actions, Budget)
        if not plain:
            yield self._relax(planes, deadline)
        program = self._program(relaxed=True)
        program.load(self._scaled, bounds)
        solution = program.session.solve(time_limit=deadline - time.perf_counter())
        if solution.x is None or solution.row_dual is None:
            return
        bound = _above(solution.bound)
        self._reduced = bound, program.reduced_costs(solution.row_dual)
        plane = program.plane(solution.row_dual)
        weights = planes[0][0] if plane is None else plane[0]
        start = self._rounded(solution.x[program.action], weights)
        if plane is not None and plain:  # proven without the solver's tolerance
            bound = output_bound(plane, self.actions)
        yield bound, [start]
        if plane is not None and not plain:
            yield self._over_set(plane, deadline)

    def _relax(
        self, planes: list[tuple[Floats, float]], deadline: float
    ) -> tuple[float, list[Action]]:
        """Maximise the linear functions above the networks over the set's linear relaxation.

        Returns:
            The least maximum, an upper bound, and feasible actions (size,) rounded from the
            maximisers.
        """
        bound, starts = np.inf, []
        for weights, constant in planes:
            remaining = deadline - time.perf_counter()
            solution = self._set_problem(relaxed=True).solve(weights, time_limit=remaining)
            bound = min(bound, _above(constant + solution.bound))
            if solution.x is not None:
                starts.append(self._rounded(solution.x[: self.actions.size], weights))
        return bound, starts

    def _rounded(self, share: Floats, weights: Floats) -> Action:
        """A feasible action (size,), filled by share (size,), then by weight (size,)."""
        by_share = np.lexsort((-weights, -share.round(6)))
        useful = np.count_nonzero((share > 1e-6) | (weights > 0))
        return self.actions.fill(by_share[:useful])

    def _over_set(self, plane: tuple[Floats, float], deadline: float) -> tuple[float, list[Action]]:
        """Maximise a linear function above the networks over the set itself: bound, maximiser."""
        weights, constant = plane
        solution = self._set_problem(relaxed=False).solve(
            weights,
            time_limit=deadline - time.perf_counter(),
            absolute_gap=_PLANE_SHARE * self._absolute,
        )
        starts = []
        if solution.x is not None:
            starts.append(np.rint(solution.x[: self.actions.size]).astype(np.int8))
        return _above(constant + solution.bound), starts

    def _set_problem(self, *, relaxed: bool) -> LinearProblem:
        if relaxed not in self._set_problems:
            settings = SolverSettings(self.settings.name, gap=0.0, quick=not relaxed)
            self._set_problems[relaxed] = LinearProblem(
                self.actions, relaxed=relaxed, settings=settings
            )
        return self._set_problems[relaxed]

    def _program(self, *, relaxed: bool) -> NetworkProgram:
        if relaxed not in self._programs:
            settings = replace(self.settings, quick=True)
            self._programs[relaxed] = NetworkProgram(
                self._scaled, self.actions, settings, relaxed=relaxed
            )
        return self._programs[relaxed]

    def _solve(
        self, bounds: list[Bounds], action: Action, best: float, deadline: float
    ) -> Solution:
        """Solve the mixed-integer program from `action` (size,), whose value is `best`."""
        program = self._program(relaxed=False)
        session = program.session
        session.settings = replace(session.settings, gap=self._relative)
        program.load(self._scaled, bounds)
        session.set_column_bounds(program.action, *self._of_better(best))
        return session.solve(
            program.point(self._scaled, action),
            time_limit=deadline - time.perf_counter(),
            absolute_gap=self._absolute,
        )

    def _of_better(self, best: float) -> tuple[Floats, Floats]:
        """Least and largest value of each component, (size,), in actions better than `best`."""
        lower, upper = np.zeros(self.actions.size), np.ones(self.actions.size)
        if self._reduced is not None:
            bound, reduced = self._reduced
            worse = bound - np.abs(reduced) < best - 1e-6 * (1 + abs(best))
            lower[worse & (reduced > 0)] = 1.0
            upper[worse & (reduced < 0)] = 0.0
        return lower, upper

    def _read(
        self, solution: Solution, action: Action, best: float, bound: float, began: float
    ) -> Argmax:
        """The better of the solver's action and `action` (size,), whose value is `best`.

        Raises:
            SolverFailed: the solver values its action higher than the network does.
        """
        if solution.x is not None:
            solved = np.rint(solution.x[: self.actions.size]).astype(np.int8)
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


def _above(bound: float) -> float:
    """A solver's bound, widened by more than its tolerance."""
    return bound + 1e-7 * (1 + abs(bound))


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
