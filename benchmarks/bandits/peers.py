"""Policies of others, for the same instances and feasible sets as ours.

* `LpUpdate`: the LP-update policy with randomised rounding of Narasimha and Gast 2025, "Model
  predictive control is almost optimal for heterogeneous restless multi-armed bandits" (arXiv
  2511.08097). In each step the fluid linear program over the next `WINDOW` steps is solved from the
  present states; its first action is a probability of a pull for each arm, which is rounded at
  random with these probabilities. The publication has a plain budget, for which systematic sampling
  keeps probabilities and budget. In the authors' code for arms that are alike the budget is an
  equation; here it is at most, as in the sets. For other sets nothing is published: the sampled
  arms are filled in by decreasing probability while the set allows it, then the others.
* `MarkovianWhittle`: Whittle indices of the package markovianbandit-pkg (Gast, Gaujal, Khun), which
  are those of an endless programme, maximised over the feasible set. It is imported where it is
  used: `pip install markovianbandit-pkg numba`.

Use them in a scenario as `benchmarks.bandits.peers:LpUpdate`.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import BanditInstance, Floats, Ints
from worldplan.milp.sets.base import Action
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.fluid import FluidProgram
from worldplan.planners.bandits.level_maximiser import LevelMaximiser
from worldplan.planners.bandits.models import models_of
from worldplan.planners.bandits.observations import one_hot, state_of, steps_left_of
from worldplan.planners.bandits.units import in_units
from worldplan.planners.base import Decision, Planner

WINDOW = 5  # steps of the linear program, as in the publication's experiments
DISCOUNT = 0.99  # of the peer's indices


class LpUpdate(Planner):
    """The first action of a short fluid program, rounded at random."""

    def __init__(self, instance: BanditInstance) -> None:
        models, _ = in_units(models_of(instance, None), instance.discount)
        self.instance = instance
        steps = min(WINDOW, instance.horizon)
        self._program = FluidProgram(models, instance.actions, steps, SolverSettings())
        self._rng = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None) -> None:
        self._rng = np.random.default_rng(seed or 0)

    def plan(self, observation: Any) -> Decision:
        started = time.perf_counter()
        state, left = (
            state_of(self.instance, observation),
            steps_left_of(self.instance, observation),
        )
        start = one_hot(state, self.instance.dynamics.states)
        solution = self._program.solve(start, min(left, self._program.steps))
        assert solution.x is not None
        share = solution.x[self._program.first_action]
        action = rounded(share, self.instance, self._rng)
        return Decision(action, None, None, "heuristic", time.perf_counter() - started)


def rounded(share: Floats, instance: BanditInstance, rng: np.random.Generator) -> Action:
    """A feasible action near the probabilities `share` (components,)."""
    drawn = systematic(share, rng)
    order = np.argsort(-(drawn + share), kind="stable")
    useful = order[drawn[order] + share[order] > 1e-6]
    return instance.actions.fill(useful)


def systematic(share: Floats, rng: np.random.Generator) -> Ints:
    """Indicators (n,) with the means `share` (n,), whose sum is that of the means, rounded up or
    down (systematic sampling in a random order).
    """
    order = rng.permutation(len(share))
    ends = np.floor(np.cumsum(np.clip(share[order], 0.0, 1.0)) + rng.random() - 1e-12)
    drawn = np.zeros(len(share), np.int64)
    drawn[order] = np.diff(ends, prepend=0.0) > 0.5
    return drawn


class MarkovianWhittle(Planner):
    """Another package's Whittle indices, maximised over the feasible set by our MILP."""

    def __init__(self, instance: BanditInstance) -> None:
        from markovianbandit import restless_bandit_from_P0P1_R0R1

        model = instance.dynamics
        reward, move = model.one_step(), model.transition
        self.instance = instance
        index = [
            restless_bandit_from_P0P1_R0R1(
                move[arm, 0], move[arm, 1], reward[arm, 0], reward[arm, 1]
            ).whittle_indices(check_indexability=False, discount=DISCOUNT)
            for arm in range(model.arms)
        ]
        self._index = np.array(index)
        self._maximiser = LevelMaximiser(instance)

    def plan(self, observation: Any) -> Decision:
        state = state_of(self.instance, observation)
        values = np.zeros((len(state), 2))
        values[:, 1] = self._index[np.arange(len(state)), state]
        return self._maximiser.maximise(values)
