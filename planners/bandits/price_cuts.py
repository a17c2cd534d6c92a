"""Linear lower bounds of the bound by prices, and the master program over them (`lagrangian`)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worldplan.envs.bandits.environment import Floats
from worldplan.milp.errors import InfeasibleActionSet
from worldplan.milp.program import Program
from worldplan.milp.solvers import SolverSettings, open_session


@dataclass
class Cuts:
    """Linear lower bounds of V, one per arm policy, for one distribution of start states.

    V(lambda) >= sum of reward - sum of pulls @ lambda + budget * sum of lambda, group by group.

    Args:
        reward: of each cut (groups,).
        pulls: expected pulls of each cut, (steps, groups).
    """

    reward: list[Floats]
    pulls: list[Floats]

    def add(self, reward: Floats, pulls: Floats) -> bool:
        """Add a cut: reward (groups,) and pulls (steps, groups). False if it is known already."""
        if any(
            np.array_equal(reward, known_reward) and np.array_equal(pulls, known_pulls)
            for known_reward, known_pulls in zip(self.reward, self.pulls, strict=True)
        ):
            return False
        self.reward.append(reward)
        self.pulls.append(pulls)
        return True


class Master:
    """The cuts as a linear program in the prices and one value per group; `budget` is (steps,).

    It is solved twice in an iteration: for the minimum over the cuts, and for the next prices.
    """

    def __init__(
        self, cuts: Cuts, budget: Floats, lower: Floats, upper: Floats, settings: SolverSettings
    ) -> None:
        steps, groups = cuts.pulls[0].shape
        self.budget = budget
        program = Program()
        self.prices = program.add_columns(steps, lower, upper)
        self.value = program.add_columns(groups, -np.inf)
        self.distance = program.add_columns(1)
        # value_g + pulls_g @ prices >= reward_g for each cut and group
        pulls = np.concatenate([pulls.T for pulls in cuts.pulls])
        groupwise = sparse.csr_array(np.tile(np.eye(groups), (len(cuts.reward), 1)))
        program.add_rows(
            (self.prices, sparse.csr_array(pulls)),
            (self.value, groupwise),
            lower=np.concatenate(cuts.reward),
        )
        # |prices - centre| <= distance; the centre is set in `nearest`
        unit, far = sparse.eye_array(steps), np.ones((steps, 1))
        self.above = program.add_rows((self.prices, unit), (self.distance, -far)).index
        self.below = program.add_rows((self.prices, unit), (self.distance, far)).index
        # budget @ prices + sum of value <= level; the level is set in `nearest`
        self.level = program.add_rows(
            (self.prices, budget[None]), (self.value, np.ones((1, groups)))
        ).index
        self.session = open_session(program, settings)

    def minimum(self, deadline: float) -> tuple[float, Floats]:
        """Lower bound of V over all prices, and the prices (steps,) that attain it.

        Without a solution by `deadline` on `time.perf_counter`: minus infinity and no prices.
        """
        self.session.set_cost(self.prices, -self.budget)
        self.session.set_cost(self.value, -np.ones(len(self.value)))
        solution = self.session.solve(time_limit=deadline - time.perf_counter())
        if solution.x is None:
            return -np.inf, np.zeros(0)
        return -solution.value, solution.x[self.prices]

    def nearest(self, centre: Floats, level: float, deadline: float) -> Floats | None:
        """The prices (steps,) nearest to `centre` at which the cuts allow V <= `level`, or None.

        The distance is the largest difference of one price. `deadline` is on `time.perf_counter`.
        """
        for columns, cost in ((self.prices, 0.0), (self.value, 0.0), (self.distance, -1.0)):
            self.session.set_cost(columns, np.full(len(columns), cost))
        self.session.set_row_bounds(self.above, -np.inf, centre)
        self.session.set_row_bounds(self.below, centre, np.inf)
        self.session.set_row_bounds(self.level, -np.inf, level)
        try:
            solution = self.session.solve(time_limit=deadline - time.perf_counter())
        except InfeasibleActionSet:  # the level equals the minimum up to rounding
            return None
        return None if solution.x is None else solution.x[self.prices]
