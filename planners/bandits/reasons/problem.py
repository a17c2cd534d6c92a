"""Today's decision as one loaded program, which is solved again with arms forced in or out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.milp.errors import ConfigError, InfeasibleActionSet, SolverFailed
from worldplan.milp.networks.bounds import neuron_bounds
from worldplan.milp.networks.local_search import value as network_value
from worldplan.milp.networks.relu import Embedding, ReluNetwork, embed, tighten
from worldplan.milp.networks.scaling import Scaling
from worldplan.milp.program import Indices, Program
from worldplan.milp.session import objective_unit
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.sets.fixed import FixedBudget, budget_of
from worldplan.milp.solvers import Session, SolverSettings, open_session
from worldplan.planners.bandits.level_maximiser import add_levels
from worldplan.planners.base import Decision

SOLVER_ROUNDING = 1e-6  # of the objective's unit: the tolerance of a solver
CONTRADICTION = 1e-5  # relative: the solver's value of a list is above its true one


class Problem(Protocol):
    """Maximises a fixed objective over the feasible actions, between bounds on each component.

    Attributes:
        offset: constant that values and bounds leave out, so that their differences are exact.
        rounding: differences of two values up to this may be the solver's tolerance.
    """

    offset: float
    rounding: float

    def solve(self, lower: Action, upper: Action, time_limit: float) -> Decision:
        """As `DecisionProblem.solve`."""


class SortedProblem:
    """A plain budget with a linear objective: the largest gains are chosen, without a solver.

    Args:
        within: the budget, and what the set fixes.
        gains: (arms,) what each arm adds.
        offset: constant that values and bounds leave out.
    """

    def __init__(self, within: FixedBudget, gains: Floats, offset: float) -> None:
        self._within, self._gains, self.offset, self.rounding = within, gains, offset, 0.0

    def solve(self, lower: Action, upper: Action, time_limit: float) -> Decision:
        """As `DecisionProblem.solve`; the time limit does not matter.

        Raises:
            InfeasibleActionSet: more arms are forced than the budget allows, or too few are left,
                or an arm is forced in and out.
        """
        set_ = self._within
        lower, upper = np.maximum(lower, set_.lower), np.minimum(upper, set_.upper)
        within = replace(set_, lower=lower, upper=upper)
        if not within.feasible:
            raise InfeasibleActionSet("the budget allows no such action: force fewer arms")
        action = within.best(self._gains)
        value = float(self._gains @ action)
        return Decision(action, value, value, "optimal", 0.0)


class DecisionProblem:
    """A `Problem` for any set, by a mixed-integer program.

    The program is loaded once. A question changes the bounds of the action's columns only.

    Args:
        session: holds the objective, the feasible set and everything else.
        action: (components,) columns of the action.
        offset: constant that values and bounds leave out, so that their differences are exact.
        unit: of the objective in the session.
        score: value of an action (components,) without the offset. The value of a decision is then
            free of the solver's tolerance.
    """

    def __init__(
        self,
        session: Session,
        action: Indices,
        offset: float = 0.0,
        unit: float = 1.0,
        score: Callable[[Action], float] | None = None,
    ) -> None:
        self._session, self._action, self.offset, self._unit = session, action, offset, unit
        self._score = score
        self.rounding = 0.0 if score is not None else SOLVER_ROUNDING * unit
        self._upper = session.matrices.upper[action].copy()

    def solve(self, lower: Action, upper: Action, time_limit: float) -> Decision:
        """The best action between `lower` and `upper`, each (components,) of zeros and ones.

        `Decision.action` and `value` are None if no action was found within the time limit.

        Args:
            lower: 1 where a component is forced in.
            upper: 0 where a component is left out.
            time_limit: seconds.

        Raises:
            InfeasibleActionSet: no action of the set is between them.
            SolverFailed: the solver stopped for another reason than optimum or time limit, or
                values its action higher than `score` does.
        """
        session, columns = self._session, self._action
        with session.lock:
            session.set_column_bounds(columns, lower, np.maximum(lower, upper * self._upper))
            solution = session.solve(time_limit=time_limit)
        bound = self._unit * solution.bound if np.isfinite(solution.bound) else None
        if solution.x is None:
            return Decision(None, None, bound, solution.status, solution.seconds)
        chosen = np.rint(solution.x[columns]).astype(np.int8)
        value = self._value(chosen, self._unit * solution.value)
        bound = None if bound is None else max(bound, value)
        return Decision(chosen, value, bound, solution.status, solution.seconds)

    def _value(self, action: Action, claimed: float) -> float:
        """The value of an action (components,), which the solver values at `claimed`.

        Raises:
            SolverFailed: the solver's value is higher.
        """
        if self._score is None:
            return claimed
        value = self._score(action)
        size = self._unit * objective_unit(self._session.matrices.cost)
        if claimed - value > CONTRADICTION * max(size, abs(value)):
            raise SolverFailed(
                f"the solver values a list at {claimed:.8g}, the policy at {value:.8g}: report "
                "this case, or try another solver"
            )
        return value


def additive_problem(
    instance: BanditInstance, actions: ActionSet, values: Floats, settings: SolverSettings
) -> Problem:
    """Maximise sum_j values[j, level_j(a)] over `actions`; `values` is (arms, levels).

    The objective is the gain over level 0, so that a constant of an arm changes no number of it.
    """
    gains, offset = values - values[:, :1], float(values[:, 0].sum())
    within = budget_of(actions)
    if instance.dynamics.effect is None and within is not None:
        return SortedProblem(within, gains[:, 1], offset)
    program = Program()
    action = program.add_columns(actions.size, 0.0, actions.selectable, integer=True)
    actions.add_constraints(program, action)
    if instance.dynamics.effect is None:
        columns, cost = action, gains[:, 1]
    else:
        columns, kept = add_levels(program, action, instance.dynamics)
        cost = gains[kept]
    session = open_session(program, settings)
    session.set_cost(columns, cost)
    rows = np.arange(len(gains))

    def score(chosen: Action) -> float:
        return float(gains[rows, instance.dynamics.level(chosen)].sum())

    return DecisionProblem(session, action, offset, score=score)


def network_problem(
    given: Sequence[ReluNetwork], zero: float, actions: ActionSet, settings: SolverSettings
) -> DecisionProblem:
    """Maximise min_m q_m(a) over `actions` for ReLU networks q_m of the action.

    The rows of a network are those of `worldplan.milp.networks.relu`, in ordinary numbers
    (`scaling`). With several networks, floor <= q_m(a) for each m, and the floor is maximised.

    Args:
        given: the networks.
        zero: value from which they are measured.
        actions: the feasible set.
        settings: the solver.
    """
    scaling = Scaling.of(given)
    networks, unit = scaling.scaled(given, zero), scaling.output
    program = Program()
    action = program.add_columns(actions.size, 0.0, actions.selectable, integer=True)
    actions.add_constraints(program, action)
    blocks = [embed(program, network, action) for network in networks]
    floor = program.add_columns(1, -np.inf, np.inf, cost=1.0) if len(networks) > 1 else None
    for network, block in zip(networks, blocks, strict=True):
        if floor is not None:
            _put_below(program, network, block, action, floor)
    session = open_session(program, settings)

    def score(chosen: Action) -> float:
        return float(network_value(given, chosen[None])[0]) - zero

    for network, block in zip(networks, blocks, strict=True):
        for layer, (low, high) in zip(
            block.layers, neuron_bounds(network, actions, "linear"), strict=True
        ):
            tighten(session, layer, low, high)
    if floor is not None:
        return DecisionProblem(session, action, zero, unit, score)
    columns, weights = blocks[0].output
    session.set_cost(columns, weights)
    session.set_cost(action, _skip(networks[0], actions.size))
    session.set_cost(action[:0], np.zeros(0), float(networks[0].biases[-1][0]))
    return DecisionProblem(session, action, zero, unit, score)


def _put_below(
    program: Program, network: ReluNetwork, block: Embedding, action: Indices, floor: Indices
) -> None:
    """The row floor - w y - skip a <= b."""
    columns, weights = block.output
    skip = sparse.csr_array(-_skip(network, len(action))[None])
    program.add_rows(
        (action, skip),
        (columns, -weights[None]),
        (floor, np.ones((1, 1))),
        upper=float(network.biases[-1][0]),
    )


def _skip(network: ReluNetwork, size: int) -> Floats:
    return np.zeros(size) if network.skip is None else network.skip


def level_score(dynamics: ArmDynamics, values: Floats, actions: Action) -> Floats:
    """Values (M,) of actions (M, components) for `values` (arms, levels) of each arm."""
    levels = dynamics.level(np.asarray(actions))
    score: Floats = values[np.arange(dynamics.arms), levels].sum(-1)
    return score


def check_values(values: object, instance: BanditInstance, policy: str) -> Floats:
    """Action values (arms, levels) of a policy, as an array.

    Raises:
        ConfigError: they are no finite numbers, or of another shape.
    """
    shape = (instance.dynamics.arms, instance.dynamics.levels)
    array = np.asarray(values, dtype=float)
    if array.shape != shape or not np.isfinite(array).all():
        raise ConfigError(
            f"{policy}.action_values returned an array {array.shape}: return finite numbers "
            f"(arms, levels) = {shape}"
        )
    return array
